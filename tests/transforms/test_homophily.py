"""Measures of homophily against sums over nodes and pairs of classes."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from helpers import IDS, graph_form

import hopflow as hf

FORMS = ["graph", "sorted", "sampled", "shuffled"]


def labelled(form, idtype):
    g = graph_form(form, idtype)
    return g, torch.arange(g.num_nodes()) * 7 % 11 % 3


def pairs_of(g):
    return list(zip(*(x.tolist() for x in g.edges())))


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS)
def test_homophily(form, idtype):
    g, y = labelled(form, idtype)
    pairs, labels = pairs_of(g), y.tolist()
    same = [labels[u] == labels[v] for u, v in pairs]
    into = [[s for s, (_, v) in zip(same, pairs) if v == node] for node in range(len(labels))]
    shares = [sum(x) / len(x) if x else 0 for x in into]
    assert hf.node_homophily(g, y) == pytest.approx(sum(shares) / len(shares))
    assert hf.edge_homophily(g, y) == pytest.approx(sum(same) / len(same))
    above = 0.0
    for k in range(3):
        of_class = [s for s, (_, v) in zip(same, pairs) if labels[v] == k]
        above += max(0, sum(of_class) / len(of_class) - labels.count(k) / len(labels))
    assert hf.linkx_homophily(g, y) == pytest.approx(above / 2)


def both_ways(g):
    return sorted({p for u, v in pairs_of(g) for p in ((u, v), (v, u))})


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS)
def test_of_both_directions(form, idtype):
    g, y = labelled(form, idtype)
    pairs, labels = both_ways(g), y.tolist()
    degree = Counter(v for _, v in pairs)
    at_end = [sum(degree[v] for v in degree if labels[v] == k) / len(pairs) for k in range(3)]
    expected = sum(p * p for p in at_end)
    share = sum(labels[u] == labels[v] for u, v in pairs) / len(pairs)
    found = hf.adjusted_homophily(g, y)
    assert found == pytest.approx((share - expected) / (1 - expected))

    joint = Counter((labels[u], labels[v]) for u, v in pairs)
    entropy = -sum(p * math.log(p) for p in at_end)
    of_pairs = -sum(n / len(pairs) * math.log(n / len(pairs)) for n in joint.values())
    mutual = 2 * entropy - of_pairs
    assert hf.edge_label_informativeness(g, y, eps=0) == pytest.approx(mutual / entropy)
    assert hf.edge_label_informativeness(g, y) == pytest.approx(mutual / entropy, abs=1e-5)

    of_node = [labels.count(k) / len(labels) for k in range(3)]
    by_node = Counter()
    for u, v in pairs:
        by_node[labels[u], labels[v]] += 1 / (degree[u] * len(degree))
    told = sum(p * math.log(p / (of_node[a] * at_end[b])) for (a, b), p in by_node.items())
    told /= -sum(p * math.log(p) for p in of_node)
    assert hf.node_label_informativeness(g, y) == pytest.approx(told, abs=1e-5)


def test_extremes():
    parts = hf.to_bidirected(hf.graph(([0, 1, 3], [1, 2, 4])))
    y = torch.tensor([0, 0, 0, 1, 1])
    for measure in (hf.node_homophily, hf.edge_homophily, hf.adjusted_homophily):
        assert measure(parts, y) == pytest.approx(1)
    assert hf.edge_label_informativeness(parts, y) == pytest.approx(1, abs=1e-6)
    apart = hf.to_bidirected(hf.graph(([0, 1], [1, 2])))
    y = torch.tensor([0, 1, 0])
    assert hf.edge_homophily(apart, y) == 0
    assert hf.adjusted_homophily(apart, y) == pytest.approx(-1)
    assert hf.edge_label_informativeness(apart, y) == pytest.approx(1, abs=1e-6)


def test_classes_without_nodes_or_edges_are_left_out():
    g = hf.graph(([0, 1, 2], [1, 2, 0]), num_nodes=4)
    few, many = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 3, 3, 0])
    for measure in (hf.edge_label_informativeness, hf.node_label_informativeness):
        assert measure(g, many) == pytest.approx(measure(g, few), abs=1e-5)
    assert hf.adjusted_homophily(g, many) == pytest.approx(hf.adjusted_homophily(g, few))
    assert math.isfinite(hf.node_label_informativeness(g, torch.tensor([0, 1, 1, 2])))
    assert hf.linkx_homophily(g, torch.tensor([0, 1, 1, 2])) == pytest.approx((0.5 - 0.5) / 2)


def test_nothing_to_measure():
    g, y = hf.graph(([], []), num_nodes=3), torch.tensor([0, 1, 1])
    assert math.isnan(hf.edge_homophily(g, y))
    assert hf.node_homophily(g, y) == 0
    for measure in (hf.adjusted_homophily, hf.edge_label_informativeness):
        assert math.isnan(measure(g, y))
    empty, none = hf.graph(([], []), num_nodes=0), torch.zeros(0, dtype=torch.int64)
    assert math.isnan(hf.node_homophily(empty, none))
    assert math.isnan(hf.edge_label_informativeness(empty, none))


def test_refusals():
    g = hf.graph(([0, 1], [1, 0]))
    with pytest.raises(ValueError, match=r"y: expected one label for each of the 2 nodes, got .*3"):
        hf.edge_homophily(g, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(TypeError, match="y: expected integer labels, got float32"):
        hf.node_homophily(g, torch.zeros(2))
    with pytest.raises(TypeError, match="y: expected a tensor of labels, got list"):
        hf.node_homophily(g, [0, 1])
    with pytest.raises(ValueError, match="y: expected labels of 0 or more, got -1"):
        hf.adjusted_homophily(g, torch.tensor([0, -1]))
    with pytest.raises(ValueError, match="y: expected at least two classes, got 1"):
        hf.linkx_homophily(g, torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("measure", [hf.edge_label_informativeness, hf.node_label_informativeness])
def test_pairs_of_too_many_classes_are_refused(measure):
    with pytest.raises(ValueError, match=r"pairs of classes.*shape \[1000001, 1000001\]"):
        measure(hf.graph(([0], [1])), torch.tensor([0, 10**6]))
