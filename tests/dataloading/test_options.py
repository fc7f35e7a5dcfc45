"""The loader's options: those of DGL, and those that DGL hands on to torch's DataLoader."""

from __future__ import annotations

import inspect
import multiprocessing
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from test_loader import epoch_of, ids_of, workers

import hopflow as hf
from hopflow.dataloading import DataLoader, NeighborSampler, Sampler
from hopflow.dataloading.options import refuse_for_parts


class Slow(Sampler):
    """Written in Python; hangs at a seed until it is told to go on."""

    def __init__(self, at):
        self.at, self.go_on = at, threading.Event()

    def sample(self, g, seeds):
        if self.at in seeds.tolist():
            assert self.go_on.wait(60)
        return seeds


class Seeds(Sampler):
    """Written in Python; its batches are the seeds, the graph and a block."""

    def sample(self, g, seeds):
        block = NeighborSampler([2]).sample(g, seeds)[2][0]
        return {"seeds": seeds, "more": [(block, 3)]}


def loader_of(graph, graph_sampler=None, **options):
    graph_sampler = graph_sampler or NeighborSampler([2, 3])
    return DataLoader(graph, torch.arange(60), graph_sampler, **{"batch_size": 7, **options})


# --- names ---


def test_names_and_order_are_dgls_and_torchs():
    ours = list(inspect.signature(DataLoader).parameters.values())
    in_order = [p.name for p in ours if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert in_order == [
        "graph", "indices", "graph_sampler", "device", "use_ddp", "ddp_seed", "batch_size",
        "drop_last", "shuffle", "use_prefetch_thread", "use_alternate_streams", "pin_prefetcher",
        "use_uva", "gpu_cache",
    ]  # fmt: skip
    torchs = set(inspect.signature(torch.utils.data.DataLoader).parameters)
    assert torchs - {"dataset", "args", "kwargs"} <= {p.name for p in ours}


def test_torchs_defaults_are_taken(small_graph):
    torchs = inspect.signature(torch.utils.data.DataLoader).parameters
    defaults = {name: p.default for name, p in torchs.items() if p.default is not p.empty}
    loader = DataLoader(small_graph, range(20), NeighborSampler([2]), **defaults)
    assert len(list(loader)) == 20


def test_what_other_libraries_read_of_a_loader_is_there(small_graph):
    def started(number):
        pass

    loader = loader_of(small_graph, num_workers=2, timeout=9, worker_init_fn=started)
    assert loader.dataset is loader.indices
    assert len(loader.dataset) == 60
    assert (loader.batch_size, loader.num_workers, loader.prefetch_factor) == (7, 2, 2)
    assert loader.sampler is loader.batch_sampler is loader.collate_fn is None
    assert loader.timeout == 9
    assert loader.worker_init_fn is started
    assert (loader.drop_last, loader.pin_memory, loader.in_order) == (False, False, True)
    assert not loader.persistent_workers
    assert loader.generator is None
    for name in inspect.signature(torch.utils.data.DataLoader).parameters:
        assert name == "shuffle" or hasattr(loader, name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("shufle", "; did you mean 'shuffle'?"),
        ("batchsize", "; did you mean 'batch_size'?"),
        ("numworkers", "; did you mean 'num_workers'?"),
        ("unknown", ""),
        ("zzz", ""),
    ],
)
def test_an_unknown_keyword_is_named_with_its_closest(small_graph, name, hint):
    with pytest.raises(TypeError) as caught:
        loader_of(small_graph, **{name: 1})
    assert str(caught.value) == f"DataLoader got an unexpected keyword argument {name!r}{hint}"


@pytest.mark.parametrize(
    "options",
    [
        {"multiprocessing_context": "spawn"},
        {"multiprocessing_context": multiprocessing.get_context("spawn")},
        {"persistent_workers": True},
        {"in_order": False},
        {"pin_memory_device": "cuda"},
        {"prefetch_factor": None},
        {"shuffle": None},
        {"timeout": 0.0},
        {"timeout": np.float32(0)},
        {"drop_last": np.bool_(False)},
        {"ddp_seed": 3},
        {"collate_fn": None, "sampler": None, "batch_sampler": None},
    ],
)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_options_without_effect(small_graph, options, num_workers):
    plain = epoch_of(loader_of(small_graph, seed=1))
    assert epoch_of(loader_of(small_graph, seed=1, num_workers=num_workers, **options)) == plain


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"collate_fn": list}, ValueError, "collate_fn: expected None, got type; .*sample"),
        ({"sampler": [1]}, ValueError, "sampler: expected None, got list; give indices in"),
        ({"batch_sampler": [[1]]}, ValueError, "batch_sampler: expected None, .*batch_size"),
        ({"generator": 3}, TypeError, r"generator: expected a torch.Generator, got int; .*seed="),
        (
            {"generator": torch.Generator(), "seed": 1},
            ValueError,
            "generator, seed: expected one of them",
        ),
        ({"timeout": -1}, ValueError, "timeout: expected 0 or more seconds, got -1"),
        ({"timeout": float("nan")}, ValueError, "timeout: expected 0 or more seconds, got nan"),
        ({"timeout": float("inf")}, ValueError, "timeout: expected 0 or more seconds, got inf"),
        ({"timeout": 10**400}, ValueError, "timeout: expected a number that float64 holds"),
        ({"timeout": "1"}, TypeError, "timeout: expected seconds, got str"),
        ({"timeout": None}, TypeError, "timeout: expected seconds, got NoneType"),
        ({"timeout": True}, TypeError, "timeout: expected seconds, got bool"),
        ({"timeout": 1}, ValueError, "timeout: expected 0 without workers, got 1"),
        ({"worker_init_fn": 3}, TypeError, "worker_init_fn: expected a function"),
        ({"multiprocessing_context": 3}, TypeError, "multiprocessing_context: expected the name"),
        ({"multiprocessing_context": "x"}, ValueError, "multiprocessing_context: expected one of"),
        ({"pin_memory": "cuda"}, TypeError, "pin_memory: expected True or False, got 'cuda'"),
        ({"pin_memory_device": 0}, TypeError, "pin_memory_device: expected a str, got int"),
        ({"pin_memory_device": "x"}, ValueError, "pin_memory_device: expected the name"),
        ({"shuffle": "no"}, TypeError, "shuffle: expected True or False, got 'no'"),
        ({"drop_last": 2}, TypeError, "drop_last: expected True or False, got 2"),
        ({"persistent_workers": None}, TypeError, "persistent_workers: expected True or False"),
        ({"in_order": "yes"}, TypeError, "in_order: expected True or False, got 'yes'"),
        ({"batch_size": None}, TypeError, "batch_size: expected an int, got NoneType"),
        ({"sampler": NeighborSampler}, ValueError, "sampler: expected None, got type"),
    ],
)
def test_bad_options(small_graph, options, error, match):
    with pytest.raises(error, match=match):
        loader_of(small_graph, **options)


def test_a_generator_on_another_device_is_refused(small_graph, monkeypatch):
    class Elsewhere(torch.Generator):
        device = torch.device("cuda:0")

    with pytest.raises(ValueError, match="generator: expected one on the CPU, got one on cuda:0"):
        loader_of(small_graph, generator=Elsewhere())


def test_a_samplers_class_is_refused(small_graph):
    with pytest.raises(TypeError, match="expected a sampler, got the class NeighborSampler"):
        DataLoader(small_graph, [0], NeighborSampler)

    class Static:  # no sampler of hopflow's: its class may be one
        @staticmethod
        def sample(g, seeds):
            return seeds

    assert [int(x) for x in DataLoader(small_graph, [4, 2], Static)] == [4, 2]


# --- generator ---


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_generator_fixes_orders_and_draws(small_graph, num_workers):
    def make(seed):
        generator = torch.Generator().manual_seed(seed)
        return loader_of(small_graph, shuffle=True, num_workers=num_workers, generator=generator)

    one, two, other = make(5), make(5), make(6)
    torchs = torch.get_rng_state()
    first, second = epoch_of(one), epoch_of(one)
    torch.manual_seed(99)
    assert [epoch_of(two), epoch_of(two)] == [first, second]
    assert len({str(x) for x in (first, second, epoch_of(other))}) == 3
    torch.set_rng_state(torchs)
    list(one)
    assert torch.get_rng_state().equal(torchs)


def test_a_generator_is_drawn_from_once_an_epoch(small_graph):
    generator, same = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    loader = loader_of(small_graph, shuffle=True, generator=generator)
    assert generator.get_state().equal(same.get_state())
    for _ in range(3):
        list(loader)
        torch.randint(2**63 - 1, (), generator=same)
        assert generator.get_state().equal(same.get_state())


@pytest.mark.parametrize("stop_at", [0, 4, 9])
def test_a_state_holds_the_generators(small_graph, stop_at):
    def make(seed):
        generator = torch.Generator().manual_seed(seed)
        return loader_of(small_graph, shuffle=True, num_workers=1, generator=generator)

    loader = make(1)
    list(loader)
    state, whole = loader.state_dict(), []
    for batch in loader:
        whole.append(ids_of(batch))
        if len(whole) == stop_at:
            state = loader.state_dict()
    second = epoch_of(loader)
    resumed = make(2)
    resumed.load_state_dict(state)
    if stop_at < 9:
        assert epoch_of(resumed) == whole[stop_at:]
    assert epoch_of(resumed) == second


def test_a_state_without_a_generators_is_refused(small_graph):
    drawn, plain = loader_of(small_graph, generator=torch.Generator()), loader_of(small_graph)
    with pytest.raises(ValueError, match="state: no generator"):
        drawn.load_state_dict(plain.state_dict())
    with pytest.raises(ValueError, match="state: it is of a loader with a generator"):
        plain.load_state_dict(drawn.state_dict())
    with pytest.raises(TypeError, match="state: generator: expected a tensor, got int"):
        drawn.load_state_dict({**drawn.state_dict(), "generator": 3})


# --- timeout ---


def test_a_batch_that_takes_too_long_ends_the_epoch(small_graph):
    sampler = Slow(at=30)
    loader = loader_of(small_graph, sampler, num_workers=2, timeout=0.3)
    seen = []
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match=r"^DataLoader timed out after 0.3 seconds$"):
        seen.extend(int(seeds[0]) for seeds in loader)
    assert 0.3 <= time.monotonic() - begin < 30
    assert seen == [0, 7, 14, 21]
    # The loader can be used again, whatever its threads of before still do.
    sampler.at = None
    assert len(list(loader)) == 9
    sampler.go_on.set()
    assert not workers()


def test_what_comes_in_time_is_not_timed_out(small_graph):
    for sampler in (Slow(at=None), NeighborSampler([2, 2])):
        loader = loader_of(small_graph, sampler, num_workers=2, timeout=30)
        for _ in range(2):
            assert len(list(loader)) == 9
    assert not workers()


@pytest.mark.cpu_only  # where the GPU samples there are no workers to wait for
def test_a_native_batch_that_takes_too_long_ends_the_epoch():
    src, dst = torch.randint(50_000, (2, 1_000_000))
    graph = hf.graph((src, dst), num_nodes=50_000)
    loader = DataLoader(
        graph, torch.arange(50_000), NeighborSampler([15, 15, 15]), batch_size=25_000,
        num_workers=1, timeout=1e-3, seed=1,
    )  # fmt: skip
    with pytest.raises(RuntimeError, match=r"^DataLoader timed out after 0.001 seconds$"):
        list(loader)
    assert not workers()
    loader.timeout = 0.0
    assert len(list(loader)) == 2


def test_an_error_before_the_time_is_up_is_its_own(small_graph):
    loader = loader_of(small_graph, num_workers=1, timeout=60)
    iterator = iter(loader)
    next(iterator)
    loader.close()
    with pytest.raises(hf.HopflowError, match="closed before its end"):
        next(iterator)


# --- worker_init_fn ---


def test_worker_init_fn_is_called_once_in_each_python_thread(small_graph):
    numbers, threads, sampled_in = [], [], set()

    class Watching(Sampler):
        def sample(self, g, seeds):
            sampled_in.add(threading.current_thread())
            return seeds

    def started(number):
        numbers.append(number)
        threads.append(threading.current_thread())

    loader = loader_of(small_graph, Watching(), num_workers=2, worker_init_fn=started)
    for epoch in (1, 2):
        list(loader)
        assert len(numbers) <= 2 * epoch
        assert set(numbers) <= {0, 1}
        assert numbers.count(0) == epoch
        assert sampled_in <= set(threads)
    numbers.clear()
    list(loader_of(small_graph, Watching(), worker_init_fn=started))
    list(loader_of(small_graph, num_workers=2, worker_init_fn=started))
    assert numbers == []


@pytest.mark.parametrize(
    ("error", "match"),
    [(OSError("no such file"), "no such file"), (StopIteration(), "worker_init_fn raised Stop")],
)
def test_what_worker_init_fn_raises_surfaces(small_graph, error, match):
    def failing(number):
        raise error

    loader = loader_of(small_graph, Seeds(), num_workers=2, worker_init_fn=failing)
    with pytest.raises(OSError if isinstance(error, OSError) else RuntimeError, match=match):
        list(loader)
    assert not workers()
    loader.worker_init_fn = None
    assert len(list(loader)) == 9


# --- pin_memory ---


@pytest.mark.cpu_only
def test_pin_memory_without_cuda_warns_and_does_nothing(small_graph, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(UserWarning, match="pin_memory=True is without effect: .*no CUDA") as told:
        loader = loader_of(small_graph, pin_memory=True, seed=1)
    assert told[0].filename == __file__
    assert epoch_of(loader) == epoch_of(loader_of(small_graph, seed=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loader_of(small_graph, pin_memory=False)


@pytest.fixture
def locked(monkeypatch):
    """Addresses of what was page-locked, in place of a device that could do so."""
    addresses = set()

    def pin(x):
        copied = x.clone()
        addresses.add(copied.data_ptr())
        kept.append(copied)  # its address is not given away again
        return copied

    kept = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(hf.ops, "set_pool_pinned", lambda pinned: None)
    return addresses


@pytest.mark.cpu_only
@pytest.mark.parametrize("num_workers", [0, 2])
def test_pin_memory_locks_batches(small_graph, num_workers, locked):
    options = {"num_workers": num_workers, "seed": 1}
    expected = list(loader_of(small_graph, **options))
    assert not locked
    loader = loader_of(small_graph, pin_memory=True, **options)
    for batch, (input_nodes, output_nodes, blocks) in zip(expected, loader):
        assert ids_of(batch) == ids_of((input_nodes, output_nodes, blocks))
        feat = blocks[0].srcdata["feat"]  # gathered now, or brought along after the first batches
        assert feat.equal(batch[2][0].srcdata["feat"])
        tensors = [input_nodes, output_nodes, feat]
        for block in blocks:
            tensors += [block.adjacency.indptr, block.adjacency.indices]
        assert {x.data_ptr() for x in tensors} <= locked


@pytest.mark.cpu_only
@pytest.mark.parametrize("num_workers", [0, 2])
def test_pin_memory_locks_what_other_samplers_return(small_graph, num_workers, locked):
    parents = {x.data_ptr() for x in small_graph.adjacency.arrays()}
    loader = loader_of(small_graph, Seeds(), num_workers=num_workers, pin_memory=True)
    for batch in loader:
        block, number = batch["more"][0]
        assert number == 3
        feat = block.srcdata["feat"]
        assert feat.equal(small_graph.ndata["feat"][block.srcdata[hf.NID]])
        tensors = [batch["seeds"], feat, block.adjacency.indptr, block.adjacency.indices]
        assert {x.data_ptr() for x in tensors} <= locked
    assert not parents & locked


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: hf.dataloading.SAINTSampler("node", 10), "draws from a whole graph"),
        pytest.param(
            lambda: hf.dataloading.ClusterGCNSampler(cliques(), 2, None),
            "draws from a whole graph",
            marks=pytest.mark.cpu_only,  # it partitions
        ),
        (
            lambda: hf.dataloading.as_edge_prediction_sampler(NeighborSampler([1])),
            "edge prediction is not possible there yet",
        ),
        (Seeds, "draws from a whole graph"),
    ],
)
def test_why_a_sampler_cannot_draw_from_parts(make, why):
    class OneProcess:
        def ranks(self):
            return 0, 1

    sampler = make()
    with pytest.raises(ValueError, match=rf"got {type(sampler).__name__}; .*{why}"):
        refuse_for_parts(OneProcess(), sampler, False, False)
    refuse_for_parts(OneProcess(), NeighborSampler([1]), False, False)


def cliques() -> hf.Graph:
    return hf.graph(([0, 1, 2, 3], [1, 0, 3, 2]))
