"""Graphs over the same nodes as one."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from hopflow.graphs.batch import graphs_alike
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Column, Columns, Frame
from hopflow.structure.relations import edge_name, node_name
from hopflow.structure.types import Relation, told


def merge(graphs: Iterable[Graph]) -> Graph:
    """One graph with the edges of all: nodes of the same id are the same node.

    Parameters
    ----------
    graphs : iterable of Graph
        At least one, of the same node types and relations, on one device, with ids of one dtype.

    Returns
    -------
    Graph
        As many nodes of a type as the graph that has most; edges in the order of the graphs,
        duplicates kept. Of edge columns those of the first graph, which all must have. Of node
        columns all: the rows of the last graph that has the node and the column, 0 where none has.

    Raises
    ------
    ValueError
        No graph, blocks, graphs of other types, or columns that do not go together.
    TypeError
        Something else than graphs.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.merge.html
    """
    given = graphs_alike(graphs)
    first = given[0]
    frames = {
        ntype: _merged_nodes([g.node_frame(ntype) for g in given], node_name(ntype), first.device)
        for ntype in first.schema.ntypes
    }
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
    for relation in first.schema.relations:
        ones = [g.relation(relation) for g in given]
        src, dst = (torch.cat(ends) for ends in zip(*(one.adjacency.coo() for one in ones)))
        counts = frames[relation[0]].num_rows, frames[relation[2]].num_rows
        columns = _joined_edges([one.edge_frame for one in ones], edge_name(relation))
        parts[relation] = Adjacency.from_coo(src, dst, *counts), columns
    return Graph.of_types(first.schema, frames, parts, first.idtype)


def _joined_edges(frames: list[Frame], what: str) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for key in frames[0]:
        for i, frame in enumerate(frames):
            if key not in frame:
                raise ValueError(
                    f"graphs[{i}]: expected the {what} column {key!r}, as graphs[0], got"
                    f" {told(frame)}"
                )
            _require_like(i, what, key, frame, frames[0])
        columns[key] = torch.cat([frame[key] for frame in frames])
    return columns


def _merged_nodes(frames: list[Frame], what: str, device: torch.device) -> Frame:
    num_nodes = max(frame.num_rows for frame in frames)
    columns: dict[str, Column] = {}
    for key in dict.fromkeys(key for frame in frames for key in frame):
        having = [(i, frame) for i, frame in enumerate(frames) if key in frame]
        rows = having[0][1][key]
        for i, frame in having:
            _require_like(i, what, key, frame, having[0][1])
            # What stands is kept below the rows of this graph.
            rows = torch.cat([frame[key], rows[frame.num_rows :]])
        missing = rows.new_zeros((num_nodes - rows.shape[0], *rows.shape[1:]))
        columns[key] = torch.cat([rows, missing])
    return Frame(num_nodes, what, device, columns)


def _require_like(i: int, what: str, key: str, frame: Frame, first: Frame) -> None:
    x, wanted = frame[key], first[key]
    if x.shape[1:] != wanted.shape[1:] or x.dtype != wanted.dtype:
        raise ValueError(
            f"graphs[{i}]: {what} column {key!r}: expected rows of shape {list(wanted.shape[1:])}"
            f" and {wanted.dtype}, as the first that has it, got {list(x.shape[1:])} and {x.dtype}"
        )
