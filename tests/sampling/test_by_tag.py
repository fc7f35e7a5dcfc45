"""Neighbours drawn by tag and by edge type: the law, the offsets, mistakes."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch

import hopflow as hf
from hopflow import sampling

SIGMAS = 4.9  # a normal bound of 1e-6


def inclusion(weights: list[float], k: int) -> torch.Tensor:
    """The probability that each edge is among k draws without replacement by weight."""
    chances = torch.zeros(len(weights), dtype=torch.float64)
    for order in permutations(range(len(weights)), k):
        chance, rest = 1.0, sum(weights)
        for edge in order:
            chance *= weights[edge] / rest
            rest -= weights[edge]
        chances[list(order)] += chance
    return chances


def copies(edge_dir: str, count: int) -> hf.Graph:
    """``count`` nodes with five neighbours each, of tags 1, 0, 2, 0, 1."""
    near = torch.arange(count).repeat_interleave(5)
    far = count + torch.arange(5).repeat(count)
    ends = (far, near) if edge_dir == "in" else (near, far)
    graph = hf.graph(ends, num_nodes=count + 5)
    tags = torch.cat([torch.zeros(count, dtype=torch.int64), torch.tensor([1, 0, 2, 0, 1])])
    return (hf.sort_csc_by_tag if edge_dir == "in" else hf.sort_csr_by_tag)(graph, tags)


@pytest.mark.cpu_only
@pytest.mark.parametrize("edge_dir", ["in", "out"])
@pytest.mark.parametrize("replace", [False, True])
def test_the_law(edge_dir, replace):
    torch.manual_seed(0)
    count = 20_000
    graph = copies(edge_dir, count)
    part = sampling.sample_neighbors_biased(
        graph, range(count), 2, [0.5, 2.0, 1.0], edge_dir=edge_dir, replace=replace
    )
    weights = [2.0, 0.5, 1.0, 0.5, 2.0]
    kept = torch.bincount(part.edata[hf.EID] % 5, minlength=5).double()
    if replace:
        p = torch.tensor(weights, dtype=torch.float64) / sum(weights)
        expected, spread = 2 * count * p, (2 * count * p * (1 - p)).sqrt()
    else:
        p = inclusion(weights, 2)
        expected, spread = count * p, (count * p * (1 - p)).sqrt()
        assert len(set(part.edata[hf.EID].tolist())) == 2 * count
    assert part.num_edges() == 2 * count
    assert bool(((kept - expected).abs() < SIGMAS * spread).all())


def test_biases_of_zero_and_all_edges():
    graph = copies("in", 3)
    part = graph.sample_neighbors_biased([0, 2, 0], -1, torch.tensor([0.0, 1.0, 1.0, 9.0]))
    assert sorted((part.edata[hf.EID] % 5).tolist()) == [0, 0, 2, 2, 4, 4]
    part = graph.sample_neighbors_biased([1], 3, [1.0, 0.0, 0.0])
    assert sorted((part.edata[hf.EID] % 5).tolist()) == [1, 3]
    assert graph.sample_neighbors_biased([4], 3, [1.0, 1.0, 1.0]).num_edges() == 0
    torch.manual_seed(1)
    first = graph.sample_neighbors_biased([0, 1, 2], 1, [1.0, 1.0, 1.0]).edata[hf.EID]
    torch.manual_seed(1)
    assert torch.equal(
        graph.sample_neighbors_biased([0, 1, 2], 1, [1.0, 1.0, 1.0]).edata[hf.EID], first
    )


def test_mistakes_of_biases(small_graph):
    graph = copies("in", 3)
    for options, error, message in (
        ({"bias": [1.0, 1.0]}, ValueError, "bias: expected one number for each of 3 tags"),
        ({"bias": [[1.0, 1.0, 1.0]]}, ValueError, "bias: expected one number"),
        ({"bias": [1.0, -1.0, 1.0]}, ValueError, "bias: expected finite weights >= 0, got -1.0"),
        ({"bias": [1.0, float("nan"), 1.0]}, ValueError, "got nan for tag 1"),
        ({"fanout": -3}, ValueError, "fanout"),
        ({"nodes": [80]}, IndexError, "nodes"),
        ({"edge_dir": "x"}, ValueError, "edge_dir"),
        ({"tag_offset_name": "other"}, KeyError, "no edge column 'other'"),
    ):
        with pytest.raises(error, match=message):
            graph.sample_neighbors_biased(
                **{"nodes": [0], "fanout": 1, "bias": [1.0, 1.0, 1.0], **options}
            )


def merged() -> tuple[hf.Graph, list[int]]:
    """Two types of edges merged: 40 of the first, 60 of the second."""
    generator = torch.Generator().manual_seed(0)
    src, dst = (torch.randint(12, (100,), generator=generator) for _ in range(2))
    return hf.graph((src, dst), num_nodes=13), [0, 40, 100]


@pytest.mark.parametrize("edge_dir", ["in", "out"])
@pytest.mark.parametrize("fanouts", [[2, 1], [-1, 0], [1, -1], [50, 50]])
def test_edges_of_each_type(edge_dir, fanouts):
    graph, offsets = merged()
    near = 1 if edge_dir == "in" else 0
    for given in (offsets, offsets[:2], torch.tensor(offsets)):
        part = graph.sample_etype_neighbors(
            range(13), given, torch.tensor(fanouts), edge_dir=edge_dir
        )
        eids = part.edata[hf.EID]
        assert len(set(eids.tolist())) == len(eids)
        assert all(torch.equal(a, b) for a, b in zip(part.edges(), graph.find_edges(eids)))
        for t, fanout in enumerate(fanouts):
            is_of_type = (torch.arange(100) >= offsets[t]) & (torch.arange(100) < offsets[t + 1])
            degrees = torch.bincount(graph.edges()[near][is_of_type], minlength=13)
            kept = torch.bincount(part.edges()[near][is_of_type[eids]], minlength=13)
            assert torch.equal(kept, degrees if fanout < 0 else degrees.clamp(max=fanout))


def test_types_are_drawn_by_weight():
    torch.manual_seed(0)
    count = 20_000
    near = torch.arange(count).repeat_interleave(2)
    far = count + torch.arange(4).repeat(count)
    graph = hf.graph(  # two edges of each of two types
        (far, torch.cat([near, near])), num_nodes=count + 4
    )
    weights = torch.tensor([1.0, 3.0]).repeat(2 * count)
    graph.edata["w"] = weights
    for prob in ("w", [weights], weights):
        part = graph.sample_etype_neighbors(range(count), [0, 2 * count], [1, 1], prob=prob)
        assert part.num_edges() == 2 * count
        for of_type in (part.edata[hf.EID] < 2 * count, part.edata[hf.EID] >= 2 * count):
            heavy = int((part.edata[hf.EID][of_type] % 2).sum())
            assert abs(heavy - 0.75 * count) < SIGMAS * (count * 3 / 16) ** 0.5
    masked = graph.sample_etype_neighbors(range(count), [0, 2 * count], [2, 2], prob=weights > 2)
    assert masked.num_edges() == 2 * count


def test_mistakes_of_types():
    graph, offsets = merged()
    for options, error, message in (
        ({"fanout": [1]}, ValueError, "fanout: expected a number for each of the 3 types"),
        ({"fanout": []}, ValueError, "fanout"),
        ({"fanout": [1, -2]}, ValueError, r"fanout\[1\]"),
        ({"etype_offset": [0, 50, 90]}, ValueError, "etype_offset: expected the first edge id"),
        ({"etype_offset": [50, 0]}, ValueError, "etype_offset"),
        ({"prob": [torch.ones(100)] * 2}, ValueError, "prob: expected a list of one tensor"),
        ({"prob": torch.ones(3)}, ValueError, "prob"),
        ({"prob": -torch.ones(100)}, ValueError, "prob: expected finite weights"),
    ):
        with pytest.raises(error, match=message):
            graph.sample_etype_neighbors(
                **{"nodes": range(13), "etype_offset": offsets, "fanout": [1, 1], **options}
            )


@pytest.mark.parametrize("tags", [torch.tensor([0, 1, -1]), torch.rand(3), torch.ones(3, 2).long()])
def test_a_column_that_holds_no_tags_is_refused(tags):
    g = hf.sort_csc_by_tag(hf.graph(([0, 1, 2], [2, 2, 2])), torch.tensor([0, 1, 1]))
    g.edata["_TAG_OFFSET"] = tags
    with pytest.raises(ValueError, match="expected a tag >= 0"):
        hf.sampling.sample_neighbors_biased(g, [2], 1, [1.0, 2.0])


def test_types_of_edges_that_are_not_there_are_refused():
    g = hf.graph(([0, 1, 2], [2, 2, 2]))
    with pytest.raises(ValueError, match="at most 3"):
        hf.sampling.sample_etype_neighbors(g, [2], [0, 4], [1, 1])
    with pytest.raises(TypeError, match="fanout: expected one number for each type"):
        hf.sampling.sample_etype_neighbors(g, [2], [0, 1], 3)
