"""Subgraphs of seeds and their nodes of largest personalised PageRank."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from helpers import IDS, typed_graph
from test_subgraph_samplers import assert_induced, ids

import hopflow as hf
from hopflow.dataloading import (
    DataLoader,
    PPRSampler,
    as_edge_prediction_sampler,
    negative_sampler,
)

pytestmark = pytest.mark.cpu_only
SEEDS = torch.tensor([5, 190, 17, 3, 60])


def nodes_around(graph: hf.Graph, seeds: list[int], k: int, **options: Any) -> list[int]:
    """The seeds, and what the function finds for each in turn."""
    found = hf.sampling.ppr_neighbors(graph, seeds, k, **options)
    return list(dict.fromkeys([*seeds, *found.edges()[0].tolist()]))


@pytest.mark.parametrize("idtype", IDS)
def test_is_the_subgraph_of_the_nodes_found(small_graph, idtype):
    graph = small_graph.int() if idtype == torch.int32 else small_graph
    nodes, seeds, part = PPRSampler(7, 0.3, 1e-3).sample(graph, SEEDS)
    assert nodes.dtype == seeds.dtype == part.idtype == idtype
    assert torch.equal(seeds.long(), SEEDS)
    wanted = nodes_around(graph, SEEDS.tolist(), 7, alpha=0.3, epsilon=1e-3)
    assert nodes.tolist() == part.ndata[hf.NID].tolist() == wanted
    assert len(wanted) > 20
    assert_induced(graph, part)
    assert part.seed_inverse is None


def test_excluded_edges_are_neither_walked_nor_kept(small_graph):
    gone = small_graph.in_edges(SEEDS, form="eid")[::3]
    nodes, _, part = PPRSampler(9).sample(small_graph, SEEDS, exclude_eids=gone)
    assert nodes.tolist() == nodes_around(small_graph, SEEDS.tolist(), 9, exclude_edges=gone)
    assert nodes.tolist() != nodes_around(small_graph, SEEDS.tolist(), 9)
    assert_induced(small_graph, part, gone)


def test_walks_go_by_weight_among_all_edges(small_graph):
    for prob in ("weight", small_graph.edata["weight"]):
        nodes, _, part = PPRSampler(5, prob=prob).sample(small_graph, SEEDS)
        assert nodes.tolist() == nodes_around(small_graph, SEEDS.tolist(), 5, prob="weight")
        assert_induced(small_graph, part)


def test_duplicates_and_nodes_without_edges(small_graph):
    given = torch.tensor([190, 5, 190, 7, 5])
    sampler = PPRSampler(2)
    _, seeds, part = sampler.sample(small_graph, given)
    assert seeds.tolist() == [190, 5, 7]
    assert part.seed_inverse.tolist() == [0, 1, 0, 2, 1]
    _, seeds, part = sampler.sample(small_graph, {"_N": given})
    assert seeds["_N"].tolist() == [190, 5, 7]
    assert part.seed_inverse["_N"].tolist() == [0, 1, 0, 2, 1]
    nodes, _, part = sampler.sample(small_graph, [190, 195])
    assert (nodes.tolist(), part.num_edges()) == ([190, 195], 0)
    for none in ([], {}):
        _, _, part = sampler.sample(small_graph, none)
        assert (part.num_nodes(), part.num_edges()) == (0, 0)
    nodes, _, part = PPRSampler(0).sample(small_graph, SEEDS)
    assert torch.equal(nodes, SEEDS)
    assert_induced(small_graph, part)


def test_trains_any_depth_in_a_loader(small_graph):
    sampler = PPRSampler(6, prefetch_node_feats=["feat"], prefetch_edge_feats=["weight"])
    conv = hf.nn.SAGEConv(5, 5, "mean")
    for nodes, seeds, part in DataLoader(small_graph, torch.arange(40), sampler, batch_size=16):
        frame = part.node_frame()
        assert frame.is_read("feat")
        assert part.edge_frame.is_read("weight")
        assert not frame.is_read("label")
        h = part.ndata["feat"]
        for _ in range(4):
            h = conv(part, h)
        h[: len(seeds)].sum().backward()
        assert len(nodes) == part.num_nodes()
    assert conv.fc_neigh.weight.grad.abs().sum() > 0


def test_batches_do_not_depend_on_workers(small_graph):
    made = []
    for num_workers in (0, 2):
        loader = DataLoader(
            small_graph, torch.arange(180), PPRSampler(8), batch_size=25, shuffle=True, seed=3,
            num_workers=num_workers,
        )  # fmt: skip
        made.append([ids(part) for _ in range(2) for _, _, part in loader])
    assert made[0] == made[1]
    assert made[0][:8] != made[0][8:]  # in another order in the next epoch


def test_predicts_edges(small_graph):
    sampler = as_edge_prediction_sampler(
        PPRSampler(8), exclude="self", negative_sampler=negative_sampler.Uniform(2)
    )
    loader = DataLoader(small_graph, torch.arange(30), sampler, batch_size=10)
    for batch, (nodes, pairs, negatives, part) in enumerate(loader):
        eids = torch.arange(10 * batch, 10 * batch + 10)
        assert torch.equal(pairs.edata[hf.EID], eids)
        assert negatives.num_edges() == 20
        assert torch.equal(nodes[: pairs.num_nodes()], pairs.ndata[hf.NID])
        assert_induced(small_graph, part, eids)


def test_is_pickled_and_named(small_graph):
    sampler = PPRSampler(4, 0.2, 1e-3, prob="weight")
    assert repr(sampler) == "PPRSampler(4, alpha=0.2, epsilon=0.001, prob='weight')"
    copy = pickle.loads(pickle.dumps(sampler))
    assert repr(copy) == repr(sampler)
    assert ids(copy.sample(small_graph, [1, 2])[2]) == ids(sampler.sample(small_graph, [1, 2])[2])


def test_mistakes_are_named(small_graph):
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
    with pytest.raises(IndexError, match=r"seed_nodes\[1\] is 200"):
        PPRSampler(3).sample(small_graph, [0, 200])
    with pytest.raises(IndexError, match=r"exclude_eids\[0\] is -1"):
        PPRSampler(3).sample(small_graph, [0], exclude_eids=[-1])
    with pytest.raises(ValueError, match="output_device: expected None or the graph's"):
        PPRSampler(3, output_device="meta").sample(small_graph, [0])
    with pytest.raises(KeyError, match="nothing"):
        PPRSampler(3, prefetch_node_feats=["nothing"]).sample(small_graph, [0])
