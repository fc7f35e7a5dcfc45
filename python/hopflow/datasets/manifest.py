"""The manifest of a folder of tables: which file holds which nodes and edges, and in which columns.

::

    {
      "nodes": {
        "user": {"table": "users.csv", "id": "user_id", "features": ["age", "income"],
                 "label": "country", "split": "part"},
        "item": {"table": "items.parquet", "id": "sku", "features": "f_*", "year": "since"},
        "tag": {"num_nodes": 12}
      },
      "edges": [
        {"relation": ["user", "buys", "item"], "table": "buys.csv.gz",
         "source": "user", "target": "item", "columns": ["price"]}
      ]
    }
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hopflow.structure.types import Relation

from .files import require_file

MANIFEST = "hopflow.json"

Columns: TypeAlias = "tuple[str, ...] | str"
"""Names of columns; or ``"*"`` for all numeric ones, ``"f_*"`` for those that begin so."""


@dataclass(frozen=True)
class NodeTable:
    """One node type.

    Parameters
    ----------
    path
        Its table, a row a node; None where there is none.
    id
        Column of ids, which relations then use; None: they use the number of the row.
    features
        Columns that make up ``"feat"``.
    columns
        Columns that are kept under their own names.
    label, year, split
        Columns of classes, of years, and of ``train``, ``valid`` or ``test``.
    num_nodes
        Without a table: how many there are. None: as many as relations name.
    """

    path: Path | None = None
    id: str | None = None
    features: Columns = ()
    columns: Columns = ()
    label: str | None = None
    year: str | None = None
    split: str | None = None
    num_nodes: int | None = None


@dataclass(frozen=True)
class EdgeTable:
    """One relation.

    Parameters
    ----------
    relation
        Source type, name and destination type.
    path
        Its table, a row an edge.
    source, target
        Columns of ids.
    features, columns
        As of :class:`NodeTable`.
    """

    relation: Relation
    path: Path
    source: str
    target: str
    features: Columns = ()
    columns: Columns = ()


@dataclass(frozen=True)
class Manifest:
    """What a manifest says; every node type that a relation names is in `nodes`."""

    name: str
    nodes: Mapping[str, NodeTable]
    edges: tuple[EdgeTable, ...]


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; paths in it are relative to its folder.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        It is no JSON, or says something else than it may; the message says where.
    """
    require_file(path, what="a manifest of tables")
    try:
        loaded = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: line {error.lineno}, column {error.colno}: expected JSON, {error.msg}"
        ) from None
    except (UnicodeDecodeError, _TwiceError) as error:
        raise ValueError(f"{path}: expected JSON, {error}") from None
    root = _Part(str(path), loaded, ("name", "nodes", "edges"))
    name = root.text("name") or path.resolve().parent.name
    listed = root.value("nodes", Mapping, "an object, node types by name") or {}
    nodes = {ntype: _node_table(f"{path}: nodes.{ntype}", path, value)
             for ntype, value in listed.items()}  # fmt: skip
    given = root.value("edges", list, "a list of relations")
    if not given:
        raise ValueError(f"{path}: edges: expected at least one relation, got none")
    edges = tuple(_edge_table(f"{path}: edges[{i}]", path, value) for i, value in enumerate(given))
    seen = set()
    for i, table in enumerate(edges):
        if table.relation in seen:
            raise ValueError(f"{path}: edges[{i}]: {table.relation!r} stands there already")
        seen.add(table.relation)
        for ntype in (table.relation[0], table.relation[2]):
            nodes.setdefault(ntype, NodeTable())
    return Manifest(name, nodes, edges)


def _node_table(where: str, path: Path, value: Any) -> NodeTable:
    of_table = ("id", "features", "columns", "label", "year", "split")
    part = _Part(where, value, ("table", "num_nodes", *of_table))
    table = part.text("table")
    num_nodes = part.value("num_nodes", int, "a number of nodes")
    if num_nodes is not None and num_nodes < 0:
        raise ValueError(f"{where}.num_nodes: expected at least 0, got {num_nodes}")
    if table is None:
        for key in of_table:
            if key in part.given:
                raise ValueError(f"{where}.{key}: expected a table with such a column, got none")
    elif num_nodes is not None:
        raise ValueError(f"{where}.num_nodes: a table says how many nodes there are")
    return NodeTable(
        path=None if table is None else path.parent / table,
        id=part.text("id"),
        features=part.columns("features"),
        columns=part.columns("columns"),
        label=part.text("label"),
        year=part.text("year"),
        split=part.text("split"),
        num_nodes=num_nodes,
    )


def _edge_table(where: str, path: Path, value: Any) -> EdgeTable:
    keys = ("relation", "table", "source", "target")
    part = _Part(where, value, (*keys, "features", "columns"))
    for key in keys:
        if key not in part.given:
            raise ValueError(f"{where}: expected {', '.join(keys)}, missing {key}")
    relation = part.given["relation"]
    is_names = isinstance(relation, list) and all(isinstance(x, str) and x for x in relation)
    if not is_names or len(relation) != 3:
        raise ValueError(
            f"{where}.relation: expected [source type, name, destination type], got {relation!r}"
        )
    return EdgeTable(
        relation=(relation[0], relation[1], relation[2]),
        path=path.parent / part.required("table"),
        source=part.required("source"),
        target=part.required("target"),
        features=part.columns("features"),
        columns=part.columns("columns"),
    )


class _Part:
    """An object of the manifest, of which every key is known."""

    def __init__(self, where: str, given: Any, known: tuple[str, ...]) -> None:
        if not isinstance(given, Mapping):
            raise ValueError(f"{where}: expected an object, got {given!r}")
        for key in given:
            if key not in known:
                raise ValueError(f"{where}: expected {', '.join(known)}, got {key!r}")
        self.where, self.given = where, given

    def value(self, key: str, kind: Any, what: str) -> Any:
        value = self.given.get(key)
        # JSON's true and false are int in Python.
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ValueError(f"{self.where}.{key}: expected {what}, got {value!r}")
        return value

    def text(self, key: str) -> str | None:
        value: str | None = self.value(key, str, "a text")
        return value

    def required(self, key: str) -> str:
        value = self.text(key)
        if not value:
            raise ValueError(f"{self.where}.{key}: expected a text, got {value!r}")
        return value

    def columns(self, key: str) -> Columns:
        value = self.given.get(key, ())
        if isinstance(value, str) and value.endswith("*"):
            return value
        if isinstance(value, (list, tuple)) and all(isinstance(x, str) for x in value):
            return tuple(value)
        raise ValueError(
            f'{self.where}.{key}: expected a list of columns, "*" or "prefix*", got {value!r}'
        )


class _TwiceError(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; a key that stands in it twice would hide what was said first."""
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _TwiceError(f"{twice!r} stands twice in one object")
    return made
