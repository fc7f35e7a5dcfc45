"""Graphs in which edges are nodes, against loops over all pairs of edges."""

from __future__ import annotations

import pytest
import torch
from helpers import IDS, graph_form, typed_graph

import hopflow as hf
from hopflow.transforms import LineGraph, ToLevi


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("backtracking", [True, False])
@pytest.mark.parametrize("form", ["graph", "sorted", "sampled", "shuffled", "no_edges", "empty"])
def test_pairs(form, backtracking, idtype):
    g = graph_form(form, idtype)
    g.edata["w"] = torch.arange(g.num_edges()) * 1.5
    src, dst = (x.tolist() for x in g.edges())
    edges = range(g.num_edges())
    pairs = [
        (a, b)
        for a in edges
        for b in edges
        if a != b and dst[a] == src[b] and (backtracking or src[a] != dst[b])
    ]
    made = hf.line_graph(g, backtracking)
    assert list(zip(*(x.tolist() for x in made.edges()))) == pairs
    assert (made.num_nodes(), made.idtype) == (g.num_edges(), idtype)
    assert made.canonical_etypes == [("_N", "_E", "_N")]
    assert not made.ndata
    shared = g.line_graph(backtracking, shared=True)
    assert shared.ndata["w"] is g.edata["w"]
    for other in (shared, LineGraph(backtracking)(g)):
        assert torch.equal(torch.stack(other.edges()), torch.stack(made.edges()))
        assert torch.equal(other.ndata["w"], g.edata["w"])


def test_line_graph_of_named_types_and_of_several():
    g = hf.heterograph({("user", "follows", "user"): ([0, 1], [1, 0])})
    assert hf.line_graph(g).ntypes == ["_N"]
    with pytest.raises(ValueError, match="one node type"):
        hf.line_graph(typed_graph())


@pytest.mark.parametrize("idtype", IDS)
def test_levi(idtype):
    g = hf.graph(([3, 0, 0], [1, 0, 3]), num_nodes=6, idtype=idtype)
    g.ndata["x"], g.edata["w"] = torch.arange(6.0), torch.arange(3.0)
    made = ToLevi()(g)
    assert made.ntypes == ["edge", "node"]
    assert made.canonical_etypes == [("edge", "e2n", "node"), ("node", "n2e", "edge")]
    assert [x.tolist() for x in made.edges(etype="n2e")] == [[3, 0, 0], [0, 1, 2]]
    assert [x.tolist() for x in made.edges(etype="e2n")] == [[0, 1, 2], [1, 0, 3]]
    assert (made.num_nodes("node"), made.num_nodes("edge")) == (6, 3)
    assert made.nodes["node"].data["x"].tolist() == list(range(6))
    assert made.nodes["edge"].data["w"].tolist() == [0, 1, 2]
    assert made.idtype == idtype
    empty = ToLevi()(hf.graph(([], []), num_nodes=0))
    assert (empty.num_nodes("edge"), empty.num_edges()) == (0, 0)
