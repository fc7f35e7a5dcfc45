"""Loaders, samplers, graphs and blocks are pickled, copied and sent to other processes."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import pickle

import pytest
import torch
from helpers import is_emulated
from test_loader import epoch_of, ids_of, workers

import hopflow as hf
from hopflow.dataloading import (
    DataLoader,
    MultiLayerFullNeighborSampler,
    NeighborSampler,
    Sampler,
    as_edge_prediction_sampler,
    negative_sampler,
)


def pickled(x):
    return pickle.loads(pickle.dumps(x))


each_way = pytest.mark.parametrize("how", [pickled, copy.copy, copy.deepcopy])


class Halves(Sampler):
    """A sampler written in Python."""

    def __init__(self, fanout):
        self.inner = NeighborSampler([fanout])

    def sample(self, g, seeds):
        return self.inner.sample(g, seeds[: (len(seeds) + 1) // 2])


def loader_of(graph, sampler=None, **options):
    sampler = sampler or NeighborSampler([2, 3])
    options = {"batch_size": 7, "shuffle": True, "num_workers": 2, **options}
    return DataLoader(graph, torch.arange(60), sampler, **options)


@pytest.mark.cpu_only
@each_way
@pytest.mark.parametrize("randomness", ["seed", "generator", "torch"])
@pytest.mark.parametrize("batches", [0, 4, 9])
def test_a_copy_yields_what_the_loader_would(small_graph, how, randomness, batches):
    options = {
        "seed": {"seed": 5},
        "generator": {"generator": torch.Generator().manual_seed(5)},
        "torch": {},
    }[randomness]
    loader = loader_of(small_graph, **options)
    list(loader)
    iterator = iter(loader)
    for _ in range(batches):
        next(iterator)
    twin = how(loader)
    ours, theirs = loader.state_dict(), twin.state_dict()
    if randomness == "generator":
        assert ours.pop("generator").equal(theirs.pop("generator"))
    assert ours == theirs
    # Neither one's epochs move the other.
    rest = [ids_of(batch) for batch in iterator]
    assert len(rest) == 9 - batches
    assert twin.state_dict()["batch"] == theirs["batch"]
    torch.manual_seed(1)
    expected = [epoch_of(loader), epoch_of(loader)]
    torch.manual_seed(1)
    assert [epoch_of(twin), epoch_of(twin)] == expected
    assert expected[0] != expected[1]
    assert not workers()


@each_way
@pytest.mark.parametrize("randomness", [{"seed": 5}, {}])
def test_a_copy_resumes_in_mid_epoch(small_graph, how, randomness):
    loader = loader_of(small_graph, **randomness)
    whole = []
    for batch in loader:
        whole.append(ids_of(batch))
        if len(whole) == 4:
            twin = how(loader)
            twin.load_state_dict(twin.state_dict())
            # Also what is to be resumed is copied.
            again = how(twin)
    assert epoch_of(twin) == epoch_of(again) == whole[4:]


def test_closing_a_copy_leaves_the_loader_alone(small_graph):
    loader = loader_of(small_graph)
    iterator = iter(loader)
    next(iterator)
    copy.copy(loader).close()
    assert len(list(iterator)) == 8


@each_way
@pytest.mark.parametrize("sampler", [NeighborSampler([2]), Halves(2)])
def test_an_epoch_under_way_is_not_copied(small_graph, how, sampler):
    iterator = iter(loader_of(small_graph, sampler))
    next(iterator)
    with pytest.raises(TypeError, match=r"under way cannot be copied.*state_dict\(\)"):
        how(iterator)
    # A copy that closed the threads when it was freed ended the epoch.
    assert len(list(iterator)) == 8


def test_copies_share_or_own_as_copies_do(small_graph):
    generator = torch.Generator()
    loader = loader_of(small_graph, generator=generator)
    assert loader.generator is generator
    shallow, deep = copy.copy(loader), copy.deepcopy(loader)
    assert shallow.graph is small_graph
    assert deep.graph is not small_graph
    assert shallow.indices is loader.indices
    assert deep.indices is not loader.indices
    assert shallow.generator is not generator
    before = generator.get_state()
    list(shallow), list(deep)
    assert generator.get_state().equal(before)


def test_a_subclass_keeps_what_it_adds(small_graph):
    class Named(DataLoader):
        pass

    loader = Named(small_graph, [1, 2], NeighborSampler([1]))
    loader.name = "train"
    for twin in (copy.copy(loader), copy.deepcopy(loader)):
        assert type(twin) is Named
        assert twin.name == "train"


@each_way
def test_a_copy_keeps_rows_on_the_gpu_for_itself(cuda, small_graph, how):
    options = {"gpu_cache": {"node": {"feat": 50}}, "num_workers": 0, "seed": 1}
    if not is_emulated():
        options |= {"device": cuda, "use_uva": True}
    loader = loader_of(small_graph, **options)
    expected = epoch_of(copy.copy(loader))
    list(loader)
    twin = how(loader)
    twin.load_state_dict({**twin.state_dict(), "epoch": 0})
    del loader
    gc.collect()
    found = []
    for batch in twin:
        found.append(ids_of(batch))
        feat = batch[2][0].srcdata["feat"].cpu()
        assert feat.equal(twin.graph.ndata["feat"][batch[0].cpu().long()])
    assert found == expected
    assert 0 < twin.cache_hit_rates()["feat"] < 1


SAMPLERS = {
    "neighbors": NeighborSampler([2, 2], prefetch_node_feats=["feat"]),
    "weighted": NeighborSampler([2], prob="weight"),
    "out-edges": NeighborSampler([2], edge_dir="out"),
    "full": MultiLayerFullNeighborSampler(2),
    "python": Halves(2),
    "edges": as_edge_prediction_sampler(
        NeighborSampler([2]), exclude="self", negative_sampler=negative_sampler.Uniform(2)
    ),
    "edges, global": as_edge_prediction_sampler(
        NeighborSampler([2]), negative_sampler=negative_sampler.GlobalUniform(1)
    ),
}


def flat(batch):
    """Everything in a batch that is a tensor, as lists."""
    if isinstance(batch, torch.Tensor):
        return batch.tolist()
    if isinstance(batch, hf.Graph):
        return [x.tolist() for x in batch.edges()]
    return [flat(x) for x in batch]


@each_way
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_is_copied(small_graph, how, name):
    loader = loader_of(small_graph, SAMPLERS[name], seed=3)
    twin = how(loader)
    assert type(twin.graph_sampler) is type(SAMPLERS[name])
    assert [flat(batch) for batch in twin] == [flat(batch) for batch in loader]


def _in_child(loader, blocks, queue):
    queue.put((epoch_of(loader), [b.srcdata["feat"].tolist() for b in blocks]))


@pytest.mark.cpu_only  # kernels that are emulated here are not in another process
@pytest.mark.parametrize("name", ["neighbors", "python"])
def test_a_spawned_process_gets_the_same_batches(small_graph, name):
    loader = loader_of(
        small_graph, SAMPLERS[name], seed=3, num_workers=1, multiprocessing_context="spawn"
    )
    blocks = next(iter(loader_of(small_graph)))[2]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(loader, blocks, queue))
    child.start()
    theirs, feats = queue.get(timeout=120)
    child.join(60)
    assert child.exitcode == 0
    assert theirs == epoch_of(loader)
    assert feats == [b.srcdata["feat"].tolist() for b in blocks]


@pytest.mark.parametrize("how", [pickled, copy.deepcopy])
def test_backward_passes_over_a_copied_graph_share_one_transpose(small_graph, how, monkeypatch):
    graph = how(small_graph)
    made = []
    transpose_csc = hf.ops.transpose_csc
    monkeypatch.setattr(hf.ops, "transpose_csc", lambda *a: made.append(1) or transpose_csc(*a))
    monkeypatch.setattr("hopflow.ops.csc.transpose_csc", hf.ops.transpose_csc)
    for _ in range(3):
        x = graph.ndata["feat"].clone().requires_grad_()
        y = hf.ops.spmm(graph.adjacency.indptr, graph.adjacency.indices, x, reduce="mean")
        y.sum().backward()
    assert len(made) == 1
