"""Manifests of folders of arrays: what they are made of, written and read field by field."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

import hopflow.ops as ops
from hopflow.ops.gather_decoded import ROW_SCALE_BYTES
from hopflow.storage.array_files import DTYPES, ArrayRecord, stored_as
from hopflow.storage.encoded_column import BY_ROW
from hopflow.structure.types import Relation

MANIFEST = "manifest.json"
SPLIT_NAME = re.compile(r"[A-Za-z0-9_]+")
"""Names of splits, which are names of files too."""

T = TypeVar("T")
_MOST = 2**62
_DECODED = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Column:
    """A column of nodes or edges.

    Attributes
    ----------
    name : str
        As in the graph.
    dtype : str
        As torch names it; of bfloat16 the files have int16. With a code that of decoded rows.
    shape : tuple of int
        Of a row, decoded.
    code : {"", "int8-by-row"}
        How the file keeps rows: as they are, or as :func:`hopflow.ops.quantize_by_row` makes them.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    code: str = ""

    def to_json(self) -> dict[str, Any]:
        """The attributes as plain values; a column without a code has no such field."""
        values = {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}
        return {**values, "code": self.code} if self.code else values

    @property
    def file_dtype(self) -> str | None:
        """The dtype that its file is read in, where that is not what numpy says; None if it is."""
        return None if self.code else self.dtype


@dataclass(frozen=True)
class Layout:
    """An array that a manifest asks for: the dtypes its file may have, and its shape."""

    dtypes: tuple[str, ...]
    shape: tuple[int, ...]


def ids_dtype(count: int) -> str:
    """The dtype of ids of so many things: int32 where they fit."""
    return "int32" if ops.id_dtype(count) == torch.int32 else "int64"


def rows_of_column(column: Column, count: int) -> Layout:
    """The array of a column of so many rows."""
    if column.code:
        (width,) = column.shape
        return Layout(("uint8",), (count, width + ROW_SCALE_BYTES))
    return Layout((stored_as(column.dtype),), (count, *column.shape))


def digest(values: Any) -> str:
    """Hash of a JSON-able value, the same in every process."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def plain(value: Any) -> Any:
    """A value as JSON has it: texts for keys, lists, and null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # of torch and numpy
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(file: Path, values: Mapping[str, Any]) -> None:
    """Write a manifest."""
    text = json.dumps(values, indent=1, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")


def is_of_format(folder: Path, form: str) -> bool:
    """Whether a folder's manifest says that it holds this, of whatever version."""
    try:
        loaded = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(loaded, dict) and loaded.get("format") == form


class Fields:
    """An object of a manifest; whatever is wrong with a field is an error that names it.

    Parameters
    ----------
    where : str
        The file, and where in it the object is.
    value : object
        What is there.
    """

    def __init__(self, where: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{where}: expected an object, got {shown(value)}")
        self.where, self.values = where, value

    def wrong(self, field: str, expected: str) -> ValueError:
        """The error for a field."""
        got = shown(self.values[field]) if field in self.values else "none"
        return ValueError(f"{self.where}: {field}: expected {expected}, got {got}")

    def text(self, field: str) -> str:
        """A text that is not empty."""
        value = self.values.get(field)
        if not isinstance(value, str) or not value:
            raise self.wrong(field, "a text")
        return value

    def count(self, field: str, least: int = 0) -> int:
        """A whole number."""
        value = self.values.get(field)
        if not _is_count(value, least):
            raise self.wrong(field, f"a whole number >= {least}")
        assert isinstance(value, int)
        return value

    def listed(
        self, field: str, make: Callable[[str, Any], T], length: int | None = None
    ) -> list[T]:
        """A list, of which ``make(where, value)`` reads each element."""
        value = self.values.get(field)
        if not isinstance(value, list) or (length is not None and len(value) != length):
            raise self.wrong(field, "a list" if length is None else f"a list of {length}")
        return [make(f"{self.where}: {field}[{i}]", item) for i, item in enumerate(value)]

    def by_name(
        self, field: str, make: Callable[[str, Any], T], names: tuple[str, ...] | None = None
    ) -> dict[str, T]:
        """An object by name, with these names if they are given."""
        value = self.values.get(field)
        if not isinstance(value, dict):
            raise self.wrong(field, "an object")
        if names is not None and set(value) != set(names):
            raise self.wrong(field, f"an object with {', '.join(map(repr, names))}")
        names = tuple(value) if names is None else names
        return {name: make(f"{self.where}: {field}.{name}", value[name]) for name in names}


def load_fields(file: Path, form: str, version: int, writer: str) -> Fields:
    """A manifest of the right format and version.

    Parameters
    ----------
    file : Path
        It is there.
    form : str
        What it must say of its format.
    version : int
        The newest that is understood.
    writer : str
        The command that writes such files, for messages.

    Raises
    ------
    ValueError
        It is no JSON, of another format or of a newer version.
    """
    try:
        loaded = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: expected JSON, {error}") from None
    fields = Fields(str(file), loaded)
    if loaded.get("format") != form:
        raise ValueError(
            f"{file}: expected what `{writer}` wrote, with format {form!r}, got"
            f" {shown(loaded.get('format'))}"
        )
    got = fields.count("version", 1)
    if got > version:
        raise ValueError(
            f"{file}: version: expected at most {version}, got {got}; a newer hopflow wrote it"
        )
    return fields


def check_layout(
    fields: Fields, files: Mapping[str, ArrayRecord], layout: Mapping[str, Layout]
) -> None:
    """Raise unless the files are those that the other fields ask for."""
    for path in sorted(files.keys() ^ layout.keys()):
        is_missing = path in layout
        expected = f"{path} too" if is_missing else f"no {path}"
        raise ValueError(f"{fields.where}: files: expected {expected}")
    for path, wanted in layout.items():
        record, where = files[path], f"{fields.where}: files.{path}"
        if record.dtype not in wanted.dtypes:
            expected = " or ".join(wanted.dtypes)
            raise ValueError(f"{where}: dtype: expected {expected}, got {record.dtype!r}")
        if record.shape != wanted.shape:
            raise ValueError(
                f"{where}: shape: expected {list(wanted.shape)}, got {list(record.shape)}"
            )


def shown(value: Any) -> str:
    """A value for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_count(value: Any, least: int = 0) -> bool:
    # JSON's true and false are int in Python.
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < _MOST


def as_name(where: str, value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ValueError(f"{where}: expected a text, got {shown(value)}")
    return value


def as_flag(where: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{where}: expected true or false, got {shown(value)}")
    return value


def as_count(where: str, value: Any) -> int:
    """A whole number >= 0."""
    if not _is_count(value):
        raise ValueError(f"{where}: expected a whole number >= 0, got {shown(value)}")
    assert isinstance(value, int)
    return value


def as_counts(length: int) -> Callable[[str, Any], tuple[int, ...]]:
    """What reads so many whole numbers."""

    def read(where: str, value: Any) -> tuple[int, ...]:
        if not isinstance(value, list) or len(value) != length:
            raise ValueError(f"{where}: expected a list of {length}, got {shown(value)}")
        return tuple(as_count(f"{where}[{i}]", item) for i, item in enumerate(value))

    return read


def as_relation(where: str, value: Any) -> Relation:
    """A relation."""
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError(f"{where}: expected [source type, name, destination type], got {value!r}")
    src, name, dst = (as_name(f"{where}[{i}]", item) for i, item in enumerate(value))
    return src, name, dst


def _shape(fields: Fields) -> tuple[int, ...]:
    return tuple(fields.listed("shape", as_count))


def as_column(where: str, value: Any) -> Column:
    """A column that is kept as it is."""
    column = as_coded_column(where, value)
    if column.code:
        raise ValueError(f"{where}: code: expected none here, got {column.code!r}")
    return column


def as_coded_column(where: str, value: Any) -> Column:
    """A column that may be kept in fewer bits."""
    fields = Fields(where, value)
    dtype = fields.text("dtype")
    if dtype not in DTYPES:
        raise fields.wrong("dtype", f"one of {', '.join(DTYPES)}")
    name = fields.values.get("name")
    if not isinstance(name, str):  # the empty text is one that a column may have
        raise fields.wrong("name", "a text")
    column = Column(name, dtype, _shape(fields))
    if "code" not in fields.values:
        return column
    code = fields.text("code")
    if code != BY_ROW:
        raise fields.wrong("code", f"{BY_ROW}, or none")
    if dtype not in _DECODED or len(column.shape) != 1:
        raise fields.wrong(
            "code",
            f"none beside dtype {dtype} and shape {list(column.shape)}: {BY_ROW} is of rows of one"
            f" dimension, of {', '.join(_DECODED)}",
        )
    return replace(column, code=code)


def as_columns(where: str, value: Any) -> tuple[Column, ...]:
    """Columns that are kept as they are, each once."""
    return _columns(where, value, as_column)


def as_coded_columns(where: str, value: Any) -> tuple[Column, ...]:
    """Columns that may be kept in fewer bits, each once."""
    return _columns(where, value, as_coded_column)


def _columns(where: str, value: Any, make: Callable[[str, Any], Column]) -> tuple[Column, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{where}: expected a list, got {shown(value)}")
    columns = tuple(make(f"{where}[{k}]", item) for k, item in enumerate(value))
    names = [column.name for column in columns]
    if len(set(names)) != len(names):
        raise ValueError(f"{where}: expected each column once, got {', '.join(names)}")
    return columns


def as_split(where: str, value: Any) -> dict[str, int]:
    """Numbers of ids by node type."""
    fields = Fields(where, value)
    return {ntype: fields.count(ntype) for ntype in fields.values}


def as_record(where: str, value: Any) -> ArrayRecord:
    """What is known of a file."""
    fields = Fields(where, value)
    return ArrayRecord(
        fields.text("dtype"), _shape(fields), fields.count("crc32"), fields.count("crc32_ends")
    )


def read_schema(fields: Fields) -> tuple[tuple[str, ...], tuple[Relation, ...]]:
    """Node types and relations between them, each once; at least one of either."""
    ntypes = tuple(fields.listed("ntypes", as_name))
    relations = tuple(fields.listed("relations", as_relation))
    for field, names in (("ntypes", ntypes), ("relations", relations)):
        if not names or len(set(names)) != len(names):
            raise fields.wrong(field, "at least one, each once")
    if any(end not in ntypes for src, _, dst in relations for end in (src, dst)):
        raise fields.wrong("relations", f"ends among {', '.join(map(repr, ntypes))}")
    return ntypes, relations


def read_idtype(fields: Fields) -> str:
    """The dtype of a graph's ids."""
    idtype = fields.text("idtype")
    if idtype not in ("int32", "int64"):
        raise fields.wrong("idtype", "int32 or int64")
    return idtype


def read_splits(fields: Fields, ntypes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """``{name: {node type: number of ids}}``."""
    splits = fields.by_name("splits", as_split)
    for name, sizes in splits.items():
        if not SPLIT_NAME.fullmatch(name) or not set(sizes) <= set(ntypes):
            raise fields.wrong("splits", "names of letters and digits, with types of the graph")
    return splits
