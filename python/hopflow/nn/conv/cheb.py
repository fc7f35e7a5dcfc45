"""The convolution by Chebyshev polynomials of the Laplacian."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hopflow.graphs.graph import Graph
from hopflow.nn._checks import require_one_step, require_same_widths, require_width
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn._propagate import normalized_step


class ChebConv(nn.Module):
    r"""Chebyshev convolution: a linear map of ``k`` polynomials of the scaled Laplacian.

    .. math::
        H' = \sigma\Big(\sum_{i=0}^{k-1} Z_i W_i + b\Big), \quad
        Z_0 = H, \quad Z_1 = \tilde L H, \quad Z_i = 2 \tilde L Z_{i-1} - Z_{i-2}, \quad
        \tilde L = \frac{2}{\lambda_{max}} (I - D^{-1/2} A D^{-1/2}) - I

    with the in-degrees :math:`D`, at least 1. Parameters have the names, shapes and initialisation
    of DGL's layer.

    Parameters
    ----------
    in_feats, out_feats : int
        Widths of input and output.
    k : int
        Number of polynomials, at least 1; the largest takes ``k - 1`` steps over the graph.
    activation : callable, optional
        Applied to the output.
    bias : bool
        Learn a bias.

    References
    ----------
    Defferrard, Bresson, Vandergheynst, "Convolutional neural networks on graphs with fast localized
    spectral filtering", NeurIPS 2016;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.ChebConv.html
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        k: int,
        activation: Callable[[Tensor], Tensor] | None = functional.relu,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._in_feats, self._out_feats, self._k = in_feats, out_feats, k
        self.activation = activation
        self.linear = nn.Linear(k * in_feats, out_feats, bias)

    def forward(
        self,
        graph: Graph,
        feat: Features,
        lambda_max: float | Sequence[float] | Tensor | None = None,
    ) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow. A block carries them one step, for ``k`` up to 2; it scales sources
            by their out-degrees in it, as :class:`GraphConv` does.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, in], whose first are the destinations'; or the rows of each side.
        lambda_max : float, list of float or Tensor, optional
            The largest eigenvalue of the graph's normalised Laplacian, in a batch of graphs one for
            each; 2 by default, its upper bound (DGL's layer warns then).

        Returns
        -------
        Tensor
            Shape [V, out].

        Raises
        ------
        ValueError
            Operands whose shapes do not go together; another number of eigenvalues than of graphs;
            more than one step over a block.
        """
        require_one_step(graph, self._k, one=2)
        source, own = as_pair(graph, feat)
        require_same_widths(source, own)
        require_width("feat", source, self._in_feats)
        scale = 2.0 / _eigenvalue(graph, lambda_max, source)
        rows = [own]
        if self._k > 1:
            step = normalized_step(graph, source)
            rows.append(own * (scale - 1) - scale * step(source))
        for _ in range(2, self._k):
            before, last = rows[-2:]
            rows.append(2 * (last * (scale - 1) - scale * step(last)) - before)
        out: Tensor = self.linear(torch.cat(rows, dim=-1))
        return out if self.activation is None else self.activation(out)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"k={self._k}"


def _eigenvalue(
    graph: Graph, lambda_max: float | Sequence[float] | Tensor | None, like: Tensor
) -> Tensor | float:
    """The eigenvalue, as a number or a tensor without dimensions; in a batch of graphs each node's
    own, shape [N, 1]."""
    if lambda_max is None:
        return 2.0
    if isinstance(lambda_max, (int, float)):
        return float(lambda_max)
    if not isinstance(lambda_max, Tensor):
        lambda_max = torch.tensor([float(x) for x in lambda_max])
    if lambda_max.numel() == 1:
        return lambda_max.to(like).view(())
    if graph.is_block or lambda_max.numel() != graph.batch_size:
        raise ValueError(
            "lambda_max: expected one number, or one for each graph of a batch"
            f" ({graph.batch_size}), got shape {list(lambda_max.shape)}"
        )
    return torch.repeat_interleave(lambda_max.to(like).view(-1, 1), graph.batch_num_nodes(), dim=0)
