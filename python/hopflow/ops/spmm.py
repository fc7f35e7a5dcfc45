"""Generalised sparse-dense product over in-edges: ``copy_u`` and ``u_mul_e`` with their reducers.

``spmm_edges.py`` holds ``copy_e``, which is the same native kernel on the edges' own rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._integers import reduce_integers
from hopflow.ops._library import Spec, define
from hopflow.ops._place import check_ids, check_indptr, check_permutation, mark
from hopflow.ops._shapes import (
    INTEGERS,
    accumulator_dtype,
    as_columns,
    as_dtype_of,
    as_heads,
    beside_eids,
    dense_rows,
    dtype_name,
    in_shape,
    optional_ids,
    promoted,
    require_ids,
    require_numbers,
    require_same_device,
)
from hopflow.ops._transforms import multilinear
from hopflow.ops.csc import Transpose, destinations, require_transpose, transpose_for_backward

REDUCERS = ("sum", "mean", "max", "min")


def has_arg(reduce: str) -> bool:
    """Whether a reduction picks one edge, which the backward pass must know."""
    return reduce in ("max", "min")


def reduced_shapes(shape: Sequence[int], x: Tensor, reduce: str) -> tuple[Spec, Spec]:
    """A result of this shape with the dtype of ``x``, and the winners: int32, alike, or [0]."""
    arg_shape = shape if has_arg(reduce) else (0,)
    return (shape, x.dtype, x.device), (arg_shape, torch.int32, x.device)


def inverse_degrees(indptr: Tensor, dtype: torch.dtype) -> Tensor:
    """One over the in-degree of each destination; 1 where there is none. float32 or float64."""
    result: Tensor = _inverse(indptr, accumulator_dtype(dtype))
    return result


def as_factor(row_scale: Tensor, x: Tensor) -> Tensor:
    """One number for each row, in the dtype and with the dimensions of ``x``."""
    return row_scale.to(x.dtype).view(-1, *[1] * (x.dim() - 1))


def _inverse_shapes(indptr: Tensor, dtype: torch.dtype) -> Spec:
    return (indptr.shape[0] - 1,), dtype, indptr.device


def _inverse_run(out: Tensor, indptr: Tensor, dtype: torch.dtype) -> None:
    _native.inverse_degrees(indptr, out)


_inverse = define(
    "inverse_degrees(Tensor indptr, ScalarType dtype) -> Tensor",
    shapes=_inverse_shapes,
    run=_inverse_run,
)


def winner(indptr: Tensor, arg: Tensor) -> tuple[Tensor, Tensor]:
    """Position of the edge that won each element [V, F], and where there is one at all."""
    found = arg >= 0
    begin = indptr[:-1].unsqueeze(1)
    return torch.where(found, begin + arg, torch.zeros_like(begin)), found


def at_winners(x: Tensor, arg: Tensor, indptr: Tensor, ids: Tensor | None) -> Tensor:
    """The elements of ``x`` [rows, ...] that won, like ``arg`` [V, ...]; 0 where none did.

    ``ids`` says which row belongs to each position; None if they are numbered alike.
    """
    if x.shape[0] == 0 or (ids is not None and ids.shape[0] == 0):
        return x.new_zeros(arg.shape)
    position, found = winner(indptr, as_columns(arg))
    rows = position if ids is None else ids.long()[position]
    picked = as_columns(x).gather(0, rows)
    return torch.where(found, picked, picked.new_zeros(())).view(arg.shape)


# --- spmm: rows come from the sources ---


def _spmm_shapes(
    x: Tensor,
    indptr: Tensor,
    indices: Tensor,
    weight: Tensor | None,
    weight_ids: Tensor | None,
    row_scale: Tensor | None,
    reduce: str,
    *_: Any,
) -> tuple[Spec, Spec]:
    return reduced_shapes((indptr.shape[0] - 1, *x.shape[1:]), x, reduce)


def run_spmm(
    out: Tensor,
    arg: Tensor,
    x: Tensor,
    indptr: Tensor,
    indices: Tensor,
    weight: Tensor | None,
    weight_ids: Tensor | None,
    row_scale: Tensor | None,
    reduce: str,
    *_: Any,
) -> None:
    check_indptr("indptr", indptr, indices.shape[0])
    check_ids("rows", indices, x.shape[0], "rows of x")
    check_permutation("weight_ids", weight_ids)
    weight = None if weight is None else weight.contiguous()
    _native.spmm(
        dense_rows(x), indptr, indices, indices.shape[0], weight, weight_ids, row_scale, reduce,
        out, arg if has_arg(reduce) else None,
    )  # fmt: skip


def _spmm_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, indptr, indices, weight, weight_ids, row_scale, reduce, *transpose = inputs
    ctx.mark_non_differentiable(output[1])
    # x itself is kept only where the weights need a gradient.
    needs_x = weight is not None and weight.requires_grad
    ctx.save_for_backward(
        x if needs_x else None, indptr, indices, weight, weight_ids, row_scale, output[1],
        *transpose,
    )  # fmt: skip
    ctx.reduce, ctx.num_src = reduce, x.shape[0]


def _spmm_backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    x, indptr, indices, weight, weight_ids, row_scale, arg, *transpose = ctx.saved_tensors
    grad_x = grad_weight = None
    if ctx.needs_input_grad[0]:
        if transpose[0] is None:
            transpose = list(transpose_for_backward(indptr, indices, ctx.num_src))
        t_indptr, t_rows, t_positions = transpose
        if has_arg(ctx.reduce):
            grad_x = _spmm_arg_backward(
                as_columns(grad), as_columns(arg), indptr, indices, ctx.num_src,
                t_indptr, t_rows, t_positions,
            ).view(ctx.num_src, *grad.shape[1:])  # fmt: skip
        else:
            t_weight_ids = None
            if weight is not None:
                t_weight_ids = t_positions if weight_ids is None else weight_ids[t_positions.long()]
                t_weight_ids = mark(
                    t_weight_ids.to(t_rows.dtype), "permutation", t_weight_ids.shape[0]
                )
            grad_scale = inverse_degrees(indptr, grad.dtype) if ctx.reduce == "mean" else None
            grad_x, _arg = _spmm(
                grad, t_indptr, t_rows, weight, t_weight_ids, grad_scale, "sum", None, None, None
            )
            if row_scale is not None:
                grad_x = grad_x * as_factor(row_scale, grad_x)
    if ctx.needs_input_grad[3]:
        if row_scale is not None:
            x = x * as_factor(row_scale, x)
        if ctx.reduce == "mean":
            grad = grad * as_factor(inverse_degrees(indptr, grad.dtype), grad)
        grad_weight = torch.ops.hopflow.sddmm_dot(
            x, grad, indptr, indices, weight_ids, None, None, None
        ).to(weight.dtype)
    return grad_x, None, None, grad_weight, None, None, None, None, None, None


def _spmm_jvp(
    inputs: tuple[Any, ...], output: Sequence[Tensor], tangents: tuple[Any, ...]
) -> tuple[Tensor, None]:
    _, indptr, indices, *_ = inputs
    if output[1].numel():
        return at_winners(tangents[0], output[1], indptr, indices), None
    return multilinear(_spmm, [0, 3])(inputs, output, tangents)  # type: ignore[no-any-return]


_spmm = define(
    "spmm(Tensor x, Tensor indptr, Tensor indices, Tensor? weight, Tensor? weight_ids,"
    " Tensor? row_scale, str reduce, Tensor? t_indptr, Tensor? t_rows, Tensor? t_positions)"
    " -> (Tensor, Tensor)",
    shapes=_spmm_shapes,
    run=run_spmm,
    setup=_spmm_setup,
    backward=_spmm_backward,
    jvp=_spmm_jvp,
    folds=[{"x": -1}, {"x": 1, "weight": 1}],
)


def _arg_backward_shapes(
    grad: Tensor, arg: Tensor, indptr: Tensor, indices: Tensor, num_src: int, *_: Any
) -> Spec:
    return (num_src, grad.shape[1]), grad.dtype, grad.device


def _arg_backward_run(
    out: Tensor,
    grad: Tensor,
    arg: Tensor,
    indptr: Tensor,
    indices: Tensor,
    num_src: int,
    t_indptr: Tensor,
    t_rows: Tensor,
    t_positions: Tensor,
) -> None:
    check_indptr("t_indptr", t_indptr, t_rows.shape[0])
    check_ids("t_rows", t_rows, grad.shape[0], "destination nodes")
    _native.spmm_arg_backward(
        grad.contiguous(), arg.contiguous(), indptr, t_indptr, t_rows, t_positions, out
    )


def _arg_backward_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, arg, indptr, indices, *_rest = inputs
    ctx.save_for_backward(arg, indptr, indices)


def _arg_backward_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    arg, indptr, indices = ctx.saved_tensors
    return (at_winners(grad, arg, indptr, indices), *[None] * 7)


_spmm_arg_backward = define(
    "spmm_arg_backward(Tensor grad, Tensor arg, Tensor indptr, Tensor indices, SymInt num_src,"
    " Tensor t_indptr, Tensor t_rows, Tensor t_positions) -> Tensor",
    shapes=_arg_backward_shapes,
    run=_arg_backward_run,
    setup=_arg_backward_setup,
    backward=_arg_backward_backward,
    linear=["grad"],
    folds=[{"grad": -1, "arg": -1}],
)


# --- the public functions ---


def require_reduce(reduce: str) -> None:
    """Raise a ValueError for an unknown reduction."""
    if reduce not in REDUCERS:
        raise ValueError(f"reduce: expected one of {', '.join(REDUCERS)}, got {reduce!r}")


def require_indptr(indptr: Tensor) -> Tensor:
    """Return ``indptr`` as int64 of at least one element, or raise."""
    indptr = require_ids("indptr", indptr)
    if indptr.shape[0] == 0:
        raise ValueError("indptr: expected at least one element, got none")
    return indptr if indptr.dtype == torch.int64 else indptr.long()


def spmm(
    indptr: Tensor,
    indices: Tensor,
    x: Tensor,
    *,
    reduce: str = "sum",
    weight: Tensor | None = None,
    eids: Tensor | None = None,
    transpose: Transpose | None = None,
) -> Tensor:
    """Reduce the source rows that each destination's in-edges bring (``copy_u``, ``u_mul_e``).

    ``out[v] = reduce(weight[e] * x[u] for every edge e from u to v)``. Sums are kept in float32 or
    wider, in edge order; a destination without in-edges gets 0 for every reduction; max and min
    propagate NaN, and ties go to the first edge, which alone receives the gradient. Differentiable
    in ``x`` and ``weight``, deterministically. Same as DGL's ``dgl.ops.copy_u_mean`` and its kin.

    Integers and booleans are reduced exactly, without a gradient: the sum is int64, max and min
    keep the dtype (any and all, of booleans), and the mean is the sum divided in float64, in the
    default floating-point dtype. Beside an operand of floating point they take its dtype.

    Parameters
    ----------
    indptr : Tensor
        Shape [V + 1]; the in-edges of ``v`` are at positions ``indptr[v]:indptr[v + 1]``.
    indices : Tensor
        Source of the edge at each position, shape [E], int32 or int64.
    x : Tensor
        Source features, shape [U, ...]; float32, float64, float16, bfloat16, int64, int32, int16,
        int8, uint8 or bool.
    reduce : {"sum", "mean", "max", "min"}
        How a destination combines its messages.
    weight : Tensor, optional
        One factor an edge, shape [E], or one an edge and head, shape [E, H] with ``x`` [U, H, ...].
        For sum and mean only.
    eids : Tensor, optional
        Edge at each position, a permutation, shape [E]: the row of ``weight`` that belongs to it.
    transpose : tuple of Tensor, optional
        :func:`hopflow.ops.transpose_csc` of these edges, if it is at hand; the backward pass makes
        it otherwise. Only its shapes are checked.

    Returns
    -------
    Tensor
        Shape [V, ...], dtype of ``x`` if that is of floating point.

    Raises
    ------
    IndexError
        A source id is negative or not below U.
    ValueError, TypeError
        Shapes, dtypes or devices do not match.
    """
    require_reduce(reduce)
    x, indptr = require_numbers("x", x), require_indptr(indptr)
    indices, eids = require_ids("indices", indices), optional_ids("eids", eids)
    require_same_device("x", x, "indices", indices)
    num_heads = 1
    if weight is not None:
        x, weight = promoted("mul", x, require_numbers("weight", weight))
        if weight.dtype != x.dtype:
            raise TypeError(
                f"weight: expected the dtype of x, {dtype_name(x.dtype)}, got"
                f" {dtype_name(weight.dtype)}"
            )
        num_heads = weight.shape[1] if weight.dim() > 1 else 1
        if weight.dim() > 2 or (weight.dim() == 2 and (x.dim() < 2 or x.shape[1] != num_heads)):
            raise ValueError(
                f"weight: expected shape [E] or [E, H] with x of shape [U, H, ...], got"
                f" {list(weight.shape)} with x {list(x.shape)}"
            )
        if weight.shape[0] != indices.shape[0]:
            raise ValueError(
                f"weight: expected one row for each of the {indices.shape[0]} edges, got"
                f" {weight.shape[0]}"
            )
        weight = weight.reshape(weight.shape[0], num_heads)
        indices = beside_eids(indices, eids)
        eids = as_dtype_of("eids", eids, indices)
    else:
        eids = None
    require_transpose(transpose, indices, x.shape[0])
    if x.dtype in INTEGERS:
        factor = None if weight is None else weight.unsqueeze(2)
        whole = reduce_integers(
            "copy" if weight is None else "mul", as_heads(x, num_heads), "u", factor, "e",
            indptr, indices, eids, indices.shape[0], reduce,
        )  # fmt: skip
        return in_shape(whole, whole.shape[0], *x.shape[1:])
    if weight is not None:
        weight = weight.to(accumulator_dtype(x.dtype))
    is_plain = x.dim() == 2 and weight is None  # The operator takes it, and gives it, as it is.
    rows = x if is_plain else as_heads(x, num_heads)
    out: Tensor = _spmm(
        rows, indptr, indices, weight, eids, None, reduce, *(transpose or (None, None, None))
    )[0]
    return out if is_plain else in_shape(out, out.shape[0], *x.shape[1:])


# --- references ---


def reduce_reference(messages: Tensor, dst: Tensor, num_dst: int, reduce: str) -> Tensor:
    """Reduce messages [E, ...] by destination with torch's own scatter, in the wider dtype."""
    wide = messages.to(accumulator_dtype(messages.dtype))
    index = dst.long().view(-1, *[1] * (wide.dim() - 1)).expand_as(wide)
    name = {"sum": "sum", "mean": "mean", "max": "amax", "min": "amin"}[reduce]
    out = torch.zeros((num_dst, *wide.shape[1:]), dtype=wide.dtype)
    out = out.scatter_reduce(0, index, wide, name, include_self=False)
    return out.to(messages.dtype)


def spmm_reference(
    indptr: Tensor,
    indices: Tensor,
    x: Tensor,
    *,
    reduce: str = "sum",
    weight: Tensor | None = None,
    eids: Tensor | None = None,
) -> Tensor:
    """What :func:`spmm` computes, in plain torch, with the messages written out."""
    messages = x[indices.long()]
    if weight is not None:
        factors = weight if eids is None else weight[eids.long()]
        messages = messages * factors.view(*factors.shape, *[1] * (x.dim() - factors.dim()))
    dst = destinations(indptr.long(), indices.shape[0], torch.int64)
    return reduce_reference(messages, dst, indptr.shape[0] - 1, reduce)
