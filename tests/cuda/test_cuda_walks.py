"""Random walks on CUDA: the reference's steps, bit for bit.

They run where there is a CUDA device, and on the emulated kernels (tests/emulation/plugin.py);
elsewhere they are skipped.
"""

from __future__ import annotations

import pytest
import torch

import hopflow as hf
from hopflow import ops, sampling
from hopflow.sampling.random import batch_stream


def moved(edges: ops.WalkEdges, device: torch.device) -> ops.WalkEdges:
    weights = edges.weights
    if weights is not None:
        weights = ops.RowWeights(*(x.to(device) for x in weights))
    indptr, indices, eids = (None if x is None else x.to(device) for x in edges[:3])
    return ops.WalkEdges(indptr, indices, eids, weights)


def random_edges(seed: int, weighted: bool) -> ops.WalkEdges:
    generator = torch.Generator().manual_seed(seed)
    degrees = torch.randint(9, (60,), generator=generator)
    degrees[5] = 400
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), degrees.cumsum(0)])
    num_edges = int(indptr[-1])
    rows = torch.repeat_interleave(torch.arange(60), degrees)
    indices = torch.randint(60, (num_edges,), generator=generator)
    indices = (rows * 60 + indices).sort().values % 60  # destinations rise within a row
    eids = torch.randperm(num_edges, generator=generator)
    weights = None
    if weighted:
        weights = ops.row_weights(indptr, torch.rand(num_edges, generator=generator) + 0.01)
        weights = ops.RowWeights(*(x.cpu() for x in weights))
    return ops.WalkEdges(indptr, indices.int() if seed % 2 else indices, eids.int(), weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_walks_are_the_references(cuda, dtype, weighted):
    relations = [random_edges(1, weighted), random_edges(2, False)]
    seeds = torch.arange(60, dtype=dtype).repeat(5)
    path, restart = [0, 0, 1, 1, 0, 1], [0.0, 0.0, 0.1, 0.1, 0.2, 0.0]
    options = {"key": 2**63 + 11, "restart": restart, "return_eids": True}
    got = ops.random_walk([moved(r, cuda) for r in relations], path, seeds.to(cuda), **options)
    want = ops.random_walk_reference(relations, path, seeds, **options)
    for ours, theirs in zip(got, want, strict=True):
        assert torch.equal(ours.cpu(), theirs)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("p", "q"), [(1, 1), (0.01, 3), (7, 0.2), (1e6, 1e6), (1e-6, 1e6)])
def test_node2vec_walks_are_the_references(cuda, p, q, weighted):
    edges = random_edges(3, weighted)
    seeds = torch.arange(60).repeat(3)
    options = {"key": 5, "return_eids": True}
    got = ops.node2vec_walk(moved(edges, cuda), seeds.to(cuda), p, q, 5, **options)
    want = ops.node2vec_walk_reference(edges, seeds, p, q, 5, **options)
    for ours, theirs in zip(got, want, strict=True):
        assert torch.equal(ours.cpu(), theirs)


def test_walks_of_a_graph_are_those_on_the_cpu(cuda, small_graph):
    small_graph.edata["w"] = torch.arange(small_graph.num_edges()).remainder(5).float()
    seeds = torch.arange(0, small_graph.num_nodes(), 3)
    found = []
    for g in (small_graph, small_graph.to(cuda)):
        with batch_stream(1, 2, 3):
            traces = sampling.random_walk(g, seeds, length=4, prob="w", restart_prob=0.1)[0]
            other = sampling.node2vec_random_walk(g, seeds, 0.5, 2, 4, prob="w")
            frontier = sampling.RandomWalkNeighborSampler(g, 2, 0.5, 9, 3)(seeds)
        assert traces.device == other.device == frontier.device == g.device
        found.append([traces, other, *frontier.edges(), frontier.edata["weights"]])
    for want, got in zip(*found, strict=True):
        assert torch.equal(got.cpu(), want)


def test_bad_operands_are_named(cuda):
    edges = ops.WalkEdges(torch.tensor([0, 2, 3]).to(cuda), torch.tensor([1, 0, 0]).to(cuda))
    seeds = torch.tensor([0, 2], device=cuda)
    with pytest.raises(IndexError, match=r"seeds\[1\] is 2"):
        ops.random_walk([edges], [0], seeds, key=0)
    with pytest.raises(IndexError, match=r"seeds\[1\] is 2"):
        ops.node2vec_walk(edges, seeds, 1, 1, 2, key=0)
    far = edges._replace(indices=torch.tensor([1, 0, 5]).to(cuda))
    with pytest.raises(IndexError, match=r"indices\[2\] is 5"):
        ops.random_walk([far], [0, 0], seeds[:1], key=0)
    with pytest.raises(IndexError, match=r"indices\[2\] is 5"):
        ops.node2vec_walk(far, seeds[:1], 1, 1, 2, key=0)
    assert hf.ops.random_walk([far], [0], seeds[:1], key=0)[0].shape == (1, 2)
