"""Graphs of several node and edge types: sizes, names, columns, copies and where they live."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from helpers import IDS, typed_graph

import hopflow as hf
import hopflow.function as fn

FOLLOWS, PLAYS = ("user", "follows", "user"), ("user", "plays", "game")


@pytest.fixture
def graph() -> hf.Graph:
    return typed_graph()


# --- types and sizes


def test_types_and_sizes(graph):
    assert graph.ntypes == ["game", "ghost", "studio", "user"]
    assert graph.etypes == ["like", "played_by", "makes", "follows", "knows", "plays"]
    assert graph.canonical_etypes == sorted(graph.canonical_etypes)
    assert graph.srctypes == graph.dsttypes == graph.ntypes
    assert not graph.is_homogeneous
    assert not graph.is_unibipartite
    assert (graph.num_nodes(), graph.num_nodes("user"), graph.num_nodes("ghost")) == (84, 50, 0)
    assert (graph.num_edges(), graph.num_edges("plays"), graph.num_edges("like")) == (660, 200, 0)
    assert graph.num_src_nodes("studio") == graph.num_dst_nodes("studio") == 4
    assert graph.nodes("game").tolist() == list(range(30))
    assert graph.to_canonical_etype("plays") == PLAYS == graph.to_canonical_etype(PLAYS)
    assert graph.get_ntype_id("studio") == 2
    assert graph.canonical_etypes[graph.get_etype_id("plays")] == PLAYS
    assert sorted(graph.metagraph().edges(keys=True)) == sorted(
        (src, dst, name) for src, name, dst in graph.canonical_etypes
    )


def test_a_bipartite_graph_has_its_types_apart():
    graph = hf.heterograph({PLAYS: ([0, 1], [2, 0])}, {"user": 4, "game": 3})
    assert (graph.srctypes, graph.dsttypes) == (["user"], ["game"])
    assert graph.is_unibipartite
    assert (graph.num_nodes(), graph.num_src_nodes(), graph.num_dst_nodes()) == (7, 4, 3)
    graph.srcdata["h"], graph.dstdata["h"] = torch.ones(4, 2), torch.zeros(3, 2)
    assert graph.ndata["h"].keys() == {"user", "game"}
    assert graph.nodes["user"].data["h"] is graph.srcdata["h"]
    graph.update_all(fn.copy_u("h", "m"), fn.sum("m", "o"))
    assert graph.dstdata["o"].tolist() == [[1, 1], [0, 0], [1, 1]]
    back = graph.reverse()
    assert back.canonical_etypes == [("game", "plays", "user")]
    assert torch.equal(back.edges()[0], graph.edges()[1])


@pytest.mark.parametrize("idtype", IDS)
def test_one_named_type_is_as_quick_as_ever(idtype):
    graph = hf.heterograph({FOLLOWS: (torch.tensor([0, 1], dtype=idtype), [1, 2])})
    assert graph.is_homogeneous
    assert (graph.ntypes, graph.etypes) == (["user"], ["follows"])
    graph.ndata["h"] = torch.ones(3)
    graph.update_all(fn.copy_u("h", "m"), fn.sum("m", "h"), etype="follows")
    assert graph.nodes["user"].data["h"].tolist() == [0, 1, 1]
    block = hf.to_block(graph)
    assert (block.srctypes, block.dsttypes, block.etypes) == (["user"], ["user"], ["follows"])
    assert hf.sample_neighbors(graph, {"user": [1]}, 5).num_edges("follows") == 1


def test_to_block_without_destinations_among_the_sources(graph):
    block = hf.to_block(graph, include_dst_in_src=False)
    for relation in graph.canonical_etypes:
        src, dst = (x.long() for x in block.edges(etype=relation))
        ends = (
            block.srcnodes[relation[0]].data[hf.NID][src],
            block.dstnodes[relation[2]].data[hf.NID][dst],
        )
        for mine, whole in zip(ends, graph.edges(etype=relation)):
            assert torch.equal(mine, whole)
    for ntype in graph.ntypes:
        leave = [graph.edges(etype=r)[0] for r in graph.canonical_etypes if r[0] == ntype]
        ids = block.srcnodes[ntype].data[hf.NID]
        assert torch.equal(ids.sort()[0], torch.cat([ids[:0], *leave]).unique())


def test_sizes_are_inferred_from_the_largest_id_of_any_relation():
    graph = hf.heterograph({FOLLOWS: ([0], [3]), PLAYS: ([7, 1], [2, 2])})
    assert {t: graph.num_nodes(t) for t in graph.ntypes} == {"game": 3, "user": 8}
    assert graph.in_degrees(etype="follows").tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    assert graph.out_degrees(7, etype=PLAYS) == 1
    same = hf.heterograph(
        {FOLLOWS: torch.tensor([[0], [3]]), PLAYS: ("csc", ([0, 0, 0, 2], [7, 1], []))}
    )
    assert same.num_nodes("user") == 8
    assert torch.equal(same.edges(etype="plays")[0], torch.tensor([7, 1]))


# --- columns


def test_columns_by_type(graph):
    assert graph.ndata["feat"].keys() == {"game", "studio", "user"}
    assert graph.edata["weight"].keys() == {FOLLOWS, PLAYS}
    assert "label" in graph.ndata
    assert set(graph.ndata) == {"feat", "label"}
    graph.ndata["h"] = {"user": torch.ones(50), "studio": torch.zeros(4)}
    assert torch.equal(graph.nodes["user"].data["h"], torch.ones(50))
    graph.edata["w"] = {"plays": torch.ones(200)}
    assert graph.edges[PLAYS].data["w"] is graph.edges["plays"].data["w"]
    del graph.ndata["h"]
    assert "h" not in graph.nodes["user"].data
    with pytest.raises(KeyError, match="no node column 'h' of any type; there is 'feat', 'label'"):
        graph.ndata["h"]
    with pytest.raises(KeyError, match="no 'game' node column 'label'; there is 'feat'"):
        graph.nodes["game"].data["label"]


def test_nothing_is_set_if_one_type_does_not_fit(graph):
    for value, error, match in (
        ({"user": torch.ones(50), "game": torch.ones(3)}, ValueError, "30 'game' nodes"),
        ({"user": torch.ones(50), "nobody": torch.ones(3)}, ValueError, "got 'nobody'"),
        (torch.ones(50), TypeError, "expected a dict with a tensor for each type"),
    ):
        with pytest.raises(error, match=match):
            graph.ndata["h"] = value
        assert "h" not in graph.ndata


def test_some_rows_of_a_type(graph):
    rows = graph.nodes[[3, 1], "user"].data
    assert torch.equal(rows["feat"], graph.nodes["user"].data["feat"][[3, 1]])
    rows["new"] = torch.tensor([5.0, 6.0])
    assert graph.nodes["user"].data["new"].sum() == 11
    assert rows["new"].tolist() == [5.0, 6.0]
    edges = graph.edges[torch.tensor([0, 5]), "plays"].data
    assert torch.equal(edges["weight"], graph.edges["plays"].data["weight"][[0, 5]])
    with pytest.raises(IndexError, match=r"ids\[0\] is 50, expected 0 <= id < 50"):
        graph.nodes[[50], "user"]


# --- slices


def test_a_slice_shares_columns(graph):
    plays = graph["plays"]
    assert (plays.srctypes, plays.dsttypes, plays.etypes) == (["user"], ["game"], ["plays"])
    plays.srcdata["h"] = torch.ones(50, 2)
    plays.edata["e"] = torch.zeros(200)
    assert graph.nodes["user"].data["h"] is plays.srcdata["h"]
    assert "e" in graph.edges["plays"].data
    with graph.local_scope():
        graph.nodes["user"].data["x"] = torch.ones(50)
        assert "x" in graph["follows"].ndata
    assert "x" not in graph.ndata
    with plays.local_scope():
        plays.dstdata["y"] = torch.ones(30)
    assert "y" not in graph.nodes["game"].data


def test_several_relations_as_one(graph):
    merged = graph["user", :, "user"]
    assert (merged.num_nodes(), merged.num_edges()) == (50, 220)
    assert torch.equal(merged.ndata["feat"], graph.nodes["user"].data["feat"])
    kinds = merged.edata[hf.ETYPE]
    src, dst = merged.edges()
    for number, relation in enumerate(graph.canonical_etypes):
        own = (kinds == number).nonzero().squeeze(1)
        if relation[0] == relation[2] == "user":
            assert torch.equal(src[own], graph.edges(etype=relation)[0])
            assert torch.equal(dst[own], graph.edges(etype=relation)[1])
            assert torch.equal(merged.edata[hf.EID][own], torch.arange(own.shape[0]))
    mixed = graph[:, :, "game"]
    assert mixed.num_edges() == 240
    assert mixed.num_src_nodes() == 50 + 4 + 30
    assert mixed.srcdata[hf.NTYPE].unique().tolist() == [0, 2, 3]


def test_bad_types_say_what_there_is(graph):
    for call, match in (
        (lambda: graph.num_nodes("nobody"), "ntype: expected one of 'game', 'ghost', .*'nobody'"),
        (lambda: graph.num_edges("eats"), r"etype: expected one of \('game', 'like'.*got 'eats'"),
        (lambda: graph["eats"], "expected one of the edge types .*got 'eats'"),
        (lambda: graph["user", "plays"], "expected the name of an edge type"),
        (lambda: graph.edges(), "etype: expected one of .*got None"),
        (lambda: graph.nodes(), "ntype: expected one of .*got None"),
        (lambda: graph.adjacency, "etype: expected one of"),
        (
            lambda: graph.update_all(fn.copy_u("h", "m"), fn.mean("m", "o")),
            "etype: expected one of",
        ),
        (lambda: hf.add_self_loop(graph, etype="plays"), "add_self_loop: expected edges between"),
        (lambda: hf.to_bidirected(graph), "add_reverse_edges: expected edges between nodes of one"),
        (lambda: hf.edge_subgraph(graph, [1]), "edges: expected a dict by edge type"),
        (lambda: hf.node_subgraph(graph, {"nobody": [1]}), "nodes: expected node types of"),
        (lambda: hf.node_type_subgraph(graph, ["studio"]), "expected types with edges between"),
        (lambda: hf.sample_neighbors(graph, {"user": [1]}, {"plays": 1}), "missing are .*'like'"),
        (lambda: hf.sample_neighbors(graph, [1], 1), "nodes: expected a dict by node type"),
    ):
        with pytest.raises(ValueError, match=match):
            call()
    twice = hf.heterograph({("a", "r", "b"): ([0], [0]), ("b", "r", "a"): ([0], [0])})
    with pytest.raises(ValueError, match=r"etype: 'r' may be any of \('a', 'r', 'b'\), .*tuple"):
        twice.num_edges("r")
    assert twice.num_edges(("b", "r", "a")) == 1


def test_bad_graphs_name_the_relation():
    for data, error, match in (
        ({PLAYS: ([0], [1, 2])}, ValueError, "'plays'.*dst: expected as many ids"),
        ({PLAYS: ([-1], [0])}, IndexError, "'plays'.* -1"),
        ({"plays": ([0], [0])}, TypeError, "relation: expected a tuple"),
        ({}, ValueError, "expected at least one relation"),
        ([1], TypeError, "data_dict: expected {"),
    ):
        with pytest.raises(error, match=match):
            hf.heterograph(data)
    with pytest.raises(ValueError, match=r"num_nodes_dict: .*none for \['game'\]"):
        hf.heterograph({PLAYS: ([0], [0])}, {"user": 3})
    with pytest.raises(IndexError, match="'plays'"):
        hf.heterograph({PLAYS: ([0], [9])}, {"user": 3, "game": 2})
    with pytest.raises(TypeError, match="idtype: expected"):
        hf.heterograph({PLAYS: ([0], [0])}, idtype=torch.float32)


# --- copies


def same(a: hf.Graph, b: hf.Graph) -> bool:
    if a.ntypes != b.ntypes or a.canonical_etypes != b.canonical_etypes:
        return False
    for ntype in a.ntypes:
        x, y = a.nodes[ntype].data, b.nodes[ntype].data
        if x.keys() != y.keys() or not all(torch.equal(x[k], y[k]) for k in x):
            return False
    for relation in a.canonical_etypes:
        x, y = a.edges[relation].data, b.edges[relation].data
        if not all(torch.equal(u, v) for u, v in zip(a[relation].edges(), b[relation].edges())):
            return False
        if x.keys() != y.keys() or not all(torch.equal(x[k], y[k]) for k in x):
            return False
    return True


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g)), hf.Graph.clone]
)
def test_copies(graph, copied):
    made = copied(graph)
    assert same(graph, made)
    # What is one frame stays one.
    made["follows"].ndata["z"] = torch.ones(50)
    assert "z" in made.nodes["user"].data


def test_idtypes_and_casts(graph):
    narrow = graph.int()
    assert narrow.idtype == narrow["plays"].idtype == torch.int32
    assert narrow.edges(etype="plays")[0].dtype == torch.int32
    assert narrow.long().idtype == torch.int64
    assert hf.to_half(graph).nodes["user"].data["feat"].dtype == torch.float16
    assert hf.to_half(graph).nodes["user"].data["label"].dtype == torch.int64
    assert graph.to("cpu") is graph
    assert graph.device == torch.device("cpu")


def test_repr(graph):
    text = repr(graph)
    assert text.startswith("Graph(num_nodes={'game': 30, 'ghost': 0, 'studio': 4, 'user': 50},")
    assert "('user', 'game', 'plays')" in text
    assert "num_src_nodes={'game'" in repr(hf.to_block(graph))


def test_files(graph, tmp_path):
    from hopflow.as_dgl.files import load_graphs, save_graphs

    other = hf.graph(([0, 1], [1, 0]))
    save_graphs(tmp_path / "g.bin", [graph, other, graph.reverse()])
    (first, second, third), _ = load_graphs(tmp_path / "g.bin")
    assert same(graph, first)
    assert second.is_homogeneous
    assert same(graph.reverse(), third)
    assert first.idtype == graph.idtype


# --- what a review has found


def test_a_graph_made_under_inference_mode_can_be_trained_on():
    with torch.inference_mode():
        graph = hf.heterograph({FOLLOWS: ([0, 1], [1, 2]), PLAYS: ([0, 4], [0, 1])})
        merged = hf.to_homogeneous(graph)
        block = hf.create_block({FOLLOWS: ([0], [1]), PLAYS: ([2], [0])})
    assert not merged.ndata[hf.NID].is_inference()
    for made in (graph, block, graph.int(), hf.edge_type_subgraph(graph, ["follows"])):
        one = made["follows"]
        x = torch.rand(one.num_src_nodes(), 2, requires_grad=True)
        w = torch.rand(one.num_edges(), 1, requires_grad=True)
        one.srcdata["x"], one.edata["w"] = x, w
        one.update_all(fn.u_mul_e("x", "w", "m"), fn.sum("m", "o"))
        one.dstdata["o"].sum().backward()
        assert x.grad is not None


def test_slices_have_what_is_set_on_the_graph():
    class Mine(hf.Graph):
        pass

    made = typed_graph()
    graph = Mine.of_types(
        made.schema,
        made.node_frames(),
        {r: (one.adjacency, None) for r, one in made.relations.items()},
    )
    graph.name = "before"
    back = hf.reverse(graph)
    back.name = "after"
    assert isinstance(back["plays"], Mine)
    assert (graph["plays"].name, back["plays"].name) == ("before", "after")
    assert graph.local_var()["plays"].name == graph.int()["plays"].name == "before"


def test_nodes_of_one_side_of_a_block():
    block = hf.create_block({PLAYS: ([0, 1], [0, 1])})
    block.srcdata["h"] = torch.ones(2, 1)
    for ntype in ("SRC/user", "user"):
        block.apply_nodes(lambda nodes: {"k": nodes.data["h"] + 1}, ntype=ntype)
        assert block.srcdata.pop("k").tolist() == [[2], [2]]
    same = hf.create_block({FOLLOWS: ([0, 1], [0, 1])})
    same.srcdata["h"], same.dstdata["h"] = torch.ones(2), torch.zeros(2)
    assert same.nodes["user"].data["h"].tolist() == [0, 0]
    assert same.nodes["SRC/user"].data["h"].tolist() == [1, 1]
    assert same.nodes["DST/user"].data["h"].tolist() == [0, 0]


def test_a_type_under_two_of_its_names(graph):
    with pytest.raises(ValueError, match="expected each type once"):
        graph.edata["w"] = {"plays": torch.zeros(200), PLAYS: torch.ones(200)}
    assert "w" not in graph.edata


def test_a_graph_is_no_sequence(graph):
    for made in (graph, hf.graph(([0], [1]))):
        with pytest.raises(TypeError, match="not iterable"):
            list(made)
        with pytest.raises(TypeError):
            "plays" in made  # noqa: B015


def test_the_metagraph_of_to_heterogeneous_is_checked(graph):
    nx = pytest.importorskip("networkx")
    metagraph = nx.MultiDiGraph()
    metagraph.add_edge("user", "nobody", "plays")
    with pytest.raises(ValueError, match=r"metagraph: expected relations of .*'nobody'"):
        hf.to_heterogeneous(
            hf.to_homogeneous(graph), graph.ntypes, graph.etypes, metagraph=metagraph
        )
    with pytest.raises(ValueError, match=r"nodes\['user'\]: expected each node once, got node 3"):
        hf.node_subgraph(graph, {"user": [3, 3]})
