"""Graphs rewired by diffusion: personalised PageRank, the heat kernel, any power series.

The matrices are dense, as DGL's are: a graph of more than some twenty thousand nodes is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph
from hopflow.transforms._matrices import edge_weight, ends_of, require_dense
from hopflow.transforms.modules import BaseTransform


class _Diffusion(BaseTransform):
    """Edges where the diffusion matrix is large enough; a class below says what that is.

    Parameters
    ----------
    eweight_name : str
        Edge column of weights, and of the result's. 1 where there is none.
    eps : float, optional
        Least weight of an edge of the result. None: the one that keeps ``avg_degree`` edges a node.
    avg_degree : int
        Edges a node, on average.
    """

    # Dense matrices that there are at a time.
    _copies = 3

    def __init__(self, eweight_name: str, eps: float | None, avg_degree: int) -> None:
        self.eweight_name, self.eps = eweight_name, eps
        self.avg_degree = ops.as_int("avg_degree", avg_degree)
        if self.avg_degree < 1:
            raise ValueError(f"avg_degree: expected a positive number, got {avg_degree}")

    def __call__(self, g: GraphT) -> GraphT:
        """The graph of the same nodes and node columns with the edges of the diffusion.

        They are sorted by destination, then source; weights are of the dtype of those before,
        float32 where there were none. Parallel edges count as one with their weights added.

        Raises
        ------
        ValueError
            A graph of several types, or so large that the dense matrices would take more than
            4 GiB; weights of another shape.
        TypeError
            Weights that are neither float32 nor float64.
        """
        g = require_graph(g, one_type=True)
        if self.eweight_name in g.edata:
            weight = edge_weight(g, self.eweight_name)
        else:
            weight = torch.ones(g.num_edges(), dtype=torch.float32, device=g.device)
        if weight.dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"edge column {self.eweight_name!r}: expected float32 or float64, got"
                f" {str(weight.dtype).replace('torch.', '')}"
            )
        count = g.num_nodes()
        name = type(self).__name__
        require_dense(name, count, count, dtype=weight.dtype, copies=self._copies)
        matrix = self._diffused(g, weight)
        dst, src = (matrix >= self._threshold(matrix)).nonzero(as_tuple=True)
        adjacency = Adjacency.from_coo(src, dst, count, count)
        return g.derived(adjacency, edge_columns={self.eweight_name: matrix[dst, src]})

    def _threshold(self, matrix: Tensor) -> float:
        if self.eps is not None:
            return self.eps
        wanted = self.avg_degree * matrix.shape[0]
        if wanted >= matrix.numel():
            return -torch.inf
        return float(torch.topk(matrix.detach().flatten(), wanted).values[-1])

    def _diffused(self, g: GraphBase, weight: Tensor) -> Tensor:
        """The matrix, shape [N, N], destinations by row."""
        raise NotImplementedError(f"{type(self).__name__} has no _diffused of its own")


def _dense(g: GraphBase, weight: Tensor) -> Tensor:
    """The weighted adjacency matrix, shape [N, N], destinations by row."""
    src, dst = ends_of(g)
    empty = torch.zeros(g.num_nodes(), g.num_nodes(), dtype=weight.dtype, device=g.device)
    return empty.index_put((dst, src), weight, accumulate=True)


class PPR(_Diffusion):
    """Edges by personalised PageRank: the matrix ``alpha (I - (1 - alpha) A)^-1``.

    Dense, O(N^3) in time; at most 4 GiB.

    Parameters
    ----------
    alpha : float
        Chance of a walk to start over, above 0 and at most 1.
    eweight_name : str
        Edge column of the weights in ``A``, 1 where there is none, and of the result's. A graph
        that :class:`GCNNorm` or the like has normalised makes sense of them.
    eps : float, optional
        Least weight of an edge of the result. None: the one that keeps ``avg_degree`` edges a node.
    avg_degree : int
        Edges a node, on average; ties may add some.

    References
    ----------
    Klicpera, Weissenberger, Günnemann, "Diffusion improves graph learning",
    https://arxiv.org/abs/1911.05485
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.PPR.html
    """

    def __init__(
        self,
        alpha: float = 0.15,
        eweight_name: str = "w",
        eps: float | None = None,
        avg_degree: int = 5,
    ) -> None:
        super().__init__(eweight_name, eps, avg_degree)
        if not 0 < alpha <= 1:
            raise ValueError(f"alpha: expected a number above 0 and at most 1, got {alpha}")
        self.alpha = alpha

    def _diffused(self, g: GraphBase, weight: Tensor) -> Tensor:
        matrix = _dense(g, (self.alpha - 1) * weight)
        matrix = matrix + torch.eye(g.num_nodes(), dtype=weight.dtype, device=g.device)
        inverse, info = torch.linalg.inv_ex(matrix)
        if int(info):
            raise ValueError(
                f"alpha: I - (1 - alpha) A has no inverse with alpha = {self.alpha} and these"
                " weights; GCNNorm normalises them"
            )
        made: Tensor = self.alpha * inverse
        return made


class HeatKernel(_Diffusion):
    """Edges by the heat kernel: the matrix ``exp(t (A - I))``.

    Dense, O(N^3) in time; at most 4 GiB.

    Parameters
    ----------
    t : float
        Time of diffusion.
    eweight_name, eps, avg_degree
        As for :class:`PPR`.

    References
    ----------
    Klicpera, Weissenberger, Günnemann, "Diffusion improves graph learning",
    https://arxiv.org/abs/1911.05485
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.HeatKernel.html
    """

    _copies = 8  # what torch's matrix exponential keeps

    def __init__(
        self,
        t: float = 2.0,
        eweight_name: str = "w",
        eps: float | None = None,
        avg_degree: int = 5,
    ) -> None:
        super().__init__(eweight_name, eps, avg_degree)
        self.t = t

    def _diffused(self, g: GraphBase, weight: Tensor) -> Tensor:
        matrix = _dense(g, self.t * weight)
        eye = torch.eye(g.num_nodes(), dtype=weight.dtype, device=g.device)
        made: Tensor = torch.linalg.matrix_exp(matrix - self.t * eye)
        return made


class GDC(_Diffusion):
    """Edges by a power series: the matrix ``sum_k coefs[k] A^k``.

    Dense, O(K E N) in time, K being the number of coefficients; at most 4 GiB.

    Parameters
    ----------
    coefs : sequence of float
        Of the powers 0, 1, 2, ...; at least one.
    eweight_name, eps, avg_degree
        As for :class:`PPR`.

    References
    ----------
    Klicpera, Weissenberger, Günnemann, "Diffusion improves graph learning",
    https://arxiv.org/abs/1911.05485
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.GDC.html
    """

    def __init__(
        self,
        coefs: Sequence[float],
        eweight_name: str = "w",
        eps: float | None = None,
        avg_degree: int = 5,
    ) -> None:
        super().__init__(eweight_name, eps, avg_degree)
        self.coefs = list(coefs)
        if not self.coefs:
            raise ValueError("coefs: expected at least one coefficient, got none")

    def _diffused(self, g: GraphBase, weight: Tensor) -> Tensor:
        full = g.adjacency.full()
        eye = torch.eye(g.num_nodes(), dtype=weight.dtype, device=g.device)
        # Horner's rule: c0 I + A (c1 I + A (c2 I + ...)).
        total = self.coefs[-1] * eye
        for coef in reversed(self.coefs[:-1]):
            total = ops.spmm(full.indptr, full.indices, total, weight=weight, eids=full.eids)
            total = total + coef * eye
        return total
