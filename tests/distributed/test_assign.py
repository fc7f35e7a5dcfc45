"""Parts for nodes: balanced, repeatable, and with fewer edges cut than at random."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_partitioned_graph import whole

import hopflow as hf
from hopflow.distributed import assign_parts, report_on

needs_kaminpar = pytest.mark.skipif(
    importlib.util.find_spec("kaminpar") is None, reason="kaminpar is not installed"
)
METHODS = ["hash", "stream", pytest.param("kaminpar", marks=needs_kaminpar)]
BALANCED = METHODS[1:]


def communities(num=4, size=150, inside=8, across=1):
    generator = torch.Generator().manual_seed(1)
    home = torch.randperm(num * size, generator=generator) % num
    members = [(home == c).nonzero().squeeze(1) for c in range(num)]
    pairs = []
    for own in members:
        pairs.append(own[torch.randint(size, (2, size * inside), generator=generator)])
    pairs.append(torch.randint(num * size, (2, num * size * across), generator=generator))
    src, dst = torch.cat(pairs, 1)
    return hf.graph((torch.cat([src, dst]), torch.cat([dst, src])), num_nodes=num * size), home


@pytest.mark.parametrize("method", BALANCED)
@pytest.mark.parametrize("num_parts", [2, 3, 7])
def test_types_and_training_nodes_are_balanced(method, num_parts):
    graph = whole("typed")
    train = {"b": torch.arange(30), "a": torch.arange(90) % 3 == 0}
    parts = assign_parts(graph, num_parts, method=method, train=train, imbalance=0.1)
    assert {ntype: (x.dtype, x.shape[0]) for ntype, x in parts.items()} == {
        ntype: (torch.int16, graph.num_nodes(ntype)) for ntype in graph.ntypes
    }
    for ntype, found in parts.items():
        trained = torch.zeros(found.shape[0], dtype=torch.bool)
        if ntype in train:
            trained[train[ntype]] = True
        for chosen in (found[trained], found[~trained]):
            counts = torch.bincount(chosen.long(), minlength=num_parts)
            mean = chosen.shape[0] / num_parts
            assert int(counts.max()) <= max(1.1 * mean, -(-chosen.shape[0] // num_parts))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_again(method):
    graph = whole()
    first, second = (assign_parts(graph, 3, method=method, seed=5) for _ in range(2))
    assert torch.equal(first["_N"], second["_N"])
    if method != "stream":
        assert not torch.equal(first["_N"], assign_parts(graph, 3, method=method, seed=6)["_N"])


@pytest.mark.parametrize("method", BALANCED)
def test_communities_are_found(method):
    graph, _ = communities()
    hashed = report_on(graph, assign_parts(graph, 4, method="hash"), 4)
    found = report_on(graph, assign_parts(graph, 4, method=method), 4)
    assert hashed.edge_cut_share == pytest.approx(0.75, abs=0.03)
    assert found.edge_cut_share < 0.2  # 11 of 100 edges lead elsewhere at random
    assert found.replicated_share < hashed.replicated_share / 2


@pytest.mark.parametrize("method", BALANCED)
def test_edges_that_all_lead_from_older_nodes_to_newer_ones_are_cut_no_more(method):
    graph, _ = communities()
    src, dst = graph.edges()
    newer = hf.graph((src[src < dst], dst[src < dst]), num_nodes=graph.num_nodes())
    both, one = (
        report_on(g, assign_parts(g, 4, method=method), 4).edge_cut_share for g in (graph, newer)
    )
    assert one < 1.2 * both


@pytest.mark.parametrize("method", BALANCED)
def test_a_real_graph_is_cut_well(method, shared_data):
    graph = hf.datasets.load(shared_data / "facebook-page-page")[0][0]
    graph = hf.add_reverse_edges(graph)
    share = report_on(graph, assign_parts(graph, 2, method=method), 2).edge_cut_share
    assert share < 0.1  # 0.5 at random


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 12), st.integers(0, 30), st.integers(1, 20), st.sampled_from(["hash", "stream"])
)
def test_small_graphs_of_every_kind(num_nodes, num_edges, num_parts, method):
    num_edges = num_edges if num_nodes else 0
    src, dst = torch.randint(max(num_nodes, 1), (2, num_edges))
    graph = hf.graph((src, dst), num_nodes=num_nodes)
    parts = assign_parts(graph, num_parts, method=method)
    assert parts["_N"].shape == (num_nodes,)
    assert bool(((parts["_N"] >= 0) & (parts["_N"] < num_parts)).all())
    report = report_on(graph, parts, num_parts)
    assert report.edge_cut == int((parts["_N"][src] != parts["_N"][dst]).sum())
    needed = [
        {(int(u)) for u, v in zip(src, dst) if parts["_N"][v] == p != parts["_N"][u]}
        for p in range(num_parts)
    ]
    assert report.replicated_rows == [len(x) for x in needed]


@needs_kaminpar
@pytest.mark.parametrize("num_nodes", [0, 1, 5])
def test_kaminpar_on_graphs_with_hardly_a_node(num_nodes):
    graph = hf.graph(([], []), num_nodes=num_nodes)
    parts = assign_parts(graph, 3, method="kaminpar")["_N"]
    assert parts.shape == (num_nodes,)
    assert int(torch.bincount(parts.long(), minlength=3).max()) <= 2


def test_a_hash_needs_the_id_alone():
    small, large = (hf.graph(([], []), num_nodes=n) for n in (1000, 9000))
    parts = assign_parts(large, 5, method="hash", seed=2)["_N"]
    assert torch.equal(assign_parts(small, 5, method="hash", seed=2)["_N"], parts[:1000])
    counts = torch.bincount(parts.long())
    assert float(((counts - 1800) ** 2).sum() / 1800) < 20  # chi-squared, 4 degrees of freedom


def test_ids_of_either_width_give_the_same_parts():
    narrow, wide = (
        assign_parts(whole(idtype=t), 3, method="stream")["_N"] for t in (torch.int32, torch.int64)
    )
    assert torch.equal(narrow, wide)


@needs_kaminpar
def test_too_little_memory_for_kaminpar_is_said(monkeypatch):
    monkeypatch.setattr("hopflow.partitioning.kaminpar.available_memory", lambda: 1000)
    with pytest.raises(hf.HopflowError, match=r"of which 0\.0 GB are free; 'stream' reads"):
        assign_parts(whole(), 2, method="kaminpar")


def test_without_kaminpar(monkeypatch):
    monkeypatch.setitem(sys.modules, "kaminpar", None)
    with pytest.raises(ImportError, match=r"pip install 'hopflow\[partition\]'"):
        assign_parts(whole(), 2, method="kaminpar")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"num_parts": 0}, ValueError, "num_parts: expected 1 to 32767, got 0"),
        ({"num_parts": 2.5}, TypeError, "num_parts"),
        ({"method": "metis"}, ValueError, "method: expected one of auto, kaminpar, stream, hash"),
        ({"imbalance": -1}, ValueError, "imbalance: expected a number >= 0"),
        ({"train": [200]}, IndexError, r"train\[0\] is 200"),
        ({"train": {"x": [1]}}, ValueError, "train: expected node types of '_N', got 'x'"),
    ],
)
def test_bad_arguments(options, error, match):
    arguments = {"num_parts": 2, "method": "stream", **options}
    with pytest.raises(error, match=match):
        assign_parts(whole(), **arguments)
