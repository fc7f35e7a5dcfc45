"""The epoch of a built-in sampler: native threads make batches, delivery wraps them as blocks."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from hopflow import ops
from hopflow.adjacency import Adjacency
from hopflow.block import Block, Parent
from hopflow.dataloading.epoch import Plan
from hopflow.dataloading.sampler import BlockSampler, MiniBatch, NeighborSampler, blocks_of
from hopflow.frame import Column, Take, read, take_rows

# A column or a transpose goes on being prefetched if one of this many latest batches read it.
_MEMORY = 2

_ColumnKey = tuple[int, str]  # (level, name); level l: the nodes that l hops reach


@dataclass(frozen=True)
class _Prefetched:
    """A column as it was when its prefetch was asked for."""

    tensor: Tensor
    version: int

    @classmethod
    def of(cls, tensor: Tensor) -> _Prefetched | None:
        """None for what only torch can gather, or whose changes cannot be seen."""
        plain = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.device.type == "cpu"
        if not plain or tensor.requires_grad or tensor.is_inference() or tensor.dim() == 0:
            return None
        if not tensor[:1].is_contiguous() or tensor.is_neg() or tensor.is_conj():
            return None
        return cls(tensor, tensor._version)

    def still_is(self, tensor: Tensor) -> bool:
        """Whether the rows gathered are those that would be gathered now."""
        return tensor is self.tensor and tensor._version == self.version


class Habits:
    """What the consumer reads of its batches, so that the next ones can bring it along.

    A module such as ``model(blocks, blocks[0].srcdata["feat"])`` reads the same columns of every
    batch. What one of the latest batches had read is gathered by the worker of the next.
    """

    def __init__(self) -> None:
        self._delivered = 0
        self._columns: dict[_ColumnKey, int] = {}  # the batch that read it last
        self._changing: set[_ColumnKey] = set()
        self._transposes: dict[int, int] = {}
        self._latest: list[weakref.ref[Adjacency]] = []

    def deliver(self, blocks: list[Block]) -> None:
        """Count a batch; look whether the one before needed transposes."""
        for hop, ref in enumerate(self._latest):
            adjacency = ref()
            if adjacency is not None and adjacency.needs_transpose:
                self._transposes[hop] = self._delivered
        self._delivered += 1
        self._latest = [weakref.ref(block.adjacency) for block in reversed(blocks)]

    def note_read(self, key: _ColumnKey) -> None:
        """The consumer read a column."""
        self._columns[key] = self._delivered

    def note_change(self, key: _ColumnKey) -> None:
        """A column changed after it had been gathered: leave it to be gathered when it is read."""
        self._changing.add(key)

    def columns(self) -> list[_ColumnKey]:
        """Columns worth bringing along."""
        return [
            key
            for key, batch in list(self._columns.items())
            if self._delivered - batch <= _MEMORY and key not in self._changing
        ]

    def transposes(self) -> list[int]:
        """Hops whose out-edges are worth bringing along, 0 being the seeds'."""
        return [h for h, batch in self._transposes.items() if self._delivered - batch <= _MEMORY]


def is_native(plan: Plan) -> bool:
    """Whether native threads can make these batches: a built-in sampler, as it is, on the CPU."""
    sampler = type(plan.sampler)
    return (
        issubclass(sampler, NeighborSampler)
        and sampler.sample is BlockSampler.sample
        and sampler.sample_blocks is NeighborSampler.sample_blocks
        and plan.graph.device.type == "cpu"
    )


# Threads that read a graph must be gone before the interpreter frees it.
_running: weakref.WeakSet[NativeEpoch] = weakref.WeakSet()


def _close_all() -> None:
    for epoch in list(_running):
        epoch.close()


class NativeEpoch(Iterator[MiniBatch]):
    """One pass over the seeds, in order; as :class:`hopflow.dataloading.epoch.Epoch`.

    Parameters
    ----------
    plan : Plan
        What fixes the batches; its sampler is a plain :class:`NeighborSampler`.
    position : dict
        ``position["batch"]`` is where to start and counts the batches yielded.
    num_batches : int
        Batches of the whole epoch.
    num_workers, prefetch_factor : int
        As in the loader.
    habits : Habits
        Kept from epoch to epoch.
    cache : ScratchCache
        Likewise.
    """

    def __init__(
        self,
        plan: Plan,
        position: dict[str, int],
        *,
        num_batches: int,
        num_workers: int,
        prefetch_factor: int,
        habits: Habits,
        cache: ops.ScratchCache,
    ) -> None:
        self._plan, self._position = plan, position
        self._sampler = sampler = cast(NeighborSampler, plan.sampler)
        self._adjacency = full = plan.graph.adjacency.full()
        self._habits = habits
        self._learns = num_workers > 0
        self._lock = threading.Lock()  # several threads may consume one epoch
        self._num_levels = len(sampler.fanouts)
        self._explicit: list[_ColumnKey] = [
            *((self._num_levels, name) for name in sampler.prefetch_node_feats),
            *((0, name) for name in sampler.prefetch_labels),
        ]
        # What each request number stands for, and the latest one.
        self._requests: dict[int, tuple[dict[_ColumnKey, _Prefetched], list[int]]] = {0: ({}, [])}
        self._request = 0
        seeds = plan.indices if plan.order is None else plan.indices[plan.order]
        self._loader = ops.BatchLoader(
            full.indptr, full.indices, seeds, sampler.fanouts[::-1],
            replace=sampler.replace, idtype=plan.graph.idtype,
            batch_size=plan.batch_size, first_batch=position["batch"], num_batches=num_batches,
            seed=plan.seed, epoch=plan.epoch, num_workers=num_workers,
            capacity=max(1, num_workers * prefetch_factor), cache=cache,
        )  # fmt: skip
        if not _running:
            atexit.unregister(_close_all)
            atexit.register(_close_all)
        _running.add(self)
        self._ask()

    def __next__(self) -> MiniBatch:
        # Consumers take turns: what they wait for is made by the workers all the while.
        with self._lock:
            try:
                loaded = self._loader.next()
                if loaded is not None:
                    batch = self._wrap(loaded)
            except BaseException:
                self.close()
                raise
            if loaded is None:
                self.close()
                raise StopIteration
            self._position["batch"] += 1
            return batch

    def _wrap(self, loaded: ops.LoadedBatch) -> MiniBatch:
        parent = Parent.of(self._plan.graph)
        wanted, hops = self._requests[loaded.request]
        for old in [n for n in self._requests if n < loaded.request]:
            del self._requests[old]
        ready = {key: (was, rows) for (key, was), rows in zip(wanted.items(), loaded.columns)}

        # Not self: a batch must not keep the epoch and its threads alive.
        habits = self._habits if self._learns else None

        def take(level: int) -> Take:
            def rows_of(name: str, column: Column, ids: Tensor) -> Tensor:
                key = (level, name)
                if habits is not None:
                    habits.note_read(key)
                # Taken once: two columns of one batch must not share their memory.
                was, rows = ready.pop(key, (None, None))
                if was is None or rows is None:
                    return take_rows(name, column, ids)
                if not was.still_is(read(column)):
                    if habits is not None:
                        habits.note_change(key)
                    return take_rows(name, column, ids)
                return rows

            return rows_of

        blocks = blocks_of(parent, self._adjacency, loaded.blocks, take)
        for hop, transpose in zip(hops, loaded.transposes):
            blocks[-1 - hop].adjacency.keep_transpose(transpose)
        if self._learns:
            self._habits.deliver(blocks)
            self._ask()
        self._sampler.prefetch(blocks)
        nodes = loaded.blocks.input_nodes, loaded.blocks.output_nodes
        device = self._plan.device
        if device == self._plan.graph.device:
            return *nodes, blocks
        moved = [cast(Block, block.to(device)) for block in blocks]
        return nodes[0].to(device), nodes[1].to(device), moved

    def _ask(self) -> None:
        """Ask the batches to come for what this one's consumer is likely to read."""
        keys = list(
            dict.fromkeys([*self._explicit, *(self._habits.columns() if self._learns else ())])
        )
        hops = self._habits.transposes() if self._learns else []
        hops = [h for h in hops if h < self._num_levels]
        graph = self._plan.graph
        wanted: dict[_ColumnKey, _Prefetched] = {}
        for key in keys:
            level, name = key
            if level <= self._num_levels and name in graph.ndata:
                column = _Prefetched.of(graph.ndata[name])
                if column is not None:
                    wanted[key] = column
        before, hops_before = self._requests[self._request]
        same = wanted.keys() == before.keys() and hops == hops_before
        if same and all(before[key].still_is(now.tensor) for key, now in wanted.items()):
            return
        columns = [(was.tensor, level) for (level, _), was in wanted.items()]
        self._request = self._loader.request(columns, hops)
        self._requests[self._request] = (wanted, hops)

    def close(self, *, wait: bool = True) -> None:
        """End the threads; batches under way are given up."""
        self._loader.close()

    def __del__(self) -> None:
        # The consumer left the loop early and let go of the iterator.
        if hasattr(self, "_loader"):
            self.close()
