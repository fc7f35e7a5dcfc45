"""Graphs made from graphs: reverse edges, self-loops, in-edge subgraphs, blocks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hopflow import ops
from hopflow.adjacency import Adjacency
from hopflow.block import Block, Parent
from hopflow.frame import EID, NID, Frame, LazyColumn, inherit
from hopflow.graph import Graph
from hopflow.ids import as_node_ids
from hopflow.pools import EdgePool, pool_of


def _require_graph(graph: object) -> Graph:
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a hopflow.Graph, got {type(graph).__name__}")
    if graph.is_block:
        raise ValueError("graph: expected a graph, got a block")
    return graph


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
    _require_none("etype", etype)
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
    _require_none("etype", etype)
    src, dst = g.adjacency.coo()
    kept = (src != dst).nonzero().squeeze(1)
    made = _derived(g, src[kept], dst[kept])
    for key in g.edata:
        made.edata[key] = ops.gather_rows(g.edata[key], kept)
    return made


def in_subgraph(
    graph: Graph,
    nodes: Any,
    *,
    relabel_nodes: bool = False,
    store_ids: bool = True,
    output_device: Any = None,
) -> Graph:
    """The graph with only the edges that enter ``nodes``.

    Parameters
    ----------
    graph : Graph
        A graph.
    nodes : Tensor, numpy array, sequence of int or boolean mask
        Destinations to keep; duplicates count once.
    relabel_nodes : bool
        Keep only the nodes that have an edge left, renumbered in rising order, and note their old
        ids in ``ndata[hopflow.NID]``.
    store_ids : bool
        Note the old id of each edge in ``edata[hopflow.EID]``.
    output_device : None
        The result is where the graph is.

    Returns
    -------
    Graph
        Edges come grouped by destination, in the order of ``nodes``.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.in_subgraph.html
    """
    return _edge_subgraph(graph, nodes, "in", relabel_nodes, store_ids, output_device)


def out_subgraph(
    graph: Graph,
    nodes: Any,
    *,
    relabel_nodes: bool = False,
    store_ids: bool = True,
    output_device: Any = None,
) -> Graph:
    """The graph with only the edges that leave ``nodes``.

    Parameters
    ----------
    graph : Graph
        A graph. Its out-edges are made when first asked for, O(E), and kept.
    nodes : Tensor, numpy array, sequence of int or boolean mask
        Sources to keep; duplicates count once.
    relabel_nodes, store_ids, output_device
        As in :func:`in_subgraph`.

    Returns
    -------
    Graph
        Edges come grouped by source, in the order of ``nodes``.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.out_subgraph.html
    """
    return _edge_subgraph(graph, nodes, "out", relabel_nodes, store_ids, output_device)


def _edge_subgraph(
    graph: Graph, nodes: Any, edge_dir: str, relabel_nodes: bool, store_ids: bool, device: Any
) -> Graph:
    """The graph with only the edges that enter or leave ``nodes``."""
    graph = _require_graph(graph)
    _require_none("output_device", device)
    seeds = as_node_ids("nodes", nodes, graph.num_nodes(), device=graph.device)
    pool = pool_of(graph.adjacency, edge_dir=edge_dir)
    made = subgraph_of_seeds(graph, seeds, -1, pool=pool, edge_dir=edge_dir)
    if not store_ids:
        del made.edata[EID]
    if not relabel_nodes:
        return made
    src, dst = made.adjacency.coo()
    kept = torch.unique(torch.cat([src, dst.to(src.dtype)]))
    src, dst = torch.searchsorted(kept, src), torch.searchsorted(kept, dst.to(src.dtype))
    small = Graph(Adjacency.from_coo(src, dst, kept.shape[0], kept.shape[0]), idtype=graph.idtype)
    columns = inherit(graph.ndata.snapshot(), lambda: kept, NID, graph.idtype)
    small._src_frame = small._dst_frame = Frame(kept.shape[0], "node", graph.device, columns)
    small._edge_frame = made.edata
    return small


def subgraph_of_seeds(
    graph: Graph,
    seeds: Tensor,
    fanout: int,
    *,
    pool: EdgePool,
    edge_dir: str = "in",
    replace: bool = False,
    key: int = 0,
    excluded: Tensor | None = None,
) -> Graph:
    """The graph's nodes with at most ``fanout`` edges of each seed; work O(edges kept).

    ``pool`` holds the in-edges or, with ``edge_dir`` "out", the out-edges to choose from.
    """
    num_nodes = graph.num_nodes()
    seeds, _, _ = ops.compact_ids(seeds, seeds.new_empty(0))
    indptr, neighbors, positions = pool.sample(
        seeds, fanout, key=key, replace=replace, excluded=excluded
    )
    if edge_dir == "in":
        adjacency = Adjacency(indptr, neighbors, None, num_nodes, num_nodes, rows=seeds)
    else:
        # Grouped by source; stored by destination, of which there is a row for those that occur.
        sources = ops.gather_rows(seeds, ops.destinations(indptr, neighbors.shape[0], seeds.dtype))
        rows, _, local = ops.compact_ids(neighbors[:0], neighbors)
        by_row = ops.coo_to_csc(
            sources.to(neighbors.dtype), local.to(neighbors.dtype), num_nodes, rows.shape[0]
        )
        adjacency = Adjacency(*by_row, num_nodes, num_nodes, rows=rows)
    made = Graph(adjacency, idtype=graph.idtype)
    made._src_frame = made._dst_frame = graph.ndata.copy()
    eids = LazyColumn(partial(pool.eids_at, positions))
    columns = inherit(graph.edata.snapshot(), eids.read, EID, graph.idtype)
    made._edge_frame = Frame(made.num_edges(), "edge", graph.device, columns)
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
