"""Tables read a few rows at a time, and staged as plain arrays."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hopflow.datasets.conversion.growing import Spill
from hopflow.datasets.conversion.rows import FileRows
from hopflow.datasets.dataset import Array
from hopflow.datasets.files import CSV_SUFFIXES, TABLE_SUFFIXES, as_text, has_header, suffix_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Table:
    """A table in one file, or in several with the same columns.

    Attributes
    ----------
    files : tuple of Path
        CSV, TSV (gzipped or not) or Parquet, in their order.
    header : bool or None
        Whether the first line of a CSV file holds names; None looks.
    """

    files: tuple[Path, ...]
    header: bool | None = None

    @property
    def what(self) -> str:
        """The words that messages about it begin with."""
        return str(self.files[0] if len(self.files) == 1 else self.files[0].parent)

    def columns(self) -> list[Any]:
        """Names of the columns; numbers where they have none.

        Raises
        ------
        FileNotFoundError, ImportError, ValueError
            As :meth:`frames`; also files with different columns.
        """
        found: list[Any] | None = None
        for file in self.files:
            names = _columns_of(file, self.header)
            if found is not None and names != found:
                raise ValueError(
                    f"{file}: expected the columns of {self.files[0].name}, {found}, got {names}"
                )
            found = names
        assert found is not None
        return found

    def frames(
        self, rows: int, text: Sequence[Any] = (), file: Path | None = None
    ) -> Iterator[tuple[Path, int, pd.DataFrame]]:
        """Pieces of the table, with their file and the number of their first row in it.

        Parameters
        ----------
        rows : int
            Rows of a piece, at most.
        text : sequence
            Columns to keep as they are written.
        file : Path, optional
            The file to read; by default all.

        Raises
        ------
        FileNotFoundError
            A file is missing.
        ImportError
            Parquet without `pyarrow`.
        ValueError
            Empty or malformed.
        """
        for path in self.files if file is None else (file,):
            first = 0
            for frame in _frames_of(path, self.header, rows, text):
                yield path, first, frame
                first += len(frame)
            if not first:
                raise ValueError(f"{path}: expected at least one row, got none")


def as_table(path: Path, *, header: bool | None = None) -> Table:
    """The table of a file, or of all Parquet files of a folder in the order of their names.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        It is of another kind.
    """
    if path.is_dir():
        files = tuple(sorted(path.glob("*.parquet")))
        if not files:
            raise FileNotFoundError(f"{path}: expected Parquet files in the folder, got none")
        return Table(files, header)
    if suffix_of(path) not in TABLE_SUFFIXES:
        raise ValueError(
            f"{path}: expected one of {', '.join(TABLE_SUFFIXES)}, got {suffix_of(path)!r}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a table, no such file")
    return Table((path,), header)


def _columns_of(path: Path, header: bool | None) -> list[Any]:
    if suffix_of(path) == ".parquet":
        with _parquet(path) as opened:
            return [str(name) for name in opened.schema_arrow.names]
    return list(next(_frames_of(path, header, 1, ())).columns)


def _frames_of(
    path: Path, header: bool | None, rows: int, text: Sequence[Any]
) -> Iterator[pd.DataFrame]:
    if suffix_of(path) in CSV_SUFFIXES:
        return _csv_frames(path, header, rows, text)
    return _parquet_frames(path, rows, text)


def _csv_frames(
    path: Path, header: bool | None, rows: int, text: Sequence[Any]
) -> Iterator[pd.DataFrame]:
    import pandas as pd

    sep = "\t" if suffix_of(path).startswith(".tsv") else ","
    options: dict[str, Any] = {}
    if text:
        # As they are written: "007" is not 7, and "NA" is a text.
        options = {"dtype": dict.fromkeys(text, str), "keep_default_na": False,
                   "na_values": {name: [""] for name in text}}  # fmt: skip
    try:
        if header is None:
            header = has_header(path)
        with pd.read_csv(
            path, sep=sep, header=0 if header else None, chunksize=rows, **options
        ) as reader:
            yield from reader
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path}: expected at least one row, got none") from None
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: {error or 'the file ends too early'}") from None


def _parquet(path: Path) -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError(
            f"{path}: reading Parquet needs pyarrow; install hopflow[parquet]"
        ) from error
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        _raise_of_system(error)
        raise ValueError(f"{path}: not a readable Parquet file: {error}") from error


def _raise_of_system(error: BaseException) -> None:
    """Raise an error that the system has told of, which says nothing of what the file holds.

    Of a malformed file pyarrow raises OSError too, but without a number.
    """
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def _parquet_frames(path: Path, rows: int, text: Sequence[Any]) -> Iterator[pd.DataFrame]:
    import pyarrow as pa

    with _parquet(path) as opened:
        try:
            for batch in opened.iter_batches(batch_size=rows):
                if batch.num_rows:
                    frame = batch.to_pandas()
                    for name in set(text) & set(frame.columns):
                        frame[name] = as_text(frame[name])
                    yield frame
        except (pa.ArrowException, OSError) as error:
            _raise_of_system(error)
            raise ValueError(f"{path}: not a readable Parquet file: {error}") from error


class StagedArray:
    """A plain array on disk that grows piece by piece, and widens when a piece asks for it.

    Parameters
    ----------
    path : Path
        The file; of each wider dtype there is another one beside it.
    what : str
        What messages call the array.
    widen : callable, optional
        From the dtypes so far and of a piece to that of both; by default numpy's, of which numbers
        and truth values have none.
    state : dict, optional
        What :meth:`to_json` said when a finished step left it; None to begin.

    Attributes
    ----------
    path : Path
        The file that it is in now. Those of narrower dtypes stay where they are.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        widen: Callable[[Any, Any], Any] | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        self._base, self.what = path, what
        self._widen = widen or _common
        self.dtype: np.dtype[Any] | None = None
        self._shape: tuple[int, ...] = ()
        self.count = 0
        self.path = path
        if state is not None:
            self.path = path.with_name(state["file"])
            self.dtype = np.dtype(state["dtype"])
            self.count, *shape = state["shape"]
            self._shape = tuple(shape)
        self._file = Spill(self.path, self._num_bytes())

    def write(self, rows: Array) -> None:
        """Append rows.

        Raises
        ------
        ValueError
            They fit no dtype together with those before, or are of another shape.
        """
        if self.dtype is None:
            self.dtype, self._shape = rows.dtype, rows.shape[1:]
        elif rows.dtype != self.dtype:
            dtype = self._widen(self.dtype, rows.dtype)
            if dtype is None:
                raise ValueError(
                    f"{self.what}: expected {self.dtype} as before, got {rows.dtype} behind row"
                    f" {self.count} (counted from 0)"
                )
            self._rewrite(np.dtype(dtype))
        if rows.shape[1:] != self._shape:
            raise ValueError(
                f"{self.what}: expected rows of shape {list(self._shape)}, got"
                f" {list(rows.shape[1:])} behind row {self.count}"
            )
        self._file.write(rows.astype(self.dtype, copy=False))
        self.count += len(rows)

    def _rewrite(self, dtype: np.dtype[Any]) -> None:
        if dtype == self.dtype:
            return
        self._file.close()
        # The old one stays: a run that ends before this step does goes on with it.
        wider = self._base.with_name(f"{dtype.str[1:]}~{self._base.name}")
        with Spill(wider, 0) as file:
            step = max(1, (16 << 20) // max(int(np.prod(self._shape, dtype=np.int64)) * 8, 1))
            for piece in self.rows().pieces(step):
                file.write(piece.astype(dtype))
        self.path, self.dtype = wider, dtype
        self._file = Spill(wider, self._num_bytes())

    def _num_bytes(self) -> int:
        if self.dtype is None:
            return 0
        return int(np.prod((self.count, *self._shape), dtype=np.int64)) * self.dtype.itemsize

    def rows(self) -> FileRows:
        """The array as it is now."""
        assert self.dtype is not None
        return FileRows(self.what, self.dtype, (self.count, *self._shape), self.path)

    def to_json(self) -> dict[str, Any]:
        """What is to be known of it later, with all rows on their way to the disk."""
        assert self.dtype is not None
        self._file.flush()
        return {
            "file": self.path.name, "what": self.what, "dtype": self.dtype.str,
            "shape": [self.count, *self._shape],
        }  # fmt: skip

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def staged_rows(folder: Path, said: dict[str, Any]) -> FileRows:
    """The array that :meth:`StagedArray.to_json` speaks of."""
    return FileRows(
        said["what"], np.dtype(said["dtype"]), tuple(said["shape"]), folder / said["file"]
    )


def _common(before: np.dtype[Any], piece: np.dtype[Any]) -> np.dtype[Any] | None:
    if (before.kind == "b") != (piece.kind == "b"):
        return None
    return np.result_type(before, piece)
