"""What the layers of several aggregators and degree scalers, PNA and DGN, do with messages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

import hopflow.functional as over
from hopflow.graphs.graph import Graph
from hopflow.nn._checks import is_plain

_TINY = 1e-30  # DGL's: under roots that may be of 0


class Direction(NamedTuple):
    """How an eigenvector of the Laplacian falls along the edges.

    Attributes
    ----------
    slope : Tensor
        The source's value less the destination's, over the sum of the absolute values of these at
        the destination; 0 where that is 0. Shape [E, 1].
    total, size : Tensor
        The sum of a destination's slopes, and of their absolute values, shape [V, 1].
    """

    slope: Tensor
    total: Tensor
    size: Tensor


def direction(graph: Graph, source: Tensor, own: Tensor) -> Direction:
    """Of one eigenvector, values of the sources [U, 1] and of the destinations [V, 1]."""
    # Wide, and divided before anything is weighted with it: 16-bit types round small sizes to 0.
    wide = torch.promote_types(source.dtype, torch.float32)
    slope = over.u_sub_v(graph, source.to(wide), own.to(wide))
    size = over.copy_e_sum(graph, slope.abs())
    slope = over.e_div_v(graph, slope, size.where(size > 0, size.new_ones(())))
    return Direction(slope, over.copy_e_sum(graph, slope), over.copy_e_sum(graph, slope.abs()))


class Messages:
    """The messages of a linear map of both ends of an edge, and perhaps its features.

    As long as the map is a plain ``nn.Linear`` it is applied to nodes and edge features apart, and
    no message is written where there are no edge features: what the destination adds is the same
    for all of its messages, and every aggregator can do with it afterwards.

    Parameters
    ----------
    graph : Graph or Block
        Where messages flow.
    layer : nn.Module
        Makes [E, D] of the rows of source, destination and edge, one beside the other.
    source, own : Tensor
        Rows of the sources [U, I] and the destinations [V, I].
    edge_feat : Tensor or None
        Rows of the edges.
    """

    def __init__(
        self,
        graph: Graph,
        layer: nn.Linear,
        source: Tensor,
        own: Tensor,
        edge_feat: Tensor | None,
    ) -> None:
        self.graph, self.own = graph, own
        degrees = graph.adjacency.in_degrees().unsqueeze(1)
        self.is_reached = degrees > 0
        self._is_several = degrees > 1
        # No 16-bit type can count a hub's edges.
        self.degrees = degrees.to(torch.promote_types(source.dtype, torch.float32))
        self._shift: Tensor | None = None
        self._is_edges = True
        if not is_plain(layer, nn.Linear):
            self._rows: Tensor = layer(self._joined(source, edge_feat))
            return
        width, weight = source.shape[1], layer.weight
        self._rows = functional.linear(source, weight[:, :width])
        self._shift = functional.linear(own, weight[:, width : 2 * width], layer.bias)
        self._is_edges = edge_feat is not None
        if edge_feat is not None:
            edges = functional.linear(edge_feat, weight[:, 2 * width :])
            self._rows = over.u_add_e(graph, self._rows, edges)

    def _joined(self, source: Tensor, edge_feat: Tensor | None) -> Tensor:
        parts = [over.copy_u(self.graph, source), over.copy_v(self.graph, self.own)]
        return torch.cat(parts if edge_feat is None else [*parts, edge_feat], 1)

    def _reduce(self, rows: Tensor, reducer: str, weight: Tensor | None = None) -> Tensor:
        """Reduce ``rows``, made of the messages', at the destinations."""
        if self._is_edges:
            rows = rows if weight is None else rows * weight.to(rows.dtype)
            return over.gspmm(self.graph, "copy_rhs", reducer, None, rows)
        if weight is None:
            return over.gspmm(self.graph, "copy_lhs", reducer, rows, None)
        return over.gspmm(self.graph, "mul", reducer, rows, weight.to(rows.dtype))

    def _shifted(self, out: Tensor, times: Tensor | None = None) -> Tensor:
        """Add what the destination adds to each message, ``times`` times."""
        if self._shift is None:
            return out
        shift = self._shift if times is None else self._shift * times.to(self._shift.dtype)
        total: Tensor = out + shift
        return total

    def _wide(self) -> Tensor:
        return self._rows.to(self.degrees.dtype)

    def mean(self) -> Tensor:
        """The mean."""
        return self._shifted(self._reduce(self._rows, "mean"))

    def sum(self) -> Tensor:
        """The sum."""
        return self._shifted(self._reduce(self._rows, "sum"), self.degrees)

    def max(self) -> Tensor:
        """The largest."""
        return self._shifted(self._reduce(self._rows, "max"))

    def min(self) -> Tensor:
        """The smallest."""
        return self._shifted(self._reduce(self._rows, "min"))

    def var(self) -> Tensor:
        """The variance, exactly 0 of one message."""
        rows = self._wide()
        mean = self._reduce(rows, "mean")
        var = functional.relu(self._reduce(rows * rows, "mean") - mean * mean)
        return var.where(self._is_several, var.new_zeros(()))

    def std(self) -> Tensor:
        """The standard deviation."""
        return (self.var() + _TINY).sqrt()

    def moment(self, n: int) -> Tensor:
        """The n-th root of the n-th central moment, with its sign."""
        rows = self._wide()
        mean, less = self._reduce(rows, "mean"), over.e_sub_v if self._is_edges else over.u_sub_v
        found = over.copy_e_mean(self.graph, less(self.graph, rows, mean).pow(n))
        return found.sign() * (found.abs() + _TINY).pow(1.0 / n)

    def along(self, way: Direction) -> Tensor:
        """The mean weighted by how much the direction falls or rises along each edge."""
        return self._shifted(self._reduce(self._rows, "sum", way.slope.abs()), way.size)

    def slope(self, way: Direction) -> Tensor:
        """The absolute value of the derivative of the messages in the direction."""
        total = self._shifted(self._reduce(self._rows, "sum", way.slope), way.total)
        return (total - way.total.to(total.dtype) * self.own).abs()

    def scaled(self, aggregates: list[Tensor], scalers: list[str], delta: float) -> Tensor:
        """Aggregates one beside the other, once for each scaler; 0 without messages."""
        dtype = self._rows.dtype
        joined = torch.cat([x.to(dtype) for x in aggregates], 1)
        joined = joined.where(self.is_reached, joined.new_zeros(()))
        logs = torch.log(self.degrees.clamp(min=1) + 1)
        return torch.cat([joined * SCALERS[s](logs, delta).to(dtype) for s in scalers], 1)


SCALERS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda logs, delta: torch.ones_like(logs),
    "amplification": lambda logs, delta: logs / delta,
    "attenuation": lambda logs, delta: delta / logs,
}
"""By the logarithm of the in-degree plus 1, and its mean over the training set."""

AGGREGATORS: dict[str, Callable[[Messages], Tensor]] = {
    "mean": Messages.mean,
    "sum": Messages.sum,
    "max": Messages.max,
    "min": Messages.min,
    "std": Messages.std,
    "var": Messages.var,
    "moment3": partial(Messages.moment, n=3),
    "moment4": partial(Messages.moment, n=4),
    "moment5": partial(Messages.moment, n=5),
}
DIRECTIONS: dict[str, tuple[int, Callable[[Messages, Direction], Tensor]]] = {
    **{f"dir{k}-av": (k - 1, Messages.along) for k in (1, 2, 3)},
    **{f"dir{k}-dx": (k - 1, Messages.slope) for k in (1, 2, 3)},
}
"""Column of the eigenvectors, and what is taken along it."""
