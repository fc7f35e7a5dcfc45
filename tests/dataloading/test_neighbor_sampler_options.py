"""NeighborSampler by weight, masked, without some edges, along out-edges."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import hopflow as hf
from hopflow.dataloading import (
    BlockSampler,
    DataLoader,
    MultiLayerFullNeighborSampler,
    NeighborSampler,
)


def in_edges(graph: hf.Graph, node: int) -> list[int]:
    """Ids of a node's in-edges."""
    return (graph.edges()[1] == node).nonzero().flatten().tolist()


def kept_edges(blocks) -> list[set[int]]:
    """Ids of the edges in each block."""
    return [set(block.edata[hf.EID].tolist()) for block in blocks]


def assert_chained(graph, blocks, *, out=False):
    """Blocks name the graph's edges, each the right way round, and each block feeds the next."""
    src, dst = graph.edges()
    if out:
        src, dst = dst, src
    for above, below in pairwise(blocks):
        assert torch.equal(above.dstdata[hf.NID], below.srcdata[hf.NID])
    for block in blocks:
        u, v = block.edges()
        eids = block.edata[hf.EID].long()
        assert torch.equal(src[eids], block.srcdata[hf.NID][u.long()])
        assert torch.equal(dst[eids], block.dstdata[hf.NID][v.long()])
        assert torch.equal(block.edata["weight"], graph.edata["weight"][eids])


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("fanout", [-1, 3, 50])
@pytest.mark.parametrize("replace", [False, True])
def test_edges_of_weight_zero_are_never_taken(small_graph, fanout, replace, idtype):
    graph = small_graph._as_idtype(idtype)
    weight = graph.edata["weight"].clone()
    weight[::3] = 0
    graph.edata["w"] = weight
    seeds = torch.arange(0, 200, 7)
    sampler = NeighborSampler([fanout, fanout], prob="w", replace=replace)
    input_nodes, output_nodes, blocks = sampler.sample(graph, seeds)
    assert_chained(graph, blocks)
    assert input_nodes.dtype == output_nodes.dtype == idtype
    positive = hf.graph(graph.edges(), num_nodes=200)
    _, dst = positive.edges()
    degrees = torch.bincount(dst[weight > 0].long(), minlength=200)
    for block in blocks:
        assert bool((weight[block.edata[hf.EID].long()] > 0).all())
        own = degrees[block.dstdata[hf.NID].long()]
        most = own if fanout < 0 else own.clamp(max=fanout)
        if replace and fanout > 0:
            most = torch.where(own > 0, fanout, 0)
        assert torch.equal(block.in_degrees().long(), most)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64])
def test_weights_of_any_dtype(small_graph, dtype):
    weight = torch.arange(2000).remainder(5).to(dtype)
    _, _, blocks = NeighborSampler([4], prob=weight).sample(small_graph, range(200))
    wide = weight.double()
    assert bool((wide[blocks[0].edata[hf.EID]] > 0).all())
    _, _, again = NeighborSampler([4], prob=wide).sample(small_graph, range(200))
    assert blocks[0].num_edges() == again[0].num_edges()


def test_heavy_edges_are_taken_more_often():
    seeds = torch.arange(4, 4004)
    graph = hf.graph((torch.arange(4).repeat(4000), seeds.repeat_interleave(4)))
    graph.edata["w"] = torch.tensor([1.0, 2.0, 3.0, 4.0]).repeat(4000)
    _, _, (block,) = NeighborSampler([1], prob="w").sample(graph, seeds)
    counts = np.bincount(block.edata[hf.EID] % 4, minlength=4)
    assert np.all(np.abs(counts - np.array([400, 800, 1200, 1600])) < 4.5 * np.sqrt(960))


def test_a_changed_column_is_seen(small_graph):
    small_graph.edata["w"] = torch.ones(2000)
    sampler = NeighborSampler([-1], prob="w")
    assert sampler.sample(small_graph, [5])[2][0].num_edges() == len(in_edges(small_graph, 5))
    small_graph.edata["w"][in_edges(small_graph, 5)[0]] = 0
    assert sampler.sample(small_graph, [5])[2][0].num_edges() == len(in_edges(small_graph, 5)) - 1
    small_graph.edata["w"] = torch.zeros(2000)
    assert sampler.sample(small_graph, [5])[2][0].num_edges() == 0


def test_what_weights_need_is_prepared_once(small_graph, monkeypatch):
    calls = []
    real = hf.ops.row_weights
    monkeypatch.setattr(hf.ops, "row_weights", lambda *args: calls.append(1) or real(*args))
    sampler = NeighborSampler([2, 2], prob="weight")
    for _ in range(3):
        sampler.sample(small_graph, [1, 2, 3])
    hf.sample_neighbors(small_graph, [1], 2, prob="weight")
    assert len(calls) == 1


def test_prepared_edges_go_with_the_graph(small_graph):
    import gc
    import weakref

    graph = hf.graph(small_graph.edges())
    weight = torch.rand(2000)
    NeighborSampler([2], prob=weight).sample(graph, [1], exclude_eids=[3])
    ref = weakref.ref(graph.adjacency)
    gc.disable()
    try:
        del graph
        assert ref() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8])
def test_mask_leaves_the_edges_that_are_true(small_graph, dtype):
    mask = torch.arange(2000) % 4 == 0
    small_graph.edata["m"] = mask.to(dtype)
    _, _, blocks = NeighborSampler([-1, -1], mask="m").sample(small_graph, range(200))
    assert_chained(small_graph, blocks)
    assert kept_edges(blocks)[1] == set(range(0, 2000, 4))
    _, _, blocks = NeighborSampler([2], mask="m").sample(small_graph, range(200))
    assert_chained(small_graph, blocks)
    degrees = torch.bincount(small_graph.edges()[1][mask], minlength=200)
    assert torch.equal(blocks[0].in_degrees(), degrees.clamp(max=2))


def test_a_masked_sample_is_that_of_the_graph_without_the_other_edges(small_graph):
    mask = torch.rand(2000) < 0.5
    src, dst = small_graph.edges()
    less = hf.graph((src[mask], dst[mask]), num_nodes=200)
    eids = mask.nonzero().flatten()
    torch.manual_seed(3)
    want = NeighborSampler([3, 4]).sample(less, range(50))
    torch.manual_seed(3)
    got = NeighborSampler([3, 4], mask=mask).sample(small_graph, range(50))
    assert torch.equal(got[0], want[0])
    for ours, theirs in zip(got[2], want[2], strict=True):
        assert torch.equal(ours.edata[hf.EID], eids[theirs.edata[hf.EID]])


@pytest.mark.parametrize("options", [{}, {"prob": "weight"}, {"edge_dir": "out"}])
@pytest.mark.parametrize("replace", [False, True])
def test_excluded_edges_are_replaced_by_others(small_graph, replace, options):
    """The fanout is filled from the other edges, at every hop."""
    out = "edge_dir" in options
    excluded = torch.arange(0, 2000, 3)
    sampler = NeighborSampler([6, 4], replace=replace, **options)
    _, _, blocks = sampler.sample(small_graph, range(100), exclude_eids=excluded.flip(0))
    assert_chained(small_graph, blocks, out=out)
    ends = small_graph.edges()[0 if out else 1]
    left = torch.ones(2000, dtype=torch.bool)
    left[excluded] = False
    degrees = torch.bincount(ends[left], minlength=200)
    for block, fanout in zip(blocks, [6, 4], strict=True):
        assert bool(left[block.edata[hf.EID]].all())
        own = degrees[block.dstdata[hf.NID]]
        kept = torch.where(own > 0, fanout, 0) if replace else own.clamp(max=fanout)
        assert torch.equal(block.in_degrees(), kept)


@pytest.mark.parametrize("options", [{}, {"prob": "weight"}, {"mask": torch.arange(2000) % 2 > 0}])
def test_excluding_edges_elsewhere_changes_nothing(small_graph, options):
    sampler = NeighborSampler([3], **options)
    torch.manual_seed(1)
    want = sampler.sample(small_graph, [5, 9])[2][0]
    torch.manual_seed(1)
    elsewhere = in_edges(small_graph, 17)
    got = sampler.sample(small_graph, [5, 9], exclude_eids=elsewhere * 2)[2][0]
    assert torch.equal(got.edata[hf.EID], want.edata[hf.EID])
    assert torch.equal(got.srcdata[hf.NID], want.srcdata[hf.NID])


def test_excluding_all_and_none(small_graph):
    for options in ({}, {"prob": "weight"}):
        sampler = NeighborSampler([3, 3], **options)
        nothing = sampler.sample(small_graph, [5, 190], exclude_eids=range(2000))
        assert [block.num_edges() for block in nothing[2]] == [0, 0]
        assert nothing[0].tolist() == [5, 190]
        assert sampler.sample(small_graph, [5], exclude_eids=[])[2][1].num_edges() == 3


def test_merged_seeds_beside_excluded_edges(small_graph):
    seeds = torch.tensor([9, 4, 9, 4])
    _, output_nodes, blocks = NeighborSampler([3, 3]).sample(
        small_graph, seeds, exclude_eids=in_edges(small_graph, 9)[:1]
    )
    assert output_nodes.tolist() == [9, 4]
    assert blocks[-1].seed_inverse.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("options", [{}, {"prob": "weight"}, {"mask": torch.arange(2000) % 2 > 0}])
def test_out_edges_are_those_of_the_reversed_graph(small_graph, options):
    _, output_nodes, blocks = NeighborSampler([-1, 3], edge_dir="out", **options).sample(
        small_graph, [5, 60, 190]
    )
    assert output_nodes.tolist() == [5, 60, 190]
    assert_chained(small_graph, blocks, out=True)
    everything = NeighborSampler([-1], edge_dir="out").sample(small_graph, [5])[2][0]
    want = (small_graph.edges()[0] == 5).nonzero().flatten()
    assert torch.equal(everything.edata[hf.EID].sort().values, want)


OPTIONS = {
    "plain": {},
    "prob": {"prob": "weight"},
    "mask": {"mask": torch.arange(2000) % 3 > 0},
    "out": {"edge_dir": "out"},
    "weighted out": {"edge_dir": "out", "prob": "weight"},
}


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("replace", [False, True])
def test_the_loaders_batches_are_the_samplers_for_any_number_of_workers(small_graph, kind, replace):
    sampler = NeighborSampler([3, 40], replace=replace, **OPTIONS[kind])

    def batches(num_workers, threads):
        hf.ops.set_num_threads(threads)
        loader = DataLoader(
            small_graph, range(200), sampler, batch_size=64, shuffle=True, seed=5,
            num_workers=num_workers,
        )  # fmt: skip
        return [
            (i.tolist(), o.tolist(), [b.edata[hf.EID].tolist() for b in blocks])
            for _ in range(2)
            for i, o, blocks in loader
        ]

    first = batches(0, 1)
    assert first[:4] != first[4:]
    for num_workers, threads in ((0, 4), (1, 1), (3, 2)):
        assert batches(num_workers, threads) == first
    # What sampler.sample gives for a batch's coordinates.
    order = [row for _, row, _ in first[:4]]
    with hf.sampling.random.batch_stream(5, 0, 1):
        i, o, blocks = sampler.sample(small_graph, order[1])
    assert (i.tolist(), o.tolist(), [b.edata[hf.EID].tolist() for b in blocks]) == first[1]


def test_bad_sampler_options(small_graph):
    with pytest.raises(ValueError, match="num_layers: expected at least 1"):
        MultiLayerFullNeighborSampler(0)
    with pytest.raises(TypeError, match="prefetch_labels: expected a list of column names"):
        NeighborSampler([1], prefetch_labels="label")
    with pytest.raises(ValueError, match="edge_dir"):
        NeighborSampler([1], edge_dir="both")
    with pytest.raises(ValueError, match="prob, mask: expected one of them at most, got both"):
        NeighborSampler([1], prob="weight", mask="weight")
    with pytest.raises(TypeError, match="prob: expected the name of an edge column or a torch"):
        NeighborSampler([1], prob=3)
    with pytest.raises(KeyError, match="no edge column 'nope'; there is 'weight'"):
        NeighborSampler([1], prob="nope").sample(small_graph, [0])
    with pytest.raises(TypeError, match="mask: expected bool, got float32"):
        NeighborSampler([1], mask="weight").sample(small_graph, [0])
    with pytest.raises(IndexError, match=r"exclude_eids\[1\] is 2000, expected 0 <= id < 2000"):
        NeighborSampler([1]).sample(small_graph, [0], exclude_eids=[3, 2000])
    with pytest.raises(ValueError, match=r"exclude_eids: etype: expected one of .*, got 'x'"):
        NeighborSampler([1]).sample(small_graph, [0], exclude_eids={"x": [1]})
    with pytest.raises(KeyError, match=r"no source node column 'nope'; there is 'feat', 'label'"):
        NeighborSampler([1], prefetch_node_feats=["nope"]).sample(small_graph, [0])
    with pytest.raises(TypeError, match=r"g: expected a hopflow\.Graph, got int"):
        NeighborSampler([1]).sample(3, [0])
    with pytest.raises(TypeError, match="BlockSampler does not implement sample_blocks"):
        BlockSampler().sample(small_graph, [0])


def test_options_are_named():
    sampler = NeighborSampler([2], prob="w", edge_dir="out")
    assert repr(sampler) == "NeighborSampler([2], replace=False, edge_dir='out', prob='w')"
