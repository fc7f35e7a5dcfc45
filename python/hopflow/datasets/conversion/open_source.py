"""Looking at a source: what it holds, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hopflow.datasets.arrays import FEATURES, LABELS, is_npy_folder, npy_files
from hopflow.datasets.checks import as_ids
from hopflow.datasets.conversion.edges import EdgeRows
from hopflow.datasets.conversion.options import Options
from hopflow.datasets.conversion.rows import (
    MadeRows,
    Rows,
    open_npy,
    open_npz,
    read_whole,
    two_rows,
)
from hopflow.datasets.conversion.source import ColumnRows, EdgeTable, Source
from hopflow.datasets.conversion.tables import Table, as_table
from hopflow.datasets.dataset import SPLIT_NAMES, Array
from hopflow.datasets.files import TABLE_SUFFIXES, read_array, suffix_of
from hopflow.datasets.graph_folder.manifest import is_graph_folder
from hopflow.datasets.manifest import MANIFEST
from hopflow.datasets.ogb_typed import is_typed_layout
from hopflow.datasets.table import find_ends, read_split

ID_NAMES = ("id", "node", "node_id")
"""What the column of ids may be called in a table of features or labels."""

_FORMS = (
    "a folder in OGB's raw layout, of .npy files or of Parquet files, an .npz file or an edge list"
    f" ({', '.join(TABLE_SUFFIXES)})"
)


def open_source(path: Path, options: Options) -> Source:
    """What a source holds; of its arrays only headers are read.

    Raises
    ------
    FileNotFoundError
        A file or folder is missing.
    ImportError
        Parquet without `pyarrow`.
    ValueError
        A form that is not converted, an option that does not apply, or a malformed file.
    """
    from hopflow.datasets.conversion.ogb_source import is_ogb_layout, ogb_source

    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; expected {_FORMS}")
    if path.is_dir():
        if is_graph_folder(path):
            raise ValueError(f"{path}: is a graph folder already")
        if (path / MANIFEST).is_file() or is_typed_layout(path):
            raise _several_types(path)
        if is_ogb_layout(path):
            _refuse(options, ("features", "labels", "num_nodes"), f"{path}, a folder")
            return ogb_source(path, options)
        if is_npy_folder(path):
            _refuse(options, ("features", "labels"), f"{path}, a folder of .npy files")
            files = npy_files(path)
            return _of_arrays(path, {key: open_npy(f) for key, f in files.items()}, options)
        if any(path.glob("*.parquet")):
            return _edge_list(path, options)
        raise ValueError(f"{path}: expected {_FORMS}, got a folder of something else")
    suffix = suffix_of(path)
    if suffix == ".json":
        raise _several_types(path)
    if suffix == ".npz":
        _refuse(options, ("features", "labels"), f"{path}, an .npz file")
        return _of_arrays(path, open_npz(path, options.memory), options)
    if suffix in TABLE_SUFFIXES:
        return _edge_list(path, options)
    raise ValueError(f"{path}: expected {_FORMS}, got a file with suffix {suffix!r}")


def _several_types(path: Path) -> ValueError:
    return ValueError(
        f"{path}: is of several types, which are not converted piece by piece; where they fit the"
        " memory, hopflow.datasets.save_folder(hopflow.datasets.load(source), folder) writes them"
    )


def _refuse(options: Options, names: tuple[str, ...], what: str) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise ValueError(f"{name}= does not apply to {what}")
    if options.ids != "row":
        raise ValueError(f"ids: expected row for {what}, got {options.ids!r}; its ids are numbers")


def given_split(options: Options) -> tuple[Callable[[], Mapping[str, Array]] | None, str]:
    """What reads a split that lies in files of its own, and its name."""
    path = options.split
    return (None, "") if path is None else (lambda: read_split(path), str(path))


def _of_arrays(path: Path, arrays: dict[str, Rows], options: Options) -> Source:
    """A source of named arrays, as :func:`.arrays.read_npz_dataset` takes them."""
    files = tuple(npy_files(path).values()) if path.is_dir() else (path,)
    arrays = dict(arrays)
    further: dict[str, Rows] = {}
    num_nodes = options.num_nodes
    if "format" in arrays and "shape" in arrays:
        edges, num_nodes, further = _of_scipy(arrays, path)
        for key in ("format", "shape", "row", "col", "indptr", "indices", "data"):
            arrays.pop(key, None)
    else:
        edges = _ends(arrays, path)
    features = _pop_one(arrays, FEATURES, path)
    label = _pop_one(arrays, LABELS, path)
    stored = arrays.pop("num_nodes", None)
    if stored is not None:
        counts = as_ids(read_whole(stored).reshape(-1), what=f"{path} (num_nodes)")
        if len(counts) != 1 or counts[0] < 1:
            raise ValueError(f"{path} (num_nodes): expected one count >= 1, got {counts.tolist()}")
        num_nodes = int(counts[0])
    for rows in (features, label):
        if num_nodes is None and rows is not None and rows.shape:
            num_nodes = rows.shape[0]
    parts = {}
    for key in SPLIT_NAMES:
        for prefix in (key, "val") if key == "valid" else (key,):
            for name in (f"{prefix}_idx", f"{prefix}_mask"):
                if name in arrays:
                    parts[key] = arrays.pop(name), name.endswith("_mask")
    split, split_name = given_split(options)
    if split is None and parts:
        split_name = str(path)

        def split() -> dict[str, Array]:
            read = {key: (read_whole(rows), is_mask) for key, (rows, is_mask) in parts.items()}
            # A mask may have been stored as 0 and 1.
            return {key: x.astype(bool) if is_mask else x for key, (x, is_mask) in read.items()}

    columns: dict[str, ColumnRows] = {} if features is None else {"feat": features}
    if "year" in arrays:
        columns["year"] = arrays.pop("year")
    further |= {key: rows for key, rows in arrays.items() if rows.shape}
    return Source(
        name=path.stem if path.is_file() else path.resolve().name,
        files=_with_split(files, options),
        edges=edges,
        num_nodes=num_nodes,
        node_columns=columns,
        further=further,
        labels=None if label is None else (lambda: read_whole(label)),
        labels_name=f"{path} (label)",
        split=split,
        split_name=split_name,
    )


def _with_split(files: tuple[Path, ...], options: Options) -> tuple[Path, ...]:
    if options.split is None:
        return files
    path = options.split
    return (*files, *sorted(x for x in path.iterdir() if x.is_file())) if path.is_dir() else (
        *files, path
    )  # fmt: skip


def _ends(arrays: dict[str, Rows], path: Path) -> EdgeRows:
    if "src" in arrays and "dst" in arrays:
        src, dst = arrays.pop("src"), arrays.pop("dst")
        for name, rows in (("source", src), ("destination", dst)):
            if len(rows.shape) != 1 and rows.shape[1:] != (1,):
                raise ValueError(
                    f"{rows.what} ({name}): expected one column of ids, got shape {rows.shape}"
                )
        return _checked_ends(src, dst, path)
    if "edge_index" in arrays:
        edge_index = arrays.pop("edge_index")
        if len(edge_index.shape) != 2 or edge_index.shape[0] != 2:
            raise ValueError(
                f"{path} (edge_index): expected [2, num_edges], got shape {edge_index.shape}"
            )
        return _checked_ends(*two_rows(edge_index), path)
    raise ValueError(f"{path}: expected src and dst, or edge_index, got {', '.join(arrays)}")


def _checked_ends(src: Rows, dst: Rows, path: Path) -> EdgeRows:
    if src.shape[0] != dst.shape[0]:
        raise ValueError(
            f"{path}: expected as many sources as destinations, got {src.shape[0]} and"
            f" {dst.shape[0]}"
        )
    if not src.shape[0]:
        raise ValueError(f"{path}: expected at least one edge, got none")
    for rows in (src, dst):
        if rows.dtype.kind not in "iuf":
            raise ValueError(f"{rows.what}: expected whole-number ids, got dtype {rows.dtype}")
    return EdgeRows(src, dst)


def _pop_one(arrays: dict[str, Rows], keys: tuple[str, ...], path: Path) -> Rows | None:
    found = [key for key in keys if key in arrays]
    if len(found) > 1:
        raise ValueError(f"{path}: expected one of {', '.join(keys)}, got {' and '.join(found)}")
    return arrays.pop(found[0]) if found else None


def _of_scipy(arrays: dict[str, Rows], path: Path) -> tuple[EdgeRows, int, dict[str, Rows]]:
    """Edges of what `scipy.sparse.save_npz` writes; the pointers of its rows are in memory."""
    kind = read_whole(arrays["format"]).item()
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    shape = read_whole(arrays["shape"])
    if shape.shape != (2,) or shape[0] != shape[1]:
        raise ValueError(f"{path}: expected a square adjacency matrix, got shape {shape.tolist()}")
    needed = ("row", "col") if kind == "coo" else ("indptr", "indices")
    if kind not in ("csr", "csc", "coo") or any(key not in arrays for key in needed):
        raise ValueError(f"{path}: expected a csr, csc or coo matrix, got {kind!r}")
    if kind == "coo":
        edges = _checked_ends(arrays["row"], arrays["col"], path)
    else:
        indptr = as_ids(read_whole(arrays["indptr"]), what=f"{path} (indptr)")
        there = arrays["indices"]
        if (
            len(indptr) != shape[0] + 1
            or indptr[0] != 0
            or indptr[-1] != there.shape[0]
            or (np.diff(indptr) < 0).any()
        ):
            raise ValueError(
                f"{path} (indptr): does not fit {there.shape[0]} entries of {shape[0]} rows"
            )

        def owners(first: int, last: int) -> Array:
            return np.searchsorted(indptr, np.arange(first, last), side="right") - 1

        here = MadeRows(f"{path} (indptr)", np.dtype(np.int64), there.shape, owners)
        src, dst = (here, there) if kind == "csr" else (there, here)
        edges = _checked_ends(src, dst, path)
    further = {}
    data = arrays.get("data")
    if data is not None and not all((x == 1).all() for x in data.pieces(1 << 20)):
        further["weight"] = data
    return edges, int(shape[0]), further


def _edge_list(path: Path, options: Options) -> Source:
    """A source of a table of edges, with features and labels in files beside it."""
    table = as_table(path)
    columns = table.columns()
    source, target = find_ends(columns, path)
    features: ColumnRows | None = None
    num_nodes = options.num_nodes
    files = list(table.files)
    if options.features is not None:
        features = _features(options.features, options)
        files += features.files if isinstance(features, Table) else [options.features]
        if num_nodes is None and not isinstance(features, Table) and features.shape:
            num_nodes = features.shape[0]
    labels: Callable[[], Array] | None = None
    feature_ids: Any = None
    label_ids = None
    if options.ids != "row":
        if options.split is not None or options.num_nodes is not None:
            raise ValueError(f"split, num_nodes: do not apply where ids are {options.ids}")
        if features is not None:
            feature_ids = _id_column(features) if isinstance(features, Table) else None
            if feature_ids is None:
                raise ValueError(_needs_ids("features", options.features, options.ids))
    if options.labels is not None:
        files.append(options.labels)
        labels_file = options.labels
        if not labels_file.is_file():
            raise FileNotFoundError(f"{labels_file}: expected labels, no such file")
        if options.ids != "row":
            is_table = suffix_of(labels_file) in TABLE_SUFFIXES
            table_of_labels = as_table(labels_file) if is_table else None
            column = None if table_of_labels is None else _id_column(table_of_labels)
            if table_of_labels is None or column is None:
                raise ValueError(_needs_ids("labels", labels_file, options.ids))
            label_ids = (table_of_labels, column)

        def labels() -> Array:
            return read_array(labels_file, keys=("label", "y"), holes=True)

    split, split_name = given_split(options)
    return Source(
        name=path.name.split(".")[0],
        files=_with_split(tuple(files), options),
        edges=EdgeTable(
            table, source, target, tuple(x for x in columns if x not in (source, target))
        ),
        num_nodes=num_nodes,
        node_columns={} if features is None else {"feat": features},
        feature_ids=feature_ids,
        label_ids=label_ids,
        labels=labels,
        labels_name=str(options.labels),
        split=split,
        split_name=split_name,
    )


def _needs_ids(what: str, file: Path | None, ids: str) -> str:
    """What is wrong with rows that do not say whose they are."""
    return (
        f"{file}: {what} of nodes whose ids are {ids}: expected a table with the ids in a column"
        f" {', '.join(ID_NAMES)}, without which nobody knows whose row is whose"
    )


def _id_column(table: Table) -> Any:
    """The column of a table of nodes that holds their ids, if it has one."""
    found = {str(name).strip().lower(): name for name in table.columns()}
    return next((found[name] for name in ID_NAMES if name in found), None)


def _features(path: Path, options: Options) -> ColumnRows:
    suffix = suffix_of(path)
    if suffix == ".npy":
        return open_npy(path)
    if suffix == ".npz":
        arrays: dict[str, Any] = open_npz(path, options.memory)
        for key in ("feat", "x"):
            if key in arrays:
                return arrays[key]  # type: ignore[no-any-return]
        if len(arrays) == 1:
            return next(iter(arrays.values()))  # type: ignore[no-any-return]
        raise ValueError(f"{path}: expected an array feat or x, got {', '.join(arrays)}")
    return as_table(path)
