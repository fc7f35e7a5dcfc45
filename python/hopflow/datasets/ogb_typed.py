"""Folders of several node and edge types in the Open Graph Benchmark's raw layout.

::

    raw/num-node-dict.csv.gz         a line of node types, a line of numbers of nodes
    raw/triplet-type-list.csv.gz     source type,name,destination type: a relation a line
    raw/relations/SRC___NAME___DST/{edge,num-edge-list}.csv.gz     edge-feat, edge_* (optional)
    raw/node-feat/TYPE/node-feat.csv.gz                            node_* (optional)
    raw/nodetype-has-label.csv.gz    a line of node types, a line of True and False
    raw/node-label/TYPE/node-label.csv.gz
        or (binary)
    raw/{num_nodes_dict,num_edges_dict,edge_index_dict}.npz        node_*.npz, edge_*.npz (optional)
    raw/node-label.npz

    split/<name>/nodetype-has-split.csv.gz   split/<name>/TYPE/{train,valid,test}.csv.gz
        or
    split/<name>/split_dict.pt

The layout is the one `ogb.io.read_graph_raw` and `ogb.io.DatasetSaver` define, and ogbn-mag has.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hopflow.structure.types import Relation

from .cache import WORTH_BYTES, parse_cached
from .checks import as_labels, as_named_column, as_splits, as_typed_edges, count_classes
from .dataset import SPLIT_NAMES, Array, Ids
from .files import frame_to_matrix, read_csv, read_id_columns, read_npz, require_file
from .ogb_layout import column_of, find_split, load_split_dict, only, read_split_folder
from .typed_dataset import RawTypedDataset

_CACHE_NAME = "hopflow-typed-v1.npz"
_CACHE_MIN_BYTES = WORTH_BYTES
_JOIN = "___"  # OGB's, between the three names of a relation
_TEXT, _BINARY = "triplet-type-list.csv.gz", "edge_index_dict.npz"


def is_typed_layout(folder: Path) -> bool:
    """Whether `folder` holds the raw files of one graph of several types."""
    return any((folder / "raw" / name).is_file() for name in (_TEXT, _BINARY))


def read_typed_folder(
    folder: Path,
    *,
    name: str | None = None,
    split: str | None = None,
    num_classes: int | None = None,
) -> RawTypedDataset:
    """Read a folder of several types in OGB's raw layout.

    As :func:`.ogb_layout.read_folder`; the parsed arrays are kept, where that is worth it, in
    ``processed/hopflow-typed-v1.npz``.

    Parameters
    ----------
    folder
        The folder above ``raw`` and ``split``.
    name
        What to call the data set; the folder's name by default.
    split
        Folder under ``split``; needed only where there are several.
    num_classes
        Number of classes; the largest label + 1 by default.

    Raises
    ------
    FileNotFoundError
        A required file or the split is missing.
    ValueError
        A file is malformed, files disagree, or there is more than one graph.
    """
    raw = folder / "raw"
    if not is_typed_layout(folder):
        raise FileNotFoundError(
            f"{folder}: expected OGB's raw layout of several types with raw/{_TEXT} or"
            f" raw/{_BINARY}, got neither"
        )
    split_folder = find_split(folder, split)
    binary = (raw / _BINARY).is_file()
    arrays = parse_cached(
        folder / "processed" / _CACHE_NAME,
        [path for path in raw.rglob("*") if path.suffix in (".gz", ".npz")],
        lambda: _parse_binary(raw) if binary else _parse_text(raw),
        min_bytes=_CACHE_MIN_BYTES,
    )
    num_nodes = {ntype: int(count) for (ntype,), count in _under("count", arrays)}
    edges: dict[Relation, tuple[Ids, Ids]] = {}
    for (triplet,), sources in _under("src", arrays):
        edges[_relation(triplet, str(raw))] = sources, arrays[f"dst/{triplet}"]
    node_columns: dict[str, dict[str, Array]] = {}
    for (ntype, key), column in _under("node", arrays):
        node_columns.setdefault(ntype, {})[key] = column
    edge_columns: dict[Relation, dict[str, Array]] = {}
    for (triplet, key), column in _under("edge", arrays):
        edge_columns.setdefault(_relation(triplet, str(raw)), {})[key] = column
    labels: dict[str, Ids] = {ntype: rows for (ntype,), rows in _under("label", arrays)}
    found = max((count_classes(rows) for rows in labels.values()), default=0)
    if num_classes is not None and found > num_classes:
        raise ValueError(f"{raw}: expected labels below {num_classes} classes, got {found - 1}")
    return RawTypedDataset(
        name=name or folder.resolve().name,
        edges=edges,
        num_nodes=num_nodes,
        node_columns=node_columns,
        edge_columns=edge_columns,
        labels=labels,
        splits=_read_splits(split_folder, num_nodes, labels),
        num_classes=found if num_classes is None else num_classes,
    )


# --- text


def _parse_text(raw: Path) -> dict[str, Array]:
    num_nodes = _read_flags(raw / "num-node-dict.csv.gz", "the numbers of nodes")
    counts = {
        ntype: only(column, f"{raw / 'num-node-dict.csv.gz'} ({ntype})")
        for ntype, column in num_nodes.items()
    }
    arrays: dict[str, Array] = {
        f"count/{ntype}": np.asarray(count) for ntype, count in counts.items()
    }
    for relation in _read_triplets(raw / _TEXT, counts):
        _parse_relation(raw, relation, counts, arrays)
    for ntype, count in counts.items():
        folder = raw / "node-feat" / ntype
        for path in sorted(folder.glob("*.csv.gz")):
            _parse_column(path, "node", ntype, count, arrays)
    for ntype, has in _read_flags(raw / "nodetype-has-label.csv.gz", "which types have").items():
        if _is_true(has, f"{raw / 'nodetype-has-label.csv.gz'} ({ntype})"):
            path = require_file(
                raw / "node-label" / ntype / "node-label.csv.gz", what=f"the labels of {ntype!r}"
            )
            label = frame_to_matrix(read_csv(path), path, holes=True)
            rows = _count_of(ntype, counts, str(raw / "nodetype-has-label.csv.gz"))
            arrays[f"label/{ntype}"] = as_labels(label, rows=rows, what=str(path))
    return arrays


def _parse_relation(
    raw: Path, relation: Relation, counts: Mapping[str, int], arrays: dict[str, Array]
) -> None:
    triplet = _JOIN.join(relation)
    folder = raw / "relations" / triplet
    edge_path = folder / "edge.csv.gz"
    src, dst = as_typed_edges(
        *read_id_columns(edge_path, num_columns=2),
        relation=relation,
        num_nodes=counts,
        what=str(edge_path),
    )
    count_path = folder / "num-edge-list.csv.gz"
    num_edges = only(read_id_columns(count_path, num_columns=1)[0], str(count_path))
    if len(src) != num_edges:
        raise ValueError(f"{edge_path}: expected {num_edges} edges (num-edge-list), got {len(src)}")
    arrays[f"src/{triplet}"], arrays[f"dst/{triplet}"] = src, dst
    for path in sorted(folder.glob("*.csv.gz")):
        _parse_column(path, "edge", triplet, num_edges, arrays)


def _parse_column(path: Path, kind: str, owner: str, rows: int, arrays: dict[str, Array]) -> None:
    found, key = column_of(path.name.removesuffix(".csv.gz"))
    if found == kind:
        column = frame_to_matrix(read_csv(path), path)
        arrays[f"{kind}/{owner}/{key}"] = as_named_column(key, column, rows=rows, what=str(path))


def _read_triplets(path: Path, counts: Mapping[str, int]) -> list[Relation]:
    frame = read_csv(path)
    if len(frame.columns) != 3:
        raise ValueError(f"{path}: expected 3 column(s), got {len(frame.columns)}")
    relations = []
    for row in frame.itertuples(index=False):
        src, name, dst = (str(cell) for cell in row)
        for ntype in (src, dst):
            _count_of(ntype, counts, str(path))
        if (src, name, dst) in relations:
            raise ValueError(f"{path}: expected each relation once, got {(src, name, dst)} twice")
        relations.append((src, name, dst))
    return sorted(relations)


def _read_flags(path: Path, what: str) -> dict[str, Array]:
    """A CSV file with node types in its first line."""
    require_file(path, what=f"a line of node types and {what}")
    frame = read_csv(path, header=True)
    return {str(ntype): frame[ntype].to_numpy() for ntype in frame.columns}


def _is_true(column: Array, what: str) -> bool:
    if len(column) != 1 or str(column[0]) not in ("True", "False", "0", "1"):
        raise ValueError(f"{what}: expected True or False, got {column.tolist()}")
    return str(column[0]) in ("True", "1")


# --- binary


def _parse_binary(raw: Path) -> dict[str, Array]:
    path = raw / "num_nodes_dict.npz"
    counts = {ntype: only(count, f"{path} ({ntype})") for ntype, count in read_npz(path).items()}
    arrays: dict[str, Array] = {
        f"count/{ntype}": np.asarray(count) for ntype, count in counts.items()
    }
    count_path, edge_path = raw / "num_edges_dict.npz", raw / _BINARY
    edge_counts = {
        triplet: only(count, f"{count_path} ({triplet})")
        for triplet, count in read_npz(count_path).items()
    }
    ends = read_npz(edge_path)
    if ends.keys() != edge_counts.keys():
        raise ValueError(
            f"{edge_path}: expected the relations of {count_path.name}, {sorted(edge_counts)}, got"
            f" {sorted(ends)}"
        )
    for triplet in sorted(ends):
        what, num_edges = f"{edge_path} ({triplet})", edge_counts[triplet]
        relation = _relation(triplet, str(edge_path))
        for ntype in (relation[0], relation[2]):
            _count_of(ntype, counts, what)
        edge_index = ends.pop(triplet)  # popped, so that a converted copy does not double it
        if edge_index.shape != (2, num_edges):
            raise ValueError(f"{what}: expected [2, {num_edges}], got {edge_index.shape}")
        arrays[f"src/{triplet}"], arrays[f"dst/{triplet}"] = as_typed_edges(
            edge_index[0], edge_index[1], relation=relation, num_nodes=counts, what=what
        )
    for path in sorted(raw.glob("*.npz")):
        kind, key = path.stem[:4], path.stem[5:].removesuffix("_dict")
        if path.stem[:5] not in ("node_", "edge_") or path == edge_path:
            continue
        rows_of = counts if kind == "node" else edge_counts
        for owner, column in read_npz(path).items():
            rows = _count_of(owner, rows_of, str(path))
            arrays[f"{kind}/{owner}/{key}"] = as_named_column(
                key, column, rows=rows, what=f"{path} ({owner})"
            )
    path = raw / "node-label.npz"
    for ntype, label in read_npz(path).items():
        rows = _count_of(ntype, counts, str(path))
        arrays[f"label/{ntype}"] = as_labels(label, rows=rows, what=f"{path} ({ntype})")
    return arrays


# --- splits


def _read_splits(
    folder: Path, num_nodes: Mapping[str, int], labels: Mapping[str, Ids]
) -> dict[str, dict[str, Ids]]:
    pickled = folder / "split_dict.pt"
    parts: dict[str, dict[str, Array]] = {}
    if pickled.is_file():
        loaded = load_split_dict(pickled)
        for key, by_type in loaded.items():
            if not isinstance(by_type, Mapping):
                raise ValueError(f"{pickled} ({key}): expected ids by node type, as a dict")
            for ntype, ids in by_type.items():
                parts.setdefault(str(ntype), {})[key] = np.asarray(ids)
    else:
        path = folder / "nodetype-has-split.csv.gz"
        for ntype, has in _read_flags(path, "which types have").items():
            if _is_true(has, f"{path} ({ntype})"):
                parts[ntype] = read_split_folder(folder / ntype)
    if not parts:
        raise ValueError(f"{folder}: expected a split of at least one node type, got none")
    splits: dict[str, dict[str, Ids]] = {key: {} for key in SPLIT_NAMES}
    for ntype, ids in parts.items():
        what = f"{folder} ({ntype})"
        checked = as_splits(
            ids, num_nodes=_count_of(ntype, num_nodes, what), labels=labels.get(ntype), what=what
        )
        for key in SPLIT_NAMES:
            splits[key][ntype] = checked[key]
    return splits


# --- names


def _relation(triplet: str, what: str) -> Relation:
    names = triplet.split(_JOIN)
    if len(names) != 3:
        raise ValueError(f"{what}: expected SOURCE{_JOIN}NAME{_JOIN}DESTINATION, got {triplet!r}")
    return names[0], names[1], names[2]


def _count_of(owner: str, counts: Mapping[str, int], what: str) -> int:
    if owner not in counts:
        raise ValueError(f"{what}: expected one of {', '.join(sorted(counts))}, got {owner!r}")
    return counts[owner]


def _under(kind: str, arrays: Mapping[str, Array]) -> list[tuple[list[str], Any]]:
    """Arrays whose names begin so, with the rest of the name in its parts."""
    return [
        (key.split("/")[1:], array) for key, array in arrays.items() if key.split("/")[0] == kind
    ]
