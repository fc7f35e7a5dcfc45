"""Tables turned into plain arrays on disk, which everything else reads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from hopflow.datasets.checks import as_column
from hopflow.datasets.conversion.edges import EdgeRows, checked_ids
from hopflow.datasets.conversion.journal import Journal
from hopflow.datasets.conversion.options import Options
from hopflow.datasets.conversion.rows import Rows, rows_from
from hopflow.datasets.conversion.source import EdgeTable
from hopflow.datasets.conversion.tables import StagedArray, Table, staged_rows
from hopflow.datasets.files import frame_to_matrix
from hopflow.storage.manifests import ids_dtype

_CELL_BYTES = 64  # of a parsed cell, with what pandas needs beside it
_LEAST_ROWS = 1 << 10
_MOST_ROWS = 1 << 20


def frame_rows(table: Table, options: Options) -> int:
    """Rows of a table that are parsed at a time."""
    width = max(len(table.columns()), 1) * _CELL_BYTES
    return max(_LEAST_ROWS, min(_MOST_ROWS, options.memory // 4 // width))


def stage_edges(
    journal: Journal,
    edges: EdgeTable,
    num_nodes: int | None,
    options: Options,
    on_rows: Callable[[int], None],
) -> EdgeRows:
    """The edges of a table as arrays, in one step."""
    table = edges.table
    # Without a number of nodes ids may come that do not fit int32.
    dtype = np.dtype("int64" if num_nodes is None else ids_dtype(num_nodes))

    def stage() -> tuple[Any, list[Path]]:
        with ExitStack() as stack:
            ends = [
                StagedArray(journal.folder / f"table.{name}", table.what) for name in ("src", "dst")
            ]
            columns = [
                StagedArray(journal.folder / f"table.col-{k}", f"{table.what} (column {name!r})")
                for k, name in enumerate(edges.columns)
            ]
            for staged in (*ends, *columns):
                stack.callback(staged.close)
            for path, first, frame in table.frames(frame_rows(table, options)):
                for staged, name, end in (
                    (ends[0], edges.source, "source"),
                    (ends[1], edges.target, "destination"),
                ):
                    ids = frame[name].to_numpy()
                    what = f"{path} ({end})"
                    staged.write(checked_ids(ids, what, num_nodes, first).astype(dtype))
                for staged, name in zip(columns, edges.columns):
                    what = f"{path} (column {name!r})"
                    with rows_from(first):
                        values = as_column(frame[name].to_numpy(), rows=len(frame), what=what)
                    staged.write(values)
                on_rows(ends[0].count)
            staged_all = [*ends, *columns]
            return [x.to_json() for x in staged_all], [x.path for x in staged_all]

    said = journal.step("table", stage)
    src, dst, *columns = (staged_rows(journal.folder, x) for x in said)
    return EdgeRows(src, dst, {str(n): rows for n, rows in zip(edges.columns, columns)})


def stage_matrix(
    journal: Journal, name: str, table: Table, options: Options, without: Any = None
) -> Rows:
    """The rows of a table of numbers as one matrix, but for a column of ids, in one step."""

    def stage() -> tuple[Any, list[Path]]:
        staged = StagedArray(journal.folder / f"matrix.{name}", table.what, _wider)
        try:
            text = () if without is None else (without,)
            for path, first, frame in table.frames(frame_rows(table, options), text):
                if without is not None:
                    frame = frame.drop(columns=[without])
                with rows_from(first):
                    staged.write(frame_to_matrix(frame, path))
            return staged.to_json(), [staged.path]
        finally:
            staged.close()

    return staged_rows(journal.folder, journal.step(f"matrix-{name}", stage))


def _wider(before: np.dtype[Any], piece: np.dtype[Any]) -> Any:
    """Of whole numbers in one piece and others in another a whole table would have made float32."""
    if "b" in (before.kind, piece.kind):
        return None
    if "f" in (before.kind, piece.kind):
        return np.float16 if before == piece == np.float16 else np.float32
    return np.result_type(before, piece)
