"""Reading the folder of a partitioned graph: arrays mapped into memory, checked on the way in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hopflow.distributed.folder.manifest import Manifest, part_name
from hopflow.distributed.folder.manifest_reader import read_manifest, read_part
from hopflow.graphs.graph import Graph
from hopflow.storage.array_files import DTYPES, ArrayRecord, check_array, mapped
from hopflow.storage.manifests import Column
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Columns, Frame
from hopflow.structure.relations import node_name
from hopflow.structure.types import Relation, Schema


class PartsFolder:
    """The folder of a partitioned graph, as :func:`open_folder` gives it.

    Tensors are mapped from files and read where they are used; **nobody may write into them**.

    Attributes
    ----------
    path : Path
        The folder.
    manifest : Manifest
        Its manifest, of which the properties below show the fields.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest

    @property
    def partition_id(self) -> str:
        """Hash of all that the folder holds; of two partitionings never the same."""
        return self.manifest.partition_id

    @property
    def num_parts(self) -> int:
        """Number of parts; a part may own no node."""
        return self.manifest.num_parts

    @property
    def idtype(self) -> torch.dtype:
        """The graph's dtype of ids, int32 or int64."""
        return DTYPES[self.manifest.idtype]

    @property
    def schema(self) -> Schema:
        """Node types and relations."""
        return self.manifest.schema

    @property
    def ntypes(self) -> tuple[str, ...]:
        """Node types in the graph's order."""
        return self.manifest.ntypes

    @property
    def relations(self) -> tuple[Relation, ...]:
        """Relations in the graph's order."""
        return self.manifest.relations

    @property
    def num_nodes(self) -> Mapping[str, int]:
        """Nodes of each type in the whole graph."""
        return self.manifest.num_nodes

    @property
    def num_edges(self) -> Mapping[Relation, int]:
        """Edges of each relation in the whole graph."""
        return self.manifest.num_edges

    @property
    def part_nodes(self) -> Mapping[str, tuple[int, ...]]:
        """By type the number of nodes that each part owns."""
        return self.manifest.part_nodes

    @property
    def part_edges(self) -> Mapping[Relation, tuple[int, ...]]:
        """By relation the number of in-edges of the nodes of each part."""
        return self.manifest.part_edges

    @property
    def node_columns(self) -> Mapping[str, tuple[Column, ...]]:
        """Name, dtype and shape of a row of each column, by type."""
        return self.manifest.node_columns

    @property
    def edge_columns(self) -> Mapping[Relation, tuple[Column, ...]]:
        """Name, dtype and shape of a row of each column, by relation."""
        return self.manifest.edge_columns

    @property
    def num_classes(self) -> int | None:
        """Number of classes, if it was given."""
        return self.manifest.num_classes

    @property
    def report(self) -> Mapping[str, Any] | None:
        """What the partitioner said of its work."""
        return self.manifest.report

    @property
    def has_topology(self) -> bool:
        """Whether all edges are in the folder as a whole too."""
        return self.manifest.topology is not None

    def first_rows(self, ntype: str | None = None) -> tuple[int, ...]:
        """Numbers of the first node of each part in the order of the parts; one more at the end.

        Parameters
        ----------
        ntype : str, optional
            Which nodes; None: those of the only type.

        Returns
        -------
        tuple of int
            ``num_parts + 1`` numbers, from 0 to the number of nodes.
        """
        return self.manifest.first_rows(self.schema.ntype(ntype))

    def place(self, ntype: str | None = None) -> Tensor:
        """Number of each node in the order of the parts, shape [N], int32 or int64.

        It is the part's :meth:`first_rows` plus the node's row in the part, so that
        ``torch.searchsorted(first_rows, place, right=True) - 1`` is the part.
        """
        return mapped(self.path / f"place/node-{self.ntype_number(ntype)}.npy")

    def splits(self) -> dict[str, dict[str, Tensor]]:
        """``{name: {node type: ids}}``, int32 or int64, in the order in which they were given."""
        return {
            name: {
                ntype: mapped(self.path / f"split/{name}-{self.ntype_number(ntype)}.npy")
                for ntype in counts
            }
            for name, counts in self.manifest.splits.items()
        }

    def topology(self) -> Graph:
        """The whole graph over arrays mapped from files, without columns; nothing is read.

        Raises
        ------
        FileNotFoundError
            The folder was written without it.
        """
        if self.manifest.topology is None:
            raise FileNotFoundError(
                f"{self.path}: has no topology; it was written without (--no-topology)"
            )
        parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
        for i, (relation, has_eids) in enumerate(zip(self.relations, self.manifest.topology)):
            name = f"topology/{i}"
            indptr, indices = (mapped(self.path / f"{name}.{x}.npy") for x in ("indptr", "indices"))
            eids = mapped(self.path / f"{name}.eids.npy") if has_eids else None
            sizes = self.num_nodes[relation[0]], self.num_nodes[relation[2]]
            parts[relation] = Adjacency(indptr, indices, eids, *sizes), None
        cpu = torch.device("cpu")
        frames = {t: Frame(n, node_name(t), cpu) for t, n in self.num_nodes.items()}
        return Graph.of_types(self.schema, frames, parts, self.idtype)

    def part(self, part: int) -> PartFiles:
        """The files of a part, which need none of another part's.

        Raises
        ------
        IndexError
            There is no such part.
        FileNotFoundError
            The part, or a file of it, is not in the folder.
        ValueError
            A file is of another part or partitioning, cut off, or of another dtype or shape.
        """
        if not 0 <= part < self.num_parts:
            raise IndexError(f"part: expected 0 <= part < {self.num_parts}, got {part}")
        return PartFiles(self, part, read_part(self.path, self.manifest, part))

    def ntype_number(self, ntype: str | None = None) -> int:
        """The number of a node type in names of files; None: of the only one."""
        return self.ntypes.index(self.schema.ntype(ntype))

    def relation_number(self, etype: str | Relation | None = None) -> int:
        """The number of a relation in names of files; None: of the only one."""
        return self.relations.index(self.schema.relation(etype))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({str(self.path)!r}, num_parts={self.num_parts},"
            f" num_nodes={dict(self.num_nodes)}, num_edges={dict(self.num_edges)})"
        )


class PartFiles:
    """The files of one part, as :meth:`PartsFolder.part` gives them.

    Attributes
    ----------
    folder : PartsFolder
        What it is a part of.
    part : int
        Its number.
    path : Path
        Its folder.
    files : dict
        Name to record of each array.
    """

    def __init__(self, folder: PartsFolder, part: int, files: Mapping[str, ArrayRecord]) -> None:
        self.folder, self.part, self.files = folder, part, files
        self.path = folder.path / part_name(part)
        for name, record in files.items():
            check_array(self.path / name, f"{self.path / name}", record)

    def num_nodes(self, ntype: str | None = None) -> int:
        """Number of nodes that the part owns."""
        return self.folder.part_nodes[self.folder.schema.ntype(ntype)][self.part]

    def num_edges(self, etype: str | Relation | None = None) -> int:
        """Number of in-edges of the nodes that the part owns."""
        return self.folder.part_edges[self.folder.schema.relation(etype)][self.part]

    def ids(self, ntype: str | None = None) -> Tensor:
        """Ids in the whole graph of the nodes that the part owns, rising; int32 or int64."""
        return mapped(self.path / f"node-{self.folder.ntype_number(ntype)}.ids.npy")

    def columns(self, ntype: str | None = None) -> dict[str, Tensor]:
        """Columns of these nodes, a row for each of :meth:`ids`."""
        t = self.folder.ntype_number(ntype)
        return self._columns(f"node-{t}", self.folder.node_columns[self.folder.ntypes[t]])

    def edges(self, etype: str | Relation | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """In-edges of these nodes, those of each node in the order that the graph has.

        Parameters
        ----------
        etype : str or tuple, optional
            The relation; its destinations' :meth:`ids` are the rows.

        Returns
        -------
        indptr : Tensor
            int64, shape [rows + 1].
        indices : Tensor
            Sources as ids in the whole graph, shape [edges], int32 or int64.
        eids : Tensor
            Edge ids in the whole graph, shape [edges], int32 or int64.
        """
        name = f"edge-{self.folder.relation_number(etype)}"
        indptr, indices, eids = (
            mapped(self.path / f"{name}.{x}.npy") for x in ("indptr", "indices", "eids")
        )
        return indptr, indices, eids

    def edge_columns(self, etype: str | Relation | None = None) -> dict[str, Tensor]:
        """Columns of these edges, a row for each position of :meth:`edges`."""
        i = self.folder.relation_number(etype)
        return self._columns(f"edge-{i}", self.folder.edge_columns[self.folder.relations[i]])

    def _columns(self, name: str, columns: Sequence[Column]) -> dict[str, Tensor]:
        return {
            column.name: mapped(self.path / f"{name}.col-{k}.npy", column.dtype)
            for k, column in enumerate(columns)
        }

    def num_bytes(self) -> int:
        """Bytes of the part's files on disk."""
        return sum(file.stat().st_size for file in self.path.iterdir())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, part={self.part})"


def open_folder(folder: str | os.PathLike[str]) -> PartsFolder:
    """Open the folder of a partitioned graph; parts need not be in it yet.

    Of each array outside the parts the size, the header and 64 KiB at each end are compared with
    the manifest; `check_folder` reads everything.

    Raises
    ------
    FileNotFoundError
        It is no such folder, or a file is missing.
    ValueError
        The manifest is of a newer version, was changed, or is not what it must be; a file is
        another than the manifest says.
    """
    path = Path(folder)
    manifest = read_manifest(path)
    for name, record in manifest.files.items():
        check_array(path / name, f"{path / name}", record)
    return PartsFolder(path, manifest)
