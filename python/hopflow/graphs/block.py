"""The block: one hop of a mini-batch, from its source nodes to its destination nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import (
    EID,
    NID,
    Column,
    Columns,
    Frame,
    LazyColumn,
    Take,
    inherit,
    read,
    take_rows,
)
from hopflow.structure.graph_base import GraphBase, require_graph
from hopflow.structure.ids import as_node_ids

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Parent:
    """What blocks take from the graph that they are sampled from, as it was at that moment."""

    idtype: torch.dtype
    sources: dict[str, Column]
    destinations: dict[str, Column]
    edges: dict[str, Column]
    num_edges: int

    @classmethod
    def of(cls, graph: GraphBase) -> Parent:
        """The columns of a graph as they are now."""
        sources = graph.srcdata.snapshot()
        same = graph.dstdata is graph.srcdata
        destinations = sources if same else graph.dstdata.snapshot()
        edges = graph.edata.snapshot()
        return cls(graph.idtype, sources, destinations, edges, graph.num_edges())


class Block(Graph):
    """A bipartite graph between the nodes of two layers (a message-flow graph).

    The first ``num_dst_nodes()`` source nodes of a block made by a sampler or by
    :func:`hopflow.to_block` are its destination nodes. Columns of the parent graph are reachable on
    ``srcdata``, ``dstdata`` and ``edata`` and gathered when they are first read. ``ndata`` reads
    and writes the destination side, so a module written for graphs works on blocks.

    Attributes
    ----------
    seed_inverse : Tensor or None
        On the last block of a batch whose seeds held duplicates: the row of each given seed among
        the destination nodes, int64, shape [number of seeds given]. None if seeds were distinct.

    References
    ----------
    https://www.dgl.ai/dgl_docs/tutorials/large/L4_message_passing.html
    """

    is_block = True

    def __init__(
        self,
        adjacency: Adjacency,
        *,
        idtype: torch.dtype = torch.int64,
        src_columns: Columns | None = None,
        dst_columns: Columns | None = None,
        edge_columns: Columns | None = None,
    ) -> None:
        self._adjacency = adjacency
        self._idtype = adjacency.fitting(idtype)
        device = self.device
        self._src_frame = Frame(adjacency.num_src, "source node", device, src_columns)
        self._dst_frame = Frame(adjacency.num_dst, "destination node", device, dst_columns)
        self._edge_frame = Frame(adjacency.num_edges, "edge", device, edge_columns)
        self.seed_inverse: Tensor | None = None

    @classmethod
    def from_parent(
        cls,
        parent: Parent,
        adjacency: Adjacency,
        src_ids: Tensor,
        parent_eids: LazyColumn | None,
        *,
        take_src: Take | None = None,
        take_dst: Take | None = None,
    ) -> Block:
        """A block whose nodes and edges are some of another graph's.

        Parameters
        ----------
        parent : Parent
            Where columns come from.
        adjacency : Adjacency
            Edges between local ids.
        src_ids : Tensor
            The parent's id of each source node, shape [U]; the first V are the destinations.
        parent_eids : LazyColumn or None
            The parent's id of each edge, shape [E]; None if they are the same.
        take_src, take_dst : callable, optional
            ``take(name, column, ids)`` gathers rows of a node column when they are first read;
            :func:`take_rows` by default.
        """
        dst_ids = ops.first_ids(src_ids, adjacency.num_dst)
        idtype, num_edges = parent.idtype, adjacency.num_edges
        device = adjacency.indices.device

        def edge_columns() -> dict[str, Column]:
            if parent_eids is None:
                columns: dict[str, Column] = {
                    name: LazyColumn(partial(read, column)) for name, column in parent.edges.items()
                }
                columns[EID] = LazyColumn(
                    lambda: torch.arange(num_edges, dtype=idtype, device=device)
                )
                return columns
            return inherit(parent.edges, parent_eids.read, EID, idtype, take_rows)

        return cls(
            adjacency,
            idtype=idtype,
            src_columns=partial(
                inherit, parent.sources, lambda: src_ids, NID, idtype, take_src or take_rows
            ),
            dst_columns=partial(
                inherit, parent.destinations, lambda: dst_ids, NID, idtype, take_dst or take_rows
            ),
            edge_columns=edge_columns,
        )

    def with_frames(self, adjacency: Adjacency, change: Callable[[Frame], Frame]) -> Self:
        block = super().with_frames(adjacency, change)
        if self.seed_inverse is not None:
            block.seed_inverse = self.seed_inverse.to(adjacency.indices.device)
        return block

    def num_nodes(self) -> int:
        """Source plus destination nodes, as in DGL; a node on both sides counts twice."""
        return self.num_src_nodes() + self.num_dst_nodes()

    number_of_nodes = num_nodes

    def nodes(self) -> Tensor:
        """Ids of the destination nodes, the side that ``ndata`` describes; see also srcnodes()."""
        return self.dstnodes()

    def __repr__(self) -> str:
        return (
            f"Block(num_src_nodes={self.num_src_nodes()}, num_dst_nodes={self.num_dst_nodes()},"
            f" num_edges={self.num_edges()})"
        )


# A block may serve a backward pass later, wherever it is made.
@torch.inference_mode(False)
def to_block(
    g: Graph, dst_nodes: Any = None, include_dst_in_src: bool = True, src_nodes: Any = None
) -> Block:
    """Turn a graph into a block: its edges between renumbered sources and destinations.

    Parameters
    ----------
    g : Graph
        Usually what :func:`hopflow.sample_neighbors` or :func:`hopflow.in_subgraph` returned.
    dst_nodes : Tensor, numpy array or sequence of int, optional
        Destination nodes, in this order; every edge must enter one of them. By default the nodes
        with in-edges, in rising order.
    include_dst_in_src : bool
        Must be True: the destination nodes are the first source nodes.
    src_nodes : None
        Source nodes follow from the edges.

    Returns
    -------
    Block
        Its edges keep the ids that they have in ``g``; further source nodes are numbered in order
        of first appearance, destination by destination.

    Raises
    ------
    ValueError
        An edge enters a node outside ``dst_nodes``, or one of these is given twice.
    IndexError
        An id is not in the graph.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.to_block.html
    """
    g = require_graph(g)
    if src_nodes is not None:
        raise ValueError(f"src_nodes: expected None, got {src_nodes!r}; not supported yet")
    if not include_dst_in_src:
        raise ValueError("include_dst_in_src: expected True; False is not supported")
    adjacency = g.adjacency
    if dst_nodes is None:
        dst = torch.unique(adjacency.destinations()).long()
    else:
        dst = as_node_ids("dst_nodes", dst_nodes, g.num_nodes(), device=g.device)
    unique, _, _ = ops.compact_ids(dst, dst.new_empty(0))
    if unique.shape != dst.shape:
        raise ValueError(
            f"dst_nodes: expected distinct nodes, got {dst.shape[0] - unique.shape[0]} duplicates"
        )
    indptr, neighbors, eids = adjacency.in_edges(dst)
    if neighbors.shape[0] != adjacency.num_edges:
        raise ValueError(
            f"dst_nodes: {adjacency.num_edges - neighbors.shape[0]} of {adjacency.num_edges} edges"
            " enter a node that is not among them"
        )
    src_ids, _, local = ops.compact_ids(dst, neighbors.to(dst.dtype))
    local_adjacency = Adjacency(indptr, local, eids, src_ids.shape[0], dst.shape[0])
    return Block.from_parent(Parent.of(g), local_adjacency, src_ids, None)
