"""A sampled batch on its way to the consumer, with the columns and transposes that go with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.read_history import ColumnKey, HopKey, Prefetched, ReadHistory
from hopflow.dataloading.samplers.sampler import blocks_of
from hopflow.graphs.block import Block, Parent
from hopflow.sampling.edge_pools import EdgePools
from hopflow.structure.frame import Column, Take, take_rows


class _Rows:
    """Rows of the columns of one side of a block: those brought along, or gathered now."""

    __slots__ = ("_gather", "_level", "_ntype", "_reads", "_ready")

    def __init__(
        self,
        level: int,
        ntype: str,
        ready: dict[ColumnKey, tuple[Prefetched, Tensor]],
        reads: ReadHistory | None,
        gather: Take,
    ) -> None:
        self._level, self._ntype, self._ready = level, ntype, ready
        self._reads, self._gather = reads, gather

    def is_at_hand(self, name: str) -> bool:
        """Whether rows of a column were brought along."""
        return (self._level, self._ntype, name) in self._ready

    def __call__(self, name: str, column: Column, ids: Tensor) -> Tensor:
        key = (self._level, self._ntype, name)
        if ops.is_compiling():
            # A gather of the compiled graph's own: what is counted and compared below differs from
            # batch to batch, and each batch would be compiled anew.
            return self._gather(name, column, ids)
        if self._reads is not None:
            self._reads.note_read(key)
        # Taken once: two columns of one batch must not share their memory.
        was, rows = self._ready.pop(key, (None, None))
        if was is None or rows is None:
            return self._gather(name, column, ids)
        if not was.still_is(column):
            if self._reads is not None:
                self._reads.note_change(key)
            return self._gather(name, column, ids)
        return rows


@dataclass
class PackedBatch:
    """A batch on its way: sampled, with what it brings along."""

    sampled: ops.SampledTypedBlocks
    columns: dict[ColumnKey, tuple[Prefetched, Tensor]] = field(default_factory=dict)
    transposes: dict[HopKey, ops.Transpose] = field(default_factory=dict)

    def tensors(self) -> list[Tensor]:
        """Every tensor of the batch."""
        found: list[Tensor] = []
        for nodes in self.sampled.nodes:
            found += [x for x in nodes if x is not None]
        for hop in self.sampled.hops:
            for edges in hop.relations:
                found += edges
        found += [rows for _, rows in self.columns.values()]
        for transpose in self.transposes.values():
            found += transpose
        return found

    def map(self, f: Callable[[Tensor], Tensor]) -> PackedBatch:
        """The batch with ``f`` applied to every tensor (a copy to a device)."""
        return PackedBatch(
            ops.SampledTypedBlocks(
                [
                    ops.TypedNodes(*(None if x is None else f(x) for x in nodes))  # type: ignore[arg-type]
                    for nodes in self.sampled.nodes
                ],
                [
                    ops.TypedHop(
                        [ops.RelationHop(*map(f, edges)) for edges in hop.relations], hop.num_src
                    )
                    for hop in self.sampled.hops
                ],
            ),
            {key: (was, f(rows)) for key, (was, rows) in self.columns.items()},
            {key: ops.Transpose(*map(f, t)) for key, t in self.transposes.items()},
        )

    def mark(self, edges: EdgePools) -> None:
        """Spare arrays that are right by construction checks on CUDA."""
        self.sampled.mark(edges.relations, edges.num_nodes)
        for (hop, relation), transpose in self.transposes.items():
            num_dst = self.sampled.hops[hop].relations[relation].indptr.shape[0] - 1
            ops.mark_csc(transpose.t_indptr, transpose.t_rows, transpose.t_positions, num_dst)

    def blocks(
        self,
        parent: Parent,
        edges: EdgePools,
        reads: ReadHistory | None,
        gather: Take | None = None,
    ) -> list[Block]:
        """The blocks. What they read of the graph's columns is noted in ``reads``, if given.

        ``gather`` reads what is not brought along (:func:`take_rows`). Neither the epoch nor its
        threads are kept alive by them.
        """
        ready = dict(self.columns)

        def take(level: int, ntype: str) -> Take:
            return _Rows(level, ntype, ready, reads, gather or take_rows)

        blocks = blocks_of(parent, edges, self.sampled, take)
        for (hop, number), transpose in self.transposes.items():
            relation = parent.schema.relations[number]
            blocks[-1 - hop].relation(relation).adjacency.keep_transpose(transpose)
        return blocks
