"""Rows of a column that nobody has gathered yet: the column, and which rows of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class TableRows:
    """Rows of a column in memory, for operators that read them where they are.

    What a layer that only aggregates its input needs: it adds up rows of the column itself, and a
    gathered copy, whose rows it would read about once each, is never written.

    Parameters
    ----------
    table : Tensor
        The column, shape [N, ...], on the CPU, without a gradient.
    ids : Tensor
        Which rows, shape [U].
    gather : callable
        Copies them.
    own : callable
        Copies those of the destination nodes alone, which are the first ones.
    """

    __slots__ = ("_gather", "_own", "ids", "table")

    def __init__(
        self,
        table: Tensor,
        ids: Tensor,
        gather: Callable[[], Tensor],
        own: Callable[[], Tensor],
    ) -> None:
        self.table, self.ids = table, ids
        self._gather, self._own = gather, own

    @property
    def shape(self) -> torch.Size:
        """Of the rows, [U, ...]."""
        return torch.Size([self.ids.shape[0], *self.table.shape[1:]])

    @property
    def dtype(self) -> torch.dtype:
        """Of the rows."""
        return self.table.dtype

    def tensor(self) -> Tensor:
        """The rows, gathered now."""
        return self._gather()

    def own(self) -> Tensor:
        """The rows of the destination nodes, gathered now."""
        return self._own()

    def __reduce__(self) -> tuple[Callable[[Tensor], Tensor], tuple[Tensor]]:
        # Another process has no parent graph: it gets the rows.
        return _rows, (self.tensor(),)

    def __repr__(self) -> str:
        return f"TableRows(shape={list(self.shape)}, dtype={self.dtype})"


def _rows(rows: Tensor) -> Tensor:
    return rows
