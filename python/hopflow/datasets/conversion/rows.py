"""Arrays in files, read a few rows at a time and never whole."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hopflow.datasets.dataset import Array
from hopflow.storage.array_files import read_header

_SMALL = 64 << 20  # bytes of an array that may be in memory, whatever there is of it
_ROW = re.compile(r"\brow (\d+)")


class Rows(Protocol):
    """An array of which rows are read in their order.

    Attributes
    ----------
    what : str
        The words that messages about it begin with.
    dtype, shape
        Of the whole array.
    """

    @property
    def what(self) -> str:
        """The words that messages about it begin with."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its elements."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole array."""

    def pieces(self, step: int, first: int = 0, last: int | None = None) -> Iterator[Array]:
        """Rows from ``first`` up to ``last``, at most ``step`` at a time."""


@dataclass(frozen=True, eq=False)
class FileRows:
    """An array that lies in a file as it is in memory.

    Attributes
    ----------
    what, dtype, shape
        As in :class:`Rows`.
    file : Path
        The file.
    offset : int
        Where in it the array begins.
    is_npy : bool
        Whether the file is an `.npy` file of this array alone.
    """

    what: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    file: Path
    offset: int = 0
    is_npy: bool = False

    def pieces(self, step: int, first: int = 0, last: int | None = None) -> Iterator[Array]:
        """Rows from ``first`` up to ``last``, at most ``step`` at a time."""
        last = self.shape[0] if last is None else last
        width = row_bytes(self)
        with self.file.open("rb", buffering=0) as opened:
            opened.seek(self.offset + first * width)
            for a in range(first, last, step):
                yield _read(opened, self, min(step, last - a))


@dataclass(frozen=True, eq=False)
class ZipRows:
    """An array in an `.npz` file, compressed or not; it is read from its beginning.

    Attributes
    ----------
    what, dtype, shape
        As in :class:`Rows`.
    file : Path
        The archive.
    member : str
        The array's name in it.
    offset : int
        Bytes of the member before the array.
    """

    what: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    file: Path
    member: str
    offset: int

    def pieces(self, step: int, first: int = 0, last: int | None = None) -> Iterator[Array]:
        """Rows from ``first`` up to ``last``, at most ``step`` at a time."""
        last = self.shape[0] if last is None else last
        with (
            _damage_named(self.what),
            zipfile.ZipFile(self.file) as archive,
            archive.open(self.member) as opened,
        ):
            left = self.offset + first * row_bytes(self)
            while left:
                skipped = len(opened.read(min(left, 1 << 20)))
                if not skipped:
                    raise ValueError(f"{self.what}: the file ends too early")
                left -= skipped
            for a in range(first, last, step):
                yield _read(opened, self, min(step, last - a))
            opened.read(1)  # at its end the archive's own checksum is compared


@dataclass(frozen=True, eq=False)
class PickedRows:
    """One column of a matrix: both ends of edges, side by side."""

    matrix: Rows
    column: int

    @property
    def what(self) -> str:
        """The words that messages about it begin with."""
        return self.matrix.what

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its elements."""
        return self.matrix.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole array."""
        return self.matrix.shape[:1]

    def pieces(self, step: int, first: int = 0, last: int | None = None) -> Iterator[Array]:
        """Rows from ``first`` up to ``last``, at most ``step`` at a time."""
        for piece in self.matrix.pieces(step, first, last):
            yield piece[:, self.column]


@dataclass(frozen=True, eq=False)
class PartRows:
    """Some rows of an array that follow one another."""

    whole: Rows
    begin: int
    count: int

    @property
    def what(self) -> str:
        """The words that messages about it begin with."""
        return self.whole.what

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its elements."""
        return self.whole.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the part."""
        return (self.count, *self.whole.shape[1:])

    def pieces(self, step: int, first: int = 0, last: int | None = None) -> Iterator[Array]:
        """Rows from ``first`` up to ``last``, at most ``step`` at a time."""
        last = self.count if last is None else last
        return self.whole.pieces(step, self.begin + first, self.begin + last)


@dataclass(frozen=True, eq=False)
class MadeRows:
    """An array that is in memory, or is made piece by piece from less."""

    what: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    make: Callable[[int, int], Array]

    def pieces(self, step: int, first: int = 0, last: int | None = None) -> Iterator[Array]:
        """Rows from ``first`` up to ``last``, at most ``step`` at a time."""
        last = self.shape[0] if last is None else last
        for a in range(first, last, step):
            yield self.make(a, min(a + step, last))


def rows_in_memory(array: Array, what: str) -> MadeRows:
    """An array that is in memory already."""
    return MadeRows(what, array.dtype, array.shape, lambda a, b: array[a:b])


def row_bytes(rows: Rows) -> int:
    """Bytes of a row."""
    return int(np.prod(rows.shape[1:], dtype=np.int64)) * rows.dtype.itemsize


def rows_at_a_time(rows: Rows, num_bytes: int) -> int:
    """Rows that fit, at least one."""
    return max(1, num_bytes // max(row_bytes(rows), 1))


def open_npy(file: Path) -> Rows:
    """The array of an `.npy` file.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        It is no such file, cut off, or holds pickled objects.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: expected an .npy file, no such file")
    with file.open("rb") as opened:
        dtype, shape, is_fortran = _header(opened, str(file))
        offset = opened.tell()
    wanted = offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    size = file.stat().st_size
    if size < wanted:
        raise ValueError(f"{file}: expected {wanted:,} bytes, got {size:,}; the file is cut off")
    if is_fortran and sum(n > 1 for n in shape) > 1:
        if len(shape) == 2 and shape[0] == 2:
            return _Turned(FileRows(str(file), dtype, shape[::-1], file, offset))
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
        return MadeRows(str(file), dtype, shape, lambda a, b: np.ascontiguousarray(mapped[a:b]))
    return FileRows(str(file), dtype, shape, file, offset, is_npy=size == wanted)


def open_npz(file: Path, memory: int) -> dict[str, Rows]:
    """The arrays of an `.npz` file, by name.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Corrupt, empty, or holding pickled objects.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: expected an .npz file, no such file")
    found: dict[str, Rows] = {}
    with _damage_named(str(file)), zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            if not member.endswith(".npy"):
                continue
            key = member.removesuffix(".npy")
            what = f"{file} ({key})"
            with archive.open(member) as opened:
                dtype, shape, is_fortran = _header(opened, what)
                offset = opened.tell()
            rows = ZipRows(what, dtype, shape, file, member, offset)
            found[key] = rows
            if is_fortran and sum(n > 1 for n in shape) > 1:
                found[key] = _in_fortran_order(rows, memory)
    if not found:
        raise ValueError(f"{file}: expected arrays, got an empty archive")
    return found


def _in_fortran_order(rows: ZipRows, memory: int) -> Rows:
    """An array that lies column by column: a row of it is all over the archive."""
    across = ZipRows(rows.what, rows.dtype, rows.shape[::-1], rows.file, rows.member, rows.offset)
    if len(rows.shape) == 2 and rows.shape[0] == 2:
        return _Turned(across)
    size = int(np.prod(rows.shape, dtype=np.int64)) * rows.dtype.itemsize
    if size > max(memory // 2, _SMALL):
        raise ValueError(
            f"{rows.what}: is stored column by column and larger than the memory; save it as"
            " numpy.ascontiguousarray makes it"
        )

    def make(first: int, last: int) -> Array:
        (whole,) = across.pieces(across.shape[0])
        return np.ascontiguousarray(whole.T[first:last])

    return MadeRows(rows.what, rows.dtype, rows.shape, make)


@dataclass(frozen=True, eq=False)
class _Turned:
    """A matrix of two rows, of which the columns follow one another in the file."""

    across: Rows

    @property
    def what(self) -> str:
        return self.across.what

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.across.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.across.shape[::-1]

    def pieces(self, step: int, first: int = 0, last: int | None = None) -> Iterator[Array]:
        # A column of two nodes, whole. Edges, which may be many, are read with two_rows.
        whole = np.empty(self.shape, self.dtype)
        begin = 0
        for piece in self.across.pieces(1 << 16):
            whole[:, begin : begin + len(piece)] = piece.T
            begin += len(piece)
        for at in range(first, 2 if last is None else last, step):
            yield whole[at : min(at + step, 2 if last is None else last)]


def two_rows(rows: Rows) -> tuple[Rows, Rows]:
    """The rows of a matrix [2, E] as arrays [E]."""
    if isinstance(rows, _Turned):
        return PickedRows(rows.across, 0), PickedRows(rows.across, 1)
    count = rows.shape[1]
    if isinstance(rows, FileRows):
        flat: Rows = FileRows(rows.what, rows.dtype, (2 * count,), rows.file, rows.offset)
    elif isinstance(rows, ZipRows):
        flat = ZipRows(rows.what, rows.dtype, (2 * count,), rows.file, rows.member, rows.offset)
    else:
        (a,), (b,) = rows.pieces(1, 0, 1), rows.pieces(1, 1, 2)
        return rows_in_memory(a[0], rows.what), rows_in_memory(b[0], rows.what)
    return PartRows(flat, 0, count), PartRows(flat, count, count)


def read_whole(rows: Rows) -> Array:
    """All rows in memory: of what is allowed to be there, such as labels."""
    if not rows.shape:
        (value,) = _scalar(rows)
        return np.asarray(value)
    if not rows.shape[0]:
        return np.empty(rows.shape, rows.dtype)
    if isinstance(rows, _Turned):
        return np.stack([read_whole(x) for x in two_rows(rows)])
    (whole,) = rows.pieces(rows.shape[0])
    return whole


def _scalar(rows: Rows) -> Array:
    one: Rows
    if isinstance(rows, FileRows):
        one = FileRows(rows.what, rows.dtype, (1,), rows.file, rows.offset)
    else:
        assert isinstance(rows, ZipRows)
        one = ZipRows(rows.what, rows.dtype, (1,), rows.file, rows.member, rows.offset)
    (value,) = one.pieces(1)
    return value


@contextmanager
def rows_from(first: int) -> Iterator[None]:
    """Count the row that a check of a piece speaks of from the beginning of the whole."""
    try:
        yield
    except ValueError as error:
        text = _ROW.sub(lambda found: f"row {int(found[1]) + first}", str(error))
        raise ValueError(text) from None


def _read(opened: Any, rows: Rows, count: int) -> Array:
    array = np.empty((count, *rows.shape[1:]), rows.dtype)
    view = bytes_of(array)
    done = 0
    while done < len(view):
        got = opened.readinto(view[done:])
        if not got:
            raise ValueError(f"{rows.what}: the file ends too early")
        done += got
    return array


def bytes_of(array: Array) -> memoryview:
    """The memory of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")


def _header(opened: Any, what: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    dtype, shape, is_fortran = read_header(opened, what)
    if dtype.hasobject:
        raise ValueError(f"{what}: holds pickled Python objects, which hopflow never loads")
    return dtype, shape, is_fortran


@contextmanager
def _damage_named(what: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{what}: {error or 'the file ends too early'}") from None
