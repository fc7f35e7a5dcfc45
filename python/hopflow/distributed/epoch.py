"""The epoch of a graph in parts: threads sample and exchange in step with those of other ranks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import hopflow.ops as ops
from hopflow.dataloading.epoch import Plan, RunningEpoch, timed_out

if TYPE_CHECKING:
    from hopflow.distributed.graph import PartitionedGraph


class PartsEpoch(RunningEpoch[Any]):
    """One pass over the seeds; as :class:`hopflow.dataloading.epoch.Epoch`.

    Thread ``w`` of ``W`` makes the batches of steps ``w``, ``w + W`` and so on, in that order and
    through a lane of its own: on every rank the same thread exchanges the same batches in the same
    order. How far it goes ahead depends on the number of batches that the consumer has asked for
    and on nothing else, so ranks that leave a loop after as many batches have exchanged the same.
    A graph has one epoch at a time: the next one ends it.

    Parameters
    ----------
    graph : PartitionedGraph
        The graph.
    plan : Plan
        What fixes the batches.
    position : dict
        ``position["batch"]`` counts the batches yielded, those of all ranks.
    num_workers, prefetch_factor, timeout, worker_init_fn
        As in the loader.
    """

    def __init__(
        self,
        graph: PartitionedGraph,
        plan: Plan,
        position: dict[str, int],
        *,
        num_workers: int,
        prefetch_factor: int,
        timeout: float,
        worker_init_fn: Callable[[int], Any] | None = None,
    ) -> None:
        self._graph, self._plan, self._position = graph, plan, position
        self._num_steps, self._timeout = len(plan.turns), timeout
        self._next = 0  # the step whose batch is yielded next
        self._lock = threading.Lock()  # several threads may consume one epoch
        self._is_closed = False
        graph.settle()  # one epoch at a time: its threads have the lanes for themselves
        graph.open_lanes(1 + num_workers)
        self._shared: _Shared | None = None
        if num_workers > 0 and self._num_steps > 0:
            self._shared = _Shared(num_workers * prefetch_factor)
            threads = [
                threading.Thread(
                    target=_work, args=(self._shared, graph, plan, w, num_workers, worker_init_fn),
                    name="hopflow-worker", daemon=True,
                )
                for w in range(num_workers)
            ]  # fmt: skip
            graph.begin(self._shared.close, threads)

    def next_batch(self) -> Any:
        """The next batch; StopIteration after the last."""
        with self._lock:
            if self._next >= self._num_steps:
                raise StopIteration
            if self._is_closed:
                raise ops.HopflowError("the epoch was closed before its end")
            step, self._next = self._next, self._next + 1
            try:
                if self._shared is None:
                    made = self._plan.prepare(self._plan.turns.number(step))
                else:
                    made = self._shared.take(step, self._timeout)
            except BaseException as error:
                self.close()
                if self._shared is None:
                    self._graph.give_up(error)
                raise
            self._position["batch"] = self._plan.turns.done_after(step)
        return self._plan.mark(made, step)

    def close(self, *, wait: bool = True) -> None:
        """Let the threads end what other ranks count on, and no more."""
        self._is_closed = True
        if self._shared is not None:
            self._shared.close()

    def __del__(self) -> None:
        # The consumer left the loop early and let go of the iterator.
        if hasattr(self, "_shared"):
            self.close(wait=False)


class _Shared:
    """What the consumer and the threads of an epoch share; it outlives the iterator."""

    def __init__(self, ahead: int) -> None:
        self._ahead = ahead
        self._changed = threading.Condition()
        self._asked = 0  # batches that the consumer has asked for
        self._made: dict[int, tuple[Any, BaseException | None]] = {}
        self._is_closed = False

    def may_make(self, step: int) -> bool:
        """Wait until the batch of a step is due; False if it never will be."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or step < self._asked + self._ahead)
            return step < self._asked + self._ahead

    def put(self, step: int, made: Any, error: BaseException | None) -> None:
        with self._changed:
            if not self._is_closed:
                self._made[step] = made, error
            self._changed.notify_all()

    def take(self, step: int, timeout: float) -> Any:
        with self._changed:
            self._asked = max(self._asked, step + 1)
            self._changed.notify_all()
            there = self._changed.wait_for(
                lambda: self._is_closed or step in self._made, timeout or None
            )
            if not there:
                raise timed_out(timeout)
            if self._is_closed:
                raise ops.HopflowError("the epoch was closed before its end")
            made, error = self._made.pop(step)
        if error is not None:
            raise error
        return made

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._made.clear()
            self._changed.notify_all()


def _work(
    shared: _Shared,
    graph: PartitionedGraph,
    plan: Plan,
    number: int,
    count: int,
    init: Callable[[int], Any] | None,
) -> None:
    """Make the batches of one thread."""
    # One batch a thread: the threads are the parallelism.
    ops.set_num_threads(1)
    with graph.in_lane(1 + number):
        for step in range(number, len(plan.turns), count):
            if not shared.may_make(step):
                return
            try:
                if init is not None and step == number:
                    init(number)
                shared.put(step, plan.prepare(plan.turns.number(step)), None)
            except BaseException as error:
                graph.give_up(error)
                shared.put(step, None, error)
                return
