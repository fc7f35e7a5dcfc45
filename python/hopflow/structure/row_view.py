"""Some rows of feature columns: read when asked for, written without touching the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from hopflow.structure.frame import Frame, take_rows
from hopflow.structure.stored_column import StoredColumn

Columns: TypeAlias = Mapping[str, Tensor]


class RowView(Mapping[str, Tensor]):
    """Some rows of a frame's columns, each gathered when it is first read.

    Parameters
    ----------
    columns : mapping
        The columns.
    ids : Tensor or None
        Which rows; None for all of them, as they are.
    made : mapping, optional
        Columns that stand in front of those, and have the rows already.
    """

    __slots__ = ("_columns", "_ids", "_made")

    def __init__(self, columns: Columns, ids: Tensor | None, made: Columns | None = None) -> None:
        self._columns, self._ids = columns, ids
        self._made: dict[str, Tensor] = dict(made or {})

    def __getitem__(self, key: str) -> Tensor:
        if key not in self._made:
            column = self._columns[key]
            self._made[key] = column if self._ids is None else take_rows(key, column, self._ids)
        return self._made[key]

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys(self._columns), **dict.fromkeys(self._made)})

    def __len__(self) -> int:
        return len({*self._columns, *self._made})

    def __contains__(self, key: object) -> bool:
        return key in self._made or key in self._columns

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self))})"


def write_rows(frame: Frame, ids: Tensor | None, columns: Columns) -> None:
    """Write rows of columns into a frame.

    Parameters
    ----------
    frame : Frame
        Where to.
    ids : Tensor or None
        The rows, int64; None for all of them. Of a row given twice the last value stays.
    columns : mapping
        One row for each of ``ids``. Other rows of a column keep their values; those of a new column
        are 0, or what the frame's initialiser gives.

    Raises
    ------
    ValueError
        Rows of another shape or dtype than the column has. Nothing has been written then.
    """
    if ids is None:
        for name, value in columns.items():
            frame[name] = value
        return
    for name, value in columns.items():
        if name not in frame:
            continue
        column = frame.column(name)
        old = column if isinstance(column, StoredColumn) else frame[name]
        if old.shape[1:] != value.shape[1:] or old.dtype != value.dtype:
            raise ValueError(
                f"column {name!r}: expected rows as it has, {scheme(old)}, got {scheme(value)}"
            )
    at, last = _distinct(ids)
    for name, value in columns.items():
        stored = frame.column(name) if name in frame else None
        if isinstance(stored, StoredColumn):
            stored.write(ids, value)
            continue
        every = slice(0, frame.num_rows)
        old = frame[name] if name in frame else frame.initial(name, value, every)
        frame[name] = old.index_copy(0, at, value if last is None else value[last])


def _distinct(ids: Tensor) -> tuple[Tensor, Tensor | None]:
    """The distinct ids, and where each is last; None for the latter if nothing is given twice."""
    distinct, inverse = torch.unique(ids, return_inverse=True)
    if distinct.shape == ids.shape:
        return ids, None
    order = torch.argsort(inverse, stable=True)
    ends = torch.bincount(inverse, minlength=distinct.shape[0]).cumsum(0) - 1
    return distinct, order[ends]


def scheme(value: Tensor | StoredColumn) -> str:
    """Dtype and shape of a row, for messages."""
    return f"{str(value.dtype).replace('torch.', '')} {list(value.shape[1:])}"
