"""Graphs from blocks."""

from __future__ import annotations

from hopflow.graphs.block import Block
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Columns, Frame
from hopflow.structure.relations import node_name
from hopflow.structure.types import Relation, Schema


def block_to_graph(block: Block) -> Graph:
    """The graph of a block: its sources and destinations become types of nodes.

    Parameters
    ----------
    block : Block
        A block.

    Returns
    -------
    Graph
        The type ``user`` of the block's sources is ``user_src``, that of its destinations
        ``user_dst``, and relations run from one to the other under their names. Edges and columns
        are the block's, those not yet gathered on being read; columns set later stay its own.

    Raises
    ------
    TypeError
        No block.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.block_to_graph.html
    """
    if not isinstance(block, Block):
        raise TypeError(f"block: expected a hopflow.Block, got {type(block).__name__}")
    frames: dict[str, Frame] = {}
    for side in ("src", "dst"):
        for ntype, frame in block.node_frames(side).items():
            name = f"{ntype}_{side}"
            frames[name] = Frame(frame.num_rows, node_name(name), block.device, frame.snapshot())
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {
        (f"{src}_src", name, f"{dst}_dst"): (one.adjacency, one.edge_frame.snapshot())
        for (src, name, dst), one in block.relations.items()
    }
    return Graph.of_types(Schema(list(frames), list(parts)), frames, parts, block.idtype)
