"""Neighbours by importance: the nodes of largest personalised PageRank, near and far."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.sampling.edge_pools import edge_pools
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.frame import Column, Frame
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph
from hopflow.structure.relations import node_name
from hopflow.structure.types import Schema


def ppr_neighbors(
    g: GraphT,
    nodes: Any,
    k: int,
    alpha: float = 0.15,
    epsilon: float = 1e-4,
    *,
    prob: Any = None,
    exclude_edges: Any = None,
    weight_column: str = "weights",
) -> GraphT:
    """The graph of these nodes' ``k`` nodes with the largest personalised PageRank.

    The PageRank of t for s is the probability that a walk from s ends at t, which goes against the
    edges, ends at each node with probability ``alpha``, and where there is no in-edge. It is
    computed by local push on the CPU: :func:`hopflow.ops.ppr_neighbors` tells how exactly, and that
    the work is at most 1 / (alpha * epsilon) edges a node, whatever ``k`` and the size of the
    graph. Nothing is random.

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type.
    nodes : Tensor, numpy array, sequence of int or boolean mask
        Nodes; duplicates count once.
    k : int
        The most nodes kept for each node, itself included.
    alpha : float
        From 1e-6 to 1: near 1 the nodes found are near, near 0 they are important.
    epsilon : float
        At least 1e-15: a smaller one finds more nodes, and their scores more exactly. A node of
        more than 1 / epsilon in-edges finds itself alone.
    prob : str or Tensor, optional
        Edge column, or its name: a walk takes an edge with a probability proportional to its
        weight, as in :func:`sample_neighbors`; an edge of weight 0 is as if it were not there. A
        bool column is a mask.
    exclude_edges : Tensor, numpy array or sequence of int, optional
        Ids of edges that no walk takes.
    weight_column : str
        Edge column of the result, for the scores.

    Returns
    -------
    Graph
        All nodes of ``g``, without columns. Each given node has an in-edge from each node found,
        the largest score first, of equal ones the smallest ids first and kept; the scores, float32,
        are in ``edata[weight_column]``. A node is mostly among its own.

    Raises
    ------
    IndexError, TypeError, ValueError
        Nodes or edges that are not in the graph, bad weights, a number out of range, or a graph of
        several types.
    KeyError
        A column that the graph lacks.
    HopflowError
        A graph on CUDA.

    References
    ----------
    Andersen, Chung, Lang, "Local graph partitioning using PageRank vectors", FOCS 2006; Bojchevski
    et al., "Scaling graph neural networks with approximate PageRank", KDD 2020.
    """
    g = require_graph(g, one_type=True)
    none = torch.empty(0, dtype=g.idtype, device=g.device)
    given = nodes_by_type(g, "nodes", nodes, dtype=g.idtype)
    seeds, _, _ = ops.compact_ids(given.get(g.schema.ntypes[0], none), none)
    found = pagerank_of(g, seeds, k, alpha, epsilon, prob, exclude_edges, "exclude_edges")
    is_one = found.neighbors >= 0
    indptr = torch.zeros(seeds.shape[0] + 1, dtype=torch.int64, device=g.device)
    torch.cumsum(found.counts, 0, out=indptr[1:])
    num_nodes, (relation,) = g.num_nodes(), g.schema.relations
    adjacency = Adjacency(indptr, found.neighbors[is_one], None, num_nodes, num_nodes, rows=seeds)
    columns: dict[str, Column] = {weight_column: found.scores[is_one].float()}
    frames = {relation[0]: Frame(num_nodes, node_name(relation[0]), g.device)}
    return type(g).of_types(
        Schema((relation[0],), (relation,)), frames, {relation: (adjacency, columns)}, g.idtype
    )


def pagerank_of(
    g: GraphBase,
    seeds: Tensor,
    k: int,
    alpha: float,
    epsilon: float,
    prob: Any,
    exclude_edges: Any,
    excluded_name: str,
) -> ops.PPRNeighbors:
    """:func:`hopflow.ops.ppr_neighbors` over the in-edges of a graph of one type.

    Parameters
    ----------
    g : Graph
        A graph.
    seeds : Tensor
        Nodes, shape [S].
    k, alpha, epsilon, prob, exclude_edges
        As in :func:`ppr_neighbors`.
    excluded_name : str
        What the caller calls ``exclude_edges``, for messages.
    """
    pools = edge_pools(g, "in", prob)
    (pool,), (excluded,) = pools.pools.values(), pools.excluded(excluded_name, exclude_edges)
    edges = pool.adjacency
    return ops.ppr_neighbors(
        edges.indptr, edges.indices, seeds, k, alpha=alpha, epsilon=epsilon, weights=pool.weights,
        excluded=excluded,
    )  # fmt: skip
