"""Writing a graph in memory as a graph folder, in pieces and all or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hopflow.datasets.dataset import SPLIT_NAMES, Array, NodePropDataset
from hopflow.datasets.graph_folder.manifest import Manifest, is_graph_folder
from hopflow.datasets.typed_dataset import TypedNodePropDataset
from hopflow.storage.array_files import CHUNK_BYTES, as_array, spans
from hopflow.storage.folders import ArrayLike, FolderWriter, Progress, put_in_place, sibling
from hopflow.storage.frame_columns import columns_of, rows_of
from hopflow.storage.manifests import MANIFEST, write_json
from hopflow.structure.graph_base import require_graph
from hopflow.structure.ids import as_node_ids

ByType = Mapping[str, Any]


def save_folder(
    data: Any,
    folder: str | os.PathLike[str],
    *,
    labels: Any = None,
    splits: Mapping[str, Any] | None = None,
    num_classes: int | None = None,
    name: str | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> str:
    """Write a graph of one or several types as a folder that :func:`load` opens at once.

    Arrays are written as they are: edges keep their ids, and columns their rows. They may be
    mapped from files larger than memory: about ``chunk_bytes`` are held at a time. The folder
    appears when it is whole; after an error nothing is left of it.

    Node columns that are encoded by row (:class:`hopflow.storage.EncodedColumn`) stay encoded.
    Other encodings, and those of edges, are decoded in pieces: what is written are the rows that
    the graph reads. A :class:`hopflow.storage.DiskColumn` is copied from file to file.

    Parameters
    ----------
    data : NodePropDataset, TypedNodePropDataset or Graph
        On the CPU. A data set brings its labels, splits, classes and name.
    folder : str or path
        Where to write; its parent exists.
    labels : Tensor or dict, optional
        Of a graph: int64, shape [N] or [N, tasks], -1 for none; of several types a dict by type.
    splits : mapping, optional
        Of a graph: ``{"train": ids, "valid": ids, "test": ids}``, all three; of several types dicts
        by type for ids. A mask will do for ids.
    num_classes : int, optional
        Of a graph: number of classes; by default the largest label + 1.
    name : str, optional
        What the data set is called; by default its own name, else the folder's.
    overwrite : bool
        Whether a graph folder that is there already is replaced, once the new one is whole.
    on_progress : callable, optional
        Called with the bytes written so far and the bytes there are to write.
    chunk_bytes : int
        Bytes held at a time.

    Returns
    -------
    str
        The graph id: a hash of all numbers and all checksums.

    Raises
    ------
    FileExistsError
        There is something at ``folder`` that is no graph folder, or one without ``overwrite``.
    FileNotFoundError
        There is no folder to put it in.
    TypeError, ValueError, IndexError
        Labels or splits that do not fit the graph; columns of a dtype that cannot be stored; a
        graph that is not on the CPU.
    OSError
        The disk is full, or cannot be written.
    """
    check_place(folder, overwrite=overwrite)
    target = Path(os.path.realpath(folder))
    class_names: ByType = {}
    node_ids: ByType = {}
    if isinstance(data, (NodePropDataset, TypedNodePropDataset)):
        if labels is not None or splits is not None or num_classes is not None:
            raise ValueError("labels, splits, num_classes: a data set brings its own")
        graph, labels = data[0]
        splits = data.get_idx_split() if data.has_split else None
        num_classes, name = data.num_classes, name or data.name
        if isinstance(data, TypedNodePropDataset):
            class_names, node_ids = data.class_names, data.node_ids
        elif data.node_ids is not None:
            node_ids = {graph.ntypes[0]: data.node_ids}
    else:
        graph = require_graph(data)
    if graph.device.type != "cpu":
        raise ValueError(f"graph: expected one on the CPU, got one on {graph.device}")
    found_labels = _labels(graph, labels)
    found_splits = _splits(graph, splits)
    if num_classes is None:
        num_classes = max((int(x.max()) + 1 for x in found_labels.values() if x.size), default=0)
    stored_ids = {ntype: _StoredIds(ids) for ntype, ids in node_ids.items()}
    frames, relations = graph.node_frames(), graph.relations
    edges = {relation: one.adjacency.full() for relation, one in relations.items()}
    manifest = Manifest(
        name=name or target.name,
        idtype=str(graph.idtype).replace("torch.", ""),
        ntypes=tuple(frames),
        relations=tuple(relations),
        num_nodes={ntype: frame.num_rows for ntype, frame in frames.items()},
        num_edges={relation: x.num_edges for relation, x in edges.items()},
        has_eids={relation: x.eids is not None for relation, x in edges.items()},
        node_columns={t: columns_of(frame, keep_codes=True) for t, frame in frames.items()},
        edge_columns={relation: columns_of(one.edge_frame) for relation, one in relations.items()},
        labels={ntype: x.shape[1] for ntype, x in found_labels.items()},
        splits={key: {t: len(x) for t, x in part.items()} for key, part in found_splits.items()},
        num_classes=max(int(num_classes), 0),
        class_names={ntype: tuple(names) for ntype, names in class_names.items()},
        node_ids={ntype: ids.kind for ntype, ids in stored_ids.items()},
        id_bytes={t: len(ids.data) for t, ids in stored_ids.items() if ids.kind == "text"},
        files={},
    )
    arrays: dict[str, ArrayLike] = {}
    for t, (ntype, frame) in enumerate(frames.items()):
        for k, column in enumerate(frame):
            arrays[f"node-{t}.col-{k}.npy"] = rows_of(frame, column, keep_codes=True)
        if ntype in found_labels:
            arrays[f"node-{t}.labels.npy"] = found_labels[ntype]
        if ntype in stored_ids:
            arrays |= stored_ids[ntype].arrays(f"node-{t}")
    for i, (relation, one) in enumerate(relations.items()):
        x = edges[relation]
        arrays[f"edge-{i}.indptr.npy"] = as_array(x.indptr)
        arrays[f"edge-{i}.indices.npy"] = as_array(x.indices)
        if x.eids is not None:
            arrays[f"edge-{i}.eids.npy"] = as_array(x.eids)
        for k, column in enumerate(one.edge_frame):
            arrays[f"edge-{i}.col-{k}.npy"] = rows_of(one.edge_frame, column)
    for key, part in found_splits.items():
        for ntype, ids in part.items():
            arrays[f"split/{key}-{manifest.ntypes.index(ntype)}.npy"] = ids
    return _write(target, manifest, arrays, on_progress, chunk_bytes, overwrite)


def _write(
    target: Path,
    manifest: Manifest,
    arrays: Mapping[str, ArrayLike],
    on_progress: Callable[[int, int], None] | None,
    chunk_bytes: int,
    overwrite: bool,
) -> str:
    temporary = sibling(target, "tmp")
    progress = Progress(sum(x.nbytes for x in arrays.values()), on_progress)
    try:
        temporary.mkdir()
        out = FolderWriter(temporary, manifest.layout(), progress, chunk_bytes)
        for path, array in arrays.items():
            out.copy(path, array)
        manifest = manifest.with_files(out.files)
        write_json(temporary / MANIFEST, manifest.to_json())
        check_place(target, overwrite=overwrite)  # once more: writing may have taken hours
        put_in_place(temporary, target, overwrite=overwrite)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return manifest.graph_id


def check_place(folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise unless a graph folder may be written there, before the work that it takes.

    Raises
    ------
    FileExistsError, FileNotFoundError
        As :func:`save_folder`.
    """
    target = Path(os.path.realpath(folder))
    if target.exists():
        if not is_graph_folder(target):
            raise FileExistsError(f"{folder}: is there already, and is no graph folder to replace")
        if not overwrite:
            raise FileExistsError(f"{folder}: holds a graph already; overwrite replaces it")
    elif not target.parent.is_dir():
        raise FileNotFoundError(f"{folder}: expected a folder to put it in, no {target.parent}")


class _StoredIds:
    """Ids of nodes as arrays: numbers as they are, texts as their bytes."""

    def __init__(self, ids: Sequence[Any] | Array) -> None:
        values = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        self.kind = "number" if values and all(type(x) is int for x in values) else "text"
        if self.kind == "number":
            self.values, self.data = np.asarray(values, np.int64), b""
            return
        texts = [str(x).encode() for x in values]
        self.values = np.cumsum([len(x) for x in texts], dtype=np.int64)
        self.data = b"".join(texts)

    def arrays(self, stem: str) -> dict[str, Array]:
        if self.kind == "number":
            return {f"{stem}.ids.npy": self.values}
        data = np.frombuffer(self.data, np.uint8)
        return {f"{stem}.id-ends.npy": self.values, f"{stem}.id-bytes.npy": data}


def _labels(graph: Any, labels: Any) -> dict[str, Array]:
    if labels is None:
        return {}
    given = labels if isinstance(labels, Mapping) else {graph.schema.ntype(): labels}
    found = {}
    for ntype, value in given.items():
        what, count = f"labels of {ntype!r}", graph.num_nodes(ntype)
        x = torch.as_tensor(value)
        if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise TypeError(f"{what}: expected integers, got {x.dtype}")
        x = x[:, None] if x.dim() == 1 else x
        if x.dim() != 2 or len(x) != count:
            raise ValueError(f"{what}: expected shape [{count}, tasks], got {list(x.shape)}")
        array = as_array(x.long())
        if not all(array[a:b].min() >= -1 for a, b in spans(len(array), 8, CHUNK_BYTES)):
            raise ValueError(f"{what}: expected classes >= 0, or -1 for no label")
        found[ntype] = array
    return found


def _splits(graph: Any, splits: Mapping[str, Any] | None) -> dict[str, dict[str, Array]]:
    if splits is None:
        return {}
    if set(splits) != set(SPLIT_NAMES):
        raise ValueError(f"splits: expected train, valid and test, got {', '.join(splits)}")
    found: dict[str, dict[str, Array]] = {}
    for key in SPLIT_NAMES:
        given = splits[key]
        if not isinstance(given, Mapping):
            given = {graph.schema.ntype(): given}
        found[key] = {}
        for ntype, ids in given.items():
            count = graph.num_nodes(ntype)
            made: Tensor = as_node_ids(f"splits[{key!r}]", ids, count)
            found[key][ntype] = as_array(made)
    return found
