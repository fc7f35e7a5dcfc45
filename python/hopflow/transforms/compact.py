"""Graphs without the nodes that have no edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.frame import NID, Columns, Frame, rows_of
from hopflow.structure.graph_base import GraphT, require_graph
from hopflow.structure.relations import node_name
from hopflow.structure.types import Relation


def compact_graphs(
    graphs: GraphT | Sequence[GraphT],
    always_preserve: Any = None,
    copy_ndata: bool = True,
    copy_edata: bool = True,
) -> Any:
    """Drop the nodes that have no edge in any of the graphs, from all of them.

    Parameters
    ----------
    graphs : Graph or sequence of Graph
        Graphs of the same nodes: node types, in the same order, and numbers of nodes. Their edge
        types may differ.
    always_preserve : Tensor, numpy array, sequence of int, boolean mask or dict, optional
        Nodes to keep even so, where there are several types a dict by type.
    copy_ndata, copy_edata : bool
        Keep the node columns, and note the old id of each node in ``ndata[hopflow.NID]``; keep the
        edge columns.

    Returns
    -------
    Graph or list of Graph
        As given. Nodes are numbered alike in all of them: those of ``always_preserve``, then
        the others as edges name them, graph by graph and relation by relation, the sources of a
        relation before its destinations. Edges keep their ids.

    Raises
    ------
    TypeError, ValueError
        No graphs, or graphs with other nodes, ids or devices than the first.
    IndexError
        A node that is not there.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.compact_graphs.html
    """
    is_one = not isinstance(graphs, (list, tuple))
    listed: list[GraphT] = [graphs] if is_one else list(graphs)  # type: ignore[list-item, arg-type]
    if not listed:
        return []
    first = require_graph(listed[0])
    for i, g in enumerate(listed):
        _require_alike(f"graphs[{i}]", first, require_graph(g))
    none = torch.empty(0, dtype=torch.int64, device=first.device)
    kept: dict[str, Tensor] = dict.fromkeys(first.schema.ntypes, none)
    if always_preserve is not None:
        for ntype, ids in nodes_by_type(first, "always_preserve", always_preserve).items():
            kept[ntype] = ops.compact_ids(ids, none)[0]
    ends: list[dict[Relation, tuple[Tensor, Tensor]]] = []
    for g in listed:
        ends.append({})
        for relation, one in g.relations.items():
            src, dst = (x.long() for x in one.adjacency.coo())
            # Numbers given stay: a node comes after those that are there already.
            kept[relation[0]], _, src = ops.compact_ids(kept[relation[0]], src)
            kept[relation[2]], _, dst = ops.compact_ids(kept[relation[2]], dst)
            ends[-1][relation] = src.long(), dst.long()
    made = [_compacted(g, kept, edges, copy_ndata, copy_edata) for g, edges in zip(listed, ends)]
    return made[0] if is_one else made


def _require_alike(name: str, first: GraphT, g: GraphT) -> None:
    counts, wanted = (
        {ntype: frame.num_rows for ntype, frame in x.node_frames().items()} for x in (g, first)
    )
    if list(counts.items()) != list(wanted.items()):
        raise ValueError(f"{name}: expected the nodes of the first graph, {wanted}, got {counts}")
    for what, got, expected in (
        ("ids", g.idtype, first.idtype), ("device", g.device, first.device)
    ):  # fmt: skip
        if got != expected:
            raise ValueError(f"{name}: expected {what} of the first graph, {expected}, got {got}")


def _compacted(
    g: GraphT,
    kept: dict[str, Tensor],
    ends: dict[Relation, tuple[Tensor, Tensor]],
    copy_ndata: bool,
    copy_edata: bool,
) -> GraphT:
    frames = {}
    for ntype, frame in g.node_frames().items():
        columns = rows_of(frame.snapshot(), kept[ntype], NID, g.idtype) if copy_ndata else None
        rows = Frame(kept[ntype].shape[0], node_name(ntype), g.device, columns)
        frames[ntype] = rows.fill_as(frame)
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
    for relation, (src, dst) in ends.items():
        num_src, num_dst = frames[relation[0]].num_rows, frames[relation[2]].num_rows
        snapshot = g.relation(relation).edge_frame.snapshot() if copy_edata else None
        parts[relation] = Adjacency.from_coo(src, dst, num_src, num_dst), snapshot
    return type(g).of_types(g.schema, frames, parts, g.idtype, like=g)
