"""Many graphs as one, and taken apart again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from hopflow.structure.frame import EID, NID, Column, Columns, Frame
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph
from hopflow.structure.relations import edge_name, node_name
from hopflow.structure.types import ALL, Relation, is_all, told


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
    frames = {}
    for ntype in first.schema.ntypes:
        of_type = [g.node_frame(ntype) for g in given]
        columns = _joined_columns(of_type, ndata, "ndata", node_name(ntype))
        num_nodes = sum(frame.num_rows for frame in of_type)
        frames[ntype] = Frame(num_nodes, node_name(ntype), first.device, columns)
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
    for relation in first.schema.relations:
        ones = [g.relation(relation) for g in given]
        columns = _joined_columns(
            [one.edge_frame for one in ones], edata, "edata", edge_name(relation)
        )
        parts[relation] = _joined([one.adjacency.full() for one in ones]), columns
    made = Graph.of_types(first.schema, frames, parts, first.idtype)
    made._batch_num_nodes = {
        ntype: torch.cat([node_sizes(g, ntype) for g in given]) for ntype in first.schema.ntypes
    }
    made._batch_num_edges = {
        relation: torch.cat([edge_sizes(g, relation) for g in given])
        for relation in first.schema.relations
    }
    same_number("graphs", made._batch_num_nodes, made._batch_num_edges)
    return made


def graphs_alike(graphs: Any) -> list[Graph]:
    """The graphs as a list, if there are any and their types, ids and devices are the same."""
    if isinstance(graphs, Graph) or not isinstance(graphs, Iterable):
        raise TypeError(f"graphs: expected a list of graphs, got {type(graphs).__name__}")
    given: list[Any] = list(graphs)
    if not given:
        raise ValueError("graphs: expected at least one graph, got none")
    first = given[0]
    for i, g in enumerate(given):
        if not isinstance(g, Graph):
            raise TypeError(f"graphs[{i}]: expected a hopflow.Graph, got {type(g).__name__}")
        if g.is_block:
            raise ValueError(f"graphs[{i}]: expected a graph, got a block")
        if g.schema is not first.schema:
            for what, ours, wanted in (
                ("node", g.schema.ntypes, first.schema.ntypes),
                ("edge", g.schema.relations, first.schema.relations),
            ):
                if set(ours) != set(wanted):
                    raise ValueError(
                        f"graphs[{i}]: expected the {what} types of graphs[0], {told(wanted)}, got"
                        f" {told(ours)}"
                    )
        for what, its, of_first in (
            ("ids of dtype", g.idtype, first.idtype), ("a graph on", g.device, first.device)
        ):  # fmt: skip
            if its != of_first:
                raise ValueError(
                    f"graphs[{i}]: expected {what} {of_first}, as graphs[0], got {its}"
                )
    return given


def _joined_columns(
    frames: Sequence[Frame], keys: Any, option: str, what: str
) -> dict[str, Column]:
    """The columns of several frames as one; those of frames without rows are not looked at."""
    if keys is None:
        return {}
    filled = [(i, frame) for i, frame in enumerate(frames) if frame.num_rows]
    filled = filled or list(enumerate(frames))
    at, first = filled[0]
    wanted = list(first) if is_all(keys) else list(dict.fromkeys(keys))
    for i, frame in filled:
        unlike = [key for key in wanted if key not in frame]
        if is_all(keys):
            unlike += [key for key in frame if key not in first]
        if unlike:
            raise ValueError(
                f"graphs[{i}]: expected the {what} columns {told(wanted)}, as graphs[{at}], got"
                f" {told(frame)}; {option} names those to batch"
            )
    columns: dict[str, Column] = {}
    for key in wanted:
        rows = [frame[key] for _, frame in filled]
        for (i, _), x in zip(filled, rows):
            if x.shape[1:] != rows[0].shape[1:] or x.dtype != rows[0].dtype:
                raise ValueError(
                    f"graphs[{i}]: {what} column {key!r}: expected rows of shape"
                    f" {list(rows[0].shape[1:])} and {rows[0].dtype}, as graphs[{at}], got"
                    f" {list(x.shape[1:])} and {x.dtype}"
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
