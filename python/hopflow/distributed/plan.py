"""What a batch of a graph in parts will send, from a sample of the exact batches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.indices import Indices
from hopflow.dataloading.samplers.neighbor_sampler import NeighborSampler
from hopflow.distributed.cache import expected_inclusion, most_wanted
from hopflow.distributed.graph import PartitionedGraph
from hopflow.distributed.part import only_part, order_by_part
from hopflow.graphs.graph import Graph
from hopflow.sampling import random as rng


@dataclass(frozen=True)
class ExchangePlan:
    """What one rank sends for one batch on average, in bytes, and what it is made of.

    With ``V`` nodes asked for in all hops, ``E`` edges drawn, ``U`` input nodes and a share ``r``
    of each at other parts, a rank sends ``r V (4 + 4 R)`` bytes for rows and degrees (``R``
    relations), ``r E (s + e)`` for sources and edge ids of ``s`` and ``e`` bytes, and
    ``r U (1 - h) (4 + w)`` for rows of ``w`` bytes of which a share ``h`` is cached.

    Attributes
    ----------
    num_parts : int
        P.
    ids, edges, rows : float
        Bytes: rows asked for, edges drawn for others, columns for others.
    bytes : float
        Their sum.
    asked_nodes, drawn_edges, input_nodes : float
        V, E and U of a batch.
    remote_share : float
        Of the input nodes, those of other parts.
    hit_rate : float
        Of these, those in the cache.
    row_bytes : float
        Of an input node, all columns together.
    """

    num_parts: int
    ids: float
    edges: float
    rows: float
    asked_nodes: float
    drawn_edges: float
    input_nodes: float
    remote_share: float
    hit_rate: float
    row_bytes: float

    @property
    def bytes(self) -> float:
        """All bytes that a rank sends for a batch."""
        return self.ids + self.edges + self.rows

    def to_dict(self) -> dict[str, Any]:
        """The attributes as plain values."""
        return {**asdict(self), "bytes": self.bytes}


def plan_exchange(
    graph: Graph,
    seeds: Any,
    sampler: NeighborSampler,
    num_parts: int,
    *,
    batch_size: int = 1024,
    parts: Mapping[str, Tensor] | None = None,
    row_bytes: Mapping[str, int] | int | None = None,
    cache_size: int = 0,
    replicated: bool = False,
    seeds_by_part: bool = False,
    num_batches: int = 10,
    seed: int = 0,
) -> ExchangePlan:
    """Estimate what a rank sends for a batch, before a graph is partitioned or after.

    Parameters
    ----------
    graph : Graph
        The whole graph, in memory or mapped.
    seeds : Tensor or dict
        As the loader's ``indices``.
    sampler : NeighborSampler
        What makes the batches.
    num_parts : int
        P, at least 1.
    batch_size : int
        Seeds a batch and rank.
    parts : mapping, optional
        Part of each node by type; by default a random one, for which a share of ``(P - 1) / P``
        is remote.
    row_bytes : int or mapping, optional
        Bytes of an input node's columns, by type; those of the graph's columns by default.
    cache_size : int
        Bytes of rows that a rank keeps of other parts.
    replicated : bool
        Whether every rank has all edges.
    seeds_by_part : bool
        Whether batches have seeds of the rank's own part.
    num_batches : int
        Batches to look at; with ``seeds_by_part`` a multiple of ``num_parts`` is best.
    seed : int
        Of the order of seeds and of the draws.

    Raises
    ------
    ValueError, TypeError
        Bad arguments.
    """
    num_parts = ops.as_int("num_parts", num_parts)
    if num_parts < 1:
        raise ValueError(f"num_parts: expected at least 1, got {num_parts}")
    indices = Indices.of(graph, seeds, "node")
    if not len(indices):
        raise ValueError("seeds: expected at least one node, got none")
    assigned = _assigned(graph, parts, num_parts, seed)
    widths = _widths(graph, row_bytes)
    order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))
    if seeds_by_part:
        order = order_by_part(
            _owners(graph, indices, assigned)[order], order, num_parts, batch_size
        )
    cached = _cached(
        graph, indices, sampler, assigned, widths, num_parts, batch_size, cache_size, seeds_by_part
    )
    total = -(-len(indices) // batch_size)
    count = min(num_batches, total)
    # The middles of equal shares: the last batch, perhaps a small one, counts as one of many.
    looked_at = [(2 * i + 1) * total // (2 * count) for i in range(count)]
    ranks: Sequence[int] = range(num_parts)
    sums = dict.fromkeys(
        ("ids", "edges", "rows", "asked", "drawn", "inputs", "remote", "hits"), 0.0
    )
    for i, batch in enumerate(looked_at):
        if seeds_by_part:  # all ranks' turn
            batch = min(batch - batch % num_parts + i % num_parts, total - 1)
        ids = indices.ids[order[batch * batch_size : (batch + 1) * batch_size]]
        with rng.batch_stream(seed, 0, batch):
            _, _, blocks = sampler.sample(graph, indices.split(ids))
        if seeds_by_part:
            ranks = [batch % num_parts]
        for rank in ranks:  # whose batch it may be
            _count(sums, blocks, assigned, widths, cached, rank, graph, replicated)
    mean = {name: value / (len(looked_at) * len(ranks)) for name, value in sums.items()}
    return ExchangePlan(
        num_parts, mean["ids"], mean["edges"], mean["rows"], mean["asked"], mean["drawn"],
        mean["inputs"], mean["remote"] / max(mean["inputs"], 1e-12),
        mean["hits"] / max(mean["remote"], 1e-12),
        sum(widths.values()) if len(widths) == 1 else math.nan,
    )  # fmt: skip


def _count(
    sums: dict[str, float],
    blocks: Sequence[Any],
    assigned: Mapping[str, Tensor],
    widths: Mapping[str, int],
    cached: Mapping[int, Mapping[str, Tensor]],
    rank: int,
    graph: Graph,
    replicated: bool,
) -> None:
    """Add what a rank asks for with one batch; others ask it for as much on average."""
    eid_bytes = {
        relation: 4 if ops.id_dtype(graph.num_edges(relation)) == torch.int32 else 8
        for relation in graph.canonical_etypes
    }
    wide = any(one.adjacency.indices.dtype == torch.int64 for one in graph.relations.values())
    for block in [] if replicated else blocks:
        asked: set[str] = set()
        for relation in block.canonical_etypes:
            dst = relation[2]
            own = assigned[dst][block.dstnodes[dst].data["_ID"].long()] == rank
            if block.num_edges(relation):
                sums["edges"] += 4 * int((~own).sum())  # degrees
                degrees = block.in_degrees(etype=relation)
                remote = int(degrees[~own].sum())
                sums["edges"] += remote * ((8 if wide else 4) + eid_bytes[relation])
                sums["drawn"] += block.num_edges(relation)
                if dst not in asked:
                    asked.add(dst)
                    sums["ids"] += 4 * int((~own).sum())
                    sums["asked"] += own.shape[0]
    for ntype, width in widths.items():
        ids = blocks[0].srcnodes[ntype].data["_ID"].long()
        remote = ids[assigned[ntype][ids] != rank]
        hits = 0
        if cached:
            hits = int(torch.isin(remote, cached[rank][ntype]).sum())
        if width:
            sums["ids"] += 4 * (remote.shape[0] - hits)
            sums["rows"] += width * (remote.shape[0] - hits)
            sums["inputs"] += ids.shape[0]
            sums["remote"] += remote.shape[0]
            sums["hits"] += hits


def _assigned(
    graph: Graph, parts: Mapping[str, Tensor] | None, num_parts: int, seed: int
) -> dict[str, Tensor]:
    if parts is not None:
        return {ntype: parts[ntype].long() for ntype in graph.ntypes}
    generator = torch.Generator().manual_seed(seed)
    return {
        ntype: torch.randint(num_parts, (graph.num_nodes(ntype),), generator=generator)
        for ntype in graph.ntypes
    }


def _widths(graph: Graph, row_bytes: Mapping[str, int] | int | None) -> dict[str, int]:
    if isinstance(row_bytes, Mapping):
        return {ntype: int(row_bytes.get(ntype, 0)) for ntype in graph.ntypes}
    if row_bytes is not None:
        return dict.fromkeys(graph.ntypes, ops.as_int("row_bytes", row_bytes))
    return {
        ntype: sum(x.element_size() * math.prod(x.shape[1:]) for x in frame.values())
        for ntype, frame in graph.node_frames().items()
    }


def _owners(graph: Graph, indices: Indices, assigned: Mapping[str, Tensor]) -> Tensor:
    """Part of each seed."""
    # Ids of several types count on from type to type, as these do.
    return torch.cat([assigned[ntype] for ntype in graph.ntypes])[indices.ids.long()]


def _cached(
    graph: Graph,
    indices: Indices,
    sampler: NeighborSampler,
    assigned: Mapping[str, Tensor],
    widths: Mapping[str, int],
    num_parts: int,
    batch_size: int,
    cache_size: int,
    seeds_by_part: bool,
) -> dict[int, dict[str, Tensor]]:
    """Of each rank the nodes whose rows it keeps, by type; nothing without a cache."""
    if cache_size <= 0 or num_parts == 1:
        return {}
    whole = PartitionedGraph(only_part(graph))
    fanouts = whole.part_pools().fanouts(sampler.fanouts)
    seeds = indices.by_number()
    found: dict[int, dict[str, Tensor]] = {}
    chances: list[Tensor] = []
    for rank in range(num_parts):
        if seeds_by_part or not chances:
            own = seeds
            if seeds_by_part:
                own = [
                    ids[assigned[ntype][ids.long()] == rank]
                    for ids, ntype in zip(seeds, graph.ntypes)
                ]
            rate = batch_size / max(sum(ids.shape[0] for ids in own), 1)
            chances = expected_inclusion(whole, own, rate, fanouts)
        owned = [(assigned[ntype] == rank).nonzero().squeeze(1) for ntype in graph.ntypes]
        kept, _ = most_wanted(
            owned, chances, [widths[t] for t in graph.ntypes], size=cache_size, rows=None
        )
        found[rank] = dict(zip(graph.ntypes, kept))
    whole.close()
    return found
