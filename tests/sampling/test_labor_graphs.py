"""sample_labors on graphs: what it returns, types, columns, mistakes."""

from __future__ import annotations

import itertools

import pytest
import torch

import hopflow as hf
from hopflow import sampling


def typed_graph() -> hf.Graph:
    """Two relations from type a, and one within b."""
    generator = torch.Generator().manual_seed(0)

    def some(num_src: int, num_dst: int, count: int):
        return tuple(torch.randint(n, (count,), generator=generator) for n in (num_src, num_dst))

    return hf.heterograph(
        {("a", "x", "b"): some(30, 9, 200), ("a", "y", "c"): some(30, 5, 90),
         ("b", "z", "b"): some(9, 9, 60)},
        {"a": 30, "b": 9, "c": 5},
    )  # fmt: skip


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("edge_dir", ["in", "out"])
@pytest.mark.parametrize("fanout", [-1, 0, 2, 1000])
def test_edges_are_the_graphs(small_graph, idtype, edge_dir, fanout):
    graph = small_graph._as_idtype(idtype)
    graph.edata["w"] = torch.rand(graph.num_edges())
    seeds = [5, 190, 17, 3, 5, 60]
    part, importances = sampling.sample_labors(graph, seeds, fanout, edge_dir=edge_dir)
    assert part.num_nodes() == graph.num_nodes()
    assert part.idtype == part.edata[hf.EID].dtype == idtype
    eids = part.edata[hf.EID]
    assert len(set(eids.tolist())) == len(eids)
    assert all(torch.equal(a, b) for a, b in zip(part.edges(), graph.find_edges(eids)))
    near = part.edges()[1 if edge_dir == "in" else 0]
    assert set(near.tolist()) <= set(seeds)
    assert torch.equal(part.edata["w"], graph.edata["w"][eids.long()])
    assert [x.shape[0] for x in importances] == [0]
    if fanout in (-1, 1000):
        degree = (graph.in_degrees if edge_dir == "in" else graph.out_degrees)(sorted(set(seeds)))
        assert part.num_edges() == int(degree.sum())
    assert fanout != 0 or part.num_edges() == 0
    assert torch.equal(
        graph.sample_labors(seeds, fanout, edge_dir=edge_dir, random_seed=3)[0].edata[hf.EID],
        graph.sample_labors(seeds, fanout, edge_dir=edge_dir, random_seed=torch.tensor([3]))[
            0
        ].edata[hf.EID],
    )


def test_the_stream_of_torch(small_graph):
    def drawn():
        return small_graph.sample_labors(range(100), 3)[0].edata[hf.EID]

    torch.manual_seed(3)
    first, other = drawn(), drawn()
    assert not torch.equal(first, other)
    torch.manual_seed(3)
    assert torch.equal(drawn(), first)


def test_seeds_and_their_shares(small_graph):
    def drawn(seed, share=0.0):
        part, _ = small_graph.sample_labors(
            range(150), 2, random_seed=seed, seed2_contribution=share
        )
        return set(part.edata[hf.EID].tolist())

    pair = torch.tensor([1, 2])
    assert drawn(pair) == drawn(1)
    assert drawn(pair, 1.0) == drawn(2)
    half = drawn(pair, 0.5)
    assert half not in (drawn(1), drawn(2))
    assert len(half & (drawn(1) | drawn(2))) == len(half)


@pytest.mark.cpu_only
def test_types_share_the_numbers_of_their_sources():
    graph = typed_graph()
    seeds = {"b": range(9), "c": range(5)}
    for seed in range(5):
        part, importances = graph.sample_labors(
            seeds, {"x": 4, "y": 3, "z": 2}, random_seed=seed, importance_sampling=1
        )
        for relation, weights in zip(graph.canonical_etypes, importances):
            assert weights.shape[0] == part.num_edges(relation)
        # Alone, the relations keep what they kept together.
        for name, fanout in (("x", 4), ("y", 3)):
            alone, _ = graph.sample_labors(
                seeds, {e: fanout if e == name else 0 for e in "xyz"}, random_seed=seed,
                importance_sampling=1,
            )  # fmt: skip
            assert torch.equal(alone.edges[name].data[hf.EID], part.edges[name].data[hf.EID])
    # Node t of a has one number in x and in y: whether it is kept is told by the greater chance.
    x, y = graph["x"], graph["y"]
    found = 0
    for t, u, v in itertools.product(range(30), range(9), range(5)):
        if found == 4:
            break
        if not (x.has_edges_between(t, u) and y.has_edges_between(t, v)):
            continue
        if int(x.in_degrees(u)) <= 4 or int(y.in_degrees(v)) <= 3:
            continue
        found += 1
        chances = 4 / int(x.in_degrees(u)), 3 / int(y.in_degrees(v))
        for seed in range(12):
            part, _ = graph.sample_labors(
                {"b": [u], "c": [v]}, {"x": 4, "y": 3, "z": 0}, random_seed=seed
            )
            kept = part["x"].has_edges_between(t, u), part["y"].has_edges_between(t, v)
            assert not (kept[0] and not kept[1]) or chances[0] > chances[1]
            assert not (kept[1] and not kept[0]) or chances[1] > chances[0]
    assert found == 4


def test_weights_masks_and_edges_left_out(small_graph):
    num_edges = small_graph.num_edges()
    weights = torch.rand(num_edges)
    weights[::3] = 0
    small_graph.edata["p"] = weights
    small_graph.edata["m"] = weights > 0
    part, (importances,) = small_graph.sample_labors(range(200), 3, prob="p")
    assert bool((weights[part.edata[hf.EID]] > 0).all())
    assert importances.dtype == torch.float32
    _, dst = part.edges()
    sums = torch.zeros(200).index_add_(0, dst, importances)
    torch.testing.assert_close(sums, part.in_degrees().float())
    masked, (none,) = small_graph.sample_labors(range(200), 3, prob="m")
    assert bool((weights[masked.edata[hf.EID]] > 0).all())
    assert none.shape == (0,)
    _, (wide,) = small_graph.sample_labors([1], 3, prob=weights.double())
    assert wide.dtype == torch.float64
    gone = torch.arange(0, num_edges, 2)
    for seed in range(20):
        left, _ = small_graph.sample_labors(range(200), 2, exclude_edges=gone, random_seed=seed)
        assert not set(left.edata[hf.EID].tolist()) & set(gone.tolist())


def test_columns_that_are_not_copied(small_graph):
    small_graph.ndata["h"], small_graph.edata["w"] = (
        torch.rand(200),
        torch.rand(small_graph.num_edges()),
    )
    part, _ = small_graph.sample_labors([1, 2], 2, copy_ndata=False, copy_edata=False)
    assert list(part.ndata) == []
    assert list(part.edata) == [hf.EID]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"nodes": [200]}, IndexError, "nodes"),
        ({"fanout": -2}, ValueError, "fanout: expected -1"),
        ({"edge_dir": "up"}, ValueError, "edge_dir"),
        ({"prob": "p"}, KeyError, "p"),
        ({"importance_sampling": 1.5}, TypeError, "importance_sampling"),
        ({"seed2_contribution": 2}, ValueError, "seed2_contribution: expected a number"),
        ({"random_seed": torch.tensor([1, 2, 3])}, ValueError, "expected one seed, or two, got 3"),
        ({"random_seed": 4, "seed2_contribution": 0.5}, ValueError, "expected two seeds, got 1"),
        ({"random_seed": [0.5]}, TypeError, "random_seed"),
        ({"exclude_edges": [10**6]}, IndexError, "exclude_edges"),
        ({"output_device": "meta"}, ValueError, "output_device"),
    ],
)  # fmt: skip
def test_mistakes(small_graph, options, error, message):
    with pytest.raises(error, match=message):
        small_graph.sample_labors(**{"nodes": [1], "fanout": 2, **options})
