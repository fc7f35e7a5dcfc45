"""select_topk: against plain sorting, ties, types."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf
from hopflow import sampling


def expected_edges(graph, k, weights, nodes, edge_dir, ascending) -> list[int]:
    """Edge ids by node, those of a node by weight, in plain Python."""
    found = []
    for node in dict.fromkeys(nodes):
        edges = graph.in_edges if edge_dir == "in" else graph.out_edges
        eids = edges([node], form="eid").tolist()
        eids.sort(key=lambda e: weights[e] if ascending else -weights[e])  # stable
        found += eids if k < 0 else eids[:k]
    return found


@pytest.mark.parametrize("edge_dir", ["in", "out"])
@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("k", [-1, 0, 1, 3, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.float64])
def test_against_sorting(small_graph, edge_dir, ascending, k, dtype):
    generator = torch.Generator().manual_seed(0)
    weights = torch.randint(-5, 5, (small_graph.num_edges(),), generator=generator).to(dtype)
    small_graph.edata["w"] = weights  # many ties
    nodes = [5, 190, 17, 5, 0]
    part = sampling.select_topk(small_graph, k, "w", nodes, edge_dir, ascending)
    expected = expected_edges(small_graph, k, weights.tolist(), nodes, edge_dir, ascending)
    eids = part.edata[hf.EID].tolist()
    if edge_dir == "in":
        assert eids == expected
    else:  # stored by destination
        assert sorted(eids) == sorted(expected)
    assert all(
        torch.equal(a, b) for a, b in zip(part.edges(), small_graph.find_edges(part.edata[hf.EID]))
    )
    assert torch.equal(part.edata["w"], weights[part.edata[hf.EID]])


def test_all_nodes_and_the_documented_example():
    graph = hf.graph(([0, 0, 1, 1, 2, 2], [1, 2, 0, 1, 2, 0]))
    graph.edata["weight"] = torch.tensor([0.0, 1, 0, 1, 0, 1])
    part = graph.select_topk(1, "weight")
    assert [x.tolist() for x in part.edges(order="eid")] == [[2, 1, 0], [0, 1, 2]]
    assert part.edata[hf.EID].tolist() == [5, 3, 1]
    given = graph.select_topk(1, graph.edata["weight"], copy_ndata=False, copy_edata=False)
    assert list(given.edata) == [hf.EID]


def test_several_types():
    graph = hf.heterograph(
        {("a", "x", "b"): ([0, 1, 2, 0], [0, 0, 1, 1]), ("a", "y", "b"): ([2, 1, 0], [0, 0, 1])}
    )
    graph.edges["x"].data["w"] = torch.tensor([1.0, 2, 3, 4])
    graph.edges["y"].data["w"] = torch.tensor([1, 2, 3])
    part = graph.select_topk({"x": 1, "y": 2}, "w", {"b": [0, 1]})
    assert part.edges["x"].data[hf.EID].tolist() == [1, 3]
    assert part.edges["y"].data[hf.EID].tolist() == [1, 0, 2]
    assert graph.select_topk(1, "w", {"a": [0]}).num_edges() == 0
    assert graph.select_topk(1, "w", {"a": [0]}, edge_dir="out").num_edges() == 2


def test_no_edges_and_mistakes(small_graph):
    empty = hf.graph(([], []), num_nodes=3)
    empty.edata["w"] = torch.zeros(0)
    assert empty.select_topk(2, "w").num_edges() == 0
    small_graph.edata["wide"] = torch.zeros(small_graph.num_edges(), 2)
    small_graph.edata["w"] = torch.zeros(small_graph.num_edges())
    for options, error, message in (
        ({"k": -2}, ValueError, "k: expected -1"),
        ({"weight": "no"}, KeyError, "no"),
        ({"weight": "wide"}, ValueError, "expected one number"),
        ({"weight": None}, TypeError, "weight"),
        ({"nodes": [200]}, IndexError, "nodes"),
        ({"edge_dir": "both"}, ValueError, "edge_dir"),
    ):
        with pytest.raises(error, match=message):
            small_graph.select_topk(**{"k": 1, "weight": "w", **options})
