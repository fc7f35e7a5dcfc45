"""Walks of some length and along metapaths, against powers of dense matrices."""

from __future__ import annotations

import pytest
import torch
from helpers import IDS, graph_form, typed_graph

import hopflow as hf
from hopflow.transforms import AddMetaPaths, KHopGraph

FORMS = ("graph", "sorted", "sampled", "shuffled", "no_edges", "empty")


def dense(g, etype=None) -> torch.Tensor:
    """Edges from row to column, counted."""
    one = g[etype] if etype is not None else g
    src, dst = (x.long() for x in one.edges())
    made = torch.zeros(one.num_src_nodes(), one.num_dst_nodes(), dtype=torch.int64)
    return made.index_put((src, dst), torch.ones_like(src), accumulate=True)


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("k", [0, 1, 2, 3])
@pytest.mark.parametrize("form", FORMS)
def test_powers(form, k, idtype):
    g = graph_form(form, idtype)
    g.ndata["x"] = torch.arange(g.num_nodes())
    expected = torch.eye(g.num_nodes(), dtype=torch.int64)
    for _ in range(k):
        expected = expected @ dense(g)
    counts = hf.khop_adj(g, k)
    assert counts.dtype == torch.float32
    assert torch.equal(counts, expected.float())
    walks = hf.khop_graph(g, k)
    assert torch.equal(dense(walks), expected)
    assert walks.idtype == idtype
    src, dst = (x.long() for x in walks.edges())
    assert torch.equal(torch.argsort(src * 100 + dst, stable=True), torch.arange(len(src)))
    assert torch.equal(walks.ndata["x"], g.ndata["x"])
    assert not walks.edata
    assert not hf.khop_graph(g, k, copy_ndata=False).ndata
    assert torch.equal(dense(KHopGraph(k)(g)), expected)


def test_khop_refuses():
    g = hf.graph(([0, 1], [1, 0]))
    for call in (hf.khop_graph, hf.khop_adj):
        with pytest.raises(ValueError, match=r"k: expected a number of steps, 0 or more, got -1"):
            call(g, -1)
        with pytest.raises(TypeError, match=r"k: expected an int"):
            call(g, 1.5)
        with pytest.raises(ValueError, match="one node type"):
            call(typed_graph(), 1)
    with pytest.raises(ValueError, match=r"k: expected a number of steps"):
        KHopGraph(-2)
    twice = hf.graph(([0, 0], [0, 0]))
    with pytest.raises(ValueError, match=r"1\.27e\+30 walks of 100 steps"):
        hf.khop_graph(twice, 100)


def test_khop_adj_of_a_large_graph_is_refused():
    g = hf.graph(([0], [1]), num_nodes=100_000)
    with pytest.raises(
        ValueError, match=r"khop_adj: dense arrays of shape .* would take 149.0 GiB"
    ):
        hf.khop_adj(g, 2)


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize(
    "path",
    [
        ["plays"],
        ["follows", "knows"],
        ["plays", "played_by"],
        ["makes", ("game", "played_by", "user"), "follows", "plays"],
        ["plays", "like"],
    ],
)
def test_metapaths(path, idtype):
    g = typed_graph(idtype)
    reach = dense(g, path[0])
    for etype in path[1:]:
        reach = (reach @ dense(g, etype)).clamp(max=1)
    first, last = g.to_canonical_etype(path[0])[0], g.to_canonical_etype(path[-1])[2]
    made = hf.metapath_reachable_graph(g, path)
    assert made.canonical_etypes == [(first, "_E", last)]
    assert made.ntypes == sorted({first, last})
    assert torch.equal(dense(made), reach.clamp(max=1))
    assert made.idtype == idtype
    for ntype in made.ntypes:
        assert made.nodes[ntype].data.keys() == g.nodes[ntype].data.keys()
    added = AddMetaPaths({"new": path})(g)
    assert set(added.canonical_etypes) == {*g.canonical_etypes, (first, "new", last)}
    assert torch.equal(dense(added, "new"), reach.clamp(max=1))
    assert added.ntypes == g.ntypes
    for relation in g.canonical_etypes:
        assert added.edges[relation].data.keys() == g.edges[relation].data.keys()
        assert torch.equal(dense(added, relation), dense(g, relation))
    alone = AddMetaPaths({"new": path}, keep_orig_edges=False)(g)
    assert alone.canonical_etypes == [(first, "new", last)]
    assert alone.ntypes == g.ntypes


def test_metapaths_refuse():
    g = typed_graph()
    with pytest.raises(ValueError, match=r"does not start where .* ends, at 'game'"):
        hf.metapath_reachable_graph(g, ["plays", "follows"])
    with pytest.raises(ValueError, match="got none"):
        hf.metapath_reachable_graph(g, [])
    with pytest.raises(TypeError, match="expected a list of edge types, got 'plays'"):
        hf.metapath_reachable_graph(g, "plays")
    with pytest.raises(ValueError, match="got 'sells'"):
        hf.metapath_reachable_graph(g, ["sells"])
    with pytest.raises(ValueError, match=r"metapaths: .*'plays'.* is\s+there already"):
        AddMetaPaths({"plays": ["plays"]})(g)
    with pytest.raises(ValueError, match="no relation is kept"):
        AddMetaPaths({}, keep_orig_edges=False)(g)
    with pytest.raises(TypeError, match="expected a dict"):
        AddMetaPaths(["plays"])
