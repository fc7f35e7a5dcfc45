"""Parts of a graph: some nodes, some edges, or all but some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.by_type import edges_by_type, nodes_by_type
from hopflow.structure.frame import EID, NID, Columns, Frame, rows_of
from hopflow.structure.graph_base import GraphT, require_graph, require_here
from hopflow.structure.ids import as_edge_ids, as_node_ids
from hopflow.structure.relations import node_name
from hopflow.structure.types import Relation

SomeEdges: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""``(sources, destinations, ids in the graph that they are of)``."""


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
    nodes : Tensor, numpy array, sequence of int, boolean mask or dict
        The nodes, each once; where there are several types a dict by type, and of a type left out
        there are none.
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
    given = {t: ids.clone() for t, ids in nodes_by_type(graph, "nodes", nodes).items()}
    none = torch.empty(0, dtype=torch.int64, device=graph.device)
    kept = {
        t: _Kept.of(
            "nodes" if graph.is_homogeneous else f"nodes[{t!r}]", given.get(t, none), f.num_rows
        )
        for t, f in graph.node_frames().items()
    }
    edges = {
        relation: _edges_among(one.adjacency, kept[relation[0]], kept[relation[2]])
        for relation, one in graph.relations.items()
    }
    if relabel_nodes:
        ids = {ntype: of_type.ids for ntype, of_type in kept.items()}
        return parts_of(graph, edges, ids, store_ids)
    for relation, (src, dst, eids) in edges.items():
        edges[relation] = kept[relation[0]].ids[src], kept[relation[2]].ids[dst], eids
    return parts_of(graph, edges, None, store_ids)


class _Kept(NamedTuple):
    """The nodes of a type that are kept, and the same sorted, with where each was."""

    ids: Tensor
    in_order: Tensor
    order: Tensor
    num_nodes: int

    @classmethod
    def of(cls, name: str, ids: Tensor, num_nodes: int) -> _Kept:
        in_order, order = ids.sort()
        _require_distinct(name, in_order)
        return cls(ids, in_order, order, num_nodes)


def _edges_among(adjacency: Adjacency, sources: _Kept, destinations: _Kept) -> SomeEdges:
    """The edges between kept nodes, by source and then by id; ends as numbers among the kept."""
    indptr, src, eids = adjacency.in_edges(destinations.ids)
    dst = ops.destinations(indptr, src.shape[0], torch.int64)
    src = _numbers_among(sources, src.long())
    among = (src >= 0).nonzero().squeeze(1)
    src, dst, eids = src[among], dst[among], eids[among].long()
    by_source = torch.argsort(eids)
    by_source = by_source[torch.argsort(src[by_source], stable=True)]
    return src[by_source], dst[by_source], eids[by_source]


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
    edges : Tensor, numpy array, sequence of int, boolean mask or dict
        The edges; one that is given twice is there twice. Where there are several types a dict by
        type, and of a type left out there are none.
    relabel_nodes : bool
        Keep only the ends of ``edges``, numbered in order of first appearance among the sources,
        then among the destinations, relation by relation; otherwise the result has all nodes of
        ``graph``.
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
    given = edges_by_type(graph, "edges", edges)
    none = torch.empty(0, dtype=torch.int64, device=graph.device)
    some: dict[Relation, SomeEdges] = {}
    for relation, one in graph.relations.items():
        eids = given.get(relation, none).clone()
        some[relation] = (*one.adjacency.ends(eids), eids)
    if not relabel_nodes:
        return parts_of(graph, some, None, store_ids)
    kept = dict.fromkeys(graph.node_frames(), none)
    for relation, (src, dst, eids) in some.items():
        kept[relation[0]], _, src = ops.compact_ids(kept[relation[0]], src)
        kept[relation[2]], _, dst = ops.compact_ids(kept[relation[2]], dst)
        some[relation] = src.long(), dst.long(), eids
    return parts_of(graph, some, kept, store_ids)


def remove_edges(g: GraphT, eids: Any, etype: Any = None, store_ids: bool = False) -> GraphT:
    """The graph without some edges; the others keep their order.

    Parameters
    ----------
    g : Graph
        A graph.
    eids : Tensor, numpy array, sequence of int or boolean mask
        Edges to leave out; duplicates count once.
    etype : str or tuple, optional
        Which edges, where there are several types.
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
    relation = g.schema.relation(etype)
    num_edges = g.num_edges(relation)
    gone = as_edge_ids("eids", eids, num_edges, device=g.device)
    kept = {name: torch.arange(g.num_edges(name), device=g.device) for name in g.schema.relations}
    kept[relation] = _all_but(gone, num_edges)
    return edge_subgraph(g, kept, relabel_nodes=False, store_ids=store_ids)


def remove_nodes(g: GraphT, nids: Any, ntype: Any = None, store_ids: bool = False) -> GraphT:
    """The graph without some nodes and their edges.

    Parameters
    ----------
    g : Graph
        A graph.
    nids : Tensor, numpy array, sequence of int or boolean mask
        Nodes to leave out; duplicates count once.
    ntype : str, optional
        Which nodes, where there are several types.
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
    name = g.schema.ntype(ntype)
    num_nodes = g.num_nodes(name)
    gone = as_node_ids("nids", nids, num_nodes, device=g.device)
    if gone.numel() == 0:
        every = {t: torch.arange(g.num_nodes(t), device=g.device) for t in g.schema.ntypes}
        edges = {
            relation: (*one.adjacency.coo(), torch.arange(one.num_edges(), device=g.device))
            for relation, one in g.relations.items()
        }
        return parts_of(g, edges, every, store_ids)
    kept = {t: torch.arange(g.num_nodes(t), device=g.device) for t in g.schema.ntypes}
    kept[name] = _all_but(gone, num_nodes)
    return node_subgraph(g, kept, store_ids=store_ids)


def _require_distinct(name: str, in_order: Tensor) -> None:
    """Raise if one of the nodes, given in rising order, is there twice."""
    repeated = (in_order[1:] == in_order[:-1]).nonzero()
    if repeated.numel():
        node = int(in_order[int(repeated[0])])
        raise ValueError(f"{name}: expected each node once, got node {node} more than once")


def _numbers_among(kept: _Kept, nodes: Tensor) -> Tensor:
    """Where each of ``nodes`` is among the kept ones, -1 for those that are not; int64."""
    if nodes.shape[0] >= kept.num_nodes:  # A table of all nodes costs less than searching then.
        table = torch.full((kept.num_nodes,), -1, dtype=torch.int64, device=nodes.device)
        table[kept.in_order.long()] = kept.order
        return table[nodes]
    if kept.in_order.numel() == 0:
        return torch.full_like(nodes, -1)
    in_order = kept.in_order.long()
    at = torch.searchsorted(in_order, nodes).clamp_(max=in_order.shape[0] - 1)
    return torch.where(in_order[at] == nodes, kept.order[at], -1)


def _all_but(gone: Tensor, count: int) -> Tensor:
    """The ids below ``count`` that are not ``gone``, in rising order."""
    stays = torch.ones(count, dtype=torch.bool, device=gone.device)
    stays[gone.long()] = False
    return stays.nonzero().squeeze(1)


def parts_of(
    graph: GraphT,
    edges: Mapping[Relation, SomeEdges],
    kept: Mapping[str, Tensor] | None,
    store_ids: bool,
) -> GraphT:
    """The graph of some edges, with the columns of ``graph`` at their ids.

    Parameters
    ----------
    graph : Graph
        A graph.
    edges : mapping
        Edges of every relation.
    kept : mapping or None
        Nodes of every type, whose columns it has; None for all, as they are.
    store_ids : bool
        Note the ids in ``graph`` of edges and, if not all are kept, of nodes.
    """
    frames: dict[str, Frame] = {}
    for ntype, frame in graph.node_frames().items():
        if kept is None:
            frames[ntype] = frame.copy()
            continue
        nid = NID if store_ids else None
        columns = rows_of(frame.snapshot(), kept[ntype], nid, graph.idtype)
        rows = Frame(kept[ntype].shape[0], node_name(ntype), graph.device, columns)
        frames[ntype] = rows.fill_as(frame)
    eid = EID if store_ids else None
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
    for relation, (src, dst, eids) in edges.items():
        num_src, num_dst = frames[relation[0]].num_rows, frames[relation[2]].num_rows
        columns = graph.relation(relation).edge_frame.snapshot()
        parts[relation] = (
            Adjacency.from_coo(src, dst, num_src, num_dst),
            rows_of(columns, eids, eid, graph.idtype),
        )
    made = type(graph).of_types(graph.schema, frames, parts, graph.idtype, like=graph)
    for relation, one in made.relations.items():
        one.edge_frame.fill_as(graph.relation(relation).edge_frame)
    return made
