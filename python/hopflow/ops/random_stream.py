"""Where draws get their randomness.

Every draw has a 64-bit key made of (seed, epoch, batch, hop). Inside a :class:`DataLoader` the
first three are the batch's coordinates, whichever thread works on it; outside, the seed is drawn
from torch's default generator, so that ``torch.manual_seed`` makes a whole run reproducible.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from hopflow.ops._shapes import as_wide_int
from hopflow.ops.sample import stream_key

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
    _generator = torch.Generator().manual_seed(as_wide_int("seed", value) % 2**64)


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
        return stream_key(draw_seed(), 0, 0, 0)
    key = stream_key(*stream)
    stream[3] += 1
    return key


def uniform(key: int, count: int, device: torch.device) -> Tensor:
    """Numbers in [0, 1) that depend on the key and their place alone: the same on every device.

    The top 53 bits of SplitMix64's outputs from the state ``key`` on.

    Parameters
    ----------
    key : int
        Of :func:`next_key`; counts modulo 2**64.
    count : int
        How many.
    device : torch.device
        Where they are made.

    Returns
    -------
    Tensor
        float64, shape [count].

    References
    ----------
    Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    # torch's int64 wraps around as uint64 does, but its shift to the right copies the sign.
    x = torch.arange(1, count + 1, device=device) * _signed(0x9E3779B97F4A7C15) + _signed(key)
    x = (x ^ _shifted(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shifted(x, 27)) * _signed(0x94D049BB133111EB)
    x = x ^ _shifted(x, 31)
    return _shifted(x, 11).double() * 2.0**-53


def _signed(value: int) -> int:
    """The int64 with the bits of a uint64."""
    value %= 2**64
    return value - 2**64 if value >= 2**63 else value


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Bits of an int64 moved to the right, zeros coming in from the left."""
    return torch.bitwise_and(x >> bits, 2 ** (64 - bits) - 1)


def generator() -> np.random.Generator:
    """Random numbers on the CPU for the next hop: those of the batch at hand inside a loader.

    Counter-based, with a key of 64 bits, where torch's generator looks at 32 of its seed.
    """
    return np.random.Generator(np.random.Philox(key=next_key() % 2**64))
