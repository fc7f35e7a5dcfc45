"""The layer of Gaussian mixture models."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import aggregate, multiplies_first
from hopflow.nn._attention import as_sizes, reset_linear
from hopflow.nn._checks import (
    ChecksInDegrees,
    is_plain,
    require_edge_rows,
    require_in_degrees,
    require_matrix,
    require_width,
)
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn._residual import REDUCERS, ResidualConv, require_aggregator


class GMMConv(ResidualConv, ChecksInDegrees):
    r"""Gaussian mixture convolution: neighbours weighted by where they are, seen from a node.

    .. math::
        h_v' = \sum_{k=1}^K aggregate(\{ w_k(p_{uv}) \, W_k h_u : u \to v \}), \quad
        w_k(p) = \exp\Big(-\tfrac12 \sum_d \sigma_{kd}^2 (p_d - \mu_{kd})^2\Big)

    Each edge has pseudo-coordinates p; there are K Gaussians, each with a mean, inverse widths and
    a matrix that are learned. Weights are K numbers an edge; the weighted sum is one kernel, so
    that nothing of the size E x K x out is written, and it is taken before the product with the
    matrices where that is the cheaper order.

    Parameters have the names, shapes and initialisation of DGL's layer.

    Parameters
    ----------
    in_feats : int or (int, int)
        Width of the input features, or of the sources' and the destinations'.
    out_feats : int
        Width of the output.
    dim : int
        Number of pseudo-coordinates.
    n_kernels : int
        Number of Gaussians K.
    aggregator_type : {"sum", "mean", "max"}
        How neighbours are combined, for each Gaussian.
    residual : bool
        Add the destination's own features, projected where the widths differ.
    bias : bool
        Learn a bias.
    allow_zero_in_degree : bool
        Accept destinations without in-edges, whose output is the residual and the bias alone.

    Raises
    ------
    KeyError
        An unknown aggregator (DGL's choice of exception).

    References
    ----------
    Monti et al., "Geometric deep learning on graphs and manifolds using mixture model CNNs", CVPR
    2017; https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.GMMConv.html
    """

    def __init__(
        self,
        in_feats: int | tuple[int, int],
        out_feats: int,
        dim: int,
        n_kernels: int,
        aggregator_type: str = "sum",
        residual: bool = False,
        bias: bool = True,
        allow_zero_in_degree: bool = False,
    ) -> None:
        super().__init__()
        self._in_src_feats, dst_feats = as_sizes(in_feats)
        self._out_feats, self._dim, self._n_kernels = out_feats, dim, n_kernels
        self._aggre_type = require_aggregator(aggregator_type)
        self._allow_zero_in_degree = allow_zero_in_degree
        self.mu = nn.Parameter(torch.empty(n_kernels, dim))
        self.inv_sigma = nn.Parameter(torch.empty(n_kernels, dim))
        self.fc = nn.Linear(self._in_src_feats, n_kernels * out_feats, bias=False)
        self._add_rest(dst_feats, out_feats, residual=residual, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters: means near 0, inverse widths 1, Glorot's normal weights, bias 0."""
        reset_linear(self.fc)
        nn.init.normal_(self.mu, 0, 0.1)
        nn.init.ones_(self.inv_sigma)
        self._reset_rest()

    def forward(self, graph: Graph, feat: Features, pseudo: Tensor) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, in], whose first are the destinations'; or the rows of each side.
        pseudo : Tensor
            The pseudo-coordinates of the edges, shape [E, dim].

        Returns
        -------
        Tensor
            Shape [V, out].

        Raises
        ------
        HopflowError
            A destination without in-edges, unless ``allow_zero_in_degree``.
        TypeError, ValueError
            Operands whose shapes do not go together.
        """
        require_in_degrees(graph, self._allow_zero_in_degree)
        source, own = as_pair(graph, feat)
        require_matrix("feat", source)
        require_width("feat of sources", source, self._in_src_feats)
        self._require_own(own)
        require_matrix("pseudo", pseudo)
        require_edge_rows("pseudo", pseudo, graph.num_edges())
        require_width("pseudo", pseudo, self._dim)
        distance = (pseudo.unsqueeze(1) - self.mu).square() * self.inv_sigma.square()
        weights = torch.exp(-0.5 * distance.sum(-1)).unsqueeze(-1)
        reducer = REDUCERS[self._aggre_type]
        is_first = (
            self._aggre_type == "max"
            or not is_plain(self.fc, nn.Linear)
            or multiplies_first(graph, self._in_src_feats, self._out_feats)
        )
        if is_first:
            rows = self.fc(source).view(-1, self._n_kernels, self._out_feats)
            out = aggregate(graph, rows, reducer, weights).sum(1)
        else:
            neighbor = aggregate(graph, source.unsqueeze(1), reducer, weights)
            # [K * out, in] as [K * in, out]: the product sums over the Gaussians as it goes.
            weight = self.fc.weight.view(self._n_kernels, self._out_feats, self._in_src_feats)
            out = neighbor.flatten(1) @ weight.transpose(1, 2).flatten(0, 1)
        return self._add_own(out, own)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return (
            f"{self._in_src_feats}, {self._out_feats}, dim={self._dim},"
            f" n_kernels={self._n_kernels}, aggregator_type={self._aggre_type!r}"
        )
