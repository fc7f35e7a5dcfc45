"""Questions to a graph's structure, against loops over its edge list."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from helpers import FORMS, IDS, edge_list, graph_form
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import hopflow as hf
from hopflow.structure.adjacency import Adjacency

Edges = list[tuple[int, int, int]]


def with_ids(graph: hf.Graph) -> Edges:
    """Source, destination and id of every edge."""
    return [(u, v, e) for e, (u, v) in enumerate(edge_list(graph))]


def rows(*tensors: Tensor) -> list[tuple[int, ...]]:
    """Tensors of one length, row by row."""
    return list(zip(*(x.tolist() for x in tensors), strict=True))


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS)
def test_find_edges(form: str, idtype: torch.dtype) -> None:
    graph = graph_form(form, idtype)
    edges = edge_list(graph)
    asked = torch.randint(max(len(edges), 1), (2 * len(edges),))
    src, dst = graph.find_edges(asked)
    assert src.dtype == dst.dtype == idtype
    assert rows(src, dst) == [edges[e] for e in asked.tolist()]
    mask = torch.rand(len(edges)) < 0.5
    wanted = [edge for edge, kept in zip(edges, mask.tolist(), strict=True) if kept]
    assert rows(*graph.find_edges(mask)) == wanted
    for none in ([], torch.empty(0, dtype=idtype)):
        assert [x.tolist() for x in graph.find_edges(none)] == [[], []]


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS)
def test_edges_of_nodes(form: str, idtype: torch.dtype) -> None:
    """All forms, in the order of the nodes asked for; a node asked for twice comes twice."""
    graph = graph_form(form, idtype)
    edges = with_ids(graph)
    asked = torch.randint(max(graph.num_dst_nodes(), 1), (graph.num_dst_nodes(),))
    got = graph.in_edges(asked, "all")
    assert all(x.dtype == idtype for x in got)
    if form == "shuffled":  # in-edges come as they were given
        wanted = [edge for v in asked.tolist() for edge in edges if edge[1] == v]
        assert sorted(rows(*got)) == sorted(wanted)
        assert got[1].tolist() == [edge[1] for edge in wanted]
    else:
        assert rows(*got) == [edge for v in asked.tolist() for edge in edges if edge[1] == v]
    assert [x.tolist() for x in graph.in_edges(asked)] == [x.tolist() for x in got[:2]]
    assert graph.in_edges(asked, "eid").tolist() == got[2].tolist()

    asked = torch.randint(max(graph.num_src_nodes(), 1), (graph.num_src_nodes(),))
    got = graph.out_edges(asked, "all")
    assert all(x.dtype == idtype for x in got)
    assert rows(*got) == [edge for u in asked.tolist() for edge in edges if edge[0] == u]
    assert [x.tolist() for x in graph.out_edges(asked)] == [x.tolist() for x in got[:2]]
    assert graph.out_edges(asked, "eid").tolist() == got[2].tolist()


@pytest.mark.parametrize("form", FORMS)
def test_neighbours_of_one_node(form: str) -> None:
    graph = graph_form(form)
    edges = edge_list(graph)
    for v in range(graph.num_dst_nodes()):
        assert sorted(graph.predecessors(v).tolist()) == sorted(a for a, b in edges if b == v)
    for u in range(graph.num_src_nodes()):
        assert graph.successors(u).tolist() == [b for a, b in edges if a == u]
        assert graph.successors(torch.tensor([u])).tolist() == graph.successors(u).tolist()


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS)
def test_edges_between(form: str, idtype: torch.dtype) -> None:
    """Every pair of nodes: whether, which, and all that there are."""
    graph = graph_form(form, idtype)
    edges = with_ids(graph)
    u = torch.arange(graph.num_src_nodes()).repeat_interleave(graph.num_dst_nodes())
    v = torch.arange(graph.num_dst_nodes()).repeat(graph.num_src_nodes())
    pairs = rows(u, v)
    between = {pair: [e for a, b, e in edges if (a, b) == pair] for pair in pairs}
    found = graph.has_edges_between(u, v)
    assert isinstance(found, Tensor)
    assert found.dtype == torch.bool
    assert found.tolist() == [bool(between[pair]) for pair in pairs]
    got = graph.edge_ids(u, v, return_uv=True)
    assert all(x.dtype == idtype for x in got)
    assert rows(*got) == [(*pair, e) for pair in pairs for e in between[pair]]
    ids = graph.edge_ids(u[found], v[found])
    assert ids.dtype == idtype
    assert ids.tolist() == [between[pair][0] for pair in pairs if between[pair]]


@given(seed=st.integers(0, 10**6), count=st.integers(0, 40))
def test_edge_ids_of_random_pairs(seed: int, count: int) -> None:
    """Pairs in any order, and given twice."""
    graph = graph_form("graph", seed=seed)
    edges = with_ids(graph)
    generator = torch.Generator().manual_seed(seed)
    u, v = (torch.randint(11, (count,), generator=generator) for _ in range(2))
    got = graph.edge_ids(u, v, return_uv=True)
    assert rows(*got) == [edge for pair in rows(u, v) for edge in edges if edge[:2] == pair]
    picked = torch.randint(30, (count,), generator=generator)
    src, dst = graph.find_edges(picked)
    first = [min(e for a, b, e in edges if (a, b) == pair) for pair in rows(src, dst)]
    assert graph.edge_ids(src, dst).tolist() == first


def test_single_ids_and_broadcasting() -> None:
    graph = hf.graph(([0, 0, 2, 0], [1, 2, 1, 1]), num_nodes=4)
    assert graph.edge_ids(0, 1) == 0
    assert isinstance(graph.edge_ids(0, 1), int)
    assert graph.has_edges_between(1, 0) is False
    assert graph.has_edges_between(0, 2) is True
    assert graph.edge_ids(0, [2, 1]).tolist() == [1, 0]
    assert graph.edge_ids([0, 2], 1).tolist() == [0, 2]
    assert [x.tolist() for x in graph.edge_ids(0, 1, return_uv=True)] == [[0, 0], [1, 1], [0, 3]]
    assert graph.has_edges_between([0, 1, 2], [1]).tolist() == [True, False, True]
    assert graph.has_nodes(3) is True
    assert graph.has_nodes(4) is False
    assert graph.has_nodes([4, 0, 2**40]).tolist() == [False, True, False]
    assert graph.has_nodes([]).tolist() == []
    assert [x.tolist() for x in graph.find_edges(2)] == [[2], [1]]
    assert graph.in_edges(1, "eid").tolist() == [0, 2, 3]


def test_types_are_named_as_in_dgl() -> None:
    graph, block = graph_form("graph"), graph_form("block")
    assert graph.ntypes == ["_N"]
    assert block.ntypes == ["_N", "_N"]
    assert graph.is_homogeneous
    assert not block.is_homogeneous
    for made in (graph, block):
        assert made.etypes == ["_E"]
        assert made.canonical_etypes == [("_N", "_E", "_N")]
        assert made.srctypes == made.dsttypes == ["_N"]
        for etype in ("_E", ("_N", "_E", "_N")):
            assert made.in_edges(0, "eid", etype=etype).tolist() == made.in_edges(0, "eid").tolist()


@pytest.mark.parametrize("form", ["graph", "block"])
def test_local_var(form: str) -> None:
    graph = graph_form(form)
    graph.srcdata["h"] = torch.zeros(graph.num_src_nodes())
    local = graph.local_var()
    assert type(local) is type(graph)
    local.srcdata["x"] = local.srcdata.pop("h") + 1
    local.edata["w"] = torch.ones(graph.num_edges())
    assert list(graph.srcdata) == ["h"]
    assert list(graph.edata) == []
    assert (local.ndata is local.srcdata) == (graph.ndata is graph.srcdata)
    graph.srcdata["h"] += 1  # in place: both see it
    assert graph.local_var().srcdata["h"].sum() == graph.num_src_nodes()


def test_forms_are_dgls_in_name_only() -> None:
    graph = graph_form("graph")
    graph.ndata["h"] = torch.zeros(11)
    assert graph.formats() == {"created": ["coo", "csr", "csc"], "not created": []}
    assert edge_list(graph.formats("csr")) == edge_list(graph)
    assert list(graph.formats(["coo"]).ndata) == ["h"]
    assert graph.create_formats_() is None


def test_answers_are_the_users_own() -> None:
    """What is done with them does not change the graph."""
    graph = graph_form("sorted")
    before = edge_list(graph)
    answers: list[Any] = [*graph.find_edges(range(30)), *graph.in_edges(range(11), "all")]
    answers += [*graph.out_edges(range(11), "all"), graph.predecessors(3), graph.successors(3)]
    for answer in answers:
        answer.fill_(0)
    assert edge_list(graph) == before
    assert rows(*graph.find_edges(range(30))) == before


def test_the_inverse_of_edge_ids_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_form("graph")
    before = edge_list(graph)
    graph.find_edges([0])
    monkeypatch.setattr(Adjacency, "in_edge_order", lambda *_: pytest.fail("made again"))
    assert rows(*graph.find_edges([5, 3])) == [before[5], before[3]]
    assert rows(*copy.deepcopy(graph).find_edges([5])) == [before[5]]


def test_in_edge_questions_read_no_other_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the transpose nor all destinations are made for them."""
    graph = graph_form("graph")
    for name in ("transpose", "destinations", "coo", "full"):
        monkeypatch.setattr(Adjacency, name, lambda *_: pytest.fail("all edges"))
    graph.in_edges([0, 3], "all")
    graph.has_edges_between([0, 3], [3, 4])
    graph.predecessors(3)
