"""A sampled batch on its way to the consumer, with the columns and transposes that go with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.read_history import ColumnKey, Prefetched, ReadHistory
from hopflow.dataloading.sampler import blocks_of
from hopflow.graphs.block import Block, Parent
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Column, Take, read, take_rows


@dataclass
class PackedBatch:
    """A batch on its way: sampled, with what it brings along."""

    sampled: ops.SampledBlocks
    columns: dict[ColumnKey, tuple[Prefetched, Tensor]] = field(default_factory=dict)
    transposes: dict[int, ops.Transpose] = field(default_factory=dict)  # by hop, 0 the seeds'

    def tensors(self) -> list[Tensor]:
        """Every tensor of the batch."""
        sampled = self.sampled
        found = [sampled.input_nodes, sampled.output_nodes, sampled.src_ids]
        found += [] if sampled.seed_inverse is None else [sampled.seed_inverse]
        for hop in sampled.hops:
            found += [hop.indptr, hop.indices, hop.positions]
        found += [rows for _, rows in self.columns.values()]
        for transpose in self.transposes.values():
            found += transpose
        return found

    def map(self, f: Callable[[Tensor], Tensor]) -> PackedBatch:
        """The batch with ``f`` applied to every tensor (a copy to a device)."""
        sampled = self.sampled
        inverse = sampled.seed_inverse
        return PackedBatch(
            ops.SampledBlocks(
                f(sampled.input_nodes),
                f(sampled.output_nodes),
                None if inverse is None else f(inverse),
                f(sampled.src_ids),
                [
                    ops.SampledHop(f(hop.indptr), f(hop.indices), f(hop.positions), hop.num_src)
                    for hop in sampled.hops
                ],
            ),
            {key: (was, f(rows)) for key, (was, rows) in self.columns.items()},
            {h: ops.Transpose(*map(f, t)) for h, t in self.transposes.items()},
        )

    def mark(self, adjacency: Adjacency) -> None:
        """Spare arrays that are right by construction checks on CUDA."""
        self.sampled.mark(adjacency.num_dst, adjacency.num_edges)
        for h, transpose in self.transposes.items():
            num_dst = self.sampled.hops[h].indptr.shape[0] - 1
            ops.mark_csc(transpose.t_indptr, transpose.t_rows, transpose.t_positions, num_dst)

    def blocks(
        self,
        parent: Parent,
        adjacency: Adjacency,
        reads: ReadHistory | None,
        gather: Take | None = None,
    ) -> list[Block]:
        """The blocks. What they read of the graph's columns is noted in ``reads``, if given.

        ``gather`` reads what is not brought along (:func:`take_rows`). Neither the epoch nor its
        threads are kept alive by them.
        """
        ready = dict(self.columns)

        def take(level: int) -> Take:
            def rows_of(name: str, column: Column, ids: Tensor) -> Tensor:
                key = (level, name)
                if ops.is_compiling():
                    # A gather of the compiled graph's own: what is counted and compared below
                    # differs from batch to batch, and each batch would be compiled anew.
                    return (gather or take_rows)(name, column, ids)
                if reads is not None:
                    reads.note_read(key)
                # Taken once: two columns of one batch must not share their memory.
                was, rows = ready.pop(key, (None, None))
                if was is None or rows is None:
                    return (gather or take_rows)(name, column, ids)
                if not was.still_is(read(column)):
                    if reads is not None:
                        reads.note_change(key)
                    return (gather or take_rows)(name, column, ids)
                return rows

            return rows_of

        blocks = blocks_of(parent, adjacency, self.sampled, take)
        for hop, transpose in self.transposes.items():
            blocks[-1 - hop].adjacency.keep_transpose(transpose)
        return blocks
