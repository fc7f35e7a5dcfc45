"""Gather of rows kept in few bits, which come out as floating point."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._library import Spec, define
from hopflow.ops._place import check_ids, on_cuda
from hopflow.ops._shapes import (
    dense_rows,
    dtype_name,
    require_ids,
    require_same_device,
    require_tensor,
)
from hopflow.ops.gather import hold

ROW_SCALE_BYTES = 8
"""Bytes at the end of a row that is encoded by row: a float32 scale and a float32 bias."""

DECODED_TYPES = (torch.float32, torch.float16, torch.bfloat16)
"""What rows may be decoded to."""


def _shapes(
    x: Tensor,
    ids: Tensor | None,
    scale: Tensor | None,
    offset: Tensor | None,
    by_row: bool,
    dtype: torch.dtype,
) -> Spec:
    row = (x.shape[1] - ROW_SCALE_BYTES,) if by_row else x.shape[1:]
    place = x if ids is None else ids
    return (place.shape[0], *row), dtype, place.device


def _run(
    out: Tensor,
    x: Tensor,
    ids: Tensor | None,
    scale: Tensor | None,
    offset: Tensor | None,
    by_row: bool,
    dtype: torch.dtype,
) -> None:
    if ids is not None:
        check_ids("ids", ids, x.shape[0], "rows of x")
    rows = dense_rows(x) if x.device == out.device else x
    _native.gather_decoded(rows, ids, scale, offset, by_row, out)
    if x.device.type == "cpu" and out.device.type == "cuda":
        hold(x, out.device)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, ids = inputs[:2]
    ctx.save_for_backward(ids)
    ctx.num_rows, ctx.dtype = x.shape[0], x.dtype


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (ids,) = ctx.saved_tensors
    # Rows that were taken twice add their gradients in float32, then round once.
    wide = grad.float()
    if ids is not None:
        wide = torch.ops.hopflow.scatter_rows(wide, ids, ctx.num_rows)
    return wide.to(ctx.dtype), None, None, None, None, None


_gather_decoded = define(
    "gather_decoded(Tensor x, Tensor? ids, Tensor? scale, Tensor? offset, bool by_row,"
    " ScalarType dtype) -> Tensor",
    shapes=_shapes,
    run=_run,
    setup=_setup,
    backward=_backward,
    linear=["x"],
)


def _of_columns(name: str, value: object, x: Tensor, place: Tensor) -> Tensor:
    """One float32 a column of ``x``, flat, from what broadcasts to the shape of a row."""
    factor = require_tensor(name, value)
    if factor.dtype != torch.float32:
        raise TypeError(f"{name}: expected float32, got {dtype_name(factor.dtype)}")
    if factor.requires_grad:
        raise ValueError(f"{name}: has no gradient here; pass {name}.detach()")
    require_same_device(name, factor, "the result", place)
    row = x.shape[1:]
    if factor.shape == row:
        return factor.contiguous().view(-1)
    if factor.dim() > len(row) or any(
        n not in (1, m) for n, m in zip(reversed(factor.shape), reversed(row), strict=False)
    ):
        raise ValueError(
            f"{name}: expected a shape that broadcasts to a row's, {list(row)}, got"
            f" {list(factor.shape)}"
        )
    return factor.expand(row).contiguous().view(-1)


def _encoding(
    x: Tensor, place: Tensor, scale: Tensor | None, offset: Tensor | None, by_row: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Scale and offset as the kernel takes them, once ``x`` is found to be what they belong to."""
    if x.dim() == 0:
        raise ValueError("x: expected at least 1 dimension, got a scalar")
    if by_row:
        if x.dtype != torch.uint8:
            raise TypeError(f"x: expected uint8 beside by_row, got {dtype_name(x.dtype)}")
        if x.dim() != 2 or x.shape[1] < ROW_SCALE_BYTES:
            raise ValueError(
                f"x: expected rows of D + {ROW_SCALE_BYTES} bytes, which end with scale and bias,"
                f" got shape {list(x.shape)}"
            )
    elif x.dtype == torch.int8:
        if scale is None:
            raise ValueError("scale: expected one for the columns of x, which is of int8")
        scale = _of_columns("scale", scale, x, place)
        if offset is None:
            return scale, torch.zeros_like(scale)
        return scale, _of_columns("offset", offset, x, place)
    elif x.dtype not in DECODED_TYPES:
        raise TypeError(
            "x: expected int8, float32, float16 or bfloat16, or uint8 with by_row, got"
            f" {dtype_name(x.dtype)}"
        )
    if scale is not None or offset is not None:
        what = "by_row" if by_row else f"x of {dtype_name(x.dtype)}"
        raise ValueError(f"scale, offset: expected none beside {what}")
    return None, None


def gather_decoded(
    x: Tensor,
    ids: Tensor | None,
    *,
    scale: Tensor | None = None,
    offset: Tensor | None = None,
    by_row: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Rows of a table in few bits, decoded on the way: ``out[i] = decode(x[ids[i]])``.

    ======================= ============================ ======================
    ``x``                   value                        made by
    ======================= ============================ ======================
    int8 [N, ...]           ``scale * q + offset``       `quantize_by_column`
    uint8 [N, D + 8]        ``scale * q + bias`` of the  `quantize_by_row`
                            row, its last 8 bytes
    float32, float16,       the number itself            ``x.to(dtype)``
    bfloat16 [N, ...]
    ======================= ============================ ======================

    The product is rounded to float32, then the sum, then the result to ``dtype``, each to nearest
    even: the same bits on every instruction set and device, and as in plain torch.

    Rows encoded by row are those of torch's ``quantized::embedding_bag_byte_prepack``. torch's own
    ``embedding_bag_byte_unpack`` may round product and sum at once and so differ in the last bit.

    Parameters
    ----------
    x : Tensor
        The table; rows may lie apart in memory. With ``ids`` on CUDA it may also be in page-locked
        host memory (``pin_memory()``), which the device then reads in place.
    ids : Tensor or None
        Row numbers, shape [M], int32 or int64; None takes every row in order.
    scale, offset : Tensor, optional
        float32, of a shape that broadcasts to a row's, where the result is; of int8 alone. No
        offset is 0.
    by_row : bool
        ``x`` holds its scales and biases itself.
    dtype : torch.dtype
        Of the result: float32, float16 or bfloat16.

    Returns
    -------
    Tensor
        Shape [M, ...], or [M, D] by row, where ``ids`` are. Differentiable in ``x`` if that is of
        floating point, not in ``scale`` and ``offset``.

    Raises
    ------
    IndexError
        An id is negative or not below N.
    HopflowError
        ``ids`` are on CUDA and ``x`` in host memory that is not page-locked.
    TypeError, ValueError
        A dtype, shape or device other than described, a scale that is missing or has no use, or one
        that needs a gradient.
    """
    x = require_tensor("x", x)
    ids = None if ids is None else require_ids("ids", ids)
    if dtype not in DECODED_TYPES:
        got = dtype_name(dtype) if isinstance(dtype, torch.dtype) else type(dtype).__name__
        raise TypeError(f"dtype: expected float32, float16 or bfloat16, got {got}")
    place = x if ids is None else ids
    factors = _encoding(x, place, scale, offset, by_row)
    # Otherwise x must be page-locked: the kernel sees to that. A gradient has to be where x is.
    if ids is not None and (not (on_cuda(ids) and x.device.type == "cpu") or x.requires_grad):
        require_same_device("x", x, "ids", ids)
    result: Tensor = _gather_decoded(x, ids, *factors, by_row, dtype)
    return result


def gather_decoded_reference(
    x: Tensor,
    ids: Tensor | None,
    *,
    scale: Tensor | None = None,
    offset: Tensor | None = None,
    by_row: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """What :func:`gather_decoded` computes, in plain torch; its bits in eager mode."""
    rows = x if ids is None else x[ids.long()]
    if by_row:
        end = x.shape[1] - ROW_SCALE_BYTES
        # Copied, so that the bytes lie as float32 must.
        both = rows[:, end:].clone(memory_format=torch.contiguous_format).view(torch.float32)
        return (rows[:, :end].float() * both[:, :1] + both[:, 1:]).to(dtype)
    if scale is not None:
        decoded = rows.float() * scale
        return (decoded + (0.0 if offset is None else offset)).to(dtype)
    return rows.float().to(dtype)
