"""Opening a graph folder: arrays mapped into memory, checked on the way in, nothing read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.datasets.dataset import NodePropDataset
from hopflow.datasets.graph_folder.manifest import Manifest, read_manifest
from hopflow.datasets.typed_dataset import TypedNodePropDataset
from hopflow.graphs.graph import Graph
from hopflow.storage.array_files import DTYPES, as_array, check_array, mapped
from hopflow.storage.disk_column import DiskColumn
from hopflow.storage.encoded_column import EncodedColumn
from hopflow.storage.manifests import Column
from hopflow.storage.sizes import size_in_bytes
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Column as FrameColumn
from hopflow.structure.frame import Columns, Frame
from hopflow.structure.relations import node_name
from hopflow.structure.types import Relation


class NodeIds(Sequence[Any]):
    """The id that each node had in the source, read where it is asked for.

    Parameters
    ----------
    folder : Path
        The graph folder.
    stem : str
        What names of the files begin with.
    kind : {"number", "text"}
        What the ids are.
    """

    def __init__(self, folder: Path, stem: str, kind: str) -> None:
        self._bytes: Any = None
        if kind == "number":
            self._values: Any = as_array(mapped(folder / f"{stem}.ids.npy"))
        else:
            self._values = as_array(mapped(folder / f"{stem}.id-ends.npy"))
            self._bytes = as_array(mapped(folder / f"{stem}.id-bytes.npy"))

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, node: Any) -> Any:
        """The id of a node, or an array of those of several.

        Parameters
        ----------
        node : int, slice or array of int
            Numbers of nodes.

        Returns
        -------
        int, str or ndarray
            int64 where ids are numbers, else object.
        """
        if isinstance(node, Tensor):
            node = node.tolist()
        is_part = isinstance(node, slice) or np.asarray(node).dtype == bool
        nodes = np.arange(len(self))[node] if is_part else np.asarray(node)
        if self._bytes is None:
            found = self._values[nodes]
            return int(found) if nodes.ndim == 0 else np.asarray(found)
        texts = np.empty(nodes.shape, object)
        for at, number in np.ndenumerate(nodes):
            texts[at] = self._text(int(number))
        return texts[()] if nodes.ndim == 0 else texts

    def tolist(self) -> list[Any]:
        """All ids, in memory."""
        found: list[Any] = self[:].tolist()
        return found

    def _text(self, node: int) -> str:
        node = range(len(self))[node]
        first = int(self._values[node - 1]) if node else 0
        data: bytes = self._bytes[first : int(self._values[node])].tobytes()
        return data.decode()


def open_graph(
    folder: str | os.PathLike[str],
    *,
    memory: int | str | None = None,
    edges: str = "mapped",
) -> NodePropDataset | TypedNodePropDataset:
    """Open a graph folder; its arrays are mapped from files and read where they are used.

    Of each array the size, the header and 64 KiB at each end are compared with the manifest. No
    pass over nodes or edges checks ids: those who wrote the folder did, and checksums vouch for
    them; `check_graph` reads everything. **Nobody may write into the tensors.**

    Parameters
    ----------
    folder : str or path
        What `hopflow convert` or :func:`save_folder` wrote.
    memory : int or str, optional
        Memory for node columns, such as ``"8GiB"``. Columns that fit, the small ones first, are
        read into it; each of the others becomes a :class:`hopflow.storage.DiskColumn` with a cache
        of a share of the rest. By default all are mapped. Columns that the folder keeps in eight
        bits become a :class:`hopflow.storage.EncodedColumn` over any of these.
    edges : {"mapped", "memory"}
        Where the edges are: mapped from files, or read into memory, from which sampling is faster.

    Returns
    -------
    NodePropDataset or TypedNodePropDataset
        As :func:`hopflow.datasets.load` gives; `node_ids` tells the id that each node had in the
        source, where it was not its number.

    Raises
    ------
    FileNotFoundError
        It is no such folder, or a file is missing.
    ValueError
        The manifest is of a newer version, was changed, or is not what it must be; a file is
        another than the manifest says; ``memory`` is no size, or ``edges`` another word.
    """
    path = Path(folder)
    if edges not in ("mapped", "memory"):
        raise ValueError(f'edges: expected "mapped" or "memory", got {edges!r}')
    num_bytes = None if memory is None else size_in_bytes("memory", memory)
    manifest = read_manifest(path)
    for name, record in manifest.files.items():
        check_array(path / name, str(path / name), record, other="graph folder")
    graph = _graph(path, manifest, num_bytes, edges == "memory")
    numbers = {ntype: t for t, ntype in enumerate(manifest.ntypes)}
    labels = {t: mapped(path / f"node-{numbers[t]}.labels.npy") for t in manifest.labels}
    splits = {
        name: {t: mapped(path / f"split/{name}-{numbers[t]}.npy") for t in counts}
        for name, counts in manifest.splits.items()
    }
    ids = {t: NodeIds(path, f"node-{numbers[t]}", kind) for t, kind in manifest.node_ids.items()}
    if manifest.is_typed:
        return TypedNodePropDataset.of_graph(
            graph, name=manifest.name, labels=labels, splits=splits or None,
            num_classes=manifest.num_classes, class_names=manifest.class_names, node_ids=ids,
        )  # fmt: skip
    (ntype,) = manifest.ntypes
    return NodePropDataset.of_graph(
        graph, name=manifest.name, labels=labels.get(ntype),
        splits={name: part[ntype] for name, part in splits.items()} or None,
        num_classes=manifest.num_classes, node_ids=ids.get(ntype),
    )  # fmt: skip


def _open_columns(
    path: Path, manifest: Manifest, memory: int | None
) -> dict[str, dict[str, FrameColumn]]:
    """The node columns by type: mapped, or within ``memory`` bytes in memory or behind caches."""
    files = {
        (ntype, column.name): (path / f"node-{t}.col-{k}.npy", column)
        for t, ntype in enumerate(manifest.ntypes)
        for k, column in enumerate(manifest.node_columns[ntype])
    }
    found: dict[str, dict[str, FrameColumn]] = {ntype: {} for ntype in manifest.ntypes}
    left, shared = memory or 0, sum(file.stat().st_size for file, _ in files.values())
    cached: dict[tuple[str, str], int] = {}
    if memory is not None:
        for key, (file, _) in sorted(files.items(), key=lambda item: item[1][0].stat().st_size):
            size = file.stat().st_size
            if size <= left and not cached:
                left, shared = left - size, shared - size
            else:
                cached[key] = size
    for key, (file, column) in files.items():
        ntype, name = key
        table: Tensor | DiskColumn
        if memory is None:
            table = mapped(file, column.file_dtype)
        elif key in cached:
            share = left * cached[key] // max(shared, 1)
            table = DiskColumn(file, memory=share, dtype=column.file_dtype)
        else:
            table = _into_memory(mapped(file, column.file_dtype))
        found[ntype][name] = _decoded(table, column)
    return found


def _decoded(table: Tensor | DiskColumn, column: Column) -> FrameColumn:
    """The column whose file is ``table``: decoded as it is read, if it is kept in fewer bits."""
    if not column.code:
        return table
    return EncodedColumn(table, by_row=True, dtype=DTYPES[column.dtype])


def _into_memory(x: Tensor) -> Tensor:
    """A copy in huge pages, which suit arrays that are read at random."""
    return ops.pooled(x, x.dtype)


def _graph(path: Path, manifest: Manifest, memory: int | None, edges_in_memory: bool) -> Graph:
    cpu = torch.device("cpu")
    of_types = _open_columns(path, manifest, memory)
    frames = {
        ntype: Frame(manifest.num_nodes[ntype], node_name(ntype), cpu, columns)
        for ntype, columns in of_types.items()
    }
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
    for i, relation in enumerate(manifest.relations):
        name = f"edge-{i}"
        indptr, indices = (mapped(path / f"{name}.{x}.npy") for x in ("indptr", "indices"))
        if edges_in_memory:
            indptr, indices = _into_memory(indptr), _into_memory(indices)
        eids = mapped(path / f"{name}.eids.npy") if manifest.has_eids[relation] else None
        sizes = manifest.num_nodes[relation[0]], manifest.num_nodes[relation[2]]
        edge_columns: dict[str, FrameColumn] = {
            column.name: mapped(path / f"{name}.col-{k}.npy", column.dtype)
            for k, column in enumerate(manifest.edge_columns[relation])
        }
        parts[relation] = Adjacency(indptr, indices, eids, *sizes), edge_columns
    return Graph.of_types(manifest.schema, frames, parts, DTYPES[manifest.idtype])
