"""Graph convolutional networks."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from hopflow.nn import GraphConv
from hopflow.train.models.layered import LayeredModel, widths_of


class GCN(LayeredModel):
    r"""Layers of :class:`hopflow.nn.GraphConv` over a node's neighbours and itself, ReLU, dropout.

    .. math::
        h_v' = b + W \frac{1}{d_v + 1} (h_v + \sum_{u \to v} h_u)

    The norm is that of the destination's degree alone ("right"): a batch knows it of what was
    sampled. The symmetric norm of the paper needs the degrees of sources in the whole graph, and on
    a block would depend on which other nodes are in the batch.

    Parameters
    ----------
    in_feats, hidden, num_classes, num_layers, dropout, output
        As in :class:`GraphSAGE`.

    References
    ----------
    Kipf, Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017.
    """

    needs_self_edges = True

    def __init__(
        self,
        in_feats: int,
        hidden: int,
        num_classes: int,
        *,
        num_layers: int,
        dropout: float,
        output: nn.Module | None = None,
    ) -> None:
        widths = widths_of(in_feats, hidden, num_classes, num_layers)
        layers = (GraphConv(a, b, "right") for a, b in pairwise(widths))
        super().__init__(widths, layers, dropout=dropout, output=output)
