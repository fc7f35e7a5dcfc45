"""Caches of columns on disk, filled with what batches are likely to want."""

import numpy as np
import pytest
import torch

import hopflow as hf
from hopflow.storage import DiskColumn

pytestmark = pytest.mark.cpu_only


def skewed_graph(folder, memory, num_nodes=2000):
    torch.manual_seed(1)
    src = (torch.rand(20_000) ** 4 * num_nodes).long()
    graph = hf.graph((src, torch.randint(num_nodes, (20_000,))), num_nodes=num_nodes)
    np.save(folder / "feat.npy", np.random.default_rng(0).standard_normal((num_nodes, 8)))
    graph.ndata["feat"] = DiskColumn(folder / "feat.npy", memory=memory)
    return graph


def test_hits_are_as_many_as_expected(tmp_path):
    graph = skewed_graph(tmp_path, memory=8000 + 300 * (64 + 9))
    column = graph.node_frames()["_N"].column("feat")
    loader = hf.dataloading.DataLoader(
        graph, torch.arange(0, 2000, 4), hf.dataloading.NeighborSampler([4, 4]), batch_size=25,
        shuffle=True, num_workers=2,
    )  # fmt: skip
    (kept,) = loader.keep_expected_rows().values()
    assert kept.rows == column.capacity == 300
    assert kept.memory <= 8000 + 300 * 73
    before = column.report()
    assert before.cached_rows == 300
    for _ in range(3):
        for _, _, blocks in loader:
            blocks[0].srcdata["feat"]
    after = column.report()
    rate = (after.hits - before.hits) / (after.rows - before.rows)
    assert rate == pytest.approx(kept.expected_hit_rate, abs=0.02)
    # By far more than 300 of 2000 rows would have by chance.
    assert rate > 0.35


def test_errors(tmp_path):
    graph = skewed_graph(tmp_path, memory=None)
    sampler = hf.dataloading.NeighborSampler([2])
    keep = hf.dataloading.keep_expected_rows
    with pytest.raises(ValueError, match="expected a node column on disk that has a cache"):
        keep(graph, torch.arange(5), sampler, batch_size=2)
    graph.ndata["feat"] = DiskColumn(tmp_path / "feat.npy", memory="1MB")
    with pytest.raises(TypeError, match="expected a NeighborSampler, got object"):
        keep(graph, torch.arange(5), object(), batch_size=2)
    with pytest.raises(ValueError, match="at least one node"):
        keep(graph, torch.empty(0, dtype=torch.int64), sampler, batch_size=2)
    (kept,) = keep(graph, torch.arange(5), sampler, batch_size=2, fill=False).values()
    assert kept.rows > 5
    assert graph.node_frames()["_N"].column("feat").report().cached_rows == 0
