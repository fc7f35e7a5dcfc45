"""Neighbour sampling where edges are not all alike: by weight, or beside excluded edges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._place import check_indptr
from hopflow.ops._shapes import (
    as_int,
    dtype_name,
    optional_ids,
    require_ids,
    require_same_device,
    require_tensor,
)
from hopflow.ops.sample import _fold_key, _mix64

_MASK64 = 2**64 - 1


class RowWeights(NamedTuple):
    """Weights of the edges at each position, ready to draw by: see :func:`row_weights`.

    Attributes
    ----------
    sums : Tensor
        float64, shape [E]: sum of the weights of a row's edges up to this one.
    weights : Tensor
        float32 or float64, shape [E].
    """

    sums: Tensor
    weights: Tensor


def row_weights(indptr: Tensor, weights: Tensor) -> RowWeights:
    """Prepare weights for :func:`sample_weighted`: O(E), once.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [N + 1]: the graph's in-edges.
    weights : Tensor
        Weight of the edge at each position, shape [E], float32 or float64; positive.

    Raises
    ------
    ValueError
        A weight that is not positive and finite, or weights of one row whose sum is beyond float64;
        ``indptr`` is no CSC index of E edges.
    TypeError
        Not float32 or float64.

    Notes
    -----
    Sums are added from the left in float64, on CUDA too: the same bits everywhere.
    """
    indptr, weights = require_ids("indptr", indptr), require_tensor("weights", weights)
    if weights.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"weights: expected float32 or float64, got {dtype_name(weights.dtype)}")
    weights = weights.detach().contiguous()
    require_same_device("weights", weights, "indptr", indptr)
    check_indptr("indptr", indptr, weights.numel())
    is_bad = ~(weights > 0) | torch.isinf(weights)
    if bool(is_bad.any()):
        at = int(is_bad.nonzero()[0])
        value = float(weights[at])
        raise ValueError(f"weights[{at}] is {value}, expected a positive, finite weight")
    sums = torch.empty(weights.shape, dtype=torch.float64, device=weights.device)
    _native.sum_rows(indptr, weights, sums)
    is_bad = torch.isinf(sums)
    if bool(is_bad.any()):
        at = int(is_bad.nonzero()[0])
        row = int(torch.searchsorted(indptr, at, right=True)) - 1
        raise ValueError(f"weights: those of row {row} have a sum beyond float64; scale them down")
    return RowWeights(sums, weights)


def require_rising(name: str, positions: Tensor, num_edges: int) -> Tensor:
    """Return positions of edges, or raise unless they rise strictly and are some of the graph's."""
    if not bool((positions.diff() > 0).all()):
        raise ValueError(f"{name}: expected strictly rising positions")
    if positions.shape[0] and not 0 <= int(positions[0]) <= int(positions[-1]) < num_edges:
        raise IndexError(
            f"{name}: expected positions from 0 to {num_edges - 1}, got {int(positions[0])} to"
            f" {int(positions[-1])}"
        )
    return positions


def sample_weighted(
    indptr: Tensor,
    num_edges: int,
    seeds: Tensor,
    fanout: int,
    *,
    key: int,
    replace: bool = False,
    weights: RowWeights | None = None,
    excluded: Tensor | None = None,
    node_ids: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Keep at most ``fanout`` in-edges of every seed, drawn by weight and beside excluded edges.

    Without replacement the law is successive sampling: every draw takes one of the edges not taken
    yet, with a probability proportional to its weight. With replacement the draws are independent.
    Without ``weights`` all edges are alike, and a seed with no excluded edge gets the picks of
    :func:`sample_neighbors`. A pick costs O(log degree) expected, an excluded edge O(1) at the
    seed that has it; the result depends on ``key`` and the seeds alone, never on threads.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [N + 1]: the graph's in-edges.
    num_edges : int
        E.
    seeds : Tensor
        Nodes, shape [S], int32 or int64. A node given twice is sampled twice, alike.
    fanout : int
        In-edges kept a seed; -1 keeps all that are not excluded.
    key : int
        Randomness: :func:`stream_key`.
    replace : bool
        Draw with replacement.
    weights : RowWeights, optional
        What :func:`row_weights` makes.
    excluded : Tensor, optional
        Positions of edges that may not be kept, int32 or int64, shape [X], strictly rising.
    node_ids : Tensor, optional
        The node that each seed draws as, as in :func:`sample_neighbors`; int32 or int64.

    Returns
    -------
    out_indptr : Tensor
        int64, shape [S + 1].
    positions : Tensor
        Positions of the edges kept, int64, shape [out_indptr[S]]. Where a seed keeps all edges that
        it has left, they come in the graph's order, otherwise in that of the draws.

    Raises
    ------
    IndexError
        A seed is not a node.
    ValueError
        ``fanout`` below -1, ``indptr`` is no CSC index at a seed, or ``excluded`` does not rise.
    TypeError
        Wrong dtypes.

    References
    ----------
    Yates, Grundy, "Selection without replacement from within strata with probability proportional
    to size", JRSS B 15 (1953). The same law as exponential keys: Efraimidis, Spirakis, "Weighted
    random sampling with a reservoir", Information Processing Letters 97 (2006).

    Notes
    -----
    A draw is searched for in the row's kept sums, and drawn again if its edge is taken; when half
    of the mass is taken, draws are mapped around the taken edges instead. Where the rounding of the
    sums would bend a probability by more than 2^-20, what is left is added up anew: O(degree).
    """
    indptr, seeds = require_ids("indptr", indptr), require_ids("seeds", seeds).long()
    fanout, num_edges = as_int("fanout", fanout), as_int("num_edges", num_edges)
    excluded, node_ids = optional_ids("excluded", excluded), optional_ids("node_ids", node_ids)
    if excluded is not None:
        excluded = require_rising("excluded", excluded.long(), num_edges)
    sums, values = (None, None) if weights is None else weights
    size, device = seeds.shape[0] + 1, seeds.device
    out_indptr = torch.empty(size, dtype=torch.int64, device=device)
    out_excluded = torch.empty(size, dtype=torch.int64, device=device)
    total = _native.count_weighted(
        indptr, num_edges, seeds, fanout, bool(replace), excluded, out_indptr, out_excluded
    )
    positions = torch.empty(total, dtype=torch.int64, device=device)
    _native.sample_weighted(
        indptr, num_edges, sums, values, seeds, None if node_ids is None else node_ids.long(),
        fanout, bool(replace), key & _MASK64, excluded, out_indptr, out_excluded, positions,
    )  # fmt: skip
    return out_indptr, positions


def sample_weighted_reference(
    indptr: Tensor,
    num_edges: int,
    seeds: Tensor,
    fanout: int,
    *,
    key: int,
    replace: bool = False,
    weights: RowWeights | None = None,
    excluded: Tensor | None = None,
    node_ids: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """What :func:`sample_weighted` computes, bit for bit, one draw at a time in Python."""
    barred = set() if excluded is None else set(excluded.tolist())
    counts, positions = [0], []
    nodes = seeds if node_ids is None else node_ids
    for seed, node in zip(seeds.tolist(), nodes.tolist()):
        begin, end = int(indptr[seed]), int(indptr[seed + 1])
        bits = _sample_bits(_fold_key(key & _MASK64, node))
        left = [e for e in range(end - begin) if begin + e not in barred]
        if not left or fanout < 0 or (not replace and len(left) <= fanout):
            picks = left
        elif weights is None:
            picks = _pick_alike(bits, left, fanout, replace)
        else:
            sums, values = (x[begin:end].double().tolist() for x in weights)
            out = [e for e in range(end - begin) if begin + e in barred]
            picks = _pick_weighted(bits, sums, values, out, fanout, replace)
        positions += [begin + pick for pick in picks]
        counts.append(len(picks))
    return torch.tensor(counts).cumsum(0), torch.tensor(positions, dtype=torch.int64)


def _sample_bits(base: int) -> Callable[[int], int]:
    """The draws of a node with this key."""
    return lambda draw: _mix64((base + (draw + 1) * 0x9E3779B97F4A7C15) & _MASK64)


def _pick_alike(
    bits: Callable[[int], int], left: list[int], fanout: int, replace: bool
) -> list[int]:
    """Uniform picks among the edges that are left."""
    ranks: list[int] = []
    for i in range(fanout):
        last = len(left) - 1 if replace else len(left) - fanout + i
        rank = (bits(i) * (last + 1)) >> 64
        ranks.append(last if not replace and rank in ranks else rank)
    return [left[rank] for rank in ranks]


def _pick_weighted(
    bits: Callable[[int], int],
    sums: list[float],
    weights: list[float],
    taken: list[int],
    fanout: int,
    replace: bool,
) -> list[int]:
    """``PickWeighted`` of weighted_picks.h; edges are numbered from 0 in their row."""
    degree, is_exact = len(sums), False
    taken = list(taken)
    before: list[float] = []
    picks: list[int] = []
    fresh: list[int] = []
    left: list[int] = []
    left_sums: list[float] = []
    mass = rest = fresh_mass = 0.0
    scale, misses, draw = 1.0, 0, 0

    def start(edge: int) -> float:
        return sums[edge - 1] if edge > 0 else 0.0

    def add_up() -> float:
        left[:] = [e for e in range(degree) if e not in taken]
        left_sums.clear()
        total = 0.0
        for edge in left:
            total += weights[edge] * scale
            left_sums.append(total)
        return total

    def settle() -> None:
        nonlocal mass, rest, scale, is_exact, fresh_mass, misses
        for edge in fresh:
            insort(taken, edge)
        fresh.clear()
        fresh_mass, misses = 0.0, 0
        if not is_exact:
            before.clear()
            mass = 0.0
            for edge in taken:
                before.append(mass)
                mass += sums[edge] - start(edge)
            rest = sums[-1] - mass
            is_exact = not (rest >= sums[-1] * (degree * 2.0**-33) and rest >= 2.0**-600)
        if is_exact:
            scale = 1.0
            rest = add_up()
            if rest < 2.0**-600:
                scale = 2.0**600
                rest = add_up()

    def find(x: float) -> int | None:
        if is_exact:
            return left[min(bisect_right(left_sums, x), len(left) - 1)]
        is_past = [start(edge) - at > x for edge, at in zip(taken, before)]
        passed = bisect_left(is_past, True)
        at = x + (before[passed] if passed < len(taken) else mass)
        low = taken[passed - 1] + 1 if passed > 0 else 0
        high = taken[passed] if passed < len(taken) else degree
        return None if low >= high else min(bisect_right(sums, at, low, high), high - 1)

    settle()
    while len(picks) < fanout:
        found = find((bits(draw) >> 11) * 2.0**-53 * rest)
        draw += 1
        if found is None or (not replace and found in fresh):
            misses += 1
            if misses == 64:
                is_exact = True
                settle()
            continue
        misses = 0
        picks.append(found)
        if replace or len(picks) == fanout:
            continue
        fresh.append(found)
        fresh_mass += weights[found] * scale if is_exact else sums[found] - start(found)
        if fresh_mass > rest / 2:
            settle()
    return picks
