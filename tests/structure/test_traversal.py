"""Frontiers of traversals, against networkx and plain queues."""

from __future__ import annotations

import pickle
from collections import deque

import networkx as nx
import numpy as np
import pytest
import torch
from helpers import IDS, graph_form

import hopflow as hf

pytestmark = pytest.mark.cpu_only  # traversals have no CUDA kernel

FORMS = ("graph", "sorted", "sampled", "no_edges")


def lists(frontiers):
    return [x.tolist() for x in frontiers]


def flat(frontiers):
    return [x for frontier in frontiers for x in frontier.tolist()]


def leaving(g, reverse):
    """``{node: [(other end, edge)]}``, by edge id."""
    src, dst = (x.tolist() for x in (reversed(g.edges()) if reverse else g.edges()))
    found = {v: [] for v in range(g.num_nodes())}
    for eid, (u, v) in enumerate(zip(src, dst)):
        found[u].append((v, eid))
    return found


def queue_search(g, seeds, reverse):
    """Nodes and edges of a breadth-first search, each with its distance."""
    edges, depth = leaving(g, reverse), dict.fromkeys(seeds, 0)
    nodes, met, queue = [(s, 0) for s in seeds], [], deque(seeds)
    while queue:
        u = queue.popleft()
        for v, eid in edges[u]:
            if v not in depth:
                depth[v] = depth[u] + 1
                nodes.append((v, depth[v]))
                met.append((eid, depth[v]))
                queue.append(v)
    return nodes, met


def by_depth(found):
    return [[x for x, d in found if d == depth] for depth in sorted({d for _, d in found})]


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_breadth_first(form, reverse, idtype):
    for seed in range(5):
        g = graph_form(form, idtype, seed)
        for seeds in ([0], [3, 1, 2], []):
            nodes, edges = queue_search(g, seeds, reverse)
            found = hf.bfs_nodes_generator(g, seeds, reverse)
            assert lists(found) == by_depth(nodes)
            assert all(x.dtype == idtype for x in found)
            assert lists(
                hf.bfs_edges_generator(g, torch.tensor(seeds, dtype=torch.int64), reverse)
            ) == by_depth(edges)


def test_seeds_in_every_form():
    g = hf.graph(([0, 0, 0, 2], [1, 2, 3, 4]))
    expected = [[0, 2], [1, 3, 4]]
    mask = torch.tensor([1, 0, 1, 0, 0]).bool()
    for seeds in ([0, 2, 0], np.array([0, 2]), torch.tensor([0, 2], dtype=torch.int32), mask):
        assert lists(hf.bfs_nodes_generator(g, seeds)) == expected
    assert lists(hf.bfs_nodes_generator(g, 4)) == [[4]]


def acyclic(num_nodes, num_edges, idtype=torch.int64, seed=0):
    rng = np.random.default_rng(seed)
    ends = rng.integers(num_nodes, size=(num_edges, 2))
    ends = np.sort(ends[ends[:, 0] != ends[:, 1]], axis=1)
    names = rng.permutation(num_nodes)
    src, dst = names[ends[:, 0]], names[ends[:, 1]]
    return hf.graph((src, dst), num_nodes=num_nodes, idtype=idtype)


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("reverse", [False, True])
def test_topological(reverse, idtype):
    for seed in range(8):
        g = acyclic(12, 25, idtype, seed)
        made = nx.MultiDiGraph()
        made.add_nodes_from(range(12))
        made.add_edges_from(zip(*(x.tolist() for x in g.edges())))
        made = made.reverse() if reverse else made
        found = hf.topological_nodes_generator(g, reverse)
        assert [sorted(x) for x in lists(found)] == [
            sorted(x) for x in nx.topological_generations(made)
        ]
        # In the order of the queue of Kahn's algorithm.
        waits, edges = dict(made.in_degree()), leaving(g, reverse)
        queue, order = deque(v for v in range(12) if not waits[v]), []
        while queue:
            order.append(u := queue.popleft())
            for v, _ in edges[u]:
                waits[v] -= 1
                if not waits[v]:
                    queue.append(v)
        assert flat(found) == order
        assert all(x.dtype == idtype for x in found)
    assert hf.topological_nodes_generator(hf.graph(([], []))) == ()


def test_cycles():
    with pytest.raises(ValueError, match="expected no cycle; 3 nodes are in one, or behind one"):
        hf.topological_nodes_generator(hf.graph(([0, 1, 2, 2], [1, 2, 1, 3])))
    with pytest.raises(ValueError, match="expected no cycle; 1 nodes"):
        hf.topological_nodes_generator(hf.graph(([0], [0])))


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("reverse", [False, True])
def test_depth_first(reverse, idtype):
    """Every edge of a graph without repeated ones, as networkx labels them."""
    number = {"forward": 0, "reverse": 1, "nontree": 2}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        pairs = rng.permutation([(u, v) for u in range(8) for v in range(8)])[:20]
        g = hf.graph((pairs[:, 0], pairs[:, 1]), num_nodes=8, idtype=idtype)
        eids = {
            (int(u), int(v)): i for i, (u, v) in enumerate(pairs[:, ::-1] if reverse else pairs)
        }
        made = nx.DiGraph()
        made.add_nodes_from(range(8))
        made.add_edges_from(eids)
        labelled = [
            (eids[u, v], number[label])
            for u, v, label in nx.dfs_labeled_edges(made, 3)
            # The root comes as a loop, first and last; a loop of its own is labelled "nontree".
            if not (u == v and label != "nontree")
        ]
        edges, labels = hf.dfs_labeled_edges_generator(g, 3, reverse, True, True)
        assert list(zip(flat(edges), flat(labels))) == labelled
        assert all(x.dtype == idtype and x.shape == (1,) for x in edges)
        assert all(x.dtype == torch.int64 for x in labels)
        for wanted in ({0}, {0, 1}, {0, 2}):
            some = hf.dfs_labeled_edges_generator(
                g, 3, reverse, 1 in wanted, 2 in wanted, return_labels=False
            )
            assert flat(some) == [eid for eid, label in labelled if label in wanted]
        tree = [eids[pair] for pair in nx.dfs_edges(made, 3)]
        assert flat(hf.dfs_edges_generator(g, [3], reverse)) == tree


def test_several_searches_go_side_by_side():
    g = hf.graph(([0, 1, 3], [1, 2, 4]))
    assert lists(hf.dfs_edges_generator(g, [0, 3])) == [[0, 2], [1]]
    assert lists(hf.dfs_edges_generator(g, [3, 0])) == [[2, 0], [1]]
    assert hf.dfs_edges_generator(g, [2]) == hf.dfs_edges_generator(g, []) == ()


def test_a_long_way_is_no_recursion():
    n = 20_000
    g = hf.graph((torch.arange(n - 1), torch.arange(1, n)))
    assert len(hf.dfs_edges_generator(g, 0)) == n - 1


def test_a_graph_changed_in_place_is_traversed_as_it_is():
    g = hf.graph(([1, 0, 0], [3, 2, 1]))
    assert lists(hf.bfs_nodes_generator(g, 0)) == [[0], [2, 1], [3]]
    assert lists(hf.dfs_edges_generator(g, 0)) == [[1], [2], [0]]
    g.add_edges([2], [3])
    assert lists(hf.bfs_edges_generator(g, 0)) == [[1, 2], [3]]
    assert lists(hf.dfs_edges_generator(g, 0)) == [[1], [3], [2]]
    g.remove_edges([1])
    assert lists(hf.bfs_nodes_generator(g, 0)) == [[0], [1], [3]]
    assert lists(hf.topological_nodes_generator(g)) == [[0, 2], [1], [3]]
    assert g.successors(0).tolist() == [1]


def test_the_edges_by_source_are_kept():
    g = hf.graph(([1, 0, 0], [3, 2, 1]))
    assert g.adjacency.eids is not None
    first = g.adjacency.by_source()
    hf.bfs_nodes_generator(g, 0)
    assert g.adjacency.by_source() is first
    assert [x.tolist() for x in first] == [[0, 2, 3, 3, 3], [2, 1, 3], [1, 2, 0]]
    again = pickle.loads(pickle.dumps(g))
    assert lists(hf.bfs_edges_generator(again, 0)) == lists(hf.bfs_edges_generator(g, 0))


@pytest.mark.parametrize(
    "walk",
    [
        hf.bfs_nodes_generator, hf.bfs_edges_generator, hf.dfs_edges_generator,
        hf.dfs_labeled_edges_generator,
    ],
)  # fmt: skip
def test_errors(walk):
    g = hf.graph(([0], [1]))
    with pytest.raises(IndexError, match=r"source\[1\] is 2, expected 0 <= id < 2"):
        walk(g, [0, 2])
    with pytest.raises(TypeError, match=r"expected a hopflow\.Graph, got int"):
        walk(3, [0])
    typed = hf.heterograph({("a", "r", "b"): ([0], [0])})
    with pytest.raises(ValueError, match="expected one node type and one edge type"):
        walk(typed, [0])
