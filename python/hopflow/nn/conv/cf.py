"""The continuous-filter layer of SchNet."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

import hopflow.function as fn
from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import aggregate
from hopflow.nn._checks import require_edge_rows, require_matrix, require_width
from hopflow.nn._pairs import Features, as_pair


class ShiftedSoftplus(nn.Module):
    r"""The softplus less a constant: :math:`\log(1 + e^{\beta x}) / \beta - \log(shift)`.

    Parameters
    ----------
    beta : float
        How sharp the bend is.
    shift : float
        2 makes it 0 at 0, where ``beta`` is 1.
    threshold : float
        Above ``threshold / beta`` it is the line.
    """

    def __init__(self, beta: float = 1, shift: float = 2, threshold: float = 20) -> None:
        super().__init__()
        self.beta, self.shift, self.threshold = beta, shift, threshold

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply it to every number."""
        return functional.softplus(inputs, self.beta, self.threshold) - math.log(self.shift)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of it."""
        return f"beta={self.beta}, shift={self.shift}"


class CFConv(nn.Module):
    r"""Continuous-filter convolution: neighbours times a filter that a network makes of the edge.

    .. math::
        h_v' = ssp\Big(W_o \sum_{u \to v} (W_n h_u) \odot f(e_{uv})\Big), \quad
        f(e) = ssp(W_2 \, ssp(W_1 e))

    where ssp is the shifted softplus, and every map has a bias. Products and sum are one kernel.
    Parameters have the names, shapes and initialisation of DGL's layer.

    Parameters
    ----------
    node_in_feats, edge_in_feats : int
        Widths of the nodes' and the edges' features.
    hidden_feats : int
        Width of the filters.
    out_feats : int
        Width of the output.

    References
    ----------
    Schütt et al., "SchNet: a continuous-filter convolutional neural network for modeling quantum
    interactions", NeurIPS 2017;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.CFConv.html
    """

    def __init__(
        self, node_in_feats: int, edge_in_feats: int, hidden_feats: int, out_feats: int
    ) -> None:
        super().__init__()
        self._node_feats, self._edge_feats = node_in_feats, edge_in_feats
        self.project_edge = nn.Sequential(
            nn.Linear(edge_in_feats, hidden_feats),
            ShiftedSoftplus(),
            nn.Linear(hidden_feats, hidden_feats),
            ShiftedSoftplus(),
        )
        self.project_node = nn.Linear(node_in_feats, hidden_feats)
        self.project_out = nn.Sequential(nn.Linear(hidden_feats, out_feats), ShiftedSoftplus())

    def forward(self, g: Graph, node_feats: Features, edge_feats: Tensor) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        g : Graph or Block
            Where messages flow.
        node_feats : Tensor or (Tensor, Tensor)
            Source rows, shape [U, node_in]; or the rows of each side, of which the destinations'
            are not read.
        edge_feats : Tensor
            Shape [E, edge_in].

        Returns
        -------
        Tensor
            Shape [V, out].

        Raises
        ------
        TypeError, ValueError
            Operands whose shapes do not go together.
        """
        source, _ = as_pair(g, node_feats, "node_feats")
        require_matrix("node_feats", source)
        require_width("node_feats", source, self._node_feats)
        require_matrix("edge_feats", edge_feats)
        require_edge_rows("edge_feats", edge_feats, g.num_edges())
        require_width("edge_feats", edge_feats, self._edge_feats)
        filters = self.project_edge(edge_feats)
        out: Tensor = self.project_out(aggregate(g, self.project_node(source), fn.sum, filters))
        return out
