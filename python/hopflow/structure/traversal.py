"""Ways through a graph: breadth first, depth first, and in topological order.

A traversal is a sequence of frontiers, each of nodes or edges that may be worked on at once. Of
the neighbours of a node those come first whose edges do, by edge id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, TypeAlias

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.graph_base import GraphBase, require_graph
from hopflow.structure.ids import as_node_ids

Frontiers: TypeAlias = tuple[Tensor, ...]

FORWARD, REVERSE, NONTREE = range(3)
"""Labels of :func:`dfs_labeled_edges_generator`."""

_Edges: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def bfs_nodes_generator(graph: GraphBase, source: Any, reverse: bool = False) -> Frontiers:
    """Nodes by their distance from some nodes, nearest first.

    Takes O(nodes + edges reached) time, in a few operations for each frontier.

    Parameters
    ----------
    graph : Graph
        A graph of one node type and one edge type.
    source : Tensor, numpy array, sequence of int, int or boolean mask
        Where to start; a node given twice counts once.
    reverse : bool
        Go against the direction of the edges.

    Returns
    -------
    tuple of Tensor
        Each frontier's node ids: first ``source``, then what is one step away, and so on; in each
        in the order in which a queue would meet them. Nodes that are not reached are in none.

    Raises
    ------
    IndexError
        A node that the graph does not have.
    ValueError
        A graph of several types.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.bfs_nodes_generator.html
    """
    graph, source = _start(graph, source)
    found = [source, *(nodes for nodes, _ in _by_distance(graph, source, reverse))]
    return tuple(nodes.to(graph.idtype) for nodes in found if nodes.shape[0])


def bfs_edges_generator(graph: GraphBase, source: Any, reverse: bool = False) -> Frontiers:
    """Edges over which :func:`bfs_nodes_generator` first meets nodes, nearest first.

    Parameters
    ----------
    graph, source, reverse
        As in :func:`bfs_nodes_generator`.

    Returns
    -------
    tuple of Tensor
        Each frontier's edge ids, one for each node met.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.bfs_edges_generator.html
    """
    graph, source = _start(graph, source)
    return tuple(eids.to(graph.idtype) for _, eids in _by_distance(graph, source, reverse))


def topological_nodes_generator(graph: GraphBase, reverse: bool = False) -> Frontiers:
    """All nodes, each in the first frontier after all of its predecessors.

    Parameters
    ----------
    graph : Graph
        A graph of one node type and one edge type, without cycles.
    reverse : bool
        Go against the direction of the edges: each node after its successors.

    Returns
    -------
    tuple of Tensor
        Each frontier's node ids; in the first in rising order, then in the order in which a queue
        would find their last edge.

    Raises
    ------
    ValueError
        A cycle, or a graph of several types.

    References
    ----------
    Kahn, "Topological sorting of large networks", CACM 5, 1962;
    https://www.dgl.ai/dgl_docs/generated/dgl.topological_nodes_generator.html
    """
    graph = require_graph(graph, one_type=True)
    adjacency = graph.adjacency
    waits_for = (adjacency.out_degrees() if reverse else adjacency.in_degrees()).clone()
    neighbors = _neighbors(graph, reverse)
    frontier = (waits_for == 0).nonzero().squeeze(1)
    frontiers, left = [], graph.num_nodes()
    while frontier.shape[0]:
        frontiers.append(frontier.to(graph.idtype))
        left -= frontier.shape[0]
        met = neighbors(frontier)[1].long()
        nodes, _, numbers = ops.compact_ids(met[:0], met)
        numbers = numbers.long()
        waits_for[nodes] -= torch.bincount(numbers, minlength=nodes.shape[0])
        last = torch.zeros_like(nodes)
        places = torch.arange(met.shape[0], device=met.device)
        last.scatter_reduce_(0, numbers, places, "amax", include_self=True)
        is_ready = waits_for[nodes] == 0
        frontier = nodes[is_ready][last[is_ready].argsort()]
    if left:
        raise ValueError(f"graph: expected no cycle; {left} nodes are in one, or behind one")
    return tuple(frontiers)


def dfs_edges_generator(graph: GraphBase, source: Any, reverse: bool = False) -> Frontiers:
    """Edges over which a depth-first search first meets nodes, in its order.

    Parameters
    ----------
    graph : Graph
        A graph of one node type and one edge type.
    source : Tensor, numpy array, sequence of int, int or boolean mask
        Where to start. From each node there is a search of its own, which knows nothing of the
        others: from several nodes of one component edges come several times.
    reverse : bool
        Go against the direction of the edges.

    Returns
    -------
    tuple of Tensor
        Each frontier's edge ids: the first edge of every search, then the second, and so on, in the
        order of ``source``.

    Raises
    ------
    IndexError
        A node that the graph does not have.
    ValueError
        A graph of several types.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dfs_edges_generator.html
    """
    return _searched(graph, source, reverse, {FORWARD})[0]


def dfs_labeled_edges_generator(
    graph: GraphBase,
    source: Any,
    reverse: bool = False,
    has_reverse_edge: bool = False,
    has_nontree_edge: bool = False,
    return_labels: bool = True,
) -> Frontiers | tuple[Frontiers, Frontiers]:
    """Edges in the order of a depth-first search, and why each is there.

    Parameters
    ----------
    graph, source, reverse
        As in :func:`dfs_edges_generator`.
    has_reverse_edge : bool
        Name each edge of the tree again when the search comes back over it.
    has_nontree_edge : bool
        Name edges too that lead to nodes met before.
    return_labels : bool
        Whether to return labels.

    Returns
    -------
    edges : tuple of Tensor
        Each frontier's edge ids, as in :func:`dfs_edges_generator`.
    labels : tuple of Tensor
        Only with ``return_labels``: for each of them 0 (the search goes on over it), 1 (it comes
        back) or 2 (it meets a node again), int64.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dfs_labeled_edges_generator.html
    """
    wanted = {FORWARD}
    if has_reverse_edge:
        wanted.add(REVERSE)
    if has_nontree_edge:
        wanted.add(NONTREE)
    edges, labels = _searched(graph, source, reverse, wanted)
    return (edges, labels) if return_labels else edges


def _start(graph: GraphBase, source: Any) -> tuple[GraphBase, Tensor]:
    """The graph, checked, and the distinct nodes to start from."""
    graph = require_graph(graph, one_type=True)
    nodes = as_node_ids("source", source, graph.num_nodes(), device=graph.device)
    return graph, ops.compact_ids(nodes, nodes[:0])[0]


def _neighbors(graph: GraphBase, reverse: bool) -> _Edges:
    """What gives ``(indptr, other ends, eids)`` of the edges that lead on from some nodes."""
    adjacency = graph.adjacency
    if reverse:
        return adjacency.in_edges
    # The out-edges that a graph keeps are ordered by destination: each frontier's would be sorted.
    src, dst = adjacency.coo()
    return Adjacency.from_coo(dst, src, adjacency.num_dst, adjacency.num_src).in_edges


def _by_distance(
    graph: GraphBase, frontier: Tensor, reverse: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """``(nodes, edges)``: the nodes of each frontier after the first, and how they were met."""
    neighbors = _neighbors(graph, reverse)
    is_new = torch.ones(graph.num_nodes(), dtype=torch.bool, device=graph.device)
    is_new[frontier] = False
    while frontier.shape[0]:
        _, met, eids = neighbors(frontier)
        counts = is_new[met.long()]
        met, eids = met[counts].long(), eids[counts]
        frontier, _, numbers = ops.compact_ids(met[:0], met)
        is_new[frontier] = False
        first = torch.full_like(frontier, met.shape[0])
        places = torch.arange(met.shape[0], device=met.device)
        first.scatter_reduce_(0, numbers.long(), places, "amin", include_self=True)
        if frontier.shape[0]:
            yield frontier, eids[first]


def _searched(
    graph: GraphBase, source: Any, reverse: bool, wanted: set[int]
) -> tuple[Frontiers, Frontiers]:
    """``(edges, labels)`` of a depth-first search from each source, merged step by step."""
    graph, nodes = _start(graph, source)
    every = torch.arange(graph.num_nodes(), device=graph.device)
    # One step follows from the one before: a loop, on arrays that are quick to read one by one.
    indptr, others, eids = (x.cpu().numpy() for x in _neighbors(graph, reverse)(every))
    steps: list[list[tuple[int, int]]] = []
    for node in nodes.tolist():
        search = _search(indptr, others, eids, node)
        for i, step in enumerate(one for one in search if one[1] in wanted):
            if i == len(steps):
                steps.append([])
            steps[i].append(step)
    if not steps:
        return (), ()
    flat = torch.tensor(list(chain.from_iterable(steps)), dtype=torch.int64, device="cpu")
    sizes = [len(step) for step in steps]
    edges, labels = (x.to(graph.device) for x in flat.unbind(1))
    return torch.split(edges.to(graph.idtype), sizes), torch.split(labels, sizes)


def _search(indptr: Any, others: Any, eids: Any, source: int) -> Iterator[tuple[int, int]]:
    """``(edge, label)`` for each step of a depth-first search."""

    def leaving(node: int) -> Iterator[tuple[int, int]]:
        rows = slice(int(indptr[node]), int(indptr[node + 1]))
        return zip(others[rows].tolist(), eids[rows].tolist())

    seen, way = {source}, [(-1, leaving(source))]
    while way:
        came_over, left = way[-1]
        for node, eid in left:
            if node in seen:
                yield eid, NONTREE
                continue
            yield eid, FORWARD
            seen.add(node)
            way.append((eid, leaving(node)))
            break
        else:
            way.pop()
            if way:
                yield came_over, REVERSE
