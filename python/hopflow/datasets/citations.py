"""Draws the edges of a synthetic citation graph: who cites whom, in whole-array operations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .dataset import Array, Ids
from .draws import Groups, share_out

# Chosen together by the sizes of sampled blocks; see Notes of synthetic.arxiv_like.
_FITNESS_EXPONENT = 0.8  # tail P(fitness > x) = x**-exponent
_FITNESS_SHIFT = 5.0  # ranks the power law starts at: bounds the largest hub
_REFERENCES_SIGMA = 1.6  # log-normal spread of the numbers of references
_RECENCY = 3.0  # the newest paper's fitness counts exp(recency) times that of the oldest
_SHARE_FIELD, _SHARE_CLASS = 0.75, 0.15  # of the references; the rest goes anywhere

# A reference that came out twice is drawn again, every second time from the next wider scope.
# Later it is drawn evenly from all earlier papers: the fittest alone would take forever.
_WEIGHTED_ROUNDS = 12
_MAX_ROUNDS = 200


@dataclass(frozen=True, eq=False)
class _Scope:
    """Papers laid out by group and then by time, so that "earlier in my group" is a range.

    Attributes
    ----------
    order : int64 [num_nodes], node at each place
    place : int64 [num_nodes], place of each node
    start : int64 [num_nodes], first place of each node's group
    cumulative : float64 [num_nodes + 1], sum of the fitness before each place
    """

    order: Ids
    place: Ids
    start: Ids
    cumulative: Array


def draw_citations(
    rng: np.random.Generator,
    rank: Ids,
    groups: Groups,
    num_edges: int,
    *,
    shares: tuple[float, float] = (_SHARE_FIELD, _SHARE_CLASS),
    shift: float = _FITNESS_SHIFT,
) -> tuple[Ids, Ids]:
    """Draw a simple acyclic graph: every edge goes from a paper to an earlier one.

    Parameters
    ----------
    rng
        Source of randomness.
    rank
        int64 ``[num_nodes]``, place of each node in time; a permutation.
    groups
        Groups of each node: its field, and the class its field is part of.
    num_edges
        Number of edges, at most a quarter of all pairs.
    shares
        Of the references, those to the narrow group and to the wide one; the rest goes anywhere.
    shift
        Rank that the power law of the fitness starts at: bounds the largest hub.

    Returns
    -------
    src, dst
        int64 ``[num_edges]`` each, ordered by `src`, then `dst`; no edge twice.

    Raises
    ------
    RuntimeError
        Distinct edges ran out, which the bound on `num_edges` excludes.
    """
    num_nodes = len(rank)
    references = _count_references(rng, rank, num_edges)
    # The fitness values are the quantiles of a power law, dealt out at random: drawn ones would
    # let the few largest, which shape the sampled blocks, differ from seed to seed.
    quantile = (np.argsort(rng.random(num_nodes), kind="stable") + shift) / num_nodes
    fitness = quantile ** (-1 / _FITNESS_EXPONENT) * np.exp(_RECENCY * rank / num_nodes)
    everyone = np.zeros(num_nodes, dtype=np.int64)
    scopes = [_lay_out(group, rank, fitness) for group in (groups.narrow, groups.wide, everyone)]

    src = np.repeat(np.arange(num_nodes), references)
    bounds = [shares[0], shares[0] + shares[1]]
    level = np.searchsorted(bounds, rng.random(len(src)), side="right")
    edges = np.empty(0, dtype=np.int64)  # src * num_nodes + dst, sorted
    for round_ in range(_MAX_ROUNDS):
        even = round_ >= _WEIGHTED_ROUNDS
        key = src * num_nodes + _draw_targets(rng, src, level, scopes, even=even)
        at = np.minimum(np.searchsorted(edges, key), max(len(edges) - 1, 0))
        known = edges[at] == key if len(edges) else np.zeros(len(key), dtype=bool)
        fresh = np.flatnonzero(~known)
        fresh = fresh[np.unique(key[fresh], return_index=True)[1]]
        again = np.ones(len(key), dtype=bool)
        again[fresh] = False
        edges = np.sort(np.concatenate([edges, key[fresh]]), kind="stable")
        src, level = src[again], np.minimum(level[again] + round_ % 2, len(scopes) - 1)
        if even:
            level[:] = len(scopes) - 1
        if not len(src):
            return edges // num_nodes, edges % num_nodes
    raise RuntimeError(f"{len(src)} of {num_edges} citations found no target")


def _count_references(rng: np.random.Generator, rank: Ids, num_edges: int) -> Ids:
    """Log-normal numbers of references that add up to `num_edges`, at least 1 where they can."""
    num_nodes = len(rank)
    weight = np.exp(_REFERENCES_SIGMA * rng.standard_normal(num_nodes))
    # At most half of the earlier papers, so that distinct ones are found in a few draws.
    most = (rank + 1) // 2
    least = np.minimum(1, most) if num_edges >= num_nodes else np.zeros_like(most)
    return share_out(weight, num_edges, least=least, most=most)


def _lay_out(group: Ids, rank: Ids, fitness: Array) -> _Scope:
    num_nodes = len(rank)
    order = np.argsort(group * num_nodes + rank, kind="stable")
    place = np.empty(num_nodes, dtype=np.int64)
    place[order] = np.arange(num_nodes)
    sizes = np.bincount(group)
    cumulative = np.concatenate([[0.0], np.cumsum(fitness[order])])
    return _Scope(order, place, (np.cumsum(sizes) - sizes)[group], cumulative)


def _draw_targets(
    rng: np.random.Generator, src: Ids, level: Ids, scopes: list[_Scope], *, even: bool
) -> Ids:
    """One earlier paper for each of `src`, from its scope or the next wider one that has any."""
    dst = np.empty(len(src), dtype=np.int64)
    drawn = rng.random(len(src))
    left = np.ones(len(src), dtype=bool)
    for depth, scope in enumerate(scopes):
        mine = np.flatnonzero(left & (level <= depth) & (scope.place[src] > scope.start[src]))
        left[mine] = False
        first, last = scope.start[src[mine]], scope.place[src[mine]]
        if even:
            picked = first + (drawn[mine] * (last - first)).astype(np.int64)
        else:
            low, high = scope.cumulative[first], scope.cumulative[last]
            picked = (
                np.searchsorted(scope.cumulative, low + drawn[mine] * (high - low), "right") - 1
            )
        # Rounding may step over either end of the range.
        dst[mine] = scope.order[np.clip(picked, first, last - 1)]
    return dst
