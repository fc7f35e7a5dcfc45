"""The edges of a graph in parts: every hop asks the owners of its nodes, who draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.distributed.lane import Lane, tag_of
from hopflow.sampling.edge_pool import EdgePool, pool_of
from hopflow.sampling.edge_pools import EdgePools
from hopflow.structure.lazy_column import LazyColumn

if TYPE_CHECKING:
    from hopflow.distributed.graph import PartitionedGraph

_Edges = tuple[Tensor, Tensor, Tensor]  # of some nodes: degrees, int32, then sources and edge ids


class PartPools(EdgePools):
    """What :class:`EdgePools` is for a whole graph, for one in parts.

    A draw depends on (seed, epoch, batch, hop, relation, node) alone: the owner of a node draws for
    whoever asks what a process with the whole graph would draw. Its edges are in their order.

    Parameters
    ----------
    graph : PartitionedGraph
        The graph.
    prob, mask : str, optional
        Edge columns, as :class:`hopflow.dataloading.NeighborSampler` takes them.
    """

    def __init__(self, graph: PartitionedGraph, prob: str | None, mask: str | None) -> None:
        self._graph, part = graph, graph.part
        self.schema, self.edge_dir = graph.schema, "in"
        self.num_nodes = [part.num_nodes(t) for t in range(len(self.schema.ntypes))]
        self._ends = graph.ends()
        self._prob, self._mask = prob, mask
        pools = {}
        for r, relation in enumerate(self.schema.relations):
            pools[relation] = self._pool(r, relation)
        self.pools = pools
        # Sources are numbered in the narrowest dtype that holds them, as for a whole graph.
        wide = any(edges.indices.dtype == torch.int64 for edges in part.edges)
        self._dtype = torch.int64 if wide else ops.id_dtype(max(self.num_nodes))
        self._eid_dtype = [ops.id_dtype(count) for count in part.num_edges]

    def _pool(self, r: int, relation: Any) -> EdgePool:
        """The part's own edges of a relation; rows are those of the part."""
        columns = self._graph.part.edge_columns[r]
        prob, mask = (
            None if name is None else columns.get(name) for name in (self._prob, self._mask)
        )
        # Edges are numbered by their position in the part, as the columns are.
        return pool_of(self._graph.adjacencies[r], prob=prob, mask=mask, what=f" of {relation!r}")

    @property
    def is_plain(self) -> bool:
        # Native epochs are for whole graphs.
        return False

    def arrays(self) -> list[Tensor]:
        return [x for edges in self._graph.part.edges for x in edges]

    def excluded(self, name: str, edges: Any) -> list[Tensor | None]:
        if edges is not None:
            raise ValueError(
                f"{name}: expected None for a graph in parts, where edges cannot be left out yet,"
                f" got {type(edges).__name__}"
            )
        return [None] * len(self.pools)

    def edge_ids(self, number: int, positions: Tensor, num_edges: int) -> LazyColumn:
        return LazyColumn.of(positions)  # the owners sent the ids

    def sample_blocks(
        self,
        seeds: Sequence[Tensor],
        fanouts: Sequence[Sequence[int]],
        *,
        keys: Sequence[int],
        replace: bool,
        idtype: torch.dtype,
        excluded: Sequence[Tensor | None],
    ) -> ops.SampledTypedBlocks:
        """All hops of a batch; every rank calls this with its own seeds and key."""
        lane = self._graph.lane()

        def draw_hop(hop: int, nodes: Sequence[Tensor]) -> list[ops.Drawn]:
            tag = tag_of("hop", hop, list(fanouts[hop]), replace, self._prob, self._mask)
            return _Hop(self, lane, nodes, fanouts[hop], replace).draw(tag, keys[hop])

        return ops.number_hops(
            draw_hop, self._ends, seeds, len(fanouts), dtype=self._dtype, idtype=idtype
        )

    def all_in_edges(
        self, seeds: Sequence[Tensor], type_: int, rows: Tensor
    ) -> ops.SampledTypedBlocks:
        """One hop of all in-edges of nodes that this rank owns, without asking anybody.

        Parameters
        ----------
        seeds : sequence of Tensor
            Nodes of each type; those of ``type_`` are the part's ``rows``, of the others none.
        type_ : int
            Their type.
        rows : Tensor
            Their rows in the part, int64.
        """

        def draw_hop(hop: int, nodes: Sequence[Tensor]) -> list[ops.Drawn]:
            drawn = []
            for r, (_, dst) in enumerate(self._ends):
                edges = self._graph.part.edges[r]
                at = rows if dst == type_ else rows[:0]
                indptr, sources, eids = ops.sample_neighbors(
                    edges.indptr, edges.indices, at, -1, key=0, eids=edges.eids
                )
                drawn.append((indptr, sources.to(self._dtype), eids.to(self._eid_dtype[r])))
            return drawn

        return ops.number_hops(
            draw_hop, self._ends, seeds, 1, dtype=self._dtype, idtype=self._graph.idtype
        )


class _Hop:
    """One hop of one batch on every rank.

    Rank ``p`` gets from this one: the key of its draws and how many nodes of each type follow; then
    their rows in its part. It answers with how many edges each node keeps, of each relation, and
    with the sources and ids of these edges.
    """

    def __init__(
        self,
        pools: PartPools,
        lane: Lane,
        nodes: Sequence[Tensor],
        fanouts: Sequence[int],
        replace: bool,
    ) -> None:
        self._pools, self._lane, self._nodes, self._replace = pools, lane, nodes, replace
        self._fanouts = fanouts
        self._me, self._ranks = lane.rank, range(lane.num_ranks)
        # The relations that draw, and the types of their destinations.
        self._relations = [r for r, fanout in enumerate(fanouts) if fanout != 0]
        self._types = sorted({pools._ends[r][1] for r in self._relations})

    def draw(self, tag: int, key: int) -> list[ops.Drawn]:
        part = self._pools._graph.part
        types = self._types
        split = {
            t: ops.split_by_owner(self._nodes[t], part.place[t], part.starts[t]) for t in types
        }
        wanted = [split[t].offsets.tolist() for t in types]
        counts = torch.tensor(
            [[at[p + 1] - at[p] for at in wanted] for p in self._ranks], dtype=torch.int64
        ).view(len(self._ranks), len(types))
        keys = torch.full((len(self._ranks), 1), _signed(key))
        # Of each rank, of each type, rows in its part.
        own = [
            [split[t].rows[at[p] : at[p + 1]] for t, at in zip(types, wanted)] for p in self._ranks
        ]
        told, bodies = self._lane.tell(
            tag, torch.cat([keys, counts], 1), self._for_others(own), "ids"
        )
        asked = [
            own[p]
            if p == self._me
            else [bodies[p].take(n, split[t].rows.dtype) for n, t in zip(of_rank[1:], types)]
            for p, of_rank in enumerate(told.tolist())
        ]
        drawn = [self._draw_for(int(told[p, 0]), asked[p]) for p in self._ranks]
        return self._merged(split, self._answer(tag + 1, drawn, counts.tolist()))

    def _for_others(self, of_ranks: list[list[Tensor]]) -> list[list[Tensor]]:
        return [[] if p == self._me else tensors for p, tensors in enumerate(of_ranks)]

    def _draw_for(self, key: int, rows: Sequence[Tensor]) -> list[ops.Drawn]:
        """What a rank's nodes draw from this part's edges, of each relation."""
        pools, part = self._pools, self._pools._graph.part
        of_type = dict(zip(self._types, rows))
        drawn = []
        every = list(pools.pools.values())
        for r in self._relations:
            at = of_type[pools._ends[r][1]]
            nodes = ops.gather_rows(part.ids[pools._ends[r][1]], at)
            indptr, sources, positions = every[r].sample(
                at.to(nodes.dtype), self._fanouts[r], key=ops.relation_key(key % 2**64, r),
                replace=self._replace, node_ids=nodes,
            )  # fmt: skip
            eids = ops.gather_rows(part.edges[r].eids, every[r].eids_at(positions))
            eids = eids.to(pools._eid_dtype[r])
            drawn.append((indptr, sources.to(pools._dtype), eids))
        return drawn

    def _answer(
        self, tag: int, drawn: list[list[ops.Drawn]], wanted: list[list[int]]
    ) -> list[list[_Edges]]:
        """Of each rank, of each relation: degrees, sources and ids of the edges asked for."""
        pools, lane, relations = self._pools, self._lane, self._relations
        own = [
            [(indptr.diff().int(), sources, eids) for indptr, sources, eids in of_rank]
            for of_rank in drawn
        ]
        sizes = [[edges[1].shape[0] for edges in of_rank] for of_rank in own]
        told, bodies = lane.tell(
            tag, torch.tensor(sizes, dtype=torch.int64).view(lane.num_ranks, len(relations)),
            self._for_others([[x for edges in of_rank for x in edges] for of_rank in own]), "edges",
        )  # fmt: skip
        found: list[list[_Edges]] = []
        for p, num_edges in enumerate(told.tolist()):
            if p == self._me:
                found.append(own[p])
                continue
            found.append(
                [
                    (
                        bodies[p].take(
                            wanted[p][self._types.index(pools._ends[r][1])], torch.int32
                        ),
                        bodies[p].take(count, pools._dtype),
                        bodies[p].take(count, pools._eid_dtype[r]),
                    )
                    for r, count in zip(relations, num_edges)
                ]
            )
        return found

    def _merged(
        self,
        split: Mapping[int, ops.SplitIds],
        got: list[list[_Edges]],
    ) -> list[ops.Drawn]:
        """Of each relation the edges in the order of the nodes that they were asked for."""
        merged: list[ops.Drawn] = []
        place = {r: i for i, r in enumerate(self._relations)}
        for r, (_, dst) in enumerate(self._pools._ends):
            if r not in place:
                indptr = torch.zeros(self._nodes[dst].shape[0] + 1, dtype=torch.int64)
                none = torch.empty(0, dtype=self._pools._dtype)
                merged.append((indptr, none, none.to(self._pools._eid_dtype[r])))
                continue
            degrees, sources, eids = (
                torch.cat([of_rank[place[r]][which] for of_rank in got]) for which in range(3)
            )
            indptr = torch.zeros(degrees.shape[0] + 1, dtype=torch.int64)
            torch.cumsum(degrees, 0, out=indptr[1:])
            # The groups are rows of a graph; all edges of row slots[i] are those of node i.
            merged.append(
                ops.sample_neighbors(indptr, sources, split[dst].slots, -1, key=0, eids=eids)
            )
        return merged


def _signed(key: int) -> int:
    """A 64-bit key as an int64 holds it."""
    key %= 2**64
    return key - 2**64 if key >= 2**63 else key
