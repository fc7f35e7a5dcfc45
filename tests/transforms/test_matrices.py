"""Graphs as matrices, against dense ones made edge by edge; how DGL's look is in tests/oracle."""

from __future__ import annotations

import pytest
import torch
from helpers import FORMS, IDS, graph_form

import hopflow as hf
from hopflow.transforms import norm_by_dst
from hopflow.transforms.simple import to_simple_graph


def dense(g):
    made = torch.zeros(g.num_src_nodes(), g.num_dst_nodes())
    for u, v in zip(*(x.tolist() for x in g.edges())):
        made[u, v] += 1
    return made


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS)
def test_adjacency(form, idtype):
    g = graph_form(form, idtype)
    want, (src, dst) = dense(g), g.edges()
    a = g.adj()
    assert (a.layout, a.dtype) == (torch.sparse_coo, torch.float32)
    assert a.is_coalesced() == (g.num_edges() < 2)
    assert torch.equal(a._indices(), torch.stack([src, dst]).long())
    assert torch.equal(a.to_dense(), want)
    assert torch.equal(g.adjacency_matrix().to_dense(), want)
    assert torch.equal(g.adj_external().to_dense(), want)
    assert torch.equal(g.adj_external(transpose=True).to_dense(), want.T)
    for form_ in ("coo", "csr"):
        matrix = g.adj_external(scipy_fmt=form_)
        assert (matrix.format, matrix.nnz) == (form_, g.num_edges())
        assert str(matrix.dtype) == str(idtype)[6:]
        assert torch.equal(torch.from_numpy(matrix.toarray()).float(), want)
        turned = g.adj_external(True, scipy_fmt=form_)
        assert torch.equal(torch.from_numpy(turned.toarray()).float(), want.T)
    assert all(map(torch.equal, g.adj_tensors("coo"), (src, dst)))
    for form_, near, far in (("csr", src, dst), ("csc", dst, src)):
        indptr, indices, eids = g.adj_tensors(form_)
        assert {x.dtype for x in (indptr, indices, eids)} == {idtype}
        rows = [(near == v).nonzero().squeeze(1).tolist() for v in range(len(indptr) - 1)]
        assert [x.tolist() for x in eids.split(indptr.diff().tolist())] == rows
        assert torch.equal(indices, far[eids.long()])
    for made in g.adj_tensors("coo"):
        made.fill_(99)  # copies
    assert torch.equal(dense(g), want)


def test_weights_are_entries_and_have_gradients():
    g = hf.graph(([0, 0, 2], [1, 1, 0]))
    g.edata["w"] = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64, requires_grad=True)
    a = g.adj(eweight_name="w")
    assert a.detach().to_dense().tolist() == [[0, 5, 0], [0, 0, 0], [5, 0, 0]]
    x = torch.tensor([[1.0], [10.0], [100.0]], dtype=torch.float64)
    (a @ x).sum().backward()
    assert g.edata["w"].grad.tolist() == [10, 10, 1]
    g.edata["v"] = torch.arange(6).view(3, 2)
    assert g.adj(eweight_name="v").to_dense()[2, 0].tolist() == [4, 5]
    assert g.adj(eweight_name="v").shape == (3, 3, 2)
    with pytest.raises(KeyError, match="no edge column 'nope'"):
        g.adj(eweight_name="nope")


def test_entries_are_a_copy():
    """Sums of weights that samplers keep go by the column's version, which entries do not have."""
    graph = hf.graph(([0, 1, 2], [3, 3, 3]))
    graph.edata["w"] = torch.ones(3)
    hf.sample_neighbors(graph, [3], 1, prob="w")
    graph.adj(eweight_name="w")._values()[:2] = 0
    assert graph.edata["w"].tolist() == [1, 1, 1]
    drawn = {int(hf.sample_neighbors(graph, [3], 1, prob="w").edges()[0]) for _ in range(100)}
    assert drawn == {0, 1, 2}


def test_several_types():
    g = hf.heterograph({("a", "r", "b"): ([0, 1, 1], [2, 0, 0]), ("b", "s", "b"): ([0], [1])})
    assert g.adj("r").to_dense().tolist() == [[0, 0, 1], [2, 0, 0]]
    assert g.adj_external(True, etype="r").shape == (3, 2)
    assert g.inc("in", etype="r").to_dense().tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert g.inc("out", etype="r").shape == (2, 3)
    assert norm_by_dst(g, "r").tolist() == [1, 0.5, 0.5]
    for function in (g.adj, g.adj_external, lambda: g.adj_tensors("coo"), lambda: g.inc("in")):
        with pytest.raises(ValueError, match="etype: expected one of"):
            function()
    with pytest.raises(ValueError, match=r"typestr: expected \"in\" or \"out\" .*'r'"):
        g.inc("both", etype="r")


@pytest.mark.parametrize("form", FORMS)
def test_incidence(form):
    g = graph_form(form)
    if form == "block":
        with pytest.raises(ValueError, match="between nodes apart"):
            g.inc("both")
    want = {kind: torch.zeros(n, g.num_edges()) for kind, n in (
        ("in", g.num_dst_nodes()), ("out", g.num_src_nodes()))}  # fmt: skip
    for e, (u, v) in enumerate(zip(*(x.tolist() for x in g.edges()))):
        want["in"][v, e], want["out"][u, e] = 1, 1
    for kind, matrix in want.items():
        made = g.inc(kind)
        assert (made.dtype, made.layout) == (torch.float32, torch.sparse_coo)
        assert torch.equal(made.to_dense(), matrix)
        assert torch.equal(g.incidence_matrix(kind).to_dense(), matrix)
    if form != "block":
        assert torch.equal(g.inc("both").to_dense(), want["in"] - want["out"])


def test_another_default_dtype_changes_nothing():
    g = hf.graph(([0, 1], [1, 1]))
    torch.set_default_dtype(torch.float64)
    try:
        made = [g.adj(), g.adj_external(), g.inc("in"), norm_by_dst(g)]
    finally:
        torch.set_default_dtype(torch.float32)
    assert {x.dtype for x in made} == {torch.float32}


def test_errors():
    g = hf.graph(([0], [1]))
    with pytest.raises(ValueError, match='fmt: expected "coo", "csr" or "csc", got \'csb\''):
        g.adj_tensors("csb")
    with pytest.raises(ValueError, match='scipy_fmt: expected "coo" or "csr", got \'csc\''):
        g.adj_external(scipy_fmt="csc")
    with pytest.raises(ValueError, match='typestr: expected "in", "out" or "both", got \'on\''):
        g.inc("on")


@pytest.mark.parametrize("form", FORMS)
def test_is_multigraph(form):
    g = graph_form(form)
    assert g.is_multigraph == bool((dense(g) > 1).any())
    if form != "block":
        assert not to_simple(g).is_multigraph


def to_simple(g):
    with pytest.warns(FutureWarning, match="to_simple_graph is the old name of to_simple"):
        return to_simple_graph(g)


def test_parallel_edges_are_of_one_relation():
    same = {("a", "r", "a"): ([0], [1]), ("a", "s", "a"): ([0], [1])}
    assert not hf.heterograph(same).is_multigraph
    assert hf.heterograph({**same, ("a", "s", "a"): ([0, 0], [1, 1])}).is_multigraph


@pytest.mark.parametrize("form", FORMS)
def test_norm_by_dst(form):
    g = graph_form(form)
    want = [1 / (g.edges()[1] == v).sum().item() for v in g.edges()[1].tolist()]
    assert norm_by_dst(g).tolist() == pytest.approx(want)
