"""Graphs of edges that were drawn: all nodes of a graph, and of its edges some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from hopflow.structure.frame import EID
from hopflow.structure.graph_base import GraphT
from hopflow.structure.lazy_column import LazyColumn
from hopflow.structure.types import Relation
from hopflow.transforms.around import graph_of_rows, without_edges
from hopflow.transforms.by_type import change_relations


class DrawnEdges(NamedTuple):
    """The edges of one relation that were drawn for some nodes.

    Attributes
    ----------
    nodes : Tensor
        Distinct, shape [R].
    indptr, others : Tensor
        Edges of each: int64, shape [R + 1], and the node at their other end, shape [E].
    eids : LazyColumn
        The graph's id of each edge, shape [E].
    """

    nodes: Tensor
    indptr: Tensor
    others: Tensor
    eids: LazyColumn


def graph_of_drawn(
    g: GraphT,
    drawn: Mapping[Relation, DrawnEdges],
    edge_dir: str,
    *,
    copy_ndata: bool,
    copy_edata: bool,
) -> GraphT:
    """All nodes of ``g`` with the edges drawn; relations that are not there have none.

    Parameters
    ----------
    g : Graph
        The graph drawn from.
    drawn : mapping
        Edges by relation.
    edge_dir : {"in", "out"}
        Whether they enter or leave the nodes that they were drawn for.
    copy_ndata, copy_edata : bool
        Whether columns of ``g`` are reachable on the result.
    """

    def made(relation: Relation, one: GraphT) -> GraphT:
        if relation not in drawn:
            return without_edges(one)
        nodes, indptr, others, eids = drawn[relation]
        rows = graph_of_rows(one, nodes, indptr, others, eids, edge_dir)
        if not copy_edata:
            frame = rows.edge_frame
            for name in [name for name in frame if name != EID]:
                del frame[name]
        if not copy_ndata and g._relations is None:
            is_same = rows._src_frame is rows._dst_frame
            rows._dst_frame = rows._dst_frame.without_columns()
            rows._src_frame = rows._dst_frame if is_same else rows._src_frame.without_columns()
        return rows

    return change_relations(g, made, copy_ndata=copy_ndata)
