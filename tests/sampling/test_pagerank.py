"""Neighbours by personalised PageRank as a graph, against the operator and a power iteration."""

from __future__ import annotations

import pytest
import torch
from helpers import IDS, graph_form, typed_graph

import hopflow as hf
from hopflow import ops

pytestmark = pytest.mark.cpu_only


def ranks_of(graph: hf.Graph, seed: int, alpha: float, weights: torch.Tensor | None = None):
    """PageRank of all nodes by following the walk step by step, against the edges."""
    src, dst = (x.long() for x in graph.edges())
    share = torch.ones(len(src)).double() if weights is None else weights.double()
    total = torch.zeros(graph.num_nodes(), dtype=torch.float64).index_add_(0, dst, share)
    at = torch.zeros_like(total)
    at[seed], ended = 1, torch.zeros_like(total)
    for _ in range(400):
        stays = torch.where(total > 0, alpha, 1.0) * at
        ended, goes = ended + stays, at - stays
        at = torch.zeros_like(at).index_add_(0, src, goes[dst] * share / total[dst])
    return ended


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", ["graph", "sorted", "sampled", "shuffled", "no_edges"])
def test_edges_lead_from_the_nodes_of_largest_pagerank(form, idtype):
    graph = graph_form(form, idtype)
    given = torch.tensor([3, 0, 2, 3], dtype=idtype)
    found = hf.sampling.ppr_neighbors(graph, given, 4, alpha=0.3, epsilon=1e-12)
    assert found.idtype == idtype
    assert found.num_nodes() == graph.num_nodes()
    assert (found.ntypes, found.etypes) == (graph.ntypes, graph.etypes)
    src, dst = (x.tolist() for x in found.edges())
    scores = found.edata["weights"]
    assert scores.dtype == torch.float32
    at = 0
    for seed in (3, 0, 2):
        ranks = ranks_of(graph, seed, 0.3)
        count = min(4, int((ranks > 0).sum()))
        assert dst[at : at + count] == [seed] * count
        mine = torch.tensor(src[at : at + count])
        torch.testing.assert_close(scores[at : at + count], ranks[mine].float())
        torch.testing.assert_close(ranks[mine], ranks.sort(descending=True).values[:count])
        at += count
    assert at == len(src)
    assert found.in_degrees().sum() == at


def test_weights_masks_and_excluded_edges(small_graph):
    weight = small_graph.edata["weight"].clone()
    weight[::5] = 0
    small_graph.edata["w"], small_graph.edata["kept"] = weight, weight > 0
    alike = (weight > 0).float()
    for prob, share in (("w", weight), (weight, weight), ("kept", alike)):
        found = hf.sampling.ppr_neighbors(
            small_graph, [7], 5, 0.4, 1e-9, prob=prob, weight_column="rank"
        )
        ranks = ranks_of(small_graph, 7, 0.4, share)
        torch.testing.assert_close(
            found.edata["rank"], ranks.sort(descending=True).values[:5].float()
        )
    gone = (weight == 0).nonzero().squeeze(1)
    other = hf.sampling.ppr_neighbors(small_graph, [7], 5, 0.4, 1e-9, exclude_edges=gone)
    assert torch.equal(other.edges()[0], found.edges()[0])
    assert torch.equal(other.edata["weights"], found.edata["rank"])


def test_is_the_operator_and_serves_as_a_block(small_graph):
    seeds = torch.tensor([5, 190, 17])
    found = hf.sampling.ppr_neighbors(small_graph, seeds, 6)
    edges = small_graph.adjacency
    raw = ops.ppr_neighbors(edges.indptr, edges.indices, seeds, 6)
    assert torch.equal(found.edges()[0], raw.neighbors[raw.neighbors >= 0].long())
    assert found.in_degrees(seeds).tolist() == raw.counts.tolist() == [6, 1, 6]
    block = hf.to_block(found, seeds)
    feat = small_graph.ndata["feat"][block.srcdata[hf.NID]]
    mixed = hf.functional.u_mul_e_sum(block, feat, block.edata["weights"].unsqueeze(1))
    expected = (raw.scores.unsqueeze(2) * small_graph.ndata["feat"][raw.neighbors].double()).sum(1)
    torch.testing.assert_close(mixed.double(), expected, rtol=1e-5, atol=1e-6)


def test_no_nodes_and_no_neighbours(small_graph):
    for nodes, k in (([], 3), ([4, 9], 0)):
        found = hf.sampling.ppr_neighbors(small_graph, nodes, k)
        assert (found.num_nodes(), found.num_edges()) == (200, 0)
        assert found.edata["weights"].shape == (0,)


def test_mistakes_are_named(small_graph):
    find = hf.sampling.ppr_neighbors
    with pytest.raises(IndexError, match=r"nodes\[0\] is 200"):
        find(small_graph, [200], 3)
    with pytest.raises(ValueError, match="one node type"):
        find(typed_graph(), [0], 3)
    with pytest.raises(TypeError, match=r"expected a hopflow\.Graph"):
        find("graph", [0], 3)
    with pytest.raises(KeyError, match="nothing"):
        find(small_graph, [0], 3, prob="nothing")
    with pytest.raises(ValueError, match="prob: expected finite weights >= 0, got -1"):
        find(small_graph, [0], 3, prob=torch.full((2000,), -1.0))
    with pytest.raises(IndexError, match=r"exclude_edges\[0\] is 2000"):
        find(small_graph, [0], 3, exclude_edges=[2000])
    with pytest.raises(ValueError, match="epsilon: expected a finite number of at least 1e-15"):
        find(small_graph, [0], 3, epsilon=0)
