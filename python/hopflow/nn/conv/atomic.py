"""The atomic convolution of protein-ligand models."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import hopflow.function as fn
from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import aggregate
from hopflow.nn._checks import require_matrix, require_width
from hopflow.nn._pairs import Features, as_pair


class RadialPooling(nn.Module):
    r"""Distances seen through K radial filters that fade out at a cutoff each.

    .. math::
        e^k(r) = e^{-\gamma_k (r - r_k)^2} \cdot \tfrac12 \Big(\cos\frac{\pi r}{c_k} + 1\Big)
        \ \text{where}\ r \le c_k, \quad 0 \ \text{elsewhere}

    Parameters
    ----------
    interaction_cutoffs, rbf_kernel_means, rbf_kernel_scaling : Tensor
        First values of c, r and gamma, which are learned; shape [K].
    """

    def __init__(
        self, interaction_cutoffs: Tensor, rbf_kernel_means: Tensor, rbf_kernel_scaling: Tensor
    ) -> None:
        super().__init__()
        # The names and shapes, [K, 1, 1], of DGL's module.
        self.interaction_cutoffs = nn.Parameter(interaction_cutoffs.reshape(-1, 1, 1))
        self.rbf_kernel_means = nn.Parameter(rbf_kernel_means.reshape(-1, 1, 1))
        self.rbf_kernel_scaling = nn.Parameter(rbf_kernel_scaling.reshape(-1, 1, 1))

    def forward(self, distances: Tensor) -> Tensor:
        """What the filters make of distances [E, 1], shape [K, E, 1]."""
        gaussian = torch.exp(-self.rbf_kernel_scaling * (distances - self.rbf_kernel_means) ** 2)
        fading = 0.5 * (torch.cos(math.pi * distances / self.interaction_cutoffs) + 1)
        is_near = distances <= self.interaction_cutoffs
        return gaussian * fading.where(is_near, fading.new_zeros(()))


class AtomicConv(nn.Module):
    r"""Atomic convolution: for each kind of atom, how far a node's neighbours of it are.

    .. math::
        h_{v,t}^k = \sum_{u \to v} [x_u = t] \, e^k(r_{uv})

    with the radial filters of :class:`RadialPooling`. Sums are one kernel; no message is written.
    Parameters have the names and shapes of DGL's layer.

    Parameters
    ----------
    interaction_cutoffs, rbf_kernel_means, rbf_kernel_scaling : Tensor
        First values of the filters' parameters, float, shape [K].
    features_to_use : Tensor, optional
        The T atomic numbers that are told apart, float, shape [T]; without it the atomic number
        itself is the factor, and T is 1.

    References
    ----------
    Gomes, Ramsundar, Feinberg, Pande, "Atomic convolutional networks for predicting protein-ligand
    binding affinity", 2017, arXiv:1703.10603;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.AtomicConv.html
    """

    features_to_use: Tensor | None

    def __init__(
        self,
        interaction_cutoffs: Tensor,
        rbf_kernel_means: Tensor,
        rbf_kernel_scaling: Tensor,
        features_to_use: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.radial_pooling = RadialPooling(
            interaction_cutoffs, rbf_kernel_means, rbf_kernel_scaling
        )
        if features_to_use is None:
            self.num_channels, self.features_to_use = 1, None
        else:
            self.num_channels = len(features_to_use)
            self.features_to_use = nn.Parameter(features_to_use, requires_grad=False)

    def forward(self, graph: Graph, feat: Features, distances: Tensor) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        feat : Tensor or (Tensor, Tensor)
            Atomic numbers of the sources, float, shape [U, 1]; or the rows of each side, of which
            the destinations' are not read.
        distances : Tensor
            Distance between each edge's ends, shape [E, 1].

        Returns
        -------
        Tensor
            Shape [V, T * K], filters within atomic numbers; 0 without in-edges.

        Raises
        ------
        TypeError, ValueError
            Operands whose shapes do not go together.
        """
        source, _ = as_pair(graph, feat)
        require_matrix("feat", source)
        require_width("feat", source, 1)
        if distances.shape != (graph.num_edges(), 1):
            raise ValueError(
                f"distances: expected shape [{graph.num_edges()}, 1], one for each edge, got"
                f" {list(distances.shape)}"
            )
        pooled = self.radial_pooling(distances).to(source.dtype).squeeze(2).t()
        if self.features_to_use is not None:
            source = (source == self.features_to_use).to(source.dtype)
        # [U, 1, T] times [E, K, 1]: the filters' gradient is summed over T as it is made.
        out = aggregate(graph, source.unsqueeze(1), fn.sum, pooled.unsqueeze(2))
        return out.transpose(1, 2).flatten(1)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"num_channels={self.num_channels}"
