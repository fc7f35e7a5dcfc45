"""Personalised PageRank of predictions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import hopflow.function as fn
from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import aggregate, in_degree_scale, out_degree_scale
from hopflow.nn._checks import require_edge_rows, require_one_step, require_same_widths
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn.conv.graph_conv import EdgeWeightNorm


class APPNPConv(nn.Module):
    r"""Approximate personalised propagation of neural predictions; it has no parameters.

    .. math::
        H^{0} = X, \qquad
        H^{t+1} = (1 - \alpha) D_{in}^{-1/2} A D_{out}^{-1/2} H^{t} + \alpha H^{0}

    With edge weights, :class:`EdgeWeightNorm` normalises instead. Degrees below 1 count as 1.

    Parameters
    ----------
    k : int
        Number of steps.
    alpha : float
        The probability to go back to the start.
    edge_drop : float
        Dropout rate of the edges, drawn at each step of training.

    References
    ----------
    Klicpera, Bojchevski, Günnemann, "Predict then propagate: graph neural networks meet
    personalized PageRank", ICLR 2019;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.APPNPConv.html
    """

    def __init__(self, k: int, alpha: float, edge_drop: float = 0.0) -> None:
        super().__init__()
        self._k = k
        self._alpha = alpha
        self.edge_drop = nn.Dropout(edge_drop)

    def forward(self, graph: Graph, feat: Features, edge_weight: Tensor | None = None) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow. A block carries them one step.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, ..., D], whose first are the destinations'; or the rows of each
            side.
        edge_weight : Tensor, optional
            Positive weights of the edges, shape [E].

        Returns
        -------
        Tensor
            Shape [V, ..., D].

        Raises
        ------
        HopflowError
            Weights that are not positive.
        ValueError
            Operands whose shapes do not go together; more than one step over a block.
        """
        require_one_step(graph, self._k)
        h, own = as_pair(graph, feat)
        require_same_widths(h, own)
        if edge_weight is not None:
            require_edge_rows("edge_weight", edge_weight, graph.num_edges())
            edge_weight = EdgeWeightNorm("both")(graph, edge_weight)
        elif self._k > 0:
            before = out_degree_scale(graph, -0.5, h)
            after = in_degree_scale(graph, -0.5, h)
        if self._k == 0:
            h = own
        for _ in range(self._k):
            factor = edge_weight
            if self.training and self.edge_drop.p > 0:
                if factor is None:
                    factor = torch.ones(graph.num_edges(), dtype=h.dtype, device=h.device)
                factor = self.edge_drop(factor)
            if edge_weight is None:
                h = aggregate(graph, h * before, fn.sum, factor) * after
            else:
                h = aggregate(graph, h, fn.sum, factor)
            h = (1 - self._alpha) * h + self._alpha * own
        return h

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"k={self._k}, alpha={self._alpha}"
