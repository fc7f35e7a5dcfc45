"""Batches prepared ahead of their consumer by native threads, which never hold Python's lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._place import check_ids
from hopflow.ops._shapes import as_int, as_int32, require_ids
from hopflow.ops.blocks import BlockArrays, SampledBlocks
from hopflow.ops.csc import Transpose
from hopflow.ops.disk_rows import DiskRows
from hopflow.ops.encoded_rows import EncodedRows
from hopflow.ops.pool import empty
from hopflow.ops.relations import (
    Relation,
    SampledTypedBlocks,
    require_fanouts,
    require_relations,
)

RowSource: TypeAlias = Tensor | DiskRows | EncodedRows
"""What rows of a column are gathered from."""

ScratchCache = _native.ScratchCache
"""Memory that the workers of one graph's loaders keep from epoch to epoch (4 bytes a node each, up
to 2^26 nodes in all types)."""


class BatchTimes(NamedTuple):
    """What a batch took in the thread that made it, in nanoseconds.

    Attributes
    ----------
    sampling : int
        Drawing and renumbering.
    gathering : int
        Columns in memory.
    reading : int
        Columns on disk.
    transposing : int
        Edges by source.
    """

    sampling: int
    gathering: int
    reading: int
    transposing: int


class LoadedBatch(NamedTuple):
    """A batch and what was requested with it.

    Attributes
    ----------
    blocks : SampledBlocks
        Its hops.
    request : int
        Number of the request that it answers.
    columns : list of Tensor
        Rows of each requested column.
    transposes : list of Transpose
        Out-edges of each requested hop.
    times : BatchTimes
        What it took in the thread that made it.
    """

    blocks: SampledBlocks
    request: int
    columns: list[Tensor]
    transposes: list[Transpose]
    times: BatchTimes


class LoadedTypedBatch(NamedTuple):
    """A batch of a graph of several node types and relations, and what was requested with it.

    Attributes
    ----------
    blocks : SampledTypedBlocks
        Its hops.
    request : int
        Number of the request that it answers.
    columns : list of Tensor
        Rows of each requested column.
    transposes : list of Transpose
        Out-edges of each requested relation in a hop.
    times : BatchTimes
        What it took in the thread that made it.
    """

    blocks: SampledTypedBlocks
    request: int
    columns: list[Tensor]
    transposes: list[Transpose]
    times: BatchTimes


class _Epoch:
    """The native loader, and the columns that its threads may be reading."""

    def __init__(
        self,
        relations: Sequence[tuple[Tensor, Tensor, int, int]],
        num_nodes: list[int],
        seeds: Tensor,
        fanouts: list[list[int]],
        *,
        replace: bool,
        idtype: torch.dtype,
        batch_size: int,
        batches: Sequence[int],
        seed: int,
        epoch: int,
        num_workers: int,
        capacity: int,
        cache: _native.ScratchCache,
    ) -> None:
        self._native = _native.BatchLoader(
            list(relations), num_nodes, seeds, fanouts, bool(replace), idtype == torch.int64,
            as_int("batch_size", batch_size), list(batches),
            seed % 2**64, epoch % 2**64, as_int32("num_workers", num_workers),
            as_int("capacity", capacity), cache,
        )  # fmt: skip
        # Batches under way may still read the columns of earlier requests.
        self._requested: dict[int, list[tuple[RowSource, int, int]]] = {0: []}
        self._natives: dict[int, list[Any]] = {0: []}

    def _ask(
        self, columns: Sequence[tuple[RowSource, int, int]], transposes: Sequence[tuple[int, int]]
    ) -> int:
        number = max(self._requested) + 1
        # Detached: what a column's owner puts in its place (``x.data = y``) must neither free the
        # memory that the workers read nor change the dtype and shape of rows gathered before.
        self._requested[number] = requested = [
            (x.detach() if isinstance(x, Tensor) else x, type_, level)
            for x, type_, level in columns
        ]
        # What the workers read is kept by these: of encoded rows an alias of the table of its own.
        natives = [
            (x if isinstance(x, Tensor) else x.native, t, level) for x, t, level in requested
        ]
        self._natives[number] = natives
        self._native.set_requests(number, natives, list(transposes))
        return number

    def _take(
        self, timeout: float
    ) -> tuple[BlockArrays, tuple[int, list[Tensor], list[Transpose], BatchTimes]] | None:
        loaded = self._native.next(timeout)
        if loaded is None:
            return None
        arrays, number, columns, transposes, times = loaded
        # Batches are begun in order: none that comes later answers an earlier request.
        for old in [n for n in self._requested if n < number]:
            del self._requested[old], self._natives[old]
        rows = [
            _as_rows(flat, column, _num_rows(arrays, type_, level))
            for flat, (column, type_, level) in zip(columns, self._requested[number])
        ]
        return arrays, (number, rows, [Transpose(*t) for t in transposes], BatchTimes(*times))

    def close(self) -> None:
        """End the threads; what they were doing is given up. Does nothing in a forked child."""
        self._native.close()


def _num_rows(arrays: BlockArrays, type_: int, level: int) -> int:
    nodes, hops = arrays
    return nodes[type_][1].shape[0] if level == 0 else hops[level - 1][1][type_]


def _as_rows(flat: Tensor, column: RowSource, num_rows: int) -> Tensor:
    """Gathered bytes as rows of ``column``."""
    shape = (num_rows, *column.shape[1:])
    if not flat.numel():
        return empty(shape, column.dtype, flat.device)
    return flat.view(column.dtype).view(shape)


class BatchLoader(_Epoch):
    """One epoch: batch ``b`` holds seeds ``b * batch_size`` and following, sampled.

    Parameters
    ----------
    indptr, indices : Tensor
        In-edges of the graph (CSC) on the CPU.
    seeds : Tensor
        Nodes in the order of the epoch, shape [S].
    fanouts : sequence of int
        In-edges kept a node, from the seeds outwards; -1 keeps all.
    replace : bool
        Draw with replacement.
    idtype : torch.dtype
        int32 or int64: dtype of ``input_nodes`` and ``output_nodes``.
    batch_size : int
        Seeds a batch.
    batches : sequence of int
        Numbers of the batches to make, in this order.
    seed, epoch : int
        With the batch's number and the hop, the key of every draw.
    num_workers : int
        Threads, one batch each; 0 makes each batch in the thread that asks for it.
    capacity : int
        Batches made ahead at most.
    cache : ScratchCache
        Shared by the loaders of this graph alone.

    Raises
    ------
    IndexError, TypeError, ValueError
        Seeds that are not nodes of the graph, and other bad arguments.
    """

    def __init__(
        self,
        indptr: Tensor,
        indices: Tensor,
        seeds: Tensor,
        fanouts: Sequence[int],
        *,
        replace: bool,
        idtype: torch.dtype,
        batch_size: int,
        batches: Sequence[int],
        seed: int,
        epoch: int,
        num_workers: int,
        capacity: int,
        cache: _native.ScratchCache,
    ) -> None:
        num_nodes, seeds = indptr.shape[0] - 1, require_ids("seeds", seeds)
        if seeds.dtype != indices.dtype:
            check_ids("seeds", seeds, num_nodes, "number of nodes", everywhere=True)
            seeds = seeds.to(indices.dtype)
        super().__init__(
            [(indptr, indices, 0, 0)], [num_nodes], seeds,
            [[as_int("fanouts", fanout)] for fanout in fanouts], replace=replace, idtype=idtype,
            batch_size=batch_size, batches=batches, seed=seed, epoch=epoch,
            num_workers=num_workers, capacity=capacity, cache=cache,
        )  # fmt: skip

    def request(self, columns: Sequence[tuple[RowSource, int]], transposes: Sequence[int]) -> int:
        """Make the batches not yet begun bring these along.

        Parameters
        ----------
        columns : sequence of (RowSource, int)
            A node column [N, ...] with contiguous rows, and the level whose rows are wanted: 0 for
            the seeds, ``h`` for the nodes that ``h`` hops reach.
        transposes : sequence of int
            Hops, 0 being the seeds'.

        Returns
        -------
        int
            The request's number.
        """
        return self._ask(
            [(column, 0, level) for column, level in columns], [(hop, 0) for hop in transposes]
        )

    def next(self, timeout: float = 0.0) -> LoadedBatch | None:
        """The next batch in order, or None after the last.

        Parameters
        ----------
        timeout : float
            Seconds to wait for it; 0 waits for as long as it takes.

        Raises
        ------
        HopflowError
            The loader was closed, or belongs to the parent of this process.
        RuntimeError
            The batch took longer than ``timeout``.
        """
        loaded = self._take(timeout)
        return None if loaded is None else LoadedBatch(SampledBlocks.of(loaded[0]), *loaded[1])


class TypedBatchLoader(_Epoch):
    """:class:`BatchLoader` on a graph of several node types and relations.

    A batch's blocks are those of :func:`sample_typed_blocks`, with the :func:`relation_key` of each
    relation. A hop in which every relation keeps all edges draws nothing and counts for
    nothing in the keys of those after it.

    Parameters
    ----------
    relations : sequence of Relation
        In-edges by relation, on the CPU.
    num_nodes : sequence of int
        Nodes of each type.
    seeds : Tensor
        Nodes in the order of the epoch, shape [S], int64: of type ``t`` the id plus the number of
        nodes of all types before it.
    fanouts : sequence of sequence of int
        From the seeds outwards, of each hop one for each relation: in-edges kept a node; -1 keeps
        all, 0 none.
    replace, idtype, batch_size, batches, seed, epoch, num_workers, capacity, cache
        As of :class:`BatchLoader`.

    Raises
    ------
    IndexError, TypeError, ValueError
        Seeds that are not nodes of the graph, and other bad arguments.
    """

    def __init__(
        self,
        relations: Sequence[Relation],
        num_nodes: Sequence[int],
        seeds: Tensor,
        fanouts: Sequence[Sequence[int]],
        *,
        replace: bool,
        idtype: torch.dtype,
        batch_size: int,
        batches: Sequence[int],
        seed: int,
        epoch: int,
        num_workers: int,
        capacity: int,
        cache: _native.ScratchCache,
    ) -> None:
        relations, counts = require_relations(relations, num_nodes)
        super().__init__(
            relations, counts, require_ids("seeds", seeds),
            require_fanouts(fanouts, len(relations)), replace=replace, idtype=idtype,
            batch_size=batch_size, batches=batches, seed=seed, epoch=epoch,
            num_workers=num_workers, capacity=capacity, cache=cache,
        )  # fmt: skip

    def request(
        self, columns: Sequence[tuple[RowSource, int, int]], transposes: Sequence[tuple[int, int]]
    ) -> int:
        """Make the batches not yet begun bring these along.

        Parameters
        ----------
        columns : sequence of (RowSource, int, int)
            A column [N, ...] of one node type with contiguous rows, the number of the type, and the
            level whose rows are wanted: 0 for the seeds, ``h`` for the nodes that ``h`` hops reach.
        transposes : sequence of (int, int)
            Hops, 0 being the seeds', and relations.

        Returns
        -------
        int
            The request's number.
        """
        return self._ask(columns, transposes)

    def next(self, timeout: float = 0.0) -> LoadedTypedBatch | None:
        """The next batch in order, or None after the last: see :meth:`BatchLoader.next`."""
        loaded = self._take(timeout)
        if loaded is None:
            return None
        return LoadedTypedBatch(SampledTypedBlocks.of(loaded[0]), *loaded[1])
