"""Transforms as objects, on graphs of one and of several types; expected values are DGL 2.1's."""

from __future__ import annotations

import pytest
import torch
from helpers import typed_graph

import hopflow as hf
from hopflow.transforms.modules import (
    AddReverse,
    AddSelfLoop,
    BaseTransform,
    Compose,
    RemoveSelfLoop,
    ToSimple,
)

FOLLOWS, PLAYS = ("user", "follows", "user"), ("user", "plays", "game")
REV_PLAYS, REV_FOLLOWS = ("game", "rev_plays", "user"), ("user", "rev_follows", "user")
LOOPS = [("game", "self", "game"), ("user", "self", "user")]


@pytest.fixture(params=[torch.int32, torch.int64], ids=["int32", "int64"])
def graph(request):
    """Who follows whom, with a parallel edge and two self-loops, and who plays what."""
    edges = {FOLLOWS: ([0, 1, 1, 2, 1], [1, 2, 2, 2, 1]), PLAYS: ([0, 1, 1, 1], [1, 0, 0, 1])}
    made = hf.heterograph(edges, idtype=request.param)
    made.nodes["user"].data["x"] = torch.arange(3.0)
    made.edges["follows"].data["w"] = torch.tensor([1.0, 2, 3, 4, 5])
    made.edges["follows"].data["z"] = torch.tensor([1, 2, 3, 4, 5])
    made.edges["plays"].data["w"] = torch.tensor([1.0, 2, 3, 4])
    return made


@pytest.fixture(params=[torch.int32, torch.int64], ids=["int32", "int64"])
def one(request):
    """A graph of one type with a parallel edge and a self-loop."""
    made = hf.graph(([0, 0, 1], [1, 1, 1]), idtype=request.param)
    made.edata["w"] = torch.tensor([1.0, 2, 3])
    return made


def ends(g, etype=None):
    return [x.tolist() for x in g.edges(etype=etype)]


def columns(g, etype):
    return {key: x.tolist() for key, x in g.edges[etype].data.items()}


def same(first, second):
    """Whether two graphs have the same types, edges and columns."""
    if (first.ntypes, first.canonical_etypes) != (second.ntypes, second.canonical_etypes):
        return False
    return all(
        ends(first, r) == ends(second, r) and columns(first, r) == columns(second, r)
        for r in first.canonical_etypes
    )


# --- AddReverse

BACK_AND_FORTH = [[0, 1, 1, 2, 1, 1, 2, 2, 2, 1], [1, 2, 2, 2, 1, 0, 1, 1, 2, 1]]


def test_add_reverse(graph):
    before = graph.clone()
    made = AddReverse()(graph)
    assert made.canonical_etypes == [REV_PLAYS, FOLLOWS, PLAYS]
    assert ends(made, "rev_plays") == ends(made, "plays")[::-1] == [[1, 0, 0, 1], [0, 1, 1, 1]]
    assert ends(made, "follows") == BACK_AND_FORTH
    assert columns(made, "follows") == {
        "w": [1, 2, 3, 4, 5, 0, 0, 0, 0, 0],
        "z": [1, 2, 3, 4, 5, 0, 0, 0, 0, 0],
    }
    assert (columns(made, "plays"), columns(made, "rev_plays")) == ({"w": [1, 2, 3, 4]}, {})
    assert made.nodes["user"].data["x"] is graph.nodes["user"].data["x"]
    assert made.idtype == graph.idtype
    assert same(graph, before)


def test_add_reverse_with_columns(graph):
    made = AddReverse(copy_edata=True)(graph)
    assert columns(made, "rev_plays") == {"w": [1, 2, 3, 4]}
    assert columns(made, "follows") == {"w": [1, 2, 3, 4, 5] * 2, "z": [1, 2, 3, 4, 5] * 2}
    made.edges["rev_plays"].data["y"] = torch.zeros(4)
    assert "y" not in made.edges["plays"].data


def test_add_reverse_with_new_types(graph):
    made = AddReverse(True, sym_new_etype=True)(graph)
    assert made.canonical_etypes == [REV_PLAYS, FOLLOWS, PLAYS, REV_FOLLOWS]
    assert ends(made, "rev_follows") == ends(graph, "follows")[::-1]
    assert columns(made, "rev_follows") == columns(graph, "follows")


def test_add_reverse_of_one_type(one):
    made = AddReverse()(one)
    assert (made.ntypes, made.etypes, made.idtype) == (["_N"], ["_E"], one.idtype)
    assert ends(made) == [[0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 1]]
    assert made.edata["w"].tolist() == [1, 2, 3, 0, 0, 0]
    made = AddReverse(sym_new_etype=True)(one)
    assert made.canonical_etypes == [("_N", "_E", "_N"), ("_N", "rev__E", "_N")]
    assert ends(made, "rev__E") == [[1, 1, 1], [0, 0, 1]]


def test_add_reverse_where_the_reverse_is_there_already(graph):
    plays = graph.edge_type_subgraph(["plays"])
    twice = Compose([AddReverse(), AddReverse(copy_edata=True)])(plays)
    assert twice.canonical_etypes == [REV_PLAYS, PLAYS, ("user", "rev_rev_plays", "game")]
    assert ends(twice, "rev_plays") == ends(plays)[::-1]
    assert ends(twice, "rev_rev_plays") == ends(plays)
    assert columns(twice, "rev_plays") == {"w": [1, 2, 3, 4]}
    other = hf.heterograph({PLAYS: ([0, 1], [1, 1]), REV_PLAYS: ([0], [0])})
    with pytest.raises(ValueError, match=r"'rev_plays', 'user'.* already, with other edges"):
        AddReverse()(other)


def test_add_reverse_gives_gradients(graph):
    weight = torch.rand(4, requires_grad=True)
    graph.edges["plays"].data["w"] = weight
    AddReverse(True)(graph).edges["rev_plays"].data["w"].sum().backward()
    assert weight.grad.tolist() == [1, 1, 1, 1]


# --- ToSimple


def test_to_simple(graph):
    made = ToSimple()(graph)
    assert made.canonical_etypes == [FOLLOWS, PLAYS]
    assert ends(made, "follows") == [[0, 1, 1, 2], [1, 1, 2, 2]]
    assert columns(made, "follows") == {
        "w": [1, 5, 2, 4],
        "z": [1, 5, 2, 4],
        "_ID": [0, 4, 1, 3],
        "count": [1, 1, 2, 1],
    }
    assert ends(made, "plays") == [[0, 1, 1], [1, 0, 1]]
    assert columns(made, "plays") == {"w": [1, 2, 4], "_ID": [0, 1, 3], "count": [1, 2, 1]}
    assert made.nodes["user"].data["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(("aggregator", "w"), [("sum", [1, 5, 5, 4]), ("mean", [1, 5, 2.5, 4])])
def test_to_simple_combines_columns(graph, aggregator, w):
    del graph.edges["follows"].data["z"]
    made = ToSimple(return_counts=None, aggregator=aggregator)(graph)
    assert columns(made, "follows") == {"w": w}
    made = ToSimple("n", aggregator)(graph)
    assert columns(made, "plays")["n"] == [1, 2, 1]


def test_to_simple_after_to_simple(graph):
    made = Compose([ToSimple(), AddReverse(), ToSimple()])(graph)
    assert ends(made, "follows") == [[0, 1, 1, 1, 2, 2], [1, 0, 1, 2, 1, 2]]
    assert columns(made, "follows") == {
        "w": [1, 0, 5, 2, 0, 4],
        "z": [1, 0, 5, 2, 0, 4],
        "_ID": [0, 4, 1, 2, 6, 3],
        "count": [1, 1, 2, 1, 1, 2],
    }
    assert columns(made, "rev_plays") == {"_ID": [1, 0, 2], "count": [1, 1, 1]}


def test_to_simple_errors(graph):
    with pytest.raises(ValueError, match="aggregator: expected one of arbitrary, sum, mean"):
        ToSimple(aggregator="max")(graph)
    with pytest.raises(TypeError, match=r"edge column 'z': expected floating point"):
        ToSimple(aggregator="sum")(graph)
    assert "z" in graph.edges["follows"].data


# --- self-loops


def test_add_self_loop(graph):
    made = AddSelfLoop()(graph)
    assert made.canonical_etypes == [FOLLOWS, PLAYS]
    assert ends(made, "follows") == [[0, 1, 1, 0, 1, 2], [1, 2, 2, 0, 1, 2]]
    assert columns(made, "follows") == {"w": [1, 2, 3, 1, 1, 1], "z": [1, 2, 3, 1, 1, 1]}
    assert ends(made, "plays") == ends(graph, "plays")
    assert columns(made, "plays") == columns(graph, "plays")


def test_add_self_loop_beside_those_there(graph):
    made = AddSelfLoop(allow_duplicate=True, fill_data=7)(graph)
    assert ends(made, "follows") == [[0, 1, 1, 2, 1, 0, 1, 2], [1, 2, 2, 2, 1, 0, 1, 2]]
    assert columns(made, "follows")["w"] == [1, 2, 3, 4, 5, 7, 7, 7]


def test_add_self_loop_fills_some_columns(graph):
    made = AddSelfLoop(edge_feat_names=["w"], fill_data=7)(graph)
    assert columns(made, "follows") == {"w": [1, 2, 3, 7, 7, 7], "z": [1, 2, 3, 0, 0, 0]}


@pytest.mark.parametrize(
    ("fill_data", "w"),
    [("sum", [0, 1, 5]), ("mean", [0, 1, 2.5]), ("max", [0, 1, 3]), ("min", [0, 1, 2])],
)
def test_add_self_loop_fills_with_what_comes_in(graph, fill_data, w):
    made = AddSelfLoop(edge_feat_names=["w"], fill_data=fill_data)(graph)
    assert columns(made, "follows")["w"] == [1, 2, 3, *w]


def test_add_self_loop_with_new_types(graph, one):
    made = AddSelfLoop(new_etypes=True)(graph)
    assert made.canonical_etypes == [LOOPS[0], FOLLOWS, PLAYS, LOOPS[1]]
    assert ends(made, LOOPS[0]) == [[0, 1], [0, 1]]
    assert ends(made, LOOPS[1]) == [[0, 1, 2], [0, 1, 2]]
    assert columns(made, LOOPS[1]) == {}
    assert same(AddSelfLoop(new_etypes=True)(made), made)
    made = AddSelfLoop(new_etypes=True)(one)
    assert made.canonical_etypes == [("_N", "_E", "_N"), ("_N", "self", "_N")]
    assert ends(made, "_E") == [[0, 0, 0, 1], [1, 1, 0, 1]]
    assert made.edges["_E"].data["w"].tolist() == [1, 2, 1, 1]


def test_add_self_loop_errors(graph):
    with pytest.raises(ValueError, match="fill_data: expected a number or one of"):
        AddSelfLoop(fill_data="median")(graph)
    with pytest.raises(KeyError, match=r"no .*edge column 'no'"):
        AddSelfLoop(edge_feat_names=["no"])(graph)


def test_remove_self_loop(graph, one):
    made = RemoveSelfLoop()(graph)
    assert ends(made, "follows") == [[0, 1, 1], [1, 2, 2]]
    assert columns(made, "follows") == {"w": [1, 2, 3], "z": [1, 2, 3]}
    assert ends(made, "plays") == ends(graph, "plays")
    made = RemoveSelfLoop()(one)
    assert ends(made) == [[0, 0], [1, 1]]
    assert made.edata["w"].tolist() == [1, 2]
    assert one.num_edges() == 3


# --- together


def test_compose(graph):
    steps = [ToSimple(), AddReverse()]
    assert same(Compose(steps)(graph), AddReverse()(ToSimple()(graph)))
    assert Compose([])(graph) is graph
    assert repr(Compose(steps)) == "Compose([\n  ToSimple(),\n  AddReverse()\n])"

    class Count(BaseTransform):
        def __call__(self, g):
            return g.num_edges()

    assert Compose([RemoveSelfLoop(), Count(), str])(graph) == "7"
    assert repr(Count()) == "Count()"
    with pytest.raises(NotImplementedError, match="BaseTransform has no __call__"):
        BaseTransform()(graph)
    with pytest.raises(
        TypeError, match=r"transforms\[1\]: expected a function of a graph, got int"
    ):
        Compose([ToSimple(), 3])


@pytest.mark.parametrize("transform", [AddReverse(), AddSelfLoop(), RemoveSelfLoop(), ToSimple()])
def test_graphs_that_are_no_use(transform, graph):
    with pytest.raises(ValueError, match="expected a graph, got a block"):
        transform(hf.to_block(graph))
    with pytest.raises(TypeError, match=r"expected a hopflow\.Graph, got list"):
        transform([graph])
    empty = hf.graph(([], []), num_nodes=2)
    made = transform(empty)
    assert made.num_nodes() == 2
    assert made.num_edges() == (2 if isinstance(transform, AddSelfLoop) else 0)


def test_a_graph_with_all_kinds_of_relations():
    """Parallel relations, one without edges, a type without nodes."""
    graph = typed_graph()
    made = Compose([ToSimple(), AddReverse(), AddSelfLoop(new_etypes=True)])(graph)
    assert made.ntypes == graph.ntypes
    assert made.canonical_etypes == sorted(made.canonical_etypes)
    assert {name for _, name, _ in made.canonical_etypes} - set(graph.etypes) == {
        "rev_makes", "rev_plays", "rev_played_by", "self"
    }  # fmt: skip
    assert made.num_edges(("ghost", "self", "ghost")) == 0
    assert made.num_edges("like") == made.num_nodes("game")
    assert made.nodes["studio"].data["feat"] is graph.nodes["studio"].data["feat"]


def test_names_of_dgl():
    from hopflow.as_dgl.names import MODULES

    for module in ("dgl", "dgl.transforms"):
        names = MODULES[module]
        assert names.find("AddReverse") is AddReverse
        assert names.find("Compose") is Compose
        assert names.find("to_simple") is hf.to_simple
        assert names.find("GDC") is hf.transforms.GDC
    assert MODULES["dgl.transforms"].find("module") is None
