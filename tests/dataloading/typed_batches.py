"""A loader over a graph of several types, and its batches as plain lists."""

from __future__ import annotations

from typing import Any

import torch

import hopflow as hf
from hopflow.dataloading import DataLoader, NeighborSampler

FANOUTS = [3, {"like": 2, "played_by": 4, "makes": 0, "follows": -1, "knows": 1, "plays": 2}]
SEEDS = {"user": torch.arange(40), "game": torch.arange(5, 25)}


def ids_of(batch: Any) -> Any:
    """Everything sampled in a batch, as plain lists."""
    input_nodes, output_nodes, blocks = batch
    edges = [
        [
            [*(x.tolist() for x in one.edges()), one.edata[hf.EID].tolist()]
            for one in block.relations.values()
        ]
        for block in blocks
    ]
    nodes = [{t: ids.tolist() for t, ids in x.items()} for x in (input_nodes, output_nodes)]
    return nodes, edges


def loader_of(graph: hf.Graph, seeds: Any = SEEDS, fanouts: Any = FANOUTS, **kwargs: Any) -> Any:
    kwargs = {"batch_size": 17, "shuffle": True, "seed": 3, **kwargs}
    return DataLoader(graph, seeds, NeighborSampler(fanouts), **kwargs)
