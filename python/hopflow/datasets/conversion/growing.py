"""Files that grow step by step, and can be taken up where a finished step left them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypedDict

import numpy as np

from hopflow.datasets.dataset import Array
from hopflow.storage.array_files import ENDS_BYTES, ArrayRecord


class GrowingState(TypedDict):
    """What is to be known of a file to write on."""

    size: int
    crc32: int


class GrowingArray:
    """An `.npy` file of known shape that grows row by row over several runs of the program.

    Parameters
    ----------
    path : Path
        The file.
    dtype : str
        numpy's name.
    shape : tuple of int
        Of the whole array.
    state : GrowingState, optional
        Where a finished step left it; None to begin.
    """

    def __init__(
        self, path: Path, dtype: str, shape: tuple[int, ...], state: GrowingState | None = None
    ) -> None:
        self.path, self._dtype, self._shape = path, np.dtype(dtype), shape
        self._file: IO[bytes]
        if state is not None:
            self._size, self._crc = state["size"], state["crc32"]
            self._file = path.open("r+b")
            self._file.truncate(self._size)
            self._file.seek(self._size)
            return
        self._size = self._crc = 0
        path.unlink(missing_ok=True)  # it may be a link to what is not to be written on
        self._file = path.open("wb")
        head = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(self._dtype)
        fields = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(head, fields)
        self._put(head.getvalue())

    def write(self, rows: Array) -> None:
        """Append rows, converted to the file's dtype."""
        if rows.size:
            flat = np.ascontiguousarray(rows, dtype=self._dtype).reshape(-1).view(np.uint8)
            self._put(flat.data)

    def _put(self, data: bytes | memoryview) -> None:
        with named_file(self.path):
            self._file.write(data)
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)

    def state(self) -> GrowingState:
        """Where it is now; all that was written is in the file."""
        with named_file(self.path):
            self._file.flush()
        return {"size": self._size, "crc32": self._crc}

    def record(self) -> ArrayRecord:
        """What is to be known of the file, once all rows are written."""
        self._file.flush()
        return record_of(self.path, self._dtype.name, self._shape, self._crc)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> GrowingArray:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def record_of(path: Path, dtype: str, shape: tuple[int, ...], crc: int) -> ArrayRecord:
    """The record of a file of which the whole checksum is known."""
    size = path.stat().st_size
    with path.open("rb") as file:
        ends = zlib.crc32(file.read(ENDS_BYTES))
        file.seek(max(size - ENDS_BYTES, 0))
        return ArrayRecord(dtype, shape, crc, zlib.crc32(file.read(ENDS_BYTES), ends))


class Spill:
    """A file of plain values that grows, for the time of a conversion.

    Parameters
    ----------
    path : Path
        The file.
    size : int
        Bytes of it that finished steps wrote; the rest is cut off.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._file = path.open("r+b" if size else "wb")
        self._file.truncate(size)
        self._file.seek(size)

    def write(self, values: Array) -> None:
        """Append values."""
        if values.size:
            with named_file(self.path):
                self._file.write(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)

    def write_bytes(self, data: bytes) -> None:
        """Append bytes."""
        with named_file(self.path):
            self._file.write(data)

    def flush(self) -> None:
        """Make the file have all that was written."""
        with named_file(self.path):
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Spill:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


@contextmanager
def named_file(path: Path) -> Iterator[None]:
    """Name the file in errors of the system, such as of a full disk, which do not."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from None
