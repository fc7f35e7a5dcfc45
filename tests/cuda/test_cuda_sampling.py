"""Sampling and renumbering on CUDA: the CPU's picks, bit for bit.

They run where there is a CUDA device, and on the emulated kernels (tests/emulation/plugin.py);
elsewhere they are skipped.
"""

from __future__ import annotations

import subprocess
import sys

import cuda_cases
import pytest
import torch
from helpers import csc_on, is_emulated

import hopflow as hf
from hopflow import ops
from hopflow.dataloading import NeighborSampler


def test_samples_are_the_cpus_bit_for_bit(cuda, tmp_path):
    if is_emulated():
        path = tmp_path / "answers.pt"
        subprocess.run([sys.executable, cuda_cases.__file__, str(path)], check=True)
        expected = torch.load(path)
    else:
        expected = cuda_cases.answers(torch.device("cpu"))
    got = cuda_cases.answers(cuda)
    assert len(got) == len(expected) == cuda_cases.NUM_GRAPHS
    for case, (ours, theirs) in enumerate(zip(got, expected)):
        assert ours.keys() == theirs.keys()
        for name, x in ours.items():
            assert x.dtype == theirs[name].dtype, (case, name)
            assert torch.equal(x, theirs[name]), (case, name)


@pytest.mark.parametrize("fanout", [33, 100, 1000])
def test_large_fanouts_are_the_references(cuda, fanout):
    indptr = torch.tensor([0, 5000, 5040, 5040, 6040])
    indices = torch.arange(6040, dtype=torch.int32)
    seeds = torch.tensor([3, 0, 1, 2, 0])
    got = ops.sample_neighbors(
        indptr.to(cuda), indices.to(cuda), seeds.to(cuda), fanout, key=fanout
    )
    expected = ops.sample_neighbors_reference(indptr, indices, seeds, fanout, key=fanout)
    for ours, theirs in zip(got, expected):
        assert torch.equal(ours.cpu().long(), theirs.long())


@pytest.mark.parametrize("fanout", [3, 40, 300])
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("is_wide", [False, True])
def test_weighted_samples_are_the_references(cuda, fanout, replace, is_wide):
    indptr = torch.tensor([0, 900, 940, 940, 1540])
    generator = torch.Generator().manual_seed(fanout)
    values = torch.rand(1540, generator=generator, dtype=torch.float64) + 0.01
    if is_wide:  # what is left of a row has to be added up anew
        values *= 2.0 ** torch.randint(-200, 200, (1540,), generator=generator).double()
    seeds = torch.tensor([3, 0, 1, 2, 0])
    excluded = torch.arange(0, 1540, 5)
    weights = ops.row_weights(indptr.to(cuda), values.to(cuda))
    got = ops.sample_weighted(
        indptr.to(cuda), 1540, seeds.to(cuda), fanout, key=fanout, replace=replace,
        weights=weights, excluded=excluded.to(cuda),
    )  # fmt: skip
    expected = ops.sample_weighted_reference(
        indptr, 1540, seeds, fanout, key=fanout, replace=replace,
        weights=ops.RowWeights(weights.sums.cpu(), values), excluded=excluded,
    )  # fmt: skip
    for ours, theirs in zip(got, expected):
        assert torch.equal(ours.cpu(), theirs)


@pytest.mark.parametrize("fanout", [-1, 0, 3, 40])
@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float64])
def test_labor_edges_are_the_references(cuda, fanout, share, dtype):
    indptr = torch.tensor([0, 900, 940, 940, 1540, 1541])
    generator = torch.Generator().manual_seed(fanout + 1)
    indices = torch.randint(700, (1541,), generator=generator, dtype=torch.int32)
    seeds = torch.tensor([3, 0, 1, 2, 0, 4])
    weights = on_device = None
    if dtype is not None:
        values = (torch.rand(1541, generator=generator) + 0.01).to(dtype)
        on_device = ops.row_weights(indptr.to(cuda), values.to(cuda))
        weights = ops.RowWeights(on_device.sums.cpu(), values)
    excluded = torch.arange(0, 1500, 7)
    options = {"key": 2, "second_key": 3, "share": share, "normalize": share > 0}
    got = ops.sample_labor(
        indptr.to(cuda), indices.to(cuda), seeds.to(cuda), fanout, weights=on_device,
        excluded=excluded.to(cuda), **options,
    )  # fmt: skip
    expected = ops.sample_labor_reference(
        indptr, indices, seeds, fanout, weights=weights, excluded=excluded, **options
    )
    for ours, theirs in zip(got, expected):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert torch.equal(ours.cpu(), theirs)


def test_importance_sampling_is_refused(cuda):
    indptr, indices = torch.tensor([0, 2], device=cuda), torch.arange(2, device=cuda)
    seeds = torch.zeros(1, dtype=torch.int64, device=cuda)
    with pytest.raises(hf.HopflowError, match="importance sampling works on the CPU alone"):
        ops.sample_labor(indptr, indices, seeds, 1, key=0, importance_sampling=1)


def test_bad_operands_of_weighted_samples_are_named(cuda):
    indptr = torch.tensor([0, 2, 3], device=cuda)
    weights = ops.row_weights(indptr, torch.ones(3, device=cuda))

    def sample(seed, indptr=indptr, excluded=None):
        seeds = torch.tensor([seed], device=cuda)
        bars = None if excluded is None else torch.tensor(excluded, device=cuda)
        options = {"weights": weights, "excluded": bars}
        return ops.sample_weighted(indptr, 3, seeds, 2, key=0, **options)[1].tolist()

    assert sample(0) == [0, 1]
    for seed in (2, -1):
        with pytest.raises(IndexError, match=rf"seeds\[0\] is {seed}"):
            sample(seed)
    bad = torch.tensor([0, 9, 3], device=cuda)
    with pytest.raises(ValueError, match="indptr"):
        sample(0, indptr=bad)
    with pytest.raises(ValueError, match="excluded: expected strictly rising"):
        sample(0, excluded=[1, 1])


@pytest.mark.parametrize(
    "options",
    [{"prob": "w"}, {"mask": "m"}, {"edge_dir": "out"}, {"edge_dir": "out", "prob": "w"}],
)
@pytest.mark.parametrize("excluded", [None, range(0, 2000, 3)])
def test_samplers_with_options_draw_on_the_device(cuda, small_graph, options, excluded):
    small_graph.edata["w"] = torch.arange(2000).remainder(7).float()
    small_graph.edata["m"] = torch.arange(2000) % 3 > 0
    sampler = NeighborSampler([4, 40], **options)
    batches = []
    for graph in (small_graph, small_graph.to(cuda)):
        with hf.sampling.random.batch_stream(1, 2, 3):
            batches.append(sampler.sample(graph, range(0, 200, 5), exclude_eids=excluded))
    (want_in, _, want), (got_in, _, got) = batches
    assert torch.equal(got_in.cpu(), want_in)
    for ours, theirs in zip(got, want):
        assert ours.device.type == cuda.type
        assert torch.equal(ours.edata[hf.EID].cpu(), theirs.edata[hf.EID])
        assert torch.equal(ours.adjacency.indices.cpu(), theirs.adjacency.indices)
    part = hf.sample_neighbors(
        small_graph.to(cuda), range(50), 3, exclude_edges=[1, 2],
        edge_dir=options.get("edge_dir", "in"), prob=options.get("prob"),
    )  # fmt: skip
    assert part.device.type == cuda.type
    src, dst = small_graph.edges()
    eids = part.edata[hf.EID].cpu()
    assert torch.equal(part.edges()[0].cpu(), src[eids])
    assert torch.equal(part.edges()[1].cpu(), dst[eids])


def test_repeated_runs_give_the_same_bits(cuda):
    indptr, indices, seeds = (x.to(cuda) for x in cuda_cases.graph_and_seeds(3))
    x = torch.randn(indptr.shape[0] - 1, 33, device=cuda)
    first = None
    for _ in range(3 if is_emulated() else 100):
        blocks = ops.sample_blocks(indptr, indices, seeds, [10, 10], keys=[1, 2])
        hop = blocks.hops[1]
        out = ops.spmm(hop.indptr, hop.indices, ops.gather_rows(x, blocks.src_ids), reduce="mean")
        now = [blocks.input_nodes, hop.indptr, hop.indices, hop.positions, out]
        first = now if first is None else first
        assert all(torch.equal(a, b) for a, b in zip(first, now))


def test_bad_seeds_and_graphs_are_named(cuda):
    indptr = torch.tensor([0, 2, 3], device=cuda)
    indices = torch.tensor([1, 0, 1], dtype=torch.int32, device=cuda)

    def sample(seeds, indptr=indptr, indices=indices):
        seeds = torch.tensor(seeds, dtype=torch.int32, device=cuda)
        return ops.sample_blocks(indptr, indices, seeds, [2, 2], keys=[1, 2])

    assert sample([1, 0]).input_nodes.tolist() == [1, 0]
    with pytest.raises(IndexError, match=r"seeds\[1\] is 2, but the graph has 2 nodes"):
        sample([0, 2])
    with pytest.raises(IndexError, match=r"seeds\[0\] is -1"):
        sample([-1])
    with pytest.raises(ValueError, match=r"indptr\[0:2\] is \[0, 9\]: no range of the 3 edges"):
        sample([0], indptr=torch.tensor([0, 9, 3], device=cuda))
    with pytest.raises(ValueError, match=r"indices\[1\] is 7, but the graph has 2 nodes"):
        sample([0], indices=torch.tensor([1, 7, 1], dtype=torch.int32, device=cuda))
    with pytest.raises(IndexError, match="ids: expected ids >= 0, got -3"):
        ops.compact_ids(torch.tensor([4, -3], device=cuda), torch.tensor([4], device=cuda))
    with pytest.raises(IndexError, match=r"seeds\[0\] is 5"):
        ops.sample_neighbors(indptr, indices, torch.tensor([5], device=cuda), 2, key=0)
    assert sample([1, 0]).input_nodes.tolist() == [1, 0]  # nothing is left behind


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_induced_edges(cuda, dtype):
    indptr, indices, _, _ = csc_on(cuda, dtype=dtype)
    num_nodes = indptr.shape[0] - 1
    generator = torch.Generator().manual_seed(0)
    for count in (0, 5, num_nodes):
        dst, src = (torch.randperm(num_nodes, generator=generator)[:count] for _ in "uv")
        got = ops.induced_edges(indptr, indices, dst.to(cuda), src.to(cuda))
        expected = ops.induced_edges_reference(indptr.cpu(), indices.cpu(), dst, src)
        for ours, theirs in zip(got, expected):
            assert torch.equal(ours.cpu(), theirs)
    with pytest.raises(IndexError, match=str(num_nodes)):
        ops.induced_edges(indptr, indices, torch.tensor([num_nodes], device=cuda), src.to(cuda))
