"""The graph convolution of Kipf and Welling, and the normalisation of edge weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import hopflow.function as fn
import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import (
    aggregate,
    in_degree_scale,
    multiplies_first,
    out_degree_scale,
    sum_in_edges,
    sum_out_edges,
)
from hopflow.nn._checks import (
    ChecksInDegrees,
    assert_compiled,
    is_compiling,
    require_edge_rows,
    require_in_degrees,
    require_width,
)
from hopflow.nn._pairs import Features, as_pair

NORMS = ("none", "both", "right", "left")
WEIGHT_NORMS = ("none", "both", "right")


class EdgeWeightNorm(nn.Module):
    r"""Normalise scalar edge weights by the sums of weights at an edge's ends.

    .. math::
        \text{both: } \frac{w_{uv}}{\sqrt{\sum_{x} w_{ux}} \sqrt{\sum_{x} w_{xv}}}
        \qquad \text{right: } \frac{w_{uv}}{\sum_{x} w_{xv}}

    Give its result to :class:`GraphConv` with ``norm="none"``.

    Parameters
    ----------
    norm : {"both", "right", "none"}
        Symmetric, by the destination alone, or not at all.
    eps : float
        Added to the sums.

    Raises
    ------
    ValueError
        An unknown ``norm``.

    References
    ----------
    Kipf, Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.EdgeWeightNorm.html
    """

    def __init__(self, norm: str = "both", eps: float = 0.0) -> None:
        super().__init__()
        if norm not in WEIGHT_NORMS:
            raise ValueError(f"norm: expected one of {', '.join(WEIGHT_NORMS)}, got {norm!r}")
        self._norm = norm
        self._eps = eps

    def forward(self, graph: Graph, edge_weight: Tensor) -> Tensor:
        """Normalise the weights.

        Parameters
        ----------
        graph : Graph or Block
            Whose edges they are.
        edge_weight : Tensor
            Shape [E].

        Returns
        -------
        Tensor
            Shape [E], dtype of ``edge_weight``.

        Raises
        ------
        HopflowError
            A weight that is not positive under ``norm="both"`` (DGL's ``DGLError``).
        ValueError
            Weights of another shape.
        """
        if edge_weight.dim() != 1:
            raise ValueError(
                f"edge_weight: expected one number an edge, shape [{graph.num_edges()}], got"
                f" {list(edge_weight.shape)}; weights of more dimensions have no normalisation"
            )
        require_edge_rows("edge_weight", edge_weight, graph.num_edges())
        if self._norm == "none":
            return edge_weight
        if self._norm == "both" and is_compiling():
            assert_compiled((edge_weight > 0).all(), "edge_weight: expected positive weights")
        elif self._norm == "both" and bool((edge_weight <= 0).any()):
            raise ops.HopflowError(
                'edge_weight: expected positive weights for norm="both", which takes square roots'
                f" of their sums, got {edge_weight.min().item():g}"
            )
        # Sums in float32 or wider, and their roots too.
        weight = edge_weight.to(torch.promote_types(edge_weight.dtype, torch.float32))
        power = -0.5 if self._norm == "both" else -1.0

        def scale(sums: Tensor, degrees: Tensor) -> Tensor:
            # 1 where there is no edge: no weight reads it, and a power of 0 would make gradients
            # that are not numbers.
            return (sums + self._eps + (degrees == 0)).pow(power)

        adjacency = graph.adjacency
        with graph.local_scope():
            graph.dstdata["_in"] = scale(sum_in_edges(graph, weight), adjacency.in_degrees())
            if self._norm == "both":
                sums = sum_out_edges(graph, weight)
                by_source = scale(sums, adjacency.out_degrees())
            else:
                by_source = weight.new_ones(graph.num_src_nodes())
            # On a graph both sides are one frame: two names.
            graph.srcdata["_out"] = by_source
            graph.apply_edges(fn.u_mul_v("_out", "_in", "_scale"))
            return (graph.edge_frame["_scale"] * weight).to(edge_weight.dtype)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"norm={self._norm!r}, eps={self._eps}"


class GraphConv(ChecksInDegrees):
    r"""Graph convolution: the in-neighbours' features, normalised by degrees, times a weight.

    .. math::
        h_v' = \sigma\Big(b + \sum_{u \to v} \frac{e_{uv}}{c_{uv}} h_u W\Big)

    with :math:`c_{uv} = \sqrt{d_{out}(u) d_{in}(v)}` for ``norm="both"``, :math:`d_{in}(v)` for
    "right", :math:`d_{out}(u)` for "left" and 1 for "none"; degrees below 1 count as 1. Parameters
    have the names, shapes and initialisation of DGL's layer.

    Parameters
    ----------
    in_feats, out_feats : int
        Widths of input and output.
    norm : {"both", "none", "right", "left"}
        The divisor. On a block, degrees are those of its own edges.
    weight : bool
        Learn a weight, shape [in_feats, out_feats]; otherwise ``forward`` may be given one.
    bias : bool
        Learn a bias.
    activation : callable, optional
        Applied to the output.
    allow_zero_in_degree : bool
        Accept destinations without in-edges; their output is the activated bias.

    Raises
    ------
    ValueError
        An unknown ``norm``.

    References
    ----------
    Kipf, Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.GraphConv.html
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        norm: str = "both",
        weight: bool = True,
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] | None = None,
        allow_zero_in_degree: bool = False,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm: expected one of {', '.join(NORMS)}, got {norm!r}")
        self._in_feats = in_feats
        self._out_feats = out_feats
        self._norm = norm
        self._allow_zero_in_degree = allow_zero_in_degree
        self.weight = nn.Parameter(torch.empty(in_feats, out_feats)) if weight else None
        self.bias = nn.Parameter(torch.empty(out_feats)) if bias else None
        self.reset_parameters()
        self._activation = activation

    def reset_parameters(self) -> None:
        """Draw the weight anew from Glorot's uniform law; the bias becomes 0."""
        if self.weight is not None:
            nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self,
        graph: Graph,
        feat: Features,
        weight: Tensor | None = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, ..., in]; of a pair the destinations' rows are only counted.
        weight : Tensor, optional
            Used in place of the layer's own, which must not exist; shape [in, out].
        edge_weight : Tensor, optional
            A factor for each edge's message: shape [E], or one that broadcasts with the rows.

        Returns
        -------
        Tensor
            Shape [V, ..., out].

        Raises
        ------
        HopflowError
            A destination without in-edges, unless they are allowed.
        ValueError
            Operands whose shapes do not go together, or a weight beside the layer's own.
        """
        require_in_degrees(graph, self._allow_zero_in_degree)
        source, _ = as_pair(graph, feat)
        if edge_weight is not None:
            require_edge_rows("edge_weight", edge_weight, graph.num_edges())
        if weight is None:
            weight = self.weight
        elif self.weight is not None:
            raise ValueError(
                "weight: expected none, as the layer has its own; construct it with weight=False to"
                " give one"
            )
        if weight is not None:
            require_width("feat", source, weight.shape[0])

        # Scaling rows, summing them and the product commute: what is less work comes first.
        before = weight is not None and multiplies_first(graph, self._in_feats, self._out_feats)
        if weight is not None and before:
            source = source @ weight
        if self._norm in ("left", "both"):
            power = -1.0 if self._norm == "left" else -0.5
            source = source * out_degree_scale(graph, power, source)
        out = aggregate(graph, source, fn.mean if self._norm == "right" else fn.sum, edge_weight)
        if self._norm == "both":
            out = out * in_degree_scale(graph, -0.5, out)
        if weight is not None and not before:
            out = out @ weight
        if self.bias is not None:
            out = out + self.bias
        return out if self._activation is None else self._activation(out)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        summary = f"in={self._in_feats}, out={self._out_feats}, normalization={self._norm}"
        return summary if self._activation is None else f"{summary}, activation={self._activation}"
