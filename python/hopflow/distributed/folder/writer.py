"""Writing the folder of a partitioned graph, in pieces and all or nothing."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import hopflow.ops as ops
from hopflow.distributed.folder.contents import checked_owners, checked_splits, planned, total_bytes
from hopflow.distributed.folder.manifest import (
    MANIFEST,
    PART,
    Layout,
    Manifest,
    digest,
    is_partition,
    part_json,
    part_name,
    write_json,
)
from hopflow.graphs.graph import Graph
from hopflow.storage.array_files import (
    CHUNK_BYTES,
    ArrayRecord,
    ArrayWriter,
    as_array,
    in_edge_positions,
    spans,
)
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.graph_base import require_graph

Array = NDArray[Any]


def write_parts(
    graph: Graph,
    parts: Mapping[str, Tensor],
    folder: str | os.PathLike[str],
    *,
    num_parts: int,
    splits: Mapping[str, Any] | None = None,
    num_classes: int | None = None,
    report: Any = None,
    with_topology: bool = True,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> str:
    """Write a graph as a folder of parts, each of which one machine can read alone.

    A part has the nodes that it owns, their columns, their in-edges in the order in which the graph
    has them, and the columns of these edges. Arrays of the graph may be mapped from files larger
    than memory: beside a few integers a node, about ``chunk_bytes`` are held at a time. The folder
    appears when it is whole; after an error nothing is left of it.

    Parameters
    ----------
    graph : Graph
        On the CPU, of one or several types.
    parts : mapping
        ``{node type: part of each node}``, integers in [0, ``num_parts``), shape [N] each.
    folder : str or path
        Where to write; its parent exists.
    num_parts : int
        Number of parts; some may own no node.
    splits : mapping, optional
        ``{"train": ids}``, or ``{"train": {node type: ids}}``; a mask will do for ids. Names are of
        letters, digits and ``_``.
    num_classes : int, optional
        Number of classes, kept for those who train.
    report : optional
        What the partitioner says of its work: a mapping, or what has ``to_dict()``.
    with_topology : bool
        Whether to write all edges once more, for machines that replicate them.
    overwrite : bool
        Whether a partition that is there already is replaced, once the new one is whole.
    on_progress : callable, optional
        Called with the bytes written so far and the bytes there are to write.
    chunk_bytes : int
        Bytes held at a time.

    Returns
    -------
    str
        The partition id: a hash of the assignment, all numbers and all checksums.

    Raises
    ------
    FileExistsError
        There is something at ``folder`` that is no partition, or a partition without ``overwrite``.
    FileNotFoundError
        There is no folder to put it in.
    TypeError, ValueError, IndexError
        Parts or ids of splits that do not fit the graph; columns of a dtype that cannot be stored;
        a graph that is not on the CPU.
    OSError
        The disk is full, or cannot be written.
    """
    require_graph(graph)
    if graph.device.type != "cpu":
        raise ValueError(f"graph: expected one on the CPU, got one on {graph.device}")
    if num_parts < 1:
        raise ValueError(f"num_parts: expected at least 1, got {num_parts}")
    check_place(folder, overwrite=overwrite)
    owners = checked_owners(graph, parts, num_parts)
    ids = checked_splits(graph, splits or {})
    manifest = planned(graph, owners, ids, num_parts, num_classes, report, with_topology)
    target = Path(os.path.realpath(folder))
    temporary = _sibling(target, "tmp")
    progress = _Progress(total_bytes(manifest, ids), on_progress)
    try:
        temporary.mkdir()
        places = {t: np.empty(len(x), _id_dtype(len(x))) for t, x in owners.items()}
        said = []
        for part in range(num_parts):
            layout = manifest.part_layout(part)
            out = _Folder(temporary / part_name(part), layout, progress, chunk_bytes)
            _write_part(out, graph, manifest, owners, places, part)
            said.append(part_json(part, out.files))
        root = _Folder(temporary, manifest.root_layout(), progress, chunk_bytes)
        _write_root(root, graph, manifest, ids, places)
        manifest = replace(manifest, parts=tuple(map(digest, said)), files=root.files)
        manifest = replace(manifest, partition_id=manifest.made_id())
        # Only now, since the id depends on all that the parts say.
        for part, values in enumerate(said):
            stamped = {"partition_id": manifest.partition_id, **values}
            write_json(temporary / part_name(part) / PART, stamped)
        write_json(temporary / MANIFEST, manifest.to_json())
        _put(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return manifest.partition_id


def check_place(folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise unless a partition may be written there, before the work that it takes.

    Raises
    ------
    FileExistsError, FileNotFoundError
        As :func:`write_parts`.
    """
    target = Path(os.path.realpath(folder))
    if target.exists():
        if not is_partition(target):
            raise FileExistsError(f"{folder}: is there already, and is no partition to replace")
        if not overwrite:
            raise FileExistsError(f"{folder}: holds a partition already; overwrite replaces it")
    elif not target.parent.is_dir():
        raise FileNotFoundError(f"{folder}: expected a folder to put it in, no {target.parent}")


def _sibling(target: Path, suffix: str) -> Path:
    """A path beside a folder that nothing has yet."""
    return target.with_name(f".{target.name}-{secrets.token_hex(4)}.{suffix}")


def _put(made: Path, target: Path) -> None:
    """Move a folder to its place; what is there stays until the new one is."""
    if not target.exists():
        made.rename(target)
        return
    old = _sibling(target, "old")
    target.rename(old)
    try:
        made.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


class _Progress:
    """Bytes written so far, of how many."""

    def __init__(self, total: int, on_progress: Callable[[int, int], None] | None) -> None:
        self._total, self._done, self._on_progress = total, 0, on_progress

    def add(self, num_bytes: int) -> None:
        self._done += num_bytes
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)


class _Folder:
    """Writes the arrays of one folder and keeps their records."""

    def __init__(
        self, path: Path, layout: Mapping[str, Layout], progress: _Progress, chunk_bytes: int
    ) -> None:
        self.path, self.chunk_bytes = path, chunk_bytes
        self._layout, self._progress = layout, progress
        self.files: dict[str, ArrayRecord] = {}
        for place in (path, *((path / name).parent for name in layout)):
            place.mkdir(exist_ok=True)

    @contextmanager
    def open(self, name: str, dtype: str | None = None) -> Iterator[ArrayWriter]:
        """A file of the layout, closed and recorded at the end."""
        layout = self._layout[name]
        dtype = dtype or layout.dtypes[0]
        writer = ArrayWriter(self.path / name, dtype, layout.shape, self._progress.add)
        try:
            yield writer
        finally:
            writer.close()
        self.files[name] = writer.record()

    def copy(self, name: str, array: Array, dtype: str | None = None) -> None:
        """Write an array as it is."""
        with self.open(name, dtype) as writer:
            for first, last in spans(len(array), _row_bytes(array), self.chunk_bytes):
                writer.write(array[first:last])

    def gather(self, name: str, array: Array, ids: Array) -> None:
        """Write rows of an array."""
        with self.open(name) as writer:
            self.append(writer, array, ids)

    def append(self, writer: ArrayWriter, array: Array, ids: Array) -> None:
        """Append rows of an array to a file that is open."""
        for first, last in spans(len(ids), _row_bytes(array), self.chunk_bytes):
            writer.write(array[ids[first:last]])


def _write_part(
    out: _Folder,
    graph: Graph,
    manifest: Manifest,
    owners: Mapping[str, Array],
    places: Mapping[str, Array],
    part: int,
) -> None:
    """Write the arrays of a part, and note where its nodes are."""
    owned = {}
    for t, (ntype, frame) in enumerate(graph.node_frames().items()):
        ids = owned[ntype] = np.flatnonzero(owners[ntype] == part)
        first = manifest.first_rows(ntype)[part]
        places[ntype][ids] = np.arange(first, first + len(ids))
        out.copy(f"node-{t}.ids.npy", ids)
        for k, column in enumerate(manifest.node_columns[ntype]):
            out.gather(f"node-{t}.col-{k}.npy", as_array(frame[column.name]), ids)
    for i, (relation, one) in enumerate(graph.relations.items()):
        names = [column.name for column in manifest.edge_columns[relation]]
        columns = [as_array(one.edge_frame[name]) for name in names]
        _write_edges(out, f"edge-{i}", one.adjacency.full(), columns, owned[relation[2]])


def _write_edges(
    out: _Folder, name: str, edges: Adjacency, columns: list[Array], nodes: Array
) -> None:
    """Write the in-edges of these nodes, those of each node in the order that they have."""
    indptr, indices = as_array(edges.indptr), as_array(edges.indices)
    eids = None if edges.eids is None else as_array(edges.eids)
    own = np.zeros(len(nodes) + 1, np.int64)
    np.cumsum(indptr[nodes + 1] - indptr[nodes], out=own[1:])
    out.copy(f"{name}.indptr.npy", own)
    with ExitStack() as stack:
        to_indices = stack.enter_context(out.open(f"{name}.indices.npy"))
        to_eids = stack.enter_context(out.open(f"{name}.eids.npy"))
        to_columns = [
            stack.enter_context(out.open(f"{name}.col-{k}.npy")) for k in range(len(columns))
        ]
        for positions in in_edge_positions(indptr, nodes, own, out.chunk_bytes):
            to_indices.write(indices[positions])
            ids = positions if eids is None else eids[positions]
            to_eids.write(ids)
            for writer, column in zip(to_columns, columns):
                out.append(writer, column, ids)


def _write_root(
    out: _Folder,
    graph: Graph,
    manifest: Manifest,
    splits: Mapping[str, Mapping[str, Tensor]],
    places: Mapping[str, Array],
) -> None:
    """Write what every machine gets."""
    for t, ntype in enumerate(manifest.ntypes):
        out.copy(f"place/node-{t}.npy", places[ntype])
    for name, by_type in splits.items():
        for ntype, ids in by_type.items():
            array = as_array(ids)
            path = f"split/{name}-{manifest.ntypes.index(ntype)}.npy"
            out.copy(path, array, array.dtype.name)
    if manifest.topology is None:
        return
    for i, one in enumerate(graph.relations.values()):
        edges = one.adjacency.full()
        out.copy(f"topology/{i}.indptr.npy", as_array(edges.indptr))
        out.copy(f"topology/{i}.indices.npy", as_array(edges.indices))
        if edges.eids is not None:
            out.copy(f"topology/{i}.eids.npy", as_array(edges.eids))


def _id_dtype(count: int) -> Any:
    return np.int32 if ops.id_dtype(count) == torch.int32 else np.int64


def _row_bytes(array: Array) -> int:
    return int(np.prod(array.shape[1:], dtype=np.int64)) * array.itemsize
