"""Random transforms: their laws, and what they leave as it was."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import IDS, graph_form, typed_graph

import hopflow as hf
from hopflow.ops.random_stream import batch_stream
from hopflow.transforms import AddEdge, DropEdge, DropNode, FeatMask, NodeShuffle


def near(count, trials, p):
    """Whether a binomial count is within five standard deviations."""
    return abs(count - trials * p) < 5 * math.sqrt(trials * p * (1 - p)) + 1e-9


def told(g):
    """All of a graph."""
    found = [
        *(x for r in g.canonical_etypes for x in g.edges(etype=r)),
        *(x for t in g.ntypes for _, x in sorted(g.nodes[t].data.items())),
        *(x for r in g.canonical_etypes for _, x in sorted(g.edges[r].data.items())),
    ]
    return [x.tolist() for x in found]


MANY = {
    "DropNode": DropNode(0.3),
    "DropEdge": DropEdge(0.3),
    "AddEdge": AddEdge(0.5),
    "FeatMask": FeatMask(0.5, ["feat"]),
    "NodeShuffle": NodeShuffle(),
}


@pytest.mark.parametrize("name", MANY)
def test_seeds_decide(name):
    g, transform = typed_graph(), MANY[name]
    before = told(g)
    torch.manual_seed(4)
    first, second = told(transform(g)), told(transform(g))
    assert first != second
    torch.manual_seed(4)
    assert told(transform(g)) == first
    hf.seed(4)
    third = told(transform(g))
    torch.manual_seed(9)
    hf.seed(4)
    assert told(transform(g)) == third
    with batch_stream(1, 2, 3):
        of_batch = told(transform(g))
    with batch_stream(1, 2, 3):
        assert told(transform(g)) == of_batch
    assert told(g) == before


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", ["graph", "sampled", "no_edges", "empty"])
@pytest.mark.parametrize("name", MANY)
def test_small_graphs(name, form, idtype):
    g = graph_form(form, idtype)
    g.ndata["feat"] = torch.rand(g.num_nodes(), 3)
    made = MANY[name](g)
    assert made.idtype == idtype
    assert made.ndata["feat"].shape == (made.num_nodes(), 3)


def test_drop_node_keeps_what_is_between_the_others():
    g = typed_graph()
    for ntype in g.ntypes:
        g.nodes[ntype].data["id"] = torch.arange(g.num_nodes(ntype))
    made = DropNode(0.4)(g)
    for relation in g.canonical_etypes:
        ends = (relation[0], relation[2])
        kept = [set(made.nodes[t].data["id"].tolist()) for t in ends]
        pairs = zip(*(x.tolist() for x in g.edges(etype=relation)))
        expected = [(u, v) for u, v in pairs if u in kept[0] and v in kept[1]]
        numbers = made.edges(etype=relation)
        found = [made.nodes[t].data["id"][x.long()].tolist() for t, x in zip(ends, numbers)]
        assert sorted(zip(*found)) == sorted(expected)
        if "w" in g.edges[relation].data:
            assert len(made.edges[relation].data["w"]) == len(expected)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_drop_laws(p):
    g = hf.graph((torch.arange(20_000), torch.arange(20_000)))
    g.ndata["id"] = g.edata["id"] = torch.arange(20_000)
    left = DropEdge(p)(g)
    assert left.num_nodes() == 20_000
    assert near(left.num_edges(), 20_000, 1 - p)
    ids = left.edata["id"]
    assert torch.equal(torch.stack(left.edges()), torch.stack([ids, ids]))
    nodes = DropNode(p)(g)
    assert near(nodes.num_nodes(), 20_000, 1 - p)
    assert torch.equal(nodes.ndata["id"], nodes.edata["id"])
    both = set(DropEdge(p)(g).edata["id"].tolist()) & set(ids.tolist())
    assert near(len(both), 20_000, (1 - p) ** 2)  # calls are independent
    assert "_ID" not in left.edata


def test_relations_are_drawn_apart():
    ends = torch.arange(5000), torch.arange(5000)
    g = hf.heterograph({("a", "x", "a"): ends, ("a", "y", "a"): ends})
    made = DropEdge(0.5)(g)
    kept = [set(made.edges(etype=name)[0].tolist()) for name in "xy"]
    assert near(len(kept[0] & kept[1]), 5000, 0.25)


def test_nothing_and_everything():
    g = typed_graph()
    for transform in (DropNode(0), DropEdge(0), FeatMask(0, ["feat"]), AddEdge(0)):
        assert told(transform(g)) == told(g)
    assert DropNode(1)(g).num_nodes() == 0
    assert DropEdge(1)(g).num_edges() == 0
    assert not FeatMask(1, ["feat"])(g).nodes["user"].data["feat"].any()


@pytest.mark.parametrize("ratio", [0.25, 3])
def test_add_edge(ratio):
    generator = torch.Generator().manual_seed(0)
    src, dst = (torch.randint(n, (8000,), generator=generator) for n in (10, 7))
    g = hf.heterograph({("a", "x", "b"): (src, dst)}, {"a": 10, "b": 7})
    g.edata["w"] = torch.ones(8000, 2)
    made = AddEdge(ratio)(g)
    more = int(8000 * ratio)
    assert made.num_edges() == 8000 + more
    new_src, new_dst = made.edges()
    assert torch.equal(new_src[:8000], src)
    assert made.edata["w"].sum() == 16_000
    counts = torch.bincount(new_src[8000:] * 7 + new_dst[8000:], minlength=70).double()
    chi = float(((counts - more / 70) ** 2 / (more / 70)).sum())
    assert len(counts) == 70
    assert chi < 69 + 5.5 * math.sqrt(2 * 69)


def test_feat_mask():
    g = hf.graph(([0, 1], [1, 2]))
    g.ndata["x"], g.edata["e"] = torch.ones(3, 20_000), torch.ones(2, 4, 3)
    made = FeatMask(0.3, ["x"], ["e"])(g)
    assert torch.equal(made.ndata["x"][0], made.ndata["x"][2])
    assert near(int((made.ndata["x"][0] == 0).sum()), 20_000, 0.3)
    assert (made.edata["e"] == made.edata["e"][:1, :1]).all()
    assert g.ndata["x"].all()
    with pytest.raises(KeyError, match="no node column 'y'"):
        FeatMask(0.3, ["y"])(g)
    g.ndata["y"] = torch.ones(3)
    with pytest.raises(ValueError, match=r"node column 'y': expected features of shape"):
        FeatMask(0.3, ["y"])(g)


def test_node_shuffle():
    g = hf.graph(([0, 1], [1, 2]), num_nodes=4)
    g.ndata["x"] = torch.arange(4)
    g.ndata["y"] = torch.arange(4.0)[:, None] * 2
    counts = {}
    for _ in range(2400):
        made = NodeShuffle()(g)
        order = tuple(made.ndata["x"].tolist())
        counts[order] = counts.get(order, 0) + 1
        if len(counts) == 1:
            assert made.ndata["y"].view(-1).tolist() == [2 * x for x in order]
    assert len(counts) == 24
    assert sum((n - 100) ** 2 / 100 for n in counts.values()) < 23 + 6 * math.sqrt(2 * 23)


def test_refusals():
    for make in (DropNode, DropEdge, FeatMask):
        with pytest.raises(ValueError, match=r"p: expected a probability, 0 to 1, got 1.5"):
            make(1.5)
    with pytest.raises(ValueError, match="ratio: expected 0 or more, got -1"):
        AddEdge(-1)
    with pytest.raises(TypeError, match="node_feat_names: expected a list"):
        FeatMask(0.5, "x")


@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("drop", [DropNode, DropEdge])
def test_a_batch_stays_a_batch(drop, p):
    """Each graph of it has what is left of its own nodes and edges."""
    graphs = [typed_graph(), typed_graph(), typed_graph()]
    for i, g in enumerate(graphs):
        for ntype in g.ntypes:
            g.nodes[ntype].data["of"] = torch.full((g.num_nodes(ntype),), i)
        for etype in g.canonical_etypes:
            g.edges[etype].data["of"] = torch.full((g.num_edges(etype),), i)
    made = drop(p)(hf.batch(graphs))
    assert made.batch_size == 3
    for ntype in made.ntypes:
        counts = torch.bincount(made.nodes[ntype].data["of"], minlength=3)
        assert torch.equal(made.batch_num_nodes(ntype), counts)
    for etype in made.canonical_etypes:
        counts = torch.bincount(made.edges[etype].data["of"], minlength=3)
        assert torch.equal(made.batch_num_edges(etype), counts)
