"""The epoch of a built-in sampler on CUDA: the device samples and gathers ahead of its consumer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.epoch import Plan, RunningEpoch
from hopflow.dataloading.native import delivered
from hopflow.dataloading.packed_batch import PackedBatch
from hopflow.dataloading.read_history import (
    ColumnKey,
    Prefetched,
    ReadHistory,
    explicit_columns,
    wanted_columns,
)
from hopflow.dataloading.samplers.neighbor_sampler import NeighborSampler
from hopflow.dataloading.samplers.sampler import MiniBatch
from hopflow.dataloading.side_stream import SideStream
from hopflow.graphs.graph import Graph
from hopflow.sampling.edge_pools import EdgePools, in_typed_form
from hopflow.structure.frame import Column, Take, read, take_rows
from hopflow.structure.stored_column import StoredColumn


class FeatureCaches:
    """Rows of node columns in host memory that the GPU keeps copies of.

    Parameters
    ----------
    graph : Graph
        Its columns are cached, for the nodes with the most out-edges: those that sampling meets
        most often.
    sizes : mapping
        As DGL's ``gpu_cache``: ``{"node": {name: rows}}``; none without entries.
    device : torch.device
        Where the copies are kept.
    pins : sequence of Pin
        What keeps the columns readable, as long as anybody may gather through this.

    Raises
    ------
    KeyError
        A column that the graph lacks.
    TypeError, ValueError
        ``sizes`` of another form.
    """

    def __init__(
        self,
        graph: Graph,
        sizes: Mapping[str, Any],
        device: torch.device,
        pins: Sequence[ops.Pin | None] = (),
    ) -> None:
        self._pins = pins
        unknown = set(sizes) - {"node"}
        if unknown:
            raise ValueError(
                f'gpu_cache: expected {{"node": {{name: rows}}}}, got {sorted(unknown)} as well'
            )
        wanted = dict(sizes.get("node", {}))
        self._caches: dict[str, tuple[Prefetched, ops.RowCache]] = {}
        if not wanted:
            return
        degrees = graph.adjacency.out_degrees()
        order = torch.argsort(degrees, descending=True, stable=True)
        for name, rows in wanted.items():
            count = min(ops.as_int(f"gpu_cache: rows of {name!r}", rows), graph.num_nodes())
            if count < 1:
                raise ValueError(f"gpu_cache: expected at least 1 row of {name!r}, got {rows}")
            column = graph.node_frames()[graph.ntypes[0]].column(name)
            was = None if isinstance(column, StoredColumn) else Prefetched.of(column)
            if was is None:
                raise ValueError(
                    f"gpu_cache: column {name!r} cannot be cached; expected a plain tensor with"
                    " contiguous rows that needs no gradient"
                )
            self._caches[name] = was, ops.RowCache(read(column), order[:count], device)

    def gather(self, name: str, column: Column, ids: Tensor) -> Tensor:
        """Rows of a column, through its cache if it has one and has not changed since."""
        was, cache = self._caches.get(name, (None, None))
        if was is None or cache is None or not was.still_is(column):
            return take_rows(name, column, ids)
        return cache.gather(ids)

    def take(self) -> Take | None:
        """What gathers columns that are read later; None where any gather will do."""
        return self.gather if self._caches or self._pins else None

    def hit_rates(self) -> dict[str, float]:
        """Of each column, the share of rows that were found in its cache; waits for the device."""
        return {name: cache.hit_rate() for name, (_, cache) in self._caches.items()}


class DeviceEpoch(RunningEpoch[MiniBatch]):
    """One pass over the seeds, in order; as :class:`hopflow.dataloading.epoch.Epoch`.

    On a stream of their own, batch ``b + 2`` is sampled and the columns of batch ``b + 1`` are
    gathered while the consumer trains on batch ``b``. The host waits once a batch, for its sizes,
    which have usually arrived by then.

    Parameters
    ----------
    plan : Plan
        What fixes the batches; its sampler is a plain :class:`NeighborSampler`.
    position : dict
        ``position["batch"]`` counts the batches yielded, those of all ranks.
    edges : EdgePools
        The edges, of one type, on the device or in pinned host memory.
    reads : ReadHistory
        Kept from epoch to epoch.
    caches : FeatureCaches
        Rows that the device keeps, and what keeps the others readable.
    """

    def __init__(
        self,
        plan: Plan,
        position: dict[str, int],
        edges: EdgePools,
        *,
        reads: ReadHistory,
        caches: FeatureCaches,
    ) -> None:
        self._plan, self._position, self._edges = plan, position, edges
        (self._relation,) = edges.relations
        self._sampler = cast(NeighborSampler, plan.sampler)
        self._fanouts = [hop[0] for hop in edges.fanouts(self._sampler.fanouts)]
        self._num_steps = len(plan.turns)
        self._reads, self._caches = reads, caches
        self._explicit = explicit_columns(self._sampler, plan.graph.schema.ntypes)
        self._lock = threading.Lock()  # several threads may consume one epoch
        self._next = 0  # the step whose batch is sampled next
        self._step = 0  # batches yielded
        self._side = SideStream(plan.device)
        seeds = plan.indices.ids if plan.order is None else plan.indices.ids[plan.order]
        with self._side.use():
            self._seeds = seeds.to(device=plan.device, dtype=self._relation.indices.dtype)
        self._is_begun = False
        # What is done for later batches when one is handed over.
        self._behind: tuple[Callable[[], None], ...] = ()
        self._consumer: torch.cuda.Stream | None = None
        self._started: ops.StartedBlocks | None = None
        self._packed: tuple[PackedBatch, torch.cuda.Event | None] | None = None
        self._failure: Exception | None = None
        # Columns as they were when the side stream last waited for the consumer's.
        self._known: dict[str, Prefetched] = {}

    def next_batch(self) -> MiniBatch:
        """The next batch; StopIteration after the last."""
        with self._lock:
            if not self._is_begun:
                self._is_begun = True
                self._advance(self._start, self._pack)
                self._behind = (self._start, self._pack, self._start)
            if self._failure is not None:
                failure = self._failure
                self.close()
                raise failure
            if self._packed is None:
                if self._step < self._num_steps:
                    raise ops.HopflowError("the epoch was closed before its end")
                raise StopIteration
            packed, done = self._packed
            # What goes wrong from here on belongs to a later batch, and is raised in its place.
            behind, self._behind = self._behind, (self._pack, self._start)
            self._advance(*behind)
            self._side.hand_over(packed.tensors(), done)
            parent = self._sampler.parent_of(self._plan.graph)
            blocks = packed.blocks(parent, self._edges, self._reads, self._caches.take())
            self._reads.deliver(blocks)
            step, self._step = self._step, self._step + 1
            self._position["batch"] = self._plan.turns.done_after(step)
            batch = delivered(self._plan, packed.sampled, blocks)
            return cast(MiniBatch, self._plan.mark(batch, step))

    def _advance(self, *steps: Callable[[], None]) -> None:
        try:
            self._consumer = self._side.consumer()
            with self._side.use(), torch.inference_mode(False):
                for step in steps:
                    step()
        except Exception as error:
            self._failure = error

    def _start(self) -> None:
        """Begin to sample the next batch."""
        self._started = None
        if self._next >= self._num_steps:
            return
        batch, self._next = self._plan.turns.number(self._next), self._next + 1
        size = self._plan.batch_size
        keys, hop = [], 0
        for fanout in self._fanouts:
            keys.append(ops.stream_key(self._plan.seed, self._plan.epoch, batch, hop))
            hop += fanout >= 0  # a hop that keeps all edges draws nothing
        self._started = ops.start_blocks(
            self._relation.indptr, self._relation.indices,
            self._seeds[batch * size : (batch + 1) * size], self._fanouts,
            keys=keys, replace=self._sampler.replace, idtype=self._plan.graph.idtype,
        )  # fmt: skip

    def _pack(self) -> None:
        """Take the batch that was begun and gather what goes with it."""
        self._packed = None
        if self._started is None:
            return
        sampled = self._started.finish()
        keys = [*self._explicit, *self._reads.columns()]
        columns: dict[ColumnKey, tuple[Prefetched, Tensor]] = {}
        wanted = wanted_columns(self._plan.graph, keys, len(self._fanouts))
        now = {name: was for (_, _, name), was in wanted.items()}
        if any(self._known.get(name) != was for name, was in now.items()):
            # The kernel that wrote a new column may still be under way. Not for every batch: it
            # would put an end to the overlap.
            self._side.wait_for(self._consumer)
            self._known = now
        for key, was in wanted.items():
            level, _, name = key
            ids = ops.first_ids(sampled.src_ids, _num_nodes(sampled, level))
            columns[key] = (was, self._caches.gather(name, was.column, ids))
        transposes = {}
        for h, relation in self._reads.transposes():
            if h < len(sampled.hops):
                hop = sampled.hops[h]
                transposes[h, relation] = ops.transpose_csc(hop.indptr, hop.indices, hop.num_src)
        packed = PackedBatch(in_typed_form(sampled), columns, transposes)
        self._packed = packed, self._side.mark()

    def close(self, *, wait: bool = True) -> None:
        """Give up the batches under way."""
        self._started = self._packed = self._failure = None
        self._next = self._num_steps
        # The graph may be freed from here on, but not before what reads it on the side stream.
        self._side.join()

    def __del__(self) -> None:
        # The consumer left the loop early and let go of the iterator.
        if hasattr(self, "_side"):
            self._side.join()


def _num_nodes(sampled: ops.SampledBlocks, level: int) -> int:
    return sampled.output_nodes.shape[0] if level == 0 else sampled.hops[level - 1].num_src
