"""Where the time of an epoch goes: waiting, sampling, gathering, reading, copying."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import perf_counter_ns
from typing import Any

import torch
from torch.autograd import _profiler_enabled  # type: ignore[attr-defined]

import hopflow.ops as ops
from hopflow.storage.memory import available_memory
from hopflow.storage.sizes import size_text

STAGES = ("sampling", "gathering", "reading", "transposing", "copying")
"""What is done to make a batch: edges drawn and renumbered (of samplers in Python: all that
``sample`` does); columns gathered from memory; columns read from disk; edges grouped by source for
the backward pass; copies to page-locked memory or to a GPU begun."""

_SECONDS = 1e-9
# Below this share of the time nobody looks for a way to wait less.
_LITTLE = 0.05


class LoaderTimes:
    """Sums over the batches of an epoch, in nanoseconds; several threads may add to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages = dict.fromkeys(STAGES, 0)
        self._batches = self._waited = self._made = 0
        self._begin: int | None = None
        self._end: int | None = None

    def add(self, stage: str, nanoseconds: int) -> None:
        """Add to a stage."""
        with self._lock:
            self._stages[stage] += nanoseconds

    def add_batch(self, times: ops.BatchTimes) -> None:
        """Add what a batch of the native threads took."""
        with self._lock:
            stages = self._stages
            stages["sampling"] += times.sampling
            stages["gathering"] += times.gathering
            stages["reading"] += times.reading
            stages["transposing"] += times.transposing
            self._made += 1

    def add_made(self) -> None:
        """Count a batch of which all stages were added one by one."""
        with self._lock:
            self._made += 1

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that the body takes."""
        begin = perf_counter_ns()
        try:
            yield
        finally:
            self.add(name, perf_counter_ns() - begin)

    def asked(self, begin: int, end: int, is_batch: bool) -> None:
        """The consumer asked at ``begin`` and got a batch, or heard of the end, at ``end``."""
        with self._lock:
            if self._begin is None:
                self._begin = begin
            self._end = end
            self._waited += end - begin
            self._batches += is_batch

    def report(self, num_workers: int) -> LoaderReport:
        """The sums as they are now."""
        with self._lock:
            begin, end = self._begin or 0, self._end or 0
            stages: dict[str, Any] = {
                name: value * _SECONDS for name, value in self._stages.items()
            }
            return LoaderReport(
                batches=self._batches,
                seconds=(end - begin) * _SECONDS,
                waiting=self._waited * _SECONDS,
                num_workers=num_workers,
                made=self._made,
                **stages,
            )


@dataclass(frozen=True)
class LargerCache:
    """A cache in front of a column on disk with which batches would read less.

    Attributes
    ----------
    column : str
        The column, "type.column" where there are several types.
    memory, hit_rate : int, float
        Its bytes, and the share of a batch's rows that it would have.
    present_memory, present_hit_rate : int, float
        The same of the cache that there is.
    """

    column: str
    memory: int
    hit_rate: float
    present_memory: int
    present_hit_rate: float


@dataclass(frozen=True, kw_only=True)
class LoaderReport:
    """Where the time of an epoch went, as far as it has come.

    Attributes
    ----------
    batches : int
        Batches delivered.
    seconds : float
        From when the first batch was asked for to when the last one was there.
    waiting : float
        Of these, seconds in which the consumer waited for a batch. The rest it worked.
    sampling, gathering, reading, transposing, copying : float
        Seconds that the making of batches took in each stage (:data:`STAGES`), of all workers
        together: with several workers their sum may be larger than ``seconds``. The native threads
        wait for the disk without using a processor.
    num_workers : int
        Threads that made batches; 0: the consumer itself, for which making them is waiting.
    made : int
        Batches that the stages are the sums of: those delivered, and of samplers in Python those
        that were made ahead too; 0 where a GPU makes them.
    cache_is_filling : bool
        Where batches wait for a disk: whether its cache has room left, and will have more rows.
    larger_cache : LargerCache or None
        Where batches wait for a disk: the cache that would halve the waiting, if it is known how
        likely rows are wanted (from :func:`hopflow.plan` or :meth:`DataLoader.keep_expected_rows`).
    """

    batches: int
    seconds: float
    waiting: float
    sampling: float
    gathering: float
    reading: float
    transposing: float
    copying: float
    num_workers: int
    made: int = 0
    cache_is_filling: bool = False
    larger_cache: LargerCache | None = None

    @property
    def waiting_share(self) -> float:
        """Share of the time in which the consumer waited."""
        return self.waiting / self.seconds if self.seconds else 0.0

    @property
    def slowest_stage(self) -> str:
        """The stage that took most."""
        return max(STAGES, key=lambda stage: float(getattr(self, stage)))

    def to_dict(self) -> dict[str, Any]:
        """The attributes as plain values."""
        return {**asdict(self), "waiting_share": self.waiting_share}

    def __str__(self) -> str:
        if not self.batches:
            return "no batch was delivered yet"
        lines = [
            f"{self.batches} batches in {self.seconds:.3g} s: {self._each(self.seconds)} a batch,"
            f" of which the consumer waited {self._each(self.waiting)}"
            f" ({100 * self.waiting_share:.0f} %)"
        ]
        lines += [
            f"  {stage:<11} {self._each(seconds)} a batch"
            for stage in STAGES
            if (seconds := float(getattr(self, stage))) > 0
        ]
        return "\n".join([*lines, self.advice])

    def _each(self, seconds: float) -> str:
        return f"{1e3 * seconds / self.batches:.3g} ms"

    @property
    def advice(self) -> str:
        """One sentence: what bounds the epoch, and what would help."""
        if not self.batches:
            return "no batch was delivered yet"
        share = f"{100 * self.waiting_share:.0f} %"
        if self.waiting_share < _LITTLE:
            return f"the model is what takes the time: it waits {share} of it for batches"
        if not any(getattr(self, stage) for stage in STAGES):
            return f"the model waits {share} of the time for batches, which are made on the device"
        if self.num_workers == 0:
            return (
                f"the model waits {share} of the time while batches are made: num_workers=1 or more"
                " makes them meanwhile"
            )
        stage = self.slowest_stage
        if stage == "reading" and self.cache_is_filling:
            return (
                f"the model waits {share} of the time, mostly for {stage}: the cache is still"
                " filling, and batches will wait less"
            )
        if stage == "reading" and self.larger_cache is not None:
            return f"the model waits {share} of the time, mostly for {stage}: {self._cache()}"
        why = {
            "sampling": "more workers, as far as there are processors, or a smaller fanout",
            "gathering": "more workers, as far as there are processors, or columns in fewer bits",
            "reading": "a larger cache (hopflow.plan says how large), keep_expected_rows(), more"
            " workers or a faster disk",
            "transposing": "more workers, as far as there are processors,",
            "copying": "columns in fewer bits, or a cache of rows on the GPU (gpu_cache)",
        }[stage]
        return f"the model waits {share} of the time, mostly for {stage}: {why} would help"

    def _cache(self) -> str:
        """What would halve the waiting."""
        found = self.larger_cache
        assert found is not None
        rates = (
            f"{100 * found.hit_rate:.0f} % of the rows in place of"
            f" {100 * found.present_hit_rate:.0f} %"
        )
        if found.memory <= found.present_memory:
            return f"keep_expected_rows() would halve it ({rates})"
        size, now = size_text(found.memory), size_text(found.present_memory)
        than = f"in place of {now}" if found.present_memory else f"for the column {found.column!r}"
        text = f"a cache of {size} {than}, filled by keep_expected_rows(), would halve it ({rates})"
        more = available_memory()
        if more is not None and found.memory - found.present_memory > more:
            text += f"; this machine has {size_text(more)} left"
        return text

    @property
    def misses_for_half(self) -> float | None:
        """To what share rows read from disk must fall for the consumer to wait half as long; None
        where other stages make it wait."""
        if self.slowest_stage != "reading" or self.waiting_share < _LITTLE:
            return None
        # Workers read at the same time.
        share = 1 - self.waiting / 2 * max(1, self.num_workers) / self.reading
        return share if share >= 0 else None


def profiled(name: str) -> Any:
    """A range that ``torch.profiler`` (and NVTX, under ``emit_nvtx``) shows."""
    return torch.autograd.profiler.record_function(name)


def is_profiling() -> bool:
    """Whether a profiler of torch is running: ranges cost microseconds even if none is."""
    return bool(_profiler_enabled())
