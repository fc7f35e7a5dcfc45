"""Exact outputs for every node of a graph in parts, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from hopflow.dataloading.samplers.sampler import blocks_of
from hopflow.distributed.columns import fetch_rows
from hopflow.distributed.graph import PartitionedGraph
from hopflow.structure.frame import Column, Take

Rows = Any
"""A tensor, or where there are several node types a dict of tensors by type."""


@torch.no_grad()
def layerwise_inference(
    graph: PartitionedGraph,
    layers: Sequence[Callable[[Any, Rows], Rows]],
    x: Rows,
    *,
    chunk_edges: int = 1 << 20,
) -> Rows:
    """Apply layers to all nodes over full neighbourhoods; every rank calls this.

    Every rank computes the nodes that it owns, whose in-edges it has, and asks the owners of their
    sources for the rows of the layer before. Outputs are those of one process bit for bit where a
    layer computes each row by itself; matrix products of other shapes may round differently.

    Parameters
    ----------
    graph : PartitionedGraph
        The graph.
    layers : sequence of callable
        ``layer(block, rows)`` with the rows of the block's source nodes gives those of its
        destination nodes. Where there are several node types rows are dicts by type; types that a
        layer leaves out have no rows from there on. Put modules into ``eval()`` before.
    x : Tensor or dict
        Inputs: the rows of the nodes that this rank owns, such as ``graph.columns()["feat"]``.
    chunk_edges : int
        In-edges of the nodes computed at a time (or of one node, if it has more).

    Returns
    -------
    Tensor or dict
        Outputs of the last layer for the nodes that this rank owns, in the order of
        :meth:`PartitionedGraph.owned`.
    """
    ntypes = graph.schema.ntypes
    is_by_type = isinstance(x, Mapping)
    if not is_by_type and len(ntypes) > 1:
        raise TypeError(f"x: expected a dict by node type, got {type(x).__name__}")
    rows: dict[str, Tensor] = dict(x) if is_by_type else {ntypes[0]: x}
    for ntype, value in rows.items():
        if value.shape[0] != graph.num_owned(ntype):
            raise ValueError(
                f"x: expected a row for each of the {graph.num_owned(ntype)} nodes of"
                f" {ntype!r} that the rank owns, got {value.shape[0]}"
            )
    graph.open_lanes(1)
    for layer in layers:
        rows = _apply(graph, layer, rows, chunk_edges, is_by_type)
    return rows if is_by_type else rows[ntypes[0]]


def _apply(
    graph: PartitionedGraph,
    layer: Callable[[Any, Rows], Rows],
    rows: dict[str, Tensor],
    chunk_edges: int,
    is_by_type: bool,
) -> dict[str, Tensor]:
    made: dict[str, list[Tensor]] = {}
    for t, ntype in enumerate(graph.schema.ntypes):
        chunks = _chunks(graph, t, chunk_edges)
        for i in range(_most(graph, len(chunks))):
            nodes = chunks[i] if i < len(chunks) else torch.empty(0, dtype=torch.int64)
            for name, value in _chunk(graph, layer, rows, t, nodes, is_by_type).items():
                # Also without nodes: a rank that owns none still learns the shape.
                if name == ntype:
                    made.setdefault(name, []).append(value)
    return {name: torch.cat(values) for name, values in made.items()}


def _chunk(
    graph: PartitionedGraph,
    layer: Callable[[Any, Rows], Rows],
    rows: dict[str, Tensor],
    type_: int,
    nodes: Tensor,
    is_by_type: bool,
) -> dict[str, Tensor]:
    """A layer's rows for some rows of the part, of one type."""
    part, pools = graph.part, graph.part_pools()
    ntypes = graph.schema.ntypes
    none = torch.empty(0, dtype=graph.idtype)
    seeds = [part.ids[t][nodes] if t == type_ else none for t in range(len(ntypes))]
    sampled = pools.all_in_edges(seeds, type_, nodes)
    sources = {}
    for t, ntype in enumerate(ntypes):
        if ntype in rows:
            ids = sampled.nodes[t].src_ids
            found = fetch_rows(graph, graph.lane(), ids, t, {"x": rows[ntype]})
            sources[ntype] = found["x"]

    def take(level: int, ntype: str) -> Take:
        def none_of(name: str, column: Column, ids: Tensor) -> Tensor:
            raise KeyError(f"column {name!r}: inference hands rows to the layer, columns stay away")

        return none_of

    (block,) = blocks_of(graph.parent("in"), pools, sampled, take)
    out = layer(block, sources if is_by_type else sources[ntypes[0]])
    return dict(out) if is_by_type else {ntypes[0]: out}


def _chunks(graph: PartitionedGraph, type_: int, chunk_edges: int) -> list[Tensor]:
    """Ranges of the part's rows with at most so many in-edges and nodes, at least one node each."""
    count = graph.part.ids[type_].shape[0]
    work = torch.arange(count + 1)
    for (_, dst), edges in zip(graph.ends(), graph.part.edges):
        if dst == type_:
            work = work + edges.indptr
    chunks, begin = [], 0
    while begin < count:
        end = int(torch.searchsorted(work, work[begin] + chunk_edges, right=True)) - 1
        end = min(max(end, begin + 1), count)
        chunks.append(torch.arange(begin, end))
        begin = end
    return chunks


def _most(graph: PartitionedGraph, count: int) -> int:
    """The largest of the ranks' numbers, at least 1."""
    most = torch.tensor([max(count, 1)])
    return int(graph.lane().reduced(most, dist.ReduceOp.MAX))
