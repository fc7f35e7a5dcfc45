"""Graph attention networks, in both forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from hopflow.graphs.graph import Graph
from hopflow.nn import GATConv, GATv2Conv
from hopflow.train.models.layered import LayeredModel, widths_of


class _Heads(nn.Module):
    """An attention layer whose heads are put side by side, or averaged."""

    def __init__(self, conv: nn.Module, *, is_averaged: bool) -> None:
        super().__init__()
        self.conv, self.is_averaged = conv, is_averaged

    def forward(self, graph: Graph, x: Tensor) -> Tensor:
        rows: Tensor = self.conv(graph, x)
        return rows.mean(1) if self.is_averaged else rows.flatten(1)


class GAT(LayeredModel):
    """Layers of :class:`hopflow.nn.GATConv` over a node's neighbours and itself, ELU and dropout.

    The heads of a hidden layer share its width; those of the last layer are averaged.

    Parameters
    ----------
    in_feats, hidden, num_classes, num_layers, dropout, output
        As in :class:`GraphSAGE`; ``hidden`` is a multiple of ``heads``.
    heads : int
        Attention heads.

    References
    ----------
    Veličković et al., "Graph attention networks", ICLR 2018.
    """

    needs_self_edges = True
    conv: ClassVar[Callable[..., nn.Module]] = GATConv

    def __init__(
        self,
        in_feats: int,
        hidden: int,
        num_classes: int,
        *,
        num_layers: int,
        dropout: float,
        heads: int = 4,
        output: nn.Module | None = None,
    ) -> None:
        widths = widths_of(in_feats, hidden, num_classes, num_layers)
        layers = []
        for i in range(num_layers):
            is_last = i + 1 == num_layers
            each = widths[i + 1] if is_last else hidden // heads
            conv = type(self).conv(widths[i], each, heads)
            layers.append(_Heads(conv, is_averaged=is_last))
        super().__init__(
            widths, layers, dropout=dropout, activation=functional.elu, output=output
        )  # fmt: skip


class GATv2(GAT):
    """:class:`GAT` of layers of :class:`hopflow.nn.GATv2Conv`.

    References
    ----------
    Brody, Alon, Yahav, "How attentive are graph attention networks?", ICLR 2022.
    """

    conv = GATv2Conv
