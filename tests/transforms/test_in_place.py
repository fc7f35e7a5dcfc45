"""Graphs that change in place: what they become."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from helpers import FORMS, IDS, graph_form
from hypothesis import given
from hypothesis import strategies as st

import hopflow as hf
from hopflow.structure.initializers import base_initializer, zero_initializer

FORMS = tuple(form for form in FORMS if form != "block")


def as_lists(g, etype=None):
    return [x.tolist() for x in g.edges(etype=etype)]


def typed():
    g = hf.heterograph(
        {
            ("user", "follows", "user"): ([0, 1, 2], [1, 2, 0]),
            ("user", "plays", "game"): ([0, 0, 2], [1, 0, 1]),
            ("game", "of", "maker"): ([0, 1], [0, 0]),
        }
    )
    g.nodes["user"].data["x"] = torch.arange(3.0)
    g.nodes["game"].data["x"] = torch.arange(2.0)
    g.edges["plays"].data["w"] = torch.arange(3.0)
    return g


# --- adding


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS)
def test_add_edges(form, idtype):
    g = graph_form(form, idtype)
    n, e = g.num_nodes(), g.num_edges()
    g.ndata["x"], g.edata["w"] = torch.arange(n) + 0.5, torch.arange(e).float()[:, None]
    before, columns = as_lists(g), sorted(g.edata)
    assert g.add_edges([0, n + 1], np.array([n, 0]), {"w": torch.tensor([[7.0], [8.0]])}) is None
    assert as_lists(g) == [before[0] + [0, n + 1], before[1] + [n, 0]]
    assert (g.num_nodes(), g.num_edges(), g.idtype) == (n + 2, e + 2, idtype)
    assert g.ndata["x"].tolist() == [i + 0.5 for i in range(n)] + [0, 0]
    assert g.edata["w"].flatten().tolist() == [*range(e), 7, 8]
    assert sorted(g.edata) == columns
    assert all(x.dtype == idtype for x in g.edges("all"))
    assert g.has_edges_between([0, n + 1], [n, 0]).tolist() == [True, True]
    assert g.edge_ids(n + 1, 0) == e + 1


@pytest.mark.parametrize("form", FORMS)
def test_add_nodes(form):
    g = graph_form(form)
    n, before = g.num_nodes(), as_lists(g)
    g.ndata["x"] = torch.arange(n)
    degrees = g.in_degrees().tolist(), g.out_degrees().tolist()
    g.add_nodes(2, {"x": torch.tensor([5, 6]), "new": torch.ones(2, 3)})
    assert (g.num_nodes(), as_lists(g)) == (n + 2, before)
    assert g.ndata["x"].tolist() == [*range(n), 5, 6]
    assert g.ndata["new"].tolist() == [[0.0] * 3] * n + [[1.0] * 3] * 2
    assert (g.in_degrees().tolist(), g.out_degrees().tolist()) == tuple([*d, 0, 0] for d in degrees)
    assert g.out_edges([n, n + 1], form="eid").numel() == 0
    g.add_edges(n + 1, n)
    assert g.successors(n + 1).tolist() == [n]


def test_one_node_is_paired_with_all_of_the_other_side():
    g = hf.graph(([0], [1]))
    g.add_edges(0, [2, 3])
    g.add_edges(torch.tensor([3, 2], dtype=torch.int32), 1)
    assert as_lists(g) == [[0, 0, 0, 3, 2], [1, 2, 3, 1, 1]]


def test_add_to_several_types():
    g = typed()
    g.add_edges([4], [0], {"w": torch.tensor([9.0])}, etype="plays")
    assert as_lists(g, "plays") == [[0, 0, 2, 4], [1, 0, 1, 0]]
    assert [g.num_nodes(t) for t in ("user", "game", "maker")] == [5, 2, 1]
    assert g.nodes["user"].data["x"].tolist() == [0, 1, 2, 0, 0]
    assert g.edges["plays"].data["w"].tolist() == [0, 1, 2, 9]
    # The other relations of the type have its nodes too.
    assert g.in_degrees(etype="follows").tolist() == [1, 1, 1, 0, 0]
    assert g["follows"].num_nodes() == 5
    g.add_nodes(3, ntype="maker")
    assert g.in_degrees(etype="of").tolist() == [2, 0, 0, 0]
    g.update_all(hf.function.copy_u("x", "m"), hf.function.sum("m", "s"), etype="plays")
    assert g.nodes["game"].data["s"].tolist() == [0, 2]
    with pytest.raises(ValueError, match="etype: expected one of"):
        g.add_edges([0], [0])
    with pytest.raises(ValueError, match="ntype: expected one of"):
        g.add_nodes(1)


def test_functions_leave_the_graph_as_it_is():
    g = typed()
    more = hf.add_edges(g, [5], [5], etype="follows")
    assert (more.num_nodes("user"), more.num_edges("follows")) == (6, 4)
    assert (g.num_nodes("user"), g.num_edges("follows")) == (3, 3)
    more = hf.add_nodes(g, 2, {"x": torch.ones(2)}, ntype="game")
    assert (more.nodes["game"].data["x"].tolist(), g.num_nodes("game")) == ([0, 1, 1, 1], 2)
    more.edges["plays"].data["own"] = torch.ones(3)
    assert "own" not in g.edges["plays"].data


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_or_little_of_an_empty_graph(count):
    g = hf.graph(([], []), num_nodes=0)
    g.add_nodes(count, {"x": torch.ones(count, 2)})
    g.add_edges([0] * count, [0] * count, {"w": torch.ones(count)})
    assert (g.num_nodes(), g.num_edges()) == (count, count)
    assert (g.ndata["x"].shape, g.edata["w"].shape) == ((count, 2), (count,))
    g.remove_edges([])
    g.remove_nodes([])
    assert (g.num_nodes(), g.num_edges()) == (count, count)


def test_gradients_pass_through_longer_columns():
    g = hf.graph(([0, 1], [1, 0]))
    x = torch.ones(2, requires_grad=True)
    g.ndata["x"] = x
    g.add_nodes(1)
    (g.ndata["x"] * torch.tensor([2.0, 3.0, 4.0])).sum().backward()
    assert x.grad.tolist() == [2, 3]


def test_a_graph_changed_in_inference_mode_trains():
    g = hf.graph(([0, 1], [1, 2]))
    with torch.inference_mode():
        g.add_edges([2], [0])
        g.add_nodes(1)
    x = torch.ones(4, 1, requires_grad=True)
    g.ndata["x"] = x
    g.update_all(hf.function.copy_u("x", "m"), hf.function.sum("m", "s"))
    g.ndata["s"].sum().backward()
    assert x.grad.flatten().tolist() == [1, 1, 1, 0]


# --- removing


def test_remove():
    g = hf.graph(([0, 1, 2, 3, 0], [1, 2, 3, 0, 0]))
    g.ndata["x"], g.edata["w"] = torch.arange(4), torch.arange(5)
    assert g.remove_edges([1, 1, 4]) is None
    assert as_lists(g) == [[0, 2, 3], [1, 3, 0]]
    assert g.edata["w"].tolist() == [0, 2, 3]
    assert list(g.edata) == ["w"]
    g.remove_nodes(torch.tensor([True, False, False, False]), store_ids=True)
    assert as_lists(g) == [[1], [2]]
    assert (g.ndata["x"].tolist(), g.edata["w"].tolist()) == ([1, 2, 3], [2])
    assert (g.ndata[hf.NID].tolist(), g.edata[hf.EID].tolist()) == ([1, 2, 3], [1])
    g.add_edges([0], [0])
    assert g.edata[hf.EID].tolist() == [1, 0]


def test_remove_of_several_types():
    g = typed()
    g.remove_nodes([0], ntype="user")
    assert as_lists(g, "follows") == [[0], [1]]
    assert as_lists(g, "plays") == [[1], [1]]
    assert g.edges["plays"].data["w"].tolist() == [2]
    g.remove_edges([0], etype=("game", "of", "maker"))
    assert as_lists(g, "of") == [[1], [0]]
    with pytest.raises(ValueError, match="etype"):
        g.remove_edges([0])


def changes(n):
    node = st.integers(0, n - 1)
    return st.one_of(
        st.tuples(st.just("add_nodes"), st.integers(0, 3)),
        st.tuples(st.just("add_edges"), st.lists(st.tuples(node, node), max_size=4)),
        st.tuples(st.just("remove_edges"), st.lists(st.integers(0, 10**6), max_size=3)),
        st.tuples(st.just("remove_nodes"), st.lists(st.integers(0, 10**6), max_size=2)),
    )


@given(st.lists(changes(9), max_size=8), st.sampled_from(IDS))
def test_as_lists_of_edges_would(done, idtype):
    """Against a list of edges, each with a number of its own, and a list of nodes."""
    g = hf.graph(([0, 1, 1], [1, 2, 2]), num_nodes=4, idtype=idtype)
    nodes, edges = [1, 2, 3, 4], [(0, 1, 1), (1, 2, 2), (1, 2, 3)]
    g.ndata["x"], g.edata["w"] = torch.tensor(nodes), torch.tensor([e[2] for e in edges])
    named = 100
    for kind, what in done:
        if kind == "add_nodes":
            g.add_nodes(what)
            nodes += [0] * what
        elif kind == "add_edges":
            g.add_edges([u for u, _ in what], [v for _, v in what],
                        {"w": torch.arange(named, named + len(what))})  # fmt: skip
            edges += [(u, v, named + i) for i, (u, v) in enumerate(what)]
            named += len(what)
            most = max((max(e[:2]) + 1 for e in edges), default=0)
            nodes += [0] * (most - len(nodes))
        elif kind == "remove_edges" and edges:
            gone = {i % len(edges) for i in what}
            g.remove_edges(sorted(gone))
            edges = [e for i, e in enumerate(edges) if i not in gone]
        elif kind == "remove_nodes" and nodes:
            gone = {i % len(nodes) for i in what}
            g.remove_nodes(list(gone))
            left = [i for i in range(len(nodes)) if i not in gone]
            nodes = [nodes[i] for i in left]
            edges = [(left.index(u), left.index(v), w) for u, v, w in edges
                     if u in left and v in left]  # fmt: skip
            if gone:
                edges.sort(key=lambda e: e[0])  # as node_subgraph lists them
    assert as_lists(g) == [[e[0] for e in edges], [e[1] for e in edges]]
    assert g.edata["w"].tolist() == [e[2] for e in edges]
    assert g.ndata["x"].tolist() == nodes
    outs = [[v for u, v, _ in edges if u == n] for n in range(len(nodes))]
    assert [g.successors(n).tolist() for n in range(len(nodes))] == outs
    assert g.idtype == idtype


# --- what new rows get


def counted(shape, dtype, device, rows):
    made = torch.arange(rows.start, rows.stop, dtype=dtype, device=device)
    return made.view(-1, *[1] * (len(shape) - 1)).expand(shape)


def test_initialisers():
    g = hf.graph(([0, 1], [1, 0]))
    g.ndata["x"], g.ndata["y"] = torch.full((2, 2), 50.0), torch.full((2,), 60)
    g.set_n_initializer(counted)
    g.set_n_initializer(zero_initializer, field="y")
    g.add_nodes(2)
    assert g.ndata["x"].tolist() == [[50, 50], [50, 50], [2, 2], [3, 3]]
    assert g.ndata["y"].tolist() == [60, 60, 0, 0]
    g.add_nodes(1, {"z": torch.tensor([9.0])})
    assert g.ndata["z"].tolist() == [0, 1, 2, 3, 9]
    assert g.ndata["x"][4].tolist() == [4, 4]
    g.add_edges([0], [5], {"w": torch.tensor([7])})
    assert g.ndata["x"][5].tolist() == [5, 5]
    assert g.edata["w"].tolist() == [0, 0, 7]  # edges have no initialiser
    g.set_e_initializer(lambda shape, dtype, device, rows: torch.full(shape, 3, dtype=dtype), "w")
    g.add_edges([0, 0], [1, 1])
    assert g.edata["w"].tolist() == [0, 0, 7, 3, 3]
    # Rows of a new column for which nothing is given.
    g.nodes[[0]].data["new"] = torch.tensor([8.0])
    assert g.ndata["new"].tolist() == [8, 1, 2, 3, 4, 5]
    g.apply_edges(lambda edges: {"n": torch.ones(1)}, [2])
    assert g.edata["n"].tolist() == [0, 0, 1, 0, 0]


def test_where_initialisers_go():
    g = typed()
    g.set_n_initializer(counted, ntype="user")
    for made in (g.clone(), g.local_var(), g.int(), copy.copy(g), pickle.loads(pickle.dumps(g)),
                 g.subgraph({"user": [0, 1, 2], "game": [0, 1]}),
                 hf.remove_nodes(g, [0], ntype="game")):  # fmt: skip
        made.add_nodes(1, ntype="user")
        assert made.nodes["user"].data["x"].tolist() == [0, 1, 2, 3]
        made.nodes["game"].data["x"] = torch.ones(made.num_nodes("game"))
        made.add_nodes(1, ntype="game")
        assert made.nodes["game"].data["x"][-1] == 0
    with g.local_scope():
        g.set_n_initializer(zero_initializer, ntype="user")
        g.add_nodes(1, ntype="user")
        assert g.nodes["user"].data["x"].tolist() == [0, 1, 2, 0]
    g.remove_edges([0], etype="plays")
    g.add_nodes(1, ntype="user")
    assert g.nodes["user"].data["x"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("initializer", "error", "match"),
    [
        (base_initializer, NotImplementedError, "base_initializer is a signature"),
        (lambda *a: 1, TypeError, "the initialiser of node column 'x': expected a torch.Tensor"),
        (lambda *a: torch.ones(3), ValueError, r"expected torch.float32 \[2\] .* got .* \[3\]"),
        (lambda *a: torch.ones(2, dtype=torch.int64), ValueError, "got torch.int64"),
    ],
)
def test_bad_initialisers_change_nothing(initializer, error, match):
    g = hf.graph(([0, 1], [1, 0]))
    g.ndata["x"] = torch.ones(2)
    g.set_n_initializer(initializer)
    for change in (lambda: g.add_nodes(2), lambda: g.add_edges([3], [0])):
        with pytest.raises(error, match=match):
            change()
        assert (g.num_nodes(), g.num_edges(), g.ndata["x"].shape) == (2, 2, (2,))


def test_what_is_no_initialiser():
    g = hf.graph(([0], [1]))
    with pytest.raises(TypeError, match="initializer: expected a function, got int"):
        g.set_n_initializer(0)
    with pytest.raises(TypeError, match="field: expected the name of a column, got int"):
        g.set_e_initializer(zero_initializer, field=3)
    with pytest.raises(ValueError, match="ntype: expected one of"):
        g.set_n_initializer(zero_initializer, ntype="user")
    assert zero_initializer((2, 3), torch.int32, torch.device("cpu"), slice(0, 2)).shape == (2, 3)


# --- errors, before anything is changed


def test_blocks_refuse():
    several = {("a", "r", "b"): ([0], [0]), ("a", "s", "b"): ([0], [0])}
    for block in (hf.create_block(([0], [0])), hf.create_block(several)):
        for change in (lambda b: b.add_nodes(1), lambda b: b.add_edges([0], [0]),
                       lambda b: b.remove_nodes([0]), lambda b: b.remove_edges([0]),
                       lambda b: hf.add_nodes(b, 1), lambda b: hf.add_edges(b, 0, 0)):  # fmt: skip
            with pytest.raises(ValueError, match="graph: expected a graph, got a block"):
                change(block)
    for function in (hf.add_nodes, hf.add_edges):
        with pytest.raises(TypeError, match=r"graph: expected a hopflow.Graph, got int"):
            function(1, 1, 1)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda g: g.add_nodes(-1), ValueError, "num: expected at least 0, got -1"),
        (lambda g: g.add_nodes(1.5), TypeError, "num"),
        (lambda g: g.add_nodes(2**40), ValueError, "num: .* is a number wrong"),
        (lambda g: g.add_nodes(1, [1]), TypeError, "data: expected a dict of columns, got list"),
        (lambda g: g.add_nodes(1, {"y": torch.ones(2)}), ValueError,
         "new node column 'y': expected one row for each of the 1 new nodes"),
        (lambda g: g.add_nodes(1, {"x": torch.ones(1, 2)}), ValueError,
         r"data\['x'\]: expected rows as the column has, float32 \[\], got float32 \[2\]"),
        (lambda g: g.add_nodes(1, {"x": torch.ones(1).double()}), ValueError, "got float64"),
        (lambda g: g.add_nodes(1, {"x": [1.0]}), TypeError, "expected a torch.Tensor, got list"),
        (lambda g: g.add_nodes(1, ntype="user"), ValueError, "ntype: expected one of '_N'"),
        (lambda g: g.add_edges([0, -2], [1, 0]), IndexError, r"u\[1\] is -2, expected ids of at"),
        (lambda g: g.add_edges([0, 1], [1, 0, 2]), ValueError, "v: expected as many nodes as u, 2"),
        (lambda g: g.add_edges([0.5], [1]), TypeError, "u: expected integer ids"),
        (lambda g: g.add_edges([0], [2**50]), ValueError, "v: .* nodes would need"),
        (lambda g: g.add_edges([0], [1], {"w": torch.ones(2)}), ValueError,
         "new edge column 'w': expected one row for each of the 1 new edges"),
        (lambda g: g.add_edges([9], [1], {"w": torch.ones(1, 1)}), ValueError, "as the column has"),
        (lambda g: g.add_edges([0], [1], etype="x"), ValueError, "etype"),
        (lambda g: g.remove_edges([3]), IndexError, r"eids\[0\] is 3, expected 0 <= id < 3"),
        (lambda g: g.remove_nodes([-1]), IndexError, r"nids\[0\] is -1"),
        (lambda g: g.remove_nodes([[0]]), ValueError, "nids: expected 1 dimension"),
    ],
)  # fmt: skip
def test_errors_change_nothing(change, error, match):
    g = hf.graph(([0, 1, 2], [1, 2, 0]))
    g.ndata["x"], g.edata["w"] = torch.ones(3), torch.ones(3)
    adjacency, columns = g.adjacency, (g.ndata["x"], g.edata["w"])
    with pytest.raises(error, match=match):
        change(g)
    assert g.adjacency is adjacency
    assert (g.ndata["x"] is columns[0], g.edata["w"] is columns[1]) == (True, True)
    assert (list(g.ndata), list(g.edata)) == (["x"], ["w"])


def test_columns_on_disk_get_no_more_rows():
    g = hf.graph(([0, 1], [1, 0]))
    g.ndata["x"] = hf.storage.encode(torch.randn(2, 8))
    with pytest.raises(ValueError, match="node column 'x': expected a tensor, to add rows to, got"):
        g.add_nodes(1)
    g.add_edges([0], [0])  # asks nothing of it
    assert g.num_edges() == 3
    rows = g.ndata["x"].clone()
    g.remove_nodes([0])
    assert torch.equal(g.ndata["x"], rows[1:])
    g.add_nodes(1)
    assert g.ndata["x"].shape == (2, 8)
