"""Arrays as `.npy` files: written piece by piece, checked, mapped into memory."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hopflow.structure.ids import shared_tensor

CHUNK_BYTES = 64 << 20
"""Bytes of an array that are held in memory at a time."""
ENDS_BYTES = 64 << 10
"""Bytes at each end of a file that its quick checksum covers."""

BFLOAT16 = "bfloat16"
_NAMES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128", BFLOAT16,
)  # fmt: skip
DTYPES: Mapping[str, torch.dtype] = {n: getattr(torch, n) for n in _NAMES if hasattr(torch, n)}
"""Dtypes of columns by name: those that torch and numpy share, and bfloat16."""


def dtype_name(what: str, dtype: torch.dtype) -> str:
    """The name of a dtype, or a TypeError if it cannot be stored."""
    name = str(dtype).replace("torch.", "")
    if name not in DTYPES:
        raise TypeError(f"{what}: expected one of {', '.join(DTYPES)}, got {name}")
    return name


def stored_as(name: str) -> str:
    """Name of the dtype that a file has for a column's: numpy has no bfloat16."""
    return "int16" if name == BFLOAT16 else name


def as_array(x: Tensor) -> NDArray[Any]:
    """A tensor's memory as an array of the dtype that :func:`stored_as` names."""
    x = x.detach().resolve_conj().resolve_neg()
    array: NDArray[Any] = (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy()
    return array


def spans(num_rows: int, row_bytes: int, chunk_bytes: int) -> Iterator[tuple[int, int]]:
    """First and last + 1 of the rows of each piece that fits ``chunk_bytes``, or has one row."""
    step = max(1, chunk_bytes // max(row_bytes, 1))
    for first in range(0, num_rows, step):
        yield first, min(first + step, num_rows)


def in_edge_positions(
    indptr: NDArray[Any], nodes: NDArray[Any], own: NDArray[Any], chunk_bytes: int
) -> Iterator[NDArray[Any]]:
    """Positions of the in-edges of some nodes, piece by piece; a hub may take several pieces.

    Parameters
    ----------
    indptr : array
        int64, of the whole graph.
    nodes : array
        The nodes.
    own : array
        int64, of these nodes: where the edges of each begin, and the number of all.
    chunk_bytes : int
        Bytes that a few arrays of a piece may take.
    """
    shift = indptr[nodes] - own[:-1]
    # The reader of a piece has four arrays of up to 8 bytes an edge at hand.
    for first, last in spans(int(own[-1]), 32, chunk_bytes):
        a = int(np.searchsorted(own, first, side="right")) - 1
        b = int(np.searchsorted(own, last, side="left"))
        positions = np.repeat(shift[a:b], np.diff(own[a : b + 1].clip(first, last)))
        positions += np.arange(first, last)
        yield positions


@dataclass(frozen=True)
class ArrayRecord:
    """What a manifest says of a file.

    Attributes
    ----------
    dtype : str
        Of its elements, as numpy names it.
    shape : tuple of int
        Of the array.
    crc32 : int
        Checksum of the whole file.
    crc32_ends : int
        Checksum of its first 64 KiB followed by its last 64 KiB, which overlap in a small file.
    """

    dtype: str
    shape: tuple[int, ...]
    crc32: int
    crc32_ends: int

    def to_json(self) -> dict[str, Any]:
        """The attributes as plain values."""
        return {
            "dtype": self.dtype, "shape": list(self.shape), "crc32": self.crc32,
            "crc32_ends": self.crc32_ends,
        }  # fmt: skip


class ArrayWriter:
    """Writes an `.npy` file row by row, and its checksums with it.

    Parameters
    ----------
    path : Path
        The file; there is none yet.
    dtype : str
        numpy's name.
    shape : tuple of int
        Of the whole array.
    on_bytes : callable, optional
        Called with the number of bytes of each piece.
    """

    def __init__(
        self,
        path: Path,
        dtype: str,
        shape: tuple[int, ...],
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        self._dtype, self._shape, self._on_bytes = np.dtype(dtype), shape, on_bytes
        self._rows = 0
        self._crc = 0
        self._first = self._last = b""
        self._file = path.open("xb")
        head = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(self._dtype)
        fields = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(head, fields)
        self._put(head.getvalue())

    def write(self, rows: NDArray[Any]) -> None:
        """Append rows, converted to the file's dtype."""
        assert rows.shape[1:] == self._shape[1:], (rows.shape, self._shape)
        self._rows += len(rows)
        if rows.size:
            flat = np.ascontiguousarray(rows, dtype=self._dtype).reshape(-1).view(np.uint8)
            self._put(flat.data)
            if self._on_bytes is not None:
                self._on_bytes(flat.size)

    def _put(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._crc = zlib.crc32(data, self._crc)
        missing = ENDS_BYTES - len(self._first)
        if missing:
            self._first += bytes(data[:missing])
        self._last = (self._last + bytes(data[-ENDS_BYTES:]))[-ENDS_BYTES:]

    def record(self) -> ArrayRecord:
        """What is to be known of the file, once all rows are written."""
        assert self._rows == self._shape[0], (self._rows, self._shape)
        ends = zlib.crc32(self._last, zlib.crc32(self._first))
        return ArrayRecord(self._dtype.name, self._shape, self._crc, ends)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_header(opened: Any, name: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """The dtype, the shape and whether the order is Fortran's of an array, up to its first byte.

    Parameters
    ----------
    opened : binary file
        At its beginning.
    name : str
        What messages call it.

    Raises
    ------
    ValueError
        It is no `.npy` file of format 1 or 2.
    """
    try:
        version = np.lib.format.read_magic(opened)
        reader = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, is_fortran, dtype = reader(opened)
    except (ValueError, KeyError, EOFError) as error:
        raise ValueError(f"{name}: expected an .npy file, {error}") from None
    return dtype, shape, is_fortran


def check_array(
    file: Path, name: str, record: ArrayRecord, other: str = "part or partitioning"
) -> None:
    """Compare a file's size, header and the checksum of its ends with its record.

    Parameters
    ----------
    file : Path
        The file.
    name : str
        What messages call it.
    record : ArrayRecord
        What it is to be.
    other : str
        Of which other thing a file with another checksum may be.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        It is another array.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{name}: no such file")
    with file.open("rb") as opened:
        dtype, shape, is_fortran = read_header(opened, name)
        start = opened.tell()
        if dtype != np.dtype(record.dtype) or dtype.hasobject:
            raise ValueError(f"{name}: expected dtype {record.dtype}, got {dtype}")
        if shape != record.shape or is_fortran:
            order = " in Fortran order" if is_fortran else ""
            raise ValueError(
                f"{name}: expected shape {list(record.shape)}, got {list(shape)}{order}"
            )
        wanted = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        size = file.stat().st_size
        if size != wanted:
            raise ValueError(f"{name}: expected {wanted:,} bytes, got {size:,}")
        opened.seek(0)
        ends = zlib.crc32(opened.read(ENDS_BYTES))
        opened.seek(max(size - ENDS_BYTES, 0))
        if zlib.crc32(opened.read(ENDS_BYTES), ends) != record.crc32_ends:
            raise ValueError(
                f"{name}: its checksum is another; the file is damaged, or of another {other}"
            )


def whole_crc32(file: Path) -> int:
    """Checksum of all that a file holds."""
    crc = 0
    with file.open("rb") as opened:
        while piece := opened.read(1 << 20):
            crc = zlib.crc32(piece, crc)
    return crc


def mapped(file: Path, dtype: str | None = None) -> Tensor:
    """An array mapped from a file, nothing of it read; nobody may write into it.

    Parameters
    ----------
    file : Path
        The file.
    dtype : str, optional
        Name of the dtype, where the file has another (:func:`stored_as`).
    """
    x = shared_tensor(np.load(file, mmap_mode="r", allow_pickle=False))
    return x if dtype is None or stored_as(dtype) == dtype else x.view(DTYPES[dtype])
