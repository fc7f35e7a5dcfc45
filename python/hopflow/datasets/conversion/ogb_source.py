"""Folders in OGB's raw layout as sources."""

from __future__ import annotations

from pathlib import Path

from hopflow.datasets.conversion.edges import EdgeRows
from hopflow.datasets.conversion.options import Options
from hopflow.datasets.conversion.rows import open_npz, read_whole, two_rows
from hopflow.datasets.conversion.source import ColumnRows, EdgeTable, Source
from hopflow.datasets.conversion.tables import as_table
from hopflow.datasets.dataset import Array
from hopflow.datasets.files import frame_to_matrix, read_csv, require_file
from hopflow.datasets.ogb_layout import (
    column_of,
    find_split,
    is_layout,
    only,
    read_split_folder,
    single_count,
)

is_ogb_layout = is_layout


def ogb_source(folder: Path, options: Options) -> Source:
    """What a folder in OGB's raw layout holds, text or binary.

    Raises
    ------
    FileNotFoundError
        A required file or the split is missing.
    ValueError
        A file is malformed, or there is more than one graph.
    """
    raw = folder / "raw"
    split = find_split(folder, None if options.split is None else str(options.split))
    splits = tuple(sorted(path for path in split.iterdir() if path.is_file()))
    source = _binary if (raw / "data.npz").is_file() else _text
    return source(folder, raw, split, splits, options)


def _text(
    folder: Path, raw: Path, split: Path, splits: tuple[Path, ...], options: Options
) -> Source:
    num_nodes = single_count(raw / "num-node-list.csv.gz")
    num_edges = single_count(raw / "num-edge-list.csv.gz")
    edges = as_table(raw / "edge.csv.gz", header=False)
    columns = edges.columns()
    if len(columns) != 2:
        raise ValueError(f"{edges.what}: expected 2 column(s), got {len(columns)}")
    label_path = require_file(raw / "node-label.csv.gz", what="the node labels")
    found: dict[str, dict[str, ColumnRows]] = {"node": {}, "edge": {}}
    for path in sorted(raw.glob("*.csv.gz")):
        kind, key = column_of(path.name.removesuffix(".csv.gz"))
        if kind:
            found[kind][key] = as_table(path, header=False)

    def labels() -> Array:
        return frame_to_matrix(read_csv(label_path), label_path, holes=True)

    return Source(
        name=folder.resolve().name,
        files=(*sorted(raw.glob("*.csv.gz")), *splits),
        edges=EdgeTable(edges, columns[0], columns[1], ()),
        num_nodes=num_nodes,
        num_edges=num_edges,
        node_columns=found["node"],
        edge_columns=found["edge"],
        labels=labels,
        labels_name=str(label_path),
        split=lambda: read_split_folder(split),
        split_name=str(split),
    )


def _binary(
    folder: Path, raw: Path, split: Path, splits: tuple[Path, ...], options: Options
) -> Source:
    path = raw / "data.npz"
    data = open_npz(path, options.memory)
    missing = {"edge_index", "num_nodes_list", "num_edges_list"} - data.keys()
    if missing:
        raise ValueError(f"{path}: expected arrays {', '.join(sorted(missing))}, got none")
    num_nodes = only(read_whole(data.pop("num_nodes_list")), f"{path} (num_nodes_list)")
    num_edges = only(read_whole(data.pop("num_edges_list")), f"{path} (num_edges_list)")
    edge_index = data.pop("edge_index")
    if edge_index.shape != (2, num_edges):
        raise ValueError(f"{path} (edge_index): expected [2, {num_edges}], got {edge_index.shape}")
    label_path = raw / "node-label.npz"
    label = open_npz(label_path, options.memory).get("node_label")
    if label is None:
        raise ValueError(f"{label_path}: expected an array node_label, got none")
    found: dict[str, dict[str, ColumnRows]] = {"node": {}, "edge": {}}
    for key, rows in data.items():
        if key[:5] not in ("node_", "edge_"):
            raise ValueError(f"{path}: expected names node_* or edge_*, got {key!r}")
        found[key[:4]][key[5:]] = rows
    return Source(
        name=folder.resolve().name,
        files=(path, label_path, *splits),
        edges=EdgeRows(*two_rows(edge_index)),
        num_nodes=num_nodes,
        num_edges=num_edges,
        node_columns=found["node"],
        edge_columns=found["edge"],
        labels=lambda: read_whole(label),
        labels_name=str(label_path),
        split=lambda: read_split_folder(split),
        split_name=str(split),
    )
