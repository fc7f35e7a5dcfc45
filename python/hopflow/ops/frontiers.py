"""Traversals of a graph, a node after the other, on the CPU.

Edges lead on from row ``v`` to ``indices[indptr[v]:indptr[v + 1]]`` and are followed in this order:
the in-edges of a graph for a traversal against their direction, its out-edges for one along it.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._shapes import optional_ids, require_ids


def breadth_first(
    indptr: Tensor, indices: Tensor, eids: Tensor | None, sources: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes in the order in which a queue meets them.

    Takes O(nodes reached + their edges) time, a byte for each node, and one check of the edges.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [N + 1].
    indices : Tensor
        Where the edge at each position leads, shape [E], int32 or int64.
    eids : Tensor or None
        Edge at each position, shape [E], int32 or int64; None if edge ``e`` is at position ``e``.
    sources : Tensor
        Where to start, shape [S], int32 or int64, distinct.

    Returns
    -------
    nodes : Tensor
        Nodes reached, the sources first; int64.
    met_over : Tensor
        For each node after the sources the edge over which it is met; int64.
    offsets : Tensor
        Where the nodes of each distance begin, and the last end; int64, on the CPU.

    Raises
    ------
    IndexError
        An index or a source is not a node.
    ValueError, TypeError
        A source given twice, or arrays that are no adjacency.
    """
    arrays = _arrays(indptr, indices, eids)
    return _native.breadth_first(*arrays, require_ids("sources", sources).long())


def topological(indptr: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes in the order in which Kahn's algorithm finds the last edge to each.

    Parameters
    ----------
    indptr, indices
        As in :func:`breadth_first`.

    Returns
    -------
    nodes : Tensor
        int64. Nodes in a cycle, or behind one, are left out.
    offsets : Tensor
        Where the nodes begin that need the same number of steps, and the last end; int64.

    Raises
    ------
    IndexError, ValueError, TypeError
        As in :func:`breadth_first`.
    """
    indptr, indices, _ = _arrays(indptr, indices, None)
    return _native.topological(indptr, indices)


def depth_first(
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    sources: Tensor,
    *,
    reverse: bool,
    nontree: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Steps of a depth-first search from each source, which knows nothing of the others.

    Parameters
    ----------
    indptr, indices, eids
        As in :func:`breadth_first`.
    sources : Tensor
        Where to start, shape [S], int32 or int64.
    reverse : bool
        Whether the way back over an edge of the tree is a step.
    nontree : bool
        Whether an edge to a node met before is a step.

    Returns
    -------
    edges : Tensor
        Edge of each step, search after search; int64.
    labels : Tensor
        0 (on over it), 1 (back over it) or 2 (to a node met before); int64.
    offsets : Tensor
        Where the steps of each search begin, and the last end; int64, shape [S + 1].

    Raises
    ------
    IndexError, ValueError, TypeError
        As in :func:`breadth_first`.
    """
    arrays, sources = _arrays(indptr, indices, eids), require_ids("sources", sources).long()
    return _native.depth_first(*arrays, sources, reverse, nontree)


def _arrays(
    indptr: Tensor, indices: Tensor, eids: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    return (
        require_ids("indptr", indptr).long(),
        require_ids("indices", indices),
        optional_ids("eids", eids),
    )


def breadth_first_reference(
    indptr: Tensor, indices: Tensor, eids: Tensor, sources: Tensor
) -> tuple[list[int], list[int], list[int]]:
    """What :func:`breadth_first` computes, with a queue; lists."""
    begins, others, ids = indptr.tolist(), indices.tolist(), eids.tolist()
    nodes, over = sources.tolist(), []
    depth, queue = dict.fromkeys(nodes, 0), deque(nodes)
    while queue:
        node = queue.popleft()
        for p in range(begins[node], begins[node + 1]):
            if others[p] not in depth:
                depth[others[p]] = depth[node] + 1
                nodes.append(others[p])
                over.append(ids[p])
                queue.append(others[p])
    counts = torch.bincount(torch.tensor(list(depth.values()), dtype=torch.int64))
    return nodes, over, [0, *counts.cumsum(0).tolist()]


def topological_reference(indptr: Tensor, indices: Tensor) -> tuple[list[int], list[int]]:
    """What :func:`topological` computes, by taking away one frontier after the other; lists."""
    begins, others = indptr.tolist(), indices.tolist()
    waits = torch.bincount(indices.long(), minlength=indptr.shape[0] - 1).tolist()
    nodes, offsets = [], [0]
    frontier = [node for node, count in enumerate(waits) if not count]
    while frontier:
        nodes += frontier
        offsets.append(len(nodes))
        following = []
        for node in frontier:
            for other in others[begins[node] : begins[node + 1]]:
                waits[other] -= 1
                if not waits[other]:
                    following.append(other)
        frontier = following
    return nodes, offsets


def depth_first_reference(
    indptr: Tensor, indices: Tensor, eids: Tensor, source: int
) -> list[tuple[int, int]]:
    """All steps ``(edge, label)`` of one search of :func:`depth_first`, by recursion."""
    begins, others, ids = indptr.tolist(), indices.tolist(), eids.tolist()
    seen, steps = {source}, []

    def visit(node: int) -> None:
        for p in range(begins[node], begins[node + 1]):
            if others[p] in seen:
                steps.append((ids[p], 2))
                continue
            seen.add(others[p])
            steps.append((ids[p], 0))
            visit(others[p])
            steps.append((ids[p], 1))

    visit(source)
    return steps
