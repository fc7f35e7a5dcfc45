"""Writing the folder of a partitioned graph, in pieces and all or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import hopflow.ops as ops
from hopflow.distributed.folder.contents import checked_owners, checked_splits, planned, total_bytes
from hopflow.distributed.folder.manifest import PART, Manifest, is_partition, part_json, part_name
from hopflow.graphs.graph import Graph
from hopflow.storage.array_files import CHUNK_BYTES, as_array, in_edge_positions
from hopflow.storage.folders import ArrayLike, FolderWriter, Progress, put_in_place, sibling
from hopflow.storage.frame_columns import rows_of
from hopflow.storage.manifests import MANIFEST, digest, write_json
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
    than memory: beside a few integers a node, about ``chunk_bytes`` are held at a time. Columns in
    fewer bits are written decoded. The folder appears when it is whole; after an error nothing is
    left of it.

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
    temporary = sibling(target, "tmp")
    progress = Progress(total_bytes(manifest, ids), on_progress)
    try:
        temporary.mkdir()
        places = {t: np.empty(len(x), _id_dtype(len(x))) for t, x in owners.items()}
        said = []
        for part in range(num_parts):
            layout = manifest.part_layout(part)
            out = FolderWriter(temporary / part_name(part), layout, progress, chunk_bytes)
            _write_part(out, graph, manifest, owners, places, part)
            said.append(part_json(part, out.files))
        root = FolderWriter(temporary, manifest.root_layout(), progress, chunk_bytes)
        _write_root(root, graph, manifest, ids, places)
        manifest = replace(manifest, parts=tuple(map(digest, said)), files=root.files)
        manifest = replace(manifest, partition_id=manifest.made_id())
        # Only now, since the id depends on all that the parts say.
        for part, values in enumerate(said):
            stamped = {"partition_id": manifest.partition_id, **values}
            write_json(temporary / part_name(part) / PART, stamped)
        write_json(temporary / MANIFEST, manifest.to_json())
        put_in_place(temporary, target, overwrite=overwrite)
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


def _write_part(
    out: FolderWriter,
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
            out.gather(f"node-{t}.col-{k}.npy", rows_of(frame, column.name), ids)
    for i, (relation, one) in enumerate(graph.relations.items()):
        names = [column.name for column in manifest.edge_columns[relation]]
        columns = [rows_of(one.edge_frame, name) for name in names]
        _write_edges(out, f"edge-{i}", one.adjacency.full(), columns, owned[relation[2]])


def _write_edges(
    out: FolderWriter, name: str, edges: Adjacency, columns: list[ArrayLike], nodes: Array
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
    out: FolderWriter,
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
