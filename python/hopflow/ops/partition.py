"""Parts for the nodes of a graph, chosen in a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._shapes import as_int, require_ids, require_tensor


class StreamedEdges(NamedTuple):
    """In-edges of the nodes of one type, in a numbering of the nodes of all types.

    Attributes
    ----------
    indptr : Tensor
        int64, shape [rows + 1].
    indices : Tensor
        Sources, int32 or int64, shape [edges].
    first_dst, first_src : int
        Numbers of the nodes that row 0 and index 0 mean.
    num_src : int
        Nodes that may be sources.
    """

    indptr: Tensor
    indices: Tensor
    first_dst: int
    first_src: int
    num_src: int


def stream_parts(
    edges: Sequence[StreamedEdges],
    classes: Tensor,
    caps: Sequence[int],
    num_parts: int,
    parts: Tensor,
    *,
    num_passes: int = 1,
    only_full: bool = False,
) -> Tensor:
    """Passes over the nodes, each of which goes to the part that has most of its neighbours.

    A part counts the less the more nodes of the node's class it has, and not at all when it is full
    for them. In-neighbours are counted. Of the out-neighbours, which no list names, a node knows
    the running majority of those that chose since it did, in the same call. Nodes that have a part
    are taken out of it first: a second pass mends what the first could not know. O(passes x (edges
    + nodes x parts)), in one thread, four bytes a node; edges are read where they are.

    Parameters
    ----------
    edges : sequence of StreamedEdges
        In-edges.
    classes : Tensor
        Class of each node, uint8, shape [N].
    caps : sequence of int
        Nodes of each class that a part has at most; ``num_parts`` times that must do for all.
    num_parts : int
        P, up to 32,767.
    parts : Tensor
        Part of each node or -1, int16, shape [N].
    num_passes : int
        Passes, 1 to 1,000.
    only_full : bool
        Move nodes only out of parts that have more of their class than the cap.

    Returns
    -------
    Tensor
        Part of each node, int16, shape [N].

    Raises
    ------
    IndexError, TypeError, ValueError
        Edges, classes or parts that do not fit together, or caps too small.

    References
    ----------
    Stanton, Kliot, "Streaming graph partitioning for large distributed graphs", KDD 2012 (linear
    deterministic greedy); Nishimura, Ugander, "Restreaming graph partitioning", KDD 2013; Boyer,
    Moore, "MJRTY: a fast majority vote algorithm", 1981.
    """
    classes, parts = require_tensor("classes", classes), require_tensor("parts", parts)
    if classes.dtype != torch.uint8:
        raise TypeError(f"classes: expected uint8, got {classes.dtype}")
    if parts.dtype != torch.int16:
        raise TypeError(f"parts: expected int16, got {parts.dtype}")
    if parts.shape != classes.shape or classes.dim() != 1:
        raise ValueError(
            f"parts: expected one for each of the nodes {list(classes.shape)}, got"
            f" {list(parts.shape)}"
        )
    given = [
        (require_ids("indptr", e.indptr), require_ids("indices", e.indices), *e[2:]) for e in edges
    ]
    chosen = parts.clone()
    _native.stream_parts(
        given, classes.contiguous(), [as_int("caps", cap) for cap in caps],
        as_int("num_parts", num_parts), as_int("num_passes", num_passes), bool(only_full), chosen,
    )  # fmt: skip
    return chosen


def stream_parts_reference(
    edges: Sequence[StreamedEdges],
    classes: Tensor,
    caps: Sequence[int],
    num_parts: int,
    parts: Tensor,
    *,
    num_passes: int = 1,
    only_full: bool = False,
) -> Tensor:
    """What :func:`stream_parts` computes, one node at a time in Python."""
    chosen, kinds = parts.tolist(), classes.tolist()
    loads = [[0] * num_parts for _ in caps]
    for part, kind in zip(chosen, kinds):
        if part >= 0:
            loads[kind][part] += 1
    majority, count = [0] * len(kinds), [0] * len(kinds)
    for v in [*range(len(kinds))] * num_passes:
        load, cap = loads[kinds[v]], caps[kinds[v]]
        if chosen[v] >= 0:
            if only_full and load[chosen[v]] <= cap:
                continue
            load[chosen[v]] -= 1
        sources = []
        for indptr, indices, first_dst, first_src, _ in edges:
            row = v - first_dst
            if 0 <= row < indptr.shape[0] - 1:
                own = indices[indptr[row] : indptr[row + 1]].tolist()
                sources += [first_src + src for src in own]
        # The node's own vote, by a self-loop, is for the part that it leaves.
        votes = [sum(chosen[u] == p for u in sources) for p in range(num_parts)]
        votes[majority[v]] += count[v]
        count[v] = 0
        fits = [p for p in range(num_parts) if load[p] < cap or p == load.index(min(load))]
        best = min(fits, key=lambda p: (-votes[p] * (cap - load[p]), load[p], p))
        chosen[v] = best
        load[best] += 1
        for u in sources:
            if u == v:
                continue
            if count[u] == 0:
                majority[u] = best
            if majority[u] == best:
                count[u] = min(count[u] + 1, 2**16 - 1)
            else:
                count[u] -= 1
    return torch.tensor(chosen, dtype=torch.int16)
