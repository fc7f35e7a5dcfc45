"""Samplers that keep some of every node's in-edges, hop by hop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.parts import GraphInParts
from hopflow.dataloading.samplers.sampler import BlockSampler, MiniBatch, blocks_of, by_type
from hopflow.graphs.block import Block, Parent, always_take_rows
from hopflow.graphs.graph import Graph
from hopflow.sampling import random as rng
from hopflow.sampling.edge_pools import EdgePools, check_fanout, edge_pools
from hopflow.sampling.neighbors import check_edge_dir
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.frame import Frame


class NeighborSampler(BlockSampler):
    """Keep at most ``fanouts[l]`` in-edges of every node at layer ``l``, drawn at random.

    Without replacement and without ``prob`` every in-edge of a node is equally likely to be kept,
    the last one included.

    Parameters
    ----------
    fanouts : sequence of int or dict
        In-edges kept a node, one number a layer, from the input layer to the output layer; -1 keeps
        all. Where there are several types of edges, so many of each, or as ``{etype: number}`` says
        for every one of them; 0 for none of its edges.
    edge_dir : {"in", "out"}
        With "out" out-edges are kept instead, and blocks are those of the reversed graph: messages
        flow from the ends of a seed's out-edges to the seed. ``edata[hopflow.EID]`` are the edges'
        own ids. (DGL 2.1 fails here.)
    prob : str or Tensor, optional
        Edge column, or its name: the weight of each edge, any real dtype, not negative. Each draw
        takes an edge with a probability proportional to its weight, without replacement among those
        not taken yet. Edges of weight 0 are never taken; a node with fewer others than the fanout
        keeps all of these. Types of edges that lack the column are drawn uniformly.
    mask : str or Tensor, optional
        Edge column of bool, or its name: only edges that are True are drawn, all alike. Not
        together with ``prob``.
    replace : bool
        Draw with replacement.
    prefetch_node_feats, prefetch_labels, prefetch_edge_feats : sequence of str, optional
        As in :class:`BlockSampler`.
    output_device : None
        The DataLoader moves blocks.
    fused : bool
        Accepted for DGL's sake and without effect.

    Notes
    -----
    What out-edges, weights and masks need is prepared with the first batch, O(E), and kept until
    the column changes. Only weighted batches are made in Python's threads (docs/loader.md).

    References
    ----------
    Hamilton, Ying, Leskovec, "Inductive representation learning on large graphs", NeurIPS 2017;
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.NeighborSampler.html
    """

    def __init__(
        self,
        fanouts: Sequence[Any],
        edge_dir: str = "in",
        prob: Any = None,
        mask: Any = None,
        replace: bool = False,
        prefetch_node_feats: Any = None,
        prefetch_labels: Any = None,
        prefetch_edge_feats: Any = None,
        output_device: Any = None,
        fused: bool = True,
    ) -> None:
        super().__init__(prefetch_node_feats, prefetch_labels, prefetch_edge_feats)
        if output_device is not None:
            raise ValueError("output_device: expected None; give the DataLoader a device")
        self.fanouts = checked_fanouts("fanouts", fanouts)
        self.edge_dir = check_edge_dir(edge_dir)
        for name, column in (("prob", prob), ("mask", mask)):
            if not (column is None or isinstance(column, (str, Tensor))):
                raise TypeError(
                    f"{name}: expected the name of an edge column or a torch.Tensor, got"
                    f" {type(column).__name__}"
                )
        if prob is not None and mask is not None:
            raise ValueError("prob, mask: expected one of them at most, got both")
        self.prob, self.mask = prob, mask
        self.replace = bool(replace)

    def edges_of(self, g: Graph) -> EdgePools:
        """The edges of a graph that are drawn.

        Raises
        ------
        KeyError
            A column that the graph lacks.
        TypeError, ValueError
            Not one number an edge, or a weight that is negative, infinite or NaN.
        """
        if isinstance(g, GraphInParts):
            return g.edge_pools(self.edge_dir, self.prob, self.mask)
        return edge_pools(g, self.edge_dir, self.prob, self.mask)

    def edges_in(self, block: Block, etype: Any) -> Frame:
        if self.edge_dir == "out" and isinstance(etype, tuple):
            etype = etype[::-1]  # blocks are those of the reversed graph
        return super().edges_in(block, etype)

    def parent_of(self, g: Graph) -> Parent:
        """The columns that blocks of a graph have, as they are now."""
        if isinstance(g, GraphInParts):
            return g.parent(self.edge_dir)
        return Parent.of(g, is_reversed=self.edge_dir == "out")

    # Blocks may serve a backward pass later, wherever they are made.
    @torch.inference_mode(False)
    def sample_blocks(self, g: Graph, seed_nodes: Any, exclude_eids: Any = None) -> MiniBatch:
        """Sample the blocks of distinct seeds, one hop after the other, from the output back.

        Edges of ``exclude_eids`` are left out before the draw: a node still gets as many edges as
        the fanout says, if it has as many others. They cost O(1) each, whatever the degrees.

        Raises
        ------
        IndexError, TypeError, ValueError
            Seeds or edges that are not the graph's, seeds that are not distinct (:meth:`sample`
            merges them), fanouts of types that are not there, or bad weights.
        """
        edges = self.edges_of(g)
        excluded = edges.excluded("exclude_eids", exclude_eids)
        given = nodes_by_type(g, "seed_nodes", seed_nodes, dtype=g.idtype)
        none = torch.empty(0, dtype=g.idtype, device=g.device)
        fanouts = edges.fanouts(self.fanouts)
        sampled = edges.sample_blocks(
            [given.get(ntype, none) for ntype in g.schema.ntypes], fanouts,
            keys=[rng.next_key(max(hop)) for hop in fanouts], replace=self.replace,
            idtype=g.idtype, excluded=excluded,
        )  # fmt: skip
        if any(nodes.seed_inverse is not None for nodes in sampled.nodes):
            raise ValueError("seed_nodes: expected distinct nodes; sample() merges duplicates")
        input_nodes = by_type(g.schema, [nodes.input_nodes for nodes in sampled.nodes])
        output_nodes = given if isinstance(seed_nodes, Mapping) else next(iter(given.values()))
        take = g.bring(self, sampled) if isinstance(g, GraphInParts) else always_take_rows
        return input_nodes, output_nodes, blocks_of(self.parent_of(g), edges, sampled, take)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.fanouts}, replace={self.replace}{self._options()})"

    def _options(self) -> str:
        """What is not as usual, for messages."""
        told = "" if self.edge_dir == "in" else ", edge_dir='out'"
        for name in ("prob", "mask"):
            column = getattr(self, name)
            if column is not None:
                told += f", {name}={column!r}" if isinstance(column, str) else f", {name}=Tensor"
        return told


def checked_fanouts(name: str, fanouts: Any) -> list[Any]:
    """Fanouts by layer; types in them are looked up where there is a graph."""
    if isinstance(fanouts, (str, bytes, dict)) or not hasattr(fanouts, "__len__"):
        raise TypeError(
            f"{name}: expected a list with one int a layer, got {type(fanouts).__name__}"
        )
    checked = [_fanout(f"{name}[{i}]", f) for i, f in enumerate(fanouts)]
    if not checked:
        raise ValueError(f"{name}: expected at least one layer, got none")
    return checked


def _fanout(name: str, value: Any) -> Any:
    """A fanout, or a dict of fanouts by type, whose types only a graph can tell."""
    if not isinstance(value, Mapping):
        return check_fanout(name, value)
    return {etype: check_fanout(f"{name}[{etype!r}]", fanout) for etype, fanout in value.items()}


MultiLayerNeighborSampler = NeighborSampler
"""The older name of :class:`NeighborSampler`."""


class MultiLayerFullNeighborSampler(NeighborSampler):
    """Keep every in-edge at each of ``num_layers`` layers.

    Parameters
    ----------
    num_layers : int
        Number of layers, at least 1.
    **kwargs
        As in :class:`NeighborSampler`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.MultiLayerFullNeighborSampler.html
    """

    def __init__(self, num_layers: int, **kwargs: Any) -> None:
        num_layers = ops.as_int("num_layers", num_layers)
        if num_layers < 1:
            raise ValueError(f"num_layers: expected at least 1, got {num_layers}")
        super().__init__([-1] * num_layers, **kwargs)
