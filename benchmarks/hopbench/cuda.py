"""Timing on a CUDA device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch

from hopbench.case import LEAST_SECONDS, Task, Unavailable
from hopbench.engines import SKIP


def device() -> torch.device:
    """The device; raises Unavailable, with the reason, where hopflow has none."""
    from hopflow import ops

    if not ops.cuda_is_built():
        raise Unavailable("hopflow was built without CUDA")
    if not torch.cuda.is_available():
        raise Unavailable(f"no CUDA device: {ops.cuda_devices()[1] or 'torch has no CUDA'}")
    return torch.device("cuda", torch.cuda.current_device())


def synchronize(where: torch.device) -> None:
    """Wait for all that was started on the device."""
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def timed_cuda(
    run: Callable[[], Any], work: Mapping[str, float] | None, where: torch.device
) -> Task:
    """A task of one callable that starts work on the device; timed between CUDA events.

    Calls follow each other without a wait, so that the device never runs dry: what is timed is the
    device's time, or the host's where that is longer.
    """
    calls = 0

    def seconds(count: int) -> float:
        if where.type != "cuda":
            start = time.perf_counter()
            for _ in range(count):
                run()
            return time.perf_counter() - start
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        synchronize(where)
        begin.record()
        for _ in range(count):
            run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3

    def measure() -> float:
        nonlocal calls
        if not calls:  # the first measurement is the warm-up, which also counts the calls
            seconds(3)
            calls = max(1, math.ceil(LEAST_SECONDS / max(seconds(3) / 3, 1e-9)))
        return seconds(calls) / calls

    return Task(run, measure, work or {})


def stream_cuda(
    batches: Iterable[Any],
    count: int,
    consume: Callable[[Any], Any],
    work: Mapping[str, float],
    where: torch.device,
) -> Task:
    """A task over a loader: seconds a batch in mid-stream, until the device is done with them."""

    def take(iterator: Iterator[Any], number: int) -> None:
        for _ in range(number):
            consume(next(iterator))
        synchronize(where)

    def measure() -> float:
        iterator = iter(batches)
        take(iterator, SKIP)
        start = time.perf_counter()
        take(iterator, count)
        return (time.perf_counter() - start) / count

    return Task(lambda: take(iter(batches), count), measure, work)
