"""Sampling in time on CUDA: the picks of the reference, and blocks in which nothing is late.

They run where there is a CUDA device, and on the emulated kernels (tests/emulation/plugin.py);
elsewhere they are skipped.
"""

from __future__ import annotations

import pytest
import torch

import hopflow as hf
from hopflow import ops
from hopflow.dataloading import DataLoader, LadiesSampler, TemporalNeighborSampler, audit_times


@pytest.mark.parametrize("fanout", [-1, 3, 40, 300])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
@pytest.mark.parametrize("kind", ["uniform", "replace", "last", "weighted", "excluded"])
def test_samples_in_time_are_the_references(cuda, fanout, dtype, kind):
    indptr = torch.tensor([0, 900, 940, 940, 1540])
    generator = torch.Generator().manual_seed(fanout + 1)
    given = torch.randint(0, 50, (1540,), generator=generator).to(dtype)
    times = ops.sort_row_times(indptr, given).times
    on_device = ops.sort_row_times(indptr.to(cuda), given.to(cuda))
    assert torch.equal(on_device.times.cpu(), times)
    seeds = torch.tensor([3, 0, 1, 2, 0, 0])
    at = torch.tensor([20, 40, 30, 9, 0, 41]).to(dtype)
    values = torch.rand(1540, generator=generator, dtype=torch.float64) + 0.01
    weights = ops.row_weights(indptr, values) if kind == "weighted" else None
    excluded = torch.arange(0, 1540, 3) if kind in ("excluded", "last", "weighted") else None
    options = {"replace": kind == "replace", "strategy": "last" if kind == "last" else "uniform"}
    for strict in (False, True):
        expected = ops.sample_temporal_reference(
            indptr, times, seeds, at, fanout, key=7, strict=strict, weights=weights,
            excluded=excluded, **options,
        )  # fmt: skip
        got = ops.sample_temporal(
            indptr.to(cuda), times.to(cuda), seeds.to(cuda), at.to(cuda), fanout, key=7,
            strict=strict,
            weights=None if weights is None else ops.RowWeights(*(x.to(cuda) for x in weights)),
            excluded=None if excluded is None else excluded.to(cuda), **options,
        )  # fmt: skip
        for ours, theirs in zip(got, expected, strict=True):
            assert torch.equal(ours.cpu(), theirs)


def test_bad_operands_are_named(cuda):
    indptr, times = torch.tensor([0, 2, 3]).to(cuda), torch.tensor([1, 2, 3]).to(cuda)
    at = torch.tensor([5]).to(cuda)
    for seed, kind, message in ((2, IndexError, r"seeds\[0\] is 2"), (-1, IndexError, "is -1")):
        with pytest.raises(kind, match=message):
            ops.sample_temporal(indptr, times, torch.tensor([seed]).to(cuda), at, 2, key=0)
    wrong = torch.tensor([0, 9, 3]).to(cuda)
    with pytest.raises(ValueError, match=r"indptr\[0:2\] is no range of the 3 edges"):
        ops.sample_temporal(wrong, times, torch.tensor([0]).to(cuda), at, 2, key=0)


def test_blocks_in_time_are_the_cpus(cuda):
    generator = torch.Generator().manual_seed(4)
    src, dst = torch.randint(60, (2, 700), generator=generator)
    g = hf.graph((src, dst), num_nodes=60)
    g.edata["t"] = torch.randint(50, (700,), generator=generator)
    g.ndata["asked"] = torch.randint(50, (60,), generator=generator)
    g.edata["w"] = torch.randint(1, 5, (700,), generator=generator)
    for sampler, names in (
        (TemporalNeighborSampler([3, 4], "t", input_time="asked"), ("_ID",)),
        (LadiesSampler([5, 4], "w"), ("_ID", "edge_weights")),
    ):
        found = []
        for graph in (g, g.to(cuda)):
            loader = DataLoader(
                graph, torch.arange(60, device=graph.device), sampler, batch_size=20, seed=1
            )
            arrays = []
            for inputs, _, blocks in loader:
                if isinstance(sampler, TemporalNeighborSampler):
                    assert audit_times(blocks, edge_time="t") > 0
                arrays += [inputs.cpu()]
                for block in blocks:
                    arrays += [block.edata[name].cpu() for name in names]
            found.append(arrays)
        assert len(found[0]) == len(found[1])
        assert all(map(torch.equal, *found))
