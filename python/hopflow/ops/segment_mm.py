"""Matrix products of rows that come in segments, each segment with a matrix of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from hopflow.ops._library import Spec, define
from hopflow.ops._place import check_indptr, check_permutation
from hopflow.ops._shapes import (
    dtype_name,
    optional_ids,
    require_features,
    require_same_device,
)
from hopflow.ops.spmm import require_indptr

# Operators take x [N, B, I], weights [T, B, I, O] and the segments' bounds [T + 1] on the host. The
# two below are each other's gradients.


def _segments(bounds: Tensor, rows: Tensor | None) -> Iterator[tuple[int, slice, Tensor | None]]:
    """The number of each segment that has rows, its place, and its rows where they lie apart."""
    rows = None if rows is None else rows.long()
    for number, (begin, end) in enumerate(pairwise(bounds.tolist())):
        if begin < end:
            yield number, slice(begin, end), None if rows is None else rows[begin:end]


def _multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Products of the matrices [B, ., .]; one alone is spared the detour over a batch."""
    if a.shape[0] == 1:
        torch.mm(a[0], b[0], out=out[0])
    else:
        torch.bmm(a, b, out=out)


def _shapes(x: Tensor, weight: Tensor, *_: Any) -> Spec:
    return (x.shape[0], weight.shape[1], weight.shape[3]), x.dtype, x.device


def _run(out: Tensor, x: Tensor, weight: Tensor, bounds: Tensor, rows: Tensor | None) -> None:
    # Torch's products know nothing of these arrays.
    check_indptr("indptr", bounds, x.shape[0], everywhere=True)
    check_permutation("rows", rows, everywhere=True)
    for number, place, mine in _segments(bounds, rows):
        if mine is None:
            _multiply(x[place].transpose(0, 1), weight[number], out[place].transpose(0, 1))
            continue
        product = out.new_empty((mine.shape[0], *out.shape[1:]))
        taken = x.index_select(0, mine)
        _multiply(taken.transpose(0, 1), weight[number], product.transpose(0, 1))
        out.index_copy_(0, mine, product)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, bounds, rows = ctx.saved_tensors
    grad_x = grad_weight = None
    if ctx.needs_input_grad[0]:
        grad_x = _segment_mm(grad, weight.transpose(2, 3), bounds, rows)
    if ctx.needs_input_grad[1]:
        grad_weight = _segment_outer(x, grad, bounds, rows)
    return grad_x, grad_weight, None, None


_segment_mm = define(
    "segment_mm(Tensor x, Tensor weight, Tensor bounds, Tensor? rows) -> Tensor",
    shapes=_shapes,
    run=_run,
    backward=_backward,
    linear=["x", "weight"],
)


def _outer_shapes(x: Tensor, y: Tensor, bounds: Tensor, *_: Any) -> Spec:
    return (bounds.shape[0] - 1, *x.shape[1:], y.shape[2]), x.dtype, x.device


def _outer_run(out: Tensor, x: Tensor, y: Tensor, bounds: Tensor, rows: Tensor | None) -> None:
    done = 0
    for number, place, mine in _segments(bounds, rows):
        out[done:number].zero_()
        done = number + 1
        left, right = ((z[place] if mine is None else z.index_select(0, mine)) for z in (x, y))
        _multiply(left.permute(1, 2, 0), right.transpose(0, 1), out[number])
    out[done:].zero_()


def _outer_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, y, bounds, rows = ctx.saved_tensors
    grad_x = grad_y = None
    if ctx.needs_input_grad[0]:
        grad_x = _segment_mm(y, grad.transpose(2, 3), bounds, rows)
    if ctx.needs_input_grad[1]:
        grad_y = _segment_mm(x, grad, bounds, rows)
    return grad_x, grad_y, None, None


_segment_outer = define(
    "segment_outer(Tensor x, Tensor y, Tensor bounds, Tensor? rows) -> Tensor",
    shapes=_outer_shapes,
    run=_outer_run,
    backward=_outer_backward,
    linear=["x", "y"],
)


def segment_mm(indptr: Tensor, x: Tensor, weight: Tensor, *, rows: Tensor | None = None) -> Tensor:
    """Multiply the rows of each segment with the segment's matrix.

    ``out[i] = x[i] @ weight[t]`` for every row ``i`` of segment ``t``: one matrix product a
    segment, with neither a copy of the weights for each row nor, where the rows lie apart, a
    sorted copy of ``x`` that outlives the call. With heads each has its own matrix, as the blocks
    of a block-diagonal one have. Differentiable in ``x`` and ``weight``. On CUDA the host waits for
    ``indptr``. Same as DGL's ``dgl.ops.segment_mm`` (there the segments are given by their
    lengths) and, with ``rows``, as ``dgl.ops.gather_mm``.

    Parameters
    ----------
    indptr : Tensor
        Segment ``t`` is at places ``indptr[t]:indptr[t + 1]``; shape [T + 1].
    x : Tensor
        Shape [N, I] or [N, H, I]; float32, float64, float16 or bfloat16.
    weight : Tensor
        Shape [T, I, O] or [T, H, I, O], dtype of ``x``.
    rows : Tensor, optional
        Row at each place, a permutation, shape [N]; None if row ``i`` is at place ``i``.

    Returns
    -------
    Tensor
        Shape [N, O] or [N, H, O], in the order of ``x``.

    Raises
    ------
    IndexError, ValueError, TypeError
        Segments, shapes, dtypes or devices do not match.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.ops.segment_mm.html
    """
    x, weight = require_features("x", x), require_features("weight", weight)
    indptr, rows = require_indptr(indptr), optional_ids("rows", rows)
    require_same_device("x", x, "weight", weight)
    require_same_device("x", x, "indptr", indptr)
    if x.dtype != weight.dtype:
        raise TypeError(
            f"weight: expected the dtype of x, {dtype_name(x.dtype)}, got"
            f" {dtype_name(weight.dtype)}"
        )
    if x.dim() not in (2, 3):
        raise ValueError(f"x: expected shape [N, I] or [N, H, I], got {list(x.shape)}")
    inner = [*x.shape[1:]]
    if weight.dim() != x.dim() + 1 or [*weight.shape[1:-1]] != inner:
        raise ValueError(
            f"weight: expected shape [T, {', '.join(map(str, inner))}, O] beside x of shape"
            f" {list(x.shape)}, got {list(weight.shape)}"
        )
    if indptr.shape[0] != weight.shape[0] + 1:
        raise ValueError(
            f"indptr: expected {weight.shape[0] + 1} bounds for {weight.shape[0]} matrices, got"
            f" {indptr.shape[0]}"
        )
    if rows is not None and rows.shape[0] != x.shape[0]:
        raise ValueError(f"rows: expected {x.shape[0]} of them, got {rows.shape[0]}")
    bounds = indptr.cpu()
    if x.dim() == 3:
        result: Tensor = _segment_mm(x, weight, bounds, rows)
        return result
    out: Tensor = _segment_mm(x.unsqueeze(1), weight.unsqueeze(1), bounds, rows)
    return out.squeeze(1)


def head_mm(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply every row's heads with a matrix each: ``out[n, h] = x[n, h] @ weight[h]``.

    What ``torch.bmm`` computes of the heads as its batch, written row by row at once: a result
    that is contiguous, without a copy. :func:`segment_mm` of one segment. Differentiable in both.

    Parameters
    ----------
    x : Tensor
        Shape [N, H, I]; float32, float64, float16 or bfloat16.
    weight : Tensor
        Shape [H, I, O], dtype of ``x``.

    Returns
    -------
    Tensor
        Shape [N, H, O].

    Raises
    ------
    ValueError, TypeError
        Shapes, dtypes or devices do not match.
    """
    x, weight = require_features("x", x), require_features("weight", weight)
    require_same_device("x", x, "weight", weight)
    if x.dtype != weight.dtype:
        raise TypeError(
            f"weight: expected the dtype of x, {dtype_name(x.dtype)}, got"
            f" {dtype_name(weight.dtype)}"
        )
    if x.dim() != 3 or weight.dim() != 3 or x.shape[1:] != weight.shape[:2]:
        raise ValueError(
            "x and weight: expected shapes [N, H, I] and [H, I, O], got"
            f" {list(x.shape)} and {list(weight.shape)}"
        )
    bounds = torch.tensor([0, x.shape[0]], dtype=torch.int64, device="cpu")
    result: Tensor = _segment_mm(x, weight.unsqueeze(0), bounds, None)
    return result


def segment_mm_reference(
    indptr: Tensor, x: Tensor, weight: Tensor, *, rows: Tensor | None = None
) -> Tensor:
    """What :func:`segment_mm` computes, in plain torch, with a matrix for every row."""
    number = torch.repeat_interleave(indptr.diff())
    if rows is not None:
        number = torch.empty_like(number).index_copy_(0, rows.long(), number)
    return torch.einsum("n...i,n...io->n...o", x, weight[number])


def head_mm_reference(x: Tensor, weight: Tensor) -> Tensor:
    """What :func:`head_mm` computes, in plain torch."""
    return torch.einsum("nhi,hio->nho", x, weight)
