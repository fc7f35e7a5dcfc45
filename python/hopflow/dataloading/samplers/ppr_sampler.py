"""The subgraph of a batch's seeds and the nodes of largest personalised PageRank around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

import hopflow.ops as ops
from hopflow.dataloading.samplers.sampler import Sampler
from hopflow.dataloading.samplers.shadow import SubgraphBatch
from hopflow.dataloading.samplers.subgraph import SubgraphColumns
from hopflow.graphs.graph import Graph
from hopflow.sampling.pagerank import pagerank_of
from hopflow.structure.by_type import edges_by_type, nodes_by_type
from hopflow.structure.graph_base import require_graph, require_here
from hopflow.transforms.subgraph import induced_subgraph


class PPRSampler(Sampler):
    """All edges among the seeds and the nodes that matter most to each of them, by PageRank.

    As :class:`ShaDowKHopSampler`, with nodes found by :func:`hopflow.sampling.ppr_neighbors`
    instead of a neighbour sampler: the nodes in which walks from a seed against the edges are most
    likely to end, however many hops away. Nothing is random: a node has the same neighbourhood in
    every epoch. The work is at most 1 / (alpha * epsilon) edges a seed, then the in-edges of the
    nodes found. On the CPU, for graphs of one type.

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
        A number out of range.

    References
    ----------
    Zeng et al., "Decoupling the depth and scope of graph neural networks", NeurIPS 2021 (its PPR
    sampler); Bojchevski et al., "Scaling graph neural networks with approximate PageRank", KDD
    2020; Andersen, Chung, Lang, "Local graph partitioning using PageRank vectors", FOCS 2006.
    """

    index_kind = "node"

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
        self.prob, self.output_device = prob, output_device
        self.columns = SubgraphColumns(prefetch_node_feats, prefetch_edge_feats)

    def sample(self, g: Graph, seed_nodes: Any, exclude_eids: Any = None) -> SubgraphBatch:
        """Sample one mini-batch.

        Parameters
        ----------
        g : Graph
            A graph of one node type and one edge type.
        seed_nodes : Tensor, numpy array, sequence of int, boolean mask or dict
            Nodes whose neighbourhood is wanted. Duplicates are merged in order of first appearance;
            the subgraph's ``seed_inverse`` then leads from each given seed to its row.
        exclude_eids : Tensor, numpy array or sequence of int, optional
            Ids of edges that no walk takes and that are not in the subgraph.

        Returns
        -------
        input_nodes : Tensor
            The subgraph's nodes, dtype ``g.idtype``; the seeds come first, then the nodes found for
            the first seed, its largest score first, and so on.
        output_nodes : Tensor or dict
            The distinct seeds; a dict if seeds are one.
        subgraph : Graph
            All edges of ``g`` among the nodes, with ids in ``ndata[hopflow.NID]`` and
            ``edata[hopflow.EID]`` and the columns of ``g``. Edges come by destination.

        Raises
        ------
        IndexError, TypeError, ValueError
            Seeds or edges that are not the graph's, bad weights, or a graph of several types.
        KeyError
            A column that the graph lacks.
        HopflowError
            A graph on CUDA.
        """
        g = require_graph(g, one_type=True)
        require_here(g, self.output_device)
        (ntype,) = g.schema.ntypes
        none = torch.empty(0, dtype=g.idtype, device=g.device)
        ids = nodes_by_type(g, "seed_nodes", seed_nodes, dtype=g.idtype).get(ntype, none)
        seeds, inverse, _ = ops.compact_ids(ids, none)
        # Columns of a subgraph may serve a backward pass later, wherever it is made.
        with torch.inference_mode(False):
            found = pagerank_of(
                g, seeds, self.num_neighbors, self.alpha, self.epsilon, self.prob, exclude_eids,
                "exclude_eids",
            )  # fmt: skip
            neighbors = found.neighbors[found.neighbors >= 0].to(g.idtype)
            nodes, _, _ = ops.compact_ids(seeds, neighbors)
            without = {} if exclude_eids is None else edges_by_type(g, "exclude_eids", exclude_eids)
            subgraph = induced_subgraph(g, nodes, without)
        if seeds.shape != ids.shape:
            inverse = inverse.long()
            is_by_type = isinstance(seed_nodes, Mapping)
            subgraph.seed_inverse = {ntype: inverse} if is_by_type else inverse
        self.columns.read(subgraph)
        return nodes, {ntype: seeds} if isinstance(seed_nodes, Mapping) else seeds, subgraph

    def __repr__(self) -> str:
        told = f"{self.num_neighbors}, alpha={self.alpha}, epsilon={self.epsilon}"
        if self.prob is not None:
            told += f", prob={self.prob!r}" if isinstance(self.prob, str) else ", prob=Tensor"
        return f"{type(self).__name__}({told})"
