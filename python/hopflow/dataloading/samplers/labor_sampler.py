"""Blocks by layer-neighbour sampling: fewer input nodes at the same fanouts."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.parts import GraphInParts
from hopflow.dataloading.samplers.neighbor_sampler import NeighborSampler
from hopflow.dataloading.samplers.sampler import Blocks, MiniBatch, blocks_of, by_type
from hopflow.graphs.graph import Graph
from hopflow.sampling import random as rng
from hopflow.sampling.edge_pools import EdgePools
from hopflow.sampling.labor import check_importance_sampling, labor_edges, source_keys
from hopflow.structure.by_type import nodes_by_type

# Hops from here on, so that nothing else in a batch draws with these keys.
_FIRST_HOP = 2**32


class LaborSampler(NeighborSampler):
    """Keep about ``fanouts[l]`` in-edges of every node at layer ``l``, from shared neighbours.

    All nodes of a layer decide by the same random number of a neighbour whether to keep the edge
    from it (:func:`hopflow.sampling.sample_labors`), so a batch reaches fewer distinct nodes than
    with :class:`NeighborSampler` at the same fanouts, for estimates of the same variance. Without
    ``prob`` and importance sampling ``fanouts[l]`` edges are expected of a node that has more, and
    each of its edges is as likely; a node with no more keeps them all.

    Parameters
    ----------
    fanouts : sequence of int or dict
        Edges expected a node, one number a layer, from the input layer to the output layer; -1
        keeps all. Where there are several types of edges, so many of each, or as ``{etype:
        number}`` says for every one of them; 0 for none of its edges.
    edge_dir : {"in", "out"}
        As in :class:`NeighborSampler`.
    prob : str or Tensor, optional
        Edge column, or its name: the weight of each edge, any real dtype, not negative. Edges of
        weight 0 are as if they were not there.
    importance_sampling : int
        Steps of importance sampling that lower the expected number of input nodes further; below 0
        as many as help. They work on the CPU alone.
    layer_dependency : bool
        Use the same random numbers in all layers: fewer nodes, and layers that are not independent.
    batch_dependency : int
        From 2 on, so many batches share most of their random numbers, replaced node by node, for
        rows that were gathered lately to be needed again. 1: every batch has its own; 0 or less:
        all batches of an epoch have the same, and those of all epochs where the loader has a
        ``seed`` or the sampler one by :meth:`set_seed`. (A loader without draws one each epoch.)
    prefetch_node_feats, prefetch_labels, prefetch_edge_feats : sequence of str, optional
        As in :class:`BlockSampler`.
    output_device : str or torch.device, optional
        Only the graph's, checked with every batch; the DataLoader moves blocks.

    Notes
    -----
    With ``prob`` or importance sampling every block has the edge column ``edge_weights``, which the
    aggregation must use: ``update_all(fn.u_mul_e("h", "edge_weights", "m"), fn.mean("m", "n"))``.
    They are proportional to (weight by ``prob``) / (probability of the edge) and sum to the number
    of edges of each destination.

    The work is O(edges of a batch's nodes), not O(edges kept). The loader makes these batches in
    Python's threads, the sampling in native code without Python's lock; they are the same for any
    number of workers. A graph in parts is not supported.

    References
    ----------
    Balin, Çatalyürek, "Layer-Neighbor Sampling - Defusing Neighborhood Explosion in GNNs", NeurIPS
    2023; https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.LaborSampler.html
    """

    def __init__(
        self,
        fanouts: Sequence[Any],
        edge_dir: str = "in",
        prob: Any = None,
        importance_sampling: int = 0,
        layer_dependency: bool = False,
        batch_dependency: int = 1,
        prefetch_node_feats: Any = None,
        prefetch_labels: Any = None,
        prefetch_edge_feats: Any = None,
        output_device: Any = None,
    ) -> None:
        super().__init__(
            fanouts, edge_dir, prob,
            prefetch_node_feats=prefetch_node_feats, prefetch_labels=prefetch_labels,
            prefetch_edge_feats=prefetch_edge_feats, output_device=output_device,
        )  # fmt: skip
        self.importance_sampling = check_importance_sampling(importance_sampling)
        self.layer_dependency = bool(layer_dependency)
        self.batch_dependency = ops.as_int("batch_dependency", batch_dependency)
        self._lock = threading.Lock()
        self._seed: int | None = None
        self._count = 0  # batches made outside of a loader since the seed was set

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def set_seed(self, random_seed: int | None = None) -> None:
        """Give this sampler a random stream of its own.

        Samplers with the same seed use the same random numbers for the same batches, those that a
        loader makes too: several that work on one batch then keep the same nodes.

        Parameters
        ----------
        random_seed : int, optional
            Any integer; counts modulo 2**64. None takes hopflow's stream again.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.LaborSampler.html
        """
        seed = None if random_seed is None else ops.as_wide_int("random_seed", random_seed) % 2**64
        with self._lock:
            self._seed, self._count = seed, 0

    def _batch_keys(self) -> tuple[list[tuple[int, int]], float]:
        """Two keys of each hop, from the seeds outwards, and the share of the second ones."""
        seed, epoch, batch = self._coordinates()
        share = 0.0
        if self.batch_dependency > 1:
            batch, turn = divmod(batch, self.batch_dependency)
            share = turn / self.batch_dependency
        elif self.batch_dependency < 1:
            epoch = batch = 0
        keys = []
        for hop in range(len(self.fanouts)):
            at = _FIRST_HOP + (0 if self.layer_dependency else hop)
            first, second = (ops.stream_key(seed, epoch, b, at) for b in (batch, batch + 1))
            keys.append((first, second))
        return keys, share

    def _coordinates(self) -> tuple[int, int, int]:
        """Seed, epoch and number of the batch at hand."""
        in_loader = rng.batch_coordinates()
        with self._lock:
            if in_loader is not None:
                seed, epoch, batch = in_loader
                return seed if self._seed is None else self._seed, epoch, batch
            if self._seed is None:
                seed = rng.draw_seed()
                if self.batch_dependency == 1:
                    return seed, 0, 0
                self._seed = seed  # batches that depend on each other have one stream
            batch, self._count = self._count, self._count + 1
            return self._seed, 0, batch

    # Blocks may serve a backward pass later, wherever they are made.
    @torch.inference_mode(False)
    def sample_blocks(self, g: Graph, seed_nodes: Any, exclude_eids: Any = None) -> MiniBatch:
        """Sample the blocks of distinct seeds, one hop after the other, from the output back.

        Edges of ``exclude_eids`` are left out before the draw; DGL drops them after it.

        Raises
        ------
        IndexError, TypeError, ValueError
            Seeds or edges that are not the graph's, seeds that are not distinct (:meth:`sample`
            merges them), fanouts of types that are not there, or bad weights.
        HopflowError
            Importance sampling on CUDA.
        """
        if isinstance(g, GraphInParts):
            raise TypeError(
                "g: expected a graph in one piece, got one in parts; NeighborSampler works on both"
            )
        edges = self.edges_of(g)
        excluded = edges.excluded("exclude_eids", exclude_eids)
        given = nodes_by_type(g, "seed_nodes", seed_nodes, dtype=g.idtype)
        none = torch.empty(0, dtype=g.idtype, device=g.device)
        fanouts = edges.fanouts(self.fanouts)
        hop_keys, share = self._batch_keys()
        by_relation = [list(source_keys(g, pair, self.edge_dir).values()) for pair in hop_keys]
        pools = list(edges.pools.values())
        weights: dict[tuple[int, int], Tensor | None] = {}

        def draw(r: int, nodes: Tensor, fanout: int, hop: int) -> tuple[Tensor, Tensor, Tensor]:
            *drawn, weights[hop, r] = labor_edges(
                pools[r], nodes, fanout, keys=by_relation[hop][r], share=share,
                importance_sampling=self.importance_sampling, excluded=excluded[r],
            )  # fmt: skip
            return drawn[0], drawn[1], drawn[2]

        sampled = ops.sample_typed_blocks_with(
            draw, edges.relations, edges.num_nodes,
            [given.get(ntype, none) for ntype in g.schema.ntypes], fanouts,
            keys=[[hop] * len(pools) for hop in range(len(fanouts))], idtype=g.idtype,
        )  # fmt: skip
        if any(nodes.seed_inverse is not None for nodes in sampled.nodes):
            raise ValueError("seed_nodes: expected distinct nodes; sample() merges duplicates")
        blocks = blocks_of(self.parent_of(g), edges, sampled)
        self._set_weights(blocks, edges, weights)
        input_nodes = by_type(g.schema, [nodes.input_nodes for nodes in sampled.nodes])
        output_nodes = given if isinstance(seed_nodes, Mapping) else next(iter(given.values()))
        return input_nodes, output_nodes, blocks

    def _set_weights(
        self, blocks: Blocks, edges: EdgePools, weights: Mapping[tuple[int, int], Tensor | None]
    ) -> None:
        """Put the weights of each hop's edges, from the seeds outwards, on the blocks."""
        pools = list(edges.pools.values())
        for hop, block in enumerate(reversed(blocks)):
            for r, part in enumerate(block.relations.values()):
                of_edges = weights.get((hop, r))
                if of_edges is None and (self.importance_sampling or pools[r].weights is not None):
                    # Of a relation left out.
                    prepared = pools[r].weights
                    dtype = torch.float32 if prepared is None else prepared.weights.dtype
                    of_edges = torch.empty(0, dtype=dtype, device=block.device)
                if of_edges is not None:
                    part.edge_frame["edge_weights"] = of_edges

    def _options(self) -> str:
        told = super()._options()
        if self.importance_sampling:
            told += f", importance_sampling={self.importance_sampling}"
        if self.layer_dependency:
            told += ", layer_dependency=True"
        if self.batch_dependency != 1:
            told += f", batch_dependency={self.batch_dependency}"
        return told

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.fanouts}{self._options()})"
