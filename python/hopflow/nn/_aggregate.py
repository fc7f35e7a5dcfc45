"""The steps over edges that layers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import hopflow.function as fn
import hopflow.ops as ops
from hopflow.graphs.graph import Graph

Reducer = Callable[[str, str], fn.ReduceFunction]


def aggregate(
    graph: Graph, source: Tensor, reducer: Reducer, edge_weight: Tensor | None = None
) -> Tensor:
    """Reduce the source rows, times their edges' weights, at each destination.

    Parameters
    ----------
    graph : Graph or Block
        Its columns are left as they are.
    source : Tensor
        Shape [U, ...].
    reducer : callable
        ``fn.sum``, ``fn.mean``, ``fn.max`` or ``fn.min``.
    edge_weight : Tensor, optional
        Shape [E], or [E, ...] to broadcast with ``source``'s trailing dimensions.

    Returns
    -------
    Tensor
        Shape [V, ...], dtype of ``source``; 0 for a destination without in-edges.
    """
    with graph.local_scope():
        graph.srcdata["_h"] = source
        message: Any = fn.copy_u("_h", "_m")
        if edge_weight is not None:
            # Under autocast the rows may be narrower than the weights.
            graph.edata["_w"] = edge_weight.to(source.dtype)
            message = fn.u_mul_e("_h", "_w", "_m")
        graph.update_all(message, reducer("_m", "_out"))
        return graph.node_frame(side="dst")["_out"]


# What reading one number of a source row for an edge costs, in multiplications of a dense product
# (benchmarks/bench_spmm.py beside the dense product of bench_limits.py: 0.2 ns beside 0.03 ns).
_NUMBER = 8


def multiplies_first(graph: Graph, in_feats: int, out_feats: int) -> bool:
    """Whether source rows are best multiplied with a weight before they are aggregated.

    Aggregation is linear, so both orders have one result. Before, edges carry the narrower rows;
    after, there is one product a destination, and a sampled block has few of these beside its
    sources.
    """
    if in_feats <= out_feats:
        return False
    if ops.is_compiling():  # sizes differ from batch to batch: each answer would be compiled
        return True
    product, number = in_feats * out_feats, _NUMBER * graph.num_edges()
    before = graph.num_src_nodes() * product + number * out_feats
    return before <= graph.num_dst_nodes() * product + number * in_feats


def degree_scale(degrees: Tensor, power: float, x: Tensor) -> Tensor:
    """``max(degree, 1) ** power`` to multiply rows of ``x`` with, in its dtype, [N, 1, ...].

    Taken in float32 or wider: no 16-bit type can count a hub's edges.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    scale = degrees.clamp(min=1).to(wide).pow(power).to(x.dtype)
    return scale.view(-1, *[1] * (x.dim() - 1))


def sum_in_edges(graph: Graph, weight: Tensor) -> Tensor:
    """Sum of numbers of the in-edges [E] at each destination, shape [V]."""
    full = graph.adjacency.full()
    return ops.segment_reduce(full.indptr, weight, reduce="sum", eids=full.eids)


def sum_out_edges(graph: Graph, weight: Tensor) -> Tensor:
    """Sum of numbers of the out-edges [E] at each source, shape [U]."""
    full = graph.adjacency.full()
    t_indptr, t_rows, positions = full.transpose()
    eids = positions if full.eids is None else full.eids[positions.long()]
    # Right by construction: unmarked ids would make the host wait on CUDA.
    ops.mark_csc(t_indptr, t_rows, eids, full.num_dst)
    return ops.segment_reduce(t_indptr, weight, reduce="sum", eids=eids)


def out_degree_scale(graph: Graph, power: float, x: Tensor) -> Tensor:
    """:func:`degree_scale` of the sources."""
    return degree_scale(graph.adjacency.out_degrees(), power, x)


def in_degree_scale(graph: Graph, power: float, x: Tensor) -> Tensor:
    """:func:`degree_scale` of the destinations."""
    return degree_scale(graph.adjacency.in_degrees(), power, x)
