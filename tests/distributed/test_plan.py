"""What a batch is planned to send is what it sends."""

from __future__ import annotations

import pytest
import torch
from test_partitioned_graph import assignment, whole

from hopflow.dataloading import DataLoader, NeighborSampler
from hopflow.distributed import PartitionedGraph, part_of, plan_exchange

SEEDS = torch.arange(0, 190)
SAMPLER = {"prefetch_node_feats": ["feat"], "prefetch_labels": ["label"]}


def sent(rank, num, how, cache, by_part, replicated):
    graph = whole()
    part = part_of(graph, assignment(graph, num, how), rank, num)
    parts = PartitionedGraph(part, topology=graph if replicated else None, timeout=20)
    sampler = NeighborSampler([4, 3], **SAMPLER)
    if cache:
        parts.cache_rows(sampler, SEEDS, size=cache, batch_size=16, by_part=by_part)
    before, count = parts.traffic(), 0
    for _ in range(20):
        loader = DataLoader(
            parts, SEEDS, sampler, batch_size=16, shuffle=True, use_ddp=True, drop_last=True,
            seeds_by_part=by_part,
        )  # fmt: skip
        count += sum(1 for _ in loader)
    after = parts.traffic()
    parts.close()
    return {name: (getattr(after, name) - getattr(before, name)) / count for name in vars(after)}


@pytest.mark.parametrize(
    ("num", "how", "cache", "by_part", "replicated"),
    [
        (2, "hash", 0, False, False),
        (2, "hash", 600, False, False),
        (2, "ranges", 600, True, False),
        (4, "hash", 0, True, True),
    ],
)
def test_bytes_are_as_planned(ranks, num, how, cache, by_part, replicated):
    found = ranks.run(sent, num, how, cache, by_part, replicated, num=num)
    mean = {name: sum(one[name] for one in found) / num for name in found[0]}
    graph = whole()
    plans = [
        plan_exchange(
            graph, SEEDS, NeighborSampler([4, 3]), num, batch_size=16, row_bytes=20,
            parts=assignment(graph, num, how), cache_size=cache, seeds_by_part=by_part,
            replicated=replicated, num_batches=12 if by_part else 11, seed=seed,
        )
        for seed in range(30)
    ]  # fmt: skip

    def planned(name):
        return sum(getattr(plan, name) for plan in plans) / len(plans)

    label_bytes = 8 * (num - 1) / num * 16  # of seeds elsewhere, which plans leave out here
    if by_part:  # but for leftovers the seeds are the own part's
        label_bytes = 0
    assert mean["edges"] == pytest.approx(planned("edges"), rel=0.05)
    assert mean["rows"] - label_bytes == pytest.approx(planned("rows"), rel=0.05)
    if replicated:
        assert mean["edges"] == 0
    if cache:
        hits = mean["cached_rows"] / (mean["cached_rows"] + mean["remote_rows"])
        assert hits == pytest.approx(planned("hit_rate"), abs=0.08)


def test_bad_arguments():
    graph = whole()
    with pytest.raises(ValueError, match="num_parts: expected at least 1, got 0"):
        plan_exchange(graph, SEEDS, NeighborSampler([2]), 0)
    with pytest.raises(ValueError, match="seeds: expected at least one node, got none"):
        plan_exchange(graph, [], NeighborSampler([2]), 2)
    assert plan_exchange(graph, SEEDS, NeighborSampler([2]), 1).bytes == 0
