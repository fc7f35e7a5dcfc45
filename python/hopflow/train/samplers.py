"""What makes batches of nodes: a sampler of each kind, and how its batches are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hopflow import dataloading
from hopflow.graphs.graph import Graph
from hopflow.train.config import TrainConfig

TRAINS = "is_training_node"
"""The node column by which a subgraph of no given seeds knows its training nodes."""

_PPR_NEIGHBORS, _PPR_ALPHA, _PPR_EPSILON = 32, 0.15, 1e-4
_CLUSTERS_A_BATCH = 10
_MOST_CLUSTERS = 32767
# Draws for each node of the graph, of which some would hit most nodes already.
_MOST_DRAWS, _ENOUGH_DRAWS = 100, 10


@dataclass(frozen=True)
class Loading:
    """What a loader is made of.

    Attributes
    ----------
    indices : Tensor or dict
        What batches are made of.
    sampler : Sampler
        What makes a batch.
    batch_size : int
        Indices a batch.
    """

    indices: Any
    sampler: Any
    batch_size: int

    @property
    def num_batches(self) -> int:
        """Batches of an epoch, of all ranks."""
        parts = self.indices.values() if isinstance(self.indices, dict) else [self.indices]
        return -(-sum(len(part) for part in parts) // self.batch_size)


@dataclass(frozen=True)
class Kind:
    """A kind of sampler.

    Attributes
    ----------
    make : callable
        ``make(config, fanouts)`` is a sampler of given seeds; of a subgraph of its own choice
        ``make(config, graph, train)`` is all that a loader needs.
    is_subgraph : bool
        Whether a batch is one subgraph, on which all layers run.
    has_seeds : bool
        Whether a batch is of given seeds.
    """

    make: Callable[..., Any]
    is_subgraph: bool = False
    has_seeds: bool = True


def _neighbor(config: TrainConfig, fanouts: Any) -> Any:
    return dataloading.NeighborSampler(fanouts)


def _labor(config: TrainConfig, fanouts: Any) -> Any:
    return dataloading.LaborSampler(fanouts)


def _shadow(config: TrainConfig, fanouts: Any) -> Any:
    return dataloading.ShaDowKHopSampler(fanouts)


def _ppr(config: TrainConfig, fanouts: Any) -> Any:
    return dataloading.PPRSampler(
        config.ppr_neighbors or _PPR_NEIGHBORS,
        _PPR_ALPHA if config.ppr_alpha is None else config.ppr_alpha,
        _PPR_EPSILON if config.ppr_epsilon is None else config.ppr_epsilon,
    )


def _cluster(config: TrainConfig, graph: Graph, train: Tensor) -> Loading:
    """Clusters of METIS's kind, so many a batch that about ``batch_size`` nodes train."""
    num_batches = max(1, round(len(train) / config.batch_size))
    most = min(graph.num_nodes(), _MOST_CLUSTERS)
    wanted = config.clusters or min(_CLUSTERS_A_BATCH * num_batches, most)
    if wanted > most:
        raise ValueError(f"clusters: expected at most {most:,} for {config.data}, got {wanted:,}")
    sampler = dataloading.ClusterGCNSampler(graph, wanted, cache_path=None)
    return Loading(torch.arange(wanted), sampler, -(-wanted // num_batches))


def _saint(config: TrainConfig, graph: Graph, train: Tensor) -> Loading:
    """Subgraphs drawn anew, as many as would hold each training node about once."""
    num_batches = max(1, -(-len(train) // config.batch_size))
    mode, budget = config.saint_mode or "walk", config.budget
    if budget is not None:
        draws, most = math.prod(budget), _MOST_DRAWS * graph.num_nodes()
        if draws > most:
            of = "roots times steps" if mode == "walk" else "draws"
            raise ValueError(
                f"budget: expected at most {most:,} {of} for {config.data}, {_MOST_DRAWS} for each"
                f" of its nodes, got {draws:,}"
            )
    else:
        nodes = -(-config.batch_size * graph.num_nodes() // len(train))
        nodes = min(nodes, _ENOUGH_DRAWS * graph.num_nodes())
        steps = config.num_layers
        budget = (-(-nodes // (steps + 1)), steps) if mode == "walk" else (nodes,)
        if mode == "edge":  # each draw brings two nodes
            budget = (-(-nodes // 2),)
    given = budget if mode == "walk" else budget[0]
    return Loading(torch.arange(num_batches), dataloading.SAINTSampler(mode, given), 1)


KINDS = {
    "neighbor": Kind(_neighbor),
    "labor": Kind(_labor),
    "shadow": Kind(_shadow, is_subgraph=True),
    "ppr": Kind(_ppr, is_subgraph=True),
    "cluster": Kind(_cluster, is_subgraph=True, has_seeds=False),
    "saint": Kind(_saint, is_subgraph=True, has_seeds=False),
}
"""The samplers by the names that options have for them."""


def opened(config: TrainConfig, batch: Any) -> tuple[list[Graph], Tensor | None]:
    """What of a batch of nodes a model runs on, and which rows of its output count.

    Returns
    -------
    blocks : list of Graph
        One for each layer.
    rows : Tensor or None
        Ids of rows, or None for all.
    """
    kind = KINDS[config.sampler]
    if not kind.is_subgraph:
        return batch[2], None
    if kind.has_seeds:
        _, seeds, subgraph = batch
        rows = torch.arange(len(seeds), device=subgraph.device)
    else:
        subgraph = batch
        rows = subgraph.ndata[TRAINS].nonzero().squeeze(1)
    return [subgraph] * config.num_layers, rows
