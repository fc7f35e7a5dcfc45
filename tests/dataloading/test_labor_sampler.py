"""LaborSampler: blocks, keys of batches, the loader's threads."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import hopflow as hf
import hopflow.function as fn
from hopflow.dataloading import DataLoader, LaborSampler, NeighborSampler


def ids_of(batch) -> list[torch.Tensor]:
    inputs, outputs, blocks = batch
    return [inputs, outputs, *(block.edata[hf.EID] for block in blocks)]


def same(a, b) -> bool:
    ours, theirs = ids_of(a), ids_of(b)
    return all(x.shape == y.shape and torch.equal(x, y) for x, y in zip(ours, theirs))


@pytest.fixture
def graph(small_graph) -> hf.Graph:
    small_graph.edata["p"] = torch.rand(
        small_graph.num_edges(), generator=torch.Generator().manual_seed(0)
    )
    small_graph.ndata["h"] = torch.arange(200.0)[:, None]
    return small_graph


@pytest.mark.cpu_only
@pytest.mark.parametrize(
    "options", [{}, {"prob": "p"}, {"importance_sampling": 2}, {"edge_dir": "out"}]
)
def test_blocks(graph, options):
    sampler = LaborSampler([4, 3, -1], prefetch_node_feats=["h"], **options)
    seeds = torch.tensor([9, 3, 9, 100, 190])
    inputs, outputs, blocks = sampler.sample(graph, seeds)
    assert outputs.tolist() == [9, 3, 100, 190]
    assert blocks[-1].seed_inverse.tolist() == [0, 1, 0, 2, 3]
    assert torch.equal(blocks[0].srcdata["h"][:, 0], inputs.float())
    for before, block in zip([None, *blocks], blocks):
        num_dst = block.num_dst_nodes()
        assert torch.equal(block.srcdata[hf.NID][:num_dst], block.dstdata[hf.NID])
        if before is not None:
            assert torch.equal(before.dstdata[hf.NID], block.srcdata[hf.NID])
        src, dst = block.edges()
        ends = block.srcdata[hf.NID][src], block.dstdata[hf.NID][dst]
        expected = graph.find_edges(block.edata[hf.EID])
        expected = expected[::-1] if options.get("edge_dir") == "out" else expected
        assert torch.equal(ends[0], expected[0])
        assert torch.equal(ends[1], expected[1])
        has_weights = bool(options.keys() & {"prob", "importance_sampling"})
        assert ("edge_weights" in block.edata) == has_weights
        if has_weights:
            block.update_all(fn.copy_e("edge_weights", "m"), fn.sum("m", "n"))
            torch.testing.assert_close(block.dstdata["n"], block.in_degrees().float())


@pytest.mark.cpu_only
def test_fewer_nodes_than_neighbor_sampling():
    generator = torch.Generator().manual_seed(0)
    graph = hf.graph(tuple(torch.randint(3000, (2, 150_000), generator=generator)), num_nodes=3000)
    torch.manual_seed(0)

    def inputs(sampler) -> int:
        return len(sampler.sample(graph, range(300))[0])

    plain = inputs(NeighborSampler([8, 8]))
    labor = inputs(LaborSampler([8, 8]))
    shared = inputs(LaborSampler([8, 8], layer_dependency=True))
    better = inputs(LaborSampler([8, 8], importance_sampling=-1))
    assert labor < 0.95 * plain
    assert shared < labor
    assert better < labor


@pytest.mark.cpu_only
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prob": "p", "importance_sampling": 1},
        {"batch_dependency": 3},
        {"layer_dependency": True},
    ],
)
def test_the_same_batches_for_any_workers(graph, options):
    def batches(num_workers: int):
        torch.manual_seed(5)
        loader = DataLoader(
            graph, torch.arange(150), LaborSampler([3, 2], **options), batch_size=32, shuffle=True,
            num_workers=num_workers,
        )  # fmt: skip
        return [list(loader) for _ in range(2)]

    expected = batches(0)
    assert len(expected[0]) == 5
    assert not same(expected[0][0], expected[1][0])
    for num_workers in (1, 3):
        for ours, theirs in zip(batches(num_workers), expected):
            assert all(same(a, b) for a, b in zip(ours, theirs))


def kept(sampler, graph, seeds=range(200)) -> set[int]:
    _, _, (block,) = sampler.sample(graph, seeds)
    return set(block.edata[hf.EID].tolist())


def test_batches_that_depend_on_each_other(graph):
    torch.manual_seed(1)
    apart = LaborSampler([2])
    assert kept(apart, graph) != kept(apart, graph)
    always = LaborSampler([2], batch_dependency=0)
    always.set_seed(3)
    assert kept(always, graph) == kept(always, graph)
    in_loader = DataLoader(
        graph, torch.zeros(3, dtype=torch.int64), LaborSampler([2], batch_dependency=0), seed=3
    )
    epochs = [[b[0].edata[hf.EID].tolist() for _, _, b in in_loader] for _ in range(2)]
    assert epochs[0] == epochs[1] == [epochs[0][0]] * 3
    slowly = LaborSampler([2], batch_dependency=4)
    found = [kept(slowly, graph) for _ in range(9)]

    def overlap(a: int, b: int) -> float:
        return len(found[a] & found[b]) / len(found[a])

    # A quarter of the numbers is new in the next batch, all of them after four.
    assert overlap(0, 1) > overlap(0, 2) > overlap(0, 4)
    assert overlap(4, 5) > overlap(3, 7)
    fresh = len(kept(apart, graph) & kept(apart, graph)) / len(found[0])
    assert overlap(0, 1) > fresh + 0.1


def test_layers_that_depend_on_each_other(graph):
    sampler = LaborSampler([2, 2], layer_dependency=True)
    _, _, (first, last) = sampler.sample(graph, range(200))
    assert torch.equal(*(block.edata[hf.EID].sort().values for block in (first, last)))
    _, _, (first, last) = LaborSampler([2, 2]).sample(graph, range(200))
    assert set(first.edata[hf.EID].tolist()) != set(last.edata[hf.EID].tolist())


def test_seeds_of_samplers(graph):
    one, other = LaborSampler([2]), LaborSampler([2])
    one.set_seed(7)
    other.set_seed(7)
    drawn = [kept(one, graph) for _ in range(3)]
    assert [kept(other, graph) for _ in range(3)] == drawn
    one.set_seed(7)
    assert kept(one, graph) == drawn[0]
    assert (
        kept(pickle.loads(pickle.dumps(one)), graph) == kept(copy.deepcopy(one), graph) == drawn[1]
    )
    # In a loader too, whatever its own stream.
    found = []
    for _ in range(2):
        sampler = LaborSampler([2])
        sampler.set_seed(9)
        loader = DataLoader(graph, torch.arange(200), sampler, batch_size=50)
        found.append([batch[2][0].edata[hf.EID] for batch in loader])
    assert all(torch.equal(a, b) for a, b in zip(*found))
    with pytest.raises(TypeError, match="random_seed"):
        one.set_seed(0.5)


@pytest.mark.cpu_only
def test_several_types():
    graph = hf.heterograph(
        {("a", "x", "b"): (torch.arange(40) % 10, torch.arange(40) % 4),
         ("b", "y", "a"): (torch.arange(40) % 4, torch.arange(40) % 10)},
    )  # fmt: skip
    graph.edges["x"].data["w"] = torch.rand(40) + 0.1
    sampler = LaborSampler([2, {"x": 3, "y": 0}], prob="w")
    inputs, outputs, blocks = sampler.sample(graph, {"b": [0, 1, 2]})
    assert outputs["b"].tolist() == [0, 1, 2]
    assert set(inputs) == {"a", "b"}
    for block in blocks:
        weights = block.edges["x"].data["edge_weights"]
        assert weights.shape == (block.num_edges("x"),)
        assert "edge_weights" not in block.edges["y"].data
    _, _, blocks = LaborSampler([2, {"x": 3, "y": 0}], importance_sampling=1).sample(
        graph, {"b": [0]}
    )
    assert blocks[-1].edges["y"].data["edge_weights"].shape == (0,)
    # What is left out has weights of the dtype that it would have.
    graph.edges["y"].data["w"] = torch.ones(40, dtype=torch.float64)
    _, _, blocks = sampler.sample(graph, {"b": [0]})
    for block, of_y in zip(blocks, (40, 0)):
        weights = block.edges["y"].data["edge_weights"]
        assert weights.dtype == torch.float64
        assert (len(weights) > 0) == (of_y > 0)
    loader = DataLoader(graph, {"b": torch.arange(4)}, sampler, batch_size=2, num_workers=1)
    assert len(list(loader)) == 2


def test_edge_prediction(graph):
    sampler = hf.dataloading.as_edge_prediction_sampler(
        LaborSampler([3]),
        exclude="self",
        negative_sampler=hf.dataloading.negative_sampler.Uniform(1),
    )
    eids = torch.arange(0, 60, 2)
    _, pairs, _, (block,) = sampler.sample(graph, eids)
    assert pairs.num_edges() == 30
    assert not set(block.edata[hf.EID].tolist()) & set(eids.tolist())


def test_repr_and_mistakes(graph):
    told = LaborSampler(
        [2, 3], prob="p", importance_sampling=-7, layer_dependency=True, batch_dependency=2
    )
    assert repr(told) == (
        "LaborSampler([2, 3], prob='p', importance_sampling=-1, layer_dependency=True,"
        " batch_dependency=2)"
    )
    for options, error, message in (
        ({"fanouts": 3}, TypeError, "fanouts"),
        ({"fanouts": [2], "importance_sampling": 0.5}, TypeError, "importance_sampling"),
        ({"fanouts": [2], "batch_dependency": "x"}, TypeError, "batch_dependency"),
        ({"fanouts": [2], "edge_dir": "no"}, ValueError, "edge_dir"),
    ):
        with pytest.raises(error, match=message):
            LaborSampler(**options)
    with pytest.raises(ValueError, match="expected distinct nodes"):
        LaborSampler([2]).sample_blocks(graph, torch.tensor([1, 1]))
    with pytest.raises(IndexError, match="seed_nodes"):
        LaborSampler([2]).sample(graph, [300])
    with pytest.raises(KeyError):
        LaborSampler([2], prob="q").sample(graph, [3])
