"""Samplers that draw the source nodes of a whole layer at once: LADIES and FastGCN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.parts import GraphInParts
from hopflow.dataloading.samplers.neighbor_sampler import checked_fanouts
from hopflow.dataloading.samplers.sampler import BlockSampler, MiniBatch, blocks_of, by_type
from hopflow.graphs.block import Parent
from hopflow.graphs.graph import Graph
from hopflow.sampling import random as rng
from hopflow.sampling.edge_pools import EdgePools, edge_values
from hopflow.sampling.layer_sources import (
    Importance,
    LayerPool,
    draw_sources,
    layer_pool,
    squared_norms,
)
from hopflow.structure.by_type import nodes_by_type

EDGE_WEIGHTS = "edge_weights"
"""Edge column of blocks: what to multiply messages with, so that their sums are unbiased."""


class LadiesSampler(BlockSampler):
    """Draw ``nodes_per_layer[l]`` source nodes at layer ``l`` for all of its destinations together.

    LADIES: a layer computes ``z_v = sum over in-edges (u, v) of w_uv h_u``. Source nodes are drawn
    among the in-neighbours of the layer's destinations alone, with the importance
    ``sum over those destinations v of w_uv²``, the squared norm of node ``u``'s column in the
    layer's part of the matrix of weights. A block has the edges from the nodes drawn, so its size
    is linear in the number of layers. (Its source nodes are those and, first, its destinations.)

    Every edge has a weight in ``edata["edge_weights"]``: ``w_uv`` times a factor of its source
    node. Given the layer's destinations the expectation of this weight, 0 where the edge is not
    there, is ``w_uv``: sums with it are unbiased,

    * with ``replace``, as in the paper: a node drawn ``c_u`` times in ``s`` draws with
      probabilities ``q_u`` has the factor ``c_u / (s q_u)``;
    * without, distinct nodes are drawn by priority sampling, whose factor is
      ``max(1, t / importance_u)`` with the threshold ``t`` of the draw. (The paper's program draws
      without replacement as well, but takes ``1 / (s q_u)`` there, and divides by the row's sum:
      both are biased.)

    That holds layer by layer; a network with a function that is not linear between its layers has
    a bias with any sampler.

    Parameters
    ----------
    nodes_per_layer : sequence of int
        Source nodes drawn, one number a layer, from the input layer to the output layer; -1 takes
        all.
    edge_weight : str or Tensor, optional
        Edge column, or its name: ``w_uv``, any real dtype and sign, such as that of
        ``D^-1/2 (A + I) D^-1/2``. By default one over the destination's number of in-edges, so that
        sums are means.
    replace : bool
        Draw with replacement.
    prefetch_node_feats, prefetch_labels, prefetch_edge_feats : sequence of str, optional
        As in :class:`BlockSampler`.

    Notes
    -----
    A batch costs O(in-edges of its destinations). Draws depend on (seed, epoch, batch, layer) and
    the nodes, not on threads or workers. Batches are made in Python's threads (docs/loader.md).
    Graphs of one type, as in DGL's example.

    References
    ----------
    Zou et al., "Layer-dependent importance sampling for training deep and large graph convolutional
    networks", NeurIPS 2019; Duffield, Lund, Thorup, "Priority sampling for estimation of arbitrary
    subset sums", J. ACM 54 (2007); ``LadiesSampler`` of DGL's examples, whose names these are.
    """

    def __init__(
        self,
        nodes_per_layer: Sequence[int],
        edge_weight: Any = None,
        replace: bool = False,
        prefetch_node_feats: Any = None,
        prefetch_labels: Any = None,
        prefetch_edge_feats: Any = None,
    ) -> None:
        super().__init__(prefetch_node_feats, prefetch_labels, prefetch_edge_feats)
        counts = checked_fanouts("nodes_per_layer", nodes_per_layer)
        if any(isinstance(count, Mapping) for count in counts):
            raise TypeError("nodes_per_layer: expected one int a layer, got a dict")
        self.nodes_per_layer: list[int] = counts
        self.edge_weight, self.replace = edge_weight, bool(replace)

    def importance(self, pool: LayerPool, sources: Tensor, values: Tensor) -> Importance:
        """Of the nodes that may be drawn, from the in-edges of a layer's destinations."""
        nodes, _, local = ops.compact_ids(sources[:0], sources)
        return Importance(nodes.long(), squared_norms(local, values, nodes.shape[0]))

    # Blocks may serve a backward pass later, wherever they are made.
    @torch.inference_mode(False)
    def sample_blocks(self, g: Graph, seed_nodes: Any, exclude_eids: Any = None) -> MiniBatch:
        """Sample the blocks of distinct seeds, one layer after the other, from the output back.

        Raises
        ------
        IndexError, TypeError, ValueError
            Seeds or edges that are not the graph's, bad weights, or a graph of several types.
        KeyError
            A column that the graph lacks.
        """
        if isinstance(g, GraphInParts) or len(g.schema.relations) > 1 or len(g.schema.ntypes) > 1:
            raise TypeError("g: expected a graph in one piece, of one type of nodes and of edges")
        weight = edge_values(g, "edge_weight", self.edge_weight)
        pool = layer_pool(g.adjacency, weight)
        ((relation, _),) = g.relations.items()
        edges = EdgePools(g, {relation: pool}, "in")
        excluded = pool.excluded("exclude_eids", exclude_eids)
        given = nodes_by_type(g, "seed_nodes", seed_nodes, dtype=g.idtype)
        (seeds,) = given.values()
        num_layers, indices = len(self.nodes_per_layer), pool.adjacency.indices
        keys = [rng.next_key(count) for count in reversed(self.nodes_per_layer)]
        weights: list[Tensor] = []
        is_wide = weight is not None and weight.dtype == torch.float64
        dtype = torch.float64 if is_wide else torch.float32

        def draw_layer(hop: int, at_start: Sequence[Tensor]) -> list[ops.Drawn]:
            indptr, sources, positions = pool.sample(
                at_start[0].to(indices.dtype), -1, key=0, excluded=excluded
            )
            values = pool.values_at(indptr, positions)
            nodes, factors = draw_sources(
                self.importance(pool, sources, values), self.nodes_per_layer[num_layers - 1 - hop],
                key=keys[hop], replace=self.replace,
            )  # fmt: skip
            # The nodes drawn are numbered first: what has a lower number is one of them.
            _, _, numbers = ops.compact_ids(nodes.to(sources.dtype), sources)
            is_kept = numbers < nodes.shape[0]
            at = is_kept.nonzero().squeeze(1)
            before = torch.zeros(sources.shape[0] + 1, dtype=torch.int64, device=at.device)
            torch.cumsum(is_kept, 0, out=before[1:])
            weights.append((values[at] * factors[numbers[at].long()]).to(dtype))
            return [(before[indptr], sources[at].long(), positions[at])]

        numbered = ops.number_hops(
            draw_layer, [(0, 0)], [seeds], num_layers, dtype=torch.int64, idtype=g.idtype
        )
        (nodes,) = numbered.nodes
        if nodes.seed_inverse is not None:
            raise ValueError("seed_nodes: expected distinct nodes; sample() merges duplicates")
        sampled = numbered.mark(edges.relations, edges.num_nodes)
        blocks = blocks_of(Parent.of(g), edges, sampled)
        for block, own in zip(blocks, reversed(weights)):
            block.edata[EDGE_WEIGHTS] = own
        output_nodes = given if isinstance(seed_nodes, Mapping) else seeds
        return by_type(g.schema, [nodes.input_nodes]), output_nodes, blocks

    def __repr__(self) -> str:
        column = self.edge_weight
        told = "" if column is None else f", edge_weight={column!r}"
        if isinstance(column, Tensor):
            told = ", edge_weight=Tensor"
        return f"{type(self).__name__}({self.nodes_per_layer}{told}, replace={self.replace})"


class FastGCNSampler(LadiesSampler):
    """Draw ``nodes_per_layer[l]`` source nodes at layer ``l`` from the whole graph.

    FastGCN: as :class:`LadiesSampler`, but the importance of a node is the squared norm of its
    column in the matrix of all weights, ``sum over all v of w_uv²``, whatever the batch is. A block
    has the edges that lead from the nodes drawn to its destinations; where few do, destinations are
    left without edges, which LADIES was made to mend. Weights in ``edata["edge_weights"]`` are
    unbiased just so.

    Parameters
    ----------
    nodes_per_layer, edge_weight
        As in :class:`LadiesSampler`.
    replace : bool
        Draw with replacement, as the paper does; by default. Without, every batch costs O(nodes of
        the graph).
    prefetch_node_feats, prefetch_labels, prefetch_edge_feats : sequence of str, optional
        As in :class:`BlockSampler`.

    References
    ----------
    Chen, Ma, Xiao, "FastGCN: fast learning with graph convolutional networks via importance
    sampling", ICLR 2018.
    """

    def __init__(
        self,
        nodes_per_layer: Sequence[int],
        edge_weight: Any = None,
        replace: bool = True,
        prefetch_node_feats: Any = None,
        prefetch_labels: Any = None,
        prefetch_edge_feats: Any = None,
    ) -> None:
        super().__init__(
            nodes_per_layer, edge_weight, replace, prefetch_node_feats, prefetch_labels,
            prefetch_edge_feats,
        )  # fmt: skip

    def importance(self, pool: LayerPool, sources: Tensor, values: Tensor) -> Importance:
        """Of all nodes of the graph."""
        return pool.importance()
