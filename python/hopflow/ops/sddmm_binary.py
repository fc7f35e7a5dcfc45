"""SDDMM of two operands: ``u_add_v`` and its kin, a message for every edge."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hopflow import _native
from hopflow.ops._library import define
from hopflow.ops._messages import (
    Edges,
    Side,
    from_edges,
    kept,
    message_shape,
    messages_reference,
    operand_gradients,
    require_operands,
)
from hopflow.ops._place import check_ids, check_indptr, check_permutation
from hopflow.ops._shapes import dense_rows, in_shape
from hopflow.ops.csc import Transpose, require_transpose
from hopflow.ops.pool import empty


def _kernel(
    op: str,
    lhs: Tensor,
    lhs_target: str,
    rhs: Tensor,
    rhs_target: str,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    t_indptr: Tensor | None,
    t_rows: Tensor | None,
    t_positions: Tensor | None,
) -> Tensor:
    outer, inner = message_shape(op, lhs, rhs)
    num_edges = indices.shape[0]
    out = empty((num_edges, outer, inner), lhs.dtype, lhs.device)
    num_src = [x.shape[0] for x, t in ((lhs, lhs_target), (rhs, rhs_target)) if t == "u"]
    check_indptr("indptr", indptr, num_edges)
    check_permutation("eids", eids)
    if num_src:
        check_ids("indices", indices, min(num_src), "source nodes")
    if (
        op == "dot"
        and lhs.shape == (lhs.shape[0], *rhs.shape[1:])
        and lhs_target + rhs_target
        in (
            "uv",
            "vu",
        )
    ):
        # Its kernel has a team of lanes for each product.
        u, v = (lhs, rhs) if lhs_target == "u" else (rhs, lhs)
        _native.sddmm_dot(
            dense_rows(u), dense_rows(v), indptr, indices, eids, out.view(num_edges, outer)
        )
        return out
    _native.sddmm_binary(
        op, dense_rows(lhs), lhs_target, dense_rows(rhs), rhs_target, indptr, indices, eids,
        out.view(num_edges, outer * inner),
    )  # fmt: skip
    return out


def _fake(
    op: str,
    lhs: Tensor,
    lhs_target: str,
    rhs: Tensor,
    rhs_target: str,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    t_indptr: Tensor | None,
    t_rows: Tensor | None,
    t_positions: Tensor | None,
) -> Tensor:
    return lhs.new_empty((indices.shape[0], *message_shape(op, lhs, rhs)))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.op, lhs, ctx.lhs_target, rhs, ctx.rhs_target, indptr, indices, eids, *transpose = inputs
    ctx.save_for_backward(*kept(ctx.op, lhs, rhs), indptr, indices, eids, *transpose)
    ctx.shapes = lhs.shape, rhs.shape


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    lhs, rhs, indptr, indices, eids, *transpose = ctx.saved_tensors
    left = Side(ctx.lhs_target, ctx.shapes[0], lhs)
    right = Side(ctx.rhs_target, ctx.shapes[1], rhs)
    num_src = max((side.shape[0] for side in (left, right) if side.target == "u"), default=0)
    edges = Edges(indptr, indices, eids, num_src, transpose)
    needs = (ctx.needs_input_grad[1], ctx.needs_input_grad[3])
    grads = operand_gradients(from_edges, edges, grad, ctx.op, left, right, needs)
    return None, grads[0], None, grads[1], *[None] * 7


_sddmm_binary = define(
    "sddmm_binary(str op, Tensor lhs, str lhs_target, Tensor rhs, str rhs_target, Tensor indptr,"
    " Tensor indices, Tensor? eids, Tensor? t_indptr, Tensor? t_rows, Tensor? t_positions)"
    " -> Tensor",
    kernel=_kernel,
    fake=_fake,
    setup=_setup,
    backward=_backward,
)


def sddmm_binary(
    indptr: Tensor,
    indices: Tensor,
    op: str,
    lhs: Tensor,
    rhs: Tensor,
    *,
    lhs_target: str = "u",
    rhs_target: str = "v",
    eids: Tensor | None = None,
    transpose: Transpose | None = None,
) -> Tensor:
    """The message of every edge from two operands (``u_add_v`` and its kin).

    ``out[e] = op(lhs, rhs)``, each operand taken at its side of edge ``e``; computed in float32 or
    wider. Differentiable in both operands, deterministically. Same as ``dgl.ops.gsddmm``.

    Parameters
    ----------
    indptr, indices, op, lhs, rhs, lhs_target, rhs_target, eids, transpose
        As in :func:`hopflow.ops.spmm_binary`.

    Returns
    -------
    Tensor
        Shape [E, ...], in order of edge ids, dtype of the operands.

    Raises
    ------
    IndexError, ValueError, TypeError
        Ids, shapes, dtypes or devices do not match.
    """
    o = require_operands(indptr, indices, op, lhs, rhs, lhs_target, rhs_target, eids)
    num_src = [x.shape[0] for x, t in ((lhs, lhs_target), (rhs, rhs_target)) if t == "u"]
    if num_src:
        require_transpose(transpose, o.indices, max(num_src))
    else:
        transpose = None  # nothing goes back to the sources
    out = _sddmm_binary(
        op, o.lhs, lhs_target, o.rhs, rhs_target, o.indptr, o.indices, o.eids,
        *(transpose or (None, None, None)),
    )  # fmt: skip
    return in_shape(out, out.shape[0], *o.out_shape)


def sddmm_binary_reference(
    indptr: Tensor,
    indices: Tensor,
    op: str,
    lhs: Tensor,
    rhs: Tensor,
    *,
    lhs_target: str = "u",
    rhs_target: str = "v",
    eids: Tensor | None = None,
) -> Tensor:
    """What :func:`sddmm_binary` computes, in plain torch."""
    messages, _ = messages_reference(indptr, indices, op, lhs, rhs, lhs_target, rhs_target, eids)
    messages = messages.to(lhs.dtype)
    return (
        messages
        if eids is None
        else torch.empty_like(messages).index_copy(0, eids.long(), messages)
    )
