"""Reading one file into numpy arrays: CSV, Parquet, `.npy`, `.npz`; never a pickle.

Whatever is wrong with a file surfaces as a FileNotFoundError or ValueError that names it.
"""

from __future__ import annotations

import gzip
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.npyio import NpzFile

from .dataset import Array

if TYPE_CHECKING:
    import pandas as pd

CSV_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
TABLE_SUFFIXES = (*CSV_SUFFIXES, ".parquet")
ARRAY_SUFFIXES = (*TABLE_SUFFIXES, ".npy", ".npz")

_HOLES = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]  # cells that hold nothing


def suffix_of(path: Path) -> str:
    """Suffix in lower case, with a leading ``.csv`` or ``.tsv`` where the file is gzipped."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        return "".join(suffixes[-2:])
    return suffixes[-1] if suffixes else ""


def require_file(path: Path, *, what: str) -> Path:
    """Return `path` if it is a file, else raise FileNotFoundError that says what it was to be."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected {what}, no such file")
    return path


def read_csv(path: Path, *, header: bool | None = False) -> pd.DataFrame:
    """Read a comma-separated (`.tsv`: tab-separated) file, gzipped or not.

    Parameters
    ----------
    path
        The file.
    header
        Whether its first line holds names; None looks whether it holds anything but numbers.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Empty, corrupt or ragged.
    """
    import pandas as pd

    require_file(path, what="a CSV file")
    sep = "\t" if suffix_of(path).startswith(".tsv") else ","
    with _named(path):
        if header is None:
            header = has_header(path)
        frame = pd.read_csv(path, sep=sep, header=0 if header else None)
    if not len(frame):
        raise ValueError(f"{path}: expected at least one row, got none")
    return frame


def has_header(path: Path) -> bool:
    """Whether the first line of a CSV file holds anything but numbers.

    Raises
    ------
    ValueError
        The file is empty, or no text.
    """
    sep = "\t" if suffix_of(path).startswith(".tsv") else ","
    return not all(_is_number(cell) for cell in _first_line(path).split(sep))


def read_id_columns(path: Path, *, num_columns: int) -> list[Array]:
    """Read a CSV file without a header that holds node ids (or counts), one array a column.

    Columns come as pandas found them, so that :func:`.checks.as_ids` can say what is wrong.

    Raises
    ------
    ValueError
        As :func:`read_csv`; also another number of columns.
    """
    frame = read_csv(path)
    if len(frame.columns) != num_columns:
        raise ValueError(f"{path}: expected {num_columns} column(s), got {len(frame.columns)}")
    return [frame[column].to_numpy() for column in frame.columns]


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV (header looked for) or Parquet file.

    Raises
    ------
    ImportError
        Parquet without `pyarrow`.
    ValueError
        Empty or malformed, or a suffix that is none of `TABLE_SUFFIXES`.
    """
    suffix = suffix_of(path)
    if suffix in CSV_SUFFIXES:
        return read_csv(path, header=None)
    if suffix != ".parquet":
        raise ValueError(f"{path}: expected one of {', '.join(TABLE_SUFFIXES)}, got {suffix!r}")
    require_file(path, what="a Parquet file")
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError(
            f"{path}: reading Parquet needs pyarrow; install hopflow[parquet]"
        ) from error
    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a readable Parquet file: {error}") from error
    if not len(frame) or not len(frame.columns):
        raise ValueError(f"{path}: expected at least one row, got none")
    return frame


def read_named_table(path: Path, *, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV or Parquet file of which the columns have names.

    Parameters
    ----------
    path
        The file; the first line of a CSV file holds the names.
    text
        Columns to keep as they are written: not as numbers, and with no text, such as ``NA``, for
        an empty cell. Integers of a Parquet file become their digits.

    Returns
    -------
    DataFrame
        A row for each line behind the first, empty ones at the end left out.

    Raises
    ------
    ImportError
        Parquet without `pyarrow`.
    ValueError
        Empty or malformed, or a suffix that is none of `TABLE_SUFFIXES`.
    """
    import pandas as pd

    if suffix_of(path) not in CSV_SUFFIXES:
        frame = read_table(path)
        for name in set(text) & set(frame.columns):
            frame[name] = as_text(frame[name])
        return frame
    require_file(path, what="a CSV file")
    sep = "\t" if suffix_of(path).startswith(".tsv") else ","
    with _named(path):
        names = pd.read_csv(path, sep=sep, nrows=0).columns
        with warnings.catch_warnings():
            # pandas warns where it cuts the cells that have no name.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            try:
                frame = pd.read_csv(
                    path,
                    sep=sep,
                    dtype=dict.fromkeys(text, str),
                    keep_default_na=False,
                    na_values={name: [""] if name in text else _HOLES for name in names},
                    skip_blank_lines=False,  # a row's number tells its line
                    index_col=False,
                    low_memory=False,
                )
            except pd.errors.ParserWarning:
                raise ValueError(
                    f"line 1 names {len(names)} columns, and lines below it have more cells"
                ) from None
    while len(frame) and frame.iloc[-1].isna().all():
        frame = frame.iloc[:-1]
    if not len(frame):
        raise ValueError(f"{path}: expected at least one row, got none")
    return frame


def as_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """Ids as texts: whole numbers, which a hole may have made floats, without a point."""
    held = column.dropna()
    if held.dtype.kind == "f" and (held == held.astype("int64")).all():
        held = held.astype("int64")
    return held.astype(str).reindex(column.index)


def frame_to_matrix(frame: pd.DataFrame, path: Path, *, holes: bool = False) -> Array:
    """Turn a frame of numbers into an array ``[rows, columns]``.

    Parameters
    ----------
    frame
        Columns of numbers.
    path
        Where it came from.
    holes
        Whether a cell may be empty or NaN, as labels may. Without, float64 becomes float32.

    Raises
    ------
    ValueError
        A cell that is not a number, or an empty one.
    """
    for position, column in enumerate(frame.columns):
        values = frame[column]
        if values.dtype.kind not in "biuf":
            bad = next((cell for cell in values if not _is_number(str(cell))), values.dtype)
            raise ValueError(f"{path}: expected numbers, got {bad!r} in column {position}")
        if not holes and values.dtype.kind == "f" and values.isna().any():
            row = int(np.asarray(values.isna()).argmax())
            raise ValueError(
                f"{path}: row {row}, column {position} (counted from 0) is empty or NaN"
            )
    matrix: Array = frame.to_numpy(dtype=np.result_type(*frame.dtypes))
    return matrix.astype(np.float32) if matrix.dtype == np.float64 and not holes else matrix


def read_npz(path: Path) -> dict[str, Array]:
    """Read every array of an `.npz` file; pickled ones are refused.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Corrupt, empty, or holding pickled objects.
    """
    require_file(path, what="an .npz file")
    arrays: dict[str, Array] = {}
    with _named(path):
        try:
            loaded = np.load(path, allow_pickle=False)
        except ValueError as error:
            raise ValueError(f"expected an .npz archive; {_refusal(error)}") from error
        if not isinstance(loaded, NpzFile):
            raise ValueError("expected an .npz archive, got a single array")
        with loaded:
            for key in loaded.files:
                try:
                    arrays[key] = loaded[key]
                except ValueError as error:
                    raise ValueError(f"array {key!r}: {_refusal(error)}") from error
    if not arrays:
        raise ValueError(f"{path}: expected arrays, got an empty archive")
    return arrays


def read_npy(path: Path, *, mapped: bool = False) -> Array:
    """Read an `.npy` file, or map it; a pickled one is refused.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Corrupt, or holding pickled objects.
    """
    require_file(path, what="an .npy file")
    with _named(path):
        try:
            array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        except ValueError as error:
            raise ValueError(_refusal(error)) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: expected a single array, got an archive")
    return array


def read_array(path: Path, *, keys: tuple[str, ...], holes: bool = False) -> Array:
    """Read one array from any of `ARRAY_SUFFIXES`.

    Parameters
    ----------
    path
        The file; rows are nodes, in order of their ids.
    keys
        Names looked for in an `.npz`, which may also hold a single array of any name.
    holes
        Whether a cell of a table may be empty or NaN.

    Raises
    ------
    ValueError
        Malformed, or a suffix that is none of `ARRAY_SUFFIXES`.
    """
    suffix = suffix_of(path)
    if suffix == ".npy":
        return read_npy(path)
    if suffix == ".npz":
        arrays = read_npz(path)
        for key in keys:
            if key in arrays:
                return arrays[key]
        if len(arrays) == 1:
            return next(iter(arrays.values()))
        raise ValueError(f"{path}: expected an array {' or '.join(keys)}, got {', '.join(arrays)}")
    if suffix in TABLE_SUFFIXES:
        return frame_to_matrix(read_table(path), path, holes=holes)
    raise ValueError(f"{path}: expected one of {', '.join(ARRAY_SUFFIXES)}, got {suffix!r}")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    # One place that knows how broken files show: pandas' parser errors are ValueErrors, a bad
    # gzip header is an OSError, a cut stream an EOFError, a damaged one a zlib.error.
    try:
        yield
    except FileNotFoundError:
        raise
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: {error or 'the file is empty'}") from error


def _refusal(error: ValueError) -> str:
    if "allow_pickle" in str(error) or "pickled" in str(error):
        return "holds pickled Python objects (or is no numpy file), which hopflow never loads"
    return str(error)


def _first_line(path: Path) -> str:
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt") as file:
        line = str(file.readline()).strip("\ufeff\r\n")
    if not line:
        raise ValueError("expected rows, got an empty file")
    return line


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip().strip('"'))
    except ValueError:
        return not cell.strip()  # an empty cell is a hole, not a name
    return True
