"""Layer-neighbour sampling: seeds decide about edges by one random number a source node."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._place import on_cuda
from hopflow.ops._shapes import as_int, id_dtype, optional_ids, require_ids
from hopflow.ops.sample import _fold_key
from hopflow.ops.sample_weighted import RowWeights, require_rising

_MASK64 = 2**64 - 1
# As in labor_cpu.cpp: when steps of importance sampling lead nowhere, and how many there may be.
_CONVERGED, _MOST_STEPS = 1e-4, 1000


class LaborEdges(NamedTuple):
    """The edges that seeds keep.

    Attributes
    ----------
    indptr : Tensor
        int64, shape [S + 1].
    neighbors : Tensor
        Sources, shape [K], dtype of the graph's ``indices``.
    positions : Tensor
        Where each edge is in the graph's CSC, shape [K]; int32 if its edges allow.
    weights : Tensor or None
        Of each edge, shape [K]; None where all edges of a seed are as likely.
    """

    indptr: Tensor
    neighbors: Tensor
    positions: Tensor
    weights: Tensor | None


def sample_labor(
    indptr: Tensor,
    indices: Tensor,
    seeds: Tensor,
    fanout: int,
    *,
    key: int,
    second_key: int = 0,
    share: float = 0.0,
    weights: RowWeights | None = None,
    importance_sampling: int = 0,
    normalize: bool = False,
    excluded: Tensor | None = None,
    num_src: int | None = None,
) -> LaborEdges:
    """Keep in-edges of every seed, about ``fanout``, with sources that seeds tend to share.

    Every source t has a random number r_t, uniform on [0, 1) and the same for all seeds. Seed s
    keeps its edge from t if r_t < c_s pi_t, so with probability min(1, c_s pi_t) (Poisson
    sampling); edges of one seed are kept independently of each other, parallel ones together. A
    seed with at most ``fanout`` edges keeps them all. Otherwise c_s is the scale at which the
    estimate of a sum over neighbours has the variance that ``fanout`` draws without replacement
    would give it::

        sum_t a_t**2 / min(1, c_s * pi_t) == (sum_t a_t)**2 * (1 / k - 1 / d) + sum_t a_t**2

    for d edges of weights a_t. All alike, pi_t is 1 and c_s is k / d, so that k edges are expected.
    With ``weights`` pi_t is the edge's weight; then, and with importance sampling, the expected
    number is not k exactly. A step of importance sampling replaces pi_t by the greatest c_s pi_t of
    the seeds that t has edges to, which lowers the expected number of distinct sources.

    The work is O(edges of the seeds), also where few are kept. The result depends on the keys and
    the seeds alone, never on threads.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [N + 1]: the graph's in-edges.
    indices : Tensor
        Source of the edge at each position, shape [E], int32 or int64.
    seeds : Tensor
        Nodes, shape [S], int32 or int64. A node given twice is sampled twice, alike.
    fanout : int
        k; -1 keeps all edges, 0 none.
    key : int
        Randomness: :func:`stream_key`. Calls with one key use the same r_t.
    second_key, share : int and float
        With a share in (0, 1] each r_t is, with this probability, that of ``second_key`` instead:
        as the share grows the numbers of one key are replaced by those of the other node by node.
    weights : RowWeights, optional
        What :func:`row_weights` makes.
    importance_sampling : int
        Steps; -1 until a step lowers the expected number of distinct sources by less than 0.01 %.
    normalize : bool
        Scale edge weights so that those of a seed sum to the number of its edges.
    excluded : Tensor, optional
        Positions of edges that are not there, int32 or int64, shape [X], strictly rising.
    num_src : int, optional
        Source nodes that there are, by default N; importance sampling needs to know.

    Returns
    -------
    LaborEdges
        A seed's edges come in the graph's order. With ``weights`` or importance sampling edge
        weights are a / p, p being the probability of the edge: sums over the kept edges with these
        weights estimate those over all edges without bias (Horvitz and Thompson). Their dtype is
        that of ``weights``, or float32.

    Raises
    ------
    IndexError
        A seed is not a node, or an excluded edge no edge.
    ValueError
        ``fanout`` or ``importance_sampling`` below -1, a share outside of [0, 1], ``indptr`` is no
        CSC index at a seed, or ``excluded`` does not rise.
    TypeError
        Wrong dtypes.
    HopflowError
        Importance sampling on CUDA.

    References
    ----------
    Balin, Çatalyürek, "Layer-Neighbor Sampling - Defusing Neighborhood Explosion in GNNs", NeurIPS
    2023; Horvitz, Thompson, "A generalization of sampling without replacement from a finite
    universe", JASA 47 (1952).
    """
    indptr, indices = require_ids("indptr", indptr), require_ids("indices", indices)
    seeds, excluded = require_ids("seeds", seeds).long(), optional_ids("excluded", excluded)
    num_edges, fanout = indices.shape[0], as_int("fanout", fanout)
    importance = as_int("importance_sampling", importance_sampling)
    if importance < -1:
        raise ValueError(f"importance_sampling: expected -1 or more, got {importance}")
    if not 0 <= share <= 1:  # also NaN
        raise ValueError(f"share: expected a number from 0 to 1, got {share}")
    if excluded is not None:
        excluded = require_rising("excluded", excluded.long(), num_edges)
    num_src = indptr.shape[0] - 1 if num_src is None else as_int("num_src", num_src)
    values = None if weights is None else weights.weights
    found = _native.sample_labor(
        indptr, indices, seeds, values, excluded, num_src, fanout, importance, bool(normalize),
        key & _MASK64, second_key & _MASK64, float(share),
    )  # fmt: skip
    weight_dtype = torch.float32 if values is None else values.dtype
    if not num_edges and values is not None:
        # The kernels take an array without a place for none.
        none = torch.empty(0, dtype=torch.uint8, device=seeds.device)
        found = (*found[:3], none, *found[4:])
    if not on_cuda(seeds):
        out_indptr, neighbors, positions, of_edges = found
        edge_weights = None if of_edges is None else of_edges.view(weight_dtype)
        return LaborEdges(out_indptr, neighbors, positions, edge_weights)
    # What CUDA keeps are bytes, perhaps more than are used.
    out_indptr, neighbors, positions, of_edges, count, is_wide = found
    position_dtype = torch.int64 if is_wide else torch.int32
    return LaborEdges(
        out_indptr.view(torch.int64)[: seeds.shape[0] + 1],
        neighbors.view(indices.dtype)[:count],
        positions.view(position_dtype)[:count],
        None if of_edges is None else of_edges.view(weight_dtype)[:count],
    )


def sample_labor_reference(
    indptr: Tensor,
    indices: Tensor,
    seeds: Tensor,
    fanout: int,
    *,
    key: int,
    second_key: int = 0,
    share: float = 0.0,
    weights: RowWeights | None = None,
    importance_sampling: int = 0,
    normalize: bool = False,
    excluded: Tensor | None = None,
    num_src: int | None = None,
) -> LaborEdges:
    """What :func:`sample_labor` computes, bit for bit, one edge at a time in Python."""
    chances = labor_chances(
        indptr, indices, seeds, fanout, weights=weights, importance_sampling=importance_sampling,
        excluded=excluded,
    )  # fmt: skip
    choice_key = _fold_key(second_key & _MASK64, _MASK64)

    def variate(node: int) -> int:
        is_second = (_fold_key(choice_key, node) >> 11) < int(share * 2.0**53)
        return _fold_key((second_key if is_second else key) & _MASK64, node) >> 11

    counts, kept, of_edges = [0], [], []
    for row in chances:
        found = [
            (p, chance)
            for p, chance in row.items()
            if variate(int(indices[p])) < int(chance * 2.0**53)
        ]
        raw = [1.0 if weights is None else float(weights.weights[p]) for p, _ in found]
        unit = max(raw) if normalize and raw else 1.0
        values = [value / unit / c for value, (_, c) in zip(raw, found)]
        factor = len(values) / _sum(values) if normalize and values else 1.0
        of_edges += [value * factor for value in values]
        kept += [p for p, _ in found]
        counts.append(len(kept))
    at = torch.tensor(kept, dtype=torch.int64)
    edge_weights = None
    if weights is not None or importance_sampling:
        dtype = torch.float32 if weights is None else weights.weights.dtype
        edge_weights = torch.tensor(of_edges, dtype=torch.float64).to(dtype)
    positions = at.to(id_dtype(indices.shape[0]))
    return LaborEdges(torch.tensor(counts), indices[at], positions, edge_weights)


def labor_chances(
    indptr: Tensor,
    indices: Tensor,
    seeds: Tensor,
    fanout: int,
    *,
    weights: RowWeights | None = None,
    importance_sampling: int = 0,
    excluded: Tensor | None = None,
) -> list[dict[int, float]]:
    """The probability with which :func:`sample_labor` keeps each edge, in plain Python.

    Returns
    -------
    list of dict
        Of each seed, ``{position: probability}`` of its edges, in the graph's order.
    """
    barred = set() if excluded is None else set(excluded.tolist())
    rows, shares = [], []
    for seed in seeds.tolist():
        row = [p for p in range(int(indptr[seed]), int(indptr[seed + 1])) if p not in barred]
        values = [1.0 if weights is None else float(weights.weights[p]) for p in row]
        total = _sum(values)
        rows.append(row)
        shares.append([value / total for value in values])
    importances: dict[int, float] | None = None

    def is_all(row: list[int]) -> bool:
        return fanout < 0 or len(row) <= fanout

    def scaled(row: list[int], share: list[float]) -> tuple[float, list[float]]:
        if importances is None:
            if weights is None:
                return 1.0, [fanout / len(row)] * len(row)
            pi = share
        else:
            pi = [importances[int(indices[p])] for p in row]
        return _solve_scale(share, pi, fanout), pi

    before, steps = math.inf, importance_sampling if importance_sampling >= 0 else _MOST_STEPS
    for _ in range(steps):
        raised: dict[int, float] = {}
        for row, share in zip(rows, shares):
            if not row or fanout <= 0:
                asked = [0.0] * len(row)
            elif is_all(row) and importances is None and weights is None:
                asked = [fanout / len(row)] * len(row)
            elif is_all(row):
                pi = share if importances is None else [importances[int(indices[p])] for p in row]
                scale = float(fanout) if importances is None else fanout / len(row)
                scale = max(scale, 1 / min(pi) if min(pi) > 0 else math.inf)
                asked = [scale * x for x in pi]
            else:
                scale, pi = scaled(row, share)
                asked = [scale * x for x in pi]
            for p, value in zip(row, asked):
                source = int(indices[p])
                raised[source] = max(raised.get(source, 0.0), value)
        importances = raised
        expected = float(sum(int(min(1.0, x) * 2.0**20) for x in raised.values()))
        if importance_sampling < 0 and expected >= before * (1 - _CONVERGED):
            break
        before = expected
    found = []
    for row, share in zip(rows, shares):
        if is_all(row):
            found.append(dict.fromkeys(row, 1.0))
        elif fanout == 0:
            found.append({})
        else:
            scale, pi = scaled(row, share)
            chances = [scale * x for x in pi]
            found.append({p: c if c < 1 else 1.0 for p, c in zip(row, chances)})
    return found


def _sum(values: list[float]) -> float:
    """Added from the left; Python's own sum compensates."""
    total = 0.0
    for value in values:
        total += value
    return total


def _solve_scale(a: list[float], pi: list[float], fanout: int) -> float:
    """``SolveScale`` of labor_row.h."""
    target = 1.0 / fanout - 1.0 / len(a) + _sum([x * x for x in a])
    scale, certain_before = 0.0, -1
    while True:
        certain = [not scale * y < 1 for y in pi]
        if sum(certain) <= certain_before:
            return scale
        certain_before = sum(certain)
        squares = _sum([x * x for x, is_certain in zip(a, certain) if is_certain])
        rest = _sum(
            [x if x == y else x * x / y for x, y, z in zip(a, pi, certain) if not z and x > 0]
        )
        scale = rest / (target - squares)
        if not scale > 0:
            return 1e300 if rest > 0 else scale
