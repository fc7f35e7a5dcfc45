"""What was taken from a graph before it changes in place stays as it was."""

from __future__ import annotations

from functools import cached_property

import pytest
import torch

import hopflow as hf


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


@pytest.mark.parametrize("change", ["add_edges", "add_nodes", "remove_edges", "remove_nodes"])
def test_what_was_taken_before_stays(change, small_graph):
    g = small_graph
    given_ = {"add_edges": ([250, 1], [3, 199]), "add_nodes": (5,),
              "remove_edges": (list(range(0, 2000, 2)),),
              "remove_nodes": (list(range(100)),)}[change]  # fmt: skip
    sampler = hf.dataloading.NeighborSampler([5, 5], prefetch_labels=["label"])
    blocks = sampler.sample(g, torch.arange(150, 160))[2]
    expected = hf.dataloading.NeighborSampler([-1]).sample(g, torch.arange(40))[2][0]
    again = hf.dataloading.NeighborSampler([-1]).sample(g, torch.arange(40))[2][0]
    held = {"ndata": g.ndata, "clone": g.clone(), "alias": g.alias(),
            "slice": g["_E"], "subgraph": g.subgraph([1, 2, 3])}  # fmt: skip
    feat, weight, edges = g.ndata["feat"].clone(), g.edata["weight"].clone(), as_lists(g)
    for name in ("feat", "label"):
        expected.srcdata[name]
    expected.edata["weight"]
    getattr(g, change)(*given_)
    assert as_lists(g) != edges or g.num_nodes() != 200
    for block in (*blocks, again):
        nid, eid = block.srcdata[hf.NID], block.edata[hf.EID]
        assert torch.equal(block.srcdata["feat"], feat[nid])
        assert torch.equal(block.edata["weight"], weight[eid])
        src, dst = (block.srcdata[hf.NID][end] for end in block.edges())
        assert [src.tolist(), dst.tolist()] == [[x[e] for e in eid.tolist()] for x in edges]
    assert torch.equal(again.srcdata["feat"], expected.srcdata["feat"])
    assert held["ndata"]["feat"].shape == (200, 5)
    for name in ("clone", "alias", "slice"):
        assert as_lists(held[name]) == edges
        assert torch.equal(held[name].ndata["feat"], feat)
    assert torch.equal(held["subgraph"].ndata["feat"], feat[[1, 2, 3]])


def everything(g):
    """Whatever is computed from edges and kept."""
    found = [*g.edges("all"), *g.adjacency.transpose(), g.in_degrees(), g.out_degrees()]
    if g.num_nodes():
        found += g.out_edges(torch.arange(g.num_nodes()), form="all")
        found += [*g.adj_tensors("csr"), *g.adj_tensors("csc")]
    found += g.find_edges(torch.arange(g.num_edges()))
    return found


def test_nothing_cached_is_of_the_old_edges(small_graph):
    g = small_graph
    n = hf.dataloading.NeighborSampler
    samplers = [n([3]), n([3], edge_dir="out"), n([3], prob="weight"), n([3], mask="kept")]
    g.edata["kept"] = g.edata["weight"] > 0.5

    def sampled(graph):
        torch.manual_seed(1)
        found = []
        for sampler in samplers:
            block = sampler.sample(graph, torch.arange(50))[2][0]
            found += [block.srcdata[hf.NID], block.edata[hf.EID], *block.edges()]
        picked = hf.sample_neighbors(graph, torch.arange(50), 2, edge_dir="out")
        return [*found, *picked.edges(), picked.edata[hf.EID]]

    for change in (lambda: g.add_edges([0, 210], [3, 7], {"weight": torch.tensor([2.0, 3.0])}),
                   lambda: g.remove_edges(torch.arange(0, 500)), lambda: g.add_nodes(3),
                   lambda: g.remove_nodes([0, 5, 7])):  # fmt: skip
        everything(g), sampled(g)
        change()
        fresh = hf.graph(g.edges(), num_nodes=g.num_nodes())
        fresh.edata["weight"], fresh.edata["kept"] = g.edata["weight"], g.edata["kept"]
        assert all(map(torch.equal, everything(g), everything(fresh)))
        assert all(map(torch.equal, sampled(g), sampled(fresh)))


def test_a_backward_pass_after_the_change_is_of_the_edges_before():
    """Old and new edges share arrays where only nodes are added; passes over either are right."""
    g = hf.graph(([0, 1, 1], [1, 2, 0]))
    held = g.alias()
    g.ndata["x"] = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = g.ndata["x"]
    g.update_all(hf.function.copy_u("x", "m"), hf.function.sum("m", "s"))
    old = g.ndata["s"]
    g.add_nodes(2)
    g.update_all(hf.function.copy_u("x", "m"), hf.function.sum("m", "t"))
    (g.ndata["t"].sum() * 10 + old.sum()).backward()
    assert x.grad.tolist() == [11, 22, 0]
    assert held.out_degrees().tolist() == [1, 2, 0]
    assert g.out_degrees().tolist() == [1, 2, 0, 0, 0]


def test_attributes_stay_and_cached_properties_do_not():
    class Mine(hf.Graph):
        @cached_property
        def total(self):
            return self.num_nodes() + self.num_edges()

    g = Mine(hf.graph(([0, 1], [1, 0])).adjacency)
    g.name = "mine"
    assert g.total == 4
    held = g.alias()
    g.add_edges([0], [2])
    assert (g.total, g.name, type(g)) == (6, "mine", Mine)
    assert held.total == 4


def test_local_scope_ends_with_the_edges_of_before():
    for g in (hf.graph(([0, 1], [1, 2])), typed()):
        is_one = g.is_homogeneous
        etype, ntype = (None, None) if is_one else ("follows", "user")
        edges, n = as_lists(g, etype), g.num_nodes(ntype)
        with g.local_scope():
            g.add_edges([0, n + 2], [1, 1], etype=etype)
            g.remove_nodes([0], ntype=ntype)
            assert as_lists(g, etype) != edges
            g.nodes[ntype].data["h"] = torch.ones(g.num_nodes(ntype))
        assert as_lists(g, etype) == edges
        assert g.num_nodes(ntype) == n
        assert "h" not in g.nodes[ntype].data
        g.add_nodes(1, ntype=ntype)
        assert g.num_nodes(ntype) == n + 1


@pytest.mark.parametrize("change", [lambda g, t: g.add_nodes(1, ntype=t), None])
@pytest.mark.parametrize("make", [typed, lambda: hf.graph(([0, 1], [1, 2]))])
def test_local_scope_ends_with_what_was_known_of_these_nodes(make, change):
    """Nothing that was computed for the graph in between is left, nor is anything lost."""

    class Mine(hf.Graph):
        @cached_property
        def total(self):
            return self.num_nodes() + self.num_edges()

    g = make()
    g.__class__ = Mine
    ntype, inverse = g.ntypes[-1], torch.tensor([0, 0, 1])
    g.seed_inverse = inverse
    before = g.num_nodes() + g.num_edges()
    with g.local_scope():
        if change:
            change(g, ntype)
            assert g.seed_inverse is None
        assert g.total == before + (change is not None)
    assert g.total == before
    assert g.seed_inverse is inverse
    fresh = make()
    with fresh.local_scope():
        fresh.add_nodes(1, ntype=ntype)
    assert fresh.seed_inverse is None


def test_pinned_memory_is_let_go(monkeypatch):
    g = hf.graph(([0, 1], [1, 2]))
    held, pins = g.alias(), (object(),)
    g._pins = pins
    alias = g.alias()
    with g.local_scope():
        g.add_nodes(1)
        assert g._pins == ()
    assert g._pins is pins
    g.add_nodes(1)
    assert (g._pins, alias._pins, held._pins) == ((), pins, ())


def test_a_slice_is_a_graph_by_itself():
    g = typed()
    part = g["plays"]
    part.add_edges([0], [3])
    assert (part.num_edges(), part.num_nodes("game")) == (4, 4)
    assert (g.num_edges("plays"), g.num_nodes("game")) == (3, 2)
    with pytest.raises(ValueError, match="one relation of a graph of several types"):
        g.relation("plays").add_edges([0], [0])
    assert g.relation("plays").local_var().add_edges([0], [0]) is None
    assert g.num_edges("plays") == 3
