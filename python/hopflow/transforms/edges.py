"""Graphs with the same nodes and other edges: reversed, both ways, with and without self-loops."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.batch_sizes import keep_sizes
from hopflow.structure.frame import EID, Columns
from hopflow.structure.graph_base import GraphT, require_graph
from hopflow.structure.types import Relation, Schema
from hopflow.transforms.by_type import change_relation, change_relations


def with_edges(graph: GraphT, src: Tensor, dst: Tensor, *, copy_ndata: bool = True) -> GraphT:
    """A graph of one relation with the same nodes, these edges and no edge columns."""
    adjacency = Adjacency.from_coo(src, dst, graph.num_src_nodes(), graph.num_dst_nodes())
    if copy_ndata:
        return graph.derived(adjacency)
    return graph.derived(
        adjacency, nodes=graph._dst_frame.without_columns(),
        sources=graph._src_frame.without_columns(),
    )  # fmt: skip


def _require_one_ntype(graph: GraphT, what: str) -> GraphT:
    """Raise unless the edges of a graph of one relation run between nodes of one type."""
    src, _, dst = relation = graph.schema.relations[0]
    if src != dst:
        raise ValueError(
            f"{what}: expected edges between nodes of one type, got those of {relation!r}"
        )
    return graph


def reverse(g: GraphT, copy_ndata: bool = True, copy_edata: bool = False) -> GraphT:
    """Turn every edge around; edge ``e`` stays edge ``e``, and relations keep their names.

    Parameters
    ----------
    g : Graph
        A graph.
    copy_ndata, copy_edata : bool
        Keep the node columns, the edge columns.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.reverse.html
    """
    g = require_graph(g)
    names = [(dst, name, src) for src, name, dst in g.schema.relations]
    frames = {
        ntype: frame.copy() if copy_ndata else frame.without_columns()
        for ntype, frame in g.node_frames().items()
    }
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
    for name, one in zip(names, g.relations.values()):
        src, dst = one.adjacency.coo()
        num_src, num_dst = frames[name[0]].num_rows, frames[name[2]].num_rows
        columns = one.edge_frame.snapshot() if copy_edata else None
        parts[name] = Adjacency.from_coo(dst, src, num_src, num_dst), columns
    return type(g).of_types(Schema(g.schema.ntypes, names), frames, parts, g.idtype, like=g)


def add_reverse_edges(
    g: GraphT,
    readonly: bool | None = None,
    copy_ndata: bool = True,
    copy_edata: bool = False,
    ignore_bipartite: bool = False,
    exclude_self: bool = True,
) -> GraphT:
    """Add the reverse of every edge; the new edges come last, in the order of the old ones.

    Parameters
    ----------
    g : Graph
        A graph.
    readonly : optional
        Accepted for DGL's sake and without effect.
    ignore_bipartite : bool
        Leave relations between nodes of two types as they are, instead of raising an error.
    copy_ndata : bool
        Keep the node columns.
    copy_edata : bool
        Keep the edge columns, a reverse edge taking its original's, and note the original of each
        edge in ``edata[hopflow.EID]``.
    exclude_self : bool
        Leave self-loops single.

    Raises
    ------
    ValueError
        A relation between nodes of two types.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.add_reverse_edges.html
    """
    g = require_graph(g)

    def both_ways(relation: Relation, one: GraphT) -> GraphT:
        if relation[0] == relation[2] or not ignore_bipartite:
            _require_one_ntype(one, "add_reverse_edges")
            return _both_ways(one, copy_ndata, copy_edata, exclude_self)
        kept = with_edges(one, *one.adjacency.coo(), copy_ndata=copy_ndata)
        if copy_edata:
            kept.edge_frame.update(one.edge_frame)
            kept.edge_frame[EID] = ops.outlasting(one._arange(one.num_edges()))
        return kept

    return change_relations(g, both_ways, copy_ndata=copy_ndata)


def _both_ways(g: GraphT, copy_ndata: bool, copy_edata: bool, exclude_self: bool) -> GraphT:
    src, dst = g.adjacency.coo()
    back: slice | Tensor = (src != dst).nonzero().squeeze(1) if exclude_self else slice(None)
    both = torch.cat([src, dst[back]]), torch.cat([dst, src[back]])
    made = with_edges(g, *both, copy_ndata=copy_ndata)
    if copy_edata:
        eids = torch.arange(g.num_edges(), device=g.device)
        origin = torch.cat([eids, eids[back]])
        for key in g.edata:
            made.edata[key] = ops.outlasting(ops.gather_rows(g.edata[key], origin))
        made.edata[EID] = ops.outlasting(origin.to(g.idtype))
    return made


def add_self_loop(
    g: GraphT,
    edge_feat_names: Sequence[str] | None = None,
    fill_data: float | str = 1.0,
    etype: str | None = None,
) -> GraphT:
    """Add a self-loop to every node, after the other edges; existing self-loops stay.

    Parameters
    ----------
    g : Graph
        A graph.
    edge_feat_names : sequence of str, optional
        Edge columns to keep; all by default.
    fill_data : float or {"sum", "mean", "max", "min"}
        What the new edges get in them: a number, or what becomes of the node's other in-edges.
    etype : str or tuple, optional
        Which edges, where there are several types; they must join nodes of one type.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.add_self_loop.html
    """

    is_number = isinstance(fill_data, (int, float)) and not isinstance(fill_data, bool)
    if not is_number and fill_data not in ops.REDUCERS:
        known = ", ".join(map(repr, ops.REDUCERS))
        raise ValueError(f"fill_data: expected a number or one of {known}, got {fill_data!r}")

    def with_loops(g: GraphT) -> GraphT:
        _require_one_ntype(g, "add_self_loop")
        src, dst = g.adjacency.coo()
        nodes = torch.arange(g.num_nodes(), dtype=src.dtype, device=g.device)
        made = with_edges(g, torch.cat([src, nodes]), torch.cat([dst, nodes]))
        for key in g.edata if edge_feat_names is None else edge_feat_names:
            column = g.edata[key]
            if isinstance(fill_data, str):
                full = g.adjacency.full()
                loops = ops.segment_reduce(full.indptr, column, reduce=fill_data, eids=full.eids)
            else:
                loops = column.new_full((g.num_nodes(), *column.shape[1:]), fill_data)
            made.edata[key] = ops.outlasting(torch.cat([column, loops.to(column.dtype)]))
        return made

    return change_relation(require_graph(g), etype, with_loops)


def remove_self_loop(g: GraphT, etype: str | None = None) -> GraphT:
    """Drop every self-loop; the other edges and all columns keep their order.

    A batch of graphs stays one, as in DGL.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.remove_self_loop.html
    """
    left: dict[Relation, Tensor] = {}

    def without_loops(g: GraphT) -> GraphT:
        _require_one_ntype(g, "remove_self_loop")
        src, dst = g.adjacency.coo()
        kept = (src != dst).nonzero().squeeze(1)
        made = with_edges(g, src[kept], dst[kept])
        for key in g.edata:
            made.edata[key] = ops.outlasting(ops.gather_rows(g.edata[key], kept))
        left[g.schema.relations[0]] = kept
        return made

    made = change_relation(require_graph(g), etype, without_loops)
    keep_sizes(made, g, edges=left)
    return made
