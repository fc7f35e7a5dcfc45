"""Graphs without duplicate edges."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.frame import EID
from hopflow.structure.graph_base import GraphT, require_graph
from hopflow.structure.types import Relation
from hopflow.transforms.by_type import change_relations
from hopflow.transforms.edges import add_reverse_edges, with_edges

_AGGREGATORS = ("arbitrary", "sum", "mean")


def to_simple(
    g: GraphT,
    return_counts: str | None = "count",
    writeback_mapping: bool = False,
    copy_ndata: bool = True,
    copy_edata: bool = False,
    aggregator: str = "arbitrary",
) -> Any:
    """Merge edges of the same ends into one; the result's are sorted by source, then destination.

    Parameters
    ----------
    g : Graph
        A graph.
    return_counts : str, optional
        Edge column for the number of edges merged, int64, shape [E']; None: leave it out.
    writeback_mapping : bool
        Return the new edge of each old one too, dtype ``g.idtype``, shape [E].
    copy_ndata : bool
        Keep the node columns.
    copy_edata : bool
        Combine the edge columns of the edges merged.
    aggregator : {"arbitrary", "sum", "mean"}
        How: those of the edge with the lowest id, whose id is then in ``edata[hopflow.EID]``, or
        their sum or mean, which needs floating-point columns.

    Returns
    -------
    Graph, or (Graph, Tensor)
        Of several types a dict ``{relation: tensor}``.

    Raises
    ------
    ValueError
        An unknown aggregator.
    TypeError
        An edge column that cannot be summed.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.to_simple.html
    """
    g = require_graph(g)
    if aggregator not in _AGGREGATORS:
        raise ValueError(
            f"aggregator: expected one of {', '.join(_AGGREGATORS)}, got {aggregator!r}"
        )
    mappings: dict[Relation, Tensor] = {}

    def simple(relation: Relation, one: GraphT) -> GraphT:
        made, mappings[relation] = _simple(one, return_counts, copy_ndata, copy_edata, aggregator)
        return made

    made = change_relations(g, simple, copy_ndata=copy_ndata)
    if not writeback_mapping:
        return made
    return made, mappings if len(mappings) > 1 else next(iter(mappings.values()))


def to_simple_graph(g: GraphT) -> GraphT:
    """The old name of :func:`to_simple`, with a warning."""
    warnings.warn("to_simple_graph is the old name of to_simple", FutureWarning, stacklevel=2)
    made: GraphT = to_simple(g)
    return made


def _simple(
    g: GraphT, return_counts: str | None, copy_ndata: bool, copy_edata: bool, aggregator: str
) -> tuple[GraphT, Tensor]:
    """:func:`to_simple` of one relation, and the new edge of each old one."""
    if copy_edata and aggregator != "arbitrary":
        for key in g.edata:
            if not g.edata[key].is_floating_point():
                raise TypeError(
                    f"edge column {key!r}: expected floating point to compute the {aggregator},"
                    f" got {str(g.edata[key].dtype).replace('torch.', '')}"
                )
    src, dst = (x.long() for x in g.adjacency.coo())
    order, first = group_pairs(src, dst)
    src, dst = src[order], dst[order]
    end = torch.full((1,), src.shape[0], dtype=torch.int64, device=g.device)
    indptr = torch.cat([first, end])
    made = with_edges(g, src[first], dst[first], copy_ndata=copy_ndata)
    if copy_edata and aggregator == "arbitrary":
        for key in g.edata:
            made.edata[key] = ops.outlasting(ops.gather_rows(g.edata[key], order[first]))
        made.edata[EID] = ops.outlasting(order[first].to(g.idtype))
    elif copy_edata:
        for key in g.edata:
            made.edata[key] = ops.outlasting(
                ops.segment_reduce(indptr, g.edata[key], reduce=aggregator, eids=order)
            )
    if return_counts is not None and return_counts in made.edata:
        raise ValueError(
            f"return_counts: {return_counts!r} is the name of a column that is copied; expected"
            " another name"
        )
    if return_counts is not None:
        made.edata[return_counts] = ops.outlasting(indptr.diff())
    mapping = torch.empty_like(order)
    mapping[order] = torch.repeat_interleave(indptr.diff())
    return made, mapping.to(g.idtype)


def group_pairs(src: Tensor, dst: Tensor) -> tuple[Tensor, Tensor]:
    """Sort pairs by source, then destination; equal ones stay in their order.

    Returns
    -------
    order, first : Tensor
        The pair at each place, int64, shape [E], and the places at which others than before begin.
    """
    # By destination, then stably by source: a product src * N + dst could overflow.
    order = torch.argsort(dst, stable=True)
    order = order[torch.argsort(src[order], stable=True)]
    src, dst = src[order], dst[order]
    is_first = torch.ones(src.shape[0], dtype=torch.bool, device=src.device)
    is_first[1:] = (src[1:] != src[:-1]) | (dst[1:] != dst[:-1])
    return order, is_first.nonzero().squeeze(1)


def to_bidirected(g: GraphT, copy_ndata: bool = False, readonly: bool | None = None) -> GraphT:
    """The simple graph that has (u, v) and (v, u) where ``g`` has either; no edge columns.

    Parameters
    ----------
    g : Graph
        A graph, every relation of which joins nodes of one type.
    copy_ndata : bool
        Keep the node columns.
    readonly : optional
        Accepted for DGL's sake and without effect.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.to_bidirected.html
    """
    both = add_reverse_edges(require_graph(g), copy_ndata=copy_ndata)
    made: GraphT = to_simple(both, return_counts=None)
    return made
