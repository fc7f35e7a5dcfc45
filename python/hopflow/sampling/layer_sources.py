"""Source nodes drawn for a whole layer by their importance, and what keeps their sums unbiased."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.sampling.edge_pool import EdgePool, kept_pool, make_pool
from hopflow.structure.adjacency import Adjacency


class LayerPool(EdgePool):
    """A graph's in-edges and their weights in the sum that a layer computes.

    Parameters
    ----------
    adjacency : Adjacency
        The edges; ``eids`` lead to the graph's.
    num_edges : int
        Edges of the graph.
    values : Tensor, optional
        Weight of the edge at each position, float64, any sign; None: one over the number of
        in-edges of its destination, so that sums are means.
    """

    def __init__(self, adjacency: Adjacency, num_edges: int, values: Tensor | None) -> None:
        super().__init__(adjacency, num_edges)
        self.values = values
        self._importance: Importance | None = None

    def values_at(self, indptr: Tensor, positions: Tensor) -> Tensor:
        """Weights of some rows' edges, given by ``indptr`` and the positions, float64."""
        if self.values is not None:
            return ops.gather_rows(self.values, positions)
        degrees = indptr.diff()
        return torch.repeat_interleave(
            degrees.clamp(min=1).double().reciprocal(), degrees, output_size=positions.shape[0]
        )

    def importance(self) -> Importance:
        """Of the whole graph's source nodes; O(E) the first time, then kept."""
        if self._importance is None:
            edges = self.adjacency
            values = self.values
            if values is None:
                positions = torch.arange(edges.num_edges, device=edges.indices.device)
                values = self.values_at(edges.indptr, positions)
            norms = squared_norms(edges.indices, values, edges.num_src)
            self._importance = Importance(torch.arange(edges.num_src, device=norms.device), norms)
        return self._importance


class Importance:
    """Nodes that may be drawn, and how likely.

    Parameters
    ----------
    nodes : Tensor
        Distinct ids, int64, shape [M]; those without weight are left out.
    weights : Tensor
        Not negative, float64, shape [M].
    """

    def __init__(self, nodes: Tensor, weights: Tensor) -> None:
        is_there = weights > 0
        self.nodes, self.weights = nodes[is_there], weights[is_there]

    @cached_property
    def row(self) -> tuple[Tensor, ops.RowWeights]:
        """The nodes as the edges of one row, to draw from."""
        indptr = torch.tensor([0, self.nodes.shape[0]], device=self.nodes.device)
        return indptr, ops.row_weights(indptr, self.weights)


def squared_norms(columns: Tensor, values: Tensor, num_columns: int) -> Tensor:
    """Squared norm of each column of a matrix up to one factor, float64, from its entries."""
    # The factor keeps squares away from the ends of float64.
    largest = values.abs().max().clamp(min=torch.finfo(torch.float64).tiny) if len(values) else 1.0
    squares = (values / largest).square()
    return torch.bincount(columns.long(), squares, minlength=num_columns).double()


def layer_pool(adjacency: Adjacency, edge_weight: Tensor | None) -> LayerPool:
    """The in-edges with their weights; O(E) the first time, then kept while the column stays.

    Raises
    ------
    ValueError
        A weight that is infinite or NaN.
    """

    def make() -> LayerPool:
        with torch.inference_mode(False):
            pool = make_pool(adjacency, "in", None, None, "")
            values = None
            if edge_weight is not None:
                values = edge_weight.detach().double()
                is_bad = ~values.isfinite()
                if bool(is_bad.any()):
                    at = int(is_bad.nonzero()[0])
                    raise ValueError(
                        f"edge_weight: expected finite weights, got {float(values[at])} for edge"
                        f" {at}"
                    )
                eids = pool.adjacency.eids
                values = values if eids is None else values[eids.long()]
            return LayerPool(pool.adjacency, pool.num_edges, values)

    return kept_pool(adjacency, "layer", (edge_weight,), make)


def draw_sources(
    importance: Importance, count: int, *, key: int, replace: bool
) -> tuple[Tensor, Tensor]:
    """Draw nodes by importance: ``(nodes, factors)``.

    A sum over all nodes has the same expectation as the sum over those drawn, each term times its
    factor, whatever the terms are.

    Parameters
    ----------
    importance : Importance
        M nodes with weights.
    count : int
        Draws; -1 takes every node.
    key : int
        Randomness: :func:`hopflow.ops.stream_key`.
    replace : bool
        Independent draws, each of node ``i`` with probability ``q_i = weight_i / sum of weights``;
        one that was drawn ``c_i`` times has the factor ``c_i / (count * q_i)``. Otherwise priority
        sampling: ``count`` distinct nodes, those with the largest ``weight_i / u_i``, with ``u_i``
        uniform on (0, 1); with ``t`` the largest such number of the nodes not taken the factor is
        ``max(1, t / weight_i)``, and 1 where all are taken.

    Returns
    -------
    nodes : Tensor
        Distinct, int64, shape [K].
    factors : Tensor
        float64, shape [K].

    References
    ----------
    Duffield, Lund, Thorup, "Priority sampling for estimation of arbitrary subset sums", J. ACM 54
    (2007): given the other nodes' numbers, node ``i`` is taken with probability
    ``min(1, weight_i / t)``.
    """
    nodes, weights = importance.nodes, importance.weights
    num_nodes, device = nodes.shape[0], nodes.device
    if count < 0 or num_nodes == 0 or (count >= num_nodes and not replace):
        return nodes, torch.ones(num_nodes, dtype=torch.float64, device=device)
    if count == 0:
        return nodes[:0], weights[:0]
    if replace:
        indptr, prepared = importance.row
        _, draws = ops.sample_weighted(
            indptr, num_nodes, indptr[:1], count, key=key, replace=True, weights=prepared
        )
        chosen, times = torch.unique(draws, return_counts=True)
        share = weights[chosen] / prepared.sums[-1]
        return nodes[chosen], times / (count * share)
    priorities = weights / ops.node_uniforms(nodes, key=key)
    largest, order = priorities.topk(count + 1)
    chosen = order[:count].sort().values
    return nodes[chosen], (largest[-1] / weights[chosen]).clamp(min=1.0)
