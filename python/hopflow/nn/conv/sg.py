"""The simplified graph convolution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hopflow.graphs.graph import Graph
from hopflow.nn._checks import (
    ChecksInDegrees,
    require_edge_rows,
    require_in_degrees,
    require_input,
    require_one_step,
)
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn._propagate import normalized_step


class SGConv(ChecksInDegrees):
    r"""Simplified graph convolution: ``k`` steps of normalised sums, then one linear map.

    .. math::
        H' = (D^{-1/2} A D^{-1/2})^k H \Theta + b

    with the in-degrees :math:`D`. With edge weights, :class:`EdgeWeightNorm` normalises instead.
    Parameters have the names, shapes and initialisation of DGL's layer.

    Parameters
    ----------
    in_feats, out_feats : int
        Widths of input and output.
    k : int
        Number of steps.
    cached : bool
        Keep the features after ``k`` steps at the first call and use them in all later ones: for
        one graph with features that do not change.
    bias : bool
        Learn a bias.
    norm : callable, optional
        Applied to the features after the steps.
    allow_zero_in_degree : bool
        Accept destinations without in-edges; their features become 0.

    References
    ----------
    Wu, Souza, Zhang, Fifty, Yu, Weinberger, "Simplifying graph convolutional networks", ICML 2019;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.SGConv.html
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        k: int = 1,
        cached: bool = False,
        bias: bool = True,
        norm: Callable[[Tensor], Tensor] | None = None,
        allow_zero_in_degree: bool = False,
    ) -> None:
        super().__init__()
        self.fc = nn.Linear(in_feats, out_feats, bias=bias)
        self._cached = cached
        self._cached_h: Tensor | None = None
        self._k = k
        self.norm = norm
        self._allow_zero_in_degree = allow_zero_in_degree
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight anew from Glorot's uniform law; the bias becomes 0."""
        nn.init.xavier_uniform_(self.fc.weight)
        if self.fc.bias is not None:
            nn.init.zeros_(self.fc.bias)

    def forward(self, graph: Graph, feat: Features, edge_weight: Tensor | None = None) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow. A block carries them one step; as it does not know its sources'
            in-degrees in the graph, sources are scaled by their out-degrees in it, as
            :class:`GraphConv` does.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, in]; of a pair the destinations' rows are only counted.
        edge_weight : Tensor, optional
            Positive weights of the edges, shape [E].

        Returns
        -------
        Tensor
            Shape [V, out].

        Raises
        ------
        HopflowError
            A destination without in-edges, unless they are allowed; weights that are not positive.
        ValueError
            Operands whose shapes do not go together; more than one step over a block; kept
            features of another graph.
        """
        require_in_degrees(graph, self._allow_zero_in_degree)
        require_one_step(graph, self._k)
        h, own = as_pair(graph, feat)
        if edge_weight is not None:
            require_edge_rows("edge_weight", edge_weight, graph.num_edges())
        if self._cached_h is not None:
            return self._from_cache(graph)
        if self.norm is None:
            require_input("feat", h if self._k else own, self.fc)
        if self._k == 0:
            h = own
        else:
            step = normalized_step(graph, h, edge_weight)
            for _ in range(self._k):
                h = step(h)
        if self.norm is not None:
            h = self.norm(h)
            require_input("norm(feat)", h, self.fc)
        if self._cached:
            self._cached_h = h
        out: Tensor = self.fc(h)
        return out

    def _from_cache(self, graph: Graph) -> Tensor:
        h = self._cached_h
        assert h is not None
        if h.shape[0] != graph.num_dst_nodes():
            raise ValueError(
                f"graph: the features kept by cached=True have {h.shape[0]} rows, this graph has"
                f" {graph.num_dst_nodes()} destination nodes; expected the graph of the first call"
            )
        if h.is_inference() and not torch.is_inference_mode_enabled():
            # Kept under inference mode, they could not serve a backward pass.
            h = self._cached_h = h.clone()
        out: Tensor = self.fc(h)
        return out

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"k={self._k}, cached={self._cached}"
