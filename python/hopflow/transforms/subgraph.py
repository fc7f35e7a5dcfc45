"""Parts of a graph: some nodes, some edges, the edges around some nodes, or all but some."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import EID, NID, Frame, LazyColumn, inherit, rows_of
from hopflow.structure.graph_base import GraphT, require_graph, require_here
from hopflow.structure.ids import as_edge_ids, as_node_ids
from hopflow.structure.types import require_etype, require_ntype


def node_subgraph(
    graph: GraphT,
    nodes: Any,
    *,
    relabel_nodes: bool = True,
    store_ids: bool = True,
    output_device: Any = None,
) -> GraphT:
    """The graph of ``nodes`` and the edges among them. Also ``graph.subgraph(nodes)``.

    Work grows with the in-edges of ``nodes``.

    Parameters
    ----------
    graph : Graph
        A graph.
    nodes : Tensor, numpy array, sequence of int or boolean mask
        The nodes, each once.
    relabel_nodes : bool
        Number the result's nodes as they come in ``nodes``; otherwise it has all nodes of
        ``graph``, and only edges are left out.
    store_ids : bool
        Note the old ids in ``edata[hopflow.EID]`` and, where nodes have new ones, in
        ``ndata[hopflow.NID]``.
    output_device : str or torch.device, optional
        The graph's; results are where the graph is.

    Returns
    -------
    Graph
        Edges come grouped by source, in the order of ``nodes``, and by rising old id within it.
        Columns are gathered when they are first read.

    Raises
    ------
    IndexError
        A node that the graph does not have.
    ValueError
        A node given twice.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.node_subgraph.html
    """
    graph = require_graph(graph)
    require_here(graph, output_device)
    # A copy: columns are gathered later, whatever becomes of the caller's ids.
    kept = as_node_ids("nodes", nodes, graph.num_nodes(), device=graph.device).clone()
    in_order, order = kept.sort()
    _require_distinct(in_order)
    indptr, src, eids = graph.adjacency.in_edges(kept)
    dst = ops.destinations(indptr, src.shape[0], torch.int64)
    src = _numbers_among(in_order, order, src.long(), graph.num_nodes())
    among = (src >= 0).nonzero().squeeze(1)
    src, dst, eids = src[among], dst[among], eids[among].long()
    by_source = torch.argsort(eids)
    by_source = by_source[torch.argsort(src[by_source], stable=True)]
    src, dst, eids = src[by_source], dst[by_source], eids[by_source]
    if relabel_nodes:
        return part_of(graph, src, dst, eids, kept, store_ids)
    return part_of(graph, kept[src], kept[dst], eids, None, store_ids)


def edge_subgraph(
    graph: GraphT,
    edges: Any,
    *,
    relabel_nodes: bool = True,
    store_ids: bool = True,
    output_device: Any = None,
) -> GraphT:
    """The graph of ``edges`` and their ends. Also ``graph.edge_subgraph(edges)``.

    Parameters
    ----------
    graph : Graph
        A graph.
    edges : Tensor, numpy array, sequence of int or boolean mask
        The edges; one that is given twice is there twice.
    relabel_nodes : bool
        Keep only the ends of ``edges``, numbered in order of first appearance among the sources,
        then among the destinations; otherwise the result has all nodes of ``graph``.
    store_ids, output_device
        As in :func:`node_subgraph`.

    Returns
    -------
    Graph
        Edge ``i`` is ``edges[i]``. Columns are gathered when they are first read.

    Raises
    ------
    IndexError
        An edge that the graph does not have.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.edge_subgraph.html
    """
    graph = require_graph(graph)
    require_here(graph, output_device)
    eids = as_edge_ids("edges", edges, graph.num_edges(), device=graph.device).clone()
    src, dst = graph.adjacency.ends(eids)
    if not relabel_nodes:
        return part_of(graph, src, dst, eids, None, store_ids)
    kept, _, local = ops.compact_ids(src[:0], torch.cat([src, dst]))
    local = local.long()
    return part_of(graph, local[: src.shape[0]], local[src.shape[0] :], eids, kept, store_ids)


def remove_edges(g: GraphT, eids: Any, etype: Any = None, store_ids: bool = False) -> GraphT:
    """The graph without some edges; the others keep their order.

    Parameters
    ----------
    g : Graph
        A graph.
    eids : Tensor, numpy array, sequence of int or boolean mask
        Edges to leave out; duplicates count once.
    etype : None
        There is one type of edges.
    store_ids : bool
        Note the old ids of the edges left in ``edata[hopflow.EID]``.

    Raises
    ------
    IndexError
        An edge that the graph does not have.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.remove_edges.html
    """
    g = require_graph(g)
    require_etype(etype)
    gone = as_edge_ids("eids", eids, g.num_edges(), device=g.device)
    kept = _all_but(gone, g.num_edges())
    return edge_subgraph(g, kept, relabel_nodes=False, store_ids=store_ids)


def remove_nodes(g: GraphT, nids: Any, ntype: Any = None, store_ids: bool = False) -> GraphT:
    """The graph without some nodes and their edges.

    Parameters
    ----------
    g : Graph
        A graph.
    nids : Tensor, numpy array, sequence of int or boolean mask
        Nodes to leave out; duplicates count once.
    ntype : None
        There is one type of nodes.
    store_ids : bool
        Note the old ids in ``ndata[hopflow.NID]`` and ``edata[hopflow.EID]``.

    Returns
    -------
    Graph
        As :func:`node_subgraph` of the nodes left, in rising order; if none is to go, edges stay
        as they are.

    Raises
    ------
    IndexError
        A node that the graph does not have.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.remove_nodes.html
    """
    g = require_graph(g)
    require_ntype(ntype)
    gone = as_node_ids("nids", nids, g.num_nodes(), device=g.device)
    if gone.numel() == 0:
        everything = torch.arange(g.num_nodes(), device=g.device)
        src, dst = g.adjacency.coo()
        eids = torch.arange(g.num_edges(), device=g.device)
        return part_of(g, src, dst, eids, everything, store_ids)
    return node_subgraph(g, _all_but(gone, g.num_nodes()), store_ids=store_ids)


def _require_distinct(in_order: Tensor) -> None:
    """Raise if one of the nodes, given in rising order, is there twice."""
    repeated = (in_order[1:] == in_order[:-1]).nonzero()
    if repeated.numel():
        node = int(in_order[int(repeated[0])])
        raise ValueError(f"nodes: expected each node once, got node {node} more than once")


def _numbers_among(in_order: Tensor, order: Tensor, nodes: Tensor, num_nodes: int) -> Tensor:
    """Where each of ``nodes`` is among the kept ones, -1 for those that are not; int64.

    ``in_order`` are the kept nodes sorted, ``order`` says where each was.
    """
    if nodes.shape[0] >= num_nodes:  # A table of all nodes costs less than searching then.
        table = torch.full((num_nodes,), -1, dtype=torch.int64, device=nodes.device)
        table[in_order.long()] = order
        return table[nodes]
    if in_order.numel() == 0:
        return torch.full_like(nodes, -1)
    in_order = in_order.long()
    at = torch.searchsorted(in_order, nodes).clamp_(max=in_order.shape[0] - 1)
    return torch.where(in_order[at] == nodes, order[at], -1)


def _all_but(gone: Tensor, count: int) -> Tensor:
    """The ids below ``count`` that are not ``gone``, in rising order."""
    stays = torch.ones(count, dtype=torch.bool, device=gone.device)
    stays[gone.long()] = False
    return stays.nonzero().squeeze(1)


def part_of(
    graph: GraphT, src: Tensor, dst: Tensor, eids: Tensor, kept: Tensor | None, store_ids: bool
) -> GraphT:
    """The graph of these edges, with the columns of ``graph`` at ``eids`` and ``kept`` (or all)."""
    num_nodes = graph.num_nodes() if kept is None else kept.shape[0]
    nodes = None
    if kept is not None:
        nid = NID if store_ids else None
        columns = rows_of(graph.ndata.snapshot(), kept, nid, graph.idtype)
        nodes = Frame(num_nodes, "node", graph.device, columns)
    eid = EID if store_ids else None
    return graph.derived(
        Adjacency.from_coo(src, dst, num_nodes, num_nodes),
        nodes=nodes,
        edge_columns=rows_of(graph.edata.snapshot(), eids, eid, graph.idtype),
    )


def in_subgraph(
    graph: GraphT,
    nodes: Any,
    *,
    relabel_nodes: bool = False,
    store_ids: bool = True,
    output_device: Any = None,
) -> GraphT:
    """The graph with only the edges that enter ``nodes``.

    Parameters
    ----------
    graph : Graph
        A graph.
    nodes : Tensor, numpy array, sequence of int or boolean mask
        Destinations to keep; duplicates count once.
    relabel_nodes : bool
        Keep only the nodes that have an edge left, renumbered in rising order.
    store_ids : bool
        Note the old ids of edges in ``edata[hopflow.EID]`` and, where nodes have new ones, of nodes
        in ``ndata[hopflow.NID]``.
    output_device : str or torch.device, optional
        The graph's; results are where the graph is.

    Returns
    -------
    Graph
        Edges come grouped by destination, in the order of ``nodes``.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.in_subgraph.html
    """
    return _edges_around(graph, nodes, "in", relabel_nodes, store_ids, output_device)


def out_subgraph(
    graph: GraphT,
    nodes: Any,
    *,
    relabel_nodes: bool = False,
    store_ids: bool = True,
    output_device: Any = None,
) -> GraphT:
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
    return _edges_around(graph, nodes, "out", relabel_nodes, store_ids, output_device)


def _edges_around(
    graph: GraphT, nodes: Any, edge_dir: str, relabel_nodes: bool, store_ids: bool, device: Any
) -> GraphT:
    """The graph with only the edges that enter or leave ``nodes``."""
    graph = require_graph(graph)
    require_here(graph, device)
    given = as_node_ids("nodes", nodes, graph.num_nodes(), device=graph.device)
    given, _, _ = ops.compact_ids(given, given[:0])
    edges = graph.adjacency.in_edges if edge_dir == "in" else graph.adjacency.out_edges
    indptr, neighbors, eids = edges(given)
    made = graph_of_rows(graph, given, indptr, neighbors, LazyColumn.of(eids), edge_dir)
    if relabel_nodes:
        src, dst = (x.long() for x in made.adjacency.coo())
        kept = torch.unique(torch.cat([src, dst]))
        src, dst = torch.searchsorted(kept, src), torch.searchsorted(kept, dst)
        return part_of(graph, src, dst, made.edata[EID].long(), kept, store_ids)
    if not store_ids:
        del made.edata[EID]
    return made


def graph_of_rows(
    graph: GraphT,
    nodes: Tensor,
    indptr: Tensor,
    neighbors: Tensor,
    eids: LazyColumn,
    edge_dir: str,
) -> GraphT:
    """All nodes of ``graph`` with some of its edges, those of a few nodes; O(their number).

    Parameters
    ----------
    graph : Graph
        A graph.
    nodes : Tensor
        The nodes, distinct, shape [R].
    indptr, neighbors : Tensor
        Edges of each: int64, shape [R + 1], and the node at their other end, shape [E].
    eids : LazyColumn
        The graph's id of each edge, shape [E].
    edge_dir : {"in", "out"}
        Whether these edges enter or leave ``nodes``.
    """
    num_nodes = graph.num_nodes()
    if edge_dir == "in":
        adjacency = Adjacency(indptr, neighbors, None, num_nodes, num_nodes, rows=nodes)
    else:
        # Grouped by source; stored by destination, of which there is a row for those that occur.
        sources = ops.gather_rows(nodes, ops.destinations(indptr, neighbors.shape[0], nodes.dtype))
        rows, _, local = ops.compact_ids(neighbors[:0], neighbors)
        by_row = ops.coo_to_csc(
            sources.to(neighbors.dtype), local.to(neighbors.dtype), num_nodes, rows.shape[0]
        )
        adjacency = Adjacency(*by_row, num_nodes, num_nodes, rows=rows)
    columns = inherit(graph.edata.snapshot(), eids.read, EID, graph.idtype)
    return graph.derived(adjacency, edge_columns=columns)
