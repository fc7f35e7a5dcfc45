"""filter_nodes and filter_edges."""

from __future__ import annotations

import pytest
import torch
from helpers import IDS

import hopflow as hf


@pytest.fixture(params=IDS, ids=["int32", "int64"])
def graph(request):
    g = hf.graph(([0, 1, 2, 0], [1, 2, 0, 2]), num_nodes=5, idtype=request.param)
    g.ndata["x"] = torch.tensor([1.0, -1.0, 2.0, -2.0, 3.0])
    g.edata["w"] = torch.tensor([1.0, 5.0, 2.0, 0.0])
    return g


def test_nodes(graph):
    def positive(nodes):
        return nodes.data["x"] > 0

    for nodes, want in (("__ALL__", [0, 2, 4]), ([4, 1, 0, 4], [4, 0, 4]), ([], []),
                        (torch.tensor([True, True, False, False, True]), [0, 4])):  # fmt: skip
        found = graph.filter_nodes(positive, nodes)
        assert (found.tolist(), found.dtype) == (want, graph.idtype)
    assert graph.filter_nodes(lambda nodes: nodes.nodes() > 2).tolist() == [3, 4]
    assert list(graph.ndata) == ["x"]


def test_edges(graph):
    def heavy(edges):
        return edges.data["w"] > edges.src["x"]

    for edges, want in (("__ALL__", [1]), ([1, 0, 1], [1, 1]), (([1, 0], [2, 1]), [1]), ([], [])):
        found = graph.filter_edges(heavy, edges)
        assert (found.tolist(), found.dtype) == (want, graph.idtype)
    with pytest.raises(ValueError, match="no edge from 4 to 0"):
        graph.filter_edges(heavy, ([4], [0]))


def test_types_and_blocks():
    g = hf.heterograph({("a", "r", "b"): ([0, 1], [0, 2]), ("b", "s", "a"): ([1], [0])})
    g.nodes["b"].data["x"] = torch.tensor([0, 1, 1])
    assert g.filter_nodes(lambda n: n.data["x"] == 1, ntype="b").tolist() == [1, 2]
    assert g.filter_edges(lambda e: e.dst["x"] == 1, etype="r").tolist() == [1]
    with pytest.raises(ValueError, match="ntype"):
        g.filter_nodes(lambda n: n.data["x"] == 1)
    block = hf.create_block(([0, 1, 2], [0, 1, 1]))
    block.dstdata["x"] = torch.tensor([3, 4])
    assert block.filter_nodes(lambda n: n.data["x"] > 3).tolist() == [1]
    assert block.filter_edges(lambda e: e.dst["x"] > 3).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("made", "error", "match"),
    [
        (lambda n: n.data["x"], TypeError, "expected a bool tensor .* got torch.float32"),
        (lambda n: [True] * 5, TypeError, "expected a bool tensor .* got list"),
        (lambda n: n.data["x"][:3] > 0, ValueError, r"shape \[5\], got shape \[3\]"),
        (lambda n: n.data["x"][:, None] > 0, ValueError, r"got shape \[5, 1\]"),
        (7, TypeError, "predicate: expected a Python function, got int"),
    ],
)
def test_what_is_no_predicate(graph, made, error, match):
    with pytest.raises(error, match=match):
        graph.filter_nodes(made)
    with pytest.raises(TypeError, match="predicate"):
        graph.filter_edges(made if made == 7 else lambda e: torch.ones(4))
    with pytest.raises(IndexError):
        graph.filter_nodes(lambda n: n.data["x"] > 0, [5])
