"""Columns that are kept in fewer bits than they are read in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.storage.disk_column import DiskColumn
from hopflow.structure.lazy_column import LazyColumn
from hopflow.structure.stored_column import StoredColumn

BY_ROW = "int8-by-row"
"""The code of rows that hold their own scales and biases."""
CODES = ("int8", BY_ROW, "float16", "bfloat16")
"""How :func:`encode` keeps numbers."""


class EncodedColumn(StoredColumn):
    """A column of floating point that is kept in fewer bits; rows are decoded as they are gathered.

    :func:`encode` makes one of a tensor. Assign it as any column; ``block.srcdata[name]`` has
    decoded rows, from memory, from disk, or from page-locked memory read by a GPU. They are the
    same everywhere, bit for bit. ``graph.ndata[name]`` decodes the whole column.

    Parameters
    ----------
    table : Tensor or DiskColumn
        int8 [N, ...], with ``scale`` and ``offset``; uint8 [N, D + 8], with ``by_row``; or of
        float32, float16 or bfloat16 [N, ...].
    scale, offset : Tensor, optional
        Of int8 alone: float32, of a shape that broadcasts to a row's; ``scale * q + offset``.
    by_row : bool
        Each row ends with its scale and bias, float32: torch's fused 8-bit rows.
    dtype : torch.dtype
        Of the rows that come out: float32, float16 or bfloat16.

    Raises
    ------
    TypeError, ValueError
        A table, scale or offset of another kind.
    """

    __slots__ = ("_rows", "table")

    def __init__(
        self,
        table: Tensor | DiskColumn,
        *,
        scale: Tensor | None = None,
        offset: Tensor | None = None,
        by_row: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        source = table.source if isinstance(table, DiskColumn) else table
        if not isinstance(source, (Tensor, ops.DiskRows)):
            raise TypeError(f"table: expected a Tensor or a DiskColumn, got {type(table).__name__}")
        self.table = table
        self._rows = ops.EncodedRows(source, scale=scale, offset=offset, by_row=by_row, dtype=dtype)
        super().__init__(self._rows.shape, dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        rows = self._rows
        return _made, (self.table, rows.scale, rows.offset, rows.by_row, rows.dtype)

    def __repr__(self) -> str:
        kept = "uint8 by row" if self.by_row else str(self._rows.rows.dtype)[6:]
        return f"EncodedColumn(shape={list(self.shape)}, dtype={self.dtype}, kept as {kept})"

    @property
    def device(self) -> torch.device:
        """Where the table is."""
        return self.table.device

    @property
    def by_row(self) -> bool:
        """Whether each row holds its own scale and bias."""
        return self._rows.by_row

    def encoded(self) -> Tensor:
        """The table; one that is on disk is mapped from its file."""
        return self.table.read() if isinstance(self.table, DiskColumn) else self.table

    def decode(self, encoded: Tensor, ids: Tensor | None = None) -> Tensor:
        """Rows of ``encoded`` at ``ids``, or all of them, decoded as those of the table."""
        return self._rows.decode(encoded, ids)

    def read(self) -> Tensor:
        """The whole column, decoded into memory."""
        return self.decode(self.encoded())

    def gather(self, ids: Tensor) -> Tensor:
        """Rows of the column, shape [M, ...], for ids of shape [M], where these are."""
        return self._rows.gather(ids)

    def write(self, ids: Any, rows: Tensor) -> None:
        """A ValueError: what was encoded is not changed row by row."""
        raise ValueError(
            "the column is kept in fewer bits than its rows have, and is not writable; encode it"
            " anew"
        )

    @property
    def source(self) -> ops.RowSource:
        """What threads of the loader gather rows from."""
        return self._rows

    @property
    def version(self) -> object:
        """Another after every change of the table."""
        if isinstance(self.table, DiskColumn):
            return self.table.version
        return self.table._version, self.table.data_ptr()

    def tensors(self) -> list[Tensor]:
        """The table, if it is in memory."""
        return [self.table] if isinstance(self.table, Tensor) else []

    @property
    def nbytes(self) -> int:
        """Bytes of the table, in memory or on disk."""
        return self.shape[0] * self._rows.row_bytes

    def map(self, f: Callable[[Tensor], Tensor]) -> LazyColumn:
        """The column with its table moved by ``f``, encoded as it is; from disk all of it."""
        rows = self._rows
        return EncodedColumn(
            f(self.encoded()), scale=None if rows.scale is None else f(rows.scale),
            offset=None if rows.offset is None else f(rows.offset), by_row=rows.by_row,
            dtype=rows.dtype,
        )  # fmt: skip

    def cast(self, dtype: torch.dtype) -> LazyColumn:
        """The column decoded to another type, kept as it is; float64 is decoded at once."""
        if dtype not in ops.DECODED_TYPES:
            return LazyColumn(lambda: self.read().to(dtype))
        rows = self._rows
        return _made(self.table, rows.scale, rows.offset, rows.by_row, dtype)


def _made(
    table: Tensor | DiskColumn,
    scale: Tensor | None,
    offset: Tensor | None,
    by_row: bool,
    dtype: torch.dtype,
) -> EncodedColumn:
    return EncodedColumn(table, scale=scale, offset=offset, by_row=by_row, dtype=dtype)


def encode(x: Tensor, code: str = "int8", *, dtype: torch.dtype = torch.float32) -> EncodedColumn:
    """Keep a column in fewer bits.

    ============= ==================== ==========================================
    ``code``      bytes of D numbers   largest error
    ============= ==================== ==========================================
    "int8"        D                    1/510 of a column's span
    "int8-by-row" D + 8                1/510 of a row's span
    "float16"     2 D                  1/2048 of a number (below 65,504)
    "bfloat16"    2 D                  1/256 of a number
    ============= ==================== ==========================================

    Parameters
    ----------
    x : Tensor
        Of floating point, shape [N, ...], in memory or mapped from a file. "int8-by-row" takes
        [N, D].
    code : {"int8", "int8-by-row", "float16", "bfloat16"}
        How numbers are kept.
    dtype : torch.dtype
        Of the rows that come out: float32, float16 or bfloat16.

    Returns
    -------
    EncodedColumn
        To be assigned as a column.

    Raises
    ------
    ValueError, TypeError
        Numbers that are not finite (8 bits), an unknown code, a tensor of another kind.
    """
    if code == "int8":
        q, scale, offset = ops.quantize_by_column(x)
        return EncodedColumn(q, scale=scale, offset=offset, dtype=dtype)
    if code == BY_ROW:
        return EncodedColumn(ops.quantize_by_row(x), by_row=True, dtype=dtype)
    if code in ("float16", "bfloat16"):
        return EncodedColumn(x.detach().to(getattr(torch, code)), dtype=dtype)
    raise ValueError(f"code: expected one of {', '.join(CODES)}, got {code!r}")
