"""Shortest distances against a search by layers."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import IDS, graph_form, typed_graph

import hopflow as hf
from hopflow.transforms import _matrices


def layers(neighbours, start, without=()):
    """The distance from one node to those that can be reached."""
    found, frontier = {start: 0}, [start]
    while frontier:
        further = [v for u in frontier for v in neighbours[u] if v not in without]
        frontier = [v for v in dict.fromkeys(further) if v not in found]
        found.update(dict.fromkeys(frontier, found[start] + max(found.values()) + 1))
    return found


def neighbours_of(g, both=False):
    made = {node: set() for node in range(g.num_nodes())}
    for u, v in zip(*(x.tolist() for x in g.edges())):
        made[u].add(v)
        if both:
            made[v].add(u)
    return made


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", ["graph", "sampled", "shuffled", "no_edges"])
def test_shortest_dist(form, idtype):
    g = graph_form(form, idtype)
    count, around = g.num_nodes(), neighbours_of(g)
    dist, paths = hf.shortest_dist(g, return_paths=True)
    assert dist.dtype == paths.dtype == torch.int64
    assert torch.equal(hf.shortest_dist(g), dist)
    assert paths.shape == (count, count, int(dist.max()))
    src, dst = (x.tolist() for x in g.edges())
    first = {}
    for e, ends in enumerate(zip(src, dst)):
        first.setdefault(ends, e)
    for u in range(count):
        reached = layers(around, u)
        assert dist[u].tolist() == [reached.get(v, -1) for v in range(count)]
        for v in range(count):
            edges = [e for e in paths[u, v].tolist() if e >= 0]
            assert paths[u, v].tolist()[: len(edges)] == edges
            assert len(edges) == max(int(dist[u, v]), 0)
            if edges:
                assert [src[e] for e in edges] == [u, *(dst[e] for e in edges[:-1])]
                assert dst[edges[-1]] == v
                assert all(first[src[e], dst[e]] == e for e in edges)
        alone, alone_paths = hf.shortest_dist(g, u, return_paths=True)
        assert torch.equal(alone, dist[u])
        assert torch.equal(hf.shortest_dist(g, root=u), dist[u])
        longest = int(dist[u].max())
        assert torch.equal((alone_paths >= 0).sum(1), dist[u].clamp(min=0))
        assert alone_paths.shape == (count, longest)


def test_shortest_dist_of_no_nodes_and_refusals(monkeypatch):
    empty = hf.graph(([], []), num_nodes=0)
    assert [x.shape for x in hf.shortest_dist(empty, return_paths=True)] == [(0, 0), (0, 0, 0)]
    g = hf.graph(([0, 1], [1, 2]))
    with pytest.raises(IndexError, match=r"root\[0\] is 3, expected 0 <= id < 3"):
        hf.shortest_dist(g, 3)
    with pytest.raises(TypeError, match="root: expected an int"):
        hf.shortest_dist(g, 0.5)
    with pytest.raises(ValueError, match="one node type"):
        hf.shortest_dist(typed_graph())
    large = hf.graph(([0], [1]), num_nodes=40_000)
    with pytest.raises(ValueError, match="shortest_dist: dense arrays of shape"):
        hf.shortest_dist(large)
    assert hf.shortest_dist(large, 0)[1] == 1
    monkeypatch.setattr(_matrices, "MOST_DENSE_BYTES", 3 * 8 * 9)
    chain = hf.graph(([0, 1], [1, 2]))
    assert hf.shortest_dist(chain).shape == (3, 3)
    monkeypatch.setattr(_matrices, "MOST_DENSE_BYTES", 3 * 8 * 9 - 1)
    with pytest.raises(ValueError, match="expected a smaller"):
        hf.shortest_dist(chain)


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", ["graph", "sampled", "no_edges"])
def test_double_radius(form, idtype):
    g = graph_form(form, idtype)
    around = neighbours_of(g, both=True)
    count = g.num_nodes()
    for src in range(count):
        for dst in {0, 3, count - 1} - {src}:
            from_src, from_dst = layers(around, src, {dst}), layers(around, dst, {src})
            expected = []
            for v in range(count):
                both = from_src.get(v, math.inf) + from_dst.get(v, math.inf)
                if v in (src, dst):
                    expected.append(1)
                elif math.isinf(both):
                    expected.append(0)
                else:
                    half, odd = divmod(both, 2)
                    expected.append(1 + min(from_src[v], from_dst[v]) + half * (half + odd - 1))
            labels = hf.double_radius_node_labeling(g, src, dst)
            assert labels.dtype == torch.int64
            assert labels.tolist() == expected


def test_double_radius_refuses():
    g = hf.graph(([0, 1], [1, 2]))
    with pytest.raises(ValueError, match="dst: expected another node than src, got 1"):
        hf.double_radius_node_labeling(g, 1, 1)
    with pytest.raises(IndexError, match="src"):
        hf.double_radius_node_labeling(g, -1, 1)
