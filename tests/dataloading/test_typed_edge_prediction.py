"""Batches of edges on graphs of several types."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import typed_graph

import hopflow as hf
from hopflow.dataloading import DataLoader, NeighborSampler, negative_sampler


@pytest.fixture
def graph() -> hf.Graph:
    return typed_graph()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_edge_prediction(graph, num_workers):
    seeds = {"plays": torch.arange(30), ("user", "follows", "user"): torch.arange(10)}
    sampler = hf.dataloading.as_edge_prediction_sampler(
        NeighborSampler([-1]), exclude="reverse_types",
        reverse_etypes={"plays": "played_by", "played_by": "plays"},
        negative_sampler=negative_sampler.Uniform(3),
    )  # fmt: skip
    loader = DataLoader(graph, seeds, sampler, batch_size=8, num_workers=num_workers, seed=1)
    seen: dict[Any, list[int]] = {}
    for _, pairs, negative, blocks in loader:
        gone = {}
        for relation in graph.canonical_etypes:
            eids = pairs[relation].edata[hf.EID]
            gone[relation] = eids
            seen.setdefault(relation[1], []).extend(eids.tolist())
            found = torch.stack(pairs[relation].edges())
            ids = [pairs.nodes[t].data[hf.NID] for t in relation[::2]]
            expected = torch.stack(graph.find_edges(eids, relation))
            assert torch.equal(torch.stack([i[x] for i, x in zip(ids, found)]), expected)
            src, _ = negative[relation].edges()
            assert torch.equal(src, found[0].repeat_interleave(3))
        for ntype in graph.ntypes:
            assert torch.equal(
                pairs.nodes[ntype].data[hf.NID], blocks[-1].dstnodes[ntype].data[hf.NID]
            )
        gone["user", "played_by", "game"] = torch.cat(
            [gone["game", "played_by", "user"], gone["user", "plays", "game"]]
        )
        kept = blocks[0]["played_by"].edata[hf.EID]
        assert not set(gone["user", "plays", "game"].tolist()) & set(kept.tolist())
        assert not set(gone["user", "plays", "game"].tolist()) & set(
            blocks[0]["plays"].edata[hf.EID].tolist()
        )
    assert sorted(seen["plays"]) == list(range(30))
    assert sorted(seen["follows"]) == list(range(10))
    assert not seen["knows"]


def test_find_exclude_eids_by_type(graph):
    find = hf.dataloading.find_exclude_eids
    edges = {"plays": torch.tensor([3, 5])}
    plays, played_by = ("user", "plays", "game"), ("game", "played_by", "user")
    assert find(graph, edges, "self")[plays].tolist() == [3, 5]
    found = find(graph, edges, "reverse_types", reverse_etypes={"plays": "played_by"})
    assert {r: x.tolist() for r, x in found.items()} == {plays: [3, 5], played_by: [3, 5]}
    found = find(graph, edges, "reverse_id", {"plays": torch.arange(199, -1, -1)})
    assert found[plays].tolist() == [3, 5, 196, 194]
    assert find(graph, edges, lambda e: {"knows": e[plays]})["user", "knows", "user"].tolist() == [
        3,
        5,
    ]
    for exclude, more, error, match in (
        (
            "reverse_types",
            {"reverse_etypes": {"plays": "eats"}},
            ValueError,
            "reverse_etypes: etype",
        ),
        ("reverse_id", {"reverse_eids": [1]}, ValueError, "reverse_eids: expected a dict by type"),
        ("reverse_types", {"reverse_etypes": {"plays": "makes"}}, ValueError, "other way round"),
        ("reverse_types", {"reverse_etypes": {"plays": "plays"}}, ValueError, "other way round"),
    ):
        with pytest.raises(error, match=match):
            find(graph, {"plays": [150]}, exclude, **more)


def test_reverse_edges_that_are_not_there(graph):
    with pytest.raises(IndexError, match=r"reverse_eids\[.*plays.*\]\[0\] is 900, expected 0"):
        hf.dataloading.find_exclude_eids(
            graph, {"plays": [0]}, "reverse_id", {"plays": [900] * 200}
        )


@pytest.mark.parametrize("cls", [negative_sampler.Uniform, negative_sampler.GlobalUniform])
def test_negative_samplers_by_relation(graph, cls):
    made = cls(2)(graph, {"plays": torch.arange(50), "follows": torch.arange(7)})
    assert {r[1]: len(src) for r, (src, _) in made.items()} == {"plays": 100, "follows": 14}
    src, dst = made["user", "plays", "game"]
    assert int(src.max()) < 50
    assert int(dst.max()) < 30
    if cls is negative_sampler.GlobalUniform:
        assert not bool(graph.has_edges_between(src, dst, etype="plays").any())
        src, dst = made["user", "follows", "user"]
        assert not bool((src == dst).any())
