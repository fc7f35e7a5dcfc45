"""The steps of a conversion, one after another."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hopflow.datasets.checks import as_labels, as_splits, count_classes, random_splits
from hopflow.datasets.conversion.columns import planned_column, write_column
from hopflow.datasets.conversion.edges import EdgeRows, largest_id
from hopflow.datasets.conversion.growing import GrowingArray
from hopflow.datasets.conversion.journal import Journal, sync_folder
from hopflow.datasets.conversion.merge import merge
from hopflow.datasets.conversion.options import Options
from hopflow.datasets.conversion.rows import Rows
from hopflow.datasets.conversion.runs import planned, write_runs
from hopflow.datasets.conversion.source import ColumnRows, EdgeTable, Source
from hopflow.datasets.conversion.staging import stage_edges, stage_matrix
from hopflow.datasets.conversion.staging_ids import NumberedEdges, stage_numbered
from hopflow.datasets.conversion.tables import Table
from hopflow.datasets.dataset import Array
from hopflow.datasets.graph_folder.manifest import Manifest
from hopflow.storage.array_files import ArrayRecord
from hopflow.storage.folders import put_in_place
from hopflow.storage.manifests import MANIFEST, Column, write_json
from hopflow.structure.types import CANONICAL

OnProgress = Callable[[str, int, int], None]

PLACING = "placing"
"""The last step: the folder is whole and takes its place. What it comes to is the graph id, and the
number by which the folder is known wherever it is."""


def folder_number(folder: Path) -> int | None:
    """That of a folder in its file system, which stays when it is moved; None if there is none."""
    try:
        return folder.stat().st_ino
    except (FileNotFoundError, NotADirectoryError):
        return None


class Conversion:
    """One conversion; what its steps came to is in the journal.

    Parameters
    ----------
    journal : Journal
        Of the working folder.
    source : Source
        What is converted.
    options : Options
        What is asked for.
    target : Path
        The folder to write.
    on_progress : callable, optional
        Called with what is being done, how much of it is done, and how much there is.
    check_target : callable
        Raises an error if the folder may not be put in place: called just before that, since hours
        may have passed.
    overwrite : bool
        Whether another graph folder is replaced.
    """

    def __init__(
        self,
        journal: Journal,
        source: Source,
        options: Options,
        target: Path,
        on_progress: OnProgress | None,
        check_target: Callable[[], None],
        overwrite: bool,
    ) -> None:
        self._check_target, self._overwrite = check_target, overwrite
        self._journal, self._source, self._options = journal, source, options
        self._target = target
        self._tell = on_progress or (lambda what, done, total: None)
        self._made = journal.folder / "made"
        self._files: dict[str, ArrayRecord] = {}

    def run(self) -> str:
        """Do what is not done yet; returns the graph id."""
        (self._made / "split").mkdir(parents=True, exist_ok=True)
        source = self._source
        num_nodes = source.num_nodes
        labels = None
        if source.labels is not None and source.label_ids is None:
            labels = source.labels()
        node_rows = {name: self._staged(name, x) for name, x in source.node_columns.items()}
        if num_nodes is None and "feat" in node_rows and node_rows["feat"].shape:
            num_nodes = node_rows["feat"].shape[0]
        if num_nodes is None and labels is not None and labels.ndim:
            num_nodes = len(labels)
        node_ids: dict[str, str] = {}
        id_bytes: dict[str, int] = {}
        if self._options.ids == "row":
            edges = self._edges(num_nodes)
        else:
            numbered = self._numbered()
            edges, num_nodes = numbered.edges, numbered.num_nodes
            labels = labels if numbered.labels is None else numbered.labels
            node_ids = {CANONICAL[0]: self._options.ids}
            if self._options.ids == "text":
                id_bytes = {CANONICAL[0]: numbered.id_bytes}
            self._files |= {name: _record(x) for name, x in numbered.files.items()}
        if num_nodes is None:
            num_nodes = 1 + self._journal.step(
                "largest", lambda: (largest_id(edges, self._options.piece_bytes // 8 + 1), [])
            )
        staged = {n: self._staged(f"edge-{n}", x) for n, x in source.edge_columns.items()}
        further = self._further(node_rows, num_nodes, edges.count)
        edges = EdgeRows(edges.src, edges.dst, {**edges.columns, **staged, **further})
        node_columns = self._planned(node_rows, num_nodes)
        edge_columns = {
            name: planned_column(name, rows, edges.count, None, "edge")
            for name, rows in edges.columns.items()
        }
        stored_labels, num_classes = self._labels(labels, num_nodes)
        splits = self._splits(stored_labels, num_nodes)
        # Before edges are sorted for hours: features may have numbers that are none.
        self._write_columns(node_columns, node_rows)
        manifest = Manifest(
            name=source.name,
            idtype="int64",  # as load() makes it
            ntypes=(CANONICAL[0],),
            relations=(CANONICAL,),
            num_nodes={CANONICAL[0]: num_nodes},
            num_edges={CANONICAL: self._sort(edges, num_nodes)},
            has_eids={CANONICAL: self._options.keep_edge_ids},
            node_columns={CANONICAL[0]: tuple(node_columns.values())},
            edge_columns={CANONICAL: tuple(edge_columns.values())},
            labels={} if stored_labels is None else {CANONICAL[0]: stored_labels.shape[1]},
            splits={name: {CANONICAL[0]: len(x)} for name, x in splits.items()},
            num_classes=num_classes,
            class_names={},
            node_ids=node_ids,
            id_bytes=id_bytes,
            files={},
        )
        if stored_labels is not None:
            self._write("node-0.labels.npy", stored_labels)
        for name, part in splits.items():
            self._write(f"split/{name}-0.npy", part)
        return self._finish(manifest.with_files(self._files))

    def _finish(self, manifest: Manifest) -> str:
        write_json(self._made / MANIFEST, manifest.to_json())
        for name in (*manifest.layout(), MANIFEST):
            handle = os.open(self._made / name, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        sync_folder(self._made / "split")
        if not any((self._made / "split").iterdir()):
            (self._made / "split").rmdir()
        sync_folder(self._made)
        # The new folder and the one that it replaces may change places: from here on nothing of
        # what is in the working folder is taken for work that is done.
        said = {"id": manifest.graph_id, "folder": folder_number(self._made)}
        self._journal.conclude(PLACING, said)
        return self.place(manifest.graph_id)

    def place(self, graph_id: str) -> str:
        """Put the folder in place, once it is whole; returns the graph id."""
        self._check_target()
        aside = self._journal.folder / "replaced"
        put_in_place(self._made, self._target, overwrite=self._overwrite, aside=aside)
        sync_folder(self._target.parent)
        self._journal.remove()
        return graph_id

    # --- what the source holds

    def _staged(self, name: str, rows: ColumnRows) -> Rows:
        if isinstance(rows, Table):
            self._tell(f"reading {rows.what}", 0, 1)
            without = self._source.feature_ids if name == "feat" else None
            return stage_matrix(self._journal, name, rows, self._options, without)
        return rows

    def _edges(self, num_nodes: int | None) -> EdgeRows:
        edges = self._source.edges
        if isinstance(edges, EdgeTable):
            wanted = self._source.num_edges or 0
            what = f"reading {edges.table.what}"
            edges = stage_edges(
                self._journal, edges, num_nodes, self._options,
                lambda done: self._tell(what, done, max(wanted, done)),
            )  # fmt: skip
        wanted_edges = self._source.num_edges
        if wanted_edges is not None and edges.count != wanted_edges:
            raise ValueError(
                f"{edges.src.what}: expected {wanted_edges} edges (num-edge-list), got"
                f" {edges.count}"
            )
        return edges

    def _numbered(self) -> NumberedEdges:
        what = "numbering ids"
        return stage_numbered(
            self._journal, self._source, self._options, self._made,
            lambda done: self._tell(what, done, done),
        )  # fmt: skip

    def _further(
        self, node_rows: dict[str, Rows], num_nodes: int, num_edges: int
    ) -> dict[str, Rows]:
        """Share out arrays by their rows: those of nodes are added, those of edges returned."""
        found = {}
        for key, rows in self._source.further.items():
            if rows.shape[0] == num_nodes:
                node_rows[key] = rows
            elif rows.shape[0] == num_edges:
                found[key] = rows
            else:
                raise ValueError(
                    f"{rows.what}: expected {num_nodes} rows (nodes) or {num_edges} (edges), got"
                    f" shape {rows.shape}"
                )
        return found

    def _planned(self, node_rows: dict[str, Rows], num_nodes: int) -> dict[str, Column]:
        unknown = sorted(set(self._options.dtypes) - set(node_rows))
        if unknown:
            there = ", ".join(node_rows) or "none"
            raise ValueError(f"dtypes: expected node columns, got {unknown[0]!r}; there is {there}")
        return {
            name: planned_column(name, rows, num_nodes, self._options.dtypes.get(name), "node")
            for name, rows in node_rows.items()
        }

    def _labels(self, labels: Array | None, num_nodes: int) -> tuple[Array | None, int]:
        if labels is None:
            return None, 0
        checked = as_labels(labels, rows=num_nodes, what=self._source.labels_name)
        return checked, count_classes(checked)

    def _splits(self, labels: Array | None, num_nodes: int) -> dict[str, Array]:
        source = self._source
        if source.split is not None:
            return as_splits(
                source.split(), num_nodes=num_nodes, labels=labels, what=source.split_name
            )
        if labels is None:
            return {}
        return random_splits(labels, seed=self._options.seed, what=source.labels_name)

    # --- what is written

    def _sort(self, edges: EdgeRows, num_nodes: int) -> int:
        """Write the edges in the order of destinations; returns how many there are."""
        options, journal = self._options, self._journal
        said = journal.result("sorted")
        if said is None:
            records, num_edges = self._sorted(edges, num_nodes)
            sorted_records = {name: record.to_json() for name, record in records.items()}
            said = journal.step(
                "sorted", lambda: ({"files": sorted_records, "count": num_edges}, [])
            )
        # Runs take as much room as the edges.
        journal.drop(
            file
            for file in journal.folder.iterdir()
            if file.name.split(".")[0] in ("forward", "back")
        )
        self._files |= {name: _record(x) for name, x in said["files"].items()}
        num_edges = int(said["count"])
        if options.keep_edge_ids:
            self._write_edge_columns(edges, num_nodes, num_edges)
        return num_edges

    def _sorted(self, edges: EdgeRows, num_nodes: int) -> tuple[dict[str, ArrayRecord], int]:
        options, journal = self._options, self._journal
        plan = planned(edges, num_nodes, options)
        runs, num_forward, num_back = write_runs(
            journal, edges, plan, options, lambda n: self._tell("cutting edges", n, edges.count)
        )
        counts = num_forward, num_back
        total = sum(counts) + (num_nodes if options.add_self_loops else 0)
        return merge(
            journal, self._made, runs, plan, counts, options.add_self_loops,
            lambda n: self._tell("sorting edges", n, total),
        )  # fmt: skip

    def _write_edge_columns(self, edges: EdgeRows, num_nodes: int, num_edges: int) -> None:
        """Columns in the order of edge ids: the source's, then those of edges that were added."""
        from hopflow.datasets.conversion.edges import read_chunks

        options = self._options
        for k, (name, rows) in enumerate(edges.columns.items()):
            column = planned_column(name, rows, edges.count, None, "edge")
            file = self._made / f"edge-0.col-{k}.npy"
            step = options.chunk_edges(int(np.prod(rows.shape[1:], dtype=np.int64)) * 8 + 16)

            def write(
                name: str = name, column: Column = column, file: Path = file, step: int = step
            ) -> tuple[Any, list[Path]]:
                shape = num_edges, *column.shape
                with GrowingArray(file, column.dtype, shape) as out:
                    for is_back in (False, True)[: 1 + options.undirected]:
                        for chunk in read_chunks(edges, [name], num_nodes, step):
                            values = chunk.columns[0]
                            if is_back or options.remove_self_loops:
                                values = values[chunk.src != chunk.dst]
                            out.write(values)
                    if options.add_self_loops:
                        for first in range(0, num_nodes, step):
                            count = min(step, num_nodes - first)
                            out.write(np.ones((count, *column.shape), column.dtype))
                    return out.record().to_json(), [file]

            self._tell(f"writing {name}", 0, 1)
            said = self._journal.step(f"edge-column-{k}", write)
            self._files[file.name] = _record(said)

    def _write_columns(self, columns: Mapping[str, Column], rows: Mapping[str, Rows]) -> None:
        for k, (name, column) in enumerate(columns.items()):
            file = self._made / f"node-0.col-{k}.npy"
            total = rows[name].shape[0]
            self._files[file.name] = write_column(
                self._journal, file, column, rows[name], kind="node", link=self._options.link,
                piece_bytes=self._options.piece_bytes,
                on_rows=lambda n, name=name, total=total: self._tell(f"writing {name}", n, total),  # type: ignore[misc]
            )  # fmt: skip

    def _write(self, name: str, array: Array) -> None:
        """An array that is in memory: it is written in no time."""
        with GrowingArray(self._made / name, array.dtype.name, array.shape) as out:
            out.write(array)
            self._files[name] = out.record()


def _record(said: Mapping[str, Any]) -> ArrayRecord:
    return ArrayRecord(said["dtype"], tuple(said["shape"]), said["crc32"], said["crc32_ends"])
