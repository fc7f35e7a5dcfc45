"""Neighbour sampling."""

from __future__ import annotations

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._shapes import as_int, id_dtype, optional_ids, require_ids
from hopflow.ops.pool import empty

_MASK64 = 2**64 - 1


def stream_key(seed: int, epoch: int, batch: int, hop: int) -> int:
    """The 64-bit key of one hop of one batch, for :func:`sample_neighbors`.

    Every argument counts modulo 2**64.
    """
    return int(_native.stream_key(seed & _MASK64, epoch & _MASK64, batch & _MASK64, hop & _MASK64))


def sample_neighbors(
    indptr: Tensor,
    indices: Tensor,
    seeds: Tensor,
    fanout: int,
    *,
    key: int,
    replace: bool = False,
    eids: Tensor | None = None,
    node_ids: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Keep at most ``fanout`` in-edges of every seed, each edge equally likely.

    Without replacement the picks of a seed are distinct and every in-edge is kept with probability
    fanout / degree (Floyd's method); with replacement every draw takes each in-edge with
    probability 1 / degree. The result depends on ``key`` and the seeds alone, never on threads.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [N + 1]: the graph's in-edges.
    indices : Tensor
        Source of the edge at each position, shape [E], int32 or int64.
    seeds : Tensor
        Nodes, shape [S], int32 or int64. A node given twice is sampled twice, alike.
    fanout : int
        In-edges kept a seed; -1 keeps all.
    key : int
        Randomness: :func:`stream_key`.
    replace : bool
        Draw with replacement. A seed without in-edges still gets none.
    eids : Tensor, optional
        Edge at each position, shape [E], if edges are not at their own position.
    node_ids : Tensor, optional
        The node that each seed draws as, shape [S], dtype of ``seeds``; by default the seed itself.
        The rows of a part of a graph draw what the nodes that they stand for would draw.

    Returns
    -------
    out_indptr : Tensor
        int64, shape [S + 1].
    neighbors : Tensor
        Sources, shape [out_indptr[S]], dtype of ``indices``.
    edges : Tensor
        Edge ids, same shape; dtype of ``eids``, or int32 where E allows.

    Raises
    ------
    IndexError
        A seed is not a node.
    ValueError
        ``fanout`` below -1, or ``indptr`` is no CSC index at a seed.
    TypeError
        Not int32 or int64 ids.
    """
    indptr, indices = require_ids("indptr", indptr), require_ids("indices", indices)
    seeds, eids = require_ids("seeds", seeds), optional_ids("eids", eids)
    node_ids = optional_ids("node_ids", node_ids)
    num_edges, fanout = indices.shape[0], as_int("fanout", fanout)
    out_indptr = torch.empty(seeds.shape[0] + 1, dtype=torch.int64, device=seeds.device)
    total = _native.count_sampled_neighbors(
        indptr, num_edges, seeds, fanout, bool(replace), out_indptr
    )
    neighbors = empty((total,), indices.dtype, seeds.device)
    edge_dtype = id_dtype(num_edges) if eids is None else eids.dtype
    edges = empty((total,), edge_dtype, seeds.device)
    _native.sample_neighbors(
        indptr, indices, eids, seeds, node_ids, fanout, bool(replace), key & _MASK64,
        out_indptr, neighbors, edges,
    )  # fmt: skip
    return out_indptr, neighbors, edges


def _mix64(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK64
    return x ^ (x >> 31)


def _fold_key(key: int, coordinate: int) -> int:
    gamma = 0x9E3779B97F4A7C15
    mixed = (coordinate * 0xD6E8FEB86659FD93 + gamma) & _MASK64
    return _mix64(_mix64((key + gamma) & _MASK64) ^ mixed)


def sample_neighbors_reference(
    indptr: Tensor,
    indices: Tensor,
    seeds: Tensor,
    fanout: int,
    *,
    key: int,
    replace: bool = False,
    eids: Tensor | None = None,
    node_ids: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`sample_neighbors` computes, bit for bit, one draw at a time in Python."""
    counts, positions = [0], []
    nodes = seeds if node_ids is None else node_ids
    for seed, node in zip(seeds.tolist(), nodes.tolist()):
        begin, end = int(indptr[seed]), int(indptr[seed + 1])
        degree, base = end - begin, _fold_key(key & _MASK64, node)

        def below(draw: int, bound: int, base: int = base) -> int:
            bits = _mix64((base + (draw + 1) * 0x9E3779B97F4A7C15) & _MASK64)
            return (bits * bound) >> 64

        if degree == 0 or fanout < 0 or (not replace and degree <= fanout):
            picks = list(range(degree))
        elif replace:
            picks = [below(i, degree) for i in range(fanout)]
        else:
            picks = []
            for i in range(fanout):
                last = degree - fanout + i
                pick = below(i, last + 1)
                picks.append(last if pick in picks else pick)
        positions += [begin + pick for pick in picks]
        counts.append(len(picks))
    at = torch.tensor(positions, dtype=torch.int64)
    return torch.tensor(counts).cumsum(0), indices[at], at if eids is None else eids[at]
