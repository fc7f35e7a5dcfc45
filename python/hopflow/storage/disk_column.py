"""Columns that stay in an `.npy` file, behind a cache of rows in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.storage.array_files import CHUNK_BYTES, DTYPES, mapped, stored_as
from hopflow.storage.sizes import size_in_bytes
from hopflow.structure.ids import as_ids
from hopflow.structure.stored_column import StoredColumn

_NEARLY_ALL = 0.9
_CHUNK_ROWS = 1 << 16  # rows read at a time where many are


@dataclass(frozen=True)
class DiskReport:
    """What a column on disk was asked for, and where the answers came from.

    Attributes
    ----------
    rows : int
        Rows asked for.
    hits : int
        Those of them that the cache had.
    requests : int
        Reads of the file; rows that lie close together are read at once.
    bytes : int
        Bytes read from the file.
    wait_seconds : float
        Time spent waiting for the disk, of all threads together.
    cached_rows : int
        Rows that the cache holds now.
    memory : int
        Bytes that the cache may take.
    """

    rows: int
    hits: int
    requests: int
    bytes: int
    wait_seconds: float
    cached_rows: int
    memory: int

    @property
    def hit_rate(self) -> float:
        """Share of the rows that the cache had; 0 where none was asked for."""
        return self.hits / self.rows if self.rows else 0.0


class DiskColumn(StoredColumn):
    """A column that stays in an `.npy` file; batches read the rows that they need.

    Assign it as any column: ``graph.ndata["feat"] = DiskColumn("feat.npy", memory="8GiB")``. Then
    ``block.srcdata["feat"]`` reads rows with many requests in flight, in the threads of a loader
    that has workers, ahead of the model. ``graph.ndata["feat"]`` is the whole column mapped from
    the file.

    Parameters
    ----------
    file : str or path
        An array in numpy's format 1 or 2, C order, of any dtype that torch has.
    memory : int or str
        Memory for a cache of rows and its bookkeeping (4 bytes for each row of the file, 9 for each
        of the cache), such as ``"8GiB"``. It keeps the rows that were used last, or
        those that :meth:`keep` names. None, or what does not even suffice for the bookkeeping:
        no cache.
    direct : bool
        Read past the system's own cache of files, which otherwise takes memory that this column's
        cache could have. False is faster where the whole file fits memory beside all else.
    writable : bool
        Whether :meth:`write` may change the file.
    dtype : str, optional
        Name of the column's dtype where the file has another of the same width: bfloat16, which
        numpy lacks, is stored as int16.
    reader : {"auto", "io_uring", "threads"}
        How requests are kept in flight.

    A pickle or a copy opens the same file again, with a cache of its own that is empty and uses no
    fixed set. What one of them writes the others' caches do not hear of.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError, TypeError
        It holds another thing than an array of rows; bad arguments.
    HopflowError
        The file is shorter than its header says, or cannot be opened.
    """

    __slots__ = (
        "_arguments",
        "_kept",
        "_mapped",
        "_num_writes",
        "_rows",
        "chances",
        "file",
        "kept_by",
    )

    def __init__(
        self,
        file: str | os.PathLike[str],
        *,
        memory: int | str | None = None,
        direct: bool = True,
        writable: bool = False,
        dtype: str | None = None,
        reader: str = "auto",
    ) -> None:
        self.file = Path(file)
        shape, found, first_byte = _header(self.file)
        name = found if dtype is None else dtype
        if name not in DTYPES or stored_as(name) != found:
            raise ValueError(f"{self.file}: expected an array of {dtype or 'numbers'}, got {found}")
        super().__init__(torch.Size(shape), DTYPES[name])
        num_bytes = 0 if memory is None else size_in_bytes("memory", memory)
        row_bytes = self.dtype.itemsize * self.shape[1:].numel()
        self._rows = ops.DiskRows(
            self.file, self.dtype, self.shape, first_byte=first_byte,
            capacity=ops.cache_rows_within(self.shape[0], row_bytes, num_bytes), direct=direct,
            writable=writable, reader=reader,
        )  # fmt: skip
        self._mapped: Tensor | None = None
        self._num_writes = 0
        self._kept: Tensor | None = None
        # How likely its rows are wanted, and by what: noted by whoever computed it.
        self.chances: tuple[object, Any] | None = None
        # By what the kept rows were chosen, if they are those most likely to be wanted.
        self.kept_by: object = None
        self._arguments: dict[str, Any] = {
            "memory": memory, "direct": direct, "writable": writable, "dtype": dtype,
            "reader": reader,
        }  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the file itself, with a cache of its own.
        return _opened, (os.path.abspath(self.file), self._arguments)

    def __repr__(self) -> str:
        return (
            f"DiskColumn({str(self.file)!r}, shape={list(self.shape)}, dtype={self.dtype},"
            f" cached_rows={self._rows.num_cached} of {self._rows.capacity})"
        )

    def read(self) -> Tensor:
        """The whole column, mapped from the file; who writes into it ends the process."""
        if self._mapped is None:
            self._mapped = mapped(self.file, str(self.dtype).replace("torch.", ""))
        return self._mapped

    def gather(self, ids: Tensor) -> Tensor:
        """Rows of the column, shape [M, ...], for ids of shape [M], where these are.

        Raises
        ------
        IndexError
            An id is negative or not below N.
        HopflowError
            The file cannot be read, or has become shorter.
        """
        return self._rows.read(ids.cpu()).to(ids.device)

    def write(self, ids: Any, rows: Tensor) -> None:
        """Put rows in place of those of ``ids``, in the file and in the cache.

        Whoever reads a row meanwhile, as loaders do ahead of the model, may get it as it was. On
        the disk for good after :meth:`flush`.

        Parameters
        ----------
        ids : Tensor, numpy array or sequence of int
            Row numbers, shape [M]; of equal ones the last counts.
        rows : Tensor
            Shape [M, ...], of the column's dtype.

        Raises
        ------
        IndexError
            An id is negative or not below N.
        TypeError, ValueError
            Rows of another dtype or shape; the column is not writable.
        HopflowError
            The file cannot be written, or was opened in another process.
        """
        try:
            self._rows.write(as_ids("ids", ids), rows.cpu())
        finally:
            self._num_writes += 1  # of an error, too: some rows may have been written

    def flush(self) -> None:
        """Return when everything written is on the disk."""
        self._rows.flush()

    def keep(self, ids: Any, *, fill: bool = True) -> int:
        """Cache these rows alone, in place of those used last.

        Parameters
        ----------
        ids : Tensor, numpy array or sequence of int
            Row numbers, the most wanted first: those that there is no room for are left out.
        fill : bool
            Read them now, in the order of the file; otherwise each when it is first wanted.

        Returns
        -------
        int
            How many are kept.
        """
        _, firsts = np.unique(as_ids("ids", ids).numpy(), return_index=True)
        order = np.sort(firsts)[: self._rows.capacity]  # each once, in the order given
        kept = as_ids("ids", ids)[torch.from_numpy(order)].sort().values
        self._rows.keep(kept)
        self.kept_by = None
        self._kept = kept.to(torch.int32) if self.shape[0] <= ops.INT32_MAX else kept
        if fill:
            self.fill()
        return kept.shape[0]

    def fill(self) -> None:
        """Read the rows of :meth:`keep` that are not in the cache yet, in the order of the file."""
        if self._kept is not None:
            step = max(1, min(_CHUNK_ROWS, CHUNK_BYTES // max(self.row_bytes, 1)))
            for first in range(0, self._kept.shape[0], step):
                self._rows.read(self._kept[first : first + step])

    @property
    def capacity(self) -> int:
        """Rows that the cache has room for."""
        return self._rows.capacity

    @property
    def keeps_fixed_rows(self) -> bool:
        """Whether the cache has the rows of :meth:`keep`, rather than those used last."""
        return self._kept is not None

    @property
    def is_filling(self) -> bool:
        """Whether the cache lacks a tenth or more of the rows that it has room for, or is to
        keep."""
        full = self._rows.capacity if self._kept is None else self._kept.shape[0]
        return self._rows.num_cached < _NEARLY_ALL * full

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self._rows.row_bytes

    @property
    def source(self) -> ops.RowSource:
        """What threads of the loader gather rows from."""
        return self._rows

    @property
    def version(self) -> object:
        """Another after every :meth:`write`."""
        return self._num_writes

    def report(self) -> DiskReport:
        """What was asked for since the column was opened."""
        use = self._rows.use()
        memory = ops.cache_bytes(self.shape[0], self.row_bytes, self._rows.capacity)
        return DiskReport(
            use.rows, use.hits, use.requests, use.bytes, use.wait_ns / 1e9, self._rows.num_cached,
            memory,
        )  # fmt: skip


def _opened(file: str, arguments: dict[str, Any]) -> DiskColumn:
    return DiskColumn(file, **arguments)


def _header(file: Path) -> tuple[tuple[int, ...], str, int]:
    """Shape, dtype and first byte of an array in a file."""
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        if isinstance(error, OSError) and not file.exists():
            raise FileNotFoundError(f"{file}: no such file") from None
        raise ValueError(f"{file}: expected an .npy file with an array, {error}") from None
    if not isinstance(array, np.memmap):
        raise ValueError(f"{file}: expected an .npy file with one array")
    if array.ndim == 0 or not array.flags.c_contiguous or array.dtype.byteorder == ">":
        raise ValueError(
            f"{file}: expected rows in C order and little-endian, got shape {list(array.shape)},"
            f" {array.dtype.str}"
        )
    return array.shape, array.dtype.name, array.offset
