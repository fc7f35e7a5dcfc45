"""Renumbering in order of first appearance."""

import pytest
import torch
from helpers import IDS
from hypothesis import given, settings
from hypothesis import strategies as st

from hopflow import ops

ids = st.lists(st.one_of(st.integers(0, 20), st.integers(0, 2**31 - 1)), max_size=300)


@settings(max_examples=100, deadline=None)
@given(seeds=ids, neighbors=ids, wide=st.booleans())
def test_equals_reference(seeds, neighbors, wide):
    dtype = torch.int64 if wide else torch.int32
    seeds, neighbors = torch.tensor(seeds, dtype=dtype), torch.tensor(neighbors, dtype=dtype)
    unique, local_seeds, local_neighbors = ops.compact_ids(seeds, neighbors)
    expected = ops.compact_ids_reference(seeds, neighbors)
    assert torch.equal(unique, expected[0])
    assert torch.equal(local_seeds.long(), expected[1])
    assert torch.equal(local_neighbors.long(), expected[2])


@pytest.mark.parametrize("dtype", IDS)
def test_large_batch(dtype):
    seeds = torch.randperm(10_000)[:2000].to(dtype)
    neighbors = torch.randint(1_000_000, (200_000,), dtype=dtype)
    unique, local_seeds, local_neighbors = ops.compact_ids(seeds, neighbors)
    assert torch.equal(unique[:2000], seeds)
    assert torch.equal(unique[local_neighbors.long()], neighbors)
    assert torch.equal(local_seeds.long(), torch.arange(2000))
    assert unique.unique().shape == unique.shape
    assert local_neighbors.dtype == torch.int32


def test_adversarial_ids_stay_fast_enough_to_finish():
    # Multiples of a power of two would all share a home slot under a plain mask.
    strided = torch.arange(200_000) * 2**40
    unique, _, local = ops.compact_ids(torch.empty(0, dtype=torch.int64), strided)
    assert torch.equal(unique, strided)
    assert torch.equal(local.long(), torch.arange(200_000))


def test_does_not_keep_the_upper_bound_alive():
    neighbors = torch.zeros(100_000, dtype=torch.int64)
    unique, _, _ = ops.compact_ids(torch.tensor([5]), neighbors)
    assert unique.tolist() == [5, 0]
    assert unique.untyped_storage().nbytes() == 16


@pytest.mark.parametrize(
    ("seeds", "neighbors", "error", "match"),
    [
        ([0, -7], [], IndexError, "expected ids >= 0, got -7"),
        ([0], [-1], IndexError, "expected ids >= 0, got -1"),
        ([0.5], [], TypeError, "seeds: expected int32 or int64"),
        ([[1]], [], ValueError, "seeds: expected 1 dimension"),
    ],
)
def test_bad_ids(seeds, neighbors, error, match):
    with pytest.raises(error, match=match):
        ops.compact_ids(torch.tensor(seeds), torch.tensor(neighbors, dtype=torch.int64))


def test_mixed_dtypes_are_refused():
    with pytest.raises(TypeError, match="neighbors: expected int64, got int32"):
        ops.compact_ids(torch.tensor([1]), torch.tensor([1], dtype=torch.int32))
