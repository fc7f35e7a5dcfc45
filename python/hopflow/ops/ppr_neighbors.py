"""The nodes of largest personalised PageRank around each seed."""

from __future__ import annotations

import math
from collections import deque
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._library import Spec, define
from hopflow.ops._shapes import as_float, as_int, optional_ids, require_ids
from hopflow.ops.sample_weighted import RowWeights, require_rising

# As in ppr_neighbors_bind.cpp.
_LEAST_ALPHA, _LEAST_EPSILON = 1e-6, 1e-15


class PPRNeighbors(NamedTuple):
    """Nodes by their score for each seed.

    Attributes
    ----------
    neighbors : Tensor
        Shape [S, K], dtype of the graph's ``indices``: the largest score first, of equal ones the
        smallest id; -1 behind the last.
    scores : Tensor
        float64, shape [S, K]; 0 behind the last.
    counts : Tensor
        How many there are, int64, shape [S].
    """

    neighbors: Tensor
    scores: Tensor
    counts: Tensor


def _shapes(
    indptr: Tensor,
    indices: Tensor,
    weights: Tensor | None,
    excluded: Tensor | None,
    seeds: Tensor,
    k: int,
    alpha: float,
    epsilon: float,
) -> tuple[Spec, Spec, Spec]:
    num_seeds, device = seeds.shape[0], seeds.device
    return (
        ((num_seeds, k), indices.dtype, device),
        ((num_seeds, k), torch.float64, device),
        ((num_seeds,), torch.int64, device),
    )


def _run(
    neighbors: Tensor,
    scores: Tensor,
    counts: Tensor,
    indptr: Tensor,
    indices: Tensor,
    weights: Tensor | None,
    excluded: Tensor | None,
    seeds: Tensor,
    k: int,
    alpha: float,
    epsilon: float,
) -> None:
    _native.ppr_neighbors(
        indptr, indices, weights, excluded, seeds, k, alpha, epsilon, neighbors, scores, counts
    )


_ppr_neighbors = define(
    "ppr_neighbors(Tensor indptr, Tensor indices, Tensor? weights, Tensor? excluded, Tensor seeds,"
    " int k, float alpha, float epsilon) -> (Tensor, Tensor, Tensor)",
    shapes=_shapes,
    run=_run,
)


def ppr_neighbors(
    indptr: Tensor,
    indices: Tensor,
    seeds: Tensor,
    k: int,
    *,
    alpha: float = 0.15,
    epsilon: float = 1e-4,
    weights: RowWeights | None = None,
    excluded: Tensor | None = None,
) -> PPRNeighbors:
    """Find the at most ``k`` nodes with the largest approximate PageRank for each seed; on the CPU.

    The PageRank of t for seed s is the probability that a walk from s ends at t. At each node the
    walk ends with probability ``alpha``, and where there is no in-edge; else it goes to the source
    of one of the node's in-edges, so against the edges, as messages reach the seed. The seed counts
    as one of the nodes.

    Scores p are found by local push and never too large. With d(v) in-edges of v, at least 1, and
    pi_v the exact values of v::

        0 <= pi_s(t) - p(t) <= epsilon * sum_v d(v) * pi_v(t)

    which is ``epsilon * d(t)`` where every edge has its reverse and there are no weights. The work
    is at most 1 / (alpha * epsilon) edges a seed, whatever ``k`` and the size of the graph. Only
    nodes that hold ``epsilon`` for each of their in-edges at some time have a score. A seed of more
    than 1 / epsilon in-edges has none but itself, with ``alpha``.

    The result does not depend on threads. Scores are computed in float64.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [N + 1]: the graph's in-edges.
    indices : Tensor
        Source of the edge at each position, shape [E], int32 or int64.
    seeds : Tensor
        Nodes, shape [S], int32 or int64.
    k : int
        The most nodes of a seed, itself included.
    alpha : float
        From 1e-6 to 1; near 0 walks are long.
    epsilon : float
        At least 1e-15. Halved, it allows twice the work.
    weights : RowWeights, optional
        What :func:`row_weights` makes: a walk takes an edge with a probability proportional to its
        weight. d(v) still counts edges.
    excluded : Tensor, optional
        Positions of edges that are not there, int32 or int64, shape [X], strictly rising.

    Returns
    -------
    PPRNeighbors
        With K the smallest of ``k``, N and about 1 / (alpha * epsilon): no more can have a score.

    Raises
    ------
    IndexError
        A seed or a source that is not a node, or an excluded edge that is none.
    ValueError
        ``k``, ``alpha`` or ``epsilon`` out of range, ``indptr`` is no CSC index at a node that is
        read, or ``excluded`` does not rise.
    TypeError
        Wrong dtypes.
    HopflowError
        Tensors on CUDA.

    References
    ----------
    Andersen, Chung, Lang, "Local graph partitioning using PageRank vectors", FOCS 2006; as
    neighbourhoods: Bojchevski et al., "Scaling graph neural networks with approximate PageRank",
    KDD 2020, and Zeng et al., "Decoupling the depth and scope of graph neural networks", NeurIPS
    2021.
    """
    indptr, indices = require_ids("indptr", indptr), require_ids("indices", indices)
    seeds, excluded = require_ids("seeds", seeds).long(), optional_ids("excluded", excluded)
    if excluded is not None:
        excluded = require_rising("excluded", excluded.long(), indices.shape[0])
    k, alpha, epsilon = check_ppr(k, alpha, epsilon)
    values = None if weights is None else weights.weights.contiguous()
    found = _ppr_neighbors(
        indptr,
        indices,
        values,
        excluded,
        seeds,
        _columns(k, indptr, alpha, epsilon),
        alpha,
        epsilon,
    )
    return PPRNeighbors(*found)


def _columns(k: int, indptr: Tensor, alpha: float, epsilon: float) -> int:
    """K: no more than there can be, or the memory would follow the graph's size."""
    # Each node with a score had alpha * epsilon of the mass at its first push, of 1 in all.
    most = math.ceil(1.001 / (alpha * min(epsilon, 1.0)))
    return max(0, min(k, most, indptr.shape[0] - 1))


def check_ppr(
    k: object, alpha: object, epsilon: object, *, k_name: str = "k"
) -> tuple[int, float, float]:
    """The numbers of :func:`ppr_neighbors`, or a TypeError or ValueError that names the wrong one.

    ``k_name`` is what the caller calls ``k``.
    """
    most = as_int(k_name, k)
    if most < 0:
        raise ValueError(f"{k_name}: expected at least 0, got {most}")
    end, least = as_float("alpha", alpha), as_float("epsilon", epsilon)
    if not _LEAST_ALPHA <= end <= 1:  # also NaN
        raise ValueError(f"alpha: expected a number from {_LEAST_ALPHA:g} to 1, got {end}")
    if not _LEAST_EPSILON <= least < math.inf:
        raise ValueError(
            f"epsilon: expected a finite number of at least {_LEAST_EPSILON:g}, got {least}"
        )
    return most, end, least


def ppr_neighbors_reference(
    indptr: Tensor,
    indices: Tensor,
    seeds: Tensor,
    k: int,
    *,
    alpha: float = 0.15,
    epsilon: float = 1e-4,
    weights: RowWeights | None = None,
    excluded: Tensor | None = None,
) -> PPRNeighbors:
    """What :func:`ppr_neighbors` computes, bit for bit, with dicts and a queue."""
    barred = set() if excluded is None else set(excluded.tolist())
    begins, sources = indptr.tolist(), indices.tolist()
    values = [1.0] * len(sources) if weights is None else weights.weights.tolist()

    @cache
    def row_of(node: int) -> list[tuple[int, float]]:
        positions = range(begins[node], begins[node + 1])
        return [(sources[e], values[e]) for e in positions if e not in barred]

    most = _columns(k, indptr, alpha, epsilon)
    neighbors = torch.full((len(seeds), most), -1, dtype=indices.dtype)
    scores = torch.zeros(len(seeds), most, dtype=torch.float64)
    counts = torch.zeros(len(seeds), dtype=torch.int64)
    for place, seed in enumerate(seeds.tolist()):
        p, r, queue = {}, {seed: 1.0}, deque([seed])
        if epsilon * max(1, len(row_of(seed))) > 1:
            p[seed] = alpha
            queue.clear()
        while queue:
            node = queue.popleft()
            mass, row = r.pop(node), row_of(node)
            p[node] = p.get(node, 0.0) + (alpha * mass if row else mass)
            rest, total = (1 - alpha) * mass, 0.0
            for _, weight in row:
                total += weight
            for source, weight in row:
                share = rest / len(row) if weights is None else rest * (weight / total)
                r[source] = r.get(source, 0.0) + share
                is_large = r[source] >= epsilon * max(1, len(row_of(source)))
                if is_large and source not in queue:
                    queue.append(source)
        best = sorted(p.items(), key=lambda of: (-of[1], of[0]))[:most]
        counts[place] = len(best)
        if best:
            neighbors[place, : len(best)] = torch.tensor([node for node, _ in best])
            scores[place, : len(best)] = torch.tensor([x for _, x in best], dtype=torch.float64)
    return PPRNeighbors(neighbors, scores, counts)
