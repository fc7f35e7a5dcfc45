"""Subgraphs of seeds and their nodes of largest personalised PageRank: which nodes these are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import IDS, typed_graph
from subgraph_batches import SEEDS, assert_induced

import hopflow as hf
from hopflow.dataloading import PPRSampler

pytestmark = pytest.mark.cpu_only


def nodes_around(graph: hf.Graph, seeds: list[int], k: int, **options: Any) -> list[int]:
    """The seeds, and what the function finds for each in turn."""
    found = hf.sampling.ppr_neighbors(graph, seeds, k, **options)
    return list(dict.fromkeys([*seeds, *found.edges()[0].tolist()]))


@pytest.mark.parametrize("idtype", IDS)
def test_has_the_nodes_that_the_function_finds(small_graph, idtype):
    graph = small_graph.int() if idtype == torch.int32 else small_graph
    nodes, _, part = PPRSampler(7, 0.3, 1e-3).sample(graph, SEEDS)
    wanted = nodes_around(graph, SEEDS.tolist(), 7, alpha=0.3, epsilon=1e-3)
    assert nodes.tolist() == part.ndata[hf.NID].tolist() == wanted
    assert len(wanted) > 20


def test_excluded_edges_are_not_walked(small_graph):
    gone = small_graph.in_edges(SEEDS, form="eid")[::3]
    nodes, _, _ = PPRSampler(9).sample(small_graph, SEEDS, exclude_eids=gone)
    assert nodes.tolist() == nodes_around(small_graph, SEEDS.tolist(), 9, exclude_edges=gone)
    assert nodes.tolist() != nodes_around(small_graph, SEEDS.tolist(), 9)


def test_walks_go_by_weight_among_all_edges(small_graph):
    for prob in ("weight", small_graph.edata["weight"]):
        nodes, _, part = PPRSampler(5, prob=prob).sample(small_graph, SEEDS)
        assert nodes.tolist() == nodes_around(small_graph, SEEDS.tolist(), 5, prob="weight")
        assert_induced(small_graph, part)


def test_no_neighbors_are_the_seeds_alone(small_graph):
    nodes, _, part = PPRSampler(0).sample(small_graph, SEEDS)
    assert torch.equal(nodes, SEEDS)
    assert_induced(small_graph, part)


def test_is_named():
    sampler = PPRSampler(4, 0.2, 1e-3, prob="weight")
    assert repr(sampler) == "PPRSampler(4, alpha=0.2, epsilon=0.001, prob='weight')"


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="num_neighbors: expected at least 0, got -1"):
        PPRSampler(-1)
    with pytest.raises(TypeError, match="num_neighbors: expected an int, got list"):
        PPRSampler([10, 5])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="alpha: expected a number from 1e-06 to 1, got 2"):
        PPRSampler(3, alpha=2)
    with pytest.raises(ValueError, match="epsilon: expected a finite number"):
        PPRSampler(3, epsilon=-1e-4)
    with pytest.raises(ValueError, match="one node type"):
        PPRSampler(3).sample(typed_graph(), {"user": [0]})
