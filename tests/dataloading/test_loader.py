"""The loader."""

from __future__ import annotations

import gc
import threading
import time
import traceback

import pytest
import torch
from helpers import native_threads

import hopflow as hf
from hopflow.dataloading import (
    BlockSampler,
    DataLoader,
    NeighborSampler,
)


def ids_of(batch):
    """Everything sampled in a batch, as plain lists."""
    input_nodes, output_nodes, blocks = batch
    edges = [
        (b.edges()[0].tolist(), b.edges()[1].tolist(), b.edata[hf.EID].tolist()) for b in blocks
    ]
    return input_nodes.tolist(), output_nodes.tolist(), edges


def epoch_of(loader):
    return [ids_of(batch) for batch in loader]


def workers():
    """Worker threads left after a moment for those that were told to end."""
    gc.collect()
    deadline = time.monotonic() + 10
    while True:
        alive = [t.name for t in threading.enumerate() if t.name.startswith("hopflow-worker")]
        alive += native_threads()
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.01)


# --- one answer ---


@pytest.mark.parametrize("shuffle", [False, True])
def test_same_batches_for_any_workers_and_threads(small_graph, shuffle):
    results = []
    for num_workers in (0, 1, 2, 4):
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(11)
            loader = DataLoader(
                small_graph, torch.arange(180), NeighborSampler([3, 4]), batch_size=13,
                shuffle=shuffle, num_workers=num_workers,
            )  # fmt: skip
            results.append([epoch_of(loader), epoch_of(loader)])
    assert all(other == results[0] for other in results[1:])
    first, second = results[0]
    assert first != second
    if shuffle:
        assert [b[1] for b in first] != [b[1] for b in second]
        for epoch in (first, second):
            assert sorted(node for batch in epoch for node in batch[1]) == list(range(180))


def test_torch_manual_seed_repeats_a_loop(small_graph):
    loader = DataLoader(small_graph, range(60), NeighborSampler([2]), batch_size=7, shuffle=True)
    torch.manual_seed(3)
    first = epoch_of(loader)
    assert epoch_of(loader) != first
    torch.manual_seed(3)
    assert epoch_of(loader) == first
    torch.manual_seed(4)
    assert epoch_of(loader) != first


def test_own_seed_is_independent_of_torchs(small_graph):
    def make():
        return DataLoader(
            small_graph, range(60), NeighborSampler([2]), batch_size=7, shuffle=True, seed=5
        )

    one = make()
    first, second = epoch_of(one), epoch_of(one)
    torch.manual_seed(99)
    two = make()
    assert [epoch_of(two), epoch_of(two)] == [first, second]
    assert first != second


def test_batches_differ_from_each_other(small_graph):
    # One node in every batch: were batches keyed alike, its samples would be too.
    loader = DataLoader(small_graph, [0] * 40, NeighborSampler([1]))
    picks = {ids_of(batch)[2][0][2][0] for batch in loader}
    assert len(picks) > 3


def test_hops_differ_from_each_other():
    # Node 0's only in-neighbour is itself or one of 50 others: two hops draw apart.
    graph = hf.graph((list(range(51)), [0] * 51))
    same = 0
    for _ in range(60):
        _, _, (second, first) = NeighborSampler([1, 1]).sample(graph, [0])
        same += int(second.edata[hf.EID][0]) == int(first.edata[hf.EID][0])
    assert same < 15


# --- the loader's life ---


@pytest.mark.parametrize(
    ("num_seeds", "batch_size", "drop_last", "sizes"),
    [(10, 4, False, [4, 4, 2]), (10, 4, True, [4, 4]), (8, 4, True, [4, 4]), (3, 5, False, [3])],
)
def test_lengths(small_graph, num_seeds, batch_size, drop_last, sizes):
    loader = DataLoader(
        small_graph, range(num_seeds), NeighborSampler([1]), batch_size=batch_size,
        drop_last=drop_last,
    )  # fmt: skip
    assert len(loader) == len(sizes)
    assert [len(batch[1]) for batch in loader] == sizes


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("stop_at", [0, 1, 4, 9])
@pytest.mark.parametrize("seed", [None, 8])
def test_resumes_where_it_was_stopped(small_graph, num_workers, stop_at, seed):
    def make(workers):
        return DataLoader(
            small_graph, range(90), NeighborSampler([2, 2]), batch_size=10, shuffle=True,
            num_workers=workers, seed=seed,
        )  # fmt: skip

    torch.manual_seed(1)
    loader = make(num_workers)
    whole = []
    state = loader.state_dict() if stop_at == 0 else None
    for i, batch in enumerate(loader):
        whole.append(ids_of(batch))
        if i + 1 == stop_at:
            state = loader.state_dict()
    second = epoch_of(loader)

    torch.manual_seed(1 if stop_at == 0 else 77)
    resumed = make(2 - num_workers)
    resumed.load_state_dict(state)
    rest = epoch_of(resumed)
    if stop_at == 9:  # the epoch was over: the next one starts
        if seed is not None:
            assert rest == second
        assert len(rest) == 9
        return
    assert rest == whole[stop_at:]
    if seed is not None:
        assert epoch_of(resumed) == second


def test_state_of_another_loader_is_refused(small_graph):
    state = DataLoader(small_graph, range(9), NeighborSampler([1]), batch_size=3).state_dict()
    other = DataLoader(small_graph, range(9), NeighborSampler([1]), batch_size=2)
    with pytest.raises(ValueError, match="state: batch_size is 3, this loader's is 2"):
        other.load_state_dict(state)
    with pytest.raises(ValueError, match="state: no "):
        other.load_state_dict({"seed": 1})
    other = DataLoader(small_graph, range(1, 10), NeighborSampler([1]), batch_size=3)
    with pytest.raises(ValueError, match="state: it is of other seeds"):
        other.load_state_dict(state)
    other = DataLoader(small_graph, range(9), NeighborSampler([1]), batch_size=3, shuffle=True)
    with pytest.raises(ValueError, match="state: shuffle is 0, this loader's is 1"):
        other.load_state_dict(state)
    same = DataLoader(small_graph, range(9), NeighborSampler([1]), batch_size=3)
    with pytest.raises(ValueError, match="expected batch 0 to 3, got 7"):
        same.load_state_dict({**state, "batch": 7})
    with pytest.raises(TypeError, match="state: batch: expected an int, got float"):
        same.load_state_dict({**state, "batch": 1.0})


@pytest.mark.parametrize("num_workers", [0, 2])
def test_iterators_of_one_loader_coexist(small_graph, num_workers):
    loader = DataLoader(
        small_graph, range(40), NeighborSampler([2]), batch_size=10, num_workers=num_workers
    )
    assert len(list(zip(loader, loader))) == 4
    assert sum(1 for _ in loader for _ in loader) == 16
    assert not workers()


def test_the_callers_seeds_may_change(small_graph):
    seeds = torch.arange(40)
    loader = DataLoader(small_graph, seeds, NeighborSampler([2]), batch_size=10)
    seeds.fill_(3)
    assert [int(batch[1][0]) for batch in loader] == [0, 10, 20, 30]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_several_threads_may_consume_one_epoch(small_graph, num_workers):
    loader = DataLoader(small_graph, range(200), NeighborSampler([2]), num_workers=num_workers)
    iterator, seen = iter(loader), []

    def consume():
        seen.extend(int(batch[1][0]) for batch in iterator)

    threads = [threading.Thread(target=consume) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(200))
    assert not workers()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_stop_iteration_in_a_sampler_does_not_end_the_epoch_silently(small_graph, num_workers):
    class Exhausted(NeighborSampler):
        def sample(self, g, seed_nodes):
            next(iter(()))

    loader = DataLoader(small_graph, range(9), Exhausted([1]), num_workers=num_workers)
    with pytest.raises(RuntimeError, match="the sampler raised StopIteration in batch 0"):
        list(loader)


def test_workers_use_one_thread_each(small_graph):
    torch.set_num_threads(4)
    threads = []

    class Watching(NeighborSampler):
        def sample(self, g, seed_nodes):
            torch.ones(500_000).add_(1)
            threads.append(hf.ops.num_threads())
            return super().sample(g, seed_nodes)

    list(DataLoader(small_graph, range(12), Watching([2]), num_workers=2))
    assert set(threads) == {1}
    hf.ops.set_num_threads(3)
    torch.ones(500_000).add_(1)
    assert hf.ops.num_threads() == 3


class Failing(BlockSampler):
    """Fails at a seed, in a function whose name must show in the traceback."""

    def sample_blocks(self, g, seed_nodes):
        def the_culprit():
            raise RuntimeError("seed 30 is cursed")

        if 30 in seed_nodes.tolist():
            the_culprit()
        return NeighborSampler([2]).sample_blocks(g, seed_nodes)


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_failures_surface_with_their_traceback_and_the_loader_lives_on(small_graph, num_workers):
    loader = DataLoader(small_graph, range(60), Failing(), batch_size=10, num_workers=num_workers)
    for _ in range(2):
        seen = []
        with pytest.raises(RuntimeError, match="seed 30 is cursed") as caught:
            seen.extend(batch[1][0].item() for batch in loader)
        assert seen == [0, 10, 20]
        assert "the_culprit" in "".join(traceback.format_tb(caught.value.__traceback__))
        assert not workers()
    loader.graph_sampler = NeighborSampler([2])
    assert len(list(loader)) == 6


def test_threads_end_with_the_loop(small_graph):
    loader = DataLoader(small_graph, range(200), NeighborSampler([2]), batch_size=2, num_workers=3)
    for _ in loader:
        break
    assert not workers()
    iterator = iter(loader)
    next(iterator)
    loader.close()
    assert not workers()
    with pytest.raises(hf.HopflowError, match="closed before its end"):
        next(iterator)
    assert len(list(loader)) == 100
    assert not workers()


def test_dropping_the_loader_with_a_batch_in_flight_ends_its_threads(small_graph):
    iterator = iter(DataLoader(small_graph, range(200), NeighborSampler([2]), num_workers=2))
    next(iterator)
    del iterator
    assert not workers()


def test_only_a_bounded_number_of_batches_is_prepared_ahead(small_graph):
    started = []

    class Counting(NeighborSampler):
        def sample(self, g, seed_nodes):
            started.append(1)
            return super().sample(g, seed_nodes)

    loader = DataLoader(
        small_graph, range(100), Counting([2]), num_workers=2, prefetch_factor=3, batch_size=1
    )
    iterator = iter(loader)
    for _ in range(10):
        next(iterator)
    loader.close()
    assert 10 <= len(started) <= 10 + 6


def test_any_object_with_sample_is_a_sampler(small_graph):
    class Mine:
        def sample(self, g, seeds):
            frontier = hf.sample_neighbors(g, seeds, 3)
            block = hf.to_block(frontier, seeds)
            return block.srcdata[hf.NID], seeds, [block]

    results = []
    for num_workers in (0, 2):
        torch.manual_seed(2)
        loader = DataLoader(small_graph, range(50), Mine(), batch_size=8, num_workers=num_workers)
        results.append(epoch_of(loader))
    assert results[0] == results[1]


# --- errors ---


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"batch_size": 0}, ValueError, "batch_size: expected at least 1, got 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size: expected an int, got float"),
        ({"num_workers": -1}, ValueError, "num_workers: expected at least 0"),
        ({"prefetch_factor": 0}, ValueError, "prefetch_factor: expected at least 1"),
        ({"seed": -1}, ValueError, "seed: expected at least 0"),
        pytest.param(
            {"use_uva": True},
            ValueError,
            "use_uva: .*for batches on the CPU",
            marks=pytest.mark.cpu_only,
        ),
        pytest.param(
            {"gpu_cache": {"node": {"feat": 9}}},
            ValueError,
            "gpu_cache: .*for batches on the CPU",
            marks=pytest.mark.cpu_only,
        ),
        ({"use_ddp": "yes"}, TypeError, "use_ddp: expected True or False"),
        ({"ddp_seed": -1}, ValueError, "ddp_seed: expected at least 0"),
        ({"graph_sampler": 3}, TypeError, r"graph_sampler: expected an object with sample"),
        ({"graph": 3}, TypeError, "graph: expected a hopflow.Graph, got int"),
        ({"device": "nonsense"}, RuntimeError, "nonsense"),
        ({"shufle": True}, TypeError, "shufle"),
    ],
)
def test_bad_loader_options(small_graph, options, error, match):
    arguments = {"graph": small_graph, "indices": [0], "graph_sampler": NeighborSampler([1])}
    with pytest.raises(error, match=match):
        DataLoader(**{**arguments, **options})
