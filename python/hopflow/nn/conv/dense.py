"""Layers over an adjacency matrix that is stored in full, for graphs that are small and dense."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hopflow.nn._checks import require_input, require_width
from hopflow.nn._pairs import Features

NORMS = ("none", "both", "right")


def _as_adjacency(adj: Tensor, source: Tensor, *, square: bool) -> Tensor:
    """The matrix [V, U] in the dtype and on the device of the sources' rows [U, ...]."""
    if adj.dim() != 2 or source.dim() < 2 or adj.shape[1] != source.shape[0]:
        raise ValueError(
            "adj: expected a column for each source row, shape [V, U] beside feat [U, ...], got"
            f" {list(adj.shape)} beside {list(source.shape)}"
        )
    if square and adj.shape[0] != adj.shape[1]:
        raise ValueError(f"adj: expected a square matrix, got shape {list(adj.shape)}")
    return adj.to(source)


def _aggregate(adj: Tensor, x: Tensor) -> Tensor:
    """Sum of the rows [U, ..., D] that each row of the matrix [V, U] weights."""
    return (adj @ x.flatten(1)).view(adj.shape[0], *x.shape[1:])


class DenseGraphConv(nn.Module):
    r"""Graph convolution over a dense adjacency matrix; :class:`GraphConv` without a graph.

    .. math::
        H' = \sigma(D_{in}^{-1/2} A D_{out}^{-1/2} H W + b)

    Parameters have the names, shapes and initialisation of DGL's layer.

    Parameters
    ----------
    in_feats, out_feats : int
        Widths of input and output.
    norm : {"both", "right", "none"}
        Divide by the roots of both degrees, by the in-degree, or not at all. A degree is the sum of
        a row or column of the matrix, and counts as at least 1.
    bias : bool
        Learn a bias.
    activation : callable, optional
        Applied to the output.

    Raises
    ------
    ValueError
        An unknown norm.

    References
    ----------
    Kipf, Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.DenseGraphConv.html
    """

    bias: Tensor | None

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        norm: str = "both",
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm: expected one of {', '.join(NORMS)}, got {norm!r}")
        self._in_feats, self._out_feats, self._norm = in_feats, out_feats, norm
        self.weight = nn.Parameter(torch.empty(in_feats, out_feats))
        if bias:
            self.bias = nn.Parameter(torch.empty(out_feats))
        else:
            self.register_buffer("bias", None)
        self.reset_parameters()
        self._activation = activation

    def reset_parameters(self) -> None:
        """Draw the weight anew by Glorot's uniform law; the bias becomes 0."""
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, adj: Tensor, feat: Tensor) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        adj : Tensor
            Weights of the edges, 0 where there is none; row: destination, column: source; shape
            [V, U].
        feat : Tensor
            Shape [U, ..., in].

        Returns
        -------
        Tensor
            Shape [V, ..., out].

        Raises
        ------
        ValueError
            Operands whose shapes do not go together.
        """
        adj = _as_adjacency(adj, feat, square=False)
        require_width("feat", feat, self._in_feats)
        tail = [1] * (feat.dim() - 1)
        if self._norm == "both":
            feat = feat * adj.sum(0).clamp(min=1).pow(-0.5).view(-1, *tail)
        if self._in_feats > self._out_feats:  # the sums are over the narrower rows
            out = _aggregate(adj, feat @ self.weight)
        else:
            out = _aggregate(adj, feat) @ self.weight
        if self._norm != "none":
            power = -0.5 if self._norm == "both" else -1.0
            out = out * adj.sum(1).clamp(min=1).pow(power).view(-1, *tail)
        if self.bias is not None:
            out = out + self.bias
        return out if self._activation is None else self._activation(out)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"{self._in_feats}, {self._out_feats}, norm={self._norm!r}"


class DenseSAGEConv(nn.Module):
    r"""GraphSAGE over a dense adjacency matrix: the mean of the neighbours and the node itself.

    .. math::
        H' = \sigma\Big(\frac{A H + H_{own}}{D_{in} + 1} W + b\Big)

    It is :class:`SAGEConv` with the aggregator "gcn", without a graph. Parameters have the names,
    shapes and initialisation of DGL's layer.

    Parameters
    ----------
    in_feats, out_feats : int
        Widths of input and output.
    feat_drop : float
        Dropout rate of the input features.
    bias : bool
        Learn a bias.
    norm : callable, optional
        Applied to the output, after the activation.
    activation : callable, optional
        Applied to the output.

    References
    ----------
    Hamilton, Ying, Leskovec, "Inductive representation learning on large graphs", NeurIPS 2017;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.DenseSAGEConv.html
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        feat_drop: float = 0.0,
        bias: bool = True,
        norm: Callable[[Tensor], Tensor] | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self._norm, self.activation = norm, activation
        self.feat_drop = nn.Dropout(feat_drop)
        self.fc = nn.Linear(in_feats, out_feats, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight anew by Glorot's uniform law with ReLU's gain."""
        nn.init.xavier_uniform_(self.fc.weight, gain=nn.init.calculate_gain("relu"))

    def forward(self, adj: Tensor, feat: Features) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        adj : Tensor
            Weights of the edges, 0 where there is none; row: destination, column: source; shape
            [V, U].
        feat : Tensor or (Tensor, Tensor)
            Shape [N, ..., in]; or the rows of sources, [U, ..., in], and destinations,
            [V, ..., in].

        Returns
        -------
        Tensor
            Shape [V, ..., out].

        Raises
        ------
        ValueError
            Operands whose shapes do not go together.
        """
        if isinstance(feat, tuple):
            source, own = self.feat_drop(feat[0]), self.feat_drop(feat[1])
        else:
            source = own = self.feat_drop(feat)
        adj = _as_adjacency(adj, source, square=False)
        require_input("feat", source, self.fc)
        if own.shape != (adj.shape[0], *source.shape[1:]):
            raise ValueError(
                f"feat: expected destination rows of shape {[adj.shape[0], *source.shape[1:]]}, got"
                f" {list(own.shape)}"
            )
        degrees = adj.sum(1).view(-1, *[1] * (own.dim() - 1))
        out: Tensor = self.fc((_aggregate(adj, source) + own) / (degrees + 1))
        if self.activation is not None:
            out = self.activation(out)
        return out if self._norm is None else self._norm(out)


class DenseChebConv(nn.Module):
    r"""Chebyshev spectral convolution over a dense adjacency matrix.

    .. math::
        H' = \sum_{i=0}^{k-1} T_i(\hat L) H W_i + b, \quad
        \hat L = \frac{2}{\lambda_{max}} (I - D^{-1/2} A D^{-1/2}) - I

    with Chebyshev's polynomials :math:`T_i` and the in-degrees D, which count as at least 1. They
    are applied to the features, never made as matrices. Parameters have the names, shapes and
    initialisation of DGL's layer.

    Parameters
    ----------
    in_feats, out_feats : int
        Widths of input and output.
    k : int
        Number of polynomials.
    bias : bool
        Learn a bias.

    References
    ----------
    Defferrard, Bresson, Vandergheynst, "Convolutional neural networks on graphs with fast localized
    spectral filtering", NeurIPS 2016;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.DenseChebConv.html
    """

    bias: Tensor | None

    def __init__(self, in_feats: int, out_feats: int, k: int, bias: bool = True) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"k: expected at least 1, got {k}")
        self._in_feats, self._out_feats, self._k = in_feats, out_feats, k
        self.W = nn.Parameter(torch.empty(k, in_feats, out_feats))
        if bias:
            self.bias = nn.Parameter(torch.empty(out_feats))
        else:
            self.register_buffer("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw each matrix anew by Glorot's normal law with ReLU's gain; the bias becomes 0."""
        for weight in self.W:
            nn.init.xavier_normal_(weight, nn.init.calculate_gain("relu"))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, adj: Tensor, feat: Tensor, lambda_max: float | None = None) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        adj : Tensor
            Weights of the edges, 0 where there is none; row: destination, column: source; shape
            [N, N].
        feat : Tensor
            Shape [N, in].
        lambda_max : float, optional
            Largest eigenvalue of the Laplacian; found here by default, in O(N^3), without a
            gradient of its own.

        Returns
        -------
        Tensor
            Shape [N, out].

        Raises
        ------
        ValueError
            Operands whose shapes do not go together.
        """
        adj = _as_adjacency(adj, feat, square=True)
        require_width("feat", feat, self._in_feats)
        scale = adj.sum(1).clamp(min=1).rsqrt()
        # A path from u to v is scaled by both nodes' in-degrees, as in DGL.
        normed = scale.unsqueeze(1) * adj * scale
        if lambda_max is None:
            wide = normed.detach().to(torch.promote_types(adj.dtype, torch.float32))
            laplacian = torch.eye(len(wide), dtype=wide.dtype, device=wide.device) - wide
            largest = torch.linalg.eigvals(laplacian).real.amax() if len(wide) else 1.0
        else:
            largest = lambda_max

        def step(x: Tensor) -> Tensor:
            """The scaled Laplacian times ``x``."""
            return (x - normed @ x) * (2 / largest) - x

        terms = [feat]
        if self._k > 1:
            terms.append(step(feat))
        while len(terms) < self._k:
            terms.append(2 * step(terms[-1]) - terms[-2])
        # One product over all terms at once.
        out = torch.cat(terms, 1) @ self.W.flatten(0, 1)
        return out if self.bias is None else out + self.bias

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"{self._in_feats}, {self._out_feats}, k={self._k}"
