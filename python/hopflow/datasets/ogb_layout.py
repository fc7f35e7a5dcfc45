"""Folders in the Open Graph Benchmark's raw layout, text or binary.

::

    raw/edge.csv.gz  raw/num-node-list.csv.gz  raw/num-edge-list.csv.gz  raw/node-label.csv.gz
    raw/node-feat.csv.gz  raw/edge-feat.csv.gz  raw/node_*.csv.gz  raw/edge_*.csv.gz   (optional)
        or
    raw/data.npz  raw/node-label.npz                                       (binary, large graphs)

    split/<name>/{train,valid,test}.csv.gz   or   split/<name>/split_dict.pt

The layout is the one `ogb.io.read_graph_raw` and `ogb.io.DatasetSaver` define. OGB's own
`processed/` files are pickles and are neither read nor written; hopflow's parsed arrays lie beside
them, in `processed/hopflow-v1.npz`.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from .cache import WORTH_BYTES, parse_cached
from .checks import as_edges, as_ids, as_labels, as_named_column, as_splits, count_classes
from .dataset import SPLIT_NAMES, Array, RawDataset
from .files import frame_to_matrix, read_csv, read_id_columns, read_npz, require_file

_CACHE_NAME = "hopflow-v1.npz"
_CACHE_MIN_BYTES = WORTH_BYTES


def is_layout(folder: Path) -> bool:
    """Whether `folder` holds the raw files of one homogeneous graph."""
    return any((folder / "raw" / name).is_file() for name in ("edge.csv.gz", "data.npz"))


def read_folder(
    folder: Path,
    *,
    name: str | None = None,
    split: str | None = None,
    add_inverse_edge: bool = False,
    num_classes: int | None = None,
) -> RawDataset:
    """Read a folder in OGB's raw layout.

    Where parsing takes seconds or more, the parsed arrays are kept in
    ``processed/hopflow-v1.npz`` and used as long as the raw files do not change; a folder that
    cannot be written to costs a warning.

    Parameters
    ----------
    folder
        The folder above ``raw`` and ``split``.
    name
        What to call the data set; the folder's name by default.
    split
        Folder under ``split``; needed only where there are several.
    add_inverse_edge
        Follow every edge (u, v) by (v, u), as OGB does for the data sets it says so of.
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
    if not is_layout(folder):
        raise FileNotFoundError(
            f"{folder}: expected OGB's raw layout with raw/edge.csv.gz or raw/data.npz, got neither"
        )
    split_folder = find_split(folder, split)
    binary = (raw / "data.npz").is_file()
    arrays = parse_cached(
        folder / "processed" / _CACHE_NAME,
        [path for path in raw.iterdir() if path.suffix in (".gz", ".npz")],
        lambda: _parse_binary(raw) if binary else _parse_text(raw),
        min_bytes=_CACHE_MIN_BYTES,
    )
    num_nodes = int(arrays["num_nodes"])
    labels = arrays["label"]
    splits = as_splits(
        read_split_folder(split_folder), num_nodes=num_nodes, labels=labels, what=str(split_folder)
    )
    found = count_classes(labels)
    if num_classes is not None and found > num_classes:
        raise ValueError(f"{raw}: expected labels below {num_classes} classes, got {found - 1}")
    src, dst = arrays["src"], arrays["dst"]
    edge_columns = _under("edge:", arrays)
    if add_inverse_edge:
        src, dst = _interleave(src, dst), _interleave(dst, src)
        edge_columns = {key: np.repeat(column, 2, axis=0) for key, column in edge_columns.items()}
    return RawDataset(
        name=name or folder.resolve().name,
        src=src,
        dst=dst,
        num_nodes=num_nodes,
        node_columns=_under("node:", arrays),
        edge_columns=edge_columns,
        labels=labels,
        splits=splits,
        num_classes=found if num_classes is None else num_classes,
    )


def read_split_folder(folder: Path) -> dict[str, Array]:
    """Read ``{train,valid,test}.csv.gz`` (or `.csv`), or the ``split_dict.pt`` OGB's saver writes.

    Raises
    ------
    FileNotFoundError
        A part is missing.
    ValueError
        A part is malformed, or the pickle holds anything but arrays and tensors.
    """
    pickled = folder / "split_dict.pt"
    if pickled.is_file():
        return {key: np.asarray(part) for key, part in load_split_dict(pickled).items()}
    parts = {}
    for key in SPLIT_NAMES:
        path = folder / f"{key}.csv"
        if not path.is_file():
            path = require_file(folder / f"{key}.csv.gz", what=f"the {key} node ids")
        parts[key] = as_ids(read_id_columns(path, num_columns=1)[0], what=str(path))
    return parts


def _parse_text(raw: Path) -> dict[str, Array]:
    num_nodes = single_count(raw / "num-node-list.csv.gz")
    num_edges = single_count(raw / "num-edge-list.csv.gz")
    edge_path = raw / "edge.csv.gz"
    src, dst, _ = as_edges(
        *read_id_columns(edge_path, num_columns=2), num_nodes=num_nodes, what=str(edge_path)
    )
    if len(src) != num_edges:
        raise ValueError(f"{edge_path}: expected {num_edges} edges (num-edge-list), got {len(src)}")
    label_path = require_file(raw / "node-label.csv.gz", what="the node labels")
    label = frame_to_matrix(read_csv(label_path), label_path, holes=True)
    arrays: dict[str, Array] = {
        "num_nodes": np.asarray(num_nodes),
        "src": src,
        "dst": dst,
        "label": as_labels(label, rows=num_nodes, what=str(label_path)),
    }
    for path in sorted(raw.glob("*.csv.gz")):
        kind, key = column_of(path.name.removesuffix(".csv.gz"))
        if not kind:
            continue
        rows = num_nodes if kind == "node" else num_edges
        column = frame_to_matrix(read_csv(path), path)
        arrays[f"{kind}:{key}"] = as_named_column(key, column, rows=rows, what=str(path))
    return arrays


def column_of(stem: str) -> tuple[str, str]:
    """``("node" or "edge", name of the column)`` of a file, ``("", "")`` where it holds none."""
    # OGB writes node-feat for the features and node_<name> for further columns, except for the
    # species of ogbn-proteins, which its archive holds under the bare name.
    if stem == "species":
        return "node", "species"
    if stem in ("node-feat", "edge-feat"):
        return stem[:4], "feat"
    if stem.startswith(("node_", "edge_")):
        return stem[:4], stem[5:]
    return "", ""


def _parse_binary(raw: Path) -> dict[str, Array]:
    path = raw / "data.npz"
    data = read_npz(path)
    missing = {"edge_index", "num_nodes_list", "num_edges_list"} - data.keys()
    if missing:
        raise ValueError(f"{path}: expected arrays {', '.join(sorted(missing))}, got none")
    num_nodes = only(data.pop("num_nodes_list"), f"{path} (num_nodes_list)")
    num_edges = only(data.pop("num_edges_list"), f"{path} (num_edges_list)")
    edge_index = data.pop("edge_index")
    if edge_index.shape != (2, num_edges):
        raise ValueError(f"{path} (edge_index): expected [2, {num_edges}], got {edge_index.shape}")
    src, dst, _ = as_edges(edge_index[0], edge_index[1], num_nodes=num_nodes, what=str(path))
    del edge_index
    label_path = raw / "node-label.npz"
    label = read_npz(label_path).get("node_label")
    if label is None:
        raise ValueError(f"{label_path}: expected an array node_label, got none")
    arrays: dict[str, Array] = {
        "num_nodes": np.asarray(num_nodes),
        "src": src,
        "dst": dst,
        "label": as_labels(label, rows=num_nodes, what=str(label_path)),
    }
    for key in list(data):
        if key[:5] not in ("node_", "edge_"):
            raise ValueError(f"{path}: expected names node_* or edge_*, got {key!r}")
        rows = num_nodes if key[:4] == "node" else num_edges
        column = data.pop(key)  # popped, so that a converted copy does not double the memory
        arrays[f"{key[:4]}:{key[5:]}"] = as_named_column(
            key[5:], column, rows=rows, what=f"{path} ({key})"
        )
    return arrays


def single_count(path: Path) -> int:
    """The one count in a file, of a single graph."""
    return only(read_id_columns(path, num_columns=1)[0], str(path))


def only(counts: Array, what: str) -> int:
    """The one count of a single graph, at least 1."""
    counts = as_ids(counts, what=what)
    if len(counts) != 1:
        raise ValueError(f"{what}: expected one graph, got {len(counts)}")
    if counts[0] < 1:
        raise ValueError(f"{what}: expected a count of at least 1, got {counts[0]}")
    return int(counts[0])


def find_split(folder: Path, split: str | None) -> Path:
    """The folder of a split; the only one, unless one is named."""
    parent = folder / "split"
    names = (
        sorted(path.name for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
    )
    if split is None:
        if len(names) > 1:
            raise ValueError(
                f"{parent}: several splits, choose one with split=: {', '.join(names)}"
            )
        if not names:
            raise FileNotFoundError(f"{parent}: expected a folder with a split, got none")
        return parent / names[0]
    if split not in names:
        known = ", ".join(names) or "none"
        raise FileNotFoundError(f"{parent / split}: no such split, there is {known}")
    return parent / split


def load_split_dict(path: Path) -> dict[str, Any]:
    """``train``, ``valid`` and ``test`` of a pickle, as they were saved: arrays, or dicts by type.

    Raises
    ------
    ValueError
        The pickle holds anything but arrays and tensors.
    """
    # The restricted unpickler of torch.load rebuilds tensors and, where torch is new enough to be
    # told so, numpy arrays; it calls nothing else, whatever the file says.
    import torch

    safe_globals = getattr(torch.serialization, "safe_globals", None)
    try:
        with nullcontext() if safe_globals is None else safe_globals(numpy_globals()):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(loaded, Mapping):
            raise TypeError(f"expected a dict, got {type(loaded).__name__}")
        return {key: loaded[key] for key in SPLIT_NAMES if key in loaded}
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, EOFError) as error:
        raise ValueError(
            f"{path}: not a split of plain arrays that torch {torch.__version__} loads safely; "
            f"save it as train.csv.gz, valid.csv.gz and test.csv.gz instead ({error})"
        ) from error


def numpy_globals() -> list[Any]:
    import torch

    rebuild = np.empty(0).__reduce__()[0]  # numpy's own function, private and twice renamed
    dtypes = [type(np.dtype(kind)) for kind in (np.int64, np.int32, np.bool_, np.float64)]
    allowed: list[Any] = [rebuild, np.ndarray, np.dtype, *dtypes]
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 7):
        # Under the name that files written with the other major version of numpy hold.
        for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            allowed.append((rebuild, f"{module}._reconstruct"))
    return allowed


def _interleave(first: Array, second: Array) -> Array:
    both = np.empty(2 * len(first), dtype=first.dtype)
    both[0::2], both[1::2] = first, second
    return both


def _under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {
        key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)
    }
