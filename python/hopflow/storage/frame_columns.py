"""Columns of a frame as a folder has them: what its manifest says, and the rows to write."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hopflow.storage.array_files import as_array, dtype_name
from hopflow.storage.encoded_column import BY_ROW, EncodedColumn
from hopflow.storage.folders import ArrayLike
from hopflow.storage.manifests import Column
from hopflow.structure.frame import Frame, read
from hopflow.structure.stored_column import StoredColumn


def columns_of(frame: Frame, *, keep_codes: bool = False) -> tuple[Column, ...]:
    """What a manifest says of the columns of a frame; nothing of them is read that is stored.

    Parameters
    ----------
    frame : Frame
        On the CPU.
    keep_codes : bool
        Whether columns that are encoded by row stay so. All others in fewer bits are decoded: then
        the folder's rows are those that the graph has, bit for bit.

    Raises
    ------
    TypeError
        A dtype that cannot be stored.
    """
    found = []
    for name in frame:
        column = frame.column(name)
        value = column if isinstance(column, StoredColumn) else read(column)
        dtype = dtype_name(f"{frame.what} column {name!r}", value.dtype)
        code = BY_ROW if keep_codes and _is_by_row(column) else ""
        found.append(Column(name, dtype, tuple(value.shape[1:]), code))
    return tuple(found)


def rows_of(frame: Frame, name: str, *, keep_codes: bool = False) -> ArrayLike:
    """The rows of a column as :func:`columns_of` says; those on disk are mapped, not read."""
    column = frame.column(name)
    if not isinstance(column, EncodedColumn):
        return as_array(read(column))
    return as_array(column.encoded()) if keep_codes and column.by_row else DecodedRows(column)


def _is_by_row(column: object) -> bool:
    return isinstance(column, EncodedColumn) and column.by_row


class DecodedRows:
    """A column in fewer bits as an array of which the rows that are asked for are decoded.

    Parameters
    ----------
    column : EncodedColumn
        On the CPU.
    """

    def __init__(self, column: EncodedColumn) -> None:
        self._column, self._table = column, column.encoded()
        self.shape = tuple(column.shape)
        self.itemsize = column.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded array."""
        return self._column.shape.numel() * self.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[Any], /) -> NDArray[Any]:
        """The rows of a slice, or those of an array of row numbers."""
        if isinstance(rows, slice):
            return as_array(self._column.decode(self._table[rows]))
        ids = torch.from_numpy(np.ascontiguousarray(rows))
        return as_array(self._column.decode(self._table, ids))
