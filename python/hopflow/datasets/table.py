"""Edge lists in CSV or Parquet files, with features, labels and a split in files beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .checks import (
    as_column,
    as_edges,
    as_features,
    as_labels,
    as_splits,
    count_classes,
    random_splits,
)
from .dataset import SPLIT_NAMES, Array, RawDataset
from .files import read_array, read_npz, read_table
from .ogb_layout import read_split_folder

_ENDS = (("src", "dst"), ("source", "target"), ("u", "v"))


def read_edge_list(
    path: Path,
    *,
    features: Path | None = None,
    labels: Path | None = None,
    split: Path | None = None,
    num_nodes: int | None = None,
    seed: int = 0,
) -> RawDataset:
    """Read an edge list: one edge a row, two columns of node ids.

    Parameters
    ----------
    path
        `.csv`, `.tsv` (either may be gzipped) or `.parquet`. The ends are the columns
        ``src, dst``, ``source, target`` or ``u, v``, else the first two. A first line that is not
        all numbers is taken for names. Further named columns become edge columns.
    features
        Feature matrix, one row per node in order of ids: CSV, TSV, Parquet, `.npy` or `.npz`.
    labels
        Labels, one row per node, in the same formats; an empty cell, NaN or -1 is no label.
    split
        See :func:`read_split`.
    num_nodes
        Number of nodes; the rows of `features` or `labels` by default, else the largest id + 1.
    seed
        Seed of the random 60/20/20 split that labels without a split get.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ImportError
        Parquet without `pyarrow`.
    ValueError
        Malformed in any part.
    """
    frame = read_table(path)
    source, target = find_ends(list(frame.columns), path)
    feature_rows = None if features is None else read_array(features, keys=("feat", "x"))
    label_rows = None if labels is None else read_array(labels, keys=("label", "y"), holes=True)
    for rows in (feature_rows, label_rows):
        if num_nodes is None and rows is not None and rows.ndim:
            num_nodes = len(rows)
    src, dst, num_nodes = as_edges(
        frame[source].to_numpy(), frame[target].to_numpy(), num_nodes=num_nodes, what=str(path)
    )
    node_columns: dict[str, Array] = {}
    if feature_rows is not None:
        node_columns["feat"] = as_features(feature_rows, rows=num_nodes, what=str(features))
    edge_columns = {
        str(key): as_column(frame[key].to_numpy(), rows=len(src), what=f"{path} (column {key!r})")
        for key in frame.columns
        if key not in (source, target)
    }
    checked = None
    if label_rows is not None:
        checked = as_labels(label_rows, rows=num_nodes, what=str(labels))
    splits = None
    if split is not None:
        splits = as_splits(read_split(split), num_nodes=num_nodes, labels=checked, what=str(split))
    elif checked is not None:
        splits = random_splits(checked, seed=seed, what=str(labels))
    return RawDataset(
        name=path.name.split(".")[0],
        src=src,
        dst=dst,
        num_nodes=num_nodes,
        node_columns=node_columns,
        edge_columns=edge_columns,
        labels=checked,
        splits=splits,
        num_classes=count_classes(checked),
    )


def read_split(path: Path) -> dict[str, Array]:
    """Read a split that lies in files of its own.

    Parameters
    ----------
    path
        A folder with ``train``, ``valid`` and ``test`` as `.csv.gz` or `.csv`, or an `.npz` with
        arrays ``train``, ``valid``, ``test`` or ``train_idx`` and so on: node ids, or boolean
        masks.

    Raises
    ------
    FileNotFoundError
        No such folder or file, or a part is missing from the folder.
    ValueError
        Malformed.
    """
    if path.is_dir():
        return read_split_folder(path)
    arrays = read_npz(path)
    return {
        key: arrays[name] for key in SPLIT_NAMES for name in (key, f"{key}_idx") if name in arrays
    }


def find_ends(columns: list[Any], path: Path) -> tuple[Any, Any]:
    """The columns of an edge list that hold the sources and the targets.

    Raises
    ------
    ValueError
        There are fewer than two columns, or more and none has a name.
    """
    if len(columns) < 2:
        raise ValueError(f"{path}: expected two columns, source and target, got {len(columns)}")
    named = not all(isinstance(column, int) for column in columns)
    if named:
        lower = {str(column).strip().lower(): column for column in columns}
        for source, target in _ENDS:
            if source in lower and target in lower:
                return lower[source], lower[target]
    elif len(columns) > 2:
        raise ValueError(
            f"{path}: expected two columns, got {len(columns)}; name them in a first line to keep "
            "the others as edge columns"
        )
    return columns[0], columns[1]
