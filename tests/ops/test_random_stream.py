"""Numbers that depend on a key and a place alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hopflow as hf
from hopflow.ops.random_stream import batch_stream, next_key, uniform

CPU = torch.device("cpu")
MASK = 2**64 - 1


def splitmix64(state: int, count: int) -> list[int]:
    """Steele, Lea and Flood's generator in whole numbers."""
    made = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        made.append(z ^ (z >> 31))
    return made


def test_splitmix64_is_the_published_one():
    # The first outputs from state 1234567, as its authors' C code prints them.
    assert splitmix64(1234567, 3) == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
    ]  # fmt: skip


@pytest.mark.parametrize("key", [0, 1, 1234567, 2**63, 2**64 - 1, -5])
def test_uniform_is_splitmix64(key):
    expected = [(x >> 11) * 2.0**-53 for x in splitmix64(key & MASK, 100)]
    found = uniform(key, 100, CPU)
    assert found.dtype == torch.float64
    assert found.tolist() == expected


def test_no_numbers():
    assert uniform(3, 0, CPU).shape == (0,)


def test_uniform_is_uniform():
    drawn = uniform(next_key(), 200_000, CPU)
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) < 1
    counts = np.bincount((drawn.numpy() * 100).astype(int), minlength=100)
    chi = float(((counts - 2000) ** 2 / 2000).sum())
    assert chi < 99 + 5 * np.sqrt(2 * 99)  # one in a million


def test_seeds_reach_the_keys():
    torch.manual_seed(5)
    first = [next_key(), next_key()]
    torch.manual_seed(5)
    assert [next_key(), next_key()] == first
    assert first[0] != first[1]
    hf.seed(7)
    second = next_key()
    torch.manual_seed(5)
    hf.seed(7)
    assert next_key() == second
    with batch_stream(1, 2, 3):
        inside = next_key(), next_key()
    with batch_stream(1, 2, 3):
        assert (next_key(), next_key()) == inside
