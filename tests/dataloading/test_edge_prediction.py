"""Batches of edges and negative pairs; expected values are DGL 2.1's where it gives right ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers import ends, ten_edges
from scipy import stats

import hopflow as hf
from hopflow.dataloading import (
    DataLoader,
    NeighborSampler,
    as_edge_prediction_sampler,
    find_exclude_eids,
)
from hopflow.dataloading.negative_sampler import GlobalUniform, PerSourceUniform, Uniform
from hopflow.sampling.negatives import random_nodes

SHORT = torch.arange(3)


@pytest.fixture(params=[torch.int32, torch.int64], ids=["int32", "int64"])
def graph(request):
    return ten_edges(request.param)


def negatives(g, edges):
    src, _ = g.find_edges(edges)
    return src.repeat_interleave(2), torch.tensor([6, 4] * len(edges), dtype=src.dtype)


def test_pairs_and_blocks(graph):
    sampler = as_edge_prediction_sampler(
        NeighborSampler([-1]), exclude="self", prefetch_labels=["w"]
    )
    input_nodes, pairs, blocks = sampler.sample(graph, torch.tensor([7, 4, 0]))
    assert input_nodes.tolist() == [0, 1, 5, 3]
    assert input_nodes.dtype == graph.idtype
    assert ends(pairs) == [[0, 1, 2], [3, 2, 0]]
    assert pairs.ndata[hf.NID].tolist() == [0, 1, 5, 3]
    assert pairs.ndata["x"].tolist() == [0, 1, 5, 3]
    # DGL 2.1 has these sorted here, beside edges that are not.
    assert pairs.edata[hf.EID].tolist() == [7, 4, 0]
    assert pairs.edata.is_read("w")
    assert pairs.edata["w"].tolist() == [7, 4, 0]
    (block,) = blocks
    assert block.dstdata[hf.NID].tolist() == [0, 1, 5, 3]
    assert sorted(block.edata[hf.EID].tolist()) == [1, 2, 3, 5, 9]


def test_negative_pairs_share_the_nodes(graph):
    sampler = as_edge_prediction_sampler(
        NeighborSampler([-1]), exclude="self", negative_sampler=negatives
    )
    input_nodes, positive, negative, blocks = sampler.sample(graph, torch.tensor([7, 4, 0]))
    assert input_nodes.tolist() == [0, 1, 5, 3, 6, 4]
    assert ends(positive) == [[0, 1, 2], [3, 2, 0]]
    assert ends(negative) == [[0, 0, 1, 1, 2, 2], [4, 5, 4, 5, 4, 5]]
    for g in (positive, negative):
        assert g.idtype == graph.idtype
        assert g.ndata[hf.NID].tolist() == [0, 1, 5, 3, 6, 4]
        assert g.ndata["x"].tolist() == [0, 1, 5, 3, 6, 4]
    assert sorted(blocks[0].edata[hf.EID].tolist()) == [1, 2, 3, 5, 8, 9]
    scores = hf.functional.u_dot_v(negative, *[torch.rand(6, 3)] * 2)
    assert scores.shape == (6, 1)


@pytest.mark.parametrize("exclude", ["self", "reverse_id", "function"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_no_batch_sees_what_it_predicts(small_graph, exclude, num_workers):
    both = hf.add_reverse_edges(small_graph, exclude_self=False)
    count = small_graph.num_edges()
    reverse = torch.arange(2 * count).roll(count)
    how = (lambda edges: reverse[edges.long()]) if exclude == "function" else exclude
    sampler = as_edge_prediction_sampler(NeighborSampler([3, 3]), exclude=how, reverse_eids=reverse)
    loader = DataLoader(
        both, torch.arange(count), sampler, batch_size=200, shuffle=True, num_workers=num_workers
    )
    seen = []
    for _, pairs, blocks in loader:
        edges = pairs.edata[hf.EID]
        src, dst = (pairs.ndata[hf.NID][x] for x in pairs.edges())
        assert torch.equal(torch.stack([src, dst]), torch.stack(both.find_edges(edges)))
        gone = {
            "self": edges,
            "reverse_id": torch.cat([edges, reverse[edges]]),
            "function": reverse[edges],
        }[exclude]
        for block in blocks:
            assert not torch.isin(block.edata[hf.EID], gone).any()
        assert torch.equal(blocks[-1].dstdata[hf.NID], pairs.ndata[hf.NID])
        seen.append(edges)
    assert torch.equal(torch.cat(seen).sort().values, torch.arange(count))


@pytest.mark.parametrize("negative_sampler", [Uniform(2), GlobalUniform(1)], ids=repr)
def test_batches_are_the_same_for_any_number_of_workers(small_graph, negative_sampler):
    def epochs(num_workers):
        torch.manual_seed(3)
        sampler = as_edge_prediction_sampler(
            NeighborSampler([3, 3]), "self", negative_sampler=negative_sampler
        )
        edges = torch.arange(0, small_graph.num_edges(), 2)
        loader = DataLoader(
            small_graph, edges, sampler, batch_size=100, shuffle=True, num_workers=num_workers
        )
        for _ in range(2):
            for input_nodes, positive, negative, blocks in loader:
                yield from (input_nodes, *positive.edges(), *negative.edges())
                yield from (block.edata[hf.EID] for block in blocks)

    expected = list(epochs(0))
    assert len(expected) > 20
    for num_workers in (1, 3):
        made = list(epochs(num_workers))
        assert len(made) == len(expected)
        assert all(torch.equal(a, b) for a, b in zip(made, expected, strict=True))


def test_sources_are_kept_and_destinations_are_uniform(graph):
    torch.manual_seed(0)
    src, dst = PerSourceUniform(3)(graph, torch.tensor([4, 0]))
    assert src.tolist() == [1, 1, 1, 5, 5, 5]
    assert (src.dtype, dst.dtype) == (graph.idtype, graph.idtype)
    _, dst = PerSourceUniform(7000)(graph, torch.tensor([4]))
    counts = torch.bincount(dst.long(), minlength=7)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


@pytest.mark.parametrize("exclude_self_loops", [True, False])
def test_pairs_that_are_no_edges_are_all_as_likely(graph, exclude_self_loops):
    torch.manual_seed(1)
    edges = set(zip(*ends(graph), strict=True))
    if exclude_self_loops:
        edges |= {(v, v) for v in range(7)}
    others = [(u, v) for u in range(7) for v in range(7) if (u, v) not in edges]
    src, dst = GlobalUniform(2000, exclude_self_loops, replace=True)(graph, torch.arange(10))
    assert src.shape == (20000,)
    numbers = torch.bincount(src.long() * 7 + dst.long(), minlength=49)
    assert numbers.sum() == sum(int(numbers[u * 7 + v]) for u, v in others)
    assert stats.chisquare([int(numbers[u * 7 + v]) for u, v in others]).pvalue > 1e-4
    # Without replacement there are as many as there can be.
    src, dst = GlobalUniform(100, exclude_self_loops)(graph, torch.arange(10))
    assert sorted(zip(src.tolist(), dst.tolist(), strict=True)) == others
    few = graph.global_uniform_negative_sampling(5, exclude_self_loops)
    assert few[0].shape == few[1].shape == (5,)
    assert few[0].dtype == graph.idtype


@pytest.mark.parametrize(("num_nodes", "replace"), [(7, False), (3, True)])
def test_the_draws_end_when_there_are_no_more(num_nodes, replace, monkeypatch):
    """Of 7 nodes there are 35 pairs left; of 3 all pairs are edges, one of them twice."""
    src, dst = torch.cartesian_prod(torch.arange(num_nodes), torch.arange(num_nodes)).T
    kept = slice(None) if replace else slice(0, 14)
    graph = hf.graph((torch.cat([src[kept], src[:1]]), torch.cat([dst[kept], dst[:1]])),
                     num_nodes=num_nodes)  # fmt: skip
    counts = []
    monkeypatch.setattr(
        "hopflow.sampling.negatives.random_nodes",
        lambda g, count, ntype: counts.append(count) or random_nodes(g, count, ntype),
    )
    found = graph.global_uniform_negative_sampling(100, False, replace)[0]
    assert found.shape == (0 if replace else 35,)
    assert 0 < sum(counts) < 200_000


@pytest.mark.parametrize("replace", [False, True])
def test_as_many_pairs_as_asked_for_come_of_dense_graphs(replace):
    torch.manual_seed(0)
    is_edge = torch.rand(200, 200) < 0.97
    graph = hf.graph(is_edge.nonzero(as_tuple=True), num_nodes=200)
    for wanted in (1, 100, 1000):
        src, dst = graph.global_uniform_negative_sampling(wanted, False, replace)
        assert src.shape == dst.shape == (wanted,)
        assert not is_edge[src, dst].any()
        assert replace or (src * 200 + dst).unique().shape == (wanted,)


def test_where_every_pair_is_an_edge_there_are_none():
    full = hf.graph(([0, 0, 1, 1], [0, 1, 0, 1]))
    assert GlobalUniform(3)(full, [0])[0].shape == (0,)
    empty = hf.graph(([], []), num_nodes=0)
    assert empty.global_uniform_negative_sampling(3)[0].shape == (0,)
    assert PerSourceUniform(2)(empty, [])[1].shape == (0,)


def test_link_prediction_learns():
    """Two communities: pairs within one come to score higher than pairs across."""
    torch.manual_seed(0)
    src = torch.randint(200, (3000,))
    dst = torch.randint(100, (3000,)) + src // 100 * 100
    graph = hf.add_reverse_edges(hf.graph((src, dst), num_nodes=200), exclude_self=False)
    graph.ndata["x"] = F.one_hot(torch.arange(200)).float()
    sampler = as_edge_prediction_sampler(
        NeighborSampler([5]),
        exclude="reverse_id",
        reverse_eids=torch.arange(6000).roll(3000),
        negative_sampler=Uniform(1),
    )
    layer = hf.nn.SAGEConv(200, 16, "mean")
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        for _, positive, negative, blocks in DataLoader(
            graph, torch.arange(3000), sampler, batch_size=256, shuffle=True
        ):
            h = layer(blocks[0], blocks[0].srcdata["x"])
            scores = torch.cat([hf.functional.u_dot_v(g, h, h) for g in (positive, negative)])
            wanted = torch.zeros_like(scores)
            wanted[: positive.num_edges()] = 1
            loss = F.binary_cross_entropy_with_logits(scores, wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < 0.6 < losses[0]
    with torch.no_grad():
        h = layer(graph, graph.ndata["x"])
        scores = h @ h.T
    assert scores[:100, :100].mean() > scores[:100, 100:].mean() + 1


def test_find_exclude_eids(graph):
    reverse = torch.arange(9, -1, -1)
    assert find_exclude_eids(graph, [1, 2], None) is None
    assert find_exclude_eids(graph, [1, 2], "self").tolist() == [1, 2]
    assert find_exclude_eids(graph, [1, 2], "reverse_id", reverse).tolist() == [1, 2, 8, 7]
    assert find_exclude_eids(graph, [1, 2], lambda e: e + 1).tolist() == [2, 3]
    assert find_exclude_eids(graph, [1, 2], lambda e: None) is None
    assert find_exclude_eids(graph, [1, 2], torch.tensor([5])).tolist() == [5]
    reverse[1] = -1
    found = find_exclude_eids(graph, [1, 2], "reverse_id", reverse)
    assert found.tolist() == [1, 2, 7]
    assert found.dtype == graph.idtype


class NeedsExclude(hf.dataloading.Sampler):
    def sample(self, g, indices, exclude_eids):
        assert exclude_eids is None
        return NeighborSampler([1]).sample(g, indices)


class Edges(hf.dataloading.Sampler):
    def sample(self, g, indices):
        return g.edge_subgraph(indices)


class NoExclude(hf.dataloading.Sampler):
    def sample(self, g, indices):
        return NeighborSampler([1]).sample(g, indices)


def test_a_sampler_of_ones_own(graph):
    with pytest.raises(TypeError, match=r"NoExclude\.sample takes no edges to exclude"):
        as_edge_prediction_sampler(NoExclude(), exclude="self")
    made = as_edge_prediction_sampler(NoExclude()).sample(graph, [2])
    assert made[1].num_edges() == 1
    # DGL hands over None.
    made = as_edge_prediction_sampler(NeedsExclude()).sample(graph, [2])
    assert made[1].num_edges() == 1


def test_a_loader_of_edges_for_a_sampler_of_ones_own(graph):
    """Such a sampler does not say what its indices are: they need not be nodes."""
    loader = DataLoader(graph, [9, 8, 7], Edges(), batch_size=2)
    assert [g.edata[hf.EID].tolist() for g in loader] == [[9, 8], [7]]
    for mask in ([True] + [False] * 6, torch.eye(7)[0].bool()):
        assert DataLoader(graph, mask, Edges()).indices.tolist() == [0]
    with pytest.raises(IndexError, match=r"edges\[0\] is 10, .* \(number of edges\)"):
        next(iter(DataLoader(graph, [10], Edges())))
    with pytest.raises(IndexError, match=r"indices\[0\] is -1"):
        DataLoader(graph, [-1], Edges())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s, g: as_edge_prediction_sampler(3), TypeError, "sampler: expected an object"),
        (
            lambda s, g: as_edge_prediction_sampler(s, "reverse"),
            ValueError,
            "exclude: expected None, 'self', 'reverse_id', .*edge ids or .* got 'reverse'",
        ),
        (
            lambda s, g: as_edge_prediction_sampler(s, "reverse_types"),
            ValueError,
            "reverse_etypes: expected the reverse of each edge type, got None",
        ),
        (lambda s, g: as_edge_prediction_sampler(s, "reverse_id"), ValueError, "reverse_eids: exp"),
        (
            lambda s, g: as_edge_prediction_sampler(s, reverse_etypes="a"),
            TypeError,
            "reverse_etypes: expected {edge type: its reverse type}, got str",
        ),
        (
            lambda s, g: as_edge_prediction_sampler(s, "reverse_id", torch.arange(3)).sample(
                g, [0]
            ),
            ValueError,
            "one id for each of the 10 edges, got 3",
        ),
        (
            lambda s, g: as_edge_prediction_sampler(s, negative_sampler=3),
            TypeError,
            "negative_sampler: expected a function",
        ),
        (
            lambda s, g: as_edge_prediction_sampler(
                s, negative_sampler=lambda g, e: (e, e[:0])
            ).sample(g, [0]),
            ValueError,
            "as many sources as destinations, got 1 and 0",
        ),
        (
            lambda s, g: as_edge_prediction_sampler(
                s, negative_sampler=lambda g, e: (e, e + 7)
            ).sample(g, [0]),
            IndexError,
            r"negative destinations\[0\] is 7",
        ),
        (
            lambda s, g: as_edge_prediction_sampler(s, negative_sampler=lambda g, e: e).sample(
                g, [0]
            ),
            TypeError,
            "expected it to return sources and destinations, got Tensor",
        ),
        (lambda s, g: as_edge_prediction_sampler(s).sample(g, [10]), IndexError, "seed_edges"),
        (
            lambda s, g: DataLoader(g, [10], as_edge_prediction_sampler(s)),
            IndexError,
            r"indices\[0\] is 10, expected 0 <= id < 10 \(number of edges\)",
        ),
        (
            lambda s, g: Uniform(1)(hf.to_block(hf.in_subgraph(g, [0])), [0]),
            ValueError,
            "expected a graph, got a block",
        ),
        (lambda s, g: Uniform(0), ValueError, "k: expected at least 1, got 0"),
        (lambda s, g: Uniform(1)(g, [11]), IndexError, r"eids\[0\] is 11"),
        (
            lambda s, g: g.global_uniform_negative_sampling(-1),
            ValueError,
            "num_samples: expected at least 0",
        ),
    ],
)
def test_errors(graph, call, error, message):
    with pytest.raises(error, match=message):
        call(NeighborSampler([2]), graph)
