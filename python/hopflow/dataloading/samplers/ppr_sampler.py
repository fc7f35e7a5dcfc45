"""The subgraph of a batch's seeds and the nodes of largest personalised PageRank around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

import hopflow.ops as ops
from hopflow.dataloading.samplers.sampler import distinct_seeds
from hopflow.dataloading.samplers.subgraph import SeedSubgraphSampler, SubgraphColumns
from hopflow.graphs.graph import Graph
from hopflow.sampling.pagerank import pagerank_of


class PPRSampler(SeedSubgraphSampler):
    """All edges among the seeds and the nodes that matter most to each of them, by PageRank.

    As :class:`ShaDowKHopSampler`, with nodes found by :func:`hopflow.sampling.ppr_neighbors`
    instead of a neighbour sampler: the nodes in which walks from a seed against the edges are most
    likely to end, however many hops away. Nothing is random: a node has the same neighbourhood in
    every epoch. After the seeds the subgraph has the nodes found for the first seed, its largest
    score first, and so on. The work is at most 1 / (alpha * epsilon) edges a seed, then the
    in-edges of the nodes found. On the CPU, for graphs of one type.

    Parameters
    ----------
    num_neighbors : int
        The most nodes kept for each seed, itself included.
    alpha : float
        Probability that a walk ends at a node, from 1e-6 to 1: near 1 the nodes found are near.
    epsilon : float
        At least 1e-15: a smaller one finds more nodes, more exactly. A seed of more than
        1 / epsilon in-edges finds no others.
    prob : str or Tensor, optional
        Edge column, or its name: the weight of each edge, or a mask, for the walks. The subgraph
        has all edges.
    prefetch_node_feats, prefetch_edge_feats : sequence of str, optional
        Columns of the subgraph to gather with the batch.
    output_device : str or torch.device, optional
        Only the graph's, checked with every batch; the DataLoader moves subgraphs.

    Raises
    ------
    TypeError, ValueError
        A number out of range; with a batch, weights that are none, or a graph of several types.
    HopflowError
        With a batch: a graph on CUDA.

    References
    ----------
    Zeng et al., "Decoupling the depth and scope of graph neural networks", NeurIPS 2021 (its PPR
    sampler); Bojchevski et al., "Scaling graph neural networks with approximate PageRank", KDD
    2020; Andersen, Chung, Lang, "Local graph partitioning using PageRank vectors", FOCS 2006.
    """

    def __init__(
        self,
        num_neighbors: int,
        alpha: float = 0.15,
        epsilon: float = 1e-4,
        prob: Any = None,
        prefetch_node_feats: Any = None,
        prefetch_edge_feats: Any = None,
        output_device: Any = None,
    ) -> None:
        self.num_neighbors, self.alpha, self.epsilon = ops.check_ppr(
            num_neighbors, alpha, epsilon, k_name="num_neighbors"
        )
        self.prob = prob
        super().__init__(SubgraphColumns(prefetch_node_feats, prefetch_edge_feats), output_device)

    def around(self, g: Graph, seed_nodes: Any, exclude_eids: Any) -> tuple[Any, Any, Any]:
        """The seeds, then what is found for the first seed, its largest score first, and so on."""
        g = self.checked(g)
        (ntype,) = g.schema.ntypes
        given, inverses = distinct_seeds(g, seed_nodes)
        seeds = given.setdefault(ntype, torch.empty(0, dtype=g.idtype, device=g.device))
        with torch.inference_mode(False):  # as in induced()
            found = pagerank_of(
                g, seeds, self.num_neighbors, self.alpha, self.epsilon, self.prob, exclude_eids,
                "exclude_eids",
            )  # fmt: skip
            neighbors = found.neighbors[found.neighbors >= 0].to(g.idtype)
            nodes, _, _ = ops.compact_ids(seeds, neighbors)
        if isinstance(seed_nodes, Mapping):
            return nodes, given, inverses or None
        return nodes, seeds, inverses.get(ntype)

    def __repr__(self) -> str:
        told = f"{self.num_neighbors}, alpha={self.alpha}, epsilon={self.epsilon}"
        if self.prob is not None:
            told += f", prob={self.prob!r}" if isinstance(self.prob, str) else ", prob=Tensor"
        return f"{type(self).__name__}({told})"
