"""A column that is computed when it is first read."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import hopflow.ops as ops


class LazyColumn:
    """A column that is computed on first read and then kept."""

    __slots__ = ("_compute", "_value")

    def __init__(self, compute: Callable[[], Tensor]) -> None:
        self._compute: Callable[[], Tensor] | None = compute
        self._value: Tensor | None = None

    def read(self) -> Tensor:
        """The column, computed now if it has not been yet."""
        if self._value is None:
            compute = self._compute
            # Two threads may both compute; the results are equal and one of them is kept.
            if compute is not None:
                # The value outlives this read: it must serve a backward pass even if first read
                # while no gradients are recorded.
                if (
                    not ops.is_compiling()
                    and torch.is_grad_enabled()
                    and not torch.is_inference_mode_enabled()
                ):
                    value = compute()
                else:
                    with torch.inference_mode(False), torch.enable_grad():
                        value = compute()
                if ops.is_a_transforms(value):
                    return value
                # What was at hand may come from inference mode.
                self._value = ops.outlasting(value)
                self._compute = None  # lets go of the parent's column
        assert self._value is not None
        return self._value

    def __reduce__(self) -> tuple[Callable[[Tensor], LazyColumn], tuple[Tensor]]:
        # A pickle or a copy to another process holds the value, not the parent's column.
        return LazyColumn.of, (self.read(),)

    @classmethod
    def of(cls, value: Tensor) -> LazyColumn:
        """A column that is at hand."""
        column = cls(lambda: value)
        column.read()
        return column

    @property
    def is_read(self) -> bool:
        """Whether the column has been computed."""
        return self._value is not None
