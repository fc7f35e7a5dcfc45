"""reorder_graph: the same graph in another order."""

from __future__ import annotations

import pytest
import torch
from helpers import IDS, graph_form

import hopflow as hf

FORMS = ("graph", "sorted", "sampled", "shuffled", "no_edges", "empty")


def check(made, g):
    """``made`` is ``g`` in another order, with its columns."""
    nodes, edges = made.ndata[hf.NID].long(), made.edata[hf.EID].long()
    assert made.idtype == g.idtype
    assert made.ndata[hf.NID].dtype == made.edata[hf.EID].dtype == g.idtype
    assert torch.equal(nodes.sort().values, torch.arange(g.num_nodes()))
    assert torch.equal(edges.sort().values, torch.arange(g.num_edges()))
    for mine, theirs in zip(made.edges(), g.edges()):
        assert torch.equal(nodes[mine.long()], theirs.long()[edges])
    assert torch.equal(made.ndata["x"], g.ndata["x"][nodes])
    assert torch.equal(made.edata["w"], g.edata["w"][edges])
    return nodes, edges


def rises(x):
    return bool((x.diff() >= 0).all())


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS)
def test_orders(form, idtype):
    g = graph_form(form, idtype)
    g.ndata["x"], g.edata["w"] = torch.rand(g.num_nodes()), torch.rand(g.num_edges(), 2)
    config = {
        "nodes_perm": torch.randperm(g.num_nodes()), "k": 2,
        "edges_perm": torch.randperm(g.num_edges()).tolist(),
    }  # fmt: skip
    for algo in (None, "rcmk", "custom", *(["metis"] if g.num_nodes() else [])):
        for i, by in enumerate(("src", "dst")):
            made = hf.reorder_graph(g, algo, by, permute_config=config)
            nodes, edges = check(made, g)
            assert rises(made.edges()[i])
            if algo is None:
                assert rises(nodes)
                ties = made.edges()[i].diff() == 0
                assert bool((edges.diff()[ties] > 0).all())
        made = g.reorder_graph(algo, "custom", permute_config=config)
        nodes, edges = check(made, g)
        assert edges.tolist() == config["edges_perm"]
        if algo == "custom":
            assert torch.equal(nodes, config["nodes_perm"])
    bare = hf.reorder_graph(g, store_ids=False)
    assert set(bare.ndata) == set(g.ndata)
    assert set(bare.edata) == set(g.edata)


def test_near_neighbours_get_near_numbers():
    n = 60
    names = torch.randperm(n)
    g = hf.graph((names[: n - 1], names[1:]), num_nodes=n)
    src, dst = hf.reorder_graph(g, "rcmk").edges()
    assert int((src - dst).abs().max()) == 1  # a path, whose bandwidth is 1
    src, dst = g.edges()
    assert int((src - dst).abs().max()) > 10


def test_parts_of_metis_are_consecutive():
    g = hf.graph((torch.randint(40, (200,)), torch.randint(40, (200,))), num_nodes=40)
    parts = hf.metis_partition_assignment(g, 4)
    nodes = hf.reorder_graph(g, "metis", permute_config={"k": 4}).ndata[hf.NID]
    assert rises(parts[nodes])
    for part in range(4):
        assert rises(nodes[parts[nodes] == part])


def test_errors():
    g = hf.graph(([0, 1], [1, 2]))
    for arguments, told in (
        (("best",), 'node_permute_algo: expected None, "rcmk", "metis" or "custom", got \'best\''),
        ((None, None), 'edge_permute_algo: expected "src", "dst" or "custom", got None'),
        (("metis",), 'permute_config: expected the number of parts under "k"'),
        (("custom",), 'permute_config: expected the ids of all nodes under "nodes_perm"'),
        ((None, "custom"), 'permute_config: expected the ids of all edges under "edges_perm"'),
    ):
        with pytest.raises(ValueError, match=told):
            hf.reorder_graph(g, *arguments)
    for nodes, told in (
        ([0, 1], "nodes_perm: expected each of the 3 nodes once, got 2 ids"),
        ([0, 1, 1], "nodes_perm: expected each of the 3 nodes once, got some twice"),
    ):
        with pytest.raises(ValueError, match=told):
            hf.reorder_graph(g, "custom", permute_config={"nodes_perm": nodes})
    with pytest.raises(IndexError, match=r"edges_perm\[1\] is 2, expected 0 <= id < 2"):
        hf.reorder_graph(g, None, "custom", permute_config={"edges_perm": [0, 2]})
    typed = hf.heterograph({("a", "r", "b"): ([0], [0])})
    with pytest.raises(ValueError, match="expected one node type and one edge type"):
        hf.reorder_graph(typed)
