"""Edges between nodes that have ids of their own: numbered, and then like any others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hopflow.datasets.checks import as_column
from hopflow.datasets.conversion.edges import EdgeRows
from hopflow.datasets.conversion.journal import Journal
from hopflow.datasets.conversion.numbering import IdCollector, numbers_of_pieces, write_ids
from hopflow.datasets.conversion.options import Options
from hopflow.datasets.conversion.rows import rows_from
from hopflow.datasets.conversion.source import EdgeTable, Source
from hopflow.datasets.conversion.staging import drop_narrower, frame_rows
from hopflow.datasets.conversion.tables import StagedArray, Table, staged_rows
from hopflow.datasets.dataset import Array, Ids
from hopflow.datasets.files import frame_to_matrix


@dataclass(frozen=True, kw_only=True)
class NumberedEdges:
    """Edges between nodes that are numbered now.

    Attributes
    ----------
    edges : EdgeRows
        With these numbers.
    num_nodes : int
        How many nodes there are.
    labels : array or None
        A row a node, -1 where there is none.
    id_bytes : int
        Bytes of all ids together, if they are texts.
    files : dict
        What is to be known of the files of ids, as JSON has it.
    """

    edges: EdgeRows
    num_nodes: int
    labels: Array | None
    id_bytes: int
    files: dict[str, Any]


def stage_numbered(
    journal: Journal,
    source: Source,
    options: Options,
    made: Path,
    on_rows: Callable[[int], None],
) -> NumberedEdges:
    """Number the nodes of edges in a table, in one step.

    Nodes of the table of features come first, then those of the table of labels, then others as
    edges name them. Where features are given by id, edges and labels name none but theirs.

    Raises
    ------
    ValueError
        An id is missing, no whole number, there twice in a table of nodes, or none of the table of
        features; the message names the file and the row.
    """
    edges = source.edges
    assert isinstance(edges, EdgeTable)
    folder = journal.folder / "ids"
    names = [f"table.col-{k}" for k in range(len(edges.columns))]

    def stage() -> tuple[Any, list[Path]]:
        folder.mkdir(exist_ok=True)
        collector = IdCollector(folder, options.ids)
        pieces: list[_Piece] = []
        labels: list[Array] = []
        with ExitStack() as stack:
            staged = {
                name: stack.enter_context(_closing(StagedArray(journal.folder / name, what)))
                for name, what in (
                    ("table.src", edges.table.what),
                    ("table.dst", edges.table.what),
                    *((n, f"{edges.table.what} (column {c!r})")
                      for n, c in zip(names, edges.columns)),
                )
            }  # fmt: skip
            if source.feature_ids is not None:
                table = source.node_columns["feat"]
                assert isinstance(table, Table)
                for piece, _ in _id_pieces("feat", table, [source.feature_ids], options):
                    pieces.append(piece)
                    collector.add(piece.ids.pop())
            if source.label_ids is not None:
                table, column = source.label_ids
                for piece, frame in _id_pieces("label", table, [column], options):
                    pieces.append(piece)
                    collector.add(piece.ids.pop())
                    with rows_from(piece.first):
                        rest = frame.drop(columns=[column])
                        labels.append(frame_to_matrix(rest, piece.path, holes=True))
            ends = [edges.source, edges.target]
            for piece, frame in _id_pieces("edge", edges.table, ends, options):
                pieces.append(piece)
                src, dst = piece.ids
                piece.ids.clear()
                both = np.empty(2 * len(src), src.dtype)
                both[0::2], both[1::2] = src, dst
                collector.add(both)
                for name, column in zip(names, edges.columns):
                    with rows_from(piece.first):
                        values = as_column(
                            frame[column].to_numpy(), rows=len(frame),
                            what=f"{piece.path} (column {column!r})",
                        )  # fmt: skip
                    staged[name].write(values)
                on_rows(piece.first + len(src))
            numbered = collector.finish(options.memory // 4)
            found = numbers_of_pieces(folder, numbered.pieces)
            label_numbers = _share_out(pieces, found, staged, source)
            ids, num_bytes = write_ids(
                folder, made, options.ids, numbered.count, options.piece_bytes
            )
            files = [made / name for name in ids]
            said: dict[str, Any] = {
                "count": numbered.count,
                "bytes": num_bytes,
                "ids": {name: record.to_json() for name, record in ids.items()},
                "staged": {name: x.to_json() for name, x in staged.items()},
            }
            if labels:
                matrix = np.concatenate(labels)
                whole = np.full((numbered.count, matrix.shape[1]), -1, matrix.dtype)
                whole[label_numbers] = matrix
                np.save(journal.folder / "labels.npy", whole)
                files.append(journal.folder / "labels.npy")
            for file in folder.iterdir():
                file.unlink()
            return said, [*files, *(x.path for x in staged.values())]

    said = journal.step("ids", stage)
    drop_narrower(journal, {name: x["file"] for name, x in said["staged"].items()})
    rows = {name: staged_rows(journal.folder, x) for name, x in said["staged"].items()}
    labels_file = journal.folder / "labels.npy"
    return NumberedEdges(
        edges=EdgeRows(
            rows["table.src"], rows["table.dst"],
            {str(column): rows[name] for name, column in zip(names, edges.columns)},
        ),
        num_nodes=said["count"],
        labels=np.load(labels_file) if source.label_ids is not None else None,
        id_bytes=said["bytes"],
        files=said["ids"],
    )  # fmt: skip


@dataclass(frozen=True)
class _Piece:
    """Some rows of a table of ids."""

    role: str
    path: Path
    first: int
    ids: list[Array]


def _id_pieces(
    role: str, table: Table, columns: list[Any], options: Options
) -> Iterator[tuple[_Piece, Any]]:
    text = columns if options.ids == "text" else ()
    for path, first, frame in table.frames(frame_rows(table, options), text):
        ids = [_as_ids(frame[x], f"{path} (column {x!r})", options.ids, first) for x in columns]
        yield _Piece(role, path, first, ids), frame


def _as_ids(column: Any, what: str, kind: str, first: int) -> Array:
    missing = column.isna().to_numpy()
    if missing.any():
        row = first + int(missing.argmax())
        raise ValueError(f"{what}: expected an id, got none in row {row} (counted from 0)")
    if kind == "text":
        texts: Array = column.astype(object).to_numpy()
        return texts
    values: Array = column.to_numpy()
    if values.dtype.kind in "iu" and not (values.dtype == np.uint64 and (values >> 63).any()):
        return values.astype(np.int64)
    for row, value in enumerate(values.tolist()):
        try:
            whole = int(value)
            is_whole = -(2**63) <= whole < 2**63 and (isinstance(value, str) or whole == value)
        except (TypeError, ValueError, OverflowError):
            is_whole = False
        if not is_whole:
            raise ValueError(
                f"{what}: expected a whole number, got {value!r} in row {first + row} (counted"
                " from 0)"
            )
    return values.astype(np.int64)


def _share_out(
    pieces: list[_Piece], found: Iterator[Ids], staged: dict[str, StagedArray], source: Source
) -> Ids:
    """Write the numbers of the ends of edges; returns those of labels."""
    num_features = 0
    seen_labels: list[Ids] = []
    for piece, numbers in zip(pieces, found):
        if piece.role == "feat":
            # Each once: then they are numbered as they come.
            _refuse_repeated(numbers, np.arange(num_features, num_features + len(numbers)), piece)
            num_features += len(numbers)
            continue
        if source.feature_ids is not None and (numbers >= num_features).any():
            at = int((numbers >= num_features).argmax())
            row = piece.first + (at // 2 if piece.role == "edge" else at)
            table = source.node_columns["feat"].what
            raise ValueError(
                f"{piece.path}: expected the id of a node of {table}, got another in row {row}"
                " (counted from 0)"
            )
        if piece.role == "label":
            seen_labels.append(numbers)
        else:
            staged["table.src"].write(numbers[0::2])
            staged["table.dst"].write(numbers[1::2])
    labels = np.concatenate([np.empty(0, np.int64), *seen_labels])
    _, first = np.unique(labels, return_index=True)
    if len(first) != len(labels):
        again = np.ones(len(labels), bool)
        again[first] = False
        raise ValueError(
            f"{source.labels_name}: expected each id once, got one again in row"
            f" {int(again.argmax())} (counted from 0)"
        )
    return labels


def _refuse_repeated(numbers: Ids, wanted: Ids, piece: _Piece) -> None:
    again = numbers != wanted
    if again.any():
        raise ValueError(
            f"{piece.path}: expected each id once, got one again in row"
            f" {piece.first + int(again.argmax())} (counted from 0)"
        )


class _closing(ExitStack):
    """A staged array that is closed at the end."""

    def __init__(self, staged: StagedArray) -> None:
        super().__init__()
        self._staged = staged
        self.callback(staged.close)

    def __enter__(self) -> StagedArray:  # type: ignore[override]
        return self._staged
