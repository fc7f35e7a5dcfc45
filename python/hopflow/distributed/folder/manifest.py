"""What the manifest of a partition says, and which files follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from hopflow.storage.array_files import ArrayRecord
from hopflow.storage.manifests import (
    Column,
    Layout,
    digest,
    ids_dtype,
    is_of_format,
    plain,
    rows_of_column,
)
from hopflow.structure.types import Relation, Schema

FORMAT = "hopflow partition"
VERSION = 1
PART = "part.json"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that is known of a partition without opening an array.

    Attributes
    ----------
    partition_id : str
        Hash of everything else here, and so of the assignment and of all checksums.
    num_parts : int
        Number of parts.
    idtype : {"int32", "int64"}
        Of the graph.
    ntypes, relations : tuple
        Node types and relations in the graph's order, which numbers them in names of files.
    num_nodes, num_edges : dict
        Numbers by type and relation.
    part_nodes, part_edges : dict
        By type the nodes that each part owns; by relation the in-edges of its nodes.
    node_columns, edge_columns : dict
        By type and relation.
    splits : dict
        ``{name: {node type: number of ids}}``.
    num_classes : int or None
        Number of classes.
    topology : tuple of bool or None
        Of each relation whether edge ids are stored with the whole topology; None without one.
    report : dict or None
        What the partitioner says of its work.
    assignment : str
        Hash of which part owns which node.
    parts : tuple of str
        Hash of what each part's own manifest says.
    files : dict
        Path to record of each array outside the parts.
    """

    partition_id: str = ""
    num_parts: int
    idtype: str
    ntypes: tuple[str, ...]
    relations: tuple[Relation, ...]
    num_nodes: Mapping[str, int]
    num_edges: Mapping[Relation, int]
    part_nodes: Mapping[str, tuple[int, ...]]
    part_edges: Mapping[Relation, tuple[int, ...]]
    node_columns: Mapping[str, tuple[Column, ...]]
    edge_columns: Mapping[Relation, tuple[Column, ...]]
    splits: Mapping[str, Mapping[str, int]]
    num_classes: int | None
    topology: tuple[bool, ...] | None
    report: Mapping[str, Any] | None
    assignment: str
    parts: tuple[str, ...] = ()
    files: Mapping[str, ArrayRecord]

    @cached_property
    def schema(self) -> Schema:
        """The node types and relations."""
        return Schema(self.ntypes, self.relations)

    def first_rows(self, ntype: str) -> tuple[int, ...]:
        """Numbers of the first node of each part in the order of the parts, and behind the last."""
        return (0, *accumulate(self.part_nodes[ntype]))

    def to_json(self) -> dict[str, Any]:
        """The attributes as plain values; what has a relation for its key as a list."""
        relations = self.relations
        return {
            "format": FORMAT,
            "version": VERSION,
            "partition_id": self.partition_id,
            "num_parts": self.num_parts,
            "idtype": self.idtype,
            "ntypes": list(self.ntypes),
            "relations": [list(r) for r in relations],
            "num_nodes": {t: self.num_nodes[t] for t in self.ntypes},
            "num_edges": [self.num_edges[r] for r in relations],
            "part_nodes": {t: list(self.part_nodes[t]) for t in self.ntypes},
            "part_edges": [list(self.part_edges[r]) for r in relations],
            "node_columns": {t: [c.to_json() for c in self.node_columns[t]] for t in self.ntypes},
            "edge_columns": [[c.to_json() for c in self.edge_columns[r]] for r in relations],
            "splits": {name: dict(counts) for name, counts in self.splits.items()},
            "num_classes": self.num_classes,
            "topology": None if self.topology is None else list(self.topology),
            "report": None if self.report is None else plain(self.report),
            "assignment": self.assignment,
            "parts": list(self.parts),
            "files": {path: record.to_json() for path, record in self.files.items()},
        }

    def made_id(self) -> str:
        """The partition id that the other attributes have."""
        values = self.to_json()
        del values["partition_id"]
        return digest(values)

    def root_layout(self) -> dict[str, Layout]:
        """The arrays outside the parts."""
        found = {}
        for t, ntype in enumerate(self.ntypes):
            count = self.num_nodes[ntype]
            found[f"place/node-{t}.npy"] = Layout((ids_dtype(count),), (count,))
        for name, counts in self.splits.items():
            for ntype, count in counts.items():
                path = f"split/{name}-{self.ntypes.index(ntype)}.npy"
                found[path] = Layout(("int32", "int64"), (count,))
        for i, has_eids in enumerate(self.topology or ()):
            src, _, dst = relation = self.relations[i]
            edges = self.num_edges[relation]
            path = f"topology/{i}"
            found[f"{path}.indptr.npy"] = Layout(("int64",), (self.num_nodes[dst] + 1,))
            found[f"{path}.indices.npy"] = Layout((ids_dtype(self.num_nodes[src]),), (edges,))
            if has_eids:
                found[f"{path}.eids.npy"] = Layout((ids_dtype(edges),), (edges,))
        return found

    def part_layout(self, part: int) -> dict[str, Layout]:
        """The arrays of a part, by their names in its folder."""
        found = {}
        for t, ntype in enumerate(self.ntypes):
            count = self.part_nodes[ntype][part]
            found[f"node-{t}.ids.npy"] = Layout((ids_dtype(self.num_nodes[ntype]),), (count,))
            for k, column in enumerate(self.node_columns[ntype]):
                found[f"node-{t}.col-{k}.npy"] = rows_of_column(column, count)
        for i, relation in enumerate(self.relations):
            src, _, dst = relation
            count = self.part_edges[relation][part]
            rows = self.part_nodes[dst][part]
            found[f"edge-{i}.indptr.npy"] = Layout(("int64",), (rows + 1,))
            found[f"edge-{i}.indices.npy"] = Layout((ids_dtype(self.num_nodes[src]),), (count,))
            found[f"edge-{i}.eids.npy"] = Layout((ids_dtype(self.num_edges[relation]),), (count,))
            for k, column in enumerate(self.edge_columns[relation]):
                found[f"edge-{i}.col-{k}.npy"] = rows_of_column(column, count)
        return found


def part_name(part: int) -> str:
    """Name of a part's folder."""
    return f"part-{part}"


def part_json(part: int, files: Mapping[str, ArrayRecord]) -> dict[str, Any]:
    """What a part's own manifest says, but for the partition id, which depends on it."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "part": part,
        "files": {path: record.to_json() for path, record in files.items()},
    }


def is_partition(folder: Path) -> bool:
    """Whether a folder's manifest says that it holds a partition, of whatever version."""
    return is_of_format(folder, FORMAT)
