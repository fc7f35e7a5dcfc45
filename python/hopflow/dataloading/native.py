"""The epoch of a built-in sampler on the CPU: native threads make batches ahead of the consumer."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections import deque
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.epoch import Plan, RunningEpoch, list_of
from hopflow.dataloading.packed_batch import PackedBatch
from hopflow.dataloading.read_history import (
    ColumnKey,
    HopKey,
    Prefetched,
    ReadHistory,
    explicit_columns,
    wanted_columns,
)
from hopflow.dataloading.samplers.neighbor_sampler import NeighborSampler
from hopflow.dataloading.samplers.sampler import (
    Blocks,
    BlockSampler,
    MiniBatch,
    by_type,
    note_duplicates,
)
from hopflow.dataloading.side_stream import SideStream
from hopflow.sampling.edge_pools import EdgePools
from hopflow.structure.frame import Column, take_rows


def is_plain(plan: Plan) -> bool:
    """Whether the batches come from a built-in sampler as it is, drawn without weights."""
    if not isinstance(plan.sampler, NeighborSampler):
        return False
    sampler = type(plan.sampler)
    return (
        sampler.sample is BlockSampler.sample
        and sampler.sample_blocks is NeighborSampler.sample_blocks
        and sampler.edges_of is NeighborSampler.edges_of
        and not {"sample", "sample_blocks", "edges_of"} & vars(plan.sampler).keys()
        and plan.sampler.edges_of(plan.graph).is_plain
    )


def delivered(plan: Plan, sampled: ops.SampledTypedBlocks, blocks: Blocks) -> MiniBatch:
    """A built-in sampler's batch as its consumer gets it."""
    sampler: NeighborSampler = plan.sampler  # type: ignore[assignment]
    nodes = sampled.nodes[0]
    is_by_type = plan.indices.is_by_type
    if len(sampled.nodes) == 1 and not is_by_type:  # spares small batches the loops
        if nodes.seed_inverse is not None:
            blocks[-1].seed_inverse = nodes.seed_inverse
        sampler.prefetch(blocks)
        return nodes.input_nodes, nodes.output_nodes, blocks
    schema = plan.graph.schema
    note_duplicates(blocks, schema, sampled, is_by_type)
    sampler.prefetch(blocks)
    seeds = [nodes.output_nodes for nodes in sampled.nodes]
    outputs: Any = seeds[0]
    if is_by_type:  # as they were given: types without a seed are not there
        outputs = {t: ids for t, ids in zip(schema.ntypes, seeds) if ids.shape[0]}
    return by_type(schema, [nodes.input_nodes for nodes in sampled.nodes]), outputs, blocks


# Threads that read a graph must be gone before the interpreter frees it.
_running: weakref.WeakSet[NativeEpoch] = weakref.WeakSet()


def _close_all() -> None:
    for epoch in list_of(_running):
        epoch.close()


def _take_pinned(name: str, column: Column, ids: Tensor) -> Tensor:
    return take_rows(name, column, ids).pin_memory()


@dataclass
class _Copying:
    """A batch whose copy to the device is under way, and what is copied."""

    packed: PackedBatch
    source: PackedBatch
    done: torch.cuda.Event | None


class NativeEpoch(RunningEpoch[MiniBatch]):
    """One pass over the seeds, in order; as :class:`hopflow.dataloading.epoch.Epoch`.

    For a consumer on CUDA the batches are copied there on a stream of their own, one ahead.

    Parameters
    ----------
    plan : Plan
        What fixes the batches; its sampler is a plain :class:`NeighborSampler`.
    position : dict
        ``position["batch"]`` counts the batches yielded, those of all ranks.
    edges : EdgePools
        The edges to draw from.
    num_workers, prefetch_factor, timeout
        As in the loader.
    reads : ReadHistory
        Kept from epoch to epoch.
    cache : ScratchCache
        Likewise.
    """

    def __init__(
        self,
        plan: Plan,
        position: dict[str, int],
        edges: EdgePools,
        *,
        num_workers: int,
        prefetch_factor: int,
        timeout: float,
        reads: ReadHistory,
        cache: ops.ScratchCache,
    ) -> None:
        self._plan, self._position = plan, position
        self._sampler = sampler = cast(NeighborSampler, plan.sampler)
        self._edges = edges
        self._arrays = [x for relation in edges.relations for x in relation[:2]]
        self._reads = reads
        self._learns = num_workers > 0
        self._step = 0  # batches yielded
        self._timeout = timeout
        self._lock = threading.Lock()  # several threads may consume one epoch
        self._num_levels = len(sampler.fanouts)
        self._explicit = explicit_columns(sampler, plan.graph.schema.ntypes)
        # What each request number stands for, and the latest one.
        self._requests: dict[int, tuple[dict[ColumnKey, Prefetched], list[HopKey]]] = {0: ({}, [])}
        self._request = 0
        self._side: SideStream | None = None
        self._ahead: deque[_Copying | Exception | None] = deque()
        self._copied: deque[_Copying] = deque()
        if plan.device != plan.graph.device:
            self._side = SideStream(plan.device)
            ops.set_pool_pinned(plan.device.type == "cuda")
        elif plan.pin_memory:
            ops.set_pool_pinned(True)  # spares most of the copies
        seeds = plan.indices.ids if plan.order is None else plan.indices.ids[plan.order]
        self._loader = ops.TypedBatchLoader(
            edges.relations, edges.num_nodes, seeds.long(), edges.fanouts(sampler.fanouts),
            replace=sampler.replace, idtype=plan.graph.idtype,
            batch_size=plan.batch_size, batches=plan.turns.numbers(), seed=plan.seed,
            epoch=plan.epoch, num_workers=num_workers,
            capacity=max(1, min(num_workers * prefetch_factor, len(plan.turns))), cache=cache,
        )  # fmt: skip
        self._take = _take_pinned if plan.pin_memory else None
        self._memory = self._pointers()
        if not _running:
            atexit.unregister(_close_all)
            atexit.register(_close_all)
        _running.add(self)
        self._ask()

    def next_batch(self) -> MiniBatch:
        """The next batch; StopIteration after the last."""
        # Consumers take turns: what they wait for is made by the workers all the while.
        with self._lock:
            try:
                packed = self._load() if self._side is None else self._load_copied(self._side)
                if packed is not None:
                    batch = self._deliver(packed)
            except BaseException:
                self.close()
                raise
            if packed is None:
                self.close()
                raise StopIteration
            step, self._step = self._step, self._step + 1
            self._position["batch"] = self._plan.turns.done_after(step)
            return cast(MiniBatch, self._plan.mark(batch, step))

    def _pointers(self) -> list[int]:
        return [x.data_ptr() for x in self._arrays]

    def _load(self) -> PackedBatch | None:
        """The next batch, on the CPU."""
        if self._explicit and not self._learns:
            self._ask()  # without workers the batch is made now: with the columns as they are now
        if self._pointers() != self._memory:
            raise ops.HopflowError(
                "the graph's arrays were moved while the epoch was under way (share_memory_(), or"
                " sent to another process); iterate the loader again"
            )
        if torch.is_inference_mode_enabled():
            # What a batch brings along may be trained on later, wherever it is delivered.
            with torch.inference_mode(False):
                loaded = self._loader.next(self._timeout)
        else:
            loaded = self._loader.next(self._timeout)
        if loaded is None:
            return None
        self._plan.times.add_batch(loaded.times)
        wanted, hops = self._requests[loaded.request]
        for old in [n for n in self._requests if n < loaded.request]:
            del self._requests[old]
        columns = {key: (was, rows) for (key, was), rows in zip(wanted.items(), loaded.columns)}
        packed = PackedBatch(loaded.blocks, columns, dict(zip(hops, loaded.transposes)))
        if not self._plan.pin_memory:
            return packed
        with self._plan.times.stage("copying"):
            return packed.map(Tensor.pin_memory)

    def _load_copied(self, side: SideStream) -> PackedBatch | None:
        """The next batch on the consumer's device; the copy of the one after it is begun."""
        while len(self._ahead) < 2 and all(isinstance(x, _Copying) for x in self._ahead):
            self._ahead.append(self._begin_copy(side))
        copying = self._ahead.popleft()
        if isinstance(copying, Exception):
            raise copying
        if copying is None:
            self._ahead.append(None)
            return None
        side.hand_over(copying.packed.tensors(), copying.done)
        # The loader's buffers are reused once they are let go of, so not before they are copied.
        self._copied.append(copying)
        while self._copied:
            done = self._copied[0].done
            if done is not None and not done.query():  # type: ignore[no-untyped-call]
                if len(self._copied) <= 2:
                    break
                done.synchronize()
            self._copied.popleft()
        return copying.packed

    def _begin_copy(self, side: SideStream) -> _Copying | Exception | None:
        try:
            packed = self._load()
            if packed is None:
                return None

            def copy(x: Tensor) -> Tensor:
                return x.to(self._plan.device, non_blocking=True)

            with self._plan.times.stage("copying"), side.use():
                copied = packed.map(copy)
                copied.mark(self._edges)
                return _Copying(copied, packed, side.mark())
        except Exception as error:
            # It belongs to a later batch than the one that the consumer is about to get.
            return error

    def _deliver(self, packed: PackedBatch) -> MiniBatch:
        reads = self._reads if self._learns else None
        parent = self._sampler.parent_of(self._plan.graph)
        blocks = packed.blocks(parent, self._edges, reads, self._take)
        if self._learns:
            self._reads.deliver(blocks)
            self._ask()
        return delivered(self._plan, packed.sampled, blocks)

    def _ask(self) -> None:
        """Ask the batches to come for what this one's consumer is likely to read."""
        keys = [*self._explicit, *(self._reads.columns() if self._learns else ())]
        hops = self._reads.transposes() if self._learns else []
        hops = [key for key in hops if key[0] < self._num_levels]
        wanted = {
            key: was
            for key, was in wanted_columns(self._plan.graph, keys, self._num_levels).items()
            if was.source is not None
        }
        before, hops_before = self._requests[self._request]
        same = wanted.keys() == before.keys() and hops == hops_before
        if same and all(before[key] == now for key, now in wanted.items()):
            return
        numbers = {ntype: i for i, ntype in enumerate(self._edges.schema.ntypes)}
        columns = [
            (was.source, numbers[t], level)
            for (level, t, _), was in wanted.items()
            if was.source is not None
        ]
        self._request = self._loader.request(columns, hops)
        self._requests[self._request] = (wanted, hops)

    def close(self, *, wait: bool = True) -> None:
        """End the threads; batches under way are given up."""
        self._loader.close()
        for copying in [*self._ahead, *self._copied]:
            if isinstance(copying, _Copying) and copying.done is not None:
                copying.done.synchronize()
        self._ahead.clear()
        self._copied.clear()

    def __del__(self) -> None:
        # The consumer left the loop early and let go of the iterator.
        if hasattr(self, "_loader"):
            self.close()
