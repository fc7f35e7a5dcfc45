"""What the attention layers share: projections, the residual, and the weighted sum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from hopflow.function import sum as fn_sum
from hopflow.function import u_mul_e
from hopflow.graphs.graph import Graph
from hopflow.ops import as_int

GAIN = nn.init.calculate_gain("relu")


def as_sizes(in_feats: int | tuple[int, int]) -> tuple[int, int]:
    """Widths of the sources' and the destinations' features."""
    if not isinstance(in_feats, tuple):
        width = as_int("in_feats", in_feats)
        return width, width
    if len(in_feats) != 2:
        raise ValueError(f"in_feats: expected an int or a pair of them, got {in_feats}")
    return as_int("in_feats[0]", in_feats[0]), as_int("in_feats[1]", in_feats[1])


def heads(x: Tensor, num_heads: int, out_feats: int) -> Tensor:
    """Rows [N, ..., H * D] as [N, ..., H, D]."""
    return x.view(*x.shape[:-1], num_heads, out_feats)


def weighted_sum(graph: Graph, source: Tensor, attention: Tensor) -> Tensor:
    """Sum of the in-neighbours' rows [U, ..., H, D], weighted by attention [E, ..., H, 1]."""
    with graph.local_scope():
        # Under autocast a projection is narrower than the parameters that scores are made with.
        graph.srcdata["ft"], graph.edata["a"] = source, attention.to(source.dtype)
        graph.update_all(u_mul_e("ft", "a", "m"), fn_sum("m", "out"))
        return graph.dstdata["out"]


def residual_layer(
    in_feats: int, out_feats: int, num_heads: int, *, wanted: bool, bias: bool
) -> nn.Module | None:
    """What carries a destination's own features past the attention; None if nothing does."""
    if not wanted:
        return None
    if in_feats == out_feats * num_heads:
        return nn.Identity()
    return nn.Linear(in_feats, num_heads * out_feats, bias=bias)


def reset_linear(layer: Any) -> None:
    """DGL's initialisation of a projection: Glorot's normal weights, bias 0."""
    nn.init.xavier_normal_(layer.weight, gain=GAIN)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


Activation = Callable[[Tensor], Tensor]
