"""Encoders of the tables that :func:`hopflow.ops.gather_decoded` reads, in plain torch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from hopflow.ops._shapes import as_columns, as_int, require_features
from hopflow.ops.gather_decoded import ROW_SCALE_BYTES

# A range of numbers is cut into so many steps, for the 256 values of a byte.
_STEPS = 255
# Numbers of a chunk, by default: 8 MiB in float64, and a few arrays of that size at a time.
_CHUNK_NUMBERS = 1 << 20


def quantize_by_column(
    x: Tensor, *, chunk_rows: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Encode a table in int8, with a scale and an offset for each column.

    A column is cut into 255 equal steps from its least number to its greatest. A decoded number is
    at most half a step, ``scale / 2``, off, and what float32 rounds: 2**-22 of the largest absolute
    value in its column. A column of one number comes back exactly (its scale is 0).

    Parameters
    ----------
    x : Tensor
        Shape [N, ...], of floating point; a memory-mapped one is read twice, chunk by chunk.
    chunk_rows : int, optional
        Rows that are taken up at a time; by default a million numbers.

    Returns
    -------
    q : Tensor
        int8, shape of ``x``.
    scale, offset : Tensor
        float32, shape of a row; both 0 for a table without rows.

    Raises
    ------
    TypeError, ValueError
        ``x`` is no tensor of floating point; it holds a NaN or an infinity (the first one in its
        first row is named), or a column spans more than float32 can; ``chunk_rows`` below 1.

    Examples
    --------
    >>> q, scale, offset = quantize_by_column(features)
    >>> rows = gather_decoded(q, ids, scale=scale, offset=offset)
    """
    x = require_features("x", x).detach()
    flat = as_columns(x)
    device, width = x.device, flat.shape[1]
    low = torch.full((width,), math.inf, dtype=torch.float64, device=device)
    high = -low
    for start, chunk in _chunks(flat, chunk_rows):
        _require_finite(x, start, chunk)
        low = torch.minimum(low, chunk.amin(0).double())
        high = torch.maximum(high, chunk.amax(0).double())
    if flat.shape[0] == 0:
        low, high = torch.zeros_like(low), torch.zeros_like(high)
    scale = _steps(low, high, "column")
    # int8 begins at -128.
    offset = torch.where(scale == 0, low, low + 128 * scale.double()).float()
    q = torch.empty(flat.shape, dtype=torch.int8, device=device)
    for start, chunk in _chunks(flat, chunk_rows):
        q[start : start + chunk.shape[0]] = _nearest(chunk, scale, offset, -128)
    row = x.shape[1:]
    return q.view(x.shape), scale.view(row), offset.view(row)


def quantize_by_row(x: Tensor, *, chunk_rows: int | None = None) -> Tensor:
    """Encode a table in uint8, each row followed by a scale and a bias of its own.

    The rows are laid out as ``torch.ops.quantized.embedding_bag_byte_prepack`` does it: D bytes,
    float32 scale, float32 bias. A decoded number is at most ``scale / 2`` off, and what float32
    rounds: 2**-22 of the largest absolute value in its row. A row of one number comes back exactly.

    Parameters
    ----------
    x : Tensor
        Shape [N, D], of floating point; a memory-mapped one is read once, chunk by chunk.
    chunk_rows : int, optional
        Rows that are taken up at a time; by default a million numbers.

    Returns
    -------
    Tensor
        uint8, shape [N, D + 8].

    Raises
    ------
    TypeError, ValueError
        ``x`` is no 2-D tensor of floating point; it holds a NaN or an infinity (the first one in
        its first row is named), or a row spans more than float32 can; ``chunk_rows`` below 1.
    """
    x = require_features("x", x).detach()
    if x.dim() != 2:
        raise ValueError(f"x: expected 2 dimensions, got shape {list(x.shape)}")
    num_rows, width = x.shape
    out = torch.empty((num_rows, width + ROW_SCALE_BYTES), dtype=torch.uint8, device=x.device)
    for start, chunk in _chunks(x, chunk_rows):
        _require_finite(x, start, chunk)
        if width == 0:
            low = high = torch.zeros(chunk.shape[0], dtype=torch.float64, device=x.device)
        else:
            low, high = chunk.amin(1).double(), chunk.amax(1).double()
        scale, bias = _steps(low, high, "row", start), low.float()
        to = out[start : start + chunk.shape[0]]
        to[:, :width] = _nearest(chunk, scale.unsqueeze(1), bias.unsqueeze(1), 0)
        to[:, width:] = torch.stack([scale, bias], 1).view(torch.uint8)
    return out


def _chunks(x: Tensor, chunk_rows: int | None) -> Iterator[tuple[int, Tensor]]:
    """Consecutive rows of ``x`` and the number of the first."""
    if chunk_rows is None:
        rows = max(1, _CHUNK_NUMBERS // max(1, x.shape[1]))
    else:
        rows = as_int("chunk_rows", chunk_rows)
        if rows < 1:
            raise ValueError(f"chunk_rows: expected at least 1, got {rows}")
    for start in range(0, x.shape[0], rows):
        yield start, x[start : start + rows]


def _require_finite(x: Tensor, start: int, chunk: Tensor) -> None:
    wrong = ~chunk.isfinite()
    if not bool(wrong.any()):
        return
    row, column = wrong.nonzero()[0].tolist()
    value = float(chunk[row, column])
    place = [start + row]
    for size in reversed(x.shape[1:]):
        place.insert(1, column % size)
        column //= size
    raise ValueError(f"x{place}: expected finite numbers, got {value}")


def _steps(low: Tensor, high: Tensor, what: str, start: int = 0) -> Tensor:
    """The length of a step between float64 bounds, in float32 and never too short."""
    span = high - low
    scale = (span / _STEPS).float()
    # Rounded down, the steps would end before the greatest number.
    short = scale.double() * _STEPS < span
    scale = torch.where(short, torch.nextafter(scale, torch.full_like(scale, math.inf)), scale)
    # What decoding multiplies, adds and gives must be finite in float32.
    most = torch.maximum((256 * scale.double()), torch.maximum(low.abs(), high.abs()))
    wrong = most > torch.finfo(torch.float32).max
    if bool(wrong.any()):
        first = int(wrong.nonzero()[0])
        raise ValueError(
            f"x: {what} {start + first} spans {float(low[first]):g} to {float(high[first]):g},"
            " more than float32 can"
        )
    return scale


def _nearest(chunk: Tensor, scale: Tensor, offset: Tensor, least: int) -> Tensor:
    """The integers from ``least`` on whose values are nearest to the numbers, in float64."""
    step = torch.where(scale == 0, torch.ones_like(scale), scale).double()
    q = (chunk.double() - offset.double()).div_(step).round_()
    return q.clamp_(least, least + _STEPS)
