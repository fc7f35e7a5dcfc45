"""Data sets in one `.npz` file: named arrays, or a scipy sparse adjacency matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .checks import (
    as_column,
    as_edges,
    as_features,
    as_ids,
    as_labels_or_numbers,
    as_named_column,
    as_splits,
    count_classes,
    random_splits,
)
from .dataset import SPLIT_NAMES, Array, RawDataset
from .files import read_npy, read_npz
from .table import read_split

FEATURES = ("feat", "x", "features")
LABELS = ("label", "y", "labels")


def read_npz_dataset(
    path: Path, *, split: Path | None = None, num_nodes: int | None = None, seed: int = 0
) -> RawDataset:
    """Read a data set from the arrays of an `.npz` file.

    Parameters
    ----------
    path
        The file, or a folder with an `.npy` file for each array. Edges are ``src`` and ``dst``, or
        ``edge_index`` ``[2, num_edges]``, or what `scipy.sparse.save_npz` writes (row i, column j:
        edge i -> j; values other than 1 become the edge column ``weight``). Optional:
        ``num_nodes``; ``feat`` or ``x``; ``label`` or ``y``; ``year``; ``train_idx``,
        ``valid_idx``, ``test_idx`` or ``train_mask``, ``valid_mask``, ``test_mask`` (``val`` is
        taken for ``valid``). Any other array with a row per node becomes a node column of its own
        name, else with a row per edge an edge column; scalars are ignored.
    split
        A split to use instead of the file's own, see :func:`.table.read_split`.
    num_nodes
        Number of nodes, where the file does not say it; else the rows of the features or labels,
        else the largest id + 1.
    seed
        Seed of the random 60/20/20 split that labels without a split get.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Corrupt, holding pickles, or malformed in any part.
    """
    arrays = read_npy_folder(path) if path.is_dir() else read_npz(path)
    if "format" in arrays and "shape" in arrays:
        arrays = _from_scipy(arrays, path)
    src, dst = _pop_edges(arrays, path)
    features = _pop_one(arrays, FEATURES, path)
    label = _pop_one(arrays, LABELS, path)
    stored = arrays.pop("num_nodes", None)
    if stored is not None:
        counts = as_ids(stored.reshape(-1), what=f"{path} (num_nodes)")
        if len(counts) != 1 or counts[0] < 1:
            raise ValueError(f"{path} (num_nodes): expected one count >= 1, got {stored}")
        num_nodes = int(counts[0])
    for array in (features, label):
        if num_nodes is None and array is not None and array.ndim:
            num_nodes = len(array)
    src, dst, num_nodes = as_edges(src, dst, num_nodes=num_nodes, what=str(path))
    parts = _pop_split(arrays)
    labels = None
    if label is not None:
        labels = as_labels_or_numbers(label, rows=num_nodes, what=f"{path} (label)")
    node_columns: dict[str, Array] = {}
    edge_columns: dict[str, Array] = {}
    if features is not None:
        node_columns["feat"] = as_features(features, rows=num_nodes, what=f"{path} (feat)")
    for key, array in arrays.items():
        if array.ndim == 0:
            continue
        what = f"{path} ({key})"
        if key == "year" or len(array) == num_nodes:
            node_columns[key] = as_named_column(key, array, rows=num_nodes, what=what)
        elif len(array) == len(src):
            edge_columns[key] = as_column(array, rows=len(src), what=what)
        else:
            raise ValueError(
                f"{what}: expected {num_nodes} rows (nodes) or {len(src)} (edges), "
                f"got shape {array.shape}"
            )
    where = str(path)
    if split is not None:
        parts, where = read_split(split), str(split)
    splits = None
    if parts:
        splits = as_splits(parts, num_nodes=num_nodes, labels=labels, what=where)
    elif labels is not None:
        splits = random_splits(labels, seed=seed, what=where)
    return RawDataset(
        name=path.stem,
        src=src,
        dst=dst,
        num_nodes=num_nodes,
        node_columns=node_columns,
        edge_columns=edge_columns,
        labels=labels,
        splits=splits,
        num_classes=count_classes(labels),
    )


def read_npy_folder(folder: Path) -> dict[str, Array]:
    """The arrays of the `.npy` files of a folder, mapped, under the keys of an `.npz` file.

    Raises
    ------
    ValueError
        One is malformed, or holds pickles.
    """
    return {key: read_npy(path, mapped=True) for key, path in npy_files(folder).items()}


def npy_files(folder: Path) -> dict[str, Path]:
    """The `.npy` files of a folder under the keys of an `.npz` file.

    ``train.npy`` and its kin are ``train_idx``, or ``train_mask`` where they hold truth values.
    """
    found = {}
    for path in sorted(folder.glob("*.npy")):
        key = path.stem
        if key in (*SPLIT_NAMES, "val"):
            is_mask = read_npy(path, mapped=True).dtype == np.bool_
            key = f"{key}_{'mask' if is_mask else 'idx'}"
        found[key] = path
    return found


def is_npy_folder(folder: Path) -> bool:
    """Whether a folder holds edges as `.npy` files."""
    return any((folder / name).is_file() for name in ("edge_index.npy", "src.npy", "dst.npy"))


def _pop_edges(arrays: dict[str, Array], path: Path) -> tuple[Array, Array]:
    if "src" in arrays and "dst" in arrays:
        return arrays.pop("src"), arrays.pop("dst")
    if "edge_index" in arrays:
        edge_index = arrays.pop("edge_index")
        if edge_index.ndim != 2 or edge_index.shape[0] != 2:
            raise ValueError(
                f"{path} (edge_index): expected [2, num_edges], got shape {edge_index.shape}"
            )
        return edge_index[0], edge_index[1]
    raise ValueError(f"{path}: expected src and dst, or edge_index, got {', '.join(arrays)}")


def _pop_one(arrays: dict[str, Array], keys: tuple[str, ...], path: Path) -> Array | None:
    found = [key for key in keys if key in arrays]
    if len(found) > 1:
        raise ValueError(f"{path}: expected one of {', '.join(keys)}, got {' and '.join(found)}")
    return arrays.pop(found[0]) if found else None


def _pop_split(arrays: dict[str, Array]) -> dict[str, Array]:
    parts = {}
    for key in SPLIT_NAMES:
        for prefix in (key, "val") if key == "valid" else (key,):
            for name in (f"{prefix}_idx", f"{prefix}_mask"):
                if name in arrays:
                    part = arrays.pop(name)
                    # A mask may have been stored as 0 and 1.
                    parts[key] = part.astype(bool) if name.endswith("_mask") else part
    return parts


def _from_scipy(arrays: dict[str, Array], path: Path) -> dict[str, Array]:
    kind = arrays["format"].item()
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    shape = arrays["shape"]
    if shape.shape != (2,) or shape[0] != shape[1]:
        raise ValueError(f"{path}: expected a square adjacency matrix, got shape {shape.tolist()}")
    needed = ("row", "col") if kind == "coo" else ("indptr", "indices")
    if kind not in ("csr", "csc", "coo") or any(key not in arrays for key in needed):
        raise ValueError(f"{path}: expected a csr, csc or coo matrix, got {kind!r}")
    if kind == "coo":
        src, dst = arrays["row"], arrays["col"]
    else:
        indptr = as_ids(arrays["indptr"], what=f"{path} (indptr)")
        dst = arrays["indices"]
        degrees = np.diff(indptr)
        if len(indptr) != shape[0] + 1 or (degrees < 0).any() or degrees.sum() != len(dst):
            raise ValueError(f"{path} (indptr): does not fit {len(dst)} entries of {shape[0]} rows")
        src = np.repeat(np.arange(len(degrees)), degrees)
        if kind == "csc":
            src, dst = dst, src
    result: dict[str, Array] = {"src": src, "dst": dst, "num_nodes": shape[:1]}
    data = arrays.get("data")
    if data is not None and not (data == 1).all():
        result["weight"] = data
    return result
