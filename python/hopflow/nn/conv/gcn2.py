"""The graph convolution with initial residual and identity mapping, GCNII."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hopflow.graphs.graph import Graph
from hopflow.nn._checks import ChecksInDegrees, require_in_degrees, require_width
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn._propagate import normalized_step


class GCN2Conv(ChecksInDegrees):
    r"""GCNII: a graph convolution for deep stacks, mixed with the first layer's input.

    .. math::
        H' = \sigma\Big( (1 - \beta) S + \beta S W_1 + b \Big), \quad
        S = (1 - \alpha) D^{-1/2} A D^{-1/2} H + \alpha H^{0}, \quad
        \beta = \log(\lambda / \ell + 1)

    with the in-degrees :math:`D`, at least 1. Without ``project_initial_features`` the second part
    of :math:`S` has a matrix :math:`W_2` of its own. With edge weights, :class:`EdgeWeightNorm`
    normalises instead. Parameters have the names, shapes and initialisation of DGL's layer.

    Parameters
    ----------
    in_feats : int
        Width of input and output.
    layer : int
        The layer's number :math:`\ell` in the stack, from 1.
    alpha : float
        The share of the initial features.
    lambda_ : float
        How strongly layers differ from the identity.
    project_initial_features : bool
        Multiply both parts with one matrix.
    allow_zero_in_degree : bool
        Accept destinations without in-edges; what they get of their neighbours is 0.
    bias : bool
        Learn a bias.
    activation : callable, optional
        Applied to the output.

    References
    ----------
    Chen, Wei, Huang, Ding, Li, "Simple and deep graph convolutional networks", ICML 2020;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.GCN2Conv.html
    """

    weight2: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        in_feats: int,
        layer: int,
        alpha: float = 0.1,
        lambda_: float = 1,
        project_initial_features: bool = True,
        allow_zero_in_degree: bool = False,
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self._in_feats = in_feats
        self.alpha, self.beta = alpha, math.log(lambda_ / layer + 1)
        self._activation = activation
        self._allow_zero_in_degree = allow_zero_in_degree
        self.weight1 = nn.Parameter(torch.empty(in_feats, in_feats))
        if project_initial_features:
            self.register_parameter("weight2", None)
        else:
            self.weight2 = nn.Parameter(torch.empty(in_feats, in_feats))
        if bias:
            self.bias = nn.Parameter(torch.empty(in_feats))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew from the standard normal law; the bias becomes 0."""
        nn.init.normal_(self.weight1)
        if self.weight2 is not None:
            nn.init.normal_(self.weight2)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self,
        graph: Graph,
        feat: Features,
        feat_0: Tensor,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow. A block scales sources by their out-degrees in it, as
            :class:`GraphConv` does.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, ..., D]; of a pair the destinations' rows are only counted.
        feat_0 : Tensor
            The initial features of the destinations; rows after the first V, a block's other
            sources, are not read. Shape [V or more, ..., D].
        edge_weight : Tensor, optional
            Positive weights of the edges, shape [E].

        Returns
        -------
        Tensor
            Shape [V, ..., D].

        Raises
        ------
        HopflowError
            A destination without in-edges, unless they are allowed; weights that are not positive.
        ValueError
            Operands whose shapes do not go together.
        """
        require_in_degrees(graph, self._allow_zero_in_degree)
        source, _ = as_pair(graph, feat)
        require_width("feat", source, self._in_feats)
        num_dst = graph.num_dst_nodes()
        if feat_0.shape[1:] != source.shape[1:] or feat_0.shape[0] < num_dst:
            raise ValueError(
                f"feat_0: expected {num_dst} rows of shape {list(source.shape[1:])}, got shape"
                f" {list(feat_0.shape)}"
            )
        smoothed = normalized_step(graph, source, edge_weight)(source) * (1 - self.alpha)
        initial = feat_0[:num_dst] * self.alpha
        both = smoothed + initial
        if self.weight2 is None:
            projected = both @ self.weight1
        else:
            projected = smoothed @ self.weight1 + initial @ self.weight2
        out: Tensor = (1 - self.beta) * both + self.beta * projected
        if self.bias is not None:
            out = out + self.bias
        return out if self._activation is None else self._activation(out)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"in={self._in_feats}, alpha={self.alpha}, beta={self.beta}"
