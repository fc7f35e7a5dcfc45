"""Graphs made from graphs: reverse edges, self-loops, blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hopflow import ops
from hopflow.graphs.block import Block, Parent
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.edge_lookup import require_etype
from hopflow.structure.frame import EID, Frame
from hopflow.structure.ids import as_node_ids


def _require_graph(graph: object) -> Graph:
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a hopflow.Graph, got {type(graph).__name__}")
    if graph.is_block:
        raise ValueError("graph: expected a graph, got a block")
    return graph


def _require_here(graph: Graph, output_device: Any) -> None:
    """Raise for a device that is not the graph's: results are where the graph is."""
    if output_device is None:
        return
    wanted = torch.device(output_device)
    if wanted.type != graph.device.type or wanted.index not in (None, graph.device.index):
        raise ValueError(
            f"output_device: expected None or the graph's, {graph.device}, got {output_device!r};"
            " move the result"
        )


def _require_none(name: str, value: object) -> None:
    """Raise for an option of DGL's that is not supported yet."""
    if value is not None:
        raise ValueError(f"{name}: expected None, got {value!r}; not supported yet")


def _derived(graph: Graph, src: Tensor, dst: Tensor) -> Graph:
    """A graph with the same nodes and node columns and other edges."""
    adjacency = Adjacency.from_coo(src, dst, graph.num_nodes(), graph.num_nodes())
    made = Graph(adjacency, idtype=graph.idtype)
    made._src_frame = made._dst_frame = graph.ndata.copy()
    return made


def add_reverse_edges(
    g: Graph,
    readonly: bool | None = None,
    copy_ndata: bool = True,
    copy_edata: bool = False,
    ignore_bipartite: bool = False,
    exclude_self: bool = True,
) -> Graph:
    """Add the reverse of every edge; the new edges come last, in the order of the old ones.

    Parameters
    ----------
    g : Graph
        A graph.
    readonly, ignore_bipartite : optional
        Accepted for DGL's sake and without effect.
    copy_ndata : bool
        Keep the node columns.
    copy_edata : bool
        Keep the edge columns, a reverse edge taking its original's, and note the original of each
        edge in ``edata[hopflow.EID]``.
    exclude_self : bool
        Leave self-loops single.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.add_reverse_edges.html
    """
    g = _require_graph(g)
    src, dst = g.adjacency.coo()
    back: slice | Tensor = (src != dst).nonzero().squeeze(1) if exclude_self else slice(None)
    made = _derived(g, torch.cat([src, dst[back]]), torch.cat([dst, src[back]]))
    if not copy_ndata:
        made._src_frame = made._dst_frame = Frame(made.num_nodes(), "node", made.device)
    if copy_edata:
        eids = torch.arange(g.num_edges(), device=g.device)
        origin = torch.cat([eids, eids[back]])
        for key in g.edata:
            made.edata[key] = ops.gather_rows(g.edata[key], origin)
        made.edata[EID] = origin.to(g.idtype)
    return made


def add_self_loop(
    g: Graph,
    edge_feat_names: Sequence[str] | None = None,
    fill_data: float = 1.0,
    etype: str | None = None,
) -> Graph:
    """Add a self-loop to every node, after the other edges; existing self-loops stay.

    Parameters
    ----------
    g : Graph
        A graph.
    edge_feat_names : sequence of str, optional
        Edge columns to keep; all by default.
    fill_data : float
        What the new edges get in them.
    etype : None
        There is one edge type.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.add_self_loop.html
    """
    g = _require_graph(g)
    require_etype(etype)
    src, dst = g.adjacency.coo()
    nodes = torch.arange(g.num_nodes(), dtype=src.dtype, device=g.device)
    made = _derived(g, torch.cat([src, nodes]), torch.cat([dst, nodes]))
    for key in g.edata if edge_feat_names is None else edge_feat_names:
        column = g.edata[key]
        made.edata[key] = torch.cat(
            [column, column.new_full((g.num_nodes(), *column.shape[1:]), fill_data)]
        )
    return made


def remove_self_loop(g: Graph, etype: str | None = None) -> Graph:
    """Drop every self-loop; the other edges and all columns keep their order.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.remove_self_loop.html
    """
    g = _require_graph(g)
    require_etype(etype)
    src, dst = g.adjacency.coo()
    kept = (src != dst).nonzero().squeeze(1)
    made = _derived(g, src[kept], dst[kept])
    for key in g.edata:
        made.edata[key] = ops.gather_rows(g.edata[key], kept)
    return made


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
    g = _require_graph(g)
    _require_none("src_nodes", src_nodes)
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


Graph.add_self_loop = add_self_loop
Graph.remove_self_loop = remove_self_loop
