"""Sampled dense-dense products: numbers for edges from the features of their two ends."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._library import Spec, define
from hopflow.ops._messages import in_edge_order, messages_reference
from hopflow.ops._place import check_edges, mark
from hopflow.ops._shapes import (
    accumulator_dtype,
    as_dtype_of,
    beside_eids,
    dense_rows,
    dtype_name,
    in_shape,
    optional_ids,
    require_features,
    require_ids,
    require_same_device,
)
from hopflow.ops.csc import Transpose, require_transpose, transpose_for_backward


def _shapes(u: Tensor, v: Tensor, indptr: Tensor, indices: Tensor, *_: Any) -> Spec:
    return (indices.shape[0], u.shape[1]), u.dtype, u.device


def _run(
    out: Tensor,
    u: Tensor,
    v: Tensor,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    *_: Any,
) -> None:
    check_edges(indptr, indices, eids, u.shape[0])
    _native.sddmm_dot(dense_rows(u), dense_rows(v), indptr, indices, eids, out)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    u, v, indptr, indices, eids, *transpose = ctx.saved_tensors
    weight = grad.to(accumulator_dtype(grad.dtype)).contiguous()
    grad_u = grad_v = None
    if ctx.needs_input_grad[0]:
        if transpose[0] is None:
            transpose = list(transpose_for_backward(indptr, indices, u.shape[0]))
        t_indptr, t_rows, t_positions = transpose
        t_eids = t_positions if eids is None else eids[t_positions.long()].to(t_rows.dtype)
        mark(t_eids, "permutation", t_eids.shape[0])
        grad_u, _ = torch.ops.hopflow.spmm(
            v, t_indptr, t_rows, weight, t_eids, None, "sum", None, None, None
        )
    if ctx.needs_input_grad[1]:
        grad_v, _ = torch.ops.hopflow.spmm(
            u, indptr, indices, weight, eids, None, "sum", *transpose
        )
    return grad_u, grad_v, None, None, None, None, None, None


_sddmm_dot = define(
    "sddmm_dot(Tensor u, Tensor v, Tensor indptr, Tensor indices, Tensor? eids,"
    " Tensor? t_indptr, Tensor? t_rows, Tensor? t_positions) -> Tensor",
    shapes=_shapes,
    run=_run,
    backward=_backward,
    linear=["u", "v"],
    folds=[{"u": 1, "v": 1}],
)


def sddmm(
    indptr: Tensor,
    indices: Tensor,
    u: Tensor,
    v: Tensor,
    *,
    eids: Tensor | None = None,
    transpose: Transpose | None = None,
) -> Tensor:
    """Dot product of each edge's two ends over the last dimension (``u_dot_v``).

    ``out[e, ..., 0] = sum over d of u[src(e), ..., d] * v[dst(e), ..., d]``; sums are kept in
    float32 or wider. Differentiable in ``u`` and ``v``, deterministically. Same as
    ``dgl.ops.u_dot_v``.

    Parameters
    ----------
    indptr : Tensor
        Shape [V + 1].
    indices : Tensor
        Source of the edge at each position, shape [E], int32 or int64.
    u : Tensor
        Source features, shape [U, ..., D]; float32, float64, float16 or bfloat16.
    v : Tensor
        Destination features, shape [V, ..., D], dtype of ``u``.
    eids : Tensor, optional
        Edge at each position, a permutation, shape [E]; None if edge ``e`` is at position ``e``.
    transpose : tuple of Tensor, optional
        :func:`hopflow.ops.transpose_csc` of these edges, if it is at hand; only its shapes are
        checked.

    Returns
    -------
    Tensor
        Shape [E, ..., 1], in order of edge ids, dtype of ``u``.

    Raises
    ------
    IndexError, ValueError, TypeError
        Ids, shapes, dtypes or devices do not match.
    """
    u, v = require_features("u", u), require_features("v", v)
    indptr, indices = require_ids("indptr", indptr), require_ids("indices", indices)
    eids = optional_ids("eids", eids)
    if u.dtype != v.dtype:
        raise TypeError(
            f"v: expected the dtype of u, {dtype_name(u.dtype)}, got {dtype_name(v.dtype)}"
        )
    if u.dim() < 2 or u.shape[1:] != v.shape[1:]:
        raise ValueError(
            f"u and v: expected rows of one shape [..., D], got {list(u.shape[1:])} and"
            f" {list(v.shape[1:])}"
        )
    if v.shape[0] != indptr.shape[0] - 1:
        raise ValueError(
            f"v: expected one row for each of the {indptr.shape[0] - 1} destinations, got"
            f" {v.shape[0]}"
        )
    require_same_device("u", u, "v", v)
    require_same_device("u", u, "indices", indices)
    heads, width = u.shape[1:-1], u.shape[-1]
    num_heads = heads.numel()
    require_transpose(transpose, indices, u.shape[0])
    indices = beside_eids(indices, eids)
    out = _sddmm_dot(
        u.reshape(u.shape[0], num_heads, width),
        v.reshape(v.shape[0], num_heads, width),
        indptr.long(),
        indices,
        as_dtype_of("eids", eids, indices),
        *(transpose or (None, None, None)),
    )
    return in_shape(out, out.shape[0], *heads, 1)


def sddmm_reference(
    indptr: Tensor, indices: Tensor, u: Tensor, v: Tensor, *, eids: Tensor | None = None
) -> Tensor:
    """What :func:`sddmm` computes, in plain torch."""
    messages, _ = messages_reference(indptr, indices, "dot", u, v, "u", "v", eids)
    return in_edge_order(messages.to(u.dtype), eids)
