"""Batches of edges from temporal samplers: each is seen at its own time."""

from __future__ import annotations

import pytest
import torch
from timed_graphs import NUM_EDGES, rows, timed_graph

import hopflow as hf
from hopflow.dataloading import (
    DataLoader,
    TemporalEdgePredictionSampler,
    TemporalNeighborSampler,
    as_edge_prediction_sampler,
    audit_times,
    negative_sampler,
)


@pytest.mark.parametrize("strict", [False, True])
def test_edges_are_seen_at_their_time(strict):
    g = timed_graph()
    sampler = as_edge_prediction_sampler(
        TemporalNeighborSampler([4, 4], "t", strict=strict),
        exclude=None if strict else "self",
        negative_sampler=negative_sampler.Uniform(3),
        prefetch_labels=["t"],
    )
    assert isinstance(sampler, TemporalEdgePredictionSampler)
    src, dst = g.edges()
    for _, pairs, negative, blocks in DataLoader(
        g, torch.arange(NUM_EDGES), sampler, batch_size=100, shuffle=True
    ):
        assert audit_times(blocks, edge_time="t", strict=strict) > 100
        assert rows(pairs.ndata) == rows(blocks[-1].dstdata)
        eids = pairs.edata[hf.EID]
        u, v = (x.long() for x in pairs.edges())
        for ends, own in ((u, src), (v, dst)):
            assert torch.equal(pairs.ndata[hf.NID][ends], own[eids])
            assert torch.equal(pairs.ndata["seed_time"][ends], g.edata["t"][eids])
        u, v = (x.long() for x in negative.edges())
        times = g.edata["t"][eids].repeat_interleave(3)
        assert torch.equal(pairs.ndata["seed_time"][u], times)
        assert torch.equal(pairs.ndata["seed_time"][v], times)
        assert torch.equal(pairs.ndata[hf.NID][u], src[eids].repeat_interleave(3))
        # No seed edge is in the neighbourhood that it is predicted from.
        if not strict:
            continue
        for block in blocks:
            limits = block.dstdata["seed_time"][block.edges()[1].long()]
            assert bool((block.edata["t"] < limits).all())


@pytest.mark.parametrize("num_pairs", [0, 1, 3, 8])
def test_negative_pairs_of_any_number_have_times_of_edges(num_pairs):
    g = timed_graph()
    ends = torch.arange(num_pairs)
    sampler = as_edge_prediction_sampler(
        TemporalNeighborSampler([2], "t"), negative_sampler=lambda g, edges: (ends, ends + 1)
    )
    _, pairs, negative, _ = sampler.sample(g, [5, 9])
    times = [int(g.edata["t"][(5, 9)[i * 2 // num_pairs]]) for i in range(num_pairs)]
    for own, nodes in zip(negative.edges(), (ends, ends + 1), strict=True):
        assert pairs.ndata["seed_time"][own.long()].tolist() == times
        assert torch.equal(pairs.ndata[hf.NID][own.long()], nodes)


def test_a_seed_edge_may_have_another_time_than_its_own():
    g = timed_graph()
    later = g.edata["t"] + 1000
    sampler = as_edge_prediction_sampler(
        TemporalNeighborSampler([-1], node_time="born", input_time=later)
    )
    _, pairs, blocks = sampler.sample(g, [5, 9])
    assert pairs.ndata["seed_time"].unique().tolist() == sorted({*later[[5, 9]].tolist()})
    assert int(blocks[0].in_degrees().sum()) == int(g.in_degrees(pairs.ndata[hf.NID]).sum())


def test_a_batch_without_edges_of_any_type_is_empty():
    g = timed_graph(dtype=torch.float64)
    sampler = as_edge_prediction_sampler(TemporalNeighborSampler([2], "t"))
    input_nodes, pair_graph, (block,) = sampler.sample(g, {})
    assert input_nodes.shape == (0,)
    assert pair_graph.num_edges() == block.num_edges() == 0
