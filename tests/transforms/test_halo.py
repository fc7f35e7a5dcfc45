"""partition_graph_with_halo and metis_partition, against their definition."""

from __future__ import annotations

import pytest
import torch
from helpers import IDS, graph_form

import hopflow as hf

FORMS = ("graph", "sorted", "sampled", "shuffled", "no_edges")


def expected(pairs, parts, part, hops):
    """``(nodes, edges)`` of a part and its halo."""
    own = {v for v, p in enumerate(parts) if p == part}
    if hops == 0:
        return own, {i for i, (u, v) in enumerate(pairs) if u in own and v in own}
    reached, latest, edges = set(own), set(own), set()
    for _ in range(hops):
        met = {i for i, (_, v) in enumerate(pairs) if v in latest}
        edges |= met
        latest = {pairs[i][0] for i in met} - reached
        reached |= latest
    leaving = {i for i, (u, v) in enumerate(pairs) if u in own and v not in own}
    return reached | {pairs[i][1] for i in leaving}, edges | leaving


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("reshuffle", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_parts(form, reshuffle, idtype):
    g = graph_form(form, idtype)
    g.ndata["x"] = torch.rand(g.num_nodes())
    pairs = list(zip(*(x.tolist() for x in g.edges())))
    parts = torch.randint(3, (g.num_nodes(),))
    parts[:2] = torch.tensor([0, 3])  # part 3 may be small, and others empty
    for hops in range(4):
        made, nids, eids = hf.partition_graph_with_halo(g, parts, hops, reshuffle)
        assert list(made) == [0, 1, 2, 3]
        if not reshuffle:
            assert nids is eids is None
        seen = []
        for part, one in made.items():
            assert one.idtype == one.ndata[hf.NID].dtype == one.edata[hf.EID].dtype == idtype
            assert "x" not in one.ndata
            nodes, edges = one.ndata[hf.NID].long(), one.edata[hf.EID].long()
            if reshuffle:
                assert torch.equal(one.ndata["orig_id"], nids[nodes])
                assert torch.equal(one.edata["orig_id"], eids[edges])
                nodes, edges = nids.long()[nodes], eids.long()[edges]
            wanted = expected(pairs, parts.tolist(), part, hops)
            assert (len(nodes), len(edges)) == tuple(map(len, wanted))
            assert (set(nodes.tolist()), set(edges.tolist())) == wanted
            for mine, theirs in zip(one.edges(), g.edges()):
                assert torch.equal(nodes[mine.long()], theirs.long()[edges])
            own = parts[nodes] == part
            assert torch.equal(one.ndata["part_id"], parts[nodes])
            assert one.ndata["inner_node"].dtype == torch.int32
            assert torch.equal(one.ndata["inner_node"] > 0, own)
            assert bool(own[: int(own.sum())].all())  # the part's own come first
            inner = one.edata["inner_edge"]
            assert inner.dtype == torch.int8
            assert torch.equal(inner > 0, own[one.edges()[1].long()])
            seen += edges[inner > 0].tolist()
            if reshuffle:
                assert bool((one.ndata[hf.NID][own].diff() == 1).all())
                if hops:
                    assert bool((one.edata[hf.EID][inner > 0].diff() == 1).all())
                assert inner.tolist() == sorted(inner.tolist(), reverse=True)
        if hops:  # every edge belongs to one part
            assert sorted(seen) == list(range(g.num_edges()))


def test_types_are_consecutive_within_a_part():
    g = hf.graph((torch.randint(30, (90,)), torch.randint(30, (90,))), num_nodes=30)
    g.ndata[hf.NTYPE], g.edata[hf.ETYPE] = torch.randint(3, (30,)), torch.randint(2, (90,))
    parts = torch.randint(2, (30,))
    _, nids, eids = hf.partition_graph_with_halo(g, parts, 1, reshuffle=True)
    key = parts[nids] * 3 + g.ndata[hf.NTYPE][nids]
    assert bool((key.diff() >= 0).all())
    key = parts[g.edges()[1]][eids] * 2 + g.edata[hf.ETYPE][eids]
    assert bool((key.diff() >= 0).all())


def test_metis_partition():
    block = torch.arange(20).repeat_interleave(6)
    other = torch.randint(10, (120,)) + block // 10 * 10  # two halves, with nothing between
    g = hf.graph((block, other), num_nodes=20)
    made = hf.metis_partition(g, 2, extra_cached_hops=1)
    assert sorted(x for one in made.values() for x in one.ndata[hf.NID].tolist()) == list(range(20))
    assert all(bool((one.edata["inner_edge"] == 1).all()) for one in made.values())
    renumbered = hf.metis_partition(g, 2, reshuffle=True)
    assert [one.ndata[hf.NID].tolist() for one in renumbered.values()] == [
        list(range(10)), list(range(10, 20)),
    ]  # fmt: skip
    assert renumbered[0].edata["orig_id"].shape == (60,)


def test_no_nodes():
    made, nids, eids = hf.partition_graph_with_halo(hf.graph(([], [])), [], 1, True)
    assert made == {}
    assert len(nids) == len(eids) == 0


def test_errors():
    g = hf.graph(([0, 1], [1, 2]))
    for parts, hops, told in (
        ([0, 1], 1, "node_part: expected the part of each of the 3 nodes, got 2"),
        ([0, -1, 0], 1, "node_part: expected parts of 0 or more, got -1"),
        ([0, 1, 0], -1, "extra_cached_hops: expected 0 or more, got -1"),
    ):
        with pytest.raises(ValueError, match=told):
            hf.partition_graph_with_halo(g, parts, hops)
    with pytest.raises(TypeError, match="node_part: expected integer ids, got float32"):
        hf.partition_graph_with_halo(g, torch.zeros(3), 1)
    typed = hf.heterograph({("a", "r", "b"): ([0], [0])})
    with pytest.raises(ValueError, match="expected one node type and one edge type"):
        hf.partition_graph_with_halo(typed, [0], 1)
