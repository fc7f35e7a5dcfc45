"""Neighbours by visits of random walks, against a plain count."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from helpers import IDS
from scipy import stats

import hopflow as hf
from hopflow.sampling import PinSAGESampler, RandomWalkNeighborSampler, random_walk
from hopflow.sampling.pinsage import most_visited


def shop(idtype: torch.dtype = torch.int64) -> hf.Graph:
    generator = torch.Generator().manual_seed(4)
    users = torch.randint(18, (90,), generator=generator)
    items = torch.randint(25, (90,), generator=generator)
    return hf.heterograph(
        {("user", "views", "item"): (users, items), ("item", "seen", "user"): (items, users)},
        {"user": 20, "item": 30},
        idtype=idtype,
    )


@pytest.mark.parametrize("idtype", IDS)
def test_most_visited_counts(idtype):
    visits = torch.randint(-1, 9, (50, 31), generator=torch.Generator().manual_seed(1)).to(idtype)
    visits[7], visits[8] = -1, 3
    for most in (0, 1, 4, 100):
        indptr, ids, counts = most_visited(visits, most)
        assert indptr.dtype == torch.int64
        assert ids.dtype == counts.dtype == idtype
        for row, (low, high) in enumerate(zip(indptr[:-1].tolist(), indptr[1:].tolist())):
            seen = Counter(x for x in visits[row].tolist() if x >= 0)
            expected = sorted(seen.items(), key=lambda of: (-of[1], of[0]))[:most]
            assert list(zip(ids[low:high].tolist(), counts[low:high].tolist())) == expected
        assert indptr[-1] == len(ids)
    for shape in ((0, 4), (3, 0)):
        indptr, ids, counts = most_visited(torch.empty(shape, dtype=idtype), 2)
        assert (indptr.tolist(), len(ids), len(counts)) == ([0] * (shape[0] + 1), 0, 0)


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("metapath", [["seen", "views"], ["seen", "views"] * 2])
def test_keeps_what_walks_visit_most(idtype, metapath):
    g, seeds = shop(idtype), [29, 4, 11, 4, 0]
    sampler = RandomWalkNeighborSampler(g, 3, 0.4, 15, 4, metapath, weight_column="visits")
    torch.manual_seed(2)
    frontier = sampler(seeds)
    torch.manual_seed(2)
    distinct = torch.tensor([29, 4, 11, 0])
    hops, end = len(metapath), [0.0] * (3 * len(metapath))
    end[hops::hops] = [0.4] * 2
    traces, _ = random_walk(
        g, distinct.repeat_interleave(15), metapath=metapath * 3, restart_prob=end
    )
    expected = []
    for i, seed in enumerate(distinct.tolist()):
        seen = Counter(traces[15 * i : 15 * i + 15, hops::hops].flatten().tolist())
        del seen[-1]
        best = sorted(seen.items(), key=lambda of: (-of[1], of[0]))[:4]
        expected += [(node, seed, count) for node, count in best]
    src, dst = frontier.edges()
    weights = frontier.edata["visits"]
    assert list(zip(src.tolist(), dst.tolist(), weights.tolist())) == expected
    assert src.dtype == weights.dtype == frontier.idtype == idtype
    assert frontier.canonical_etypes == [("item", "_E", "item")]
    assert frontier.ntypes == ["item"]
    assert frontier.num_nodes() == 30
    assert dict(frontier.ndata) == {}
    assert len(expected) > 8
    # The result goes on as any graph: a block of its edges.
    block = hf.to_block(frontier, {"item": distinct})
    assert block.num_dst_nodes() == 4
    assert block.num_edges() == len(expected)


def test_pinsage_is_the_walk_there_and_back():
    g = shop()
    options = (2, 0.5, 10, 3)
    torch.manual_seed(6)
    ours = PinSAGESampler(g, "item", "user", *options)([1, 2, 3])
    torch.manual_seed(6)
    named = RandomWalkNeighborSampler(g, *options, metapath=["seen", "views"])([1, 2, 3])
    for a, b in zip(ours.edges(), named.edges()):
        assert torch.equal(a, b)
    assert torch.equal(ours.edata["weights"], named.edata["weights"])


def test_visits_have_their_law():
    # From 0 to 1 (twice as likely) or 2, which lead back; a second time happens in half of walks.
    g = hf.graph(([0, 0, 0, 1, 2], [1, 1, 2, 0, 0]))
    torch.manual_seed(0)
    frontier = RandomWalkNeighborSampler(g, 2, 0.5, 12_000, 3)([0])
    visits = dict(zip(frontier.edges()[0].tolist(), frontier.edata["weights"].tolist()))
    assert visits[1] + visits[2] == 12_000
    assert stats.binomtest(visits[1], 12_000, 2 / 3).pvalue > 1e-6
    assert stats.binomtest(visits[0], 12_000, 0.5).pvalue > 1e-6


def test_one_type_and_nothing_to_find():
    g = hf.graph(([0, 1], [1, 0]), num_nodes=4)
    frontier = RandomWalkNeighborSampler(g, 1, 0.0, 5, 2)([3, 0])
    assert frontier.num_nodes() == 4
    assert [x.tolist() for x in frontier.edges()] == [[1], [0]]
    assert frontier.edata["weights"].tolist() == [5]
    assert frontier.is_homogeneous
    for options in ((0, 0.5, 5, 2), (1, 0.5, 0, 2), (1, 0.5, 5, 0)):
        assert RandomWalkNeighborSampler(g, *options)([3, 0]).num_edges() == 0
    assert RandomWalkNeighborSampler(g, 1, 0.5, 5, 2)([]).num_edges() == 0


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((1, 0.5, 5, 2), ValueError, "metapath: expected the edge type of each step"),
        ((1, 0.5, 5, 2, ["views"]), ValueError, "metapath: expected one that leads back to 'user'"),
        ((1, 0.5, 5, 2, []), ValueError, "metapath: expected at least one edge type"),
        ((-1, 0.5, 5, 2, ["views", "seen"]), ValueError, "num_traversals: expected at least 0"),
        ((1, 1.5, 5, 2, ["views", "seen"]), ValueError, "termination_prob: expected a probability"),
        ((1, "x", 5, 2, ["views", "seen"]), TypeError, "termination_prob: expected a number"),
        ((1, 0.5, 2.5, 2, ["views", "seen"]), TypeError, "num_random_walks: expected an int"),
        ((1, 0.5, 5, -2, ["views", "seen"]), ValueError, "num_neighbors: expected at least 0"),
    ],
)
def test_mistakes(arguments, error, match):
    with pytest.raises(error, match=match):
        RandomWalkNeighborSampler(shop(), *arguments)


def test_mistakes_of_pinsage():
    with pytest.raises(ValueError, match="expected edges from 'item' to 'shop'"):
        PinSAGESampler(shop(), "item", "shop", 1, 0.5, 5, 2)
    with pytest.raises(IndexError, match=r"seed_nodes\[0\] is 30"):
        PinSAGESampler(shop(), "item", "user", 1, 0.5, 5, 2)([30])
