"""The attention scores of GATv2, without a vector for every edge."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

import hopflow._native as _native
from hopflow.ops._library import Spec, define
from hopflow.ops._message_gradients import (
    Edges,
    sum_of_edges,
)
from hopflow.ops._messages import (
    in_edge_order,
    messages_reference,
)
from hopflow.ops._place import check_edges
from hopflow.ops._shapes import (
    accumulator_dtype,
    as_dtype_of,
    beside_eids,
    dense_rows,
    dtype_name,
    optional_ids,
    require_features,
    require_ids,
    require_same_device,
)
from hopflow.ops._transforms import added
from hopflow.ops.csc import Transpose, require_transpose
from hopflow.ops.spmm import require_indptr


def _shapes(
    u: Tensor, v: Tensor, attn: Tensor, slope: float, indptr: Tensor, indices: Tensor, *_: Any
) -> Spec:
    return (indices.shape[0], u.shape[1]), u.dtype, u.device


def _run(
    out: Tensor,
    u: Tensor,
    v: Tensor,
    attn: Tensor,
    slope: float,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    *_: Any,
) -> None:
    check_edges(indptr, indices, eids, u.shape[0])
    _native.gatv2_scores(
        dense_rows(u), dense_rows(v), attn.contiguous(), slope, indptr, indices, eids, None, out,
        None,
    )  # fmt: skip


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    u, v, attn, ctx.slope, *arrays = inputs
    ctx.save_for_backward(u, v, attn, *arrays)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    u, v, attn, indptr, indices, eids, *transpose = ctx.saved_tensors
    edges = Edges(indptr, indices, eids, u.shape[0], transpose)
    needs_u, needs_v, needs_attn = ctx.needs_input_grad[:3]
    if torch.is_grad_enabled() or forward_ad._current_level >= 0:
        # Somebody wants second derivatives.
        return *_differentiable_backward(u, v, attn, ctx.slope, edges, grad), *[None] * 7
    grad_u = grad_v = grad_attn = None
    if needs_v or needs_attn:
        grad_v, shares = _rows_backward(
            u, v, attn, ctx.slope, indptr, indices, eids, grad, needs_attn
        )
        if needs_attn:
            # Row by row and then over the rows: in one order, whatever the number of threads.
            grad_attn = shares.sum(0).to(attn.dtype)
    if needs_u:
        t = edges.transposed()
        grad_u, _ = _rows_backward(v, u, attn, ctx.slope, t.indptr, t.indices, t.eids, grad, False)
    return grad_u, grad_v if needs_v else None, grad_attn, *[None] * 7


def _differentiable_backward(
    u: Tensor, v: Tensor, attn: Tensor, slope: float, edges: Edges, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients by operators that have gradients themselves; a vector for every edge."""
    sums = _sums(u, v, edges)
    inner = grad.unsqueeze(-1) * _slopes(sums, slope)
    to_nodes = inner * attn
    return (
        sum_of_edges(edges.transposed(), to_nodes),
        sum_of_edges(edges, to_nodes),
        (inner * sums).sum(0).to(attn.dtype),
    )


def _sums(u: Tensor, v: Tensor, edges: Edges) -> Tensor:
    """Source row and destination row of each edge added."""
    return torch.ops.hopflow.sddmm_binary(  # type: ignore[no-any-return]
        "add", u, "u", v, "v", edges.indptr, edges.indices, edges.eids, None, None, None
    )


def _slopes(sums: Tensor, slope: float) -> Tensor:
    """Derivative of the leaky rectifier, in the wider type."""
    one = torch.ones((), dtype=accumulator_dtype(sums.dtype), device=sums.device)
    return torch.where(sums > 0, one, one * slope)


def _jvp(inputs: tuple[Any, ...], output: Tensor, tangents: tuple[Any, ...]) -> Tensor:
    u, v, attn, slope, indptr, indices, eids, *transpose = inputs
    t_u, t_v, t_attn, *_ = tangents
    edges = Edges(indptr, indices, eids, u.shape[0], transpose)
    sums = _sums(u, v, edges)
    slopes = _slopes(sums, slope)
    to_sums = to_attn = None
    if t_u is not None or t_v is not None:
        t_u = torch.zeros_like(u) if t_u is None else t_u
        t_v = torch.zeros_like(v) if t_v is None else t_v
        to_sums = (_sums(t_u, t_v, edges) * slopes * attn).sum(-1)
    if t_attn is not None:
        to_attn = (sums * slopes * t_attn).sum(-1)
    return added(to_sums, to_attn).to(output.dtype)


_gatv2_scores = define(
    "gatv2_scores(Tensor u, Tensor v, Tensor attn, float slope, Tensor indptr, Tensor indices,"
    " Tensor? eids, Tensor? t_indptr, Tensor? t_rows, Tensor? t_positions) -> Tensor",
    shapes=_shapes,
    run=_run,
    setup=_setup,
    backward=_backward,
    jvp=_jvp,
    folds=[{"u": 1, "v": 1, "attn": 0}],
)


def _rows_shapes(
    u: Tensor,
    v: Tensor,
    attn: Tensor,
    slope: float,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    grad: Tensor,
    with_attn: bool,
) -> tuple[Spec, Spec]:
    shares = v.shape if with_attn else (0,)
    return (v.shape, v.dtype, v.device), (shares, accumulator_dtype(v.dtype), v.device)


def _rows_run(
    out: Tensor,
    shares: Tensor,
    u: Tensor,
    v: Tensor,
    attn: Tensor,
    slope: float,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    grad: Tensor,
    with_attn: bool,
) -> None:
    check_edges(indptr, indices, eids, u.shape[0])
    _native.gatv2_scores(
        dense_rows(u), dense_rows(v), attn.contiguous(), slope, indptr, indices, eids,
        grad.contiguous(), out, shares if with_attn else None,
    )  # fmt: skip


_rows_backward = define(
    "gatv2_scores_backward(Tensor u, Tensor v, Tensor attn, float slope, Tensor indptr,"
    " Tensor indices, Tensor? eids, Tensor grad, bool with_attn) -> (Tensor, Tensor)",
    shapes=_rows_shapes,
    run=_rows_run,
    folds=[{"u": 1, "v": 1, "attn": 0, "grad": 1}],
)


def gatv2_scores(
    indptr: Tensor,
    indices: Tensor,
    u: Tensor,
    v: Tensor,
    attn: Tensor,
    *,
    negative_slope: float = 0.2,
    eids: Tensor | None = None,
    transpose: Transpose | None = None,
) -> Tensor:
    r"""Score of every edge and head: :math:`a_h^T LeakyReLU(u_{src,h} + v_{dst,h})`.

    Computed in float32 or wider. Nothing of the size E x H x D is written, forward or backward
    (but where second derivatives are asked for). Differentiable in ``u``, ``v`` and ``attn``,
    deterministically.

    Parameters
    ----------
    indptr : Tensor
        Shape [V + 1].
    indices : Tensor
        Source of the edge at each position, shape [E], int32 or int64.
    u, v : Tensor
        Source and destination features, shapes [U, H, D] and [V, H, D], of one dtype.
    attn : Tensor
        The heads' vectors, shape [H, D], of that dtype.
    negative_slope : float
        Of the leaky rectifier.
    eids : Tensor, optional
        Edge at each position, a permutation, shape [E]; None if edge ``e`` is at position ``e``.
    transpose : tuple of Tensor, optional
        :func:`hopflow.ops.transpose_csc` of these edges, if it is at hand.

    Returns
    -------
    Tensor
        Shape [E, H], in order of edge ids, dtype of ``u``.

    Raises
    ------
    IndexError, ValueError, TypeError
        Ids, shapes, dtypes or devices do not match.

    References
    ----------
    Brody, Alon, Yahav, "How attentive are graph attention networks?", ICLR 2022.
    """
    indptr, indices = require_indptr(indptr), require_ids("indices", indices)
    eids = optional_ids("eids", eids)
    for name, x in (("u", u), ("v", v), ("attn", attn)):
        require_features(name, x)
        require_same_device(name, x, "indices", indices)
        if x.dtype != u.dtype:
            raise TypeError(
                f"{name}: expected the dtype of u, {dtype_name(u.dtype)}, got {dtype_name(x.dtype)}"
            )
    if u.dim() != 3 or v.dim() != 3 or u.shape[1:] != v.shape[1:] or attn.shape != u.shape[1:]:
        raise ValueError(
            "u, v and attn: expected shapes [U, H, D], [V, H, D] and [H, D], got"
            f" {list(u.shape)}, {list(v.shape)} and {list(attn.shape)}"
        )
    if v.shape[0] != indptr.shape[0] - 1:
        raise ValueError(
            f"v: expected one row for each of the {indptr.shape[0] - 1} destinations, got"
            f" {v.shape[0]}"
        )
    require_transpose(transpose, indices, u.shape[0])
    indices = beside_eids(indices, eids)
    result: Tensor = _gatv2_scores(
        u, v, attn, float(negative_slope), indptr, indices,
        as_dtype_of("eids", eids, indices), *(transpose or (None, None, None)),
    )  # fmt: skip
    return result


def gatv2_scores_reference(
    indptr: Tensor,
    indices: Tensor,
    u: Tensor,
    v: Tensor,
    attn: Tensor,
    *,
    negative_slope: float = 0.2,
    eids: Tensor | None = None,
) -> Tensor:
    """What :func:`gatv2_scores` computes, in plain torch."""
    sums, _ = messages_reference(indptr, indices, "add", u, v, "u", "v", eids)
    active = torch.nn.functional.leaky_relu(sums, negative_slope)
    return in_edge_order((active * attn.to(active.dtype)).sum(-1).to(u.dtype), eids)
