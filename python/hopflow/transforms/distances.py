"""Shortest distances, and labels of nodes by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.graph_base import GraphBase, require_graph
from hopflow.structure.ids import check_range
from hopflow.transforms._matrices import ends_of, require_dense, to_csr
from hopflow.transforms.export import require_library


def shortest_dist(
    g: GraphBase, root: int | None = None, return_paths: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """The number of edges of the shortest path from a node, or every node, to every node.

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type.
    root : int, optional
        Where paths begin; None for each node in turn.
    return_paths : bool
        Return the edges of one shortest path each too.

    Returns
    -------
    dist : Tensor
        int64, shape [N] or [N, N], sources by row; -1 where no path leads.
    paths : Tensor
        Edge ids, int64, shape [N, L] or [N, N, L], L being the largest distance; -1 after the end
        of a path. Of parallel edges it has the one with the lowest id.

    Raises
    ------
    IndexError
        ``root`` is no node.
    ValueError
        The distances or paths of all pairs take too much memory.
    ImportError
        scipy is not installed.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.shortest_dist.html
    """
    g = require_graph(g, one_type=True)
    csgraph = require_library("scipy.sparse.csgraph", "scipy", "shortest_dist")
    count = g.num_nodes()
    if root is None:
        # float64 distances, int32 predecessors, and the result.
        require_dense("shortest_dist", count, count, dtype=torch.float64, copies=3)
        roots = np.arange(count)
    else:
        roots = np.array([_node("root", root, count)])
    length, before = np.full((len(roots), count), np.inf), np.zeros((len(roots), count), np.int64)
    if count:
        length, before = csgraph.dijkstra(
            to_csr(g, "shortest_dist"), indices=roots, unweighted=True, return_predecessors=True
        )
    dist = np.where(np.isinf(length), -1, length).astype(np.int64)
    rows = slice(None) if root is None else 0
    made = torch.from_numpy(dist).to(g.device)
    if not return_paths:
        return made[rows]
    paths = torch.from_numpy(_paths(g, dist, before)).to(g.device)
    return made[rows], paths[rows]


def _node(name: str, value: object, count: int) -> int:
    node = ops.as_int(name, value)
    check_range(name, torch.tensor([node], device="cpu"), count)
    return node


def _paths(g: GraphBase, dist: Any, before: Any) -> Any:
    """Edges of the paths that ``before`` tells backwards, int64 ``[roots, N, longest]``."""
    num_roots, count = dist.shape
    longest = int(dist.max(initial=0))
    require_dense("shortest_dist", num_roots, count, longest, dtype=torch.int64)
    paths = np.full((num_roots, count, longest), -1, dtype=np.int64)
    src, dst = (x.cpu().numpy() for x in ends_of(g))
    keys = src * count + dst  # fit int64 up to three billion nodes
    order = np.argsort(keys, kind="stable")
    in_order = keys[order]
    # Nodes that paths have reached going back, and how many edges are still before them.
    root, target = np.nonzero(dist > 0)
    at, left = target, dist[root, target]
    while len(root):
        came = before[root, at].astype(np.int64)
        paths[root, target, left - 1] = order[np.searchsorted(in_order, came * count + at)]
        at, left = came, left - 1
        goes_on = left > 0
        root, target, at, left = (x[goes_on] for x in (root, target, at, left))
    return paths


def double_radius_node_labeling(g: GraphBase, src: int, dst: int) -> Tensor:
    """Label nodes by their distances to the two ends of a link, as SEAL does.

    ``1 + min(ds, dt) + (d // 2) (d // 2 + d % 2 - 1)`` with ``d = ds + dt``, where ``ds`` is the
    distance to ``src`` without passing through ``dst``, ``dt`` the other way around, and edges are
    taken in both directions.

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type.
    src, dst : int
        The ends of the link, two nodes.

    Returns
    -------
    Tensor
        int64, shape [N], on the graph's device; 1 for the two ends, 0 for nodes that no path joins
        with one of them.

    Raises
    ------
    IndexError
        ``src`` or ``dst`` is no node.
    ValueError
        They are the same.
    ImportError
        scipy is not installed.

    References
    ----------
    Zhang, Chen, "Link prediction based on graph neural networks", https://arxiv.org/abs/1802.09691
    https://www.dgl.ai/dgl_docs/generated/dgl.double_radius_node_labeling.html
    """
    g = require_graph(g, one_type=True)
    count = g.num_nodes()
    src, dst = _node("src", src, count), _node("dst", dst, count)
    if src == dst:
        raise ValueError(f"dst: expected another node than src, got {dst} for both")
    csgraph = require_library("scipy.sparse.csgraph", "scipy", "double_radius_node_labeling")
    matrix = to_csr(g, "double_radius_node_labeling")
    lengths = []
    for start, without in ((src, dst), (dst, src)):
        others = np.delete(np.arange(count), without)
        apart = np.full(count, np.inf)
        apart[others] = csgraph.dijkstra(
            matrix[others][:, others], directed=False, unweighted=True,
            indices=start - (start > without),
        )  # fmt: skip
        lengths.append(apart)
    is_reached = np.isfinite(lengths[0]) & np.isfinite(lengths[1])
    to_src, to_dst = (np.where(is_reached, x, 0).astype(np.int64) for x in lengths)
    both = to_src + to_dst
    labels = 1 + np.minimum(to_src, to_dst) + both // 2 * (both // 2 + both % 2 - 1)
    labels[~is_reached] = 0
    labels[[src, dst]] = 1
    return torch.from_numpy(labels).to(g.device)
