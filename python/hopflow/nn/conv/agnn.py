"""The attention by cosines."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hopflow.graphs.graph import Graph
from hopflow.nn._attention import dot_products, weighted_sum
from hopflow.nn._checks import ChecksInDegrees, require_in_degrees, require_same_widths
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn.functional import edge_softmax


class AGNNConv(ChecksInDegrees):
    r"""Attention by the cosine of an edge's ends, with one learned number.

    .. math::
        h_v' = \sum_{u \to v} \alpha_{uv} h_u, \quad
        \alpha_{uv} = softmax_u(\beta \cos(h_u, h_v))

    Cosines are one number an edge, and they and the weighted sum are one kernel each, so that
    nothing of the size E x D is written.

    Parameters
    ----------
    init_beta : float
        The first value of beta, which has shape [1].
    learn_beta : bool
        Learn beta; it is a buffer otherwise, and part of the ``state_dict`` either way.
    allow_zero_in_degree : bool
        Accept destinations without in-edges; their output is 0.

    References
    ----------
    Thekumparampil, Wang, Oh, Li, "Attention-based graph neural network for semi-supervised
    learning", 2018;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.AGNNConv.html
    """

    beta: Tensor

    def __init__(
        self,
        init_beta: float = 1.0,
        learn_beta: bool = True,
        allow_zero_in_degree: bool = False,
    ) -> None:
        super().__init__()
        self._allow_zero_in_degree = allow_zero_in_degree
        beta = torch.tensor([init_beta], dtype=torch.float32)
        if learn_beta:
            self.beta = nn.Parameter(beta)
        else:
            self.register_buffer("beta", beta)

    def forward(self, graph: Graph, feat: Features) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, ..., D], whose first are the destinations'; or the rows of each
            side. Of more dimensions, each vector of the last has its own attention.

        Returns
        -------
        Tensor
            Shape [V, ..., D].

        Raises
        ------
        HopflowError
            A destination without in-edges, unless they are allowed.
        ValueError
            Operands whose shapes do not go together.
        """
        require_in_degrees(graph, self._allow_zero_in_degree)
        source, own = as_pair(graph, feat)
        require_same_widths(source, own)
        there = functional.normalize(source, dim=-1)
        if isinstance(feat, tuple):
            here = functional.normalize(own, dim=-1)
        else:
            here = there[: graph.num_dst_nodes()]
        attention = edge_softmax(graph, self.beta * dot_products(graph, there, here))
        return weighted_sum(graph, source, attention)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"learn_beta={isinstance(self.beta, nn.Parameter)}"
