"""Where samplers get their randomness.

Every draw has a 64-bit key made of (seed, epoch, batch, hop). Inside a :class:`DataLoader` the
first three are the batch's coordinates, whichever thread works on it; outside, the seed is drawn
from torch's default generator, so that ``torch.manual_seed`` makes a whole run reproducible.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

import hopflow.ops as ops

_generator: torch.Generator | None = None
_local = threading.local()


def seed(value: int) -> None:
    """Give hopflow a random stream of its own, started at ``value``.

    Without it seeds come from torch's default generator and ``torch.manual_seed`` is all that a
    reproducible run needs. Same as ``dgl.seed``.

    Parameters
    ----------
    value : int
        Any integer; counts modulo 2**64.
    """
    global _generator
    _generator = torch.Generator().manual_seed(ops.as_int("seed", value) % 2**64)


def draw_seed(generator: torch.Generator | None = None) -> int:
    """Draw a seed in [0, 2**63 - 1) from a generator: by default hopflow's, or torch's if that has
    none."""
    drawn_from = _generator if generator is None else generator
    return int(torch.randint(2**63 - 1, (), generator=drawn_from, device="cpu"))


@contextmanager
def batch_stream(seed: int, epoch: int, batch: int) -> Iterator[None]:
    """Key the draws made inside by these coordinates and by their order of appearance (the hop)."""
    outer = getattr(_local, "stream", None)
    _local.stream = [seed, epoch, batch, 0]
    try:
        yield
    finally:
        _local.stream = outer


def batch_coordinates() -> tuple[int, int, int] | None:
    """Seed, epoch and number of the loader's batch that this thread works on; None outside."""
    stream = getattr(_local, "stream", None)
    return None if stream is None else (stream[0], stream[1], stream[2])


def next_key(fanout: int = 1) -> int:
    """The key for the next hop: of the batch at hand, or a fresh one outside a loader.

    A fanout of -1 draws nothing, so it takes nothing from the caller's random stream either.
    """
    if fanout < 0:
        return 0
    stream = getattr(_local, "stream", None)
    if stream is None:
        return ops.stream_key(draw_seed(), 0, 0, 0)
    key = ops.stream_key(*stream)
    stream[3] += 1
    return key
