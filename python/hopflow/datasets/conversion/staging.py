"""Tables turned into plain arrays on disk, which everything else reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from hopflow.datasets.checks import as_column
from hopflow.datasets.conversion.edges import EdgeRows, checked_ids
from hopflow.datasets.conversion.journal import Journal
from hopflow.datasets.conversion.options import Options
from hopflow.datasets.conversion.rows import FileRows, Rows, rows_from
from hopflow.datasets.conversion.source import EdgeTable
from hopflow.datasets.conversion.tables import StagedArray, Table, staged_rows
from hopflow.datasets.files import frame_to_matrix
from hopflow.storage.manifests import ids_dtype

_STEP_BYTES = 256 << 20  # of the files of a table that are read in one step, about
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
    """The edges of a table as arrays; files of some size make a step."""
    table = edges.table
    # Without a number of nodes ids may come that do not fit int32.
    dtype = np.dtype("int64" if num_nodes is None else ids_dtype(num_nodes))

    what_of = {"table.src": table.what, "table.dst": table.what}
    for k, name in enumerate(edges.columns):
        what_of[f"table.col-{k}"] = f"{table.what} (column {name!r})"

    def write(staged: list[StagedArray], file: Path) -> None:
        ends, columns = staged[:2], staged[2:]
        for path, first, frame in table.frames(frame_rows(table, options), file=file):
            for array, name, end in zip(
                ends, (edges.source, edges.target), ("source", "destination")
            ):
                what = f"{path} ({end})"
                ids = checked_ids(frame[name].to_numpy(), what, num_nodes, first)
                array.write(ids.astype(dtype))
            for array, name in zip(columns, edges.columns):
                what = f"{path} (column {name!r})"
                with rows_from(first):
                    values = as_column(frame[name].to_numpy(), rows=len(frame), what=what)
                array.write(values)
            on_rows(ends[0].count)

    src, dst, *columns = _staged_file_by_file(journal, "table", table, what_of, write)
    return EdgeRows(src, dst, {str(n): rows for n, rows in zip(edges.columns, columns)})


def stage_matrix(
    journal: Journal, name: str, table: Table, options: Options, without: Any = None
) -> Rows:
    """The rows of a table of numbers as one matrix, but for a column of ids; files of some size
    make a step."""
    text = () if without is None else (without,)

    def write(staged: list[StagedArray], file: Path) -> None:
        for path, first, frame in table.frames(frame_rows(table, options), text, file):
            if without is not None:
                frame = frame.drop(columns=[without])
            with rows_from(first):
                staged[0].write(frame_to_matrix(frame, path))

    what_of = {f"matrix.{name}": table.what}
    (rows,) = _staged_file_by_file(journal, f"matrix-{name}", table, what_of, write, _wider)
    return rows


def _staged_file_by_file(
    journal: Journal,
    step: str,
    table: Table,
    what_of: Mapping[str, str],
    write: Callable[[list[StagedArray], Path], None],
    widen: Callable[[Any, Any], Any] | None = None,
) -> list[FileRows]:
    """Append the files of a table to arrays, whose names stand for what messages call them."""
    said: list[dict[str, Any] | None] = [None] * len(what_of)
    for number, files in enumerate(_groups(table.files)):
        with ExitStack() as stack:
            staged: list[StagedArray] = []

            def make(
                files: list[Path] = files, staged: list[StagedArray] = staged,
                stack: ExitStack = stack, said: list[dict[str, Any] | None] = said,
            ) -> tuple[Any, list[Path]]:  # fmt: skip
                for (name, what), state in zip(what_of.items(), said):
                    staged.append(StagedArray(journal.folder / name, what, widen, state))
                    stack.callback(staged[-1].close)
                for file in files:
                    write(staged, file)
                return [x.to_json() for x in staged], [x.path for x in staged]

            said = journal.step(f"{step}-{number}", make)
            if staged:  # otherwise the files may be those of a later step
                drop_narrower(journal, {name: x["file"] for name, x in zip(what_of, said) if x})
    drop_narrower(journal, {name: x["file"] for name, x in zip(what_of, said) if x})
    return [staged_rows(journal.folder, x) for x in said if x is not None]


def _groups(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Files that are read in one step: each costs some writes that wait for the disk."""
    group: list[Path] = []
    num_bytes = 0
    for file in files:
        group.append(file)
        num_bytes += file.stat().st_size
        if num_bytes >= _STEP_BYTES:
            yield group
            group, num_bytes = [], 0
    if group:
        yield group


def drop_narrower(journal: Journal, kept: Mapping[str, str]) -> None:
    """Remove files of narrower dtypes that staged arrays have left behind.

    Parameters
    ----------
    journal : Journal
        Of the working folder, with the arrays as they are now.
    kept : mapping
        Names of the arrays to the files that they are in.
    """
    old = [
        path
        for path in journal.folder.iterdir()
        if (found := re.fullmatch(r"(?:[a-z]\d+~)?(.+)", path.name))
        and kept.get(found[1], path.name) != path.name
    ]
    if old:
        journal.drop(old)


def _wider(before: np.dtype[Any], piece: np.dtype[Any]) -> Any:
    """Of whole numbers in one piece and others in another a whole table would have made float32."""
    if "b" in (before.kind, piece.kind):
        return None
    if "f" in (before.kind, piece.kind):
        return np.float16 if before == piece == np.float16 else np.float32
    return np.result_type(before, piece)
