"""The edges among some nodes, and numbers for them."""

import pytest
import torch
from helpers import IDS

from hopflow import ops

GRAPHS = {  # nodes, edges
    "small": (50, 400),
    "no edges": (9, 0),
    "many": (3_000, 90_000),
}


def made(name, dtype=torch.int64):
    num_nodes, num_edges = GRAPHS[name]
    generator = torch.Generator().manual_seed(3)
    src, dst = (torch.randint(num_nodes, (num_edges,), generator=generator) for _ in "uv")
    indptr, indices, _ = ops.coo_to_csc(src, dst, num_nodes, num_nodes)
    return num_nodes, indptr, indices.to(dtype)


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("name", GRAPHS)
def test_equals_reference(name, share, dtype):
    num_nodes, indptr, indices = made(name, dtype)
    count = int(share * num_nodes)
    dst, src = (torch.randperm(num_nodes)[:count].to(dtype) for _ in "uv")
    found = ops.induced_edges(indptr, indices, dst, src)
    expected = ops.induced_edges_reference(indptr, indices, dst, src)
    assert [x.dtype for x in found] == [torch.int64, dtype, torch.int64]
    assert all(torch.equal(x, y) for x, y in zip(found, expected))
    assert torch.equal(src[found[1].long()], indices[found[2]])


def test_a_hub_and_ids_that_share_a_slot():
    # Sources a power of two apart meet in tables that look at low bits.
    indices = torch.arange(20_000).repeat(2) * 2**40
    indptr = torch.tensor([0, 40_000, 40_000])
    src = torch.arange(0, 20_000, 7) * 2**40
    found = ops.induced_edges(indptr, indices, torch.tensor([1, 0]), src)
    expected = ops.induced_edges_reference(indptr, indices, torch.tensor([1, 0]), src)
    assert all(torch.equal(x, y) for x, y in zip(found, expected))


# Ids so far apart that a table with a slot for each would be larger than the edges.
APART = 2**12


@pytest.mark.parametrize("dtype", IDS)
def test_few_sources_among_many_ids(dtype):
    num_nodes, indptr, indices = made("many", dtype)
    dst, src = (torch.randperm(num_nodes)[:600] for _ in "uv")
    near = ops.induced_edges(indptr, indices, dst, src)
    far = ops.induced_edges(indptr, indices * APART, dst, src * APART)
    assert near[1].shape[0] > 1000
    assert all(torch.equal(x, y) for x, y in zip(near, far))
    # An id that lies between those of sources, or past them all, is none of them.
    beside = ops.induced_edges(indptr, indices * APART + 1, dst, src * APART)
    past = ops.induced_edges(indptr, indices + num_nodes, dst, src)
    assert beside[1].shape[0] == past[1].shape[0] == 0


@pytest.mark.parametrize("apart", [1, APART])
def test_the_same_for_any_number_of_threads(apart):
    num_nodes, indptr, indices = made("many")
    nodes = torch.randperm(num_nodes)[:1000]
    runs = []
    for threads in (1, 2, 5):
        ops.set_num_threads(threads)
        found = ops.induced_edges(indptr, indices * apart, nodes, nodes * apart)
        numbered = ops.number_by_source(*found, 1000)
        runs.append([*found, *numbered])
    for other in runs[1:]:
        assert all(torch.equal(x, y) for x, y in zip(runs[0], other))


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("ids", ["rising", "falling", "random"])
@pytest.mark.parametrize("name", GRAPHS)
def test_numbers_by_source(name, ids, dtype):
    num_nodes, indptr, indices = made(name, dtype)
    num_edges = indices.shape[0]
    eids = torch.arange(num_edges) * 3
    eids = {"rising": eids, "falling": eids.flip(0), "random": eids[torch.randperm(num_edges)]}[ids]
    sources, numbers, old = ops.number_by_source(indptr, indices, eids.to(dtype), num_nodes)
    expected = ops.number_by_source_reference(indptr, indices, eids)
    assert [sources.dtype, old.dtype] == [dtype, torch.int64]
    if numbers is None:
        numbers = torch.arange(num_edges)
    assert all(torch.equal(x.long(), y) for x, y in zip((sources, numbers, old), expected))


def test_numbers_that_are_the_positions():
    """Each edge's source is its destination: by destination is by source."""
    indptr, indices = torch.arange(6), torch.arange(5)
    sources, numbers, old = ops.number_by_source(indptr, indices, torch.arange(5).flip(0), 5)
    assert numbers is None
    assert [sources.tolist(), old.tolist()] == [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]]


def test_bad_operands():
    _, indptr, indices = made("small")
    nodes = torch.arange(5)
    with pytest.raises(IndexError, match="50"):
        ops.induced_edges(indptr, indices, torch.tensor([50]), nodes)
    with pytest.raises(TypeError):
        ops.induced_edges(indptr, indices, nodes.float(), nodes)
    with pytest.raises(IndexError, match=r"src\[1\] is 4294967296"):  # 0 in 32 bits
        ops.induced_edges(indptr, indices.int(), nodes, torch.tensor([1, 2**32]))
    if ops.on_cuda(nodes):
        return
    with pytest.raises(IndexError, match=r"src\[1\] is -1"):
        ops.induced_edges(indptr, indices, nodes, torch.tensor([0, -1]))
    for twice in ([3, 3], [3 * 2**40, 0, 3 * 2**40]):
        with pytest.raises(ValueError, match="distinct nodes, got 1 more than once"):
            ops.induced_edges(indptr, indices, nodes, torch.tensor(twice))
    with pytest.raises(IndexError, match="indices"):
        ops.number_by_source(indptr, indices, torch.arange(400), 5)
    with pytest.raises(ValueError, match="eids: expected 400 elements"):
        ops.number_by_source(indptr, indices, torch.arange(399), 50)
    with pytest.raises(ValueError, match="indptr"):
        ops.number_by_source(indptr[:-1], indices, torch.arange(400), 50)
    with pytest.raises(ValueError, match=r"indptr\[0:2\]"):
        ops.induced_edges(torch.tensor([0, 9]), indices[:5], nodes[:1], nodes)
