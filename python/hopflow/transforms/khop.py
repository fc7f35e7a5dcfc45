"""Graphs whose edges are walks: of some number of steps, or along a metapath."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Columns
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph
from hopflow.structure.types import Relation, Schema, told
from hopflow.transforms._matrices import Entries, ends_of, product, require_dense, summed
from hopflow.transforms.edges import with_edges
from hopflow.transforms.modules import BaseTransform, with_relations

# Walks are counted in int64.
_MOST_WALKS = 2**62


def khop_adj(g: GraphBase, k: int) -> Tensor:
    """The number of walks of ``k`` edges from every node to every node.

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type.
    k : int
        Number of edges of a walk; with 0 there is one from each node to itself.

    Returns
    -------
    Tensor
        float32, shape [N, N], dense: the ``k``-th power of the adjacency matrix, sources by row.
        Counts are exact below 2**24.

    Raises
    ------
    ValueError
        ``k`` is negative, or the matrix takes too much memory.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.khop_adj.html
    """
    g, k = require_graph(g, one_type=True), _steps(k)
    count = g.num_nodes()
    require_dense("khop_adj", count, count, dtype=torch.float64, copies=2)
    full = g.adjacency.full()
    # Column s holds the walks from node s.
    walks = torch.eye(count, dtype=torch.float64, device=g.device)
    for _ in range(k):
        walks = ops.spmm(full.indptr, full.indices, walks)
    return walks.t().float().contiguous()


def khop_graph(g: GraphT, k: int, copy_ndata: bool = True) -> GraphT:
    """The graph with an edge from ``u`` to ``v`` for every walk of ``k`` edges between them.

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type.
    k : int
        Number of edges of a walk; with 0 the result has a self-loop for every node.
    copy_ndata : bool
        Keep the node columns.

    Returns
    -------
    Graph
        Of the same nodes, without edge columns; its edges are sorted by source, then destination.
        Walks between the same ends are parallel edges.

    Raises
    ------
    ValueError
        ``k`` is negative, or there are too many walks to be counted.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.khop_graph.html
    """
    g, k = require_graph(g, one_type=True), _steps(k)
    _require_countable(g, k)
    count = g.num_nodes()
    nodes = torch.arange(count, device=g.device)
    walks = Entries(nodes, nodes, torch.ones_like(nodes))
    if k > 0:
        src, dst = ends_of(g)
        walks = one_step = summed(src, dst, torch.ones_like(src))
        for _ in range(k - 1):
            walks = product(walks, one_step, count)
    assert walks.values is not None
    ends = (torch.repeat_interleave(x, walks.values) for x in (walks.rows, walks.columns))
    return with_edges(g, *ends, copy_ndata=copy_ndata)


def _steps(k: object) -> int:
    steps = ops.as_int("k", k)
    if steps < 0:
        raise ValueError(f"k: expected a number of steps, 0 or more, got {steps}")
    return steps


def _require_countable(g: GraphBase, k: int) -> None:
    full = g.adjacency.full()
    into = torch.ones(g.num_nodes(), 1, dtype=torch.float64, device=g.device)
    for _ in range(k):
        into = ops.spmm(full.indptr, full.indices, into)
    total = float(into.sum())
    if not total < _MOST_WALKS:
        raise ValueError(f"k: there are {total:.3g} walks of {k} steps, too many to be edges")


# --- along a metapath


def metapath_reachable_graph(g: GraphT, metapath: Sequence[Any]) -> GraphT:
    """The graph with an edge from ``u`` to ``v`` where a metapath leads from ``u`` to ``v``.

    Parameters
    ----------
    g : Graph
        A graph.
    metapath : sequence of str or tuple
        Relations, each of which starts at the node type at which the one before it ends.

    Returns
    -------
    Graph
        Its one relation is called ``"_E"`` and joins the first node type with the last, all nodes
        and node columns of which it has. Its edges are sorted by source, then destination, and no
        two are parallel.

    Raises
    ------
    ValueError
        No relations, one that the graph does not have, or one that does not start where the one
        before it ends.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.metapath_reachable_graph.html
    """
    g = require_graph(g)
    path = _require_metapath(g, "metapath", metapath)
    reached = _reached(g, path)
    first, last = path[0][0], path[-1][2]
    relation = (first, "_E", last)
    adjacency = Adjacency.from_coo(
        reached.rows, reached.columns, g.num_nodes(first), g.num_nodes(last)
    )
    frames = g.node_frames()
    schema = Schema(sorted({first, last}), [relation])
    nodes = {ntype: frames[ntype].copy() for ntype in schema.ntypes}
    return type(g).of_types(schema, nodes, {relation: (adjacency, None)}, g.idtype, like=g)


def _require_metapath(g: GraphBase, name: str, metapath: Sequence[Any]) -> list[Relation]:
    """The relations of a metapath by their full names."""
    if isinstance(metapath, str) or not isinstance(metapath, Sequence):
        raise TypeError(f"{name}: expected a list of edge types, got {metapath!r}")
    path = [g.schema.relation(etype) for etype in metapath]
    if not path or None in metapath:
        raise ValueError(f"{name}: expected edge types of {told(g.schema.relations)}, got none")
    for before, after in pairwise(path):
        if before[2] != after[0]:
            raise ValueError(
                f"{name}: {after!r} does not start where {before!r} ends, at {before[2]!r}"
            )
    return path


def _reached(g: GraphBase, path: Sequence[Relation]) -> Entries:
    """The pairs of nodes that a metapath joins."""
    steps = (summed(*ends_of(g.relation(relation)), None) for relation in path)
    reached = next(steps)
    for relation, step in zip(path[1:], steps):
        reached = product(reached, step, g.num_nodes(relation[0]))
    return reached


# --- as objects


class KHopGraph(BaseTransform):
    """Replace edges by walks: :func:`hopflow.khop_graph`.

    Parameters
    ----------
    k : int
        Number of edges of a walk.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.KHopGraph.html
    """

    def __init__(self, k: int) -> None:
        self.k = _steps(k)

    def __call__(self, g: GraphT) -> GraphT:
        """The graph of the walks, with the node columns."""
        return khop_graph(g, self.k)


class AddMetaPaths(BaseTransform):
    """Add a relation for each of some metapaths, as :func:`hopflow.metapath_reachable_graph`.

    Parameters
    ----------
    metapaths : mapping
        Name of the new relation: relations, as names or as tuples of three. It runs from where the
        first starts to where the last ends.
    keep_orig_edges : bool
        Keep the relations that there are, with their columns.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.AddMetaPaths.html
    """

    def __init__(
        self, metapaths: Mapping[str, Sequence[Any]], keep_orig_edges: bool = True
    ) -> None:
        if not isinstance(metapaths, Mapping):
            raise TypeError(
                f"metapaths: expected a dict of lists of edge types, got {type(metapaths).__name__}"
            )
        self.metapaths, self.keep_orig_edges = dict(metapaths), keep_orig_edges

    def __call__(self, g: GraphT) -> GraphT:
        """The graph with the new relations, of the same nodes and node columns.

        Raises
        ------
        ValueError
            As :func:`hopflow.metapath_reachable_graph`; a new relation is one of those kept (DGL
            leaves out the new one); or no relation is left.
        """
        g = require_graph(g)
        parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
        if self.keep_orig_edges:
            for relation, one in g.relations.items():
                parts[relation] = (one.adjacency, one.edge_frame.snapshot())
        for name, metapath in self.metapaths.items():
            path = _require_metapath(g, f"metapaths[{name!r}]", metapath)
            relation = (path[0][0], name, path[-1][2])
            if relation in parts:
                raise ValueError(
                    f"metapaths: expected names of new relations, got {name!r}, and {relation!r} is"
                    " there already"
                )
            reached = _reached(g, path)
            num_src, num_dst = g.num_nodes(relation[0]), g.num_nodes(relation[2])
            adjacency = Adjacency.from_coo(reached.rows, reached.columns, num_src, num_dst)
            parts[relation] = (adjacency, None)
        if not parts:
            raise ValueError("metapaths: expected at least one, for no relation is kept")
        return with_relations(g, parts)
