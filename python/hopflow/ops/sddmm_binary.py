"""SDDMM of two operands: ``u_add_v`` and its kin, a message for every edge."""

from __future__ import annotations

from typing import Any

from torch import Tensor

import hopflow._native as _native
from hopflow.ops._integers import reduce_integers
from hopflow.ops._library import Spec, define
from hopflow.ops._message_gradients import (
    from_edges,
    keep_operands,
    kept_operands,
    operand_gradients,
    tangent,
)
from hopflow.ops._messages import (
    fold_batch,
    in_edge_order,
    message_shape,
    messages_reference,
    require_operands,
    source_counts,
)
from hopflow.ops._place import check_edges
from hopflow.ops._shapes import INTEGERS, dense_rows, in_shape
from hopflow.ops.csc import Transpose


def _shapes(
    op: str,
    lhs: Tensor,
    lhs_target: str,
    rhs: Tensor,
    rhs_target: str,
    indptr: Tensor,
    indices: Tensor,
    *_: Any,
) -> Spec:
    return (indices.shape[0], *message_shape(op, lhs, rhs)), lhs.dtype, lhs.device


def _run(
    out: Tensor,
    op: str,
    lhs: Tensor,
    lhs_target: str,
    rhs: Tensor,
    rhs_target: str,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    *_: Any,
) -> None:
    sources = source_counts(lhs, lhs_target, rhs, rhs_target)
    check_edges(indptr, indices, eids, min(sources, default=None))
    same = op == "dot" and lhs.shape[1:] == rhs.shape[1:]
    if same and {lhs_target, rhs_target} == {"u", "v"}:
        # Its kernel has a team of lanes for each product.
        u, v = (lhs, rhs) if lhs_target == "u" else (rhs, lhs)
        _native.sddmm_dot(dense_rows(u), dense_rows(v), indptr, indices, eids, out.squeeze(2))
        return
    _native.sddmm_binary(
        op, dense_rows(lhs), lhs_target, dense_rows(rhs), rhs_target, indptr, indices, eids,
        out.flatten(1),
    )  # fmt: skip


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    edges, left, right, _ = kept_operands(ctx)
    needs = (ctx.needs_input_grad[1], ctx.needs_input_grad[3])
    grads = operand_gradients(from_edges, edges, grad, ctx.op, left, right, needs)
    return None, grads[0], None, grads[1], *[None] * 7


def _jvp(inputs: tuple[Any, ...], output: Tensor, tangents: tuple[Any, ...]) -> Tensor:
    op, lhs, lhs_target, rhs, rhs_target, *edges = inputs

    def call(op: str, lhs: Tensor, rhs: Tensor) -> Tensor:
        out: Tensor = _sddmm_binary(op, lhs, lhs_target, rhs, rhs_target, *edges)
        return out

    return tangent(call, op, lhs, rhs, tangents[1], tangents[3])


_sddmm_binary = define(
    "sddmm_binary(str op, Tensor lhs, str lhs_target, Tensor rhs, str rhs_target, Tensor indptr,"
    " Tensor indices, Tensor? eids, Tensor? t_indptr, Tensor? t_rows, Tensor? t_positions)"
    " -> Tensor",
    shapes=_shapes,
    run=_run,
    setup=keep_operands,
    backward=_backward,
    jvp=_jvp,
    batch=fold_batch,
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
        Shape [E, ...], in order of edge ids, dtype of the operands; of integers as torch has it,
        but a dot product is one of int64.

    Raises
    ------
    IndexError, ValueError, TypeError
        Ids, shapes, dtypes or devices do not match.
    """
    o = require_operands(indptr, indices, op, lhs, rhs, lhs_target, rhs_target, eids, transpose)
    if o.lhs.dtype in INTEGERS:
        out = reduce_integers(
            op, o.lhs, lhs_target, o.rhs, rhs_target, o.indptr, o.indices, o.eids,
            o.indices.shape[0], None,
        )  # fmt: skip
        return in_shape(out, out.shape[0], *o.out_shape)
    out = _sddmm_binary(
        op, o.lhs, lhs_target, o.rhs, rhs_target, o.indptr, o.indices, o.eids, *o.transpose
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
    return in_edge_order(messages.to(lhs.dtype), eids)
