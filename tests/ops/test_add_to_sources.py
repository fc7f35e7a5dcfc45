"""Sums over out-edges of a graph that is stored by in-edges."""

import pytest
import torch
from helpers import IDS, THREADS, random_csc

from hopflow import ops

pytestmark = pytest.mark.cpu_only


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("num_threads", THREADS)
def test_equals_the_reference_and_the_same_bits_for_any_number_of_threads(num_threads, dtype):
    csc = random_csc(300, 200, 400_000, dtype=dtype, hub=5000)
    values = torch.randn(200)
    values[::3] = 0
    before = ops.num_threads()
    ops.set_num_threads(num_threads)
    try:
        found = ops.add_to_sources(csc.indptr, csc.indices, values, 300)
    finally:
        ops.set_num_threads(before)
    reference = ops.add_to_sources_reference(csc.indptr, csc.indices, values, 300)
    assert torch.equal(found, reference)


def test_no_edges_no_rows_and_gaps():
    none = torch.empty(0, dtype=torch.int32)
    assert ops.add_to_sources(
        torch.zeros(4, dtype=torch.int64), none, torch.ones(3), 2
    ).tolist() == [0, 0]
    assert ops.add_to_sources(torch.zeros(1, dtype=torch.int64), none, torch.ones(0), 0).shape == (
        0,
    )
    indptr, indices = torch.tensor([0, 2, 3]), torch.tensor([1, 9, 0, 9, 1, 9])[::2]
    values = torch.tensor([1.0, 9.0, 2.0])[::2]
    assert ops.add_to_sources(indptr, indices, values, 2).tolist() == [1.0, 3.0]


def test_errors():
    indptr, indices, values = torch.tensor([0, 1, 2]), torch.tensor([0, 3]), torch.ones(2)
    with pytest.raises(IndexError, match=r"indices\[1\] is 3, expected 0 <= id < 3"):
        ops.add_to_sources(indptr, indices, values, 3)
    with pytest.raises(ValueError, match="values: expected 2 elements, got 3"):
        ops.add_to_sources(indptr, indices, torch.ones(3), 4)
    with pytest.raises(TypeError, match="values: expected float32"):
        ops.add_to_sources(indptr, indices, values.double(), 4)
    with pytest.raises(ValueError, match="indptr"):
        ops.add_to_sources(torch.tensor([0, 2, 1]), indices, values, 4)
