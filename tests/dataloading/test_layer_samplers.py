"""LADIES and FastGCN: who is drawn, how often, and sums that are right on average."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

import hopflow as hf
from hopflow import ops
from hopflow.dataloading import DataLoader, FastGCNSampler, LadiesSampler
from hopflow.sampling.layer_sources import Importance, draw_sources

WEIGHTS = [0.5, 1.0, 2.0, 2.5, 6.0]
KINDS = [
    (LadiesSampler, False),
    (LadiesSampler, True),
    (FastGCNSampler, False),
    (FastGCNSampler, True),
]


def importance(weights: list[float]) -> Importance:
    return Importance(
        torch.arange(10, 10 + len(weights)), torch.tensor(weights, dtype=torch.float64)
    )


def graph(idtype: torch.dtype = torch.int64) -> hf.Graph:
    generator = torch.Generator().manual_seed(3)
    src = torch.randint(40, (300,), generator=generator)
    dst = torch.randint(35, (300,), generator=generator)
    g = hf.graph((src, dst), num_nodes=40, idtype=idtype)
    g.edata["w"] = torch.randn(300, generator=generator, dtype=torch.float64)
    g.ndata["feat"] = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    return g


# --- the draw ---


def test_numbers_of_nodes_are_the_generators():
    ids = torch.tensor([0, 1, 7, 2**31 + 5, 2**62, 7])
    for key in (0, 5, 2**63, 2**64 - 1):
        got = ops.node_uniforms(ids, key=key)
        assert torch.equal(got, ops.node_uniforms_reference(ids, key=key))
        assert got[2] == got[5]
    many = ops.node_uniforms(torch.arange(100_000), key=1)
    assert stats.kstest(many.numpy(), "uniform").pvalue > 1e-6
    assert 0 < float(many.min()) < float(many.max()) < 1
    with pytest.raises(TypeError, match="ids"):
        ops.node_uniforms(torch.ones(2), key=1)


def test_draws_with_replacement_are_multinomial_and_their_factors_exact():
    chances = torch.tensor(WEIGHTS, dtype=torch.float64) / sum(WEIGHTS)
    given, outcomes = importance(WEIGHTS), Counter()
    for key in range(900):
        nodes, factors = draw_sources(given, 2, key=ops.stream_key(1, 0, key, 0), replace=True)
        at = nodes - 10
        times = (factors * 2 * chances[at]).round()
        assert torch.allclose(factors, times / (2 * chances[at]), rtol=1e-12)
        assert int(times.sum()) == 2
        outcomes[tuple(sorted(at.repeat_interleave(times.long()).tolist()))] += 1
    exact = Counter()
    for pair in product(range(5), repeat=2):
        exact[tuple(sorted(pair))] += float(chances[list(pair)].prod())
    seen = [outcomes[pair] for pair in exact]
    assert sum(seen) == 900
    assert stats.chisquare(seen, [900 * p for p in exact.values()]).pvalue > 1e-6
    # By these chances and factors the expectation of every node's factor is exactly one.
    for node in range(5):
        mean = sum(p * pair.count(node) / (2 * chances[node]) for pair, p in exact.items())
        assert float(mean) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("count", [1, 3])
def test_priority_sampling_is_its_definition_and_unbiased(count):
    given = importance(WEIGHTS)
    weights, total = given.weights, torch.zeros(5, dtype=torch.float64)
    squares, num = torch.zeros(5, dtype=torch.float64), 500
    for number in range(num):
        key = ops.stream_key(2, 0, number, 0)
        nodes, factors = draw_sources(given, count, key=key, replace=False)
        rank = weights / ops.node_uniforms_reference(given.nodes, key=key)
        order = rank.argsort(descending=True)
        assert nodes.tolist() == sorted(given.nodes[order[:count]].tolist())
        at = nodes - 10
        assert torch.equal(factors, (rank[order[count]] / weights[at]).clamp(min=1))
        total[at] += factors
        squares[at] += factors.square()
    spread = ((squares / num - (total / num).square()).clamp(min=0) / num).sqrt()
    assert bool(((total / num - 1).abs() <= 5.3 * spread + 1e-12).all()), total / num


def test_all_or_none():
    given = importance(WEIGHTS)
    for count in (-1, 5, 9):
        nodes, factors = draw_sources(given, count, key=1, replace=False)
        assert torch.equal(nodes, given.nodes)
        assert factors.tolist() == [1.0] * 5
    assert len(draw_sources(given, 0, key=1, replace=True)[0]) == 0
    assert len(draw_sources(importance([]), 3, key=1, replace=True)[0]) == 0
    assert draw_sources(importance([0.0, 3.0]), 2, key=1, replace=True)[0].tolist() == [11]


# --- blocks ---


@pytest.mark.parametrize(("kind", "replace"), KINDS)
@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
def test_blocks_hold_the_edges_of_the_nodes_drawn(kind, replace, idtype):
    g = graph(idtype)
    src, dst = (x.long() for x in g.edges())
    for weight in (None, "w"):
        sampler = kind([6, 4], weight, replace)
        for inputs, outputs, blocks in DataLoader(g, torch.arange(40), sampler, batch_size=16):
            assert inputs.dtype == outputs.dtype == idtype
            for block, count in zip(blocks, (6, 4)):
                eids = block.edata[hf.EID].long()
                u, v = (x.long() for x in block.edges())
                names = block.srcdata[hf.NID].long()
                assert torch.equal(names[: block.num_dst_nodes()], block.dstdata[hf.NID].long())
                assert torch.equal(names[u], src[eids])
                assert torch.equal(names[v], dst[eids])
                drawn = names[u].unique()
                assert len(drawn) <= count
                # All edges from the nodes drawn to the layer's destinations.
                inside = torch.isin(src, drawn) & torch.isin(dst, block.dstdata[hf.NID].long())
                assert sorted(eids.tolist()) == inside.nonzero().squeeze(1).tolist()
                # One factor a node.
                means = 1 / g.in_degrees(dst[eids]).double()
                own = means if weight is None else g.edata["w"][eids]
                factors = block.edata["edge_weights"].double() / own
                for node in drawn:
                    of_node = factors[names[u] == node]
                    assert torch.allclose(of_node, of_node[:1], rtol=1e-5)
                assert block.edata["edge_weights"].dtype == (
                    torch.float32 if weight is None else torch.float64
                )
            assert torch.equal(blocks[0].srcdata["feat"], g.ndata["feat"][inputs.long()])


@pytest.mark.cpu_only
@pytest.mark.parametrize(("kind", "replace"), KINDS)
def test_sums_are_unbiased(kind, replace):
    """The mean of 250 batches' sums, within 5.3 standard errors of the sum over all edges."""
    g = graph()
    seeds, weight = torch.arange(4, 12), None if replace else "w"
    sampler = kind([7], weight, replace)
    w = g.edata["w"] if weight else 1 / g.in_degrees(g.edges()[1]).double()
    exact = _sums(g.edges(), w, g.ndata["feat"], 40)[seeds]
    torch.manual_seed(1)
    found = []
    for _ in range(250):
        _, _, (block,) = sampler.sample(g, seeds)
        found.append(
            _sums(block.edges(), block.edata["edge_weights"].double(), block.srcdata["feat"], 8)
        )
    found = torch.stack(found)
    error = found.std(0) / 250**0.5
    assert bool(((found.mean(0) - exact).abs() <= 5.3 * error + 1e-9).all())
    assert float(error.max()) > 1e-3  # there is something to average


def _sums(edges: tuple[Tensor, Tensor], w: Tensor, h: Tensor, num_dst: int) -> Tensor:
    u, v = (x.long() for x in edges)
    return torch.zeros(num_dst, h.shape[1], dtype=h.dtype).index_add(0, v, w[:, None] * h[u])


@pytest.mark.cpu_only
def test_who_may_be_drawn():
    #   seeds 0 and 1; 2 leads to both, 3 to one, 4 to neither, 5 with weight 0
    g = hf.graph(([2, 2, 3, 4, 5], [0, 1, 0, 3, 1]), num_nodes=6)
    g.edata["w"] = torch.tensor([1.0, -2.0, 1.0, 100.0, 0.0])
    seen = {}
    for kind in (LadiesSampler, FastGCNSampler):
        counts = Counter()
        for number in range(200):
            torch.manual_seed(number)
            _, _, (block,) = kind([1], "w", replace=True).sample(g, [0, 1])
            counts[tuple(block.srcdata[hf.NID][2:].tolist())] += 1
        seen[kind] = counts
    assert set(seen[LadiesSampler]) == {(2,), (3,)}
    of_two = seen[LadiesSampler][(2,)]
    assert stats.binomtest(of_two, 200, 5 / 6).pvalue > 1e-6  # 1² + 2² of 1² + 2² + 1²
    # FastGCN draws node 4 nearly always: it leads to no seed.
    assert seen[FastGCNSampler][()] > 180


@pytest.mark.parametrize(("kind", "replace"), KINDS)
def test_the_same_for_threads_and_workers(kind, replace):
    g = graph()
    found: list[list[Any]] = []
    for workers, threads in ((0, 1), (0, 4), (3, 1)):
        ops.set_num_threads(threads)
        loader = DataLoader(
            g, torch.arange(40), kind([8, 6], "w", replace), batch_size=9, seed=3, shuffle=True,
            num_workers=workers,
        )  # fmt: skip
        found.append(
            [
                x
                for inputs, _, blocks in loader
                for block in blocks
                for x in (inputs, block.edata[hf.EID], block.edata["edge_weights"])
            ]
        )
    for other in found[1:]:
        assert len(found[0]) == len(other)
        assert all(map(torch.equal, found[0], other))


def test_excluded_edges_duplicates_and_nothing():
    g = graph()
    sampler = LadiesSampler([-1, -1], "w")
    all_of = torch.arange(0, 300, 2)
    _, outputs, blocks = sampler.sample(g, [3, 3, 38], exclude_eids=all_of)
    assert outputs.tolist() == [3, 38]
    assert blocks[-1].seed_inverse.tolist() == [0, 0, 1]
    for block in blocks:
        eids = block.edata[hf.EID]
        assert bool((eids % 2 == 1).all())
        assert torch.equal(block.edata["edge_weights"], g.edata["w"][eids])
    empty = hf.graph(([], []), num_nodes=3)
    for kind in (LadiesSampler, FastGCNSampler):
        inputs, _, (block,) = kind([4]).sample(empty, [2, 0])
        assert inputs.tolist() == [2, 0]
        assert block.num_edges() == 0
        _, _, (block,) = kind([0]).sample(g, [1])
        assert block.num_edges() == 0


def test_errors():
    g = graph()
    for kind, message, args in [
        (TypeError, "nodes_per_layer: expected a list", (5,)),
        (ValueError, r"nodes_per_layer\[1\]", ([5, -2],)),
        (TypeError, "expected one int a layer, got a dict", ([{"e": 1}],)),
    ]:
        with pytest.raises(kind, match=message):
            LadiesSampler(*args)
    with pytest.raises(KeyError, match="edge column 'x'"):
        LadiesSampler([5], "x").sample(g, [1])
    with pytest.raises(ValueError, match="edge_weight: expected one number for each of the 300"):
        LadiesSampler([5], torch.ones(3)).sample(g, [1])
    bad = torch.ones(300)
    bad[7] = float("nan")
    with pytest.raises(ValueError, match="expected finite weights, got nan for edge 7"):
        LadiesSampler([5], bad).sample(g, [1])
    typed, sampler = hf.heterograph({("a", "r", "b"): ([0], [0])}), LadiesSampler([5])
    with pytest.raises(TypeError, match="of one type of nodes"):
        sampler.sample(typed, {"b": [0]})
