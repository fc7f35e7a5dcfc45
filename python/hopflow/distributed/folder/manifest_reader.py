"""Reading the manifests of a partition, field by field."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hopflow.distributed.folder.manifest import (
    FORMAT,
    MANIFEST,
    PART,
    SPLIT_NAME,
    VERSION,
    Column,
    Layout,
    Manifest,
    digest,
    part_json,
    part_name,
)
from hopflow.storage.array_files import DTYPES, ArrayRecord
from hopflow.structure.types import Relation

T = TypeVar("T")
_MOST = 2**62


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
            raise ValueError(f"{where}: expected an object, got {_shown(value)}")
        self.where, self.values = where, value

    def wrong(self, field: str, expected: str) -> ValueError:
        """The error for a field."""
        got = _shown(self.values[field]) if field in self.values else "none"
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


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        It is of another format or of a newer version, or a field of it is not what it must be.
    """
    file = folder / MANIFEST
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder}: expected a folder that `hopflow partition` wrote, {MANIFEST} is missing"
        )
    fields = _load(file)
    num_parts = fields.count("num_parts", 1)
    ntypes = tuple(fields.listed("ntypes", _name))
    relations = tuple(fields.listed("relations", _relation))
    for field, names in (("ntypes", ntypes), ("relations", relations)):
        if not names or len(set(names)) != len(names):
            raise fields.wrong(field, "at least one, each once")
    if any(end not in ntypes for src, _, dst in relations for end in (src, dst)):
        raise fields.wrong("relations", f"ends among {', '.join(map(repr, ntypes))}")
    idtype = fields.text("idtype")
    if idtype not in ("int32", "int64"):
        raise fields.wrong("idtype", "int32 or int64")
    counts = _counts(num_parts)
    num_nodes = fields.by_name("num_nodes", _count, ntypes)
    num_edges = dict(zip(relations, fields.listed("num_edges", _count, len(relations))))
    part_nodes = fields.by_name("part_nodes", counts, ntypes)
    part_edges = dict(zip(relations, fields.listed("part_edges", counts, len(relations))))
    for ntype in ntypes:
        if sum(part_nodes[ntype]) != num_nodes[ntype]:
            raise fields.wrong("part_nodes", f"{num_nodes[ntype]} of {ntype!r} in all")
    for relation in relations:
        if sum(part_edges[relation]) != num_edges[relation]:
            raise fields.wrong("part_edges", f"{num_edges[relation]} of {relation!r} in all")
    splits = fields.by_name("splits", _split)
    for name, sizes in splits.items():
        if not SPLIT_NAME.fullmatch(name) or not set(sizes) <= set(ntypes):
            raise fields.wrong("splits", "names of letters and digits, with types of the graph")
    topology = None
    if fields.values.get("topology") is not None:
        topology = tuple(fields.listed("topology", _flag, len(relations)))
    report = fields.values.get("report")
    if report is not None and not isinstance(report, dict):
        raise fields.wrong("report", "an object or null")
    num_classes = None
    if fields.values.get("num_classes") is not None:
        num_classes = fields.count("num_classes")
    edge_columns = fields.listed("edge_columns", _columns, len(relations))
    made = Manifest(
        partition_id=fields.text("partition_id"),
        num_parts=num_parts,
        idtype=idtype,
        ntypes=ntypes,
        relations=relations,
        num_nodes=num_nodes,
        num_edges=num_edges,
        part_nodes=part_nodes,
        part_edges=part_edges,
        node_columns=fields.by_name("node_columns", _columns, ntypes),
        edge_columns=dict(zip(relations, edge_columns)),
        splits=splits,
        num_classes=num_classes,
        topology=topology,
        report=report,
        assignment=fields.text("assignment"),
        parts=tuple(fields.listed("parts", _name, num_parts)),
        files=fields.by_name("files", _record),
    )
    _check_layout(fields, made.files, made.root_layout())
    # Whatever has been changed since, so that the fields still fit one another.
    if made.made_id() != made.partition_id:
        raise ValueError(
            f"{file}: partition_id: expected {made.made_id()}, which its fields have, got"
            f" {made.partition_id}; the file has been changed"
        )
    return made


def read_part(folder: Path, manifest: Manifest, part: int) -> dict[str, ArrayRecord]:
    """What a part's own manifest says of its files.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        It is of another part, partitioning, format or newer version, or has been changed.
    """
    name = part_name(part)
    file = folder / name / PART
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; {name} is not in this folder")
    fields = _load(file)
    if fields.values.get("partition_id") != manifest.partition_id:
        raise ValueError(
            f"{file}: {name} is of another partitioning: expected partition_id"
            f" {manifest.partition_id}, got {_shown(fields.values.get('partition_id'))}"
        )
    number = fields.count("part")
    if number != part:
        raise ValueError(f"{file}: part: expected {part}, got {number}; folders are mixed up")
    files = fields.by_name("files", _record)
    _check_layout(fields, files, manifest.part_layout(part))
    if digest(part_json(part, files)) != manifest.parts[part]:
        raise ValueError(f"{file}: does not fit {MANIFEST}; the file has been changed")
    return files


def _load(file: Path) -> Fields:
    """A manifest of the right format and version."""
    try:
        loaded = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: expected JSON, {error}") from None
    fields = Fields(str(file), loaded)
    if loaded.get("format") != FORMAT:
        raise ValueError(
            f"{file}: expected what `hopflow partition` wrote, with format {FORMAT!r}, got"
            f" {_shown(loaded.get('format'))}"
        )
    version = fields.count("version", 1)
    if version > VERSION:
        raise ValueError(
            f"{file}: version: expected at most {VERSION}, got {version}; a newer hopflow wrote it"
        )
    return fields


def _check_layout(
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


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_count(value: Any, least: int = 0) -> bool:
    # JSON's true and false are int in Python.
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < _MOST


def _name(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where}: expected a text, got {_shown(value)}")
    return value


def _flag(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{where}: expected true or false, got {_shown(value)}")
    return value


def _count(where: str, value: Any) -> int:
    if not _is_count(value):
        raise ValueError(f"{where}: expected a whole number >= 0, got {_shown(value)}")
    assert isinstance(value, int)
    return value


def _counts(length: int) -> Callable[[str, Any], tuple[int, ...]]:
    def read(where: str, value: Any) -> tuple[int, ...]:
        if not isinstance(value, list) or len(value) != length:
            raise ValueError(f"{where}: expected a list of {length}, got {_shown(value)}")
        return tuple(_count(f"{where}[{i}]", item) for i, item in enumerate(value))

    return read


def _relation(where: str, value: Any) -> Relation:
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError(f"{where}: expected [source type, name, destination type], got {value!r}")
    src, name, dst = (_name(f"{where}[{i}]", item) for i, item in enumerate(value))
    return src, name, dst


def _shape(fields: Fields) -> tuple[int, ...]:
    return tuple(fields.listed("shape", _count))


def _column(where: str, value: Any) -> Column:
    fields = Fields(where, value)
    dtype = fields.text("dtype")
    if dtype not in DTYPES:
        raise fields.wrong("dtype", f"one of {', '.join(DTYPES)}")
    name = fields.values.get("name")
    if not isinstance(name, str):  # the empty text is one that a column may have
        raise fields.wrong("name", "a text")
    return Column(name, dtype, _shape(fields))


def _columns(where: str, value: Any) -> tuple[Column, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{where}: expected a list, got {_shown(value)}")
    columns = tuple(_column(f"{where}[{k}]", item) for k, item in enumerate(value))
    names = [column.name for column in columns]
    if len(set(names)) != len(names):
        raise ValueError(f"{where}: expected each column once, got {', '.join(names)}")
    return columns


def _split(where: str, value: Any) -> dict[str, int]:
    fields = Fields(where, value)
    return {ntype: fields.count(ntype) for ntype in fields.values}


def _record(where: str, value: Any) -> ArrayRecord:
    fields = Fields(where, value)
    return ArrayRecord(
        fields.text("dtype"), _shape(fields), fields.count("crc32"), fields.count("crc32_ends")
    )
