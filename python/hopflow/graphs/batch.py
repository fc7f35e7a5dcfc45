"""Many graphs as one, and taken apart again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.batch_sizes import (
    checked_sizes,
    edge_sizes,
    node_sizes,
    offsets,
    owners,
    same_number,
)
from hopflow.structure.by_type import ids_by_relation
from hopflow.structure.frame import EID, NID, Column, Columns, Frame, read
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph
from hopflow.structure.relations import edge_name, node_name
from hopflow.structure.types import ALL, Relation, Schema, is_all, told


def batch(graphs: Iterable[Graph], ndata: Any = ALL, edata: Any = ALL) -> Graph:
    """One graph of many, no two of which an edge joins; edges keep their order.

    The nodes of each type are those of the first graph, then those of the second, and so on, and so
    are the edges of each relation. Work and memory are linear in the graphs' size; nothing is
    sorted. :func:`unbatch` takes it apart; :func:`readout_nodes` and its kin, and the layers of
    :mod:`hopflow.nn.pooling`, compute a row for each graph.

    Parameters
    ----------
    graphs : iterable of Graph
        At least one, of the same node types and relations, on one device, with ids of one dtype. A
        batch among them counts as the graphs that it holds.
    ndata, edata : list of str or None, optional
        Columns to concatenate, of every type; None: none of them. By default all, which all graphs
        must have alike. Graphs without nodes (or edges) of a type need not have its columns.

    Returns
    -------
    Graph
        ``g.batch_size`` graphs; ``g.batch_num_nodes()`` and ``g.batch_num_edges()`` are their
        sizes.

    Raises
    ------
    ValueError
        No graph, blocks, graphs that differ as said above, or a column that not all of them have.
    TypeError
        Something else than graphs, or column names that are no list of str.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.batch.html
    """
    given = graphs_alike(graphs)
    for name, keys in (("ndata", ndata), ("edata", edata)):
        is_list = isinstance(keys, (list, tuple)) and all(isinstance(key, str) for key in keys)
        if not (keys is None or is_all(keys) or is_list):
            raise TypeError(f"{name}: expected a list of column names or None, got {keys!r}")
    first = given[0]
    # Looked up once for each graph: mini-batches are of many small ones.
    all_frames, all_relations = [g.node_frames() for g in given], [g.relations for g in given]
    frames, nodes, edges = {}, {}, {}
    for ntype in first.schema.ntypes:
        of_type = [by_type[ntype] for by_type in all_frames]
        columns = _joined_columns(of_type, ndata, "ndata", node_name(ntype))
        counts = [frame.num_rows for frame in of_type]
        frames[ntype] = Frame(sum(counts), node_name(ntype), first.device, columns)
        nodes[ntype] = _sizes(given, node_sizes, ntype, counts)
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
    for relation in first.schema.relations:
        ones = [by_relation[relation] for by_relation in all_relations]
        of_relation = [one._edge_frame for one in ones]
        columns = _joined_columns(of_relation, edata, "edata", edge_name(relation))
        parts[relation] = _joined([one._adjacency.full() for one in ones]), columns
        counts = [frame.num_rows for frame in of_relation]
        edges[relation] = _sizes(given, edge_sizes, relation, counts)
    same_number("graphs", nodes, edges)
    made = Graph.of_types(first.schema, frames, parts, first.idtype)
    made._batch_num_nodes, made._batch_num_edges = nodes, edges
    return made


def _sizes(
    given: Sequence[Graph], of: Callable[[Graph, Any], Tensor], kind: Any, counts: list[int]
) -> Tensor:
    """Nodes or edges of a type of each graph, or of those that it is a batch of."""
    if any(g._batch_num_nodes is not None or g._batch_num_edges is not None for g in given):
        return torch.cat([of(g, kind) for g in given])
    return torch.tensor(counts, dtype=torch.int64, device=given[0].device)


def graphs_alike(graphs: Any) -> list[Graph]:
    """The graphs as a list, if there are any and their types, ids and devices are the same."""
    if isinstance(graphs, Graph) or not isinstance(graphs, Iterable):
        raise TypeError(f"graphs: expected a list of graphs, got {type(graphs).__name__}")
    given: list[Any] = list(graphs)
    if not given:
        raise ValueError("graphs: expected at least one graph, got none")
    for i, g in enumerate(given):
        if not isinstance(g, Graph):
            raise TypeError(f"graphs[{i}]: expected a hopflow.Graph, got {type(g).__name__}")
        if g.is_block:
            raise ValueError(f"graphs[{i}]: expected a graph, got a block")
    schemas = [g.schema for g in given]
    if len(set(schemas)) > 1:
        for i, schema in enumerate(schemas):
            _require_types(i, schema, schemas[0])
    for what, found in (
        ("ids of dtype", [g.idtype for g in given]),
        ("a graph on", [g.device for g in given]),
    ):
        for i, its in enumerate(found):
            if its != found[0]:
                raise ValueError(
                    f"graphs[{i}]: expected {what} {found[0]}, as graphs[0], got {its}"
                )
    return given


def _require_types(i: int, schema: Schema, wanted: Schema) -> None:
    for what, ours, theirs in (
        ("node", schema.ntypes, wanted.ntypes),
        ("edge", schema.relations, wanted.relations),
    ):
        if set(ours) != set(theirs):
            raise ValueError(
                f"graphs[{i}]: expected the {what} types of graphs[0], {told(theirs)}, got"
                f" {told(ours)}"
            )


def _joined_columns(
    frames: Sequence[Frame], keys: Any, option: str, what: str
) -> dict[str, Column]:
    """The columns of several frames as one; those of frames without rows are not looked at."""
    if keys is None:
        return {}
    all_columns = [frame.snapshot() for frame in frames]
    filled = [(i, x) for i, (x, frame) in enumerate(zip(all_columns, frames)) if frame.num_rows]
    filled = filled or list(enumerate(all_columns))
    at, first = filled[0]
    wanted = dict.fromkeys(first if is_all(keys) else keys)
    for i, own in filled:
        if own.keys() == wanted.keys() or (not is_all(keys) and own.keys() >= wanted.keys()):
            continue
        raise ValueError(
            f"graphs[{i}]: expected the {what} columns {told(wanted)}, as graphs[{at}], got"
            f" {told(own)}; {option} names those to batch"
        )
    columns: dict[str, Column] = {}
    for key in wanted:
        rows = [read(own[key]) for _, own in filled]
        kinds = [(x.shape[1:], x.dtype) for x in rows]
        if len(set(kinds)) > 1:
            i, kind = next((i, kind) for (i, _), kind in zip(filled, kinds) if kind != kinds[0])
            raise ValueError(
                f"graphs[{i}]: {what} column {key!r}: expected rows of shape {list(kinds[0][0])}"
                f" and {kinds[0][1]}, as graphs[{at}], got {list(kind[0])} and {kind[1]}"
            )
        columns[key] = torch.cat(rows)
    return columns


# A graph outlives the mode that it is made in: it must serve a backward pass later.
@torch.inference_mode(False)
def _joined(parts: Sequence[Adjacency]) -> Adjacency:
    """The edges of several graphs as one: their in-edges one after the other."""
    device = parts[0].indices.device

    def starts(counts: list[int]) -> tuple[Tensor, int]:
        *begin, end = accumulate(counts, initial=0)
        return torch.tensor(begin, dtype=torch.int64, device=device), end

    def shifted(values: list[Tensor], by: Tensor, lengths: list[int], dtype: torch.dtype) -> Tensor:
        times = torch.tensor(lengths, dtype=torch.int64, device=device)
        return torch.cat(values).to(dtype) + by.to(dtype).repeat_interleave(times)

    num_edges = [part.num_edges for part in parts]
    edge_start, all_edges = starts(num_edges)
    src_start, all_src = starts([part.num_src for part in parts])
    num_dst = [part.num_dst for part in parts]
    begins = shifted([part.indptr[:-1] for part in parts], edge_start, num_dst, torch.int64)
    end = torch.full((1,), all_edges, dtype=torch.int64, device=device)
    indices = shifted([x.indices for x in parts], src_start, num_edges, ops.id_dtype(all_src))
    eids = None
    if any(part.eids is not None for part in parts):
        each = [
            torch.arange(part.num_edges, device=device) if part.eids is None else part.eids
            for part in parts
        ]
        eids = shifted(each, edge_start, num_edges, ops.id_dtype(all_edges))
    return Adjacency(torch.cat([begins, end]), indices, eids, all_src, sum(num_dst))


def unbatch(g: GraphT, node_split: Any = None, edge_split: Any = None) -> list[GraphT]:
    """The graphs that a batch is made of; their columns share its memory.

    Parameters
    ----------
    g : Graph
        A batch.
    node_split, edge_split : Tensor, sequence of int or dict, optional
        Numbers of nodes and edges of each graph, by type where there are several; by default
        ``batch_num_nodes`` and ``batch_num_edges``.

    Returns
    -------
    list of Graph
        As many as there are sizes.

    Raises
    ------
    ValueError
        Sizes that do not add up, of several lengths, or not of every type; an edge of one graph
        that leads to or from a node of another.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.unbatch.html
    """
    require_graph(g)
    nodes = _split(g, "node_split", node_split, "node")
    edges = _split(g, "edge_split", edge_split, "edge")
    count = same_number("node_split, edge_split", nodes, edges)
    return _parts(
        g,
        {ntype: offsets(sizes) for ntype, sizes in nodes.items()},
        {relation: offsets(sizes) for relation, sizes in edges.items()},
        count,
    )


def _split(g: GraphBase, name: str, given: Any, what: str) -> dict[Any, Tensor]:
    """Sizes of every type of nodes or edges, checked; by default the batch's."""
    is_nodes = what == "node"
    types: Sequence[Any] = g.schema.ntypes if is_nodes else g.schema.relations
    if given is None:
        return {of: node_sizes(g, of) if is_nodes else edge_sizes(g, of) for of in types}
    if not isinstance(given, Mapping):
        if len(types) > 1:
            raise ValueError(
                f"{name}: expected a dict by {what} type, of {told(types)}, got"
                f" {type(given).__name__}"
            )
        given = {types[0]: given}
    by_type = given if is_nodes else ids_by_relation(g.schema, name, given)
    if by_type.keys() != set(types):
        raise ValueError(f"{name}: expected sizes for {told(types)}, got them for {told(by_type)}")
    counts = {of: g.num_nodes(of) if is_nodes else g.num_edges(of) for of in types}
    return checked_sizes(name, by_type, counts, what, g.device)


def slice_batch(g: GraphT, gid: int, store_ids: bool = False) -> GraphT:
    """One graph of a batch; its columns share the batch's memory.

    Parameters
    ----------
    g : Graph
        A batch.
    gid : int
        Which of its graphs.
    store_ids : bool
        Note the ids in ``g`` in ``ndata[hopflow.NID]`` and ``edata[hopflow.EID]``.

    Raises
    ------
    IndexError
        There is no such graph.
    ValueError
        Its edges lead to or from a node of another.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.slice_batch.html
    """
    schema = require_graph(g).schema
    nodes = {ntype: node_sizes(g, ntype) for ntype in schema.ntypes}
    edges = {relation: edge_sizes(g, relation) for relation in schema.relations}
    count, at = same_number("g", nodes, edges), ops.as_int("gid", gid)
    if not 0 <= at < count:
        raise IndexError(f"gid: expected 0 <= gid < {count} (number of graphs), got {at}")
    ends = {of: offsets(sizes)[at : at + 2] for of, sizes in nodes.items()}
    edge_ends = {of: offsets(sizes)[at : at + 2] for of, sizes in edges.items()}
    part = _parts(g, ends, edge_ends, 1)[0]
    if store_ids:
        for ntype in schema.ntypes:
            ids = torch.arange(*ends[ntype].tolist(), dtype=g.idtype, device=g.device)
            part.node_frame(ntype)[NID] = ids
        for relation in schema.relations:
            ids = torch.arange(*edge_ends[relation].tolist(), dtype=g.idtype, device=g.device)
            part.relation(relation).edge_frame[EID] = ids
    return part


def _parts(
    g: GraphT, nodes: Mapping[str, Tensor], edges: Mapping[Relation, Tensor], count: int
) -> list[GraphT]:
    """Consecutive graphs of a batch, given where the nodes and edges of each begin and end."""
    full = {relation: one.adjacency.full() for relation, one in g.relations.items()}
    for relation, adjacency in full.items():
        _require_apart(relation, adjacency, nodes[relation[0]], nodes[relation[2]], edges[relation])
    node_ends = {ntype: ends.tolist() for ntype, ends in nodes.items()}
    edge_ends = {relation: ends.tolist() for relation, ends in edges.items()}
    positions = {r: full[r].indptr[nodes[r[2]]].tolist() for r in full}
    # Read once: a column that was not is kept by the frame, but not its slices.
    node_columns = {ntype: dict(frame) for ntype, frame in g.node_frames().items()}
    edge_columns = {relation: dict(one.edge_frame) for relation, one in g.relations.items()}
    made = []
    for i in range(count):
        frames = {}
        for ntype, (start, end) in ((t, ends[i : i + 2]) for t, ends in node_ends.items()):
            columns: dict[str, Column] = {
                key: x[start:end] for key, x in node_columns[ntype].items()
            }
            frames[ntype] = Frame(end - start, node_name(ntype), g.device, columns)
        parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
        for relation, adjacency in full.items():
            start, end = edge_ends[relation][i : i + 2]
            own: dict[str, Column] = {
                key: x[start:end] for key, x in edge_columns[relation].items()
            }
            src, dst = node_ends[relation[0]][i : i + 2], node_ends[relation[2]][i : i + 2]
            at = positions[relation][i : i + 2]
            parts[relation] = _part(adjacency, src, dst, at, start), own
        made.append(type(g).of_types(g.schema, frames, parts, g.idtype, like=g))
    return made


@torch.inference_mode(False)
def _part(
    adjacency: Adjacency, src: list[int], dst: list[int], at: list[int], first_edge: int
) -> Adjacency:
    """The edges at some positions, between nodes numbered from 0; arrays of their own."""
    num_src, num_dst, num_edges = src[1] - src[0], dst[1] - dst[0], at[1] - at[0]
    indptr = adjacency.indptr[dst[0] : dst[1] + 1] - at[0]
    indices = (adjacency.indices[at[0] : at[1]] - src[0]).to(ops.id_dtype(num_src))
    eids = None
    if adjacency.eids is not None:
        eids = (adjacency.eids[at[0] : at[1]] - first_edge).to(ops.id_dtype(num_edges))
    return Adjacency(indptr, indices, eids, num_src, num_dst)


def _require_apart(
    relation: Relation, adjacency: Adjacency, src: Tensor, dst: Tensor, edges: Tensor
) -> None:
    """Raise a ValueError unless each graph's edges are those that enter and leave its nodes."""
    ends = adjacency.indptr[dst]
    counts = ends.diff()
    wrong = (counts != edges.diff()).nonzero()
    if wrong.numel():
        i = int(wrong[0])
        raise ValueError(
            f"graph {i} of the batch: expected {int(counts[i])} edges of {relation!r}, which enter"
            f" its nodes, got a size of {int(edges.diff()[i])}"
        )
    at = slice(int(ends[0]), int(ends[-1]))
    owner, sources = owners(counts), adjacency.indices[at]
    is_inside = (sources >= src[owner]) & (sources < src[owner + 1])
    if adjacency.eids is not None:
        eids = adjacency.eids[at]
        is_inside &= (eids >= edges[owner]) & (eids < edges[owner + 1])
    elif at.start != int(edges[0]):
        is_inside &= False
    if not bool(is_inside.all()):
        i = int(owner[int(is_inside.logical_not().nonzero()[0])])
        raise ValueError(
            f"graph {i} of the batch: expected its edges of {relation!r} to lead between its own"
            " nodes and to have consecutive ids, got one that does not"
        )
