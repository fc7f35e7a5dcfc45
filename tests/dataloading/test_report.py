"""Where the loader says that time goes."""

import time

import numpy as np
import pytest
import torch

import hopflow as hf
from hopflow.dataloading.report import LoaderReport
from hopflow.storage import DiskColumn

pytestmark = pytest.mark.cpu_only


def graph_of(num_nodes=500):
    torch.manual_seed(0)
    ends = torch.randint(num_nodes, (2, 5000))
    graph = hf.graph((ends[0], ends[1]), num_nodes=num_nodes)
    graph.ndata["feat"] = torch.randn(num_nodes, 16)
    return graph


def loader_of(graph, sampler=None, **options):
    sampler = sampler or hf.dataloading.NeighborSampler([5, 5], prefetch_node_feats=["feat"])
    return hf.dataloading.DataLoader(graph, torch.arange(400), sampler, batch_size=50, **options)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_the_parts_add_up(num_workers):
    loader = loader_of(graph_of(), num_workers=num_workers)
    assert str(loader.report()) == "no batch was delivered yet"
    begin = time.perf_counter()
    for _, _, blocks in loader:
        blocks[0].srcdata["feat"].sum()
        time.sleep(0.01)
    seconds = time.perf_counter() - begin
    report = loader.report()
    assert report.batches == 8 == len(loader)
    assert 0.08 <= report.seconds <= seconds
    assert 0 < report.waiting <= report.seconds - 0.08
    assert report.sampling > 0
    assert report.gathering > 0
    assert report.reading == 0
    if num_workers == 0:  # they are made while the consumer waits
        made = report.sampling + report.gathering + report.transposing
        assert made <= report.waiting
    assert set(report.to_dict()) >= {"batches", "waiting_share", "reading"}
    assert "8 batches in" in str(report)
    assert "sampling" in str(report)


def test_reading_is_told_from_gathering(tmp_path):
    graph = graph_of()
    np.save(tmp_path / "feat.npy", graph.ndata["feat"].numpy())
    graph.ndata["feat"] = DiskColumn(tmp_path / "feat.npy")
    loader = loader_of(graph, num_workers=1)
    for _ in loader:
        pass
    report = loader.report()
    assert report.reading > 0
    assert report.gathering == 0
    assert report.slowest_stage in ("sampling", "reading")


class _Slow(hf.dataloading.NeighborSampler):
    def sample(self, g, seed_nodes):
        time.sleep(0.005)
        return super().sample(g, seed_nodes)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_samplers_in_python(num_workers):
    loader = loader_of(graph_of(), _Slow([3]), num_workers=num_workers)
    for _ in loader:
        pass
    report = loader.report()
    assert report.batches == 8
    assert report.sampling >= 8 * 0.005
    assert report.slowest_stage == "sampling"
    assert "the model waits" in report.advice


def test_each_epoch_is_counted_anew_and_a_broken_one_too():
    loader = loader_of(graph_of())
    for _ in range(2):
        for _ in loader:
            pass
        assert loader.report().batches == 8
    for _ in loader:
        break
    assert loader.report().batches == 1


def test_advice():
    nothing = dict.fromkeys(("sampling", "gathering", "reading", "transposing", "copying"), 0.0)

    def advice(**values):
        return LoaderReport(batches=10, seconds=10.0, **{**nothing, **values}).advice

    assert "the model is what takes the time" in advice(waiting=0.1, num_workers=2, sampling=3.0)
    assert "num_workers=1 or more" in advice(waiting=5.0, num_workers=0, sampling=5.0)
    said = advice(waiting=4.0, num_workers=2, reading=15.0, sampling=2.0)
    assert said.startswith("the model waits 40 % of the time, mostly for reading")
    assert "larger cache" in said


def test_a_profiler_shows_the_wait():
    loader = loader_of(graph_of())
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in loader:
            pass
    found = {event.key: event.count for event in profile.key_averages()}
    assert found["hopflow: wait for a batch"] == 9  # 8 batches, and the end
