"""bipartite_from_scipy, bipartite_from_networkx, block_to_graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import IDS

import hopflow as hf

R = ("user", "buys", "game")


def networkx_graph():
    nx = pytest.importorskip("networkx")
    g = nx.DiGraph()
    g.add_nodes_from([3, 1], bipartite=0, f=np.ones(2))
    g.add_nodes_from([2, 5, 4], bipartite=1, y=7)
    g.add_edge(1, 4, w=0.5, eid=1)
    g.add_edge(3, 5, w=0.25, eid=0)
    return g


@pytest.mark.parametrize("idtype", IDS)
def test_from_scipy(idtype):
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.coo_matrix(([1.0, 2.0, 3.0], ([0, 2, 2], [4, 1, 1])), shape=(3, 5))
    g = hf.bipartite_from_scipy(matrix, *R, eweight_name="w", idtype=idtype)
    assert (g.ntypes, g.canonical_etypes, g.idtype) == (["user", "game"], [R], idtype)
    assert (g.num_nodes("user"), g.num_nodes("game")) == (3, 5)
    assert [x.tolist() for x in g.edges()] == [[0, 2, 2], [4, 1, 1]]
    assert g.edata["w"].tolist() == [1, 2, 3]
    assert hf.bipartite_from_scipy(sparse.csc_array(matrix), *R).num_edges() == 2
    square = hf.bipartite_from_scipy(sparse.eye(3), "user", "is", "user")
    assert (square.ntypes, square.num_nodes()) == (["user"], 3)
    with pytest.raises(ValueError, match="as many sources as destinations, which are both of type"):
        hf.bipartite_from_scipy(matrix, "user", "is", "user")
    with pytest.raises(TypeError, match="sp_mat: expected a scipy sparse matrix, got list"):
        hf.bipartite_from_scipy([[0]], *R)
    with pytest.raises(TypeError, match="relation: expected a tuple"):
        hf.bipartite_from_scipy(matrix, "user", 3, "game")


def test_from_networkx():
    made = networkx_graph()
    g = hf.bipartite_from_networkx(made, *R, u_attrs=["f"], e_attrs=["w"], v_attrs=["y"])
    assert (g.ntypes, g.canonical_etypes, g.idtype) == (["user", "game"], [R], torch.int64)
    pairs = list(zip(*(x.tolist() for x in g.edges()), g.edata["w"].tolist()))
    assert sorted(pairs) == [(0, 1, 0.5), (1, 2, 0.25)]
    assert g.nodes["user"].data["f"].tolist() == [[1, 1], [1, 1]]
    assert g.nodes["game"].data["y"].tolist() == [7, 7, 7]
    by_id = hf.bipartite_from_networkx(made, *R, e_attrs=["w"], edge_id_attr_name="eid")
    assert [x.tolist() for x in by_id.edges()] == [[1, 0], [2, 1]]
    assert by_id.edata["w"].tolist() == [0.25, 0.5]


def test_what_is_not_bipartite():
    nx = pytest.importorskip("networkx")
    with pytest.raises(TypeError, match="nx_graph: expected a networkx graph, got int"):
        hf.bipartite_from_networkx(3, *R)
    with pytest.raises(ValueError, match="nx_graph: expected a directed graph"):
        hf.bipartite_from_networkx(networkx_graph().to_undirected(), *R)
    made = networkx_graph()
    made.add_edge(4, 1)
    with pytest.raises(ValueError, match=r"edge \(4, 1\): expected one from 'bipartite' 0 to 1"):
        hf.bipartite_from_networkx(made, *R)
    made.add_node(9)
    with pytest.raises(ValueError, match="node 9: expected the attribute 'bipartite', 0 or 1, got"):
        hf.bipartite_from_networkx(made, *R)
    with pytest.raises(ValueError, match="node 0 has no attribute 'z'"):
        hf.bipartite_from_networkx(networkx_graph(), *R, v_attrs=["z"])
    assert hf.bipartite_from_networkx(nx.DiGraph(), *R).num_edges() == 0


def test_block_to_graph():
    block = hf.create_block({("A", "AB", "B"): ([1, 2, 3], [2, 1, 0]),
                             ("B", "BA", "A"): ([2, 1], [2, 3])})  # fmt: skip
    block.srcnodes["A"].data["x"] = torch.arange(4)
    block.edges["BA"].data["w"] = torch.tensor([1.0, 2.0])
    g = hf.block_to_graph(block)
    assert type(g) is hf.Graph
    assert g.ntypes == ["A_src", "B_src", "A_dst", "B_dst"]
    assert g.canonical_etypes == [("A_src", "AB", "B_dst"), ("B_src", "BA", "A_dst")]
    assert [g.num_nodes(t) for t in g.ntypes] == [4, 3, 4, 3]
    assert [x.tolist() for x in g.edges(etype="AB")] == [[1, 2, 3], [2, 1, 0]]
    assert g.nodes["A_src"].data["x"].tolist() == [0, 1, 2, 3]
    assert g.edges["BA"].data["w"].tolist() == [1, 2]
    g.add_nodes(1, ntype="B_dst")
    assert block.num_dst_nodes("B") == 3
    with pytest.raises(TypeError, match=r"block: expected a hopflow.Block, got Graph"):
        hf.block_to_graph(g)


def test_columns_of_a_sampled_block_come_along_unread(small_graph):
    block = hf.dataloading.NeighborSampler([3]).sample(small_graph, [1, 2])[2][0]
    g = hf.block_to_graph(block)
    assert g.ntypes == ["_N_src", "_N_dst"]
    assert not g.node_frame("_N_src").is_read("feat")
    assert torch.equal(g.nodes["_N_src"].data["feat"], block.srcdata["feat"])
    assert torch.equal(g.edata["weight"], block.edata["weight"])
    g.nodes["_N_dst"].data["new"] = torch.ones(2)
    assert "new" not in block.dstdata
