"""SpotTarget: edges at nodes of low degree are left out, alone and in batches."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf
from hopflow.dataloading import NeighborSampler, SpotTarget, as_edge_prediction_sampler


def star() -> hf.Graph:
    """Node 0 with edges to and from 1 to 12, and 1 to and from 2."""
    src = torch.tensor([*range(1, 13), 1])
    dst = torch.tensor([0] * 12 + [2])
    return hf.graph((torch.cat([src, dst]), torch.cat([dst, src])))


@pytest.mark.parametrize("threshold", [1, 2, 3, 12, 13])
def test_low_degrees(threshold):
    graph = star()
    eids = torch.arange(26)
    found = SpotTarget(graph, "self", threshold)(eids)
    src, dst = graph.edges()
    low = torch.minimum(graph.in_degrees(src), graph.in_degrees(dst)) < threshold
    assert found.tolist() == eids[low].tolist()
    assert found.dtype == graph.idtype


def test_reverse_edges_and_one_edge():
    graph = star()
    reverse = (torch.arange(26) + 13) % 26
    excluder = SpotTarget(graph, "reverse_id", 2, reverse_eids=reverse)
    assert sorted(excluder(torch.tensor([3, 12])).tolist()) == [3, 16]
    assert excluder(torch.tensor([0])).tolist() == []
    assert excluder(torch.zeros(0, dtype=torch.int64)).tolist() == []


def test_in_batches():
    graph = star()
    sampler = as_edge_prediction_sampler(
        NeighborSampler([-1]), exclude=SpotTarget(graph, "self", 2)
    )
    _, _, (block,) = sampler.sample(graph, torch.tensor([3, 12]))
    left = set(block.edata[hf.EID].tolist())
    assert 3 not in left
    assert 12 in left


def test_mistakes():
    typed = hf.heterograph({("a", "x", "b"): ([0], [0])})
    with pytest.raises(ValueError, match="one node type"):
        SpotTarget(typed, "self")
    with pytest.raises(TypeError, match="degree_threshold"):
        SpotTarget(star(), "self", 0.5)
    with pytest.raises(IndexError):
        SpotTarget(star(), "self")([26])
