"""Folders of arrays: written in pieces, and put in place when they are whole."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hopflow.storage.array_files import ArrayRecord, ArrayWriter, spans
from hopflow.storage.manifests import Layout

Array = NDArray[Any]


class ArrayLike(Protocol):
    """What is written as an array: one, or what makes pieces of one when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole array."""

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array."""

    def __len__(self) -> int:
        """Number of rows."""

    def __getitem__(self, rows: Any, /) -> Any:
        """The rows of a slice, or those of an array of row numbers."""


def sibling(target: Path, suffix: str) -> Path:
    """A path beside a folder that nothing has yet."""
    return target.with_name(f".{target.name}-{secrets.token_hex(4)}.{suffix}")


def put_in_place(made: Path, target: Path, *, overwrite: bool, aside: Path | None = None) -> None:
    """Move a folder to its place; what is there stays until the new one is.

    Parameters
    ----------
    made, target : Path
        From where to where, within one file system.
    overwrite : bool
        Whether another folder there is replaced, and removed.
    aside : Path, optional
        Where that one is for a moment, if the system cannot exchange two names.

    Raises
    ------
    FileExistsError
        There is something, without ``overwrite``.
    """
    if not overwrite or not target.exists():
        try:
            made.rename(target)  # replaces an empty folder at most
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise FileExistsError(f"{target}: has come to be there meanwhile") from None
            raise
        return
    if _exchanged(made, target):
        shutil.rmtree(made, ignore_errors=True)
        return
    old = aside or sibling(target, "old")
    target.rename(old)
    try:
        made.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Give each of two paths the other's name in one step, where the system can.

    So there is no moment at which a name is nobody's.

    References
    ----------
    https://man7.org/linux/man-pages/man2/rename.2.html
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


class Progress:
    """Bytes written so far, of how many."""

    def __init__(self, total: int, on_progress: Callable[[int, int], None] | None) -> None:
        self._total, self._done, self._on_progress = total, 0, on_progress

    def add(self, num_bytes: int) -> None:
        """Note that so many more were written."""
        self._done += num_bytes
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)


class FolderWriter:
    """Writes the arrays of one folder and keeps their records.

    Parameters
    ----------
    path : Path
        The folder, made if need be.
    layout : mapping
        The arrays that it is to have.
    progress : Progress
        Hears of what is written.
    chunk_bytes : int
        Bytes held at a time.

    Attributes
    ----------
    files : dict
        Name to record of each array written so far.
    """

    def __init__(
        self, path: Path, layout: Mapping[str, Layout], progress: Progress, chunk_bytes: int
    ) -> None:
        self.path, self.chunk_bytes = path, chunk_bytes
        self._layout, self._progress = layout, progress
        self.files: dict[str, ArrayRecord] = {}
        for place in (path, *((path / name).parent for name in layout)):
            place.mkdir(exist_ok=True)

    @contextmanager
    def open(self, name: str, dtype: str | None = None) -> Iterator[ArrayWriter]:
        """A file of the layout, closed and recorded at the end."""
        layout = self._layout[name]
        dtype = dtype or layout.dtypes[0]
        writer = ArrayWriter(self.path / name, dtype, layout.shape, self._progress.add)
        try:
            yield writer
        finally:
            writer.close()
        self.files[name] = writer.record()

    def copy(self, name: str, array: ArrayLike, dtype: str | None = None) -> None:
        """Write an array as it is."""
        with self.open(name, dtype) as writer:
            for first, last in spans(len(array), row_bytes(array), self.chunk_bytes):
                writer.write(array[first:last])

    def gather(self, name: str, array: ArrayLike, ids: Array) -> None:
        """Write rows of an array."""
        with self.open(name) as writer:
            self.append(writer, array, ids)

    def append(self, writer: ArrayWriter, array: ArrayLike, ids: Array) -> None:
        """Append rows of an array to a file that is open."""
        for first, last in spans(len(ids), row_bytes(array), self.chunk_bytes):
            writer.write(array[ids[first:last]])


def row_bytes(array: ArrayLike) -> int:
    """Bytes of a row."""
    return int(np.prod(array.shape[1:], dtype=np.int64)) * array.itemsize
