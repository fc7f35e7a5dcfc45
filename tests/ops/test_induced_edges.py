"""The edges among some nodes."""

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


def test_the_same_for_any_number_of_threads():
    num_nodes, indptr, indices = made("many")
    nodes = torch.randperm(num_nodes)[:1000]
    one, several = [], []
    for found, threads in ((one, 1), (several, 5)):
        ops.set_num_threads(threads)
        found += ops.induced_edges(indptr, indices, nodes, nodes)
    assert all(torch.equal(x, y) for x, y in zip(one, several))


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
    with pytest.raises(ValueError, match="distinct"):
        ops.induced_edges(indptr, indices, nodes, torch.tensor([3, 3]))
    with pytest.raises(ValueError, match=r"indptr\[0:2\]"):
        ops.induced_edges(torch.tensor([0, 9]), indices[:5], nodes[:1], nodes)
