"""Graphs with their floating-point columns in another type."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hopflow.structure.graph_base import GraphBase, GraphT
from hopflow.structure.lazy_column import LazyColumn
from hopflow.structure.stored_column import StoredColumn


def _cast(name: str, dtype: torch.dtype) -> Callable[[GraphT], GraphT]:
    def function(g: GraphT) -> GraphT:
        if not isinstance(g, GraphBase):
            raise TypeError(f"g: expected a hopflow.Graph, got {type(g).__name__}")

        def to(x: Tensor) -> Tensor:
            return x.to(dtype) if x.is_floating_point() else x

        def stored(column: StoredColumn) -> LazyColumn:
            return column.cast(dtype)

        return g.with_frames(None, lambda frame: frame.map(to, g.device, stored))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"The graph with its floating-point columns as {str(dtype).replace('torch.', '')}.\n\n"
        "An encoded column stays as it is kept, and is decoded to that type; to float64, which none"
        " is decoded to, all of it when it is first read."
    )
    return function


to_bfloat16 = _cast("to_bfloat16", torch.bfloat16)
to_half = _cast("to_half", torch.float16)
to_float = _cast("to_float", torch.float32)
to_double = _cast("to_double", torch.float64)
