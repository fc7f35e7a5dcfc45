"""A column that is not a tensor in memory: on disk, or kept in fewer bits than it is read in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.lazy_column import LazyColumn


class StoredColumn(LazyColumn):
    """A column whose rows are gathered from where they are kept.

    ``block.srcdata[name]`` of a graph that has it reads the rows that the block needs;
    ``graph.ndata[name]`` is the whole column.

    Attributes
    ----------
    shape : torch.Size
        Of the whole column, [N, ...].
    dtype : torch.dtype
        Of the rows that come out.
    """

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: torch.Size, dtype: torch.dtype) -> None:
        # No method for the base to compute with: that would be a circle, and a cache of gigabytes
        # would wait for the garbage collector.
        self._compute, self._value = None, None
        self.shape, self.dtype = shape, dtype

    @abstractmethod
    def read(self) -> Tensor:
        """The whole column."""

    @abstractmethod
    def gather(self, ids: Tensor) -> Tensor:
        """Rows of the column where the ids are; these are of shape [M], int32 or int64."""

    @abstractmethod
    def write(self, ids: Tensor, rows: Tensor) -> None:
        """Put rows in place of those of ``ids``, of equal ids the last.

        Raises
        ------
        ValueError
            The column is not writable.
        """

    @property
    @abstractmethod
    def source(self) -> ops.RowSource:
        """What threads of the loader gather rows from."""

    @property
    @abstractmethod
    def version(self) -> object:
        """Another after every change of the column."""

    @property
    def device(self) -> torch.device:
        """Where a graph must be that has this column."""
        return torch.device("cpu")

    def map(self, f: Callable[[Tensor], Tensor]) -> LazyColumn:
        """The column with ``f`` applied (a move to a device); all of it, when it is first read."""
        return LazyColumn(lambda: f(self.read()))

    def cast(self, dtype: torch.dtype) -> LazyColumn:
        """The column in another floating-point type; one that is of none stays."""
        return self.map(lambda x: x.to(dtype)) if self.dtype.is_floating_point else self

    def tensors(self) -> list[Tensor]:
        """What the column has in memory to gather from, and would be page-locked or moved."""
        return []

    @property
    def is_read(self) -> bool:
        """True: asking for rows computes nothing that could be put off."""
        return True
