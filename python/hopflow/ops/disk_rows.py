"""Row gather from a file."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._shapes import require_ids, require_tensor
from hopflow.ops.pool import empty

READERS = ("auto", "io_uring", "threads")
"""How reads are kept in flight: by the kernel's io_uring, by threads, or by what there is."""


class DiskUse(NamedTuple):
    """What was read since a file was opened.

    Attributes
    ----------
    rows : int
        Rows asked for.
    hits : int
        Those of them that were found in the cache.
    requests : int
        Reads of the file.
    bytes : int
        Bytes read from the file.
    wait_ns : int
        Nanoseconds spent waiting for reads, of all threads together.
    """

    rows: int
    hits: int
    requests: int
    bytes: int
    wait_ns: int


class DiskRows:
    """Rows of an array that stays in a file: ``out[i] = x[ids[i]]``.

    A call keeps many reads in flight, reads rows that lie close to one another at once, and waits
    without using a processor. In front of the file is a cache of rows in memory: those used last (a
    clock), or after :meth:`keep` a fixed set. Several threads may read at once.

    Parameters
    ----------
    path : str or path
        The file.
    dtype : torch.dtype
        Of the array.
    shape : sequence of int
        Of the array, [N, ...]; rows follow one another without gaps.
    first_byte : int
        Where the array begins in the file.
    capacity : int
        Rows of the cache.
    direct : bool
        Read past the system's own cache (``O_DIRECT``), which would keep a second copy of what is
        cached here. Where the file system cannot, reads go through it.
    writable : bool
        Whether :meth:`write` may be called.
    reader : {"auto", "io_uring", "threads"}
        How reads are kept in flight.

    Raises
    ------
    HopflowError
        The file cannot be opened, or is shorter than the array; io_uring is asked for and the
        kernel refuses it.
    ValueError
        Bad arguments.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        dtype: torch.dtype,
        shape: Sequence[int],
        *,
        first_byte: int = 0,
        capacity: int = 0,
        direct: bool = True,
        writable: bool = False,
        reader: str = "auto",
    ) -> None:
        self.dtype, self.shape = dtype, torch.Size(shape)
        if not self.shape:
            raise ValueError("shape: expected at least 1 dimension, got none")
        if reader not in READERS:
            raise ValueError(f"reader: expected {', '.join(READERS)}, got {reader!r}")
        self.row_bytes = math.prod(self.shape[1:]) * dtype.itemsize
        self.native = _native.DiskRows(
            os.fsencode(path), first_byte, self.shape[0], self.row_bytes, capacity, bool(direct),
            bool(writable), reader,
        )  # fmt: skip

    def read(self, ids: Tensor) -> Tensor:
        """Rows of the array.

        Parameters
        ----------
        ids : Tensor
            Row numbers, shape [M], int32 or int64, on the CPU.

        Returns
        -------
        Tensor
            Shape [M, ...].

        Raises
        ------
        IndexError
            An id is negative or not below N.
        HopflowError
            The file cannot be read, or has become shorter.
        """
        ids = require_ids("ids", ids).contiguous()
        out = empty((ids.shape[0], *self.shape[1:]), self.dtype, torch.device("cpu"))
        self.native.read(ids, out)
        return out

    def write(self, ids: Tensor, rows: Tensor) -> None:
        """``x[ids[i]] = rows[i]``, of equal ids the last; on the disk after :meth:`flush`.

        Parameters
        ----------
        ids : Tensor
            Row numbers, shape [M].
        rows : Tensor
            Shape [M, ...], of the array's dtype.

        Raises
        ------
        IndexError
            An id is negative or not below N.
        TypeError, ValueError
            Rows of another dtype or shape; the file was opened for reading alone.
        HopflowError
            The file cannot be written.
        """
        ids = require_ids("ids", ids).contiguous()
        rows = require_tensor("rows", rows)
        if rows.dtype != self.dtype:
            raise TypeError(f"rows: expected {self.dtype}, got {rows.dtype}")
        if rows.shape != (ids.shape[0], *self.shape[1:]):
            wanted = [ids.shape[0], *self.shape[1:]]
            raise ValueError(f"rows: expected shape {wanted}, got {list(rows.shape)}")
        self.native.write(ids, rows.detach().contiguous())

    def flush(self) -> None:
        """Return when everything written is on the disk."""
        self.native.flush()

    def keep(self, ids: Tensor) -> None:
        """From now on cache these rows alone, each when it is first read.

        Parameters
        ----------
        ids : Tensor
            Distinct row numbers, as many as the cache has room for at most.
        """
        self.native.keep(require_ids("ids", ids).contiguous())

    @property
    def capacity(self) -> int:
        """Rows that the cache has room for."""
        return self.native.capacity

    @property
    def num_cached(self) -> int:
        """Rows in the cache."""
        return self.native.num_cached

    @property
    def is_direct(self) -> bool:
        """Whether reads go past the system's cache."""
        return self.native.is_direct

    def use(self) -> DiskUse:
        """What was read so far."""
        return DiskUse(**self.native.use())


def cache_bytes(num_rows: int, row_bytes: int, capacity: int) -> int:
    """Memory of a cache of ``capacity`` of a file's ``num_rows`` rows."""
    return 4 * num_rows + (row_bytes + 9) * min(capacity, num_rows) if capacity else 0


def cache_rows_within(num_rows: int, row_bytes: int, num_bytes: int) -> int:
    """The most rows that a cache can have whose memory is ``num_bytes``."""
    return min(num_rows, max(0, num_bytes - 4 * num_rows) // (row_bytes + 9))


def best_reader() -> str:
    """What "auto" stands for on this machine."""
    return _native.best_reader()
