"""Draws the edges of a synthetic relation between two node types, in whole-array operations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .dataset import Array, Ids
from .draws import Groups

# A link that came out twice is drawn again, every second time from the next wider scope; later
# evenly from all, as the heaviest alone would take forever.
_WEIGHTED_ROUNDS = 8
_MAX_ROUNDS = 200


@dataclass(frozen=True, eq=False)
class _Scope:
    """Items laid out by group, so that "of my group" is a range.

    Attributes
    ----------
    order : int64 [num_items], item at each place
    start, end : int64 [num_groups], first place of each group and the one behind it
    cumulative : float64 [num_items + 1], sum of the weights before each place
    """

    order: Ids
    start: Ids
    end: Ids
    cumulative: Array


def draw_links(
    rng: np.random.Generator,
    src: Groups,
    dst: Groups,
    *,
    counts: Ids,
    weight: Array,
    shares: tuple[float, float],
) -> tuple[Ids, Ids]:
    """Draw links between items that belong to the same groups more often than chance has it.

    Each destination has one link from a source of its group, drawn evenly, and each source has
    `counts` more of its own.

    Parameters
    ----------
    rng
        Source of randomness.
    src, dst
        Groups of the sources and of the destinations, numbered alike.
    counts
        int64 ``[num_src]``, links that each source draws. With one a destination they are at most
        a quarter of all pairs.
    weight
        float64 ``[num_dst]``, above 0: how often a destination is drawn.
    shares
        Of the drawn links, those within the narrow group and within the wide one; the rest goes
        anywhere.

    Returns
    -------
    src, dst
        int64 ``[num_dst + counts.sum()]`` each, ordered by `src`, then `dst`; no link twice.

    Raises
    ------
    RuntimeError
        Distinct links ran out, which the bound on `counts` excludes.
    """
    num_src, num_dst = len(src.narrow), len(dst.narrow)
    from_dst = _scopes(src, dst, np.ones(num_src))
    first = _draw(rng, dst, np.arange(num_dst), np.zeros(num_dst, dtype=np.int64), from_dst)
    edges = np.sort(first * num_dst + np.arange(num_dst), kind="stable")
    scopes, even = _scopes(dst, src, weight), None
    left = np.repeat(np.arange(num_src), counts)
    bounds = [shares[0], shares[0] + shares[1]]
    level = np.searchsorted(bounds, rng.random(len(left)), side="right")
    for round_ in range(_MAX_ROUNDS):
        if round_ == _WEIGHTED_ROUNDS:
            scopes = even = _scopes(dst, src, np.ones(num_dst))
        if even is not None:
            level[:] = len(scopes) - 1
        key = left * num_dst + _draw(rng, src, left, level, scopes)
        at = np.minimum(np.searchsorted(edges, key), len(edges) - 1)
        fresh = np.flatnonzero(edges[at] != key)
        fresh = fresh[np.unique(key[fresh], return_index=True)[1]]
        again = np.ones(len(key), dtype=bool)
        again[fresh] = False
        edges = np.sort(np.concatenate([edges, key[fresh]]), kind="stable")
        left, level = left[again], np.minimum(level[again] + round_ % 2, len(scopes) - 1)
        if not len(left):
            return edges // num_dst, edges % num_dst
    raise RuntimeError(f"{len(left)} of {counts.sum()} links found no destination")


def power_law(rng: np.random.Generator, size: int, *, exponent: float, shift: float) -> Array:
    """Weights with the tail ``P(weight > x) = x**-exponent``, dealt out at random.

    They are quantiles and not draws, so that the largest differ little from seed to seed.

    Parameters
    ----------
    rng
        Source of randomness.
    size
        Number of weights.
    exponent
        Of the tail.
    shift
        Share of the items at which the power law starts: bounds the largest weight.

    Returns
    -------
    ndarray
        float64 ``[size]``, above 0.
    """
    place = np.argsort(rng.random(size), kind="stable")
    weight: Array = ((place + 0.5) / size + shift) ** (-1 / exponent)
    return weight


def _scopes(items: Groups, others: Groups, weight: Array) -> list[_Scope]:
    """The narrow groups of `items`, the wide ones, all; also groups that only `others` have."""
    everything = np.zeros(len(items.narrow), dtype=np.int64)
    levels = ((items.narrow, others.narrow), (items.wide, others.wide), (everything, everything))
    scopes = []
    for mine, theirs in levels:
        order = np.argsort(mine, kind="stable")
        sizes = np.bincount(mine, minlength=int(theirs.max()) + 1)
        end = np.cumsum(sizes)
        cumulative = np.concatenate([[0.0], np.cumsum(weight[order])])
        scopes.append(_Scope(order, end - sizes, end, cumulative))
    return scopes


def _draw(
    rng: np.random.Generator, groups: Groups, who: Ids, level: Ids, scopes: list[_Scope]
) -> Ids:
    """One item for each of `who`, from its scope or the next wider one that has any."""
    picked = np.empty(len(who), dtype=np.int64)
    drawn = rng.random(len(who))
    left = np.ones(len(who), dtype=bool)
    for depth, (scope, group) in enumerate(zip(scopes, (groups.narrow, groups.wide, None))):
        at = np.flatnonzero(left & (level <= depth))
        mine = np.zeros(len(at), dtype=np.int64) if group is None else group[who[at]]
        first, last = scope.start[mine], scope.end[mine]
        has = last > first
        at, first, last = at[has], first[has], last[has]
        left[at] = False
        low, high = scope.cumulative[first], scope.cumulative[last]
        place = np.searchsorted(scope.cumulative, low + drawn[at] * (high - low), "right") - 1
        # Rounding may step over either end of the range.
        picked[at] = scope.order[np.clip(place, first, last - 1)]
    return picked
