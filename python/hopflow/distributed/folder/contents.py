"""What is known of a partition before anything is written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hopflow.distributed.folder.manifest import Manifest
from hopflow.graphs.graph import Graph
from hopflow.storage.array_files import CHUNK_BYTES, as_array, spans
from hopflow.storage.frame_columns import columns_of
from hopflow.storage.manifests import SPLIT_NAME, Layout, plain
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.ids import as_ids, as_node_ids
from hopflow.structure.types import told

Array = NDArray[Any]


def checked_owners(graph: Graph, parts: Mapping[str, Tensor], num_parts: int) -> dict[str, Array]:
    """The part of each node, by type."""
    ntypes = graph.schema.ntypes
    if not isinstance(parts, Mapping) or set(parts) != set(ntypes):
        got = told(parts) if isinstance(parts, Mapping) else type(parts).__name__
        raise ValueError(f"parts: expected the part of each node of {told(ntypes)}, got {got}")
    found = {}
    for ntype in ntypes:
        what, count = f"parts[{ntype!r}]", graph.num_nodes(ntype)
        given = parts[ntype]
        # int16 as it is: of 100 million nodes a copy in int64 would be 0.8 GB.
        is_narrow = isinstance(given, Tensor) and given.dtype == torch.int16 and given.dim() == 1
        array = as_array(given if is_narrow else as_ids(what, given, shared=True))
        if len(array) != count:
            raise ValueError(f"{what}: expected one for each of {count} nodes, got {len(array)}")
        if count and not (array.min() >= 0 and array.max() < num_parts):
            raise ValueError(
                f"{what}: expected parts in [0, {num_parts}), got {array.min()} to {array.max()}"
            )
        found[ntype] = array
    return found


def checked_splits(graph: Graph, splits: Mapping[str, Any]) -> dict[str, dict[str, Tensor]]:
    """The ids of each split by type, int32 where they came so and int64 otherwise."""
    ntypes = graph.schema.ntypes
    found: dict[str, dict[str, Tensor]] = {}
    for name, given in splits.items():
        if not isinstance(name, str) or not SPLIT_NAME.fullmatch(name):
            raise ValueError(f"splits: expected names of letters, digits and _, got {name!r}")
        if not isinstance(given, Mapping):
            given = {graph.schema.ntype(): given}
        if not set(given) <= set(ntypes):
            raise ValueError(f"splits[{name!r}]: expected ids of {told(ntypes)}, got {told(given)}")
        found[name] = {}
        for ntype, value in given.items():
            is_narrow = getattr(value, "dtype", None) in (torch.int32, np.dtype(np.int32))
            found[name][ntype] = as_node_ids(
                f"splits[{name!r}]" if len(ntypes) == 1 else f"splits[{name!r}][{ntype!r}]",
                value,
                graph.num_nodes(ntype),
                dtype=torch.int32 if is_narrow else torch.int64,
            )
    return found


def planned(
    graph: Graph,
    owners: Mapping[str, Array],
    splits: Mapping[str, Mapping[str, Tensor]],
    num_parts: int,
    num_classes: int | None,
    report: Any,
    with_topology: bool,
) -> Manifest:
    """The manifest, without what is known when the arrays are written."""
    frames, relations = graph.node_frames(), graph.relations
    edges = {relation: one.adjacency.full() for relation, one in relations.items()}
    said = report.to_dict() if hasattr(report, "to_dict") else report
    return Manifest(
        num_parts=num_parts,
        idtype=str(graph.idtype).replace("torch.", ""),
        ntypes=tuple(frames),
        relations=tuple(relations),
        num_nodes={ntype: len(x) for ntype, x in owners.items()},
        num_edges={relation: x.num_edges for relation, x in edges.items()},
        part_nodes={ntype: _counts(x, num_parts) for ntype, x in owners.items()},
        part_edges={r: _edge_counts(owners[r[2]], x, num_parts) for r, x in edges.items()},
        node_columns={ntype: columns_of(frame) for ntype, frame in frames.items()},
        edge_columns={relation: columns_of(one.edge_frame) for relation, one in relations.items()},
        splits={name: {t: len(x) for t, x in ids.items()} for name, ids in splits.items()},
        num_classes=None if num_classes is None else int(num_classes),
        topology=tuple(x.eids is not None for x in edges.values()) if with_topology else None,
        report=None if said is None else plain(said),
        assignment=_hash(owners),
        files={},
    )


def total_bytes(manifest: Manifest, splits: Mapping[str, Mapping[str, Tensor]]) -> int:
    """Bytes of all arrays, without headers."""
    layouts = dict(manifest.root_layout())
    for path in [path for path in layouts if path.startswith("split/")]:
        del layouts[path]  # of either dtype
    total = sum(ids.nbytes for by_type in splits.values() for ids in by_type.values())
    total += sum(map(_nbytes, layouts.values()))
    for part in range(manifest.num_parts):
        total += sum(map(_nbytes, manifest.part_layout(part).values()))
    return total


def _counts(owners: Array, num_parts: int) -> tuple[int, ...]:
    """Nodes of each part."""
    counts = np.zeros(num_parts, np.int64)
    for first, last in spans(len(owners), 8, CHUNK_BYTES):
        counts += np.bincount(owners[first:last], minlength=num_parts)
    return tuple(counts.tolist())


def _edge_counts(owners: Array, edges: Adjacency, num_parts: int) -> tuple[int, ...]:
    """In-edges of the nodes of each part."""
    counts, indptr = np.zeros(num_parts, np.int64), as_array(edges.indptr)
    for first, last in spans(len(owners), 24, CHUNK_BYTES):
        # Sums in float64 are exact below 2^53.
        degrees = np.diff(indptr[first : last + 1])
        sums = np.bincount(owners[first:last], weights=degrees, minlength=num_parts)
        counts += sums.astype(np.int64)
    return tuple(counts.tolist())


def _hash(owners: Mapping[str, Array]) -> str:
    """Hash of an assignment, the same for every dtype of its arrays."""
    state = hashlib.sha256()
    for array in owners.values():
        for first, last in spans(len(array), 4, CHUNK_BYTES):
            state.update(array[first:last].astype("<i4").tobytes())
    return state.hexdigest()[:32]


def _nbytes(layout: Layout) -> int:
    return int(np.prod(layout.shape, dtype=np.int64)) * np.dtype(layout.dtypes[0]).itemsize
