"""GraphSAGE."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from hopflow.nn import SAGEConv
from hopflow.train.models.layered import LayeredModel, widths_of


class GraphSAGE(LayeredModel):
    """Layers of :class:`hopflow.nn.SAGEConv`, ReLU and dropout.

    A node without in-edges has the layer's own term alone.

    Parameters
    ----------
    in_feats, hidden, num_classes : int
        Widths of the input, of each hidden layer and of the output.
    num_layers : int
        Number of layers, at least 1.
    dropout : float
        Rate of dropout on the input of every layer after the first.
    aggregator : {"mean", "gcn", "pool", "lstm"}
        How neighbours are combined.
    output : nn.Module, optional
        Applied to what the last layer gives.
    """

    reads_in_place = True

    def __init__(
        self,
        in_feats: int,
        hidden: int,
        num_classes: int,
        *,
        num_layers: int,
        dropout: float,
        aggregator: str = "mean",
        output: nn.Module | None = None,
    ) -> None:
        widths = widths_of(in_feats, hidden, num_classes, num_layers)
        layers = (SAGEConv(a, b, aggregator) for a, b in pairwise(widths))
        super().__init__(widths, layers, dropout=dropout, output=output)
