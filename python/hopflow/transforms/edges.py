"""Graphs with the same nodes and other edges: reversed, both ways, with and without self-loops."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import EID, Frame
from hopflow.structure.graph_base import GraphT, require_graph
from hopflow.structure.types import require_etype


def with_edges(graph: GraphT, src: Tensor, dst: Tensor, *, copy_ndata: bool = True) -> GraphT:
    """A graph with the same nodes, these edges and no edge columns."""
    adjacency = Adjacency.from_coo(src, dst, graph.num_nodes(), graph.num_nodes())
    nodes = None if copy_ndata else Frame(graph.num_nodes(), "node", graph.device)
    return graph.derived(adjacency, nodes=nodes)


def reverse(g: GraphT, copy_ndata: bool = True, copy_edata: bool = False) -> GraphT:
    """Turn every edge around; edge ``e`` stays edge ``e``.

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
    src, dst = g.adjacency.coo()
    made = with_edges(g, dst, src, copy_ndata=copy_ndata)
    if copy_edata:
        made._edge_frame = g.edata.copy()
    return made


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
    readonly, ignore_bipartite : optional
        Accepted for DGL's sake and without effect.
    copy_ndata : bool
        Keep the node columns.
    copy_edata : bool
        Keep the edge columns, a reverse edge taking its original's, and note the original of each
        edge in ``edata[hopflow.EID]``.
    exclude_self : bool
        Leave self-loops single.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.add_reverse_edges.html
    """
    g = require_graph(g)
    src, dst = g.adjacency.coo()
    back: slice | Tensor = (src != dst).nonzero().squeeze(1) if exclude_self else slice(None)
    both = torch.cat([src, dst[back]]), torch.cat([dst, src[back]])
    made = with_edges(g, *both, copy_ndata=copy_ndata)
    if copy_edata:
        eids = torch.arange(g.num_edges(), device=g.device)
        origin = torch.cat([eids, eids[back]])
        for key in g.edata:
            made.edata[key] = ops.gather_rows(g.edata[key], origin)
        made.edata[EID] = origin.to(g.idtype)
    return made


def add_self_loop(
    g: GraphT,
    edge_feat_names: Sequence[str] | None = None,
    fill_data: float = 1.0,
    etype: str | None = None,
) -> GraphT:
    """Add a self-loop to every node, after the other edges; existing self-loops stay.

    Parameters
    ----------
    g : Graph
        A graph.
    edge_feat_names : sequence of str, optional
        Edge columns to keep; all by default.
    fill_data : float
        What the new edges get in them.
    etype : None
        There is one edge type.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.add_self_loop.html
    """
    g = require_graph(g)
    require_etype(etype)
    src, dst = g.adjacency.coo()
    nodes = torch.arange(g.num_nodes(), dtype=src.dtype, device=g.device)
    made = with_edges(g, torch.cat([src, nodes]), torch.cat([dst, nodes]))
    for key in g.edata if edge_feat_names is None else edge_feat_names:
        column = g.edata[key]
        made.edata[key] = torch.cat(
            [column, column.new_full((g.num_nodes(), *column.shape[1:]), fill_data)]
        )
    return made


def remove_self_loop(g: GraphT, etype: str | None = None) -> GraphT:
    """Drop every self-loop; the other edges and all columns keep their order.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.remove_self_loop.html
    """
    g = require_graph(g)
    require_etype(etype)
    src, dst = g.adjacency.coo()
    kept = (src != dst).nonzero().squeeze(1)
    made = with_edges(g, src[kept], dst[kept])
    for key in g.edata:
        made.edata[key] = ops.gather_rows(g.edata[key], kept)
    return made
