"""Temporal samplers: rows are nodes at a time, and nothing is ever later than its seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from timed_graphs import NUM_EDGES, NUM_NODES, arrays, rows, timed_graph, typed_timed_graph

import hopflow as hf
from hopflow import ops
from hopflow.dataloading import (
    DataLoader,
    TemporalNeighborSampler,
    as_edge_prediction_sampler,
    audit_times,
    negative_sampler,
)
from hopflow.distributed import PartitionedGraph, part_of


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"replace": True}, {"temporal_strategy": "last"}, {"prob": "w"}, {"mask": "m"}],
    ids=str,
)
def test_nothing_is_late(idtype, dtype, strict, options):
    g = timed_graph(idtype, dtype)
    g.edata["w"] = torch.arange(NUM_EDGES) % 5 * 1.0
    g.edata["m"] = torch.arange(NUM_EDGES) % 3 > 0
    sampler = TemporalNeighborSampler([3, -1, 2], "t", "born", "asked", strict=strict, **options)
    looked_at = 0
    for input_nodes, output_nodes, blocks in DataLoader(
        g, torch.arange(NUM_NODES), sampler, batch_size=50
    ):
        looked_at += audit_times(blocks, edge_time="t", node_time="born", strict=strict)
        # Columns that are given as such are those of the graph.
        audit_times(blocks, edge_time=g.edata["t"], node_time=g.ndata["born"], strict=strict)
        assert input_nodes.dtype == output_nodes.dtype == idtype
        assert torch.equal(blocks[0].srcdata[hf.NID], input_nodes)
        assert torch.equal(blocks[-1].dstdata[hf.NID], output_nodes)
        assert torch.equal(
            blocks[-1].dstdata["seed_time"],
            g.ndata["asked"][output_nodes.long()].to(blocks[-1].dstdata["seed_time"].dtype),
        )
        assert torch.equal(blocks[0].srcdata["feat"], g.ndata["feat"][input_nodes.long()])
        for block in blocks:
            assert len(set(rows(block.srcdata))) == block.num_src_nodes()
            assert rows(block.srcdata)[: block.num_dst_nodes()] == rows(block.dstdata)
            eids = block.edata[hf.EID].long()
            u, v = block.edges()
            assert torch.equal(block.srcdata[hf.NID][u.long()], g.edges()[0][eids])
            assert torch.equal(block.dstdata[hf.NID][v.long()], g.edges()[1][eids])
            if "prob" in options:
                assert bool((block.edata["w"] > 0).all())
            if "mask" in options:
                assert bool(block.edata["m"].all())
    assert looked_at > 1000


@pytest.mark.parametrize("strict", [False, True])
def test_all_that_is_early_is_found_hop_by_hop(strict):
    """With fanout -1 the blocks hold exactly the edges of a plain search in time."""
    g = timed_graph()
    src, dst = (x.tolist() for x in g.edges())
    times, born = g.edata["t"].tolist(), g.ndata["born"].tolist()
    sampler = TemporalNeighborSampler([-1, -1], "t", "born", "asked", strict=strict)
    _, _, blocks = sampler.sample(g, torch.arange(0, NUM_NODES, 7))
    known = [(n, int(g.ndata["asked"][n])) for n in range(0, NUM_NODES, 7)]
    for block in reversed(blocks):
        expected = set()
        for node, limit in known:
            for e in range(NUM_EDGES):
                at = max(times[e], born[src[e]])
                if dst[e] == node and (at < limit or (at == limit and not strict)):
                    expected.add((e, limit))
        limits = block.dstdata["seed_time"][block.edges()[1].long()].tolist()
        found = list(zip(block.edata[hf.EID].tolist(), limits))
        assert len(found) == len(set(found))
        assert set(found) == expected
        known = list(dict.fromkeys(rows(block.srcdata)))
        assert set(known) >= {(src[e], limit) for e, limit in expected}


def test_the_latest_are_kept():
    g = timed_graph()
    sampler = TemporalNeighborSampler([4], "t", temporal_strategy="last", input_time="asked")
    _, _, (block,) = sampler.sample(g, torch.arange(NUM_NODES))
    adjacency = g.adjacency
    for v in range(NUM_NODES):
        row = slice(int(adjacency.indptr[v]), int(adjacency.indptr[v + 1]))
        eids = torch.arange(NUM_EDGES)[row] if adjacency.eids is None else adjacency.eids[row]
        early = [e for e in eids.tolist() if g.edata["t"][e] <= g.ndata["asked"][v]]
        expected = sorted(early, key=lambda e: int(g.edata["t"][e]))[-4:]
        assert block.edata[hf.EID][block.edges()[1] == v].tolist() == expected


def test_a_node_has_a_row_for_each_of_its_times():
    g = hf.graph(([1, 1, 1, 2], [0, 0, 3, 1]), num_nodes=5)
    g.edata["t"] = torch.tensor([1, 2, 1, 1])
    sampler = TemporalNeighborSampler([-1, -1], edge_time="t")
    nodes, times = torch.tensor([0, 0, 3, 0, 4]), torch.tensor([1, 2, 2, 1, 0])
    input_nodes, output_nodes, blocks = sampler.sample_at(g, nodes, times)
    assert output_nodes.tolist() == [0, 0, 3, 4]
    assert blocks[-1].seed_inverse.tolist() == [0, 1, 2, 0, 3]
    # Node 1 at time 1 for the first seed; at time 2 once for the second and the third.
    assert rows(blocks[-1].srcdata) == [(0, 1), (0, 2), (3, 2), (4, 0), (1, 1), (1, 2)]
    assert rows(blocks[0].srcdata)[6:] == [(2, 1), (2, 2)]
    assert input_nodes.tolist() == [0, 0, 3, 4, 1, 1, 2, 2]
    assert blocks[-1].edata[hf.EID].tolist() == [0, 0, 1, 2]
    assert audit_times(blocks, edge_time="t") == 4 + 6


def test_seeds_of_a_table_and_of_a_column_are_the_same():
    g = timed_graph()
    given = torch.arange(0, NUM_NODES, 3)
    by_column = TemporalNeighborSampler([3, 3], "t", input_time="asked")
    by_table = TemporalNeighborSampler(
        [3, 3], "t", input_time=g.ndata["asked"][given], input_nodes=given
    )
    options = {"batch_size": 16, "seed": 5, "shuffle": True}
    batches = DataLoader(g, given, by_column, **options)
    others = DataLoader(g, torch.arange(len(given)), by_table, **options)
    for one, other in zip(batches, others, strict=True):
        assert all(map(torch.equal, arrays(one), arrays(other)))
    # One node at many times: the table's purpose.
    many = TemporalNeighborSampler([-1], "t", input_nodes=[7] * 100, input_time=list(range(100)))
    _, outputs, (block,) = many.sample(g, torch.arange(100))
    assert outputs.tolist() == [7] * 100
    early = torch.sort(g.edata["t"][g.edges()[1] == 7]).values
    assert block.in_degrees().tolist() == [int((early <= t).sum()) for t in range(100)]


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_times_in_plain_numbers_are_not_rounded(kind):
    # float32 has 1.6e9 and 1.6e9 + 128, nothing between: 65 would become 128.
    start = 1.6e9
    g = hf.graph(([0, 1, 2, 3], [4] * 4), num_nodes=5)
    g.edata["t"] = torch.tensor([0, 10, 70, 120], dtype=torch.float64) + start
    asked = kind([start + 65])
    by_time = TemporalNeighborSampler([-1], "t").sample_at(g, [4], asked)
    table = TemporalNeighborSampler([-1], "t", input_nodes=[4], input_time=asked)
    function = hf.sampling.temporal_sample_neighbors(g, [4], asked, -1, edge_time="t")
    for found in (by_time[2][0], table.sample(g, [0])[2][0], function):
        assert found.edata[hf.EID].tolist() == [0, 1]
    assert by_time[2][0].dstdata["seed_time"].tolist() == [start + 65]


def test_a_table_has_both_its_columns_in_one_form():
    with pytest.raises(TypeError, match="both by type, or neither"):
        TemporalNeighborSampler([1], "t", input_nodes={"item": [1]}, input_time=torch.ones(1))


def test_two_hops_have_their_law():
    """A seed draws one of three in-edges, then one of that node's; early ones alone."""
    #       0 <- 1, 2, 3 (the last too late); 1 <- 4, 5, 6; 2 <- 4, 5 (one too late)
    g = hf.graph(([1, 2, 3, 4, 5, 6, 4, 5], [0, 0, 0, 1, 1, 1, 2, 2]), num_nodes=7)
    g.edata["t"] = torch.tensor([1, 2, 9, 1, 3, 3, 3, 8])
    count = 20_000
    # Many copies of the seed: each at a time of its own, all of which allow the same edges.
    times = torch.arange(count) / count + 4.0
    g.edata["t"] = g.edata["t"].double()
    sampler = TemporalNeighborSampler([1, 1], edge_time="t")
    torch.manual_seed(0)
    _, _, blocks = sampler.sample_at(g, torch.zeros(count, dtype=torch.int64), times)
    first = blocks[1].edata[hf.EID]
    assert len(first) == count
    # In the first block the drawn nodes draw again; their rows come after the seeds'.
    _, v = blocks[0].edges()
    second = torch.full((blocks[0].num_dst_nodes(),), -1)
    second[v.long()] = blocks[0].edata[hf.EID].long()
    paths = first.long() * 8 + second[blocks[1].edges()[0].long()]
    seen = torch.bincount(paths, minlength=64)
    chances = torch.zeros(64, dtype=torch.float64)
    for path, chance in (((0, 3), 1 / 6), ((0, 4), 1 / 6), ((0, 5), 1 / 6), ((1, 6), 1 / 2)):
        chances[path[0] * 8 + path[1]] = chance
    assert int(seen[chances == 0].sum()) == 0
    expected = chances[chances > 0] * count
    assert stats.chisquare(seen[chances > 0], expected).pvalue > 1e-6


@pytest.mark.parametrize("of_edges", [False, True])
def test_the_same_for_threads_and_workers(of_edges):
    g = timed_graph()
    sampler: Any = TemporalNeighborSampler([3, 3], "t", "born", None if of_edges else "asked")
    indices = torch.arange(NUM_NODES)
    if of_edges:
        indices = torch.arange(300)
        sampler = as_edge_prediction_sampler(
            sampler, exclude="self", negative_sampler=negative_sampler.Uniform(2)
        )
    found = []
    for workers, threads in ((0, 1), (0, 4), (3, 1), (3, 2)):
        ops.set_num_threads(threads)
        loader = DataLoader(
            g, indices, sampler, batch_size=25, seed=11, shuffle=True, num_workers=workers
        )
        found.append([x for batch in loader for x in arrays(batch)])
    for other in found[1:]:
        assert len(found[0]) == len(other)
        assert all(map(torch.equal, found[0], other))


def test_graphs_of_several_types():
    g = typed_timed_graph()
    asked = {"user": torch.full((20,), 30), "item": torch.arange(10) * 4}
    sampler = TemporalNeighborSampler(
        [3, {"buys": -1, "shown": 2}], "t", "born", asked, strict=True
    )
    seeds = {"user": torch.arange(20), "item": torch.arange(10)}
    looked_at = 0
    for workers in (0, 2):
        for inputs, outputs, blocks in DataLoader(
            g, seeds, sampler, batch_size=8, num_workers=workers
        ):
            looked_at += audit_times(
                blocks, edge_time="t", node_time="born", strict=True, seeds=False
            )
            assert set(outputs) <= {"user", "item"}
            for ntype, ids in outputs.items():
                frame = blocks[-1].dstnodes[ntype].data
                assert torch.equal(frame[hf.NID], ids)
                assert torch.equal(frame["seed_time"], asked[ntype][ids])
            assert torch.equal(inputs["item"], blocks[0].srcnodes["item"].data[hf.NID])
    assert looked_at > 100
    edges = as_edge_prediction_sampler(TemporalNeighborSampler([3, 3], "t", strict=True))
    for _, pairs, blocks in DataLoader(g, {"buys": torch.arange(200)}, edges, batch_size=64):
        audit_times(blocks, edge_time="t", strict=True)
        u, v = (x.long() for x in pairs.edges(etype="buys"))
        times = pairs.edges["buys"].data["t"]
        assert torch.equal(pairs.nodes["user"].data["seed_time"][u], times)
        assert torch.equal(pairs.nodes["item"].data["seed_time"][v], times)
    table = TemporalNeighborSampler(
        [2], "t", input_nodes={"item": [3, 3]}, input_time={"item": torch.tensor([5, 50])}
    )
    _, outputs, (block,) = table.sample(g, {"item": [1, 0, 1]})
    assert outputs["item"].tolist() == [3, 3]
    assert block.dstnodes["item"].data["seed_time"].tolist() == [50, 5]
    assert block.seed_inverse["item"].tolist() == [0, 1, 0]


# --- errors and edge cases ---


def test_bad_arguments_are_refused():
    last = {"edge_time": "t", "temporal_strategy": "last"}
    for message, options in [
        ("edge_time, node_time: expected one", {}),
        ("temporal_strategy", {"edge_time": "t", "temporal_strategy": "latest"}),
        ("prob: expected none", {**last, "prob": "w"}),
        ("replace: expected none", {**last, "replace": True}),
        ("prob, mask", {"edge_time": "t", "prob": "w", "mask": "m"}),
        ("one time for each of input_nodes", {"edge_time": "t", "input_nodes": [1]}),
    ]:
        with pytest.raises(ValueError, match=message):
            TemporalNeighborSampler([2], **options)
    with pytest.raises(TypeError, match="fanouts"):
        TemporalNeighborSampler(3, edge_time="t")
    g = timed_graph()
    for kind, message, sampler in [
        (ValueError, "input_time: expected the times of seeds", TemporalNeighborSampler([2], "t")),
        (KeyError, "edge column 'x'", TemporalNeighborSampler([2], "x", input_time="asked")),
        (KeyError, "node column 'x'", TemporalNeighborSampler([2], "t", input_time="x")),
        (ValueError, "input_time: expected one number for each of the 120 nodes",
         TemporalNeighborSampler([2], "t", input_time=torch.ones(3))),
        (TypeError, "expected integers, as the graph's times are",
         TemporalNeighborSampler([2], "t", input_time=torch.ones(NUM_NODES))),
        (ValueError, "input_time: expected one time for each of 2 input_nodes, got shape .1.",
         TemporalNeighborSampler([2], "t", input_nodes=[1, 2], input_time=[3])),
        (IndexError, "expected rows of input_nodes",
         TemporalNeighborSampler([2], "t", input_nodes=[1], input_time=[3])),
    ]:  # fmt: skip
        with pytest.raises(kind, match=message):
            sampler.sample(g, [1])
    edges = as_edge_prediction_sampler(TemporalNeighborSampler([2], node_time="born"))
    with pytest.raises(ValueError, match="input_time: expected the times of edges"):
        edges.sample(g, [1])
    other = as_edge_prediction_sampler(
        TemporalNeighborSampler([2], "t"),
        negative_sampler=lambda g, edges: {"shown": ([0], [1])},
    )
    with pytest.raises(ValueError, match="pairs of types of which the batch has edges"):
        other.sample(typed_timed_graph(), {"buys": [1, 2]})
    g.ndata["seed_time"] = torch.zeros(NUM_NODES)
    with pytest.raises(ValueError, match="'seed_time' is what blocks keep"):
        TemporalNeighborSampler([2], "t", input_time="asked").sample(g, [1])


def test_a_graph_in_parts_is_refused():
    g = timed_graph()
    parts = PartitionedGraph(part_of(g, {"_N": torch.zeros(NUM_NODES, dtype=torch.int16)}, 0, 1))
    sampler = TemporalNeighborSampler([2], "t", node_time=torch.ones(NUM_NODES))
    with pytest.raises(TypeError, match="in one piece, got a graph in parts"):
        next(iter(DataLoader(parts, torch.arange(3), sampler)))
    parts.close()


def test_nothing_to_sample():
    empty = hf.graph(([], []), num_nodes=3)
    empty.edata["t"] = torch.empty(0)
    sampler = TemporalNeighborSampler([2, 2], "t", input_time=torch.zeros(3))
    inputs, _, blocks = sampler.sample(empty, [2, 0, 2])
    assert inputs.tolist() == [2, 0]
    assert audit_times(blocks, edge_time="t") == 0
    inputs, _, blocks = sampler.sample(empty, torch.empty(0, dtype=torch.int64))
    assert inputs.tolist() == []
    assert blocks[0].num_src_nodes() == 0
