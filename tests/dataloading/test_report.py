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


def waits_for_the_disk(loader):
    """A loader that has waited for half of the time, for reads of two workers."""
    loader.num_workers = 2
    times = loader._times
    times.asked(0, 10**9, True)
    times.asked(2 * 10**9, 2 * 10**9, True)
    times.add("reading", 2 * 10**9)
    return loader.report()


@pytest.fixture
def on_disk(tmp_path):
    """A graph with hubs and a column of 1,000 float32 on disk, of which some rows are cached."""

    def made(cached_rows):
        torch.manual_seed(0)
        src = (torch.rand(20_000) ** 3 * 4000).long()
        graph = hf.graph((src, torch.randint(4000, (20_000,))), num_nodes=4000)
        np.save(tmp_path / "feat.npy", np.zeros((4000, 1000), np.float32))
        memory = 4 * 4000 + (4000 + 9) * cached_rows
        graph.ndata["feat"] = DiskColumn(tmp_path / "feat.npy", memory=memory)
        return graph

    return made


def test_advice_says_how_large_a_cache_halves_the_waiting(on_disk):
    graph = on_disk(500)
    loader = loader_of(graph)
    column = graph.node_frames()["_N"].column("feat")
    assert column.capacity == 500
    column.gather(torch.arange(500))
    assert waits_for_the_disk(loader).larger_cache is None  # nothing is known of its rows
    assert "hopflow.plan says how large" in loader.report().advice
    (kept,) = loader.keep_expected_rows().values()
    report = waits_for_the_disk(loader)
    found = report.larger_cache
    assert found.column == "feat"
    assert found.present_memory == column.report().memory == 16_000 + 500 * 4009
    assert found.present_hit_rate == kept.expected_hit_rate
    # Half a second of waiting less takes a second of reading less, half a second of each worker.
    assert report.misses_for_half == pytest.approx(1 - report.waiting / report.reading)
    misses = (1 - found.hit_rate) / (1 - found.present_hit_rate)
    assert misses == pytest.approx(report.misses_for_half, abs=2e-3)
    assert f"a cache of {found.memory / 1e6:.3g} MB in place of 2.02 MB" in report.advice
    # It is as said: of a cache of that size.
    column = DiskColumn(column.file, memory=found.memory)
    graph.ndata["feat"] = column
    (kept,) = loader.keep_expected_rows().values()
    assert kept.expected_hit_rate == pytest.approx(found.hit_rate, abs=1e-6)
    before = column.report()
    for _, _, blocks in loader_of(graph, shuffle=True):
        _ = blocks[0].srcdata["feat"]
    now = column.report()
    hits = (now.hits - before.hits) / (now.rows - before.rows)
    assert hits == pytest.approx(found.hit_rate, abs=0.03)


def test_advice_after_a_plan_knows_that_kept_rows_may_suffice(on_disk):
    graph = on_disk(1000)
    loader = loader_of(graph)
    hf.plan(loader, num_batches=2)
    column = graph.node_frames()["_N"].column("feat")
    column.gather(torch.arange(1000))
    assert not column.is_filling
    report = waits_for_the_disk(loader)
    assert report.larger_cache.memory > 0
    assert "keep_expected_rows()" in report.advice
    graph.ndata["other"] = torch.ones(4000)
    assert waits_for_the_disk(loader).larger_cache == report.larger_cache
    # Another sampler makes other batches.
    loader.graph_sampler = hf.dataloading.NeighborSampler([2])
    assert waits_for_the_disk(loader).larger_cache is None


@pytest.mark.parametrize("is_fixed", [True, False])
def test_a_cache_that_is_not_full_yet_is_not_called_too_small(on_disk, is_fixed):
    graph = on_disk(4000)
    loader = loader_of(graph)
    if is_fixed:
        loader.keep_expected_rows(fill=False)
    else:
        hf.plan(loader, num_batches=1)
    report = waits_for_the_disk(loader)
    assert report.larger_cache is None
    assert "the cache is still filling" in report.advice
    column = graph.node_frames()["_N"].column("feat")
    column.fill() if is_fixed else column.gather(torch.arange(4000))
    # Full, and it has all that is wanted: no other one would have more.
    assert not column.is_filling
    assert waits_for_the_disk(loader).larger_cache is None or not is_fixed


def test_rows_that_somebody_has_named_are_not_taken_for_the_likely_ones(on_disk):
    graph = on_disk(500)
    loader = loader_of(graph)
    (kept,) = loader.keep_expected_rows().values()
    column = graph.node_frames()["_N"].column("feat")
    unlikely = (-graph.out_degrees()).argsort(descending=True)[:500]
    column.keep(unlikely)
    before = column.report()
    for _, _, blocks in loader_of(graph):
        _ = blocks[0].srcdata["feat"]
    found = waits_for_the_disk(loader).larger_cache
    assert found.present_hit_rate == column.report().hit_rate < kept.expected_hit_rate / 2
    assert column.report().rows > before.rows
    # A plan goes by what it saw, too.
    plan = hf.plan(loader, num_batches=4)
    assert plan.hit_rate < kept.expected_hit_rate / 2


def test_no_cache_is_named_where_other_stages_make_the_model_wait(on_disk):
    graph = on_disk(500)
    loader = loader_of(graph)
    loader.keep_expected_rows()
    waits_for_the_disk(loader)
    loader._times.add("sampling", 10**11)
    assert loader.report().misses_for_half is None
    assert loader.report().larger_cache is None
    nothing = dict.fromkeys(("sampling", "gathering", "transposing", "copying"), 0.0)
    # Even without any reading more than half of the waiting would be left.
    few = LoaderReport(batches=1, seconds=9.0, waiting=8.0, reading=1.0, num_workers=1, **nothing)
    assert few.misses_for_half is None
