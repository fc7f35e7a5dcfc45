"""Graphs of several types from and to networkx and PyTorch Geometric."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf

FOLLOWS = ("user", "follows", "user")
TAGS = ("user", "follows", "topic")
PLAYS = ("user", "plays", "game")


@pytest.fixture
def typed():
    """The graph in the documentation of dgl.to_networkx, which shows what comes out."""
    graph = hf.heterograph(
        {FOLLOWS: ([0, 1], [1, 2]), TAGS: ([1, 1], [1, 2]), PLAYS: ([0, 3], [3, 4])}
    )
    graph.ndata["n"] = {"game": torch.zeros(5, 1), "user": torch.ones(4, 1)}
    graph.edata["e"] = {FOLLOWS: torch.zeros(2, 1), PLAYS: torch.ones(2, 1)}
    return graph


def same_columns(one, two):
    return set(one) == set(two) and all(torch.equal(one[key], two[key]) for key in one)


def check_same(one, two):
    assert one.ntypes == two.ntypes
    assert one.canonical_etypes == two.canonical_etypes
    for ntype in one.ntypes:
        assert one.num_nodes(ntype) == two.num_nodes(ntype)
        assert same_columns(one.nodes[ntype].data, two.nodes[ntype].data), ntype
    for relation in one.canonical_etypes:
        for mine, theirs in zip(one.edges(etype=relation), two.edges(etype=relation)):
            assert mine.tolist() == theirs.tolist()
        assert same_columns(one.edges[relation].data, two.edges[relation].data), relation


# --- networkx


@pytest.fixture
def nx():
    return pytest.importorskip("networkx")


def test_networkx_is_dgls(nx, typed):
    made = hf.to_networkx(typed, node_attrs=["n"], edge_attrs=["e"])
    assert type(made) is nx.MultiDiGraph
    nodes = [(i, d["ntype"], d["n"].tolist() if "n" in d else None) for i, d in made.nodes.items()]
    assert nodes == [
        *((i, "game", [0.0]) for i in range(5)),
        *((i, "topic", None) for i in range(5, 8)),
        *((i, "user", [1.0]) for i in range(8, 12)),
    ]
    edges = [
        (u, v, d["id"], d["etype"], d["e"].tolist() if "e" in d else None)
        for u, v, d in made.edges(data=True)
    ]
    assert edges == [
        (8, 9, 2, FOLLOWS, [0.0]),
        (8, 3, 4, PLAYS, [1.0]),
        (9, 6, 0, TAGS, None),
        (9, 7, 1, TAGS, None),
        (9, 10, 3, FOLLOWS, [0.0]),
        (11, 4, 5, PLAYS, [1.0]),
    ]


def test_networkx_names_of_attributes(nx, typed):
    typed.ndata["ntype"] = {"user": torch.arange(4)}
    made = hf.to_networkx(typed, ["ntype"], ntype_attr="kind", etype_attr="rel", eid_attr="eid")
    assert made.nodes[8]["kind"] == "user"
    assert made.nodes[8]["ntype"].item() == 0
    assert made.edges[8, 9, 0] == {"eid": 2, "rel": FOLLOWS}
    typed.edata["id"] = {"plays": torch.arange(2)}
    with pytest.raises(ValueError, match="node_attrs: 'ntype' is the attribute of the type or id"):
        hf.to_networkx(typed, ["ntype"])
    with pytest.raises(ValueError, match="edge_attrs: 'id' is the attribute of the type or id"):
        hf.to_networkx(typed, edge_attrs=["id"])
    with pytest.raises(KeyError, match="no node column 'x' of any type"):
        hf.to_networkx(typed, ["x"])


def test_networkx_of_one_relation(nx, typed):
    made = hf.to_networkx(typed[FOLLOWS])
    assert list(made.edges(data=True)) == [(0, 1, {"id": 0}), (1, 2, {"id": 1})]
    assert dict(made.nodes(data=True)) == {0: {}, 1: {}, 2: {}, 3: {}}
    made = hf.to_networkx(typed["plays"])
    assert [d["ntype"] for _, d in made.nodes(data=True)] == ["user"] * 4 + ["game"] * 5
    assert list(made.edges()) == [(0, 7), (3, 8)]


# --- PyTorch Geometric


@pytest.fixture
def pyg():
    return pytest.importorskip("torch_geometric.data", reason="torch_geometric is not installed")


@pytest.fixture
def hetero(pyg):
    data = pyg.HeteroData()
    data["paper"].x = torch.rand(3, 2)
    data["paper"].y = torch.tensor([0, 1, 0])
    data["paper"].train_mask = torch.tensor([True, False, True])
    data["author"].num_nodes = 5
    data["author", "writes", "paper"].edge_index = torch.tensor([[4, 0, 4], [0, 1, 2]])
    data["author", "writes", "paper"].edge_attr = torch.rand(3, 4)
    data["author", "writes", "paper"].edge_weight = torch.rand(3)
    data["paper", "cites", "paper"].edge_index = torch.tensor([[1, 2], [0, 0]])
    return data


def test_pyg_columns(hetero):
    graph = hf.from_pyg(hetero)
    assert graph.ntypes == ["author", "paper"]
    assert graph.canonical_etypes == [("author", "writes", "paper"), ("paper", "cites", "paper")]
    assert (graph.num_nodes("author"), graph.num_nodes("paper")) == (5, 3)
    assert set(graph.nodes["paper"].data) == {"feat", "label", "train_mask"}
    assert set(graph.edges["writes"].data) == {"feat", "weight"}
    assert graph.nodes["paper"].data["feat"] is hetero["paper"].x
    assert [x.tolist() for x in graph.edges(etype="writes")] == [[4, 0, 4], [0, 1, 2]]
    back = hf.to_pyg(graph)
    assert back.node_types == ["author", "paper"]
    assert sorted(back.edge_types) == sorted(hetero.edge_types)
    for store in (*hetero.node_stores, *hetero.edge_stores):
        other = back[store._key]
        for key, value in store.items():
            assert torch.equal(torch.as_tensor(other[key]), torch.as_tensor(value)), key
    assert back.validate()


def test_pyg_there_and_back(pyg, typed):
    typed.nodes["game"].data["feat"] = torch.rand(5, 2)
    typed.edges["plays"].data["feat"] = torch.rand(2, 3)
    typed.edges["plays"].data[hf.EID] = torch.tensor([4, 5])
    typed.nodes["user"].data["edge_count"] = torch.arange(4)  # no mistake where stores are apart
    data = hf.to_pyg(typed)
    assert isinstance(data, pyg.HeteroData)
    assert set(data[PLAYS].keys()) == {"edge_index", "edge_e", "edge_attr", "e_id"}
    assert data["topic"].num_nodes == 3
    check_same(hf.from_pyg(data), typed)
    one = hf.heterograph({FOLLOWS: ([0, 1], [1, 2])})
    check_same(hf.from_pyg(hf.to_pyg(one)), one)
    assert hf.to_pyg(typed[PLAYS]).num_nodes_dict == {"user": 4, "game": 5}
    assert isinstance(hf.to_pyg(hf.graph(([0], [1]))), pyg.Data)


@pytest.mark.filterwarnings("ignore:Unable to accurately infer")
def test_pyg_counts_and_what_is_left_out(pyg):
    data = pyg.HeteroData()
    data["a", "to", "b"].edge_index = torch.tensor([[0, 3], [1, 1]])
    data["a", "none", "b"].edge_index = torch.zeros(2, 0, dtype=torch.long)
    data["a", "to", "b"].note = "mine"
    data.scale = torch.ones(9)
    with pytest.warns(UserWarning, match=r"leaves out .*: \('a', 'to', 'b'\) note, scale"):
        graph = hf.from_pyg(data)
    assert [graph.num_nodes(t) for t in ("a", "b")] == [4, 2]
    assert graph.num_edges(("a", "none", "b")) == 0


def test_pyg_errors(pyg, typed, hetero):
    with pytest.raises(ValueError, match="expected at least one edge type with edge_index"):
        hf.from_pyg(pyg.HeteroData())
    hetero["paper"].feat = torch.rand(3, 1)
    with pytest.raises(ValueError, match="would both be the 'paper' node column 'feat'"):
        hf.from_pyg(hetero)
    del hetero["paper"].feat
    hetero["paper", "cites", "paper"].edge_index = None
    with pytest.raises(ValueError, match=r"'cites', 'paper'.*: expected edge_index of shape"):
        hf.from_pyg(hetero)
    typed.nodes["user"].data["x"] = typed.nodes["user"].data["feat"] = torch.zeros(4)
    with pytest.raises(ValueError, match=r"the 'user' node column 'feat' and .* be 'x'; rename"):
        hf.to_pyg(typed)
