"""Weights that are sums of a few others."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class WeightBasis(nn.Module):
    r"""Many weights as linear combinations of few: :math:`W_o = \sum_b a_{ob} V_b`.

    Parameters have the names, shapes and initialisation of DGL's module.

    Parameters
    ----------
    shape : sequence of int
        Of one weight.
    num_bases : int
        Number of bases V.
    num_outputs : int
        Number of weights W; a warning says so if there are not more of them than bases.

    References
    ----------
    Schlichtkrull et al., "Modeling relational data with graph convolutional networks", ESWC 2018;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.utils.WeightBasis.html
    """

    def __init__(self, shape: Sequence[int], num_bases: int, num_outputs: int) -> None:
        super().__init__()
        self.shape, self.num_bases, self.num_outputs = tuple(shape), num_bases, num_outputs
        if num_outputs <= num_bases:
            warnings.warn(
                f"num_outputs: expected more weights than the {num_bases} bases, got {num_outputs};"
                " such a basis saves nothing",
                stacklevel=2,
            )
        self.weight = nn.Parameter(torch.empty(num_bases, *self.shape))
        self.w_comp = nn.Parameter(torch.empty(num_outputs, num_bases))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw bases and coefficients anew, by Glorot's uniform law with ReLU's gain."""
        for x in (self.weight, self.w_comp):
            nn.init.xavier_uniform_(x, gain=nn.init.calculate_gain("relu"))

    def forward(self) -> Tensor:
        """The weights, shape [num_outputs, *shape]."""
        return (self.w_comp @ self.weight.flatten(1)).view(self.num_outputs, *self.shape)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of it."""
        return f"{self.shape}, num_bases={self.num_bases}, num_outputs={self.num_outputs}"
