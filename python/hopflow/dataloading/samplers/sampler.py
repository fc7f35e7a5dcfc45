"""Samplers: from the seeds of a batch to its blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, TypeAlias

from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.parts import GraphInParts
from hopflow.graphs.block import Block, Parent, always_take_rows
from hopflow.graphs.graph import Graph
from hopflow.sampling.edge_pools import EdgePools
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.frame import Frame, Take
from hopflow.structure.graph_base import require_here
from hopflow.structure.types import Schema

Blocks: TypeAlias = list[Block]
MiniBatch = tuple[Any, Any, Blocks]
"""``(input_nodes, output_nodes, blocks)``; ids as tensors, of several node types dicts of such."""
ColumnNames: TypeAlias = "list[str] | dict[Any, list[str]]"


def blocks_of(
    parent: Parent,
    edges: EdgePools,
    sampled: ops.SampledTypedBlocks,
    take: Callable[[int, str], Take] = always_take_rows,
) -> Blocks:
    """Wrap sampled hops as blocks, from the input layer to the output layer.

    Parameters
    ----------
    parent : Parent
        The graph's columns.
    edges : EdgePools
        The edges sampled from.
    sampled : SampledTypedBlocks
        Hops, from the seeds outwards.
    take : callable, optional
        ``take(level, ntype)`` gathers columns of a type's nodes that ``level`` hops reach.
    """
    blocks: Blocks = []
    last = len(sampled.hops) - 1
    num_dst = [nodes.output_nodes.shape[0] for nodes in sampled.nodes]
    dst_ids = [ops.first_ids(x.src_ids, count) for x, count in zip(sampled.nodes, num_dst)]
    for level, hop in enumerate(sampled.hops):
        num_src = hop.num_src
        adjacencies, eids = [], []
        for number, (relation, part, num_edges) in enumerate(
            zip(edges.relations, hop.relations, parent.num_edges)
        ):
            ends = num_src[relation.src_type], num_dst[relation.dst_type]
            adjacencies.append(Adjacency(part.indptr, part.indices, None, *ends))
            eids.append(edges.edge_ids(number, part.positions, num_edges))
        # The last hop has them all.
        src_ids = [
            x.src_ids if level == last else ops.first_ids(x.src_ids, count)
            for x, count in zip(sampled.nodes, num_src)
        ]
        blocks.append(
            Block.from_parent(parent, adjacencies, src_ids, dst_ids, eids, take=take, level=level)
        )
        num_dst, dst_ids = num_src, src_ids
    return blocks[::-1]


def note_duplicates(
    blocks: Blocks, schema: Schema, sampled: ops.SampledTypedBlocks, is_by_type: bool
) -> None:
    """Let the last block lead from each given seed to its row, if some were given twice."""
    if all(nodes.seed_inverse is None for nodes in sampled.nodes):
        return
    inverses = {
        ntype: nodes.seed_inverse
        for ntype, nodes in zip(schema.ntypes, sampled.nodes)
        if nodes.seed_inverse is not None
    }
    blocks[-1].seed_inverse = inverses if is_by_type else next(iter(inverses.values()))


def by_type(schema: Schema, ids: Sequence[Tensor]) -> Any:
    """Ids of each node type as a dict; where there is one type, its ids alone."""
    return dict(zip(schema.ntypes, ids)) if len(ids) > 1 else ids[0]


def distinct_seeds(g: Graph, seed_nodes: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Seeds by type, merged in order of first appearance, dtype ``g.idtype``; and of the types
    that have some twice what leads from each given seed to its row, int64.

    Raises
    ------
    IndexError, TypeError, ValueError
        They are not nodes of the graph.
    """
    seeds: dict[str, Tensor] = {}
    inverses: dict[str, Tensor] = {}
    for ntype, ids in nodes_by_type(g, "seed_nodes", seed_nodes, dtype=g.idtype).items():
        seeds[ntype], inverse, _ = ops.compact_ids(ids, ids.new_empty(0))
        if seeds[ntype].shape != ids.shape:
            inverses[ntype] = inverse.long()
    return seeds, inverses


def column_names(what: str, value: Any) -> ColumnNames:
    """Names of columns as a list, or where they are given by type as a dict of lists."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return {key: _names(f"{what}[{key!r}]", names) for key, names in value.items()}
    return _names(what, value)


def _names(what: str, value: Any) -> list[str]:
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
    prefetch_node_feats : sequence of str or dict, optional
        Columns of the input nodes to gather with the batch, on ``blocks[0].srcdata``. Where there
        are several types ``{ntype: [names]}``.
    prefetch_labels : sequence of str or dict, optional
        Columns of the output nodes to gather with the batch, on ``blocks[-1].dstdata``.
    prefetch_edge_feats : sequence of str or dict, optional
        Edge columns to gather with the batch, on every block's ``edata``; ``{etype: [names]}``.
    output_device : str or torch.device, optional
        Only the graph's, checked with every batch; the DataLoader moves blocks.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.BlockSampler.html
    """

    index_kind = "node"

    def __init__(
        self,
        prefetch_node_feats: Any = None,
        prefetch_labels: Any = None,
        prefetch_edge_feats: Any = None,
        output_device: Any = None,
    ) -> None:
        self.prefetch_node_feats = column_names("prefetch_node_feats", prefetch_node_feats)
        self.prefetch_labels = column_names("prefetch_labels", prefetch_labels)
        self.prefetch_edge_feats = column_names("prefetch_edge_feats", prefetch_edge_feats)
        self.output_device = output_device

    def sample_blocks(self, g: Graph, seed_nodes: Any, exclude_eids: Any = None) -> MiniBatch:
        """Sample the blocks of distinct seeds: ``(input_nodes, output_nodes, blocks)``.

        ``seed_nodes`` are a tensor, or a dict of such by type where they were given so.

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
        seed_nodes : Tensor, numpy array, sequence of int, boolean mask or dict
            Nodes whose output is wanted, where there are several types a dict by type. Duplicates
            are merged in order of first appearance; ``blocks[-1].seed_inverse`` then leads from
            each given seed to its row.
        exclude_eids : Tensor, numpy array, sequence of int or dict, optional
            Ids of edges that must not be in any block.

        Returns
        -------
        input_nodes : Tensor or dict
            Nodes whose features the first block needs, dtype ``g.idtype``; where there are several
            types a dict by type.
        output_nodes : Tensor or dict
            The distinct seeds, dtype ``g.idtype``; a dict if seeds are one.
        blocks : list of Block
            From the input layer to the output layer; each one's source nodes are the destination
            nodes of the one before.

        Raises
        ------
        IndexError, TypeError, ValueError
            Seeds that are not nodes of the graph, or an ``output_device`` that is not the graph's.
        KeyError
            A column to prefetch that the graph lacks.
        """
        if not isinstance(g, (Graph, GraphInParts)) or g.is_block:
            raise TypeError(f"g: expected a hopflow.Graph, got {type(g).__name__}")
        require_here(g, self.output_device)
        seeds, inverses = distinct_seeds(g, seed_nodes)
        is_by_type = isinstance(seed_nodes, Mapping)
        # Only where there are some: DGL's older samplers do not take them.
        more = {} if exclude_eids is None else {"exclude_eids": exclude_eids}
        input_nodes, output_nodes, blocks = self.sample_blocks(
            g, seeds if is_by_type else next(iter(seeds.values())), **more
        )
        if inverses:
            one = next(iter(inverses.values()))
            blocks[-1].seed_inverse = inverses if is_by_type else one
        self.prefetch(blocks)
        return input_nodes, output_nodes, blocks

    def prefetch(self, blocks: Blocks) -> None:
        """Read the columns that were asked for with the batch.

        Raises
        ------
        KeyError
            A column that the graph lacks.
        """
        if self.prefetch_node_feats:
            first = blocks[0]
            frame_of = partial(first.node_frame, side="src")
            read_columns(first.srcdata, self.prefetch_node_feats, frame_of)
        if self.prefetch_labels:
            last = blocks[-1]
            read_columns(last.dstdata, self.prefetch_labels, partial(last.node_frame, side="dst"))
        for block in blocks if self.prefetch_edge_feats else ():
            read_columns(block.edata, self.prefetch_edge_feats, partial(self.edges_in, block))

    def edges_in(self, block: Block, etype: Any) -> Frame:
        """The edge columns of a block that come from one of the graph's types of edges."""
        return block.relation(etype).edge_frame


def read_columns(
    columns: Mapping[str, Any], names: ColumnNames, frame_of: Callable[[Any], Frame]
) -> None:
    """Read columns by name, or of the types that they are given by."""
    if isinstance(names, dict):
        for key, of_type in names.items():
            frame = frame_of(key)
            for name in of_type:
                frame[name]
        return
    for name in names:
        columns[name]
