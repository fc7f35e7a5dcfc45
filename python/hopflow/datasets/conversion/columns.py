"""Node columns: checked, converted and copied in pieces, or linked."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hopflow.ops as ops
from hopflow.datasets.checks import as_column, as_features, as_named_column
from hopflow.datasets.conversion.growing import GrowingArray, record_of
from hopflow.datasets.conversion.journal import Journal
from hopflow.datasets.conversion.options import BY_ROW_DTYPE
from hopflow.datasets.conversion.rows import FileRows, Rows, row_bytes, rows_at_a_time, rows_from
from hopflow.datasets.dataset import Array
from hopflow.storage.array_files import ArrayRecord, as_array
from hopflow.storage.encoded_column import BY_ROW
from hopflow.storage.manifests import Column, rows_of_column

_STEP_BYTES = 1 << 30
_MOST_ENCODED = 1 << 20  # numbers encoded at a time: 8 MiB in float64, a few arrays of that size
_CANNOT_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES, errno.ENOSYS)


def planned_column(name: str, rows: Rows, num_rows: int, dtype: str | None, kind: str) -> Column:
    """The column that rows of a source become.

    Parameters
    ----------
    name : str
        Of the column.
    rows : Rows
        What the source has.
    num_rows : int
        How many there must be.
    dtype : str, optional
        What to convert it to.
    kind : {"node", "edge"}
        What a row is.

    Raises
    ------
    ValueError
        Another number of rows, no numbers, no matrix where features must be one or rows are to be
        encoded, or a dtype asked for of what are no floats.
    """
    if not rows.shape or rows.shape[0] != num_rows:
        raise ValueError(f"{rows.what}: expected {num_rows} rows, got shape {rows.shape}")
    # Of no rows: the dtype and the shape are what the checks make of them.
    made = _checked(name, np.empty((0, *rows.shape[1:]), rows.dtype), rows.what, kind)
    if dtype is not None and made.dtype.kind != "f":
        raise ValueError(f"{rows.what}: dtype: expected a column of floats, got {made.dtype}")
    if dtype == BY_ROW_DTYPE:
        if made.ndim != 2 or not made.shape[1]:
            raise ValueError(
                f"{rows.what}: dtype: expected a matrix [{num_rows}, D] for {dtype}, got shape"
                f" {rows.shape}"
            )
        return Column(name, "float32", tuple(made.shape[1:]), BY_ROW)
    return Column(name, dtype or made.dtype.name, tuple(made.shape[1:]))


def _checked(name: str, piece: Array, what: str, kind: str) -> Array:
    if kind == "edge":
        return as_column(piece, rows=len(piece), what=what)
    return as_named_column(name, piece, rows=len(piece), what=what)


def converted(column: Column, piece: Array, what: str, kind: str, first: int) -> Array:
    """Rows of a source as the column's file has them.

    Raises
    ------
    ValueError
        Features that are not finite, or not in the dtype that was asked for.
    """
    with rows_from(first):
        made = _checked(column.name, piece, what, kind)
        if column.code:
            return _encoded(made, what)
        if made.dtype.name == column.dtype:
            return made
        wanted = torch.from_numpy(made).to(getattr(torch, column.dtype))
        lost = ~torch.isfinite(wanted).reshape(len(made), -1).all(1)
        lost &= torch.from_numpy(np.isfinite(made).reshape(len(made), -1).all(1))
        if lost.any():
            row = int(lost.int().argmax())
            raise ValueError(f"{what}: a value in row {row} does not fit {column.dtype}")
        return as_array(wanted)


def _encoded(made: Array, what: str) -> Array:
    """Rows of a matrix, each in bytes with a scale and a bias of its own."""
    finite = np.isfinite(made).all(1)
    if not finite.all():
        raise ValueError(
            f"{what}: expected finite numbers, which have a code of 8 bits, got NaN or infinity in"
            f" row {int(finite.argmin())}"
        )
    # In float64 what is encoded at a time takes no more than the piece, which keeps to the memory.
    rows = max(1, min(_MOST_ENCODED, made.nbytes // 8) // made.shape[1])
    try:
        return as_array(ops.quantize_by_row(torch.from_numpy(made), chunk_rows=rows))
    except ValueError as error:  # of a row that spans more than float32 can
        raise ValueError(f"{what}: {str(error).removeprefix('x: ')}") from None


def write_column(
    journal: Journal,
    file: Path,
    column: Column,
    rows: Rows,
    *,
    kind: str,
    link: bool,
    piece_bytes: int,
    on_rows: Callable[[int], None],
) -> ArrayRecord:
    """Write a column, a step for each GiB; or link it where it is as it must be.

    Returns
    -------
    ArrayRecord
        What is to be known of its file.
    """
    layout = rows_of_column(column, rows.shape[0])
    (dtype,), shape = layout.dtypes, layout.shape
    step = rows_at_a_time(rows, piece_bytes)
    if link and _may_link(rows, dtype, shape):
        assert isinstance(rows, FileRows)
        said = journal.step(
            f"link-{file.name}",
            lambda: _linked(file, column, rows, kind=kind, step=step, on_rows=on_rows),
        )
        if said is not None:
            return ArrayRecord(said["dtype"], shape, said["crc32"], said["crc32_ends"])
    lot = max(step, _STEP_BYTES // max(row_bytes(rows), 1) // step * step)
    state: Any = None
    first = number = 0
    while (done := journal.result(f"{file.name}-{number}")) is not None:
        state, first, number = done, min(first + lot, rows.shape[0]), number + 1
    on_rows(first)
    with GrowingArray(file, dtype, shape, state) as out:
        pieces = rows.pieces(step, first)
        while first < rows.shape[0] or not number:
            last = min(first + lot, rows.shape[0])
            while first < last:
                piece = next(pieces)
                out.write(converted(column, piece, rows.what, kind, first))
                first += len(piece)
                on_rows(first)
            journal.step(f"{file.name}-{number}", lambda: (out.state(), [file]))
            number += 1
        for _ in pieces:  # lets an archive compare its checksum
            pass
        return out.record()


def _may_link(rows: Rows, dtype: str, shape: tuple[int, ...]) -> bool:
    return (
        isinstance(rows, FileRows) and rows.is_npy and rows.shape == shape
        and rows.dtype == np.dtype(dtype)
    )  # fmt: skip


def _linked(
    file: Path,
    column: Column,
    rows: FileRows,
    *,
    kind: str,
    step: int,
    on_rows: Callable[[int], None],
) -> tuple[Any, list[Path]]:
    """Link a column, and read it once for its checksum and what it must not hold."""
    file.unlink(missing_ok=True)
    try:
        os.link(rows.file.resolve(), file)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        return None, []
    with file.open("rb") as opened:
        crc = zlib.crc32(opened.read(rows.offset))
    first = 0
    for piece in FileRows(rows.what, rows.dtype, rows.shape, file, rows.offset).pieces(step):
        if piece.size:
            crc = zlib.crc32(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data, crc)
        _check_linked(column, piece, rows.what, kind, first)
        first += len(piece)
        on_rows(first)
    return record_of(file, rows.dtype.name, rows.shape, crc).to_json(), [file]


def _check_linked(column: Column, piece: Array, what: str, kind: str, first: int) -> None:
    if piece.dtype == np.float16:
        # numpy asks float16 one by one: an exponent of ones is no finite number.
        is_finite = not ((piece.view(np.uint16) & 0x7C00) == 0x7C00).any()
        if is_finite:
            return
    if column.name == "feat" and kind == "node":
        with rows_from(first):
            as_features(piece, rows=len(piece), what=what)
