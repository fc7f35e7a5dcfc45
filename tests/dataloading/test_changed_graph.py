"""Loaders over graphs that are changed in place, between epochs and within them."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import Tensor

import hopflow as hf
from hopflow.dataloading import DataLoader, NeighborSampler
from hopflow.dataloading.lazy_features import (
    set_dst_lazy_features,
    set_edge_lazy_features,
    set_node_lazy_features,
    set_src_lazy_features,
)


class Subgraphs(hf.dataloading.Sampler):
    """The graph around some nodes: what runs in Python's threads."""

    def sample(self, g, indices):
        drawn = hf.sample_neighbors(g, indices, 4)
        set_edge_lazy_features(drawn, ["weight"])
        return g.num_nodes(), g.num_edges(), indices, drawn


class Slow(NeighborSampler):
    """Blocks by Python's threads."""

    def sample_blocks(self, g, seed_nodes, exclude_eids=None):
        return super().sample_blocks(g, seed_nodes, exclude_eids)


def link_prediction():
    return hf.dataloading.as_edge_prediction_sampler(
        NeighborSampler([4]), exclude="self",
        negative_sampler=hf.dataloading.negative_sampler.Uniform(2),
    )  # fmt: skip


SAMPLERS = {
    "native": lambda: NeighborSampler([4, 4], prefetch_labels=["label"]),
    "out-edges": lambda: NeighborSampler([4, 4], edge_dir="out"),
    "by weight": lambda: NeighborSampler([4], prob="weight"),
    "threads": lambda: Slow([4, 4]),
    "subgraphs": Subgraphs,
    "edges": link_prediction,
}


def listed(batch) -> list[Tensor]:
    """All that a batch has, columns read."""
    if isinstance(batch, Tensor):
        return [batch]
    if isinstance(batch, int):
        return [torch.tensor(batch)]
    if isinstance(batch, hf.Graph):
        frames = [batch.srcdata, batch.dstdata, batch.edata]
        columns = [frame[key] for frame in frames for key in sorted(frame)]
        return [*batch.edges(), *columns]
    return [x for part in batch for x in listed(part)]


def loader_of(graph, name, num_workers, **options):
    indices = torch.arange(60) if name != "edges" else torch.arange(0, 300, 5)
    return DataLoader(graph, indices, SAMPLERS[name](), batch_size=7, shuffle=True, seed=3,
                      num_workers=num_workers, **options)  # fmt: skip


def same(got, want):
    assert len(got) == len(want) > 0
    for a, b in zip(got, want):
        assert len(a) == len(b)
        assert all(map(torch.equal, a, b))


def change(g, kind):
    if kind == "shrink":
        g.remove_nodes(torch.arange(100, g.num_nodes()))
    elif kind == "grow":
        g.add_nodes(1000, {"feat": torch.ones(1000, 5)})
        g.add_edges([0] * 500, range(500), {"weight": torch.rand(500)})
    elif kind == "edges":
        g.remove_edges(torch.arange(600, 1200))
        g.add_edges(range(100), [7] * 100, {"weight": torch.rand(100)})


@pytest.mark.cpu_only
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("kind", ["shrink", "grow", "edges"])
def test_epochs_before_and_after(small_graph, name, num_workers, kind):
    """An epoch ends on the edges on which it began; the next one is as a new loader's."""
    whole = small_graph.clone()
    want = [listed(batch) for batch in loader_of(whole, name, 0)]
    loader, got = loader_of(small_graph, name, num_workers), []
    for i, batch in enumerate(loader):
        got.append(listed(batch))
        if i == 2:
            change(small_graph, kind)
    same(got, want)
    fresh = loader_of(small_graph.clone(), name, 0)
    list(fresh)  # its first epoch
    same([listed(batch) for batch in loader], [listed(batch) for batch in fresh])


def test_batches_read_late_are_of_their_epoch(small_graph):
    whole = small_graph.clone()
    want = [listed(batch) for batch in loader_of(whole, "native", 0)]
    batches = list(loader_of(small_graph, "native", 2))
    change(small_graph, "shrink")
    small_graph.ndata["feat"] = torch.zeros(100, 5)
    same([listed(batch) for batch in batches], want)


def test_columns_set_in_an_epoch_are_read(small_graph):
    """They are the graph's, whose edges alone the epoch keeps."""
    loader = DataLoader(small_graph, torch.arange(60), NeighborSampler([4]), batch_size=10)
    for i, (ids, _, blocks) in enumerate(loader):
        got = blocks[0].srcdata["feat"]
        assert torch.equal(got, small_graph.ndata["feat"][ids])
        small_graph.ndata["feat"] = torch.full((200, 5), float(i))


def test_several_types():
    def made():
        generator = torch.Generator().manual_seed(2)
        g = hf.heterograph(
            {
                r: tuple(torch.randint(50, (400,), generator=generator) for _ in range(2))
                for r in (("a", "r", "b"), ("b", "s", "a"), ("a", "t", "a"))
            },
            {"a": 50, "b": 50},
        )
        for ntype in "ab":
            g.nodes[ntype].data["x"] = torch.rand(50, 3, generator=generator)
        return g

    def batches(g, num_workers=0):
        return DataLoader(g, {"a": torch.arange(20), "b": torch.arange(5)}, NeighborSampler([3, 3]),
                          batch_size=4, seed=1, num_workers=num_workers)  # fmt: skip

    def told(batch):
        return [x for b in batch[2] for t in "ab" for x in (b.srcnodes[t].data["x"],
                b.srcnodes[t].data[hf.NID])]  # fmt: skip

    want = [told(batch) for batch in batches(made())]
    g, got = made(), []
    loader = batches(g, 2)
    for i, batch in enumerate(loader):
        got.append(told(batch))
        if i == 1:
            g.remove_nodes(torch.arange(30, 50), ntype="b")
            g.add_edges([70], [3], etype="r")
    same(got, want)
    fresh = batches(g.clone())
    list(fresh)
    same([told(batch) for batch in loader], [told(batch) for batch in fresh])


def test_seeds_that_are_gone_are_told(small_graph):
    loader = DataLoader(small_graph, [3, 199], NeighborSampler([2]), num_workers=1)
    list(loader)
    small_graph.remove_nodes([0])
    with pytest.raises(IndexError, match=r"indices\[1\] is 199, expected 0 <= id < 199"):
        list(loader)
    loader.indices = [3, 198]
    assert len(list(loader)) == 2


def test_a_state_leads_to_the_changed_graph(small_graph):
    loader = loader_of(small_graph, "native", 0)
    batches = iter(loader)
    next(batches), next(batches)
    state = loader.state_dict()
    small_graph.add_edges([1], [2])
    other = loader_of(small_graph.clone(), "native", 0)
    for each in (loader, other):
        each.load_state_dict(state)
    same([listed(batch) for batch in loader], [listed(batch) for batch in other])


def test_the_old_edges_are_freed(small_graph):
    loader = loader_of(small_graph, "native", 2)
    list(loader)
    old = weakref.ref(small_graph.adjacency)
    small_graph.add_nodes(1)
    gc.collect()
    assert old() is None


def test_hopping_between_graphs_in_a_scope(small_graph):
    """In a local scope the graph is another for a while."""
    loader = loader_of(small_graph, "native", 0)
    want = [listed(batch) for batch in loader_of(small_graph.clone(), "native", 0)]
    with small_graph.local_scope():
        small_graph.remove_edges(torch.arange(1000))
        epoch = iter(loader)
    assert small_graph.num_edges() == 2000
    fewer = hf.remove_edges(small_graph, torch.arange(1000))
    same([listed(x) for x in epoch], [listed(x) for x in loader_of(fewer, "native", 0)])
    fresh = loader_of(small_graph.clone(), "native", 0)
    same([listed(batch) for batch in fresh], want)
    same([listed(batch) for batch in loader], [listed(batch) for batch in fresh])


# --- set_*_lazy_features


def test_lazy_features_are_read_where_they_are_asked_for(small_graph):
    block = NeighborSampler([3]).sample(small_graph, [1, 2, 3])[2][0]
    frames = block.node_frame(side="src"), block.node_frame(side="dst"), block.edge_frame
    assert not any(frame.is_read(key) for frame in frames for key in frame)
    set_src_lazy_features(block, ["feat"])
    set_dst_lazy_features(block, ["label"])
    set_edge_lazy_features(block, ["weight"])
    assert [{k for k in f if f.is_read(k)} for f in frames] == [{"feat"}, {"label"}, {"weight"}]
    part = small_graph.subgraph([4, 5])
    set_node_lazy_features(part, {"_N": ["feat"]})
    assert part.node_frame().is_read("feat")
    assert not part.node_frame().is_read("label")
    for function in (set_src_lazy_features, set_dst_lazy_features, set_edge_lazy_features):
        with pytest.raises(KeyError, match=r"no .* column 'nope'"):
            function(block, ["nope"])
    with pytest.raises(TypeError, match="feature_names: expected a list of column names"):
        set_node_lazy_features(part, "feat")
