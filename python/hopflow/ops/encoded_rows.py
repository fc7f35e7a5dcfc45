"""Rows of a table in few bits, wherever it is, that a loader's threads decode."""

from __future__ import annotations

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops.disk_rows import DiskRows
from hopflow.ops.gather import gather_rows
from hopflow.ops.gather_decoded import ROW_SCALE_BYTES, gather_decoded
from hopflow.ops.pinned import is_pinned

_NAMES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}


class EncodedRows:
    """A table of :func:`gather_decoded`, in memory or on disk, and what decodes it.

    Parameters
    ----------
    rows : Tensor or DiskRows
        The table: int8 [N, ...], uint8 [N, D + 8] with ``by_row``, or of floating point [N, ...].
    scale, offset : Tensor, optional
        Of int8 alone: float32, of a shape that broadcasts to a row's.
    by_row : bool
        Rows hold their scales and biases themselves.
    dtype : torch.dtype
        Of the rows that come out: float32, float16 or bfloat16.

    Attributes
    ----------
    shape : torch.Size
        Of the decoded table.

    Raises
    ------
    TypeError, ValueError
        As of :func:`gather_decoded`.
    """

    def __init__(
        self,
        rows: Tensor | DiskRows,
        *,
        scale: Tensor | None = None,
        offset: Tensor | None = None,
        by_row: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        device = rows.device if isinstance(rows, Tensor) else torch.device("cpu")
        if rows.dtype == torch.int8 and scale is not None and offset is None:
            offset = torch.zeros_like(scale)
        # Checks all of it.
        empty = torch.empty((0, *rows.shape[1:]), dtype=rows.dtype, device=device)
        made = gather_decoded(empty, None, scale=scale, offset=offset, by_row=by_row, dtype=dtype)
        self.rows, self.by_row, self.dtype = rows, by_row, dtype
        self.shape = torch.Size([rows.shape[0], *made.shape[1:]])
        self.scale, self.offset = (
            None if x is None else x.detach().expand(made.shape[1:]).contiguous()
            for x in (scale, offset)
        )

    @property
    def width(self) -> int:
        """Numbers in a decoded row."""
        return self.shape[1:].numel()

    @property
    def row_bytes(self) -> int:
        """Bytes of an encoded row."""
        return (
            self.width + ROW_SCALE_BYTES if self.by_row else self.width * self.rows.dtype.itemsize
        )

    @property
    def native(self) -> _native.EncodedColumn:
        """The column as the native loader takes it."""
        rows = self.rows.native if isinstance(self.rows, DiskRows) else self.rows.detach()
        code = "by_row" if self.by_row else _NAMES.get(self.rows.dtype, "by_column")
        scale, offset = (None if x is None else x.reshape(-1) for x in (self.scale, self.offset))
        return rows, code, scale, offset, self.width, _NAMES[self.dtype]

    def decode(self, encoded: Tensor, ids: Tensor | None = None) -> Tensor:
        """Rows of ``encoded`` at ``ids``, or all of them, decoded as those of the table."""
        device = encoded.device if ids is None else ids.device
        scale, offset = (None if x is None else x.to(device) for x in (self.scale, self.offset))
        return gather_decoded(
            encoded, ids, scale=scale, offset=offset, by_row=self.by_row, dtype=self.dtype
        )

    def gather(self, ids: Tensor) -> Tensor:
        """Decoded rows of the table at ``ids`` [M], where these are.

        A table in page-locked memory is read by the GPU in place; of another table on the CPU
        encoded rows are copied to it, and decoded there.
        """
        if isinstance(self.rows, DiskRows):
            return self.decode(self.rows.read(ids.cpu()).to(ids.device))
        is_reached = ids.device.type == "cuda" and is_pinned(self.rows)
        if self.rows.device == ids.device or is_reached:
            return self.decode(self.rows, ids)
        return self.decode(gather_rows(self.rows, ids.to(self.rows.device)).to(ids.device))
