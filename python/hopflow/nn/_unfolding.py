"""Weighted edges, their degrees and their sums, as unfolded optimisation steps need them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

import hopflow.function as fn
from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import aggregate, sum_in_edges, sum_out_edges
from hopflow.nn._attention import dot_products


class EdgeWeights(NamedTuple):
    """What a graph's edges weigh in a step, and the degrees that follow.

    Attributes
    ----------
    edges : Tensor or None
        Weight of each edge, shape [E]; None for 1.
    loops : Tensor or None
        Weight of an edge to each destination from the source that is the same node, beside the
        graph's own edges, shape [V].
    by_src, by_dst : Tensor
        Sums of weights at the sources and at the destinations, shapes [U] and [V]. In a graph a
        source's is that of its in-edges; a block knows only of its out-edges.
    """

    edges: Tensor | None
    loops: Tensor | None
    by_src: Tensor
    by_dst: Tensor

    def sum(self, graph: Graph, source: Tensor) -> Tensor:
        """The weighted sum of the sources' rows at each destination."""
        out = aggregate(graph, source, fn.sum, self.edges)
        if self.loops is None:
            return out
        return out + source[: out.shape[0]] * self.loops.to(source.dtype).unsqueeze(1)


def unit_weights(graph: Graph, like: Tensor, self_loops: bool) -> EdgeWeights:
    """Weights of 1; with ``self_loops``, of one loop a node in place of the graph's own.

    So a layer that wants them needs no other graph.

    Raises
    ------
    ValueError
        Self-loops for more destinations than there are sources.
    """
    num_src, num_dst = graph.num_src_nodes(), graph.num_dst_nodes()
    if self_loops and num_src < num_dst:
        raise ValueError(
            f"graph: expected a block whose destinations are its first sources, got {num_src}"
            f" sources and {num_dst} destinations"
        )
    dtype = torch.promote_types(like.dtype, torch.float32)
    if self_loops:
        loops = torch.ones(num_dst, dtype=dtype, device=like.device)
        return _weights(graph, _is_no_loop(graph).to(dtype), loops)
    by_dst = graph.adjacency.in_degrees().to(dtype)
    by_src = graph.adjacency.out_degrees().to(dtype) if graph.is_block else by_dst
    return EdgeWeights(None, None, by_src, by_dst)


def _is_no_loop(graph: Graph) -> Tensor:
    """Whether each edge joins two nodes, in the order of edge ids, shape [E]."""
    src, dst = graph.adjacency.coo()
    return src != dst


def _weights(graph: Graph, edges: Tensor, loops: Tensor | None) -> EdgeWeights:
    by_dst = sum_in_edges(graph, edges)
    if loops is not None:
        by_dst = by_dst + loops
    if not graph.is_block:
        return EdgeWeights(edges, loops, by_dst, by_dst)
    by_src = sum_out_edges(graph, edges)
    if loops is not None:
        others = graph.num_src_nodes() - graph.num_dst_nodes()
        by_src = by_src + torch.nn.functional.pad(loops, (0, others))
    return EdgeWeights(edges, loops, by_src, by_dst)


class Reweighting(NamedTuple):
    """How an edge's weight follows from the distance of its ends.

    Attributes
    ----------
    tau, T : float
        Distances below ``tau`` count as ``tau``; an edge above ``T`` weighs nothing, if ``T`` is
        positive.
    p : float
        The weight is the distance to the power ``p - 2``.
    """

    tau: float
    T: float
    p: float

    def of_distances(self, squares: Tensor) -> Tensor:
        """Weights from squared distances, each at least 1e-9."""
        # Rounding may leave a squared distance below 0.
        distance = (squares.relu() + 1e-7).pow(1 - 0.5 * self.p)
        distance = distance.where(distance >= self.tau, distance.new_full((), self.tau))
        weight = 1 / distance
        if self.T > 0:
            weight = weight.where(distance <= self.T, weight.new_zeros(()))
        return weight + 1e-9

    def of_edges(self, graph: Graph, source: Tensor, own: Tensor, self_loops: bool) -> EdgeWeights:
        """Weights from the distance of every edge's ends; no vector for an edge is written."""
        # Differences of large numbers: in float32 or wider.
        dtype = torch.promote_types(source.dtype, torch.float32)
        source, own = source.to(dtype), own.to(dtype)
        with graph.local_scope():
            graph.srcdata["_u"] = source.square().sum(-1, keepdim=True)
            graph.dstdata["_v"] = own.square().sum(-1, keepdim=True)
            graph.apply_edges(fn.u_add_v("_u", "_v", "_e"))
            squares = graph.edata["_e"] - 2 * dot_products(graph, source, own)
        edges = self.of_distances(squares.squeeze(-1))
        if not self_loops:
            return _weights(graph, edges, None)
        loops = self.of_distances((source[: own.shape[0]] - own).square().sum(-1))
        return _weights(graph, edges * _is_no_loop(graph), loops)
