"""Neighbour sampling in time: of the edges that are not later than what they are sampled for."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._shapes import (
    as_int,
    dtype_name,
    optional_ids,
    require_ids,
    require_same_device,
    require_tensor,
)
from hopflow.ops.csc import destinations
from hopflow.ops.sample import _fold_key
from hopflow.ops.sample_weighted import RowWeights, _pick_alike, _pick_weighted, _sample_bits

_MASK64 = 2**64 - 1
TEMPORAL_STRATEGIES = ("uniform", "last")
"""How :func:`sample_temporal` chooses among the edges that are early enough."""


class RowTimes(NamedTuple):
    """Times of the edges of each row in rising order: see :func:`sort_row_times`.

    Attributes
    ----------
    times : Tensor
        int64 or float64, shape [E]: rising within each row.
    order : Tensor
        int64, shape [E]: the position that each of them had.
    """

    times: Tensor
    order: Tensor


def as_times(name: str, value: object) -> Tensor:
    """Times in int64 or float64, which hold those of all narrower dtypes; contiguous.

    Parameters
    ----------
    name : str
        The operand, for messages.
    value : Tensor
        Times, shape [T], of an integer or floating dtype.

    Raises
    ------
    TypeError
        No such tensor.
    ValueError
        More than one dimension, or a time that is NaN.
    """
    times = require_tensor(name, value).detach()
    if times.dim() != 1:
        raise ValueError(f"{name}: expected 1 dimension, got shape {list(times.shape)}")
    if times.is_complex() or times.dtype in (torch.bool, getattr(torch, "uint64", None)):
        raise TypeError(f"{name}: expected times as integers or floats, got {times.dtype}")
    if not times.is_floating_point():
        return times.to(torch.int64).contiguous()
    times = times.to(torch.float64) + 0.0  # there is one zero
    is_bad = times.isnan()
    if bool(is_bad.any()):
        raise ValueError(f"{name}[{int(is_bad.nonzero()[0])}] is NaN, expected a time")
    return times.contiguous()


def sort_row_times(indptr: Tensor, times: Tensor) -> RowTimes:
    """Order the edges of each row by time, those of one time as they come; O(E log E), once.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [N + 1]: the graph's in-edges.
    times : Tensor
        Time of the edge at each position, shape [E], of an integer or floating dtype.

    Raises
    ------
    ValueError
        A time that is NaN; ``indptr`` is no CSC index of E edges.
    TypeError
        Not times.
    """
    indptr, times = require_ids("indptr", indptr), as_times("times", times)
    require_same_device("times", times, "indptr", indptr)
    _check_indptr(indptr, times.shape[0])
    rows = destinations(indptr, times.shape[0], torch.int64)
    by_time = times.argsort(stable=True)
    order = by_time[rows[by_time].argsort(stable=True)]
    return RowTimes(times[order], order)


def _check_indptr(indptr: Tensor, num_edges: int) -> None:
    """Raise unless this is the CSC index of so many edges."""
    if indptr.dtype != torch.int64:
        raise TypeError(f"indptr: expected int64, got {dtype_name(indptr.dtype)}")
    is_index = indptr.shape[0] >= 1 and bool((indptr.diff() >= 0).all())
    if not is_index or int(indptr[0]) != 0 or int(indptr[-1]) != num_edges:
        raise ValueError(f"indptr: expected to rise from 0 to {num_edges}, the number of edges")


def sample_temporal(
    indptr: Tensor,
    times: Tensor,
    seeds: Tensor,
    seed_times: Tensor,
    fanout: int,
    *,
    key: int,
    strategy: str = "uniform",
    strict: bool = False,
    replace: bool = False,
    weights: RowWeights | None = None,
    excluded: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Keep at most ``fanout`` in-edges of every seed, of those that are not later than it.

    The edges that are eligible for a seed are the first of its row, since these come in the order
    of their times: a binary search finds how many, O(log degree), and a draw from them costs what
    it costs in :func:`sample_neighbors`. The result depends on ``key``, the seeds and their times
    alone, never on threads.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [N + 1]: the graph's in-edges.
    times : Tensor
        Time of the edge at each position, shape [E], int64 or float64; rising within each row, as
        :func:`sort_row_times` makes them.
    seeds : Tensor
        Nodes, shape [S], int32 or int64. A node given twice at one time is sampled twice, alike;
        at two times its draws are independent.
    seed_times : Tensor
        Time of each seed, shape [S], dtype of ``times``.
    fanout : int
        In-edges kept a seed; -1 keeps all that are eligible.
    key : int
        Randomness: :func:`stream_key`.
    strategy : {"uniform", "last"}
        Whether edges are drawn, or the latest are kept. Of edges of one time the last ones of the
        row are taken for the latest.
    strict : bool
        An edge of the seed's own time is not eligible.
    replace : bool
        Draw with replacement.
    weights : RowWeights, optional
        What :func:`row_weights` makes, of the edges in their order here: draws are by weight among
        the eligible edges.
    excluded : Tensor, optional
        Positions of edges that may not be kept, int32 or int64, shape [X], strictly rising.

    Returns
    -------
    out_indptr : Tensor
        int64, shape [S + 1].
    positions : Tensor
        Positions of the edges kept, int64, shape [out_indptr[S]]. Where a seed keeps all edges that
        are eligible, or the latest, they come in the order of time, otherwise in that of the draws.

    Raises
    ------
    IndexError
        A seed is not a node.
    ValueError
        ``fanout`` below -1, ``indptr`` is no CSC index at a seed, ``excluded`` does not rise, or
        "last" with weights or replacement.
    TypeError
        Wrong dtypes.

    Notes
    -----
    That ``times`` rise is not checked; where they do not, an edge that is too late may be kept.
    """
    indptr, seeds = require_ids("indptr", indptr), require_ids("seeds", seeds).long()
    fanout, excluded = as_int("fanout", fanout), optional_ids("excluded", excluded)
    times, seed_times = require_tensor("times", times), as_times("seed_times", seed_times)
    if times.dtype not in (torch.int64, torch.float64):
        raise TypeError(f"times: expected int64 or float64, got {dtype_name(times.dtype)}")
    if seed_times.dtype != times.dtype:
        raise TypeError(
            f"seed_times: expected {dtype_name(times.dtype)} as times are, got"
            f" {dtype_name(seed_times.dtype)}"
        )
    _check_strategy(strategy, weights, replace)
    if excluded is not None:
        excluded = _rising(excluded, times.shape[0])
    sums, values = (None, None) if weights is None else weights
    if sums is not None and sums.shape != times.shape:
        raise ValueError(
            f"weights: expected one for each of {times.shape[0]} edges, got {sums.shape[0]}"
        )
    num_seeds, device = seeds.shape[0], seeds.device
    out_indptr = torch.empty(num_seeds + 1, dtype=torch.int64, device=device)
    out_excluded = torch.empty(num_seeds + 1, dtype=torch.int64, device=device)
    eligible = torch.empty(num_seeds, dtype=torch.int64, device=device)
    total = _native.count_temporal(
        indptr, times.contiguous(), seeds, seed_times, fanout, bool(replace), bool(strict),
        excluded, out_indptr, out_excluded, eligible,
    )  # fmt: skip
    positions = torch.empty(total, dtype=torch.int64, device=device)
    _native.sample_temporal(
        indptr, sums, values, seeds, _stamps(seed_times), eligible, fanout, bool(replace),
        strategy == "last", key & _MASK64, excluded, out_indptr, out_excluded, positions,
    )  # fmt: skip
    return out_indptr, positions


def _stamps(times: Tensor) -> Tensor:
    """The bits of times, which key the draws."""
    return times.view(torch.int64)


def _check_strategy(strategy: object, weights: RowWeights | None, replace: bool) -> None:
    if strategy not in TEMPORAL_STRATEGIES:
        raise ValueError(f'strategy: expected "uniform" or "last", got {strategy!r}')
    if strategy == "last" and (weights is not None or replace):
        what = "weights" if weights is not None else "replace"
        raise ValueError(f'{what}: expected none with strategy "last", which draws nothing')


def _rising(excluded: Tensor, num_edges: int) -> Tensor:
    """Excluded positions as int64; raises unless they are such."""
    excluded = excluded.long()
    if not bool((excluded.diff() > 0).all()):
        raise ValueError("excluded: expected strictly rising positions")
    if excluded.shape[0] and not 0 <= int(excluded[0]) <= int(excluded[-1]) < num_edges:
        raise IndexError(
            f"excluded: expected positions from 0 to {num_edges - 1}, got {int(excluded[0])} to"
            f" {int(excluded[-1])}"
        )
    return excluded


def sample_temporal_reference(
    indptr: Tensor,
    times: Tensor,
    seeds: Tensor,
    seed_times: Tensor,
    fanout: int,
    *,
    key: int,
    strategy: str = "uniform",
    strict: bool = False,
    replace: bool = False,
    weights: RowWeights | None = None,
    excluded: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """What :func:`sample_temporal` computes, bit for bit, one draw at a time in Python."""
    barred = set() if excluded is None else set(excluded.tolist())
    counts, positions = [0], []
    stamps = _stamps(as_times("seed_times", seed_times)).tolist()
    for seed, time, stamp in zip(seeds.tolist(), seed_times.tolist(), stamps):
        begin, end = int(indptr[seed]), int(indptr[seed + 1])
        early = [
            e for e, at in enumerate(times[begin:end].tolist())
            if at < time or (at == time and not strict)
        ]  # fmt: skip
        left = [e for e in early if begin + e not in barred]
        bits = _sample_bits(_fold_key(_fold_key(key & _MASK64, stamp & _MASK64), seed))
        if not left or fanout < 0 or (not replace and len(left) <= fanout):
            picks = left
        elif strategy == "last":
            picks = left[len(left) - fanout :]
        elif weights is None:
            picks = _pick_alike(bits, left, fanout, replace)
        else:
            sums, values = (x[begin : begin + len(early)].double().tolist() for x in weights)
            out = [e for e in early if begin + e in barred]
            picks = _pick_weighted(bits, sums, values, out, fanout, replace)
        positions += [begin + pick for pick in picks]
        counts.append(len(picks))
    return torch.tensor(counts).cumsum(0), torch.tensor(positions, dtype=torch.int64)
