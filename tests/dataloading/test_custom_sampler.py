"""Samplers that users write, as DGL's documentation shows them, through the loader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import hopflow as hf
import hopflow.function as fn
from hopflow.dataloading import BlockSampler, DataLoader, NeighborSampler, Sampler
from hopflow.sampling import edge_pool as pools


class DocsSampler(Sampler):
    """The neighbour sampler of DGL's guide, chapter 6.4, with its names."""

    def __init__(self, fanouts: list[int], **options: Any) -> None:
        super().__init__()
        self.fanouts, self.options = fanouts, options

    def sample(self, g: hf.Graph, seed_nodes: Tensor) -> Any:
        output_nodes = seed_nodes
        blocks = []
        for fanout in reversed(self.fanouts):
            sg = g.sample_neighbors(seed_nodes, fanout, **self.options)
            sg = hf.to_block(sg, seed_nodes)
            seed_nodes = sg.srcdata[hf.NID]
            blocks.insert(0, sg)
        return seed_nodes, output_nodes, blocks


class DocsBlockSampler(BlockSampler):
    """The same as a BlockSampler, with the exclusion of edges."""

    def __init__(self, fanouts: list[int], **options: Any) -> None:
        super().__init__(**options)
        self.fanouts = fanouts

    def sample_blocks(self, g: hf.Graph, seed_nodes: Tensor, exclude_eids: Any = None) -> Any:
        output_nodes = seed_nodes
        blocks = []
        for fanout in reversed(self.fanouts):
            frontier = hf.sample_neighbors(g, seed_nodes, fanout, exclude_edges=exclude_eids)
            block = hf.to_block(frontier, seed_nodes)
            block.edata[hf.EID] = frontier.edata[hf.EID]
            blocks.insert(0, block)
            seed_nodes = block.srcdata[hf.NID]
        return seed_nodes, output_nodes, blocks


def content(batch: Any) -> tuple[Any, ...]:
    """A batch in a form that can be compared."""
    input_nodes, output_nodes, blocks = batch
    edges = [[x.tolist() for x in block.edges()] for block in blocks]
    return input_nodes.tolist(), output_nodes.tolist(), edges


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (DocsSampler, {}),
        (DocsSampler, {"prob": "weight"}),
        (DocsSampler, {"replace": True}),
        (DocsBlockSampler, {}),
    ],
)
def test_batches_are_the_same_for_any_number_of_workers(
    small_graph: hf.Graph, make: Callable[..., Any], options: dict[str, Any]
) -> None:
    def epoch(num_workers: int, threads: int) -> list[Any]:
        hf.ops.set_num_threads(threads)
        loader = DataLoader(
            small_graph, torch.arange(180), make([4, 3], **options), batch_size=32, shuffle=True,
            num_workers=num_workers, seed=3,
        )  # fmt: skip
        return [content(batch) for batch in loader]

    first = epoch(0, 1)
    assert len({str(batch) for batch in first}) == len(first)
    for num_workers, threads in ((0, 3), (1, 1), (4, 2)):
        assert epoch(num_workers, threads) == first


def test_it_draws_what_the_built_in_sampler_draws(small_graph: hf.Graph) -> None:
    """One rule of randomness: the n-th draw of a batch has the same key, whoever asks for it."""
    for options in ({}, {"prob": "weight"}):
        ours, theirs = (
            DataLoader(small_graph, range(180), sampler, batch_size=50, seed=1)
            for sampler in (DocsSampler([4, 3], **options), NeighborSampler([4, 3], **options))
        )
        for a, b in zip(ours, theirs):
            assert content(a)[:2] == content(b)[:2]
            for mine, built_in in zip(a[2], b[2]):
                assert torch.equal(mine.in_degrees(), built_in.in_degrees())
                own, other = (x.edges()[0] for x in (mine, built_in))
                assert torch.equal(own, other)


def test_columns_and_messages_pass_through_it(small_graph: hf.Graph) -> None:
    loader = DataLoader(small_graph, range(180), DocsSampler([-1]), batch_size=60, num_workers=2)
    small_graph.update_all(fn.u_mul_e("feat", "weight", "m"), fn.sum("m", "whole"))
    for _, output_nodes, (block,) in loader:
        block.update_all(fn.u_mul_e("feat", "weight", "m"), fn.sum("m", "part"))
        torch.testing.assert_close(
            block.dstdata["part"], small_graph.ndata["whole"][output_nodes], rtol=1e-5, atol=1e-5
        )


def test_excluded_edges_reach_it(small_graph: hf.Graph) -> None:
    sampler = DocsBlockSampler([-1, -1], prefetch_labels=["label"])
    _, _, blocks = sampler.sample(small_graph, [3, 3, 9], exclude_eids=range(1000))
    for block in blocks:
        assert int(block.edata[hf.EID].min()) >= 1000
    assert blocks[-1].seed_inverse.tolist() == [0, 0, 1]
    assert blocks[-1].dstdata.is_read("label")


def test_a_sampler_that_excludes_nothing_need_not_know_of_it(small_graph: hf.Graph) -> None:
    class Old(BlockSampler):
        def sample_blocks(self, g: hf.Graph, seed_nodes: Tensor) -> Any:  # type: ignore[override]
            return NeighborSampler([2]).sample_blocks(g, seed_nodes)

    assert len(Old().sample(small_graph, [1, 2])[2]) == 1
    with pytest.raises(TypeError, match="exclude_eids"):
        Old().sample(small_graph, [1, 2], exclude_eids=[1])


class Pair(NamedTuple):
    """A batch of another form."""

    graph: hf.Graph
    more: dict[str, Any]


def test_a_batch_may_have_any_form(small_graph: hf.Graph) -> None:
    """As DGL's SubgraphSampler: what the sampler returns is what the loader yields."""

    class Subgraphs(Sampler):
        def sample(self, g: hf.Graph, indices: Tensor) -> Any:
            return Pair(hf.in_subgraph(g, indices), {"seeds": indices, "note": [1, "a"]})

    for num_workers in (0, 2):
        batches = list(
            DataLoader(small_graph, range(50), Subgraphs(), batch_size=20, num_workers=num_workers)
        )
        assert [len(batch.more["seeds"]) for batch in batches] == [20, 20, 10]
        assert all(isinstance(batch, Pair) for batch in batches)
        assert batches[0].more["note"] == [1, "a"]


def test_a_batch_of_any_form_is_moved(small_graph: hf.Graph) -> None:
    from hopflow.dataloading.epoch import move

    batch = Pair(small_graph, {"x": torch.ones(2), "list": [(torch.zeros(1), "a"), None]})
    moved = move(batch, torch.device("cpu"))
    assert isinstance(moved, Pair)
    assert moved.graph is small_graph
    assert moved.more["list"][0][1] == "a"
    away = move({"x": [torch.ones(2)]}, torch.device("meta"))
    assert away["x"][0].device.type == "meta"


def test_errors_of_a_sampler_surface_in_the_consumer(small_graph: hf.Graph) -> None:
    with pytest.raises(NotImplementedError, match=r"Sampler does not implement sample\(g, indices"):
        Sampler().sample(small_graph, [0])

    class Fails(Sampler):
        def sample(self, g: hf.Graph, indices: Tensor) -> Any:
            raise RuntimeError("from the sampler")

    for num_workers in (0, 2):
        with pytest.raises(RuntimeError, match="from the sampler"):
            list(DataLoader(small_graph, range(9), Fails(), num_workers=num_workers))
    bad = torch.full((2000,), float("nan"))
    for num_workers in (0, 2):
        loader = DataLoader(
            small_graph, range(9), DocsSampler([2], prob=bad), num_workers=num_workers
        )
        with pytest.raises(ValueError, match="prob: expected finite weights >= 0, got nan"):
            list(loader)


def test_graphs_sample_as_in_dgl(small_graph: hf.Graph) -> None:
    torch.manual_seed(0)
    method = small_graph.sample_neighbors([3, 5], 2, "in", "weight")
    torch.manual_seed(0)
    function = hf.sample_neighbors(small_graph, [3, 5], 2, prob="weight")
    assert torch.equal(method.edata[hf.EID], function.edata[hf.EID])
    block = hf.to_block(method, [3, 5])
    with pytest.raises(ValueError, match="graph: expected a graph, got a block"):
        block.sample_neighbors([0], 1)


def test_what_a_changed_column_was_is_let_go_of(small_graph) -> None:
    weight = torch.ones(small_graph.num_edges())
    small_graph.edata["w"] = weight
    for step in range(5):
        small_graph.sample_neighbors([0, 1], 2, prob="w")
        weight[step] = 0
    small_graph.sample_neighbors([0, 1], 2, prob="w")
    assert len(pools._pools[small_graph.adjacency]) == 1
    small_graph.edata["other"] = torch.ones(small_graph.num_edges())
    small_graph.sample_neighbors([0, 1], 2, prob="other")
    assert len(pools._pools[small_graph.adjacency]) == 2
