"""What the manifest of a graph folder says, and which files follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hopflow.storage.array_files import ArrayRecord
from hopflow.storage.manifests import (
    MANIFEST,
    Column,
    Fields,
    Layout,
    as_coded_columns,
    as_columns,
    as_count,
    as_flag,
    as_name,
    as_record,
    check_layout,
    digest,
    ids_dtype,
    is_of_format,
    load_fields,
    read_idtype,
    read_schema,
    read_splits,
    rows_of_column,
)
from hopflow.structure.types import CANONICAL, Relation, Schema

FORMAT = "hopflow graph"
VERSION = 1
IDS = ("number", "text")
"""What ids of nodes may be, where they are not their numbers."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that is known of a graph folder without opening an array.

    Attributes
    ----------
    graph_id : str
        Hash of everything else here, and so of all checksums.
    name : str
        What the data set is called.
    idtype : {"int32", "int64"}
        Of the graph.
    ntypes, relations : tuple
        Node types and relations in the graph's order, which numbers them in names of files.
    num_nodes, num_edges : dict
        Numbers by type and relation.
    has_eids : dict
        Of each relation whether the edge at each position is stored; without, it is edge ``e`` at
        position ``e``.
    node_columns, edge_columns : dict
        By type and relation; a row for each node, and for each edge in the order of edge ids. Those
        of nodes may be kept in fewer bits.
    labels : dict
        ``{node type: number of columns}`` of the types that have labels.
    splits : dict
        ``{name: {node type: number of ids}}``.
    num_classes : int
        Number of classes, 0 without labels.
    class_names : dict
        By type what its classes are called, where they were not numbers.
    node_ids : dict
        ``{node type: "number" or "text"}`` of the types whose nodes have ids of their own.
    id_bytes : dict
        Bytes of all ids of each type whose ids are texts.
    files : dict
        Path to record of each array.
    """

    graph_id: str = ""
    name: str
    idtype: str
    ntypes: tuple[str, ...]
    relations: tuple[Relation, ...]
    num_nodes: Mapping[str, int]
    num_edges: Mapping[Relation, int]
    has_eids: Mapping[Relation, bool]
    node_columns: Mapping[str, tuple[Column, ...]]
    edge_columns: Mapping[Relation, tuple[Column, ...]]
    labels: Mapping[str, int]
    splits: Mapping[str, Mapping[str, int]]
    num_classes: int
    class_names: Mapping[str, tuple[str, ...]]
    node_ids: Mapping[str, str]
    id_bytes: Mapping[str, int]
    files: Mapping[str, ArrayRecord]

    @cached_property
    def schema(self) -> Schema:
        """The node types and relations."""
        return Schema(self.ntypes, self.relations)

    @property
    def is_typed(self) -> bool:
        """Whether the graph has types that users name."""
        return self.relations != (CANONICAL,) or len(self.ntypes) != 1

    def to_json(self) -> dict[str, Any]:
        """The attributes as plain values; what has a relation for its key as a list."""
        relations = self.relations
        return {
            "format": FORMAT,
            "version": VERSION,
            "graph_id": self.graph_id,
            "name": self.name,
            "idtype": self.idtype,
            "ntypes": list(self.ntypes),
            "relations": [list(r) for r in relations],
            "num_nodes": {t: self.num_nodes[t] for t in self.ntypes},
            "num_edges": [self.num_edges[r] for r in relations],
            "has_eids": [self.has_eids[r] for r in relations],
            "node_columns": {t: [c.to_json() for c in self.node_columns[t]] for t in self.ntypes},
            "edge_columns": [[c.to_json() for c in self.edge_columns[r]] for r in relations],
            "labels": dict(self.labels),
            "splits": {name: dict(counts) for name, counts in self.splits.items()},
            "num_classes": self.num_classes,
            "class_names": {t: list(names) for t, names in self.class_names.items()},
            "node_ids": dict(self.node_ids),
            "id_bytes": dict(self.id_bytes),
            "files": {path: record.to_json() for path, record in self.files.items()},
        }

    def made_id(self) -> str:
        """The graph id that the other attributes have."""
        values = self.to_json()
        del values["graph_id"]
        return digest(values)

    def with_files(self, files: Mapping[str, ArrayRecord]) -> Manifest:
        """The manifest of a folder that is written, in the layout's order."""
        made = replace(self, files={path: files[path] for path in self.layout()})
        return replace(made, graph_id=made.made_id())

    def layout(self) -> dict[str, Layout]:
        """The arrays, by their names in the folder."""
        found = {}
        for t, ntype in enumerate(self.ntypes):
            count = self.num_nodes[ntype]
            for k, column in enumerate(self.node_columns[ntype]):
                found[f"node-{t}.col-{k}.npy"] = rows_of_column(column, count)
            if ntype in self.labels:
                found[f"node-{t}.labels.npy"] = Layout(("int64",), (count, self.labels[ntype]))
            ids = self.node_ids.get(ntype)
            if ids == "number":
                found[f"node-{t}.ids.npy"] = Layout(("int64",), (count,))
            elif ids == "text":
                found[f"node-{t}.id-ends.npy"] = Layout(("int64",), (count,))
                found[f"node-{t}.id-bytes.npy"] = Layout(("uint8",), (self.id_bytes[ntype],))
        for i, relation in enumerate(self.relations):
            src, _, dst = relation
            count = self.num_edges[relation]
            found[f"edge-{i}.indptr.npy"] = Layout(("int64",), (self.num_nodes[dst] + 1,))
            found[f"edge-{i}.indices.npy"] = Layout((ids_dtype(self.num_nodes[src]),), (count,))
            if self.has_eids[relation]:
                found[f"edge-{i}.eids.npy"] = Layout((ids_dtype(count),), (count,))
            for k, column in enumerate(self.edge_columns[relation]):
                found[f"edge-{i}.col-{k}.npy"] = rows_of_column(column, count)
        for name, counts in self.splits.items():
            for ntype, count in counts.items():
                path = f"split/{name}-{self.ntypes.index(ntype)}.npy"
                found[path] = Layout(("int64",), (count,))
        return found


def is_graph_folder(folder: Path) -> bool:
    """Whether a folder's manifest says that it holds a graph, of whatever version."""
    return is_of_format(folder, FORMAT)


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
            f"{folder}: expected a folder that `hopflow convert` wrote, {MANIFEST} is missing"
        )
    fields = load_fields(file, FORMAT, VERSION, "hopflow convert")
    ntypes, relations = read_schema(fields)

    def by_relation(values: list[Any]) -> dict[Relation, Any]:
        return dict(zip(relations, values))

    made = Manifest(
        graph_id=fields.text("graph_id"),
        name=fields.text("name"),
        idtype=read_idtype(fields),
        ntypes=ntypes,
        relations=relations,
        num_nodes=fields.by_name("num_nodes", as_count, ntypes),
        num_edges=by_relation(fields.listed("num_edges", as_count, len(relations))),
        has_eids=by_relation(fields.listed("has_eids", as_flag, len(relations))),
        node_columns=fields.by_name("node_columns", as_coded_columns, ntypes),
        edge_columns=by_relation(fields.listed("edge_columns", as_columns, len(relations))),
        labels=_of_types(fields, "labels", as_count, ntypes),
        splits=read_splits(fields, ntypes),
        num_classes=fields.count("num_classes"),
        class_names=_of_types(fields, "class_names", _names, ntypes),
        node_ids=_of_types(fields, "node_ids", _kind_of_ids, ntypes),
        id_bytes=_of_types(fields, "id_bytes", as_count, ntypes),
        files=fields.by_name("files", as_record),
    )
    if set(made.id_bytes) != {t for t, kind in made.node_ids.items() if kind == "text"}:
        raise fields.wrong("id_bytes", "those of the types whose ids are texts")
    check_layout(fields, made.files, made.layout())
    # Whatever has been changed since, so that the fields still fit one another.
    if made.made_id() != made.graph_id:
        raise ValueError(
            f"{file}: graph_id: expected {made.made_id()}, which its fields have, got"
            f" {made.graph_id}; the file has been changed"
        )
    return made


def _of_types(fields: Fields, field: str, make: Any, ntypes: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = fields.by_name(field, make)
    if not set(found) <= set(ntypes):
        raise fields.wrong(field, "types of the graph")
    return found


def _names(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{where}: expected a list, got {value!r}")
    return tuple(as_name(f"{where}[{i}]", item) for i, item in enumerate(value))


def _kind_of_ids(where: str, value: Any) -> str:
    if value not in IDS:
        raise ValueError(f"{where}: expected {' or '.join(IDS)}, got {value!r}")
    return str(value)
