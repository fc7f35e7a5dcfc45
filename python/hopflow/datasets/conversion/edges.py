"""Edges as a source has them, and which of them a graph gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hopflow.datasets.checks import as_column, as_ids
from hopflow.datasets.conversion.rows import Rows, rows_from
from hopflow.datasets.dataset import Array
from hopflow.storage.manifests import ids_dtype


@dataclass(frozen=True, eq=False)
class EdgeRows:
    """Edges and their columns in the source's order.

    Attributes
    ----------
    src, dst : Rows
        Both ends, [E].
    columns : mapping
        Rows of further columns, [E, ...].
    """

    src: Rows
    dst: Rows
    columns: Mapping[str, Rows] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of edges."""
        return self.src.shape[0]


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some edges that follow one another.

    Attributes
    ----------
    src, dst : array
        int32 or int64, ids of nodes.
    columns : list of array
        Their rows.
    """

    src: Array
    dst: Array
    columns: list[Array]

    def __len__(self) -> int:
        return len(self.src)

    def at(self, which: Array) -> Chunk:
        """Some of them."""
        return Chunk(self.src[which], self.dst[which], [x[which] for x in self.columns])


def read_chunks(
    edges: EdgeRows, names: list[str], num_nodes: int, step: int, first: int = 0
) -> Iterator[Chunk]:
    """Edges in chunks, their ids checked.

    Parameters
    ----------
    edges : EdgeRows
        The edges.
    names : list of str
        The columns to read along.
    num_nodes : int
        Number of nodes.
    step : int
        Edges of a chunk.
    first : int
        Where to begin.

    Raises
    ------
    ValueError
        An id that is none of a node, naming the file and the row.
    """
    dtype = np.dtype(ids_dtype(num_nodes))
    ends = edges.src.pieces(step, first), edges.dst.pieces(step, first)
    columns = [edges.columns[name].pieces(step, first) for name in names]
    for src, dst, *values in zip(*ends, *columns):
        yield Chunk(
            checked_ids(src, f"{edges.src.what} (source)", num_nodes, first).astype(
                dtype, copy=False
            ),
            checked_ids(dst, f"{edges.dst.what} (destination)", num_nodes, first).astype(
                dtype, copy=False
            ),
            [_checked_column(x, edges.columns[name]) for x, name in zip(values, names)],
        )
        first += len(src)


def checked_ids(array: Array, what: str, limit: int | None, first: int) -> Array:
    """Ids of some rows; they stay as they are if they are integers in range.

    Raises
    ------
    ValueError
        As :func:`.checks.as_ids`, with the row counted from the beginning of the file.
    """
    is_plain = array.dtype.kind in "iu" and array.ndim == 1 and array.size > 0
    if is_plain and array.min() >= 0 and (limit is None or array.max() < limit):
        return array
    if array.dtype.kind in "OUST":
        for row, value in enumerate(array.reshape(-1)):
            if not _is_whole(value):
                raise ValueError(
                    f"{what}: expected whole-number ids, got {value!r} in row {first + row}"
                    " (counted from 0)"
                )
        array = array.astype(np.int64)
    with rows_from(first):
        return as_ids(array, what=what, limit=limit)


def _is_whole(value: Any) -> bool:
    try:
        return int(value) == float(value)
    except (TypeError, ValueError, OverflowError):
        return False


def column_dtype(rows: Rows) -> np.dtype[Any]:
    """The dtype that a column of this gets: as :func:`.checks.as_column` has it."""
    return as_column(np.empty((0,), rows.dtype), rows=0, what=rows.what).dtype


def _checked_column(piece: Array, rows: Rows) -> Array:
    return as_column(piece, rows=len(piece), what=rows.what)


def largest_id(edges: EdgeRows, step: int) -> int:
    """The largest id of either end.

    Raises
    ------
    ValueError
        An id that is none, naming the file and the row.
    """
    most = -1
    for rows, end in ((edges.src, "source"), (edges.dst, "destination")):
        first = 0
        for piece in rows.pieces(step):
            ids = checked_ids(piece, f"{rows.what} ({end})", None, first)
            most = max(most, int(ids.max()))
            first += len(piece)
    return most
