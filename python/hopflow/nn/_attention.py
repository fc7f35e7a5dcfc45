"""What the attention layers share: projections, the residual, and the weighted sum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

import hopflow.ops as ops
from hopflow.function import sum as fn_sum
from hopflow.function import u_dot_v, u_mul_e
from hopflow.graphs.graph import Graph
from hopflow.nn._checks import (
    ChecksInDegrees,
    autocast_state,
    is_compiling,
    is_plain,
    require_in_degrees,
    require_inputs,
)
from hopflow.nn._pairs import Features, as_pair

GAIN = nn.init.calculate_gain("relu")

Activation: TypeAlias = Callable[[Tensor], Tensor]


def as_sizes(in_feats: int | tuple[int, int]) -> tuple[int, int]:
    """Widths of the sources' and the destinations' features."""
    if not isinstance(in_feats, tuple):
        width = ops.as_int("in_feats", in_feats)
        return width, width
    if len(in_feats) != 2:
        raise ValueError(f"in_feats: expected an int or a pair of them, got {in_feats}")
    return ops.as_int("in_feats[0]", in_feats[0]), ops.as_int("in_feats[1]", in_feats[1])


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Rows [N, ..., H * D] as [N, ..., H, D]."""
    return x.view(*x.shape[:-1], num_heads, x.shape[-1] // num_heads)


def dot_products(graph: Graph, source: Tensor, own: Tensor) -> Tensor:
    """Products of every edge's ends, rows [U, ..., D] and [V, ..., D], shape [E, ..., 1]."""
    with graph.local_scope():
        # On a graph both sides are one frame: two names.
        graph.srcdata["_u"], graph.dstdata["_v"] = source, own
        graph.apply_edges(u_dot_v("_u", "_v", "_dot"))
        return graph.edge_frame["_dot"]


def weighted_sum(graph: Graph, source: Tensor, attention: Tensor) -> Tensor:
    """Sum of the in-neighbours' rows [U, ..., H, D], weighted by attention [E, ..., H, 1]."""
    with graph.local_scope():
        # Under autocast a projection is narrower than the parameters that scores are made with.
        graph.srcdata["ft"], graph.edata["a"] = source, attention.to(source.dtype)
        graph.update_all(u_mul_e("ft", "a", "m"), fn_sum("m", "out"))
        return graph.node_frame(side="dst")["out"]


def weighted_edge_sum(graph: Graph, rows: Tensor, attention: Tensor) -> Tensor:
    """Sum of the in-edges' own rows, weighted; nothing of the size of rows times heads is written.

    Parameters
    ----------
    graph : Graph or Block
        Where the edges are.
    rows : Tensor
        In the order of edge ids, shape [E, ..., H or 1, D].
    attention : Tensor
        Shape [E, ..., H, 1].

    Returns
    -------
    Tensor
        Shape [V, ..., H, D], dtype of ``rows``.
    """
    full = graph.adjacency.full()
    # Each edge is the one source of itself.
    places = full.eids
    if places is None:
        dtype, device = full.indices.dtype, full.indices.device
        places = ops.mark_ids(
            torch.arange(full.num_edges, dtype=dtype, device=device), full.num_edges
        )
    return ops.spmm_binary(
        full.indptr, places, "mul", rows, attention.to(rows.dtype), eids=full.eids
    )


# What it costs, in multiplications of a dense product, to read a number of a row for an edge, and
# to use it for a head; the latter with all passes that a gradient of the rows asks for. Measured
# over blocks of 2,000 to 27,500 destinations: the order chosen was the faster one but where they
# were within 8 % of each other.
_READ, _USE, _USE_WITH_GRADIENT = 8, 12, 16
# Of a compiled layer, whose sizes differ from batch to batch: a sampled block's, for a destination.
_SOURCES, _EDGES = 3, 10


def sums_inputs(graph: Graph, source: Tensor, num_heads: int, out_feats: int) -> bool:
    """Whether attention is best given to the sources' rows as they came.

    The weighted sum is linear, so that the projection may follow it: then there is a product for
    each destination and not for each source, of which a sampled block has several times as many,
    and edges carry rows of the input's width, each used for all heads.
    """
    if source.dim() != 2:
        return False
    in_feats, width = source.shape[1], num_heads * out_feats
    num_src, num_dst, num_edges = _SOURCES, 1, _EDGES
    if not is_compiling():
        num_src, num_dst, num_edges = (
            graph.num_src_nodes(), graph.num_dst_nodes(), graph.num_edges()
        )  # fmt: skip
    has_gradient = source.requires_grad and torch.is_grad_enabled()
    use = _USE_WITH_GRADIENT if has_gradient else _USE
    product = in_feats * width
    before = num_src * product + num_edges * width * (_READ + use)
    after = num_dst * product + num_edges * in_feats * (_READ + use * num_heads)
    return after < before


def folds(layer: nn.Module, x: Tensor) -> bool:
    """Whether a projection of ``x`` is no more than a product, which others may be folded into.

    Not of 16-bit types, nor under autocast: the folded vector would be rounded once more.
    """
    return (
        is_plain(layer, nn.Linear)
        and getattr(layer, "bias", None) is None
        and x.dtype in (torch.float32, torch.float64)
        and not autocast_state(x.device.type)[0]
    )


def folded(layer: nn.Module, attn: Tensor) -> Tensor:
    """The projection's weight times ``attn`` [1, H, D], shape [H, in].

    Products of rows with it are each head's products of ``attn`` with the projected rows, without
    anything of the size of these, forward or backward.
    """
    weight: Any = layer.weight
    out: Tensor = (weight.view(*attn.shape[1:], weight.shape[1]) * attn[0].unsqueeze(-1)).sum(1)
    return out


class ProjectedConv(ChecksInDegrees):
    """A layer of heads that projects its sources and destinations, with one map or with two."""

    _num_heads: int
    _out_feats: int

    def _add_projections(
        self, in_feats: int | tuple[int, int], out_feats: int, num_heads: int
    ) -> tuple[int, int]:
        """Add ``fc``, or ``fc_src`` and ``fc_dst`` for a pair of widths; return both widths."""
        src_feats, dst_feats = as_sizes(in_feats)
        self._num_heads, self._out_feats = num_heads, out_feats
        width = out_feats * num_heads
        if isinstance(in_feats, tuple):
            self.fc_src = nn.Linear(src_feats, width, bias=False)
            self.fc_dst = nn.Linear(dst_feats, width, bias=False)
        else:
            self.fc = nn.Linear(src_feats, width, bias=False)
        return src_feats, dst_feats

    def _projections(self) -> tuple[nn.Module, nn.Module]:
        """The maps of the sources and of the destinations."""
        if hasattr(self, "fc"):
            return self.fc, self.fc
        return self.fc_src, self.fc_dst

    def _rows(self, graph: Graph, feat: Features) -> tuple[Tensor, Tensor]:
        """Rows of the sources and the destinations, checked."""
        require_in_degrees(graph, self._allow_zero_in_degree)
        source, own = as_pair(graph, feat)
        require_inputs(source, own, *self._projections())
        return source, own


class AttentionConv(ProjectedConv):
    """What the attention layers do alike, before and after each computes its scores."""

    def _add_rest(
        self,
        dst_feats: int,
        *,
        feat_drop: float,
        attn_drop: float,
        negative_slope: float,
        residual: bool,
        activation: Activation | None,
        bias: bool,
    ) -> None:
        """Add what comes after a layer's projections."""
        self.feat_drop, self.attn_drop = nn.Dropout(feat_drop), nn.Dropout(attn_drop)
        self.leaky_relu = nn.LeakyReLU(negative_slope)
        self.res_fc = residual_layer(
            dst_feats, self._out_feats, self._num_heads, wanted=residual, bias=bias
        )
        self.activation = activation

    def _sides(self, graph: Graph, feat: Features) -> tuple[Tensor, Tensor, bool]:
        """Rows of the sources and the destinations, and whether these are the first of those."""
        source, own = self._rows(graph, feat)
        is_one = not isinstance(feat, tuple)
        source = self.feat_drop(source)
        return source, source[: graph.num_dst_nodes()] if is_one else self.feat_drop(own), is_one

    def _heads(self, x: Tensor) -> Tensor:
        """Rows [N, ..., H * D] as [N, ..., H, D]."""
        return split_heads(x, self._num_heads)

    def _attend(self, graph: Graph, source: Tensor, own: Tensor, attention: Tensor) -> Tensor:
        """The attention's sum of the sources' rows [U, ..., H, D], and the residual."""
        return self._with_residual(weighted_sum(graph, source, attention), own)

    def _attend_inputs(
        self, graph: Graph, layer: nn.Module, source: Tensor, own: Tensor, attention: Tensor
    ) -> Tensor:
        """:meth:`_attend` to rows [U, in], whose sums ``layer`` projects."""
        sums = weighted_sum(graph, source.unsqueeze(1), attention)
        weight: Any = layer.weight
        matrices = weight.view(self._num_heads, self._out_feats, weight.shape[1]).mT
        return self._with_residual(ops.head_mm(sums, matrices), own)

    def _with_residual(self, out: Tensor, own: Tensor) -> Tensor:
        return out if self.res_fc is None else out + self._heads(self.res_fc(own))

    def _result(
        self, out: Tensor, attention: Tensor, get_attention: bool
    ) -> Tensor | tuple[Tensor, Tensor]:
        out = out if self.activation is None else self.activation(out)
        return (out, attention) if get_attention else out


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
