"""Graph isomorphism networks."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from hopflow.nn import GINConv
from hopflow.train.models.layered import LayeredModel, widths_of


class GIN(LayeredModel):
    """Layers of :class:`hopflow.nn.GINConv` with a perceptron of two layers each, ReLU, dropout.

    A node without in-edges has its own term alone. With "sum", the paper's aggregator, what a node
    gets grows with the neighbours that are sampled, and full inference adds up all of them; with
    "mean" it does not depend on their number.

    Parameters
    ----------
    in_feats, hidden, num_classes, num_layers, dropout, output
        As in :class:`GraphSAGE`.
    aggregator : {"sum", "mean", "max"}
        How neighbours are combined.

    References
    ----------
    Xu, Hu, Leskovec, Jegelka, "How powerful are graph neural networks?", ICLR 2019.
    """

    def __init__(
        self,
        in_feats: int,
        hidden: int,
        num_classes: int,
        *,
        num_layers: int,
        dropout: float,
        aggregator: str = "sum",
        output: nn.Module | None = None,
    ) -> None:
        widths = widths_of(in_feats, hidden, num_classes, num_layers)
        layers = (
            GINConv(
                nn.Sequential(nn.Linear(a, hidden), nn.ReLU(), nn.Linear(hidden, b)),
                aggregator,
                learn_eps=True,
            )
            for a, b in pairwise(widths)
        )
        super().__init__(widths, layers, dropout=dropout, output=output)
