"""Samplers: from the seeds of a batch to its blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.graphs.block import Block, Parent
from hopflow.graphs.graph import Graph
from hopflow.sampling import random as rng
from hopflow.sampling.edge_pool import EdgePool
from hopflow.sampling.neighbors import check_edge_dir, check_fanout, edge_pool
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import LazyColumn, Take, take_rows
from hopflow.structure.ids import as_node_ids

Blocks: TypeAlias = list[Block]
MiniBatch = tuple[Tensor, Tensor, Blocks]
"""``(input_nodes, output_nodes, blocks)``."""


def blocks_of(
    parent: Parent,
    adjacency: Adjacency,
    sampled: ops.SampledBlocks,
    take: Callable[[int], Take] = lambda level: take_rows,
) -> Blocks:
    """Wrap sampled hops as blocks, from the input layer to the output layer.

    Parameters
    ----------
    parent, adjacency : Parent, Adjacency
        The graph's columns and the edges sampled from, one row for every node.
    sampled : SampledBlocks
        Hops, from the seeds outwards.
    take : callable, optional
        ``take(level)`` gathers node columns at the nodes that ``level`` hops reach.
    """
    blocks: Blocks = []
    num_dst = sampled.output_nodes.shape[0]
    for level, hop in enumerate(sampled.hops):
        eids = LazyColumn(partial(_edge_ids, adjacency.eids, hop.positions, parent.num_edges))
        block = Block.from_parent(
            parent,
            Adjacency(hop.indptr, hop.indices, None, hop.num_src, num_dst),
            ops.first_ids(sampled.src_ids, hop.num_src),
            eids,
            take_src=take(level + 1),
            take_dst=take(level),
        )
        blocks.append(block)
        num_dst = hop.num_src
    if sampled.seed_inverse is not None:
        blocks[0].seed_inverse = sampled.seed_inverse
    return blocks[::-1]


def _edge_ids(eids: Tensor | None, positions: Tensor, num_edges: int) -> Tensor:
    if eids is None:
        return positions
    return ops.mark_ids(take_rows("eids", eids, positions), num_edges)


def column_names(what: str, value: Sequence[str] | None) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"{what}: expected a list of column names, got {value!r}")
    return list(value)


class Sampler:
    """Base of all samplers: a subclass implements :meth:`sample`.

    What it returns, any nest of tensors, graphs, tuples, lists and dicts, is what the DataLoader
    yields. It runs in the loader's worker threads, several batches at a time. For the same batches
    with any number of workers its random choices must come from hopflow's samplers, whose stream
    inside a loader is the batch's own.

    Attributes
    ----------
    index_kind : {"node", "edge", None}
        What the loader's indices are, for it to check them; None: only that they are not negative.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.Sampler.html
    """

    index_kind: ClassVar[str | None] = None

    def sample(self, g: Graph, indices: Any) -> Any:
        """Sample one mini-batch from the graph, for these of the loader's indices."""
        raise NotImplementedError(f"{type(self).__name__} does not implement sample(g, indices)")


class BlockSampler(Sampler):
    """Base of the samplers that turn seeds into blocks.

    A subclass implements :meth:`sample_blocks`; :meth:`sample` checks and merges the seeds before
    it and gathers the columns asked for after it.

    Parameters
    ----------
    prefetch_node_feats : sequence of str, optional
        Columns of the input nodes to gather with the batch, on ``blocks[0].srcdata``.
    prefetch_labels : sequence of str, optional
        Columns of the output nodes to gather with the batch, on ``blocks[-1].dstdata``.
    prefetch_edge_feats : sequence of str, optional
        Edge columns to gather with the batch, on every block's ``edata``.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.BlockSampler.html
    """

    index_kind = "node"

    def __init__(
        self,
        prefetch_node_feats: Sequence[str] | None = None,
        prefetch_labels: Sequence[str] | None = None,
        prefetch_edge_feats: Sequence[str] | None = None,
    ) -> None:
        self.prefetch_node_feats = column_names("prefetch_node_feats", prefetch_node_feats)
        self.prefetch_labels = column_names("prefetch_labels", prefetch_labels)
        self.prefetch_edge_feats = column_names("prefetch_edge_feats", prefetch_edge_feats)

    def sample_blocks(self, g: Graph, seed_nodes: Tensor, exclude_eids: Any = None) -> MiniBatch:
        """Sample the blocks of distinct seeds: ``(input_nodes, output_nodes, blocks)``.

        ``exclude_eids`` names edges that must not be in them; a subclass whose batches are never
        asked for without some edges need not take it.
        """
        raise TypeError(f"{type(self).__name__} does not implement sample_blocks(g, seed_nodes)")

    def sample(self, g: Graph, seed_nodes: Any, exclude_eids: Any = None) -> MiniBatch:
        """Sample one mini-batch.

        Parameters
        ----------
        g : Graph
            The graph.
        seed_nodes : Tensor, numpy array, sequence of int or boolean mask
            Nodes whose output is wanted. Duplicates are merged in order of first appearance;
            ``blocks[-1].seed_inverse`` then leads from each given seed to its row.
        exclude_eids : Tensor, numpy array or sequence of int, optional
            Ids of edges that must not be in any block.

        Returns
        -------
        input_nodes : Tensor
            Nodes whose features the first block needs, dtype ``g.idtype``.
        output_nodes : Tensor
            The distinct seeds, dtype ``g.idtype``.
        blocks : list of Block
            From the input layer to the output layer; each one's source nodes are the destination
            nodes of the one before.

        Raises
        ------
        IndexError, TypeError, ValueError
            Seeds that are not nodes of the graph.
        KeyError
            A column to prefetch that the graph lacks.
        """
        if not isinstance(g, Graph) or g.is_block:
            raise TypeError(f"g: expected a hopflow.Graph, got {type(g).__name__}")
        given = as_node_ids(
            "seed_nodes", seed_nodes, g.num_nodes(), dtype=g.idtype, device=g.device
        )
        seeds, inverse, _ = ops.compact_ids(given, given.new_empty(0))
        # Only where there are some: DGL's older samplers do not take them.
        more = {} if exclude_eids is None else {"exclude_eids": exclude_eids}
        input_nodes, output_nodes, blocks = self.sample_blocks(g, seeds, **more)
        if seeds.shape != given.shape:
            blocks[-1].seed_inverse = inverse.long()
        self.prefetch(blocks)
        return input_nodes, output_nodes, blocks

    def prefetch(self, blocks: Blocks) -> None:
        """Read the columns that were asked for with the batch.

        Raises
        ------
        KeyError
            A column that the graph lacks.
        """
        for name in self.prefetch_node_feats:
            blocks[0].srcdata[name]
        for name in self.prefetch_labels:
            blocks[-1].dstdata[name]
        for name in self.prefetch_edge_feats:
            for block in blocks:
                block.edata[name]


class NeighborSampler(BlockSampler):
    """Keep at most ``fanouts[l]`` in-edges of every node at layer ``l``, drawn at random.

    Without replacement and without ``prob`` every in-edge of a node is equally likely to be kept,
    the last one included.

    Parameters
    ----------
    fanouts : sequence of int
        In-edges kept a node, one number a layer, from the input layer to the output layer; -1 keeps
        all.
    edge_dir : {"in", "out"}
        With "out" out-edges are kept instead, and blocks are those of the reversed graph: messages
        flow from the ends of a seed's out-edges to the seed. ``edata[hopflow.EID]`` are the edges'
        own ids. (DGL 2.1 fails here.)
    prob : str or Tensor, optional
        Edge column, or its name: the weight of each edge, any real dtype, not negative. Each draw
        takes an edge with a probability proportional to its weight, without replacement among those
        not taken yet. Edges of weight 0 are never taken; a node with fewer others than the fanout
        keeps all of these.
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
        fanouts: Sequence[int],
        edge_dir: str = "in",
        prob: Any = None,
        mask: Any = None,
        replace: bool = False,
        prefetch_node_feats: Sequence[str] | None = None,
        prefetch_labels: Sequence[str] | None = None,
        prefetch_edge_feats: Sequence[str] | None = None,
        output_device: Any = None,
        fused: bool = True,
    ) -> None:
        super().__init__(prefetch_node_feats, prefetch_labels, prefetch_edge_feats)
        if output_device is not None:
            raise ValueError("output_device: expected None; give the DataLoader a device")
        if isinstance(fanouts, (str, bytes, dict)) or not hasattr(fanouts, "__len__"):
            raise TypeError(
                f"fanouts: expected a list with one int a layer, got {type(fanouts).__name__}"
            )
        self.fanouts = [check_fanout(f"fanouts[{i}]", f) for i, f in enumerate(fanouts)]
        if not self.fanouts:
            raise ValueError("fanouts: expected at least one layer, got none")
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

    def edges_of(self, g: Graph) -> EdgePool:
        """The edges of a graph that are drawn.

        Raises
        ------
        KeyError
            A column that the graph lacks.
        TypeError, ValueError
            Not one number an edge, or a weight that is negative, infinite or NaN.
        """
        return edge_pool(g, self.edge_dir, self.prob, self.mask)

    # Blocks may serve a backward pass later, wherever they are made.
    @torch.inference_mode(False)
    def sample_blocks(self, g: Graph, seed_nodes: Tensor, exclude_eids: Any = None) -> MiniBatch:
        """Sample the blocks of distinct seeds, one hop after the other, from the output back.

        Edges of ``exclude_eids`` are left out before the draw: a node still gets as many edges as
        the fanout says, if it has as many others. They cost O(1) each, whatever the degrees.

        Raises
        ------
        IndexError, TypeError, ValueError
            Seeds or edges that are not the graph's, seeds that are not distinct (:meth:`sample`
            merges them), or bad weights.
        """
        pool = self.edges_of(g)
        excluded = pool.excluded("exclude_eids", exclude_eids)
        seed_nodes = as_node_ids(
            "seed_nodes", seed_nodes, g.num_nodes(), dtype=g.idtype, device=g.device
        )
        fanouts = self.fanouts[::-1]
        sampled = pool.sample_blocks(
            seed_nodes, fanouts, keys=[rng.next_key(fanout) for fanout in fanouts],
            replace=self.replace, idtype=g.idtype, excluded=excluded,
        )  # fmt: skip
        if sampled.seed_inverse is not None:
            raise ValueError("seed_nodes: expected distinct nodes; sample() merges duplicates")
        return sampled.input_nodes, seed_nodes, blocks_of(Parent.of(g), pool.adjacency, sampled)

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
