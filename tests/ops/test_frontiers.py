"""Traversals in an adjacency."""

import pytest
import torch
from helpers import IDS

from hopflow import ops

pytestmark = pytest.mark.cpu_only  # traversals have no CUDA kernel


def made(num_nodes, num_edges, dtype=torch.int64, seed=0, acyclic=False):
    """``(indptr, indices, eids)`` of random edges, their ids in any order."""
    generator = torch.Generator().manual_seed(seed)
    src, dst = (torch.randint(max(num_nodes, 1), (num_edges,), generator=generator) for _ in "uv")
    if acyclic:
        src, dst = torch.minimum(src, dst), torch.maximum(src, dst)
        src, dst = src[src < dst], dst[src < dst]
    indptr, indices, _ = ops.coo_to_csc(dst, src, num_nodes, num_nodes)
    eids = torch.randperm(indices.shape[0], generator=generator)
    return indptr, indices.to(dtype), eids.to(dtype)


def positions(indices):
    return torch.arange(indices.shape[0])


SIZES = [(12, 20), (40, 30), (9, 0), (200, 900)]


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("size", SIZES)
def test_breadth_first(size, dtype):
    for seed in range(4):
        indptr, indices, eids = made(*size, dtype, seed)
        for sources in ([0], [3, 1, 2], []):
            sources = torch.tensor(sources, dtype=dtype)
            for ids in (eids, None):
                found = ops.breadth_first(indptr, indices, ids, sources)
                known = positions(indices) if ids is None else ids
                expected = ops.breadth_first_reference(indptr, indices, known, sources)
                assert tuple(x.tolist() for x in found) == expected
                assert all(x.dtype == torch.int64 for x in found)


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("acyclic", [False, True])
@pytest.mark.parametrize("size", [*SIZES, (0, 0)])
def test_topological(size, acyclic, dtype):
    for seed in range(4):
        indptr, indices, _ = made(*size, dtype, seed, acyclic)
        found = ops.topological(indptr, indices)
        assert tuple(x.tolist() for x in found) == ops.topological_reference(indptr, indices)
        assert not acyclic or found[0].sort().values.tolist() == list(range(size[0]))


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("size", SIZES)
def test_depth_first(size, dtype):
    for seed in range(4):
        indptr, indices, eids = made(*size, dtype, seed)
        sources = torch.tensor([2, 0, 2], dtype=dtype)
        for ids in (eids, None):
            known = positions(indices) if ids is None else ids
            searches = [
                ops.depth_first_reference(indptr, indices, known, s) for s in sources.tolist()
            ]
            for reverse in (False, True):
                for nontree in (False, True):
                    wanted = {0, *([1] if reverse else []), *([2] if nontree else [])}
                    expected = [[x for x in steps if x[1] in wanted] for steps in searches]
                    edges, labels, offsets = ops.depth_first(
                        indptr, indices, ids, sources, reverse=reverse, nontree=nontree
                    )
                    steps = list(zip(edges.tolist(), labels.tolist()))
                    assert steps == [x for one in expected for x in one]
                    assert offsets.diff().tolist() == [len(one) for one in expected]


def test_a_long_way_takes_no_stack():
    n = 100_000
    indptr = torch.arange(n + 1).clamp(max=n - 1)
    indices = torch.arange(1, n)
    edges, _, _ = ops.depth_first(
        indptr, indices, None, torch.tensor([0]), reverse=True, nontree=True
    )
    assert edges.tolist() == [*range(n - 1), *reversed(range(n - 1))]
    assert ops.breadth_first(indptr, indices, None, torch.tensor([0]))[2].shape == (n + 1,)


def test_bad_operands():
    indptr, indices, eids = made(12, 20)

    def walks(indptr, indices, eids, sources):
        yield lambda: ops.breadth_first(indptr, indices, eids, sources)
        yield lambda: ops.depth_first(indptr, indices, eids, sources, reverse=False, nontree=False)

    source = torch.tensor([0])
    for operands, error, told in (
        ((indptr, indices, eids, torch.tensor([0, 12])), IndexError, r"sources\[1\] is 12"),
        ((indptr, indices, eids, torch.tensor([-1])), IndexError, r"sources\[0\] is -1"),
        ((indptr, indices + 12, eids, source), IndexError, "indices"),
        ((indptr, indices[:-1], None, source), ValueError, "indptr"),
        ((indptr, indices, eids[:-1], source), ValueError, "eids: expected 20 elements"),
        ((indptr, indices, eids.float(), source), TypeError, "eids"),
        ((indptr, indices, eids, source.float()), TypeError, "sources"),
        ((indptr[:0], indices, eids, source), ValueError, "indptr"),
    ):
        for walk in walks(*operands):
            with pytest.raises(error, match=told):
                walk()
    with pytest.raises(ValueError, match="distinct nodes, got 3 more than once"):
        ops.breadth_first(indptr, indices, eids, torch.tensor([3, 3]))
    with pytest.raises(IndexError, match="indices"):
        ops.topological(indptr, indices + 12)
