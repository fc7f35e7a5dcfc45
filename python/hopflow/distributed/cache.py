"""Which rows of other parts a rank is likely to want, and how many of them to keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.indices import Indices
from hopflow.distributed.columns import fetch_in_chunks, wanted_columns
from hopflow.sampling import inclusion
from hopflow.storage.sizes import size_in_bytes

if TYPE_CHECKING:
    from hopflow.distributed.graph import PartitionedGraph


@dataclass(frozen=True)
class CacheReport:
    """What a rank keeps of other parts.

    Attributes
    ----------
    rows : dict
        Rows kept of each node type.
    bytes : int
        Memory of these rows.
    expected_hit_rate : float
        Share of the remote rows of a batch that are expected to be among them.
    """

    rows: dict[str, int]
    bytes: int
    expected_hit_rate: float


def expected_inclusion(
    graph: PartitionedGraph, seeds: Sequence[Tensor], rate: float, fanouts: Sequence[Sequence[int]]
) -> list[Tensor]:
    """How likely each node is to be among those of a batch; every rank calls this.

    As :func:`hopflow.sampling.inclusion.expected_inclusion`, of the edges of all parts.

    Parameters
    ----------
    graph : PartitionedGraph
        The graph.
    seeds : sequence of Tensor
        Of each type the nodes that batches begin with, the same on every rank.
    rate : float
        The probability of each to be in a batch.
    fanouts : sequence
        From the seeds outwards, of each hop one for each relation.

    Returns
    -------
    list of Tensor
        Of each type float32, shape [N].
    """
    part, number = graph.part, {ntype: t for t, ntype in enumerate(graph.schema.ntypes)}
    relations = [
        ops.Relation(edges.indptr, edges.indices, number[src], number[dst])
        for (src, _, dst), edges in zip(graph.schema.relations, part.edges)
    ]
    return inclusion.expected_inclusion(
        relations, [part.num_nodes(t) for t in range(len(number))], seeds, rate, fanouts,
        rows=part.ids, add=lambda sums: graph.lane().reduced(sums, dist.ReduceOp.SUM),
    )  # fmt: skip


def most_wanted(
    owned: Sequence[Tensor],
    chances: Sequence[Tensor],
    row_bytes: Sequence[int],
    *,
    size: int | None,
    rows: int | None,
) -> tuple[list[Tensor], float]:
    """Nodes of other parts worth keeping, and the share of remote rows that they should be.

    Parameters
    ----------
    owned : sequence of Tensor
        Of each type the nodes of the own part.
    chances : sequence of Tensor
        Of each type how likely a node is wanted, shape [N].
    row_bytes : sequence of int
        Of each type the bytes of a node's row; 0 for types of which nothing is kept.
    size, rows : int or None
        Bytes or rows to keep at most; the most chances a byte come first.
    """
    numbers, worth, kinds = [], [], []
    for t, (chance, width) in enumerate(zip(chances, row_bytes)):
        if not width:
            continue
        remote = chance.clone()
        remote[owned[t].long()] = 0
        found = remote.nonzero().squeeze(1)
        numbers.append(found)
        worth.append(remote[found] / (width if size is not None else 1))
        kinds.append(torch.full_like(found, t))
    none = torch.empty(0, dtype=torch.int64)
    ids, kind = torch.cat([none, *numbers]), torch.cat([none, *kinds])
    value = torch.cat([torch.empty(0), *worth])
    order = torch.argsort(value, descending=True, stable=True)
    widths = torch.tensor([*row_bytes, 0])
    order = order[:rows] if size is None else order[widths[kind[order]].cumsum(0) <= size]
    kept = [ids[order[kind[order] == t]].sort().values for t in range(len(chances))]
    hits, total = 0.0, 0.0
    for t, (chance, own) in enumerate(zip(chances, kept)):
        hits += float(chance[own].double().sum())
        total += float(chance[ids[kind == t]].double().sum())
    return kept, hits / total if total else 0.0


class RowCaches:
    """Rows of other parts that a rank keeps, by node type."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[Tensor, dict[str, Tensor]]] = {}

    def columns(self, type_: int) -> set[str]:
        """Names of the columns of a type of which rows are kept."""
        return set(self._of[type_][1]) if type_ in self._of else set()

    def slots(self, type_: int) -> Tensor:
        """Of each node of a type its row in the cache, or -1; int32, shape [N]."""
        return self._of[type_][0]

    def rows(self, type_: int, name: str) -> Tensor:
        """Rows of a column that are kept, shape [rows, ...]."""
        return self._of[type_][1][name]

    def build(
        self,
        graph: PartitionedGraph,
        sampler: Any,
        seeds: Any,
        *,
        size: Any,
        rows: int | None,
        batch_size: int,
        by_part: bool,
    ) -> CacheReport:
        """Fill anew; the arguments are those of :meth:`PartitionedGraph.cache_rows`."""
        if (size is None) == (rows is None):
            raise ValueError("size, rows: expected one of them, got both or neither")
        most = None if size is None else size_in_bytes("size", size)
        if rows is not None and ops.as_int("rows", rows) < 0:
            raise ValueError(f"rows: expected at least 0, got {rows}")
        self._of = {}
        part = graph.part
        columns: list[dict[str, Tensor]] = [{} for _ in part.ids]
        for one in wanted_columns(graph, sampler, len(sampler.fanouts)):
            if one.level:  # labels of seeds come along with them
                for name in one.names:
                    columns[one.type][name] = part.columns[one.type][name]
        widths = [sum(_row_bytes(x) for x in of_type.values()) for of_type in columns]
        fanouts = graph.part_pools().fanouts(sampler.fanouts)
        starts = [ids.cpu() for ids in Indices.of(graph, seeds, "node").by_number()]
        chances = _chances(graph, starts, batch_size, fanouts, by_part)
        kept, rate = most_wanted(part.ids, chances, widths, size=most, rows=rows)
        del chances
        total = 0
        for t, ids in enumerate(kept):
            if columns[t]:
                found = fetch_in_chunks(graph, graph.lane(), ids.to(graph.idtype), t, columns[t])
                slots = torch.full((part.num_nodes(t),), -1, dtype=torch.int32)
                slots[ids] = torch.arange(ids.shape[0], dtype=torch.int32)
                self._of[t] = slots, found
                total += ids.shape[0] * widths[t]
        counts = {ntype: ids.shape[0] for ntype, ids in zip(graph.schema.ntypes, kept)}
        return CacheReport(counts, total, rate)


def _chances(
    graph: PartitionedGraph,
    seeds: Sequence[Tensor],
    batch_size: int,
    fanouts: Sequence[Sequence[int]],
    by_part: bool,
) -> list[Tensor]:
    """How likely a batch of this rank wants each node."""
    rank, num_ranks = graph.ranks()
    if not by_part:
        rate = batch_size / max(sum(ids.shape[0] for ids in seeds), 1)
        return expected_inclusion(graph, seeds, rate, fanouts)
    mine: list[Tensor] = []
    for other in range(num_ranks):  # together: every rank has edges that matter to all
        own = [
            ids[(place[ids.long()] >= starts[other]) & (place[ids.long()] < starts[other + 1])]
            for ids, place, starts in zip(seeds, graph.part.place, graph.part.starts)
        ]
        rate = batch_size / max(sum(ids.shape[0] for ids in own), 1)
        found = expected_inclusion(graph, own, rate, fanouts)
        if other == rank:
            mine = found
    return mine


def _row_bytes(column: Tensor) -> int:
    return column.element_size() * math.prod(column.shape[1:])
