"""Parts of a graph: some nodes, some edges, or all but some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.batch_sizes import keep_sizes
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
    kept = _kept_nodes(graph, nodes)
    among = {
        relation: _edges_among(graph, relation, kept[relation[0]], kept[relation[2]])
        for relation in graph.relations
    }
    if relabel_nodes:
        return _with_columns(graph, among, _frames_of(graph, kept, store_ids), store_ids)
    edges: dict[Relation, SomeEdges] = {}
    for relation, (adjacency, eids) in among.items():
        src, dst = (x.long() for x in adjacency.coo())
        edges[relation] = kept[relation[0]][src], kept[relation[2]][dst], eids
    return parts_of(graph, edges, None, store_ids)


def induced_subgraph(graph: GraphT, nodes: Any, without: Mapping[Relation, Tensor]) -> GraphT:
    """:func:`node_subgraph` for samplers: edges by destination, as they are stored, unsorted.

    Parameters
    ----------
    graph : Graph
        A graph.
    nodes : Tensor or dict
        The nodes, each once; where there are several types a dict by type.
    without : mapping
        Ids of edges to leave out, by relation.
    """
    kept = _kept_nodes(graph, nodes)
    frames = _frames_of(graph, kept, store_ids=True)
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
    for relation, one in graph.relations.items():
        src, dst = kept[relation[0]], kept[relation[2]]
        indptr, places, eids = _induced(graph, relation, src, dst)
        gone = without.get(relation)
        if gone is not None and gone.numel():
            stays = torch.isin(eids.long(), gone.long(), invert=True)
            before = torch.zeros(stays.shape[0] + 1, dtype=torch.int64, device=stays.device)
            torch.cumsum(stays, 0, out=before[1:])
            indptr, places, eids = before[indptr], places[stays], eids[stays]
        columns = rows_of(one.edge_frame.snapshot(), eids, EID, graph.idtype)
        adjacency = Adjacency(indptr, places, None, src.shape[0], dst.shape[0])
        parts[relation] = adjacency, columns
    return type(graph).of_types(graph.schema, frames, parts, graph.idtype, like=graph)


def _kept_nodes(graph: GraphT, nodes: Any) -> dict[str, Tensor]:
    """The nodes of each type that are kept, each of which must be there once."""
    # A copy: columns are gathered later, whatever becomes of the caller's ids.
    given = {t: ids.clone() for t, ids in nodes_by_type(graph, "nodes", nodes).items()}
    none = torch.empty(0, dtype=torch.int64, device=graph.device)
    kept = {ntype: given.get(ntype, none) for ntype in graph.node_frames()}
    # Those that edges come from are looked at when these are found.
    looked_at = set() if ops.on_cuda(none) else {relation[0] for relation in graph.relations}
    for ntype, ids in kept.items():
        if ntype not in looked_at:
            _require_distinct(graph, ntype, ids)
    return kept


def _induced(
    graph: GraphT, relation: Relation, src: Tensor, dst: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """``(indptr, sources, eids)``: the edges between kept nodes by destination, sources as numbers
    among the kept."""
    adjacency = graph.relation(relation).adjacency
    rows, indptr = adjacency.row_numbers(dst)
    try:
        indptr, places, positions = ops.induced_edges(indptr, adjacency.indices, rows, src)
    except ValueError:
        _require_distinct(graph, relation[0], src)  # says which one is not
        raise
    eids = positions if adjacency.eids is None else adjacency.eids[positions]
    return indptr, places, eids


def _edges_among(
    graph: GraphT, relation: Relation, src: Tensor, dst: Tensor
) -> tuple[Adjacency, Tensor]:
    """The edges between kept nodes, by source and then by id; and these ids."""
    # A graph outlives the mode that it is made in: it must serve a backward pass later.
    with torch.inference_mode(False):
        indptr, places, eids = _induced(graph, relation, src, dst)
        places, numbers, eids = ops.number_by_source(indptr, places, eids, src.shape[0])
        return Adjacency(indptr, places, numbers, src.shape[0], dst.shape[0]), eids


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
    """The graph without some edges; the others keep their order, and a batch stays one.

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
    made = edge_subgraph(g, kept, relabel_nodes=False, store_ids=store_ids)
    keep_sizes(made, g, edges={relation: kept[relation]})
    return made


def remove_nodes(g: GraphT, nids: Any, ntype: Any = None, store_ids: bool = False) -> GraphT:
    """The graph without some nodes and their edges; a batch of graphs stays one.

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
        made = parts_of(g, edges, every, store_ids)
        keep_sizes(made, g, edges={})
        return made
    kept = {t: torch.arange(g.num_nodes(t), device=g.device) for t in g.schema.ntypes}
    kept[name] = _all_but(gone, num_nodes)
    made = node_subgraph(g, kept, store_ids=store_ids)
    keep_sizes(made, g, nodes={name: kept[name]})
    return made


def _require_distinct(graph: GraphT, ntype: str, nodes: Tensor) -> None:
    """Raise if one of the nodes is there twice."""
    if ops.compact_ids(nodes, nodes[:0])[0].shape == nodes.shape:
        return
    in_order = nodes.sort().values
    node = int(in_order[int((in_order[1:] == in_order[:-1]).nonzero()[0])])
    name = "nodes" if graph.is_homogeneous else f"nodes[{ntype!r}]"
    raise ValueError(f"{name}: expected each node once, got node {node} more than once")


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
    frames = _frames_of(graph, kept, store_ids)
    made: dict[Relation, tuple[Adjacency, Tensor]] = {}
    for relation, (src, dst, eids) in edges.items():
        num_src, num_dst = frames[relation[0]].num_rows, frames[relation[2]].num_rows
        made[relation] = Adjacency.from_coo(src, dst, num_src, num_dst), eids
    return _with_columns(graph, made, frames, store_ids)


def _with_columns(
    graph: GraphT,
    edges: Mapping[Relation, tuple[Adjacency, Tensor]],
    frames: dict[str, Frame],
    store_ids: bool,
) -> GraphT:
    """The graph of some edges, of each relation with their ids in ``graph``, and of some nodes."""
    eid = EID if store_ids else None
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
    for relation, (adjacency, eids) in edges.items():
        columns = graph.relation(relation).edge_frame.snapshot()
        parts[relation] = adjacency, rows_of(columns, eids, eid, graph.idtype)
    made = type(graph).of_types(graph.schema, frames, parts, graph.idtype, like=graph)
    for relation, one in made.relations.items():
        one.edge_frame.fill_as(graph.relation(relation).edge_frame)
    return made


def _frames_of(
    graph: GraphT, kept: Mapping[str, Tensor] | None, store_ids: bool
) -> dict[str, Frame]:
    """The node columns of each type at the nodes kept; None for all, as they are."""
    frames: dict[str, Frame] = {}
    for ntype, frame in graph.node_frames().items():
        if kept is None:
            frames[ntype] = frame.copy()
            continue
        nid = NID if store_ids else None
        columns = rows_of(frame.snapshot(), kept[ntype], nid, graph.idtype)
        rows = Frame(kept[ntype].shape[0], node_name(ntype), graph.device, columns)
        frames[ntype] = rows.fill_as(frame)
    return frames
