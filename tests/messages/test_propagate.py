"""Message passing frontier after frontier."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf
import hopflow.function as fn

pytestmark = pytest.mark.cpu_only  # traversals have no CUDA kernel


@pytest.fixture
def g():
    """0 -> 1 -> {2, 3}, 2 -> 4, 3 -> 4; every node begins with 1."""
    g = hf.graph(([0, 1, 1, 2, 3], [1, 2, 3, 4, 4]))
    g.ndata["h"] = torch.ones(5)
    return g


COPY, SUM = fn.copy_u("h", "m"), fn.sum("m", "h")


def test_each_frontier_sees_what_the_last_received(g):
    hf.prop_nodes(g, [[1], torch.tensor([2, 3]), [4]], COPY, SUM)
    assert g.ndata["h"].tolist() == [1, 1, 1, 1, 2]
    g.ndata["h"] = torch.tensor([5.0, 0, 0, 0, 0])
    g.prop_nodes([[1], [3], [4]], COPY, SUM)
    assert g.ndata["h"].tolist() == [5, 5, 0, 5, 5]


def test_edges(g):
    g.ndata["h"] = torch.tensor([5.0, 0, 0, 0, 0])
    hf.prop_edges(g, [[0], [1], [3]], COPY, SUM)
    assert g.ndata["h"].tolist() == [5, 5, 5, 0, 5]
    g.prop_edges([[4]], COPY, SUM, lambda nodes: {"h": nodes.data["h"] + 1})
    assert g.ndata["h"].tolist() == [5, 5, 5, 0, 1]


def test_counting_paths(g):
    """Those from node 0, in topological order, with functions of Python's."""
    g.ndata["start"] = torch.tensor([1.0, 0, 0, 0, 0])
    hf.prop_nodes_topo(
        g, lambda edges: {"m": edges.src["h"]}, lambda nodes: {"h": nodes.mailbox["m"].sum(1)},
        apply_node_func=lambda nodes: {"h": nodes.data["h"] * (1 - nodes.data["start"])
                                       + nodes.data["start"]},
    )  # fmt: skip
    assert g.ndata["h"].tolist() == [1, 1, 1, 1, 2]


def test_breadth_and_depth_first(g):
    with g.local_scope():
        hf.prop_nodes_bfs(g, [1], COPY, SUM)
        assert g.ndata["h"].tolist() == [1, 1, 1, 1, 2]
    with g.local_scope():  # against the edges; messages go along them
        hf.prop_nodes_bfs(g, [4], COPY, SUM, reverse=True)
        assert g.ndata["h"].tolist() == [0, 1, 1, 1, 2]
    hf.prop_edges_dfs(g, [0], COPY, SUM)
    assert g.ndata["h"].tolist() == [1, 1, 1, 1, 1]  # node 4 is met over node 2
    g.ndata["h"] = torch.tensor([0.0, 0, 0, 7, 0])
    hf.prop_edges_dfs(g, [0], COPY, SUM, has_nontree_edge=True)
    assert g.ndata["h"].tolist() == [0, 0, 0, 0, 0]


def test_gradients_go_all_the_way(g):
    weight = torch.tensor(2.0, requires_grad=True)
    g.ndata["h"] = torch.ones(5) * weight
    hf.prop_nodes(g, [[1], [2, 3], [4]], COPY, SUM)
    g.ndata["h"][4].backward()
    assert weight.grad == 2


def test_several_types():
    g = hf.heterograph({("a", "to", "b"): ([0, 1], [0, 0]), ("b", "on", "b"): ([0], [1])})
    g.nodes["a"].data["h"], g.nodes["b"].data["h"] = torch.ones(2), torch.zeros(2)
    g.prop_nodes([[0]], COPY, SUM, etype="to")
    g.prop_edges([[0]], COPY, SUM, etype=("b", "on", "b"))
    assert g.nodes["b"].data["h"].tolist() == [2, 2]
    with pytest.raises(ValueError, match="etype: expected one of"):
        hf.prop_nodes(g, [[0]], COPY, SUM)
    with pytest.raises(ValueError, match="expected one node type and one edge type"):
        hf.prop_nodes_topo(g, COPY, SUM)


def test_errors(g):
    with pytest.raises(TypeError, match=r"graph: expected a hopflow\.Graph, got int"):
        hf.prop_nodes(3, [[0]], COPY, SUM)
    with pytest.raises(IndexError, match=r"v\[0\] is 9"):
        hf.prop_nodes(g, [[1], [9]], COPY, SUM)
    with pytest.raises(IndexError, match=r"edges\[0\] is 9"):
        hf.prop_edges(g, [[9]], COPY, SUM)
