"""One pass of the loader: what fixes its batches, and the iterator that prepares them ahead."""

from __future__ import annotations

import itertools
import threading
import weakref
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any, NoReturn, Protocol, TypeVar

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.indices import Indices
from hopflow.dataloading.report import LoaderTimes, is_profiling, profiled
from hopflow.dataloading.turns import Turns
from hopflow.graphs.graph import Graph
from hopflow.sampling import random as rng

_Item = TypeVar("_Item")


def list_of(items: weakref.WeakSet[_Item]) -> list[_Item]:
    """The members of a weak set to which other threads may add."""
    while True:
        try:
            return list(items)
        except RuntimeError:  # it changed meanwhile
            continue


class AnySampler(Protocol):
    """What the loader needs of a sampler."""

    def sample(self, g: Graph, seed_nodes: Any, /) -> Any:
        """Sample one mini-batch."""


def move(batch: Any, device: torch.device) -> Any:
    """A sampler's batch with every tensor and graph in it on a device."""
    return _map(batch, lambda x: x.to(device))


def pinned(batch: Any) -> Any:
    """A sampler's batch with every tensor and graph in it copied to page-locked memory."""
    return _map(batch, lambda x: _pin_graph(x) if isinstance(x, Graph) else x.pin_memory())


def _pin_graph(graph: Graph) -> Graph:
    # Not pin_memory_(), which locks the arrays where they are: those are the parent graph's.
    return graph.with_frames(
        lambda edges: edges.map(Tensor.pin_memory),
        lambda frame: frame.map(Tensor.pin_memory, graph.device),
    )


def _map(batch: Any, f: Callable[[Any], Any]) -> Any:
    if isinstance(batch, (Tensor, Graph)):
        return f(batch)
    if isinstance(batch, dict):
        return {key: _map(value, f) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        mapped = [_map(value, f) for value in batch]
        if hasattr(batch, "_fields"):  # a named tuple
            return type(batch)(*mapped)
        return type(batch)(mapped)
    return batch


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that fixes the batches of an epoch; worker threads hold this and nothing else."""

    graph: Graph
    sampler: AnySampler
    device: torch.device
    indices: Indices  # seeds, in the loader's order
    order: Tensor | None  # the epoch's permutation of them; None: as they come
    batch_size: int
    seed: int
    epoch: int
    turns: Turns
    pin_memory: bool = False  # of batches on the CPU
    times: LoaderTimes = field(default_factory=LoaderTimes, compare=False)

    def prepare(self, batch: int) -> Any:
        """Make one batch: a function of the plan and the batch's number."""
        rows = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        # A copy either way: a sampler may do what it likes with its seeds.
        ids = self.indices.ids
        ids = ids[rows].clone() if self.order is None else ids[self.order[rows]]
        seeds = move(self.indices.split(ids), self.graph.device)
        try:
            with self.times.stage("sampling"), rng.batch_stream(self.seed, self.epoch, batch):
                made = self.sampler.sample(self.graph, seeds)
        except StopIteration as error:
            # It would end the consumer's loop as if the epoch were over (cf. PEP 479).
            raise RuntimeError(f"the sampler raised StopIteration in batch {batch}") from error
        if self.device != self.graph.device or self.pin_memory:
            with self.times.stage("copying"):
                is_here = self.device == self.graph.device
                made = pinned(made) if is_here else move(made, self.device)
        self.times.add_made()
        return made

    def mark(self, batch: Any, step: int) -> Any:
        """Note on a batch's graphs what it counts for among those of all ranks; returns it."""
        if self.turns.num_ranks > 1:
            weight = self.turns.loss_weight(step, len(self.indices), self.batch_size)
            is_padding = self.turns.is_padding(step)

            def note(x: Any) -> Any:
                if isinstance(x, Graph) and x is not self.graph:
                    x.is_padding, x.loss_weight = is_padding, weight
                return x

            _map(batch, note)
        return batch


class RunningEpoch(Iterator[_Item]):
    """Base of the loader's iterators: threads and locks stay where they are."""

    _plan: Plan

    def __next__(self) -> _Item:
        """The next batch; what it is waited for is counted."""
        begin, is_batch = perf_counter_ns(), False
        try:
            if is_profiling():
                with profiled("hopflow: wait for a batch"):
                    batch = self.next_batch()
            else:
                batch = self.next_batch()
            is_batch = True
        finally:
            self._plan.times.asked(begin, perf_counter_ns(), is_batch)
        return batch

    @abstractmethod
    def next_batch(self) -> _Item:
        """The next batch; StopIteration after the last."""

    @abstractmethod
    def close(self, *, wait: bool = True) -> None:
        """Give up what is under way; with ``wait``, see the threads end."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an epoch under way cannot be copied or pickled; copy its DataLoader, and take"
            " state_dict() along to go on in the middle of an epoch"
        )


class _Workers:
    """What the threads of an epoch do: begin once, then make batches."""

    def __init__(self, plan: Plan, init: Callable[[int], Any] | None) -> None:
        self._plan, self._init = plan, init
        self._numbers = itertools.count()
        self._failure: BaseException | None = None

    def begin(self) -> None:
        # One batch a thread: the threads are the parallelism.
        ops.set_num_threads(1)
        if self._init is None:
            return
        try:
            self._init(next(self._numbers))
        except BaseException as error:  # for the consumer; the pool would only say that it broke
            self._failure = error

    def prepare(self, batch: int) -> Any:
        if isinstance(self._failure, StopIteration):  # as in Plan.prepare
            raise RuntimeError("worker_init_fn raised StopIteration") from self._failure
        if self._failure is not None:
            raise self._failure
        return self._plan.prepare(batch)


def timed_out(seconds: float) -> RuntimeError:
    """What to raise for a batch that was waited for too long, in the words of torch's loader."""
    return RuntimeError(f"DataLoader timed out after {seconds:g} seconds")


class Epoch(RunningEpoch[Any]):
    """One pass over the seeds: yields batches in order, prepared here or by worker threads.

    Parameters
    ----------
    plan : Plan
        What fixes the batches.
    position : dict
        ``position["batch"]`` counts the batches yielded, those of all ranks; shared with the
        loader's ``state_dict``.
    num_workers, prefetch_factor, timeout, worker_init_fn
        As in the loader.
    """

    def __init__(
        self,
        plan: Plan,
        position: dict[str, int],
        *,
        num_workers: int,
        prefetch_factor: int,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
    ) -> None:
        self._plan = plan
        self._position = position
        self._num_steps = len(plan.turns)
        self._next = self._submitted = 0
        self._ahead = num_workers * prefetch_factor
        self._timeout = timeout
        self._workers = _Workers(plan, worker_init_fn)
        self._pending: deque[Future[Any]] = deque()
        self._lock = threading.Lock()  # several threads may consume one epoch
        self._is_closed = False
        self._pool: ThreadPoolExecutor | None = None
        if num_workers > 0 and self._num_steps > 0:
            self._pool = ThreadPoolExecutor(
                num_workers,
                thread_name_prefix="hopflow-worker",
                initializer=self._workers.begin,
            )

    def next_batch(self) -> Any:
        """The next batch; StopIteration after the last."""
        with self._lock:
            is_over = self._next >= self._num_steps
            if not is_over:
                if self._is_closed:
                    raise ops.HopflowError("the epoch was closed before its end")
                step, self._next = self._next, self._next + 1
                self._submit()
                future = self._pending.popleft() if self._pool is not None else None
                self._submit()
        if is_over:
            self.close()
            raise StopIteration
        if self._timeout and future is not None and not wait([future], self._timeout).done:
            # Not waited for: whatever holds the batch up goes on holding its thread.
            self.close(wait=False)
            raise timed_out(self._timeout)
        try:
            if future is None:
                prepared = self._plan.prepare(self._plan.turns.number(step))
            else:
                prepared = future.result()
        except BaseException:
            self.close()
            raise
        with self._lock:
            done = self._plan.turns.done_after(step)
            self._position["batch"] = max(self._position["batch"], done)
        return self._plan.mark(prepared, step)

    def _submit(self) -> None:
        """Keep the workers busy; called with the lock held."""
        if self._pool is None:
            return
        while len(self._pending) < self._ahead and self._submitted < self._num_steps:
            batch = self._plan.turns.number(self._submitted)
            self._pending.append(self._pool.submit(self._workers.prepare, batch))
            self._submitted += 1

    def close(self, *, wait: bool = True) -> None:
        """Cancel what is not started and end the threads; with ``wait``, see them end."""
        with self._lock:
            self._is_closed = True
            pool, self._pool = self._pool, None
            self._pending.clear()
        if pool is not None:
            pool.shutdown(wait=wait, cancel_futures=True)

    def __del__(self) -> None:
        # The consumer left the loop early and let go of the iterator. The collector may run in any
        # thread, one of our own among them, so nothing is waited for.
        if hasattr(self, "_pool"):
            self.close(wait=False)
