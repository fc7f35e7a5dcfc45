"""Samplers of the subgraph around a batch's seeds, ShaDow and by PageRank: what both promise."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from helpers import IDS, typed_graph
from subgraph_batches import SEEDS, assert_induced, ids

import hopflow as hf
from hopflow.dataloading import (
    DataLoader,
    NeighborSampler,
    PPRSampler,
    ShaDowKHopSampler,
    as_edge_prediction_sampler,
    negative_sampler,
)

both = pytest.mark.parametrize(
    "make",
    [
        pytest.param(partial(ShaDowKHopSampler, [-1, 4]), id="shadow"),
        pytest.param(partial(PPRSampler, 8), id="ppr", marks=pytest.mark.cpu_only),
    ],
)


@both
@pytest.mark.parametrize("idtype", IDS)
def test_is_the_subgraph_around_the_seeds(small_graph, idtype, make):
    graph = small_graph.int() if idtype == torch.int32 else small_graph
    nodes, seeds, part = make().sample(graph, SEEDS)
    assert nodes.dtype == seeds.dtype == part.idtype == idtype
    assert torch.equal(seeds.long(), SEEDS)
    assert torch.equal(nodes[:5], seeds)
    assert len(nodes) > 20
    assert torch.equal(part.ndata[hf.NID], nodes)
    assert_induced(graph, part)
    assert part.seed_inverse is None


@both
def test_excluded_edges_are_left_out(small_graph, make):
    gone = small_graph.in_edges(SEEDS, form="eid")[::3]
    _, _, part = make().sample(small_graph, SEEDS, exclude_eids=gone)
    assert_induced(small_graph, part, gone)


@both
def test_duplicates_and_nodes_without_edges(small_graph, make):
    given = torch.tensor([190, 5, 190, 7, 5])
    sampler = make()
    _, seeds, part = sampler.sample(small_graph, given)
    assert seeds.tolist() == [190, 5, 7]
    assert part.seed_inverse.tolist() == [0, 1, 0, 2, 1]
    _, seeds, part = sampler.sample(small_graph, {"_N": given})
    assert seeds["_N"].tolist() == [190, 5, 7]
    assert part.seed_inverse["_N"].tolist() == [0, 1, 0, 2, 1]
    _, seeds, part = sampler.sample(small_graph, {"_N": [5, 7]})
    assert seeds["_N"].tolist() == [5, 7]
    assert part.seed_inverse is None
    nodes, _, part = sampler.sample(small_graph, [190, 195])
    assert (nodes.tolist(), part.num_edges()) == ([190, 195], 0)
    for none in ([], {}):
        _, _, part = sampler.sample(small_graph, none)
        assert (part.num_nodes(), part.num_edges()) == (0, 0)


@both
def test_trains_any_depth_in_a_loader(small_graph, make):
    sampler = make(prefetch_node_feats=["feat"], prefetch_edge_feats=["weight"])
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


@both
def test_batches_do_not_depend_on_workers(small_graph, make):
    made = []
    for num_workers in (0, 2):
        loader = DataLoader(
            small_graph, torch.arange(180), make(), batch_size=25, shuffle=True, seed=3,
            num_workers=num_workers,
        )  # fmt: skip
        made.append([ids(part) for _ in range(2) for _, _, part in loader])
    assert made[0] == made[1]
    assert made[0][:8] != made[0][8:]  # in another order in the next epoch


@both
def test_predicts_edges(small_graph, make):
    sampler = as_edge_prediction_sampler(
        make(), exclude="self", negative_sampler=negative_sampler.Uniform(2)
    )
    loader = DataLoader(small_graph, torch.arange(30), sampler, batch_size=10)
    for batch, (nodes, pairs, negatives, part) in enumerate(loader):
        eids = torch.arange(10 * batch, 10 * batch + 10)
        assert torch.equal(pairs.edata[hf.EID], eids)
        assert negatives.num_edges() == 20
        assert torch.equal(nodes[: pairs.num_nodes()], pairs.ndata[hf.NID])
        assert_induced(small_graph, part, eids)


@both
def test_batches_that_cannot_be_are_named(small_graph, make):
    def sample(seeds: Any = (0,), exclude_eids: Any = None, **options: Any) -> Any:
        return make(**options).sample(small_graph, seeds, exclude_eids)

    with pytest.raises(IndexError, match=r"seed_nodes\[1\] is 200"):
        sample([0, 200])
    with pytest.raises(IndexError, match=r"exclude_eids\[0\] is -1"):
        sample(exclude_eids=[-1])
    with pytest.raises(ValueError, match="output_device: expected None or the graph's"):
        sample(output_device="meta")
    with pytest.raises(KeyError, match="nothing"):
        sample(prefetch_node_feats=["nothing"])
    with pytest.raises(TypeError, match=r"expected a hopflow\.Graph, got int"):
        make().sample(3, [0])


# --- ShaDow alone


@pytest.mark.parametrize("idtype", IDS)
def test_shadow_has_the_nodes_that_a_neighbor_sampler_reaches(small_graph, idtype):
    graph = small_graph.int() if idtype == torch.int32 else small_graph
    torch.manual_seed(4)
    nodes, _, part = ShaDowKHopSampler([3, 2]).sample(graph, SEEDS)
    torch.manual_seed(4)
    wanted, _, _ = NeighborSampler([3, 2]).sample(graph, SEEDS)
    assert torch.equal(nodes, wanted)
    assert_induced(graph, part)


def test_shadow_by_type():
    graph = typed_graph()
    seeds = {"user": torch.arange(6), "game": torch.arange(3)}
    nodes, given, part = ShaDowKHopSampler([2, 3]).sample(graph, seeds)
    assert {name: x.tolist() for name, x in given.items()} == {
        name: x.tolist() for name, x in seeds.items()
    }
    for (src_type, name, dst_type), one in part.relations.items():
        whole = graph[src_type, name, dst_type]
        src, dst = (x.long() for x in whole.edges())
        among = torch.isin(src, nodes[src_type]) & torch.isin(dst, nodes[dst_type])
        eids = one.edata[hf.EID]
        assert torch.equal(eids.sort().values, among.nonzero().squeeze(1))
        u, v = (x.long() for x in one.edges())
        assert torch.equal(nodes[src_type][u], src[eids])
        assert torch.equal(nodes[dst_type][v], dst[eids])
