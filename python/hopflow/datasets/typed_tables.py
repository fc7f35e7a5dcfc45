"""A folder of tables, one a node type and one a relation, with a manifest (:mod:`.manifest`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hopflow.structure.types import Relation

from .checks import as_column, as_features, as_labels, as_splits, count_classes, random_splits
from .dataset import SPLIT_NAMES, Array, Ids
from .files import CSV_SUFFIXES, frame_to_matrix, read_named_table, suffix_of
from .manifest import Columns, EdgeTable, Manifest, NodeTable, read_manifest
from .typed_dataset import RawTypedDataset

if TYPE_CHECKING:
    import pandas as pd

_PARTS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}


def read_tables(path: Path, *, seed: int = 0) -> RawTypedDataset:
    """Read a data set of several types from tables.

    Parameters
    ----------
    path
        The manifest.
    seed
        Seed of the random 60/20/20 split that labels without a split get.

    Raises
    ------
    FileNotFoundError
        The manifest or a table is missing.
    ImportError
        Parquet without `pyarrow`.
    ValueError
        Malformed in any part: the message names the file, the line (of a Parquet file, the row)
        and the column.
    """
    manifest = read_manifest(path)
    nodes = {ntype: _read_nodes(ntype, table) for ntype, table in manifest.nodes.items()}
    tables = [_Table(edge.path, text=(edge.source, edge.target)) for edge in manifest.edges]
    _number_named(manifest, nodes, tables)
    edges: dict[Relation, tuple[Ids, Ids]] = {}
    edge_columns: dict[Relation, dict[str, Array]] = {}
    for edge, table in zip(manifest.edges, tables):
        src, _, dst = edge.relation
        edges[edge.relation] = (
            nodes[src].find(table, edge.source),
            nodes[dst].find(table, edge.target),
        )
        edge_columns[edge.relation] = _columns(edge, table, (edge.source, edge.target))
    labels = {ntype: own.labels for ntype, own in nodes.items() if own.labels is not None}
    return RawTypedDataset(
        name=manifest.name,
        edges=edges,
        num_nodes={ntype: own.num_nodes for ntype, own in nodes.items()},
        node_columns={ntype: own.columns for ntype, own in nodes.items()},
        edge_columns=edge_columns,
        labels=labels,
        splits=_splits(manifest, nodes, seed),
        num_classes=max((count_classes(rows) for rows in labels.values()), default=0),
        class_names={ntype: own.classes for ntype, own in nodes.items() if own.classes},
        node_ids={
            ntype: np.asarray(own.ids, dtype=object)
            for ntype, own in nodes.items()
            if own.ids is not None
        },
    )


@dataclass
class _Nodes:
    """The nodes of one type.

    Attributes
    ----------
    num_nodes : how many there are
    ids : text id of each, where relations name them so
    source : where the ids came from, for messages
    """

    ntype: str
    num_nodes: int
    ids: pd.Index[str] | None
    source: str
    columns: dict[str, Array]
    labels: Ids | None = None
    classes: tuple[str, ...] = ()
    parts: dict[str, Array] | None = None

    def find(self, table: _Table, name: str) -> Ids:
        """The number of the node that each row of a relation names."""
        if self.ids is not None:
            found: Ids = self.ids.get_indexer(table.column(name)).astype(np.int64)
            table.refuse(found < 0, name, f"expected the id of a node of {self.source}")
            return found
        values = table.as_numbers(table.column(name))
        bad = ~((values >= 0) & (values < self.num_nodes) & (values == np.floor(values)))
        wanted = f"expected a node of type {self.ntype!r}, 0 to {self.num_nodes - 1}"
        table.refuse(bad, name, wanted)
        return values.astype(np.int64)


class _Table:
    """A table with named columns, that says where something is wrong in it.

    Parameters
    ----------
    path
        The file.
    text
        Columns that are read as they are written, such as ids: ``007`` is not ``7``.
    """

    def __init__(self, path: Path, *, text: Sequence[str]) -> None:
        self.path = path
        self.frame = read_named_table(path, text=text)
        for name in text:
            self.refuse(self.column(name).isna().to_numpy(), name, "expected an id, got none")

    def __len__(self) -> int:
        return len(self.frame)

    def column(self, name: str) -> Any:
        if name not in self.frame.columns:
            there = ", ".join(map(str, self.frame.columns))
            raise ValueError(f"{self.path}: expected a column {name!r}, got {there}")
        return self.frame[name]

    def where(self, row: int) -> str:
        if suffix_of(self.path) in CSV_SUFFIXES:
            return f"line {row + 2}"  # counted from 1, and the first holds the names
        return f"row {row} (counted from 0)"

    def refuse(self, bad: Array, name: str, wanted: str) -> None:
        if bad.any():
            row = int(bad.argmax())
            value = self.frame[name].iloc[row]
            got = "" if wanted.endswith("none") else f", got {_shown(value)}"
            raise ValueError(f"{self.path}: {self.where(row)}, column {name!r}: {wanted}{got}")

    @staticmethod
    def as_numbers(column: Any) -> Array:
        """float64, NaN where there is no number; integers beyond 2**53 are not looked for."""
        import pandas as pd

        numbers: Array = pd.to_numeric(column, errors="coerce").to_numpy(
            np.float64, na_value=np.nan
        )
        return numbers

    def numbers(self, name: str) -> Array:
        """A column of numbers without holes."""
        column = self.column(name)
        if column.dtype.kind not in "biuf" or column.isna().any():
            self.refuse(np.isnan(self.as_numbers(column)), name, "expected a number")
            # Numbers of a type that numpy does not have, or as texts.
            column = column.astype(np.float64)
        return as_column(column.to_numpy(), rows=len(self), what=f"{self.path} (column {name!r})")

    def select(self, columns: Columns, key: str, used: Sequence[str]) -> tuple[str, ...]:
        """The names that a manifest's list or pattern stands for."""
        if isinstance(columns, tuple):
            twice = [name for i, name in enumerate(columns) if name in columns[:i]]
            if twice:
                raise ValueError(f"{self.path}: {key}: column {twice[0]!r} is there twice")
            return columns
        prefix = columns[:-1]
        names = [str(name) for name in self.frame.columns if name not in used]
        if prefix:
            found = [name for name in names if name.startswith(prefix)]
        else:
            found = [name for name in names if self.frame[name].dtype.kind in "biuf"]
        if not found:
            there = ", ".join(map(str, self.frame.columns))
            kind = f"a column {columns!r}" if prefix else "a numeric column beside those used"
            raise ValueError(f"{self.path}: {key}: expected {kind}, got {there}")
        return tuple(found)


def _read_nodes(ntype: str, table: NodeTable) -> _Nodes:
    if table.path is None:
        # Of a type that only relations name, the ids are gathered later.
        return _Nodes(ntype, table.num_nodes or 0, None, f"type {ntype!r}", {})
    read = _Table(table.path, text=() if table.id is None else (table.id,))
    source = f"type {ntype!r} ({table.path.name})"
    ids = None
    if table.id is not None:
        ids = _unique_ids(read, table.id)
        source = f"type {ntype!r} ({table.path.name}, column {table.id!r})"
    single = [x for x in (table.id, table.label, table.year, table.split) if x is not None]
    own = _Nodes(ntype, len(read), ids, source, _columns(table, read, single))
    if table.year is not None:
        own.columns["year"] = _whole(read, table.year)[:, None]
    if table.label is not None:
        own.labels, own.classes = _labels(read, table.label)
    if table.split is not None:
        own.parts = _parts(read, table.split)
    return own


def _unique_ids(table: _Table, name: str) -> Any:
    import pandas as pd

    ids = pd.Index(table.column(name))
    if not ids.is_unique:
        row = int(ids.duplicated().argmax())
        first = int((ids == ids[row]).argmax())
        raise ValueError(
            f"{table.path}: {table.where(row)}, column {name!r}: expected each id once, got"
            f" {_shown(ids[row])}, as in {table.where(first)}"
        )
    return ids


def _number_named(manifest: Manifest, nodes: dict[str, _Nodes], tables: list[_Table]) -> None:
    """Number the nodes of types that relations alone name: in the order of their ids."""
    import pandas as pd

    named: dict[str, list[Any]] = {}
    for edge, table in zip(manifest.edges, tables):
        src, _, dst = edge.relation
        for ntype, name in ((src, edge.source), (dst, edge.target)):
            given = manifest.nodes[ntype]
            if given.path is None and given.num_nodes is None:
                named.setdefault(ntype, []).append(table.column(name).unique())
    for ntype, found in named.items():
        ids = {str(x) for part in found for x in part}
        is_numbers = all(_is_plain_number(x) for x in ids)
        own = nodes[ntype]
        own.ids = pd.Index(sorted(ids, key=int) if is_numbers else sorted(ids), dtype=str)
        own.num_nodes = len(own.ids)


def _is_plain_number(text: str) -> bool:
    # As str(int(text)) writes it; "007" is a text.
    digits = text.removeprefix("-")
    is_digits = digits.isascii() and digits.isdigit()
    return text == "0" or (is_digits and not digits.startswith("0"))


def _columns(given: NodeTable | EdgeTable, table: _Table, used: Sequence[str]) -> dict[str, Array]:
    """Features and further columns of a table."""
    made: dict[str, Array] = {}
    kept = () if not given.columns else table.select(given.columns, "columns", used)
    if given.features:
        names = table.select(given.features, "features", [*used, *kept])
        for name in names:
            table.numbers(name)
        matrix = frame_to_matrix(table.frame[list(names)], table.path)
        made["feat"] = as_features(matrix, rows=len(table), what=f"{table.path} (features)")
    for name in kept:
        made[name] = table.numbers(name)
    return made


def _whole(table: _Table, name: str) -> Ids:
    values = table.numbers(name)
    table.refuse(values != np.floor(values), name, "expected a whole number")
    return values.astype(np.int64)


def _labels(table: _Table, name: str) -> tuple[Ids, tuple[str, ...]]:
    """Labels, and what the classes are called if they are texts."""
    column = table.column(name)
    if column.dtype.kind in "biuf":
        values = column.to_numpy()
        if values.dtype.kind == "f":
            hole = np.isnan(values)
            table.refuse((values != np.floor(values)) & ~hole, name, "expected a class")
        table.refuse(values < -1, name, "expected a class >= 0, or -1 for no label")
        return as_labels(values, rows=len(table), what=f"{table.path} (column {name!r})"), ()
    texts = column.astype(object).where(column.notna(), None)
    classes = sorted({str(x) for x in texts if x is not None})
    number = {text: i for i, text in enumerate(classes)}
    labels = [-1 if x is None else number[str(x)] for x in texts]
    return np.asarray(labels, dtype=np.int64)[:, None], tuple(classes)


def _parts(table: _Table, name: str) -> dict[str, Array]:
    column = table.column(name)
    texts = column.astype(object).where(column.notna(), "").map(lambda x: str(x).strip().lower())
    part = texts.map(lambda x: _PARTS.get(x, "" if not x else None))
    wanted = "expected train, valid, test, or nothing"
    table.refuse(part.isna().to_numpy(), name, wanted)
    return {key: np.asarray(part == key) for key in SPLIT_NAMES}


def _splits(
    manifest: Manifest, nodes: dict[str, _Nodes], seed: int
) -> dict[str, dict[str, Ids]] | None:
    splits: dict[str, dict[str, Ids]] = {key: {} for key in SPLIT_NAMES}
    for ntype, own in nodes.items():
        if own.labels is None and own.parts is None:
            continue
        what = str(manifest.nodes[ntype].path)
        if own.parts is not None:
            made = as_splits(own.parts, num_nodes=own.num_nodes, labels=own.labels, what=what)
        else:
            assert own.labels is not None
            made = random_splits(own.labels, seed=seed, what=what)
        for key in SPLIT_NAMES:
            splits[key][ntype] = made[key]
    return splits if splits["train"] else None


def _shown(value: Any) -> str:
    """A cell for a message: texts in quotes, numbers as they are."""
    if value is None or value != value:
        return "an empty cell"
    return repr(value.item() if isinstance(value, np.generic) else value)
