"""The subgraph around a batch's seeds: ShaDow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hopflow.dataloading.samplers.neighbor_sampler import NeighborSampler
from hopflow.dataloading.samplers.subgraph import SeedSubgraphSampler, SubgraphColumns
from hopflow.graphs.graph import Graph


class ShaDowKHopSampler(SeedSubgraphSampler):
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
        super().__init__(SubgraphColumns(prefetch_node_feats, prefetch_edge_feats), output_device)

    @property
    def fanouts(self) -> list[Any]:
        """In-edges followed from a node, a number a hop."""
        return self.neighbors.fanouts

    def around(self, g: Graph, seed_nodes: Any, exclude_eids: Any) -> tuple[Any, Any, Any]:
        """The nodes that the neighbour sampler reaches."""
        nodes, seeds, blocks = self.neighbors.sample(g, seed_nodes, exclude_eids)
        return nodes, seeds, blocks[-1].seed_inverse

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.fanouts}, replace={self.neighbors.replace})"
