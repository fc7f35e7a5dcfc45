"""Counting sort of edge lists, and the transpose."""

import pytest
import torch
from helpers import IDS, random_csc

from hopflow import ops


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize(("num_src", "num_dst", "num_edges"), [(30, 20, 200), (1, 1, 5), (9, 4, 0)])
def test_equals_reference(num_src, num_dst, num_edges, dtype):
    src = torch.randint(num_src, (num_edges,), dtype=dtype)
    dst = torch.randint(num_dst, (num_edges,), dtype=dtype)
    indptr, indices, eids = ops.coo_to_csc(src, dst, num_src, num_dst)
    expected = ops.coo_to_csc_reference(src, dst, num_src, num_dst)
    torch.testing.assert_close(indptr, expected[0])
    torch.testing.assert_close(indices.to(dtype), expected[1])
    positions = torch.arange(num_edges) if eids is None else eids.long()
    torch.testing.assert_close(positions, expected[2])


def test_large_graph_sorts_alike_in_parallel():
    src, dst = torch.randint(1000, (400_000,)), torch.randint(1000, (400_000,))
    torch.set_num_threads(1)
    serial = ops.coo_to_csc(src, dst, 1000, 1000)
    torch.set_num_threads(4)
    parallel = ops.coo_to_csc(src, dst, 1000, 1000)
    for a, b in zip(serial, parallel, strict=False):
        assert torch.equal(a, b)


def test_sorted_edges_need_no_edge_ids():
    indptr, indices, eids = ops.coo_to_csc(torch.tensor([3, 1, 2]), torch.tensor([0, 0, 2]), 4, 3)
    assert eids is None
    assert indptr.tolist() == [0, 2, 2, 3]
    assert indices.tolist() == [3, 1, 2]
    assert indices.dtype == torch.int32


@pytest.mark.parametrize("dtype", IDS)
def test_transpose(dtype):
    csc = random_csc(dtype=dtype)
    t_indptr, t_rows, t_positions = ops.transpose_csc(csc.indptr, csc.indices, csc.num_src)
    dst = ops.destinations(csc.indptr, csc.num_edges, torch.int64)
    order = torch.sort(csc.indices, stable=True).indices
    assert torch.equal(t_positions.long(), order)
    assert torch.equal(t_rows.long(), dst[order])
    assert torch.equal(t_indptr.diff(), torch.bincount(csc.indices.long(), minlength=csc.num_src))


def test_transpose_of_nothing():
    t_indptr, t_rows, _ = ops.transpose_csc(torch.tensor([0]), torch.empty(0, dtype=torch.int32), 3)
    assert t_indptr.tolist() == [0, 0, 0, 0]
    assert t_rows.numel() == 0


@pytest.mark.parametrize(
    ("src", "dst", "error", "match"),
    [
        ([0, 4], [0, 1], IndexError, r"src\[1\] is 4, expected 0 <= id < 4"),
        ([0, -1], [0, 1], IndexError, r"src\[1\] is -1"),
        ([0, 1], [0, 3], IndexError, r"dst\[1\] is 3, expected 0 <= id < 3"),
        ([0, 2**40], [0, 1], IndexError, "1099511627776"),
        ([0, 1], [0], ValueError, "as many ids as src"),
        ([0.5, 1.0], [0, 1], TypeError, "src: expected int32 or int64 ids, got float32"),
        ([[0], [1]], [0, 1], ValueError, r"src: expected 1 dimension, got shape \[2, 1\]"),
    ],
)
def test_bad_edges(src, dst, error, match):
    with pytest.raises(error, match=match):
        ops.coo_to_csc(torch.tensor(src), torch.tensor(dst), 4, 3)


@pytest.mark.parametrize(
    ("indptr", "indices", "error", "match"),
    [
        ([0, 1], [0, 0], ValueError, "expected the number of edges, 2, got 1"),
        ([1, 2], [0, 0], ValueError, r"indptr\[0\]: expected 0, got 1"),
        ([0, 2, 1, 2], [0, 0], ValueError, "falls from 2 to 1"),
        ([0, 2], [0, 7], IndexError, r"indices\[1\] is 7"),
        ([], [], ValueError, "at least one element"),
    ],
)
def test_bad_csc(indptr, indices, error, match):
    with pytest.raises(error, match=match):
        ops.check_csc(
            torch.tensor(indptr, dtype=torch.int64), torch.tensor(indices, dtype=torch.int64), 5
        )


@pytest.mark.parametrize("bad", [-3, 2**62])
def test_bad_counts(bad):
    none = torch.empty(0, dtype=torch.int64)
    with pytest.raises(ValueError, match=rf"num_dst: expected 0 to 2\^38, got {bad}"):
        ops.coo_to_csc(none, none, 3, bad)
    with pytest.raises(ValueError, match="num_src"):
        ops.transpose_csc(torch.tensor([0]), none, bad)
    with pytest.raises(TypeError, match="num_src: expected an int, got float"):
        ops.coo_to_csc(none, none, 3.5, 3)
