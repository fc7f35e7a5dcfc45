"""Pooling by a learned weight of each node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hopflow.graphs.graph import Graph
from hopflow.messages.readout import reduce_rows, repeat_rows, softmax_rows
from hopflow.nn._checks import require_input, require_width
from hopflow.nn.pooling._sizes import node_rows


class GlobalAttentionPooling(nn.Module):
    r"""The sum of the nodes of each graph, weighted by a softmax of learned scores.

    .. math::
        r_i = \sum_{v \in G_i} softmax_{G_i}(gate(x_v)) \, f(x_v)

    Parameters
    ----------
    gate_nn : callable
        The score of each node, shape [N, 1]; a module's parameters are learned.
    feat_nn : callable, optional
        What is made of the features before they are summed.

    References
    ----------
    Li, Tarlow, Brockschmidt, Zemel, "Gated graph sequence neural networks", ICLR 2016;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.glob.GlobalAttentionPooling.html
    """

    def __init__(
        self,
        gate_nn: Callable[[Tensor], Tensor],
        feat_nn: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.gate_nn, self.feat_nn = gate_nn, feat_nn

    def forward(self, graph: Graph, feat: Tensor, get_attention: bool = False) -> Any:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph
            A batch of graphs, or one, of one node type.
        feat : Tensor
            Node features, shape [N, D].
        get_attention : bool
            Return the weight of each node too.

        Returns
        -------
        Tensor, or (Tensor, Tensor)
            Shape [B, D'], and the weights, shape [N, 1].

        Raises
        ------
        ValueError, TypeError
            Features that are not one row a node, scores of another width than 1, or a graph of
            several node types.
        """
        sizes = node_rows(graph, feat)
        for layer in (self.gate_nn, self.feat_nn):
            require_input("feat", feat, layer)
        gate = self.gate_nn(feat)
        node_rows(graph, gate, "gate_nn(feat)")
        require_width("gate_nn(feat)", gate, 1)
        gate = softmax_rows(sizes, gate)
        if self.feat_nn is not None:
            feat = self.feat_nn(feat)
        out = reduce_rows(sizes, feat * gate)
        return (out, gate) if get_attention else out


class WeightAndSum(nn.Module):
    r"""The sum of the nodes of each graph, each weighted by a logistic function of its features.

    Parameters
    ----------
    in_feats : int
        Width of the features.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.glob.WeightAndSum.html
    """

    def __init__(self, in_feats: int) -> None:
        super().__init__()
        self.in_feats = in_feats
        self.atom_weighting = nn.Sequential(nn.Linear(in_feats, 1), nn.Sigmoid())

    def forward(self, g: Graph, feats: Tensor) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        g : Graph
            A batch of graphs, or one, of one node type.
        feats : Tensor
            Node features, shape [N, in_feats].

        Returns
        -------
        Tensor
            Shape [B, in_feats].

        Raises
        ------
        ValueError, TypeError
            Features of another shape, or a graph of several node types.
        """
        sizes = node_rows(g, feats, "feats")
        require_width("feats", feats, self.in_feats)
        return reduce_rows(sizes, feats * self.atom_weighting(feats))


class Set2Set(nn.Module):
    r"""A recurrent network that reads the nodes of each graph, several times, by attention.

    .. math::
        q_t = LSTM(q^*_{t-1}), \quad
        r_t = \sum_{v \in G_i} softmax_{G_i}(x_v \cdot q_t) \, x_v, \quad
        q^*_t = q_t \Vert r_t

    Parameters
    ----------
    input_dim : int
        Width of the features, D.
    n_iters : int
        How often the nodes are read.
    n_layers : int
        Layers of the LSTM.

    References
    ----------
    Vinyals, Bengio, Kudlur, "Order matters: sequence to sequence for sets", ICLR 2016;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.glob.Set2Set.html
    """

    def __init__(self, input_dim: int, n_iters: int, n_layers: int) -> None:
        super().__init__()
        self.input_dim, self.output_dim = input_dim, 2 * input_dim
        self.n_iters, self.n_layers = n_iters, n_layers
        self.lstm = nn.LSTM(self.output_dim, input_dim, n_layers)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters."""
        self.lstm.reset_parameters()

    def forward(self, graph: Graph, feat: Tensor) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph
            A batch of graphs, or one, of one node type.
        feat : Tensor
            Node features, shape [N, D].

        Returns
        -------
        Tensor
            Shape [B, 2 * D].

        Raises
        ------
        ValueError, TypeError
            Features of another shape, or a graph of several node types.
        """
        sizes = node_rows(graph, feat)
        require_width("feat", feat, self.input_dim)
        num_graphs = sizes.shape[0]
        state = (
            feat.new_zeros(self.n_layers, num_graphs, self.input_dim),
            feat.new_zeros(self.n_layers, num_graphs, self.input_dim),
        )
        read = feat.new_zeros(num_graphs, self.output_dim)
        for _ in range(self.n_iters):
            out, state = self.lstm(read.unsqueeze(0), state)
            query = out.squeeze(0)
            scores = (feat * repeat_rows(sizes, query)).sum(-1, keepdim=True)
            weights = softmax_rows(sizes, scores)
            read = torch.cat([query, reduce_rows(sizes, feat * weights)], dim=-1)
        return read

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"n_iters={self.n_iters}"
