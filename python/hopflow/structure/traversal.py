"""Ways through a graph: breadth first, depth first, and in topological order.

A traversal is a sequence of frontiers, each of nodes or edges that may be worked on at once. Of
the neighbours of a node those come first whose edges do, by edge id.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.graph_base import GraphBase, require_graph
from hopflow.structure.ids import as_node_ids

Frontiers: TypeAlias = tuple[Tensor, ...]


def bfs_nodes_generator(graph: GraphBase, source: Any, reverse: bool = False) -> Frontiers:
    """Nodes by their distance from some nodes, nearest first.

    Takes O(nodes + edges reached) time on the CPU, and the first call of a graph the time to sort
    its edges, which are kept so.

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
    nodes, _, offsets = ops.breadth_first(*_edges_on(graph, reverse), source)
    return _frontiers(graph, nodes, offsets)


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
    _, met_over, offsets = ops.breadth_first(*_edges_on(graph, reverse), source)
    return _frontiers(graph, met_over, offsets[1:] - source.shape[0])


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
    indptr, others, _ = _edges_on(graph, reverse)
    nodes, offsets = ops.topological(indptr, others)
    if left := graph.num_nodes() - nodes.shape[0]:
        raise ValueError(f"graph: expected no cycle; {left} nodes are in one, or behind one")
    return _frontiers(graph, nodes, offsets)


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
    edges, _, sizes = _searched(graph, source, reverse)
    return _steps(edges, sizes)


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
    edges, labels, sizes = _searched(graph, source, reverse, has_reverse_edge, has_nontree_edge)
    steps = _steps(edges, sizes)
    return (steps, _steps(labels, sizes)) if return_labels else steps


def _start(graph: GraphBase, source: Any) -> tuple[GraphBase, Tensor]:
    """The graph, checked, and the distinct nodes to start from, on the CPU."""
    graph = require_graph(graph, one_type=True)
    nodes = as_node_ids("source", source, graph.num_nodes(), device=torch.device("cpu"))
    return graph, ops.compact_ids(nodes, nodes[:0])[0]


def _edges_on(graph: GraphBase, reverse: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """``(indptr, other ends, eids)`` of the edges that lead on from each node, on the CPU."""
    edges = graph.adjacency.full()
    found = (edges.indptr, edges.indices, edges.eids) if reverse else edges.by_source()
    # One step follows from the one before: nothing for a GPU.
    indptr, others, eids = found
    return indptr.cpu(), others.cpu(), None if eids is None else eids.cpu()


def _frontiers(graph: GraphBase, ids: Tensor, offsets: Tensor) -> Frontiers:
    """Ids of nodes or edges as the graph has them, a frontier each; ``offsets`` begin with 0."""
    ids = ids.to(device=graph.device, dtype=graph.idtype)
    return _steps(ids, offsets.diff().tolist())


def _searched(
    graph: GraphBase,
    source: Any,
    reverse: bool,
    has_reverse_edge: bool = False,
    has_nontree_edge: bool = False,
) -> tuple[Tensor, Tensor, list[int]]:
    """``(edges, labels, sizes of frontiers)``: a depth-first search from each source, the first
    steps of all, then the second, and so on."""
    graph, nodes = _start(graph, source)
    edges, labels, searches = ops.depth_first(
        *_edges_on(graph, reverse), nodes, reverse=has_reverse_edge, nontree=has_nontree_edge
    )
    sizes = [1] * edges.shape[0]
    if nodes.shape[0] > 1:
        every = torch.arange(edges.shape[0], device="cpu")
        step = every - searches[:-1].repeat_interleave(searches.diff())
        order = torch.argsort(step, stable=True)
        edges, labels, sizes = edges[order], labels[order], torch.bincount(step).tolist()
    return edges.to(device=graph.device, dtype=graph.idtype), labels.to(graph.device), sizes


def _steps(ids: Tensor, sizes: list[int]) -> Frontiers:
    """A tensor for each frontier, none of which is empty: most of the time of a long search."""
    if len(sizes) == ids.shape[0]:  # one each, which torch cuts in half the time
        return torch.split(ids, 1) if sizes else ()
    return torch.split(ids, sizes)
