"""Batches of edges in time: every pair's ends are seen as they were at the pair's time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.samplers.edge_prediction import (
    EdgePredictionSampler,
    find_exclude_eids,
    pairs_between,
)
from hopflow.dataloading.samplers.sampler import read_columns
from hopflow.graphs.graph import Graph
from hopflow.structure.by_type import edges_by_type
from hopflow.structure.frame import SEED_TIME
from hopflow.structure.types import Relation
from hopflow.transforms.subgraph import SomeEdges, parts_of

if TYPE_CHECKING:
    from hopflow.dataloading.samplers.temporal_neighbor_sampler import TemporalNeighborSampler


class TemporalEdgePredictionSampler(EdgePredictionSampler):
    """What :func:`as_edge_prediction_sampler` makes of a :class:`TemporalNeighborSampler`.

    The ends of an edge, and of the negative pairs made for it, are seen at the edge's time:
    ``edge_time``, or ``input_time`` if that is given. Nodes of the pair graph are therefore pairs
    of a node and a time, like rows of blocks: their ids are in ``ndata[hopflow.NID]``, their times
    in ``ndata["seed_time"]``. A negative sampler returns its pairs edge by edge, ``k`` for the
    first, ``k`` for the second and so on, as those of :mod:`hopflow.dataloading.negative_sampler`
    do: pair ``i`` of ``m`` has the time of edge ``floor(i * n / m)`` of ``n``. (Where it finds
    fewer pairs, as ``GlobalUniform`` may, these are spread over the edges.)
    """

    sampler: TemporalNeighborSampler

    def sample(self, g: Graph, seed_edges: Any) -> Any:
        """Sample one mini-batch; :func:`as_edge_prediction_sampler` says what it is."""
        edges = {r: x.clone() for r, x in edges_by_type(g, "seed_edges", seed_edges).items()}
        is_by_type = isinstance(seed_edges, Mapping)
        times = self.sampler.edge_times_of(g, edges)
        pairs = self._negative_pairs(g, edges, is_by_type)
        pair_times = {
            relation: _spread(relation, times.get(relation), ends[0].shape[0])
            for relation, ends in pairs.items()
        }
        none = torch.empty(0, dtype=torch.int64, device=g.device)
        rows = _Rows(g, [*times.values()], self.sampler.edges_of(g).dtype)
        positive: dict[Relation, SomeEdges] = {}
        for relation, one in g.relations.items():
            eids = edges.get(relation, none)
            ends = one.adjacency.ends(eids)
            positive[relation] = (*rows.add(relation, ends, times.get(relation)), eids)
        negative = {
            relation: rows.add(relation, ends, pair_times[relation])
            for relation, ends in pairs.items()
        }
        nodes, row_times = rows.nodes(), rows.times()
        pair_graph = parts_of(g, positive, nodes, True)
        for ntype, at in row_times.items():
            pair_graph.node_frame(ntype)[SEED_TIME] = at
        read_columns(
            pair_graph.edata, self.prefetch_labels, lambda e: pair_graph.relation(e).edge_frame
        )
        given: Any = edges if is_by_type else next(iter(edges.values()))
        excluded = find_exclude_eids(g, given, self.exclude, self.reverse_eids, self.reverse_etypes)
        seeds: Any = {ntype: ids.to(g.idtype) for ntype, ids in nodes.items()}
        seed_times: Any = row_times
        if len(nodes) == 1:
            (seeds,), (seed_times,) = seeds.values(), row_times.values()
        input_nodes, _, blocks = self.sampler.sample_at(g, seeds, seed_times, excluded)
        if self.negative_sampler is None:
            return input_nodes, pair_graph, blocks
        return input_nodes, pair_graph, pairs_between(pair_graph, negative), blocks


def _spread(relation: Relation, times: Tensor | None, num_pairs: int) -> Tensor:
    """The times of negative pairs: those of the edges that they were made for."""
    num_edges = 0 if times is None else times.shape[0]
    if times is None or (num_pairs and not num_edges):
        raise ValueError(
            f"negative_sampler: expected pairs of types of which the batch has edges, whose times"
            f" they take, got {num_pairs} of {relation!r}"
        )
    of_edges = torch.arange(num_pairs, device=times.device) * num_edges // max(1, num_pairs)
    return times[of_edges]


class _Rows:
    """Distinct pairs of a node and a time, numbered by type in order of first appearance."""

    def __init__(self, g: Graph, times: list[Tensor], dtype: torch.dtype) -> None:
        none = torch.empty(0, dtype=torch.int64, device=g.device)
        every = [ops.as_times("edge times", x) for x in times] or [none.to(dtype)]
        self._distinct = torch.unique(torch.cat(every))
        self._bits = max(1, *(g.num_nodes(ntype).bit_length() for ntype in g.schema.ntypes))
        self._rows = dict.fromkeys(g.schema.ntypes, none)

    def add(
        self, relation: Relation, ends: tuple[Tensor, Tensor], times: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The numbers of the sources and destinations of some edges of a relation."""
        if times is None:
            return ends
        ranks = torch.searchsorted(self._distinct, ops.as_times("edge times", times))
        numbers = []
        for ntype, ids in zip(relation[::2], ends):
            rows = ranks << self._bits | ids.long()
            self._rows[ntype], _, local = ops.compact_ids(self._rows[ntype], rows)
            numbers.append(local.long())
        return numbers[0], numbers[1]

    def nodes(self) -> dict[str, Tensor]:
        """The node of each row, by type."""
        return {ntype: rows & ((1 << self._bits) - 1) for ntype, rows in self._rows.items()}

    def times(self) -> dict[str, Tensor]:
        """The time of each row, by type."""
        return {ntype: self._distinct[rows >> self._bits] for ntype, rows in self._rows.items()}
