"""Random walks along out-edges: over a path of relations, and by the law of node2vec."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._library import Spec, define
from hopflow.ops._place import check_ids, check_indptr
from hopflow.ops._shapes import as_float, as_int, as_wide_int, optional_ids, require_ids
from hopflow.ops.sample import _fold_key, _mix64
from hopflow.ops.sample_weighted import RowWeights

_MASK64 = 2**64 - 1


class WalkEdges(NamedTuple):
    """The out-edges of one relation, by source: what a step of a walk draws from.

    Attributes
    ----------
    indptr : Tensor
        int64, shape [sources + 1].
    indices : Tensor
        Destination of the edge at each position, shape [E], int32 or int64.
    eids : Tensor or None
        Edge at each position, shape [E]; None if edge ``e`` is at position ``e``.
    weights : RowWeights or None
        What :func:`row_weights` makes; None: all edges of a node are alike.
    """

    indptr: Tensor
    indices: Tensor
    eids: Tensor | None = None
    weights: RowWeights | None = None


def _shapes(num_steps: int, seeds: Tensor, with_eids: bool) -> tuple[Spec, Spec]:
    num_walks = seeds.shape[0]
    traces = ((num_walks, num_steps + 1), seeds.dtype, seeds.device)
    return traces, ((num_walks, num_steps if with_eids else 0), seeds.dtype, seeds.device)


def _walk_shapes(
    indptrs: Sequence[Tensor],
    indices: Sequence[Tensor],
    eids: Sequence[Tensor | None],
    sums: Sequence[Tensor | None],
    path: Sequence[int],
    restart: Sequence[float],
    seeds: Tensor,
    key: int,
    with_eids: bool,
) -> tuple[Spec, Spec]:
    return _shapes(len(path), seeds, with_eids)


def _walk_run(
    traces: Tensor,
    out_eids: Tensor,
    indptrs: Sequence[Tensor],
    indices: Sequence[Tensor],
    eids: Sequence[Tensor | None],
    sums: Sequence[Tensor | None],
    path: Sequence[int],
    restart: Sequence[float],
    seeds: Tensor,
    key: int,
    with_eids: bool,
) -> None:
    sizes = [indptr.shape[0] - 1 for indptr in indptrs]
    for indptr, ids in zip(indptrs, indices):
        check_indptr("indptr", indptr, ids.shape[0])
    for step, number in enumerate(path):  # on CUDA; the CPU looks at what it reads
        if step == 0:
            check_ids("seeds", seeds, sizes[number], "number of nodes")
        else:
            check_ids("indices", indices[path[step - 1]], sizes[number], "number of nodes")
    relations = list(zip(indptrs, indices, eids, sums))
    _native.random_walk(
        relations, list(path), list(restart), seeds, key & _MASK64, traces,
        out_eids if with_eids else None,
    )  # fmt: skip


_random_walk = define(
    "random_walk(Tensor[] indptrs, Tensor[] indices, Tensor?[] eids, Tensor?[] sums, int[] path,"
    " float[] restart, Tensor seeds, int key, bool with_eids) -> (Tensor, Tensor)",
    shapes=_walk_shapes,
    run=_walk_run,
)


def _node2vec_shapes(
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    sums: Tensor | None,
    all_indptr: Tensor,
    all_indices: Tensor,
    seeds: Tensor,
    p: float,
    q: float,
    num_steps: int,
    key: int,
    with_eids: bool,
) -> tuple[Spec, Spec]:
    return _shapes(num_steps, seeds, with_eids)


def _node2vec_run(
    traces: Tensor,
    out_eids: Tensor,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    sums: Tensor | None,
    all_indptr: Tensor,
    all_indices: Tensor,
    seeds: Tensor,
    p: float,
    q: float,
    num_steps: int,
    key: int,
    with_eids: bool,
) -> None:
    num_nodes = indptr.shape[0] - 1
    check_ids("seeds", seeds, num_nodes, "number of nodes")
    for name, begins, ids in (("", indptr, indices), ("all_", all_indptr, all_indices)):
        check_indptr(f"{name}indptr", begins, ids.shape[0])
        check_ids(f"{name}indices", ids, num_nodes, "number of nodes")
    _native.node2vec_walk(
        (indptr, indices, eids, sums), all_indptr, all_indices, seeds, p, q, num_steps,
        key & _MASK64, traces, out_eids if with_eids else None,
    )  # fmt: skip


_node2vec_walk = define(
    "node2vec_walk(Tensor indptr, Tensor indices, Tensor? eids, Tensor? sums, Tensor all_indptr,"
    " Tensor all_indices, Tensor seeds, float p, float q, int num_steps, int key, bool with_eids)"
    " -> (Tensor, Tensor)",
    shapes=_node2vec_shapes,
    run=_node2vec_run,
)


def _signed(key: int) -> int:
    """A key as the 64-bit number with a sign that operators take."""
    return ((as_wide_int("key", key) + 2**63) & _MASK64) - 2**63


def _arrays(edges: WalkEdges) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    indptr, indices = require_ids("indptr", edges.indptr), require_ids("indices", edges.indices)
    sums = None if edges.weights is None else edges.weights.sums
    return indptr, indices, optional_ids("eids", edges.eids), sums


def random_walk(
    relations: Sequence[WalkEdges],
    path: Sequence[int],
    seeds: Tensor,
    *,
    key: int,
    restart: Sequence[float] | None = None,
    return_eids: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Walk from every seed, one edge of ``relations[path[t]]`` at step ``t``.

    A step takes each edge of the node that a walk has come to with the same probability, or with
    one proportional to its weight. A walk ends before step ``t`` with probability ``restart[t]``,
    and where there is no edge to go. Draws depend on ``key``, the number of the walk and the step
    alone, never on threads or on the device.

    Parameters
    ----------
    relations : sequence of WalkEdges
        Relations, each once; where one leads to has the next one's sources.
    path : sequence of int
        The relation of each step, by its number.
    seeds : Tensor
        Where walks begin, shape [S], int32 or int64. A node given twice begins two walks.
    key : int
        Randomness: :func:`stream_key`.
    restart : sequence of float, optional
        A probability for each step.
    return_eids : bool
        Whether the edges are wanted too.

    Returns
    -------
    traces : Tensor
        Shape [S, L + 1] for a path of L steps, dtype of ``seeds``: the seed, then the nodes that
        the walk came to; -1 from where it ended.
    eids : Tensor or None
        The edges taken, shape [S, L], same dtype; None if they are not wanted.

    Raises
    ------
    IndexError
        A seed or a destination is not a node, or a number in ``path`` is no relation.
    ValueError
        No probabilities, not one for each step, or an ``indptr`` that is no index of its edges.
    TypeError
        Wrong dtypes; int32 seeds for a graph that needs int64.

    Notes
    -----
    A step costs O(1), with weights O(log degree): a draw is searched for in the row's sums.
    """
    seeds = require_ids("seeds", seeds)
    arrays = [_arrays(edges) for edges in relations]
    indptrs, indices, eids, sums = ([of[i] for of in arrays] for i in range(4))
    numbers = [as_int("path", x) for x in path]
    for step, number in enumerate(numbers):
        if not 0 <= number < len(arrays):
            raise IndexError(
                f"path[{step}] is {number}, expected the number of one of {len(arrays)} relations"
            )
    ends = [0.0] * len(path) if restart is None else [float(x) for x in restart]
    traces, taken = _random_walk(
        indptrs, indices, eids, sums, numbers, ends, seeds, _signed(key), return_eids
    )
    return traces, taken if return_eids else None


def node2vec_walk(
    edges: WalkEdges,
    seeds: Tensor,
    p: float,
    q: float,
    num_steps: int,
    *,
    key: int,
    all_edges: tuple[Tensor, Tensor] | None = None,
    return_eids: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Walk from every seed by the law of node2vec.

    A walk that came from ``t`` to ``v`` takes an edge from ``v`` to ``x`` with probability
    proportional to the edge's weight times 1 / p if x is t, times 1 if there is an edge from x to
    t, and times 1 / q otherwise; its first step goes by weight alone. The law is exact.

    Parameters
    ----------
    edges : WalkEdges
        Out-edges to draw from, destinations rising within a row, which is not checked.
    seeds, key, return_eids
        As in :func:`random_walk`.
    p, q : float
        Positive: a large p makes walks turn back less, a large q makes them stay near.
    num_steps : int
        L.
    all_edges : (Tensor, Tensor), optional
        ``indptr`` and ``indices`` of all edges, likewise rising, if ``edges`` lacks those of weight
        0: they count as edges from x to t.

    Returns
    -------
    traces, eids
        As in :func:`random_walk`.

    Raises
    ------
    IndexError, ValueError, TypeError
        As in :func:`random_walk`; p or q is not positive and finite.

    References
    ----------
    Grover, Leskovec, "node2vec: scalable feature learning for networks", KDD 2016. Rejection: Yang
    et al., "KnightKing: a fast distributed graph random walk engine", SOSP 2019.

    Notes
    -----
    A step proposes edges by weight and accepts or rejects them, so its cost depends on p and q and
    grows with the degree by the searches for edges alone, O(log degree) each. Where ``degree``
    proposals (16 at least) have been rejected, the step reads the row instead.
    """
    seeds, num_steps = require_ids("seeds", seeds), as_int("num_steps", num_steps)
    if num_steps < 0:
        raise ValueError(f"num_steps: expected at least 0, got {num_steps}")
    own = _arrays(edges)
    others = list(own[:2])
    if all_edges is not None:
        names = "all_indptr", "all_indices"
        others = [require_ids(name, ids) for name, ids in zip(names, all_edges)]
    traces, taken = _node2vec_walk(
        *own, *others, seeds, as_float("p", p), as_float("q", q), num_steps, _signed(key),
        return_eids,
    )  # fmt: skip
    return traces, taken if return_eids else None


class _Draws:
    """The draws of ``NodeRng``."""

    def __init__(self, key: int, node: int) -> None:
        self._base = _fold_key(key & _MASK64, node)

    def bits(self, draw: int) -> int:
        return _mix64((self._base + (draw + 1) * 0x9E3779B97F4A7C15) & _MASK64)

    def unit(self, draw: int) -> float:
        return math.ldexp(self.bits(draw) >> 11, -53)


def _pick(sums: list[float] | None, degree: int, draws: _Draws, draw: int) -> int:
    """Which of a row's edges a draw takes."""
    if sums is None:
        return (draws.bits(draw) * degree) >> 64
    return min(bisect_right(sums, draws.unit(draw) * sums[-1]), degree - 1)


def _row(edges: WalkEdges, node: int) -> tuple[int, list[int], list[float] | None]:
    begin, end = edges.indptr[node : node + 2].tolist()
    sums = None if edges.weights is None else edges.weights.sums[begin:end].tolist()
    return begin, edges.indices[begin:end].tolist(), sums


def _eid(edges: WalkEdges, position: int) -> int:
    return position if edges.eids is None else int(edges.eids[position])


def random_walk_reference(
    relations: Sequence[WalkEdges],
    path: Sequence[int],
    seeds: Tensor,
    *,
    key: int,
    restart: Sequence[float] | None = None,
    return_eids: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What :func:`random_walk` computes, bit for bit, one draw at a time in Python."""
    traces = torch.full((len(seeds), len(path) + 1), -1, dtype=seeds.dtype)
    taken = torch.full((len(seeds), len(path)), -1, dtype=seeds.dtype)
    for walk, node in enumerate(seeds.tolist()):
        draws = _Draws(key, walk)
        traces[walk, 0] = node
        for step, number in enumerate(path):
            begin, row, sums = _row(relations[number], node)
            ends = 0.0 if restart is None else restart[step]
            if not row or (ends > 0 and draws.unit(2 * step + 1) < ends):
                break
            at = _pick(sums, len(row), draws, 2 * step)
            node = row[at]
            traces[walk, step + 1] = node
            taken[walk, step] = _eid(relations[number], begin + at)
    return traces, taken if return_eids else None


def node2vec_walk_reference(
    edges: WalkEdges,
    seeds: Tensor,
    p: float,
    q: float,
    num_steps: int,
    *,
    key: int,
    all_edges: tuple[Tensor, Tensor] | None = None,
    return_eids: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What :func:`node2vec_walk` computes, bit for bit, one draw at a time in Python."""
    back, far = 1 / p, 1 / q
    ceiling = max(far, 1.0)
    every = WalkEdges(*(edges[:2] if all_edges is None else all_edges))
    traces = torch.full((len(seeds), num_steps + 1), -1, dtype=seeds.dtype)
    taken = torch.full((len(seeds), num_steps), -1, dtype=seeds.dtype)
    for walk, node in enumerate(seeds.tolist()):
        before = -1
        traces[walk, 0] = node
        for step in range(num_steps):
            begin, row, sums = _row(edges, node)
            if not row:
                break
            draws = _Draws(_fold_key(key & _MASK64, walk), step)
            if step == 0:
                at = _pick(sums, len(row), draws, 0)
            else:
                alpha = [
                    back if x == before else 1.0 if before in _row(every, x)[1] else far
                    for x in row
                ]
                at = _node2vec_pick(row, sums, alpha, ceiling, before, back, draws)
            before, node = node, row[at]
            traces[walk, step + 1] = node
            taken[walk, step] = _eid(edges, begin + at)
    return traces, taken if return_eids else None


def _node2vec_pick(
    row: list[int],
    sums: list[float] | None,
    alpha: list[float],
    ceiling: float,
    before: int,
    back: float,
    draws: _Draws,
) -> int:
    """``Node2vecEdge`` of walk_steps.h; edges are numbered from 0 in their row."""

    def mass(low: int, high: int) -> float:
        if sums is None:
            return float(high - low)
        return sums[high - 1] - (sums[low - 1] if low else 0.0) if high > low else 0.0

    low, high, extra = 0, 0, 0.0
    if back > ceiling:
        low, high = bisect_left(row, before), bisect_right(row, before)
        extra = mass(low, high) * (back - ceiling) / (ceiling * mass(0, len(row)))
    most = max(len(row), 16)
    for trial in range(most):
        y = draws.unit(2 * trial + 1) * (1 + extra)
        if y >= 1 and high > low:
            if sums is None:
                return low + ((draws.bits(2 * trial) * (high - low)) >> 64)
            start = sums[low - 1] if low else 0.0
            x = start + draws.unit(2 * trial) * mass(low, high)
            return min(bisect_right(sums, x, low, high), high - 1)
        at = _pick(sums, len(row), draws, 2 * trial)
        if y * ceiling < alpha[at]:
            return at
    parts = [mass(i, i + 1) * a for i, a in enumerate(alpha)]
    total = 0.0
    for part in parts:
        total += part
    x = draws.unit(2 * most) * total
    total, last = 0.0, 0
    for i, part in enumerate(parts):
        last = i if part > 0 else last
        total += part
        if total > x:
            return i
    return last
