"""What a loader makes for the graph that it samples, and keeps until it samples another."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch

import hopflow.ops as ops
from hopflow.dataloading.on_device import FeatureCaches
from hopflow.dataloading.parts import GraphInParts
from hopflow.dataloading.samplers.neighbor_sampler import NeighborSampler
from hopflow.graphs.graph import Graph
from hopflow.sampling.edge_pools import EdgePools
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import resident


class AdoptedGraph:
    """The workers' memory for a graph, page locks on its arrays and rows that the GPU keeps.

    Parameters
    ----------
    graph : Graph
        The graph, with the edges and columns that it has now.
    device : torch.device
        Where batches go.
    use_uva : bool
        Page-lock its edges and columns, for the GPU to read them.
    gpu_cache : mapping
        As DGL's: ``{"node": {name: rows}}``.

    Attributes
    ----------
    scratch : ScratchCache
        Memory of the native workers, as large as the graph.
    caches : FeatureCaches
        What the GPU keeps.

    Raises
    ------
    KeyError, TypeError, ValueError
        As :class:`FeatureCaches`.
    """

    def __init__(
        self,
        graph: Graph,
        device: torch.device,
        *,
        use_uva: bool,
        gpu_cache: Mapping[str, Any],
    ) -> None:
        self._graph, self._edges, self._use_uva = graph, _edges_of(graph), use_uva
        self.scratch = ops.ScratchCache()
        self._pins: list[ops.Pin | None] = []
        if use_uva:
            relations = graph.relations.values()
            self._pinned = [x for one in relations for x in one.adjacency.full().arrays()]
            self._pins += [ops.pin_memory(x) for x in self._pinned]
            frames = [*graph.node_frames().values(), *(one.edge_frame for one in relations)]
            for column in [column for frame in frames for column in map(frame.column, frame)]:
                self._pins += [ops.pin_memory(x) for x in resident(column)]
        # Epochs and their batches hold the pins through this, so that they may outlive the loader.
        self.caches = FeatureCaches(graph, gpu_cache, device, self._pins)

    def is_still(self, graph: Graph) -> bool:
        """Whether a graph is this one, with the edges that it had."""
        return graph is self._graph and self._edges == _edges_of(graph)

    def edges_for(self, sampler: NeighborSampler, graph: Graph) -> EdgePools:
        """The edges that a sampler draws from, where the epoch can reach them.

        Parameters
        ----------
        sampler : NeighborSampler
            The sampler.
        graph : Graph
            This graph's alias that the epoch is over.
        """
        edges = sampler.edges_of(graph)
        if self._use_uva:
            arrays, known = edges.arrays(), set(map(id, self._pinned))
            if any(id(x) not in known for x in arrays):
                self._pins += [ops.pin_memory(x) for x in arrays]
                self._pinned = arrays
        return edges


def _edges_of(graph: Graph | GraphInParts) -> list[weakref.ref[Adjacency]]:
    """What tells whether a graph still has its edges; weak, as the loader need not keep them."""
    if isinstance(graph, GraphInParts):
        return []
    return [weakref.ref(one.adjacency) for one in graph.relations.values()]
