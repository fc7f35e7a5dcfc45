"""The subgraph around a batch's seeds: ShaDow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from hopflow.dataloading.samplers.neighbor_sampler import NeighborSampler
from hopflow.dataloading.samplers.sampler import Sampler
from hopflow.dataloading.samplers.subgraph import SubgraphColumns
from hopflow.graphs.graph import Graph
from hopflow.structure.by_type import edges_by_type
from hopflow.structure.graph_base import require_graph
from hopflow.transforms.subgraph import induced_subgraph

SubgraphBatch = tuple[Any, Any, Graph]
"""``(input_nodes, output_nodes, subgraph)``; ids as tensors, of several node types dicts."""


class ShaDowKHopSampler(Sampler):
    """All edges among the nodes that a neighbour sampler reaches from the seeds.

    The depth of the model is free of the depth of the neighbourhood: any number of layers runs on
    the one subgraph.

    Parameters
    ----------
    fanouts : sequence of int or dict
        In-edges followed from a node, one number a hop, as in :class:`NeighborSampler`.
    replace : bool
        Draw with replacement.
    prob : str or Tensor, optional
        Edge column, or its name: the weight of each edge, as in :class:`NeighborSampler`.
    prefetch_node_feats, prefetch_edge_feats : sequence of str or dict, optional
        Columns of the subgraph to gather with the batch; by type where there are several.
    output_device : str or torch.device, optional
        Only the graph's, checked with every batch; the DataLoader moves subgraphs.

    References
    ----------
    Zeng et al., "Decoupling the depth and scope of graph neural networks", NeurIPS 2021;
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.ShaDowKHopSampler.html
    """

    index_kind = "node"

    def __init__(
        self,
        fanouts: Sequence[Any],
        replace: bool = False,
        prob: Any = None,
        prefetch_node_feats: Any = None,
        prefetch_edge_feats: Any = None,
        output_device: Any = None,
    ) -> None:
        self.neighbors = NeighborSampler(
            fanouts, replace=replace, prob=prob, output_device=output_device
        )
        self.columns = SubgraphColumns(prefetch_node_feats, prefetch_edge_feats)

    @property
    def fanouts(self) -> list[Any]:
        """In-edges followed from a node, a number a hop."""
        return self.neighbors.fanouts

    def sample(self, g: Graph, seed_nodes: Any, exclude_eids: Any = None) -> SubgraphBatch:
        """Sample one mini-batch.

        Parameters
        ----------
        g : Graph
            The graph.
        seed_nodes : Tensor, numpy array, sequence of int, boolean mask or dict
            Nodes whose neighbourhood is wanted, where there are several types a dict by type.
            Duplicates are merged in order of first appearance; the subgraph's ``seed_inverse`` then
            leads from each given seed to its row.
        exclude_eids : Tensor, numpy array, sequence of int or dict, optional
            Ids of edges that are neither followed nor in the subgraph.

        Returns
        -------
        input_nodes : Tensor or dict
            The subgraph's nodes, dtype ``g.idtype``; the seeds come first.
        output_nodes : Tensor or dict
            The distinct seeds; a dict if seeds are one.
        subgraph : Graph
            All edges of ``g`` among the nodes, with ids in ``ndata[hopflow.NID]`` and
            ``edata[hopflow.EID]`` and the columns of ``g``. Edges come by destination.

        Raises
        ------
        IndexError, TypeError, ValueError
            Seeds or edges that are not the graph's.
        KeyError
            A column to prefetch that the graph lacks.
        """
        g = require_graph(g)
        nodes, seeds, blocks = self.neighbors.sample(g, seed_nodes, exclude_eids)
        # Columns of a subgraph may serve a backward pass later, wherever it is made.
        with torch.inference_mode(False):
            without = {} if exclude_eids is None else edges_by_type(g, "exclude_eids", exclude_eids)
            subgraph = induced_subgraph(g, nodes, without)
        subgraph.seed_inverse = blocks[-1].seed_inverse
        self.columns.read(subgraph)
        return nodes, seeds, subgraph

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.fanouts}, replace={self.neighbors.replace})"
