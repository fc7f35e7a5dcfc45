"""The edges around some nodes: those that enter or that leave them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.frame import EID, inherit
from hopflow.structure.graph_base import GraphT, require_graph, require_here
from hopflow.structure.lazy_column import LazyColumn
from hopflow.structure.types import Relation
from hopflow.transforms.by_type import change_relations
from hopflow.transforms.subgraph import SomeEdges, parts_of


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
    nodes : Tensor, numpy array, sequence of int, boolean mask or dict
        Destinations to keep; duplicates count once. Where there are several types a dict by type.
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
    nodes : Tensor, numpy array, sequence of int, boolean mask or dict
        Sources to keep; duplicates count once. Where there are several types a dict by type.
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
    given = nodes_by_type(graph, "nodes", nodes)
    near = 2 if edge_dir == "in" else 0
    made: dict[Relation, GraphT] = {}
    for relation, one in graph.relations.items():
        if relation[near] not in given:  # what its out-edges need is not made for nothing
            made[relation] = without_edges(one)
            continue
        these = given[relation[near]]
        these, _, _ = ops.compact_ids(these, these[:0])
        edges = one.adjacency.in_edges if edge_dir == "in" else one.adjacency.out_edges
        indptr, neighbors, eids = edges(these)
        rows = graph_of_rows(one, these, indptr, neighbors, LazyColumn.of(eids), edge_dir)
        made[relation] = rows
    if relabel_nodes:
        return _relabeled(graph, made, store_ids)
    if not store_ids:
        for one in made.values():
            del one.edge_frame[EID]
    return change_relations(graph, lambda relation, _: made[relation])


def _relabeled(graph: GraphT, made: Mapping[Relation, GraphT], store_ids: bool) -> GraphT:
    """The graph of the edges in ``made``, and of the nodes only their ends, in rising order."""
    ends: dict[str, list[Tensor]] = {}
    edges: dict[Relation, SomeEdges] = {}
    for relation, one in made.items():
        src, dst = (x.long() for x in one.adjacency.coo())
        edges[relation] = src, dst, one.edge_frame[EID].long()
        ends.setdefault(relation[0], []).append(src)
        ends.setdefault(relation[2], []).append(dst)
    none = [torch.empty(0, dtype=torch.int64, device=graph.device)]
    kept = {t: torch.unique(torch.cat(ends.get(t, none))) for t in graph.schema.ntypes}
    for relation, (src, dst, eids) in edges.items():
        src = torch.searchsorted(kept[relation[0]], src)
        edges[relation] = src, torch.searchsorted(kept[relation[2]], dst), eids
    return parts_of(graph, edges, kept, store_ids)


def without_edges(graph: GraphT) -> GraphT:
    """All nodes of a graph of one relation and none of its edges; O(1)."""
    none = torch.empty(0, dtype=torch.int64, device=graph.device)
    return graph_of_rows(graph, none, none.new_zeros(1), none, LazyColumn.of(none), "in")


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
        A graph of one relation.
    nodes : Tensor
        The nodes, distinct, shape [R].
    indptr, neighbors : Tensor
        Edges of each: int64, shape [R + 1], and the node at their other end, shape [E].
    eids : LazyColumn
        The graph's id of each edge, shape [E].
    edge_dir : {"in", "out"}
        Whether these edges enter or leave ``nodes``.
    """
    num_src, num_dst = graph.num_src_nodes(), graph.num_dst_nodes()
    if edge_dir == "in":
        adjacency = Adjacency(indptr, neighbors, None, num_src, num_dst, rows=nodes)
    else:
        # Grouped by source; stored by destination, of which there is a row for those that occur.
        sources = ops.gather_rows(nodes, ops.destinations(indptr, neighbors.shape[0], nodes.dtype))
        rows, _, local = ops.compact_ids(neighbors[:0], neighbors)
        by_row = ops.coo_to_csc(
            sources.to(neighbors.dtype), local.to(neighbors.dtype), num_src, rows.shape[0]
        )
        adjacency = Adjacency(*by_row, num_src, num_dst, rows=rows)
    columns = inherit(graph.edge_frame.snapshot(), eids.read, EID, graph.idtype)
    return graph.derived(adjacency, edge_columns=columns)
