"""The topology adaptive graph convolution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import multiplies_first
from hopflow.nn._attention import GAIN
from hopflow.nn._checks import is_plain, require_one_step, require_same_widths, require_width
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn._propagate import Step, normalized_step


class TAGConv(nn.Module):
    r"""Topology adaptive convolution: a linear map of the features after 0, 1, ..., ``k`` steps.

    .. math::
        H' = \sigma\Big(\sum_{i=0}^{k} (D^{-1/2} A D^{-1/2})^i H \Theta_i + b\Big)

    with the in-degrees :math:`D`, at least 1. With edge weights, :class:`EdgeWeightNorm` normalises
    instead. Steps and maps commute: where the output is narrower than the input, rows are mapped
    first and it is the narrow ones that travel.

    Parameters have the names, shapes and initialisation of DGL's layer.

    Parameters
    ----------
    in_feats, out_feats : int
        Widths of input and output.
    k : int
        Number of steps.
    bias : bool
        Learn a bias.
    activation : callable, optional
        Applied to the output.

    References
    ----------
    Du, Zhang, Wu, Moura, Kar, "Topology adaptive graph convolutional networks", 2017;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.TAGConv.html
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        k: int = 2,
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self._in_feats, self._out_feats, self._k = in_feats, out_feats, k
        self._activation = activation
        self.lin = nn.Linear(in_feats * (k + 1), out_feats, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight anew from Glorot's normal law; as in DGL the bias stays as it is."""
        nn.init.xavier_normal_(self.lin.weight, gain=GAIN)

    def forward(self, graph: Graph, feat: Features, edge_weight: Tensor | None = None) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow. A block carries them one step; it scales sources by their
            out-degrees in it, as :class:`GraphConv` does.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, ..., in], whose first are the destinations'; or the rows of each
            side.
        edge_weight : Tensor, optional
            Positive weights of the edges, shape [E].

        Returns
        -------
        Tensor
            Shape [V, ..., out].

        Raises
        ------
        HopflowError
            Weights that are not positive.
        ValueError
            Operands whose shapes do not go together; more than one step over a block.
        """
        require_one_step(graph, self._k)
        source, own = as_pair(graph, feat)
        require_same_widths(source, own)
        require_width("feat", source, self._in_feats)
        step = normalized_step(graph, source, edge_weight)
        if is_plain(self.lin, nn.Linear) and multiplies_first(
            graph, self._in_feats, self._out_feats
        ):
            out = self._map_first(step, source, own)
        else:
            rows = [own]
            for _ in range(self._k):
                source = step(source)
                rows.append(source)
            out = self.lin(torch.cat(rows, dim=-1))
        return out if self._activation is None else self._activation(out)

    def _map_first(self, step: Step, source: Tensor, own: Tensor) -> Tensor:
        """The sum as ``own Θ0 + S (source Θ1 + S (source Θ2 + ...))``."""
        first, *maps = torch.split(self.lin.weight, self._in_feats, dim=1)
        out = functional.linear(own, first, self.lin.bias)
        if not maps:
            return out
        travels = functional.linear(source, maps[-1])
        for weight in reversed(maps[:-1]):
            travels = functional.linear(source, weight) + step(travels)
        return out + step(travels)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"k={self._k}"
