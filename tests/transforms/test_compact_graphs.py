"""compact_graphs; its examples and the order of nodes are DGL 2.1's."""

from __future__ import annotations

import pytest
import torch
from helpers import IDS

import hopflow as hf


def two(idtype=torch.int64):
    graphs = [
        hf.heterograph({("user", "plays", "game"): ends}, {"user": 20, "game": 10}, idtype=idtype)
        for ends in (([1, 3], [3, 5]), ([1, 6], [6, 8]))
    ]
    for g in graphs:
        g.nodes["user"].data["x"] = torch.arange(20.0)
        g.edata["w"] = torch.tensor([7.0, 8.0])
    return graphs


@pytest.mark.parametrize("idtype", IDS)
def test_of_one_and_of_two(idtype):
    g, other = two(idtype)
    made = hf.compact_graphs(g)
    assert {t: x.tolist() for t, x in made.ndata[hf.NID].items()} == {
        "user": [1, 3],
        "game": [3, 5],
    }
    assert [x.tolist() for x in made.edges()] == [[0, 1], [0, 1]]
    both = hf.compact_graphs([g, other])
    for one, ends in zip(both, ([[0, 1], [0, 1]], [[0, 2], [2, 3]])):
        assert one.nodes["user"].data[hf.NID].tolist() == [1, 3, 6]
        assert one.nodes["game"].data[hf.NID].tolist() == [3, 5, 6, 8]
        assert one.nodes["user"].data[hf.NID].dtype == one.idtype == idtype
        assert one.nodes["user"].data["x"].tolist() == [1, 3, 6]
        assert one.edata["w"].tolist() == [7, 8]
        assert hf.EID not in one.edata
        assert [x.tolist() for x in one.edges()] == ends
    assert (g.num_nodes("user"), g.num_edges()) == (20, 2)


def test_always_preserve():
    g, _ = two()
    made = hf.compact_graphs(g, {"user": [9, 3, 9]})
    assert made.nodes["user"].data[hf.NID].tolist() == [9, 3, 1]
    assert [x.tolist() for x in made.edges()] == [[2, 1], [0, 1]]
    plain = hf.graph(([0, 4], [4, 4]), num_nodes=6)
    made = hf.compact_graphs(plain, torch.tensor([5]))
    assert made.ndata[hf.NID].tolist() == [5, 0, 4]
    assert [x.tolist() for x in made.edges()] == [[1, 2], [2, 2]]


def test_without_columns_or_edges():
    g, other = two()
    for made in hf.compact_graphs((g, other), copy_ndata=False, copy_edata=False):
        assert (dict(made.nodes["user"].data), dict(made.edata)) == ({}, {})
        assert made.num_nodes("game") == 4
    none = hf.graph(([], []), num_nodes=3)
    assert hf.compact_graphs(none).num_nodes() == 0
    assert hf.compact_graphs(none, [2]).ndata[hf.NID].tolist() == [2]
    assert hf.compact_graphs([]) == []


def test_graphs_with_other_relations():
    a = hf.heterograph({("u", "r", "v"): ([4], [0])}, {"u": 5, "v": 3})
    b = hf.heterograph({("v", "s", "u"): ([2], [1]), ("u", "t", "u"): ([3], [4])}, {"u": 5, "v": 3})
    one, two_ = hf.compact_graphs([a, b])
    assert one.nodes["u"].data[hf.NID].tolist() == [4, 3, 1]
    assert two_.nodes["v"].data[hf.NID].tolist() == [0, 2]
    assert [x.tolist() for x in two_.edges(etype="t")] == [[1], [0]]
    assert [x.tolist() for x in two_.edges(etype="s")] == [[1], [2]]


def test_errors():
    g, _ = two()
    with pytest.raises(ValueError, match=r"graphs\[1\]: expected the nodes of the first graph"):
        hf.compact_graphs([g, hf.graph(([0], [1]))])
    with pytest.raises(ValueError, match=r"graphs\[1\]: expected ids of the first graph"):
        hf.compact_graphs([g, g.int()])
    with pytest.raises(TypeError, match=r"expected a hopflow.Graph, got int"):
        hf.compact_graphs(3)
    with pytest.raises(ValueError, match="got a block"):
        hf.compact_graphs(hf.create_block(([0], [0])))
    with pytest.raises(ValueError, match="always_preserve: expected a dict by node type"):
        hf.compact_graphs(g, [0])
    with pytest.raises(IndexError, match="always_preserve"):
        hf.compact_graphs(g, {"user": [20]})
