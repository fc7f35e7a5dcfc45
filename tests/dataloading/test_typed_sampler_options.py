"""Weights, masks, exclusions, directions and columns on graphs of several types."""

from __future__ import annotations

import pytest
import torch
from helpers import ends_in, typed_graph
from typed_batches import SEEDS, ids_of

import hopflow as hf
from hopflow.dataloading import DataLoader, NeighborSampler


@pytest.fixture
def graph() -> hf.Graph:
    return typed_graph()


def test_masks_are_native_and_weights_are_not(graph):
    graph.edges["plays"].data["mask"] = torch.arange(200) % 2 == 0
    batches = {}
    for num_workers in (0, 2):
        sampler = NeighborSampler([-1, -1], mask="mask")
        loader = DataLoader(graph, SEEDS, sampler, batch_size=17, num_workers=num_workers, seed=1)
        batches[num_workers] = [ids_of(batch) for batch in loader]
        for _, _, blocks in loader:
            for block in blocks:
                assert bool((block["plays"].edata[hf.EID] % 2 == 0).all())
                degrees = graph.in_degrees(block["follows"].dstdata[hf.NID], "follows")
                assert torch.equal(block["follows"].in_degrees(), degrees)
    assert batches[0] == batches[2]
    with pytest.raises(KeyError, match="mask: no type of edges has a column 'nope'"):
        NeighborSampler([1], mask="nope").sample(graph, {"user": [1]})
    with pytest.raises(ValueError, match="mask: expected the name of an edge column, got a tensor"):
        NeighborSampler([1], mask=torch.ones(3)).sample(graph, {"user": [1]})
    graph.edges["plays"].data["bad"] = torch.full((200,), -1.0)
    with pytest.raises(ValueError, match=r"prob of \('user', 'plays', 'game'\): expected finite"):
        NeighborSampler([1], prob="bad").sample(graph, {"user": [1]})


def test_weights_by_relation(graph):
    weight = graph.edges["plays"].data["weight"]
    weight[::3] = 0
    sampler = NeighborSampler([2, 2], prob="weight")
    results = []
    for num_workers in (0, 2):
        loader = DataLoader(graph, SEEDS, sampler, batch_size=17, num_workers=num_workers, seed=1)
        results.append([ids_of(batch) for batch in loader])
        for _, _, blocks in loader:
            assert bool((weight[blocks[0]["plays"].edata[hf.EID]] > 0).all())
    assert results[0] == results[1]


def test_excluded_edges_by_relation(graph):
    gone = {"plays": torch.arange(0, 200, 2), ("user", "follows", "user"): [0, 1, 2]}
    _, _, blocks = NeighborSampler([-1, -1]).sample(graph, SEEDS, exclude_eids=gone)
    for block in blocks:
        assert bool((block["plays"].edata[hf.EID] % 2 == 1).all())
        assert bool((block["follows"].edata[hf.EID] > 2).all())
    whole = NeighborSampler([-1, -1]).sample(graph, SEEDS)
    none = NeighborSampler([-1, -1]).sample(graph, SEEDS, exclude_eids={})
    assert ids_of(whole) == ids_of(none)
    for bad, error, match in (
        ([1], ValueError, "exclude_eids: expected a dict by edge type"),
        ({"eats": [1]}, ValueError, "exclude_eids: etype: expected one of"),
        ({"plays": [200]}, IndexError, r"exclude_eids\[.*\]\[0\] is 200, expected 0 <= id < 200"),
    ):
        with pytest.raises(error, match=match):
            NeighborSampler([1]).sample(graph, {"user": [1]}, exclude_eids=bad)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_out_edges_are_the_in_edges_of_the_reversed_graph(graph, num_workers):
    reverse = graph.reverse()
    loader = DataLoader(graph, SEEDS, NeighborSampler([-1, -1], edge_dir="out"), batch_size=9,
                        num_workers=num_workers)  # fmt: skip
    for _, output_nodes, blocks in loader:
        _, _, expected = NeighborSampler([-1, -1]).sample(reverse, output_nodes)
        for block, other in zip(blocks, expected):
            assert block.canonical_etypes == reverse.canonical_etypes
            for relation in reverse.canonical_etypes:
                mine, theirs = (ends_in(graph, b, relation).tolist() for b in (block, other))
                assert sorted(mine) == sorted(theirs)


def test_columns_to_prefetch_are_named_as_in_the_graph(graph):
    for etype in ("plays", ("user", "plays", "game")):
        for edge_dir in ("in", "out"):
            sampler = NeighborSampler([2], edge_dir, prefetch_edge_feats={etype: ["weight"]})
            _, _, (block,) = sampler.sample(graph, SEEDS)
            assert block["plays"].edge_frame.is_read("weight")
        pairs = hf.dataloading.as_edge_prediction_sampler(
            NeighborSampler([1]), prefetch_labels={etype: ["weight"]}
        ).sample(graph, {"plays": [3, 4]})[1]
        assert pairs["plays"].edge_frame.is_read("weight")


def test_nothing_is_made_for_relations_that_are_not_asked_for(graph):
    hf.out_subgraph(graph, {"game": [0]})
    hf.sample_neighbors(graph, {"studio": [0], "user": [1]}, {
        "like": 1, "played_by": 1, "makes": 1, "follows": 0, "knows": 0, "plays": 0,
    }, edge_dir="out")  # fmt: skip
    made = {
        relation[1]
        for relation, one in graph.relations.items()
        if one.adjacency._transpose is not None or one.adjacency._by_source is not None
    }
    assert made == {"like", "played_by", "makes"}
