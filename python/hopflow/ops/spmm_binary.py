"""SpMM of two operands: ``u_mul_e`` and its kin with every reducer, without writing messages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._integers import reduce_integers
from hopflow.ops._library import Spec, define
from hopflow.ops._message_gradients import (
    Edges,
    Factor,
    Route,
    from_destinations,
    keep_operands,
    kept_operands,
    operand_gradients,
    tangent,
)
from hopflow.ops._messages import (
    fold_batch,
    message_shape,
    messages_reference,
    require_operands,
    source_counts,
    sum_to,
)
from hopflow.ops._place import check_edges
from hopflow.ops._shapes import INTEGERS, accumulator_dtype, as_columns, dense_rows, in_shape
from hopflow.ops.csc import Transpose
from hopflow.ops.spmm import (
    has_arg,
    inverse_degrees,
    reduce_reference,
    reduced_shapes,
    require_reduce,
    winner,
)


def _is_weighted(op: str, x: Tensor, x_target: str, weight: Tensor, weight_target: str) -> bool:
    """Whether ``x`` is a source's row and ``weight`` one factor an edge and head: ops.spmm."""
    return (
        op == "mul"
        and (x_target, weight_target) == ("u", "e")
        and weight.shape[2] == 1
        and weight.shape[1] in (1, x.shape[1])
        and x.shape[1] > 0
        and x.shape[2] > 1
    )


def _shapes(
    op: str,
    lhs: Tensor,
    lhs_target: str,
    rhs: Tensor,
    rhs_target: str,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    reduce: str,
    *_: Any,
) -> tuple[Spec, Spec]:
    shape = (indptr.shape[0] - 1, *message_shape(op, lhs, rhs))
    return reduced_shapes(shape, lhs, reduce)


def _run(
    out: Tensor,
    arg: Tensor,
    op: str,
    lhs: Tensor,
    lhs_target: str,
    rhs: Tensor,
    rhs_target: str,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    reduce: str,
    *_: Any,
) -> None:
    sources = source_counts(lhs, lhs_target, rhs, rhs_target)
    check_edges(indptr, indices, eids, min(sources, default=None))
    if not has_arg(reduce):
        pair = (lhs, lhs_target, rhs, rhs_target)
        for x, x_target, weight, weight_target in (pair, (*pair[2:], *pair[:2])):
            if _is_weighted(op, x, x_target, weight, weight_target):
                # Its kernel keeps the sums in registers.
                num_dst, outer, inner = out.shape
                heads = weight.shape[1]
                width = outer * inner // heads
                x = dense_rows(x.reshape(x.shape[0], heads, width))
                weight = weight.flatten(1).to(accumulator_dtype(weight.dtype)).contiguous()
                _native.spmm(
                    x, indptr, indices, indices.shape[0], weight, eids, None, reduce,
                    out.view(num_dst, heads, width), None,
                )  # fmt: skip
                return
    _native.spmm_binary(
        op, dense_rows(lhs), lhs_target, dense_rows(rhs), rhs_target, indptr, indices, eids, reduce,
        out.flatten(1), arg.flatten(1) if has_arg(reduce) else None,
    )  # fmt: skip


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.reduce = inputs[8]
    ctx.mark_non_differentiable(output[1])
    keep_operands(ctx, inputs, output)


def _backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    edges, left, right, arg = kept_operands(ctx)
    needs = (ctx.needs_input_grad[1], ctx.needs_input_grad[3])
    if has_arg(ctx.reduce):
        assert arg is not None
        route: Route = partial(_from_winners, arg)
    else:
        route = from_destinations
        if ctx.reduce == "mean":
            scaled = grad * inverse_degrees(edges.indptr, grad.dtype).view(-1, 1, 1)
            if scaled.dtype != grad.dtype:
                # A share of a half may be less than a half can hold: on in the wider type.
                left, right = left.to(scaled.dtype), right.to(scaled.dtype)
                grads = operand_gradients(route, edges, scaled, ctx.op, left, right, needs)
                narrow = (None if g is None else g.to(grad.dtype) for g in grads)
                return None, next(narrow), None, next(narrow), *[None] * 8
            grad = scaled
    grads = operand_gradients(route, edges, grad, ctx.op, left, right, needs)
    return None, grads[0], None, grads[1], *[None] * 8


def _from_winners(
    arg: Tensor,
    edges: Edges,
    grad: Tensor,
    target: str,
    factor: Factor | None,
    shape: Sequence[int],
) -> Tensor:
    """The gradient of an operand where one edge an element won, as :func:`from_destinations`."""
    if edges.indices.shape[0] == 0 or 0 in shape:
        return grad.new_zeros(shape)
    position, found = winner(edges.indptr, as_columns(arg))
    position, found = position.view(arg.shape), found.view(arg.shape)
    if factor is not None:
        ids = {"u": edges.indices, "v": None, "e": edges.eids}[factor.target]
        other = _rows_at(position, factor.other, factor.target, ids)
        grad = grad * other if factor.op == "mul" else grad / other
        # A dot product's winner is one for all that it sums.
        arg, found = arg.expand(grad.shape), found.expand(grad.shape)
    grad = torch.where(found, grad, grad.new_zeros(()))
    if target == "v":
        return sum_to(grad, shape)
    flat, flat_arg = as_columns(grad), as_columns(arg).contiguous()
    if target == "e":
        out = torch.ops.hopflow.segment_reduce_backward(
            flat, flat_arg, edges.indptr, edges.eids, edges.indices.shape[0], "max"
        )
    else:
        t_indptr, t_rows, t_positions = edges.transpose()
        out = torch.ops.hopflow.spmm_arg_backward(
            flat, flat_arg, edges.indptr, edges.indices, edges.num_src,
            t_indptr, t_rows, t_positions,
        )  # fmt: skip
    return sum_to(out.view(out.shape[0], *grad.shape[1:]), shape)


def _rows_at(position: Tensor, x: Tensor, target: str, ids: Tensor | None) -> Tensor:
    """Elements of an operand for the edges at ``position`` [V, A, B]; all that a dot sums.

    ``ids`` says which row of ``x`` belongs to each position; None if they are numbered alike.
    """
    if target == "v":
        return x
    rows = position if ids is None else ids.long()[position]
    outer = torch.arange(position.shape[1], device=rows.device).view(1, -1, 1)
    inner = torch.arange(max(position.shape[2], x.shape[2]), device=rows.device).view(1, 1, -1)
    return x[rows, outer if x.shape[1] != 1 else 0, inner if x.shape[2] != 1 else 0]


def _jvp(
    inputs: tuple[Any, ...], output: Sequence[Tensor], tangents: tuple[Any, ...]
) -> tuple[Tensor, None]:
    op, lhs, lhs_target, rhs, rhs_target, *edges = inputs
    t_lhs, t_rhs = tangents[1], tangents[3]
    if not has_arg(edges[3]):

        def call(op: str, lhs: Tensor, rhs: Tensor) -> Tensor:
            out: Tensor = _spmm_binary(op, lhs, lhs_target, rhs, rhs_target, *edges)[0]
            return out

        return tangent(call, op, lhs, rhs, t_lhs, t_rhs), None
    indptr, indices, eids, *_ = edges
    arg = output[1]
    if indices.shape[0] == 0:
        return output[0].new_zeros(arg.shape), None
    position, found = winner(indptr, as_columns(arg))
    position, found = position.view(arg.shape), found.view(arg.shape)
    ids = {"u": indices, "v": None, "e": eids}

    def at(x: Tensor, target: str) -> Tensor:
        return _rows_at(position, x, target, ids[target])

    def combine(op: str, lhs: Tensor, rhs: Tensor) -> Tensor:
        left, right = at(lhs, lhs_target), at(rhs, rhs_target)
        if op == "dot":
            return (left * right).sum(2, keepdim=True)
        out: Tensor = getattr(torch, op)(left, right)
        return out

    won = tangent(combine, op, lhs, rhs, t_lhs, t_rhs)
    return torch.where(found, won, won.new_zeros(())), None


_spmm_binary = define(
    "spmm_binary(str op, Tensor lhs, str lhs_target, Tensor rhs, str rhs_target, Tensor indptr,"
    " Tensor indices, Tensor? eids, str reduce, Tensor? t_indptr, Tensor? t_rows,"
    " Tensor? t_positions) -> (Tensor, Tensor)",
    shapes=_shapes,
    run=_run,
    setup=_setup,
    backward=_backward,
    jvp=_jvp,
    batch=fold_batch,
)


def spmm_binary(
    indptr: Tensor,
    indices: Tensor,
    op: str,
    lhs: Tensor,
    rhs: Tensor,
    *,
    lhs_target: str = "u",
    rhs_target: str = "e",
    reduce: str = "sum",
    eids: Tensor | None = None,
    transpose: Transpose | None = None,
) -> Tensor:
    """Reduce messages of two operands at each destination (``u_mul_e`` and its kin).

    ``out[v] = reduce(op(lhs, rhs) for every edge to v)``, each operand taken at its side of the
    edge. Messages are never written out. Rules as in :func:`hopflow.ops.spmm`; differentiable in
    both operands, deterministically. Same as ``dgl.ops.gspmm``, for every pair of sides.

    Parameters
    ----------
    indptr : Tensor
        Shape [V + 1]; the in-edges of ``v`` are at positions ``indptr[v]:indptr[v + 1]``.
    indices : Tensor
        Source of the edge at each position, shape [E], int32 or int64.
    op : {"add", "sub", "mul", "div", "dot"}
        How the operands combine; "dot" sums over their last dimension, which becomes 1.
    lhs, rhs : Tensor
        Features of one dtype, shape [rows, ...] with one row a source, destination or edge;
        trailing dimensions broadcast. Integers and booleans are promoted as torch does.
    lhs_target, rhs_target : {"u", "v", "e"}
        Whose rows they are: the sources', the destinations' or the edges'.
    reduce : {"sum", "mean", "max", "min"}
        How a destination combines its messages.
    eids : Tensor, optional
        Edge at each position, a permutation, shape [E]; None if edge ``e`` is at position ``e``.
    transpose : tuple of Tensor, optional
        :func:`hopflow.ops.transpose_csc` of these edges, if it is at hand.

    Returns
    -------
    Tensor
        Shape [V, ...], dtype of the operands; of two of integers as :func:`hopflow.ops.spmm`.

    Raises
    ------
    IndexError, ValueError, TypeError
        Ids, shapes, dtypes or devices do not match.
    """
    require_reduce(reduce)
    o = require_operands(indptr, indices, op, lhs, rhs, lhs_target, rhs_target, eids, transpose)
    if o.lhs.dtype in INTEGERS:
        out = reduce_integers(
            op, o.lhs, lhs_target, o.rhs, rhs_target, o.indptr, o.indices, o.eids,
            o.indices.shape[0], reduce,
        )  # fmt: skip
        return in_shape(out, out.shape[0], *o.out_shape)
    out, _ = _spmm_binary(
        op, o.lhs, lhs_target, o.rhs, rhs_target, o.indptr, o.indices, o.eids, reduce, *o.transpose
    )  # fmt: skip
    return in_shape(out, out.shape[0], *o.out_shape)


def spmm_binary_reference(
    indptr: Tensor,
    indices: Tensor,
    op: str,
    lhs: Tensor,
    rhs: Tensor,
    *,
    lhs_target: str = "u",
    rhs_target: str = "e",
    reduce: str = "sum",
    eids: Tensor | None = None,
) -> Tensor:
    """What :func:`spmm_binary` computes, in plain torch, with the messages written out."""
    messages, dst = messages_reference(indptr, indices, op, lhs, rhs, lhs_target, rhs_target, eids)
    return reduce_reference(messages, dst, indptr.shape[0] - 1, reduce).to(lhs.dtype)
