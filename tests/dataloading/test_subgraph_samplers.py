"""Samplers whose batches are subgraphs of the whole graph: Cluster-GCN, GraphSAINT."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from helpers import typed_graph
from subgraph_batches import assert_induced, ids

import hopflow as hf
from hopflow.dataloading import (
    ClusterGCNSampler,
    DataLoader,
    PPRSampler,
    SAINTSampler,
    ShaDowKHopSampler,
)

# --- Cluster-GCN


@pytest.mark.cpu_only
def test_clusters_are_all_nodes_once(small_graph, tmp_path):
    file = tmp_path / "clusters.npz"
    sampler = ClusterGCNSampler(small_graph, 8, file, prefetch_ndata=["feat"])
    assert sampler.partition_node_ids.sort().values.tolist() == list(range(200))
    sizes = sampler.partition_offset.diff()
    assert (int(sizes.sum()), len(sizes)) == (200, 8)
    assert sizes.max() <= 27
    loader = DataLoader(small_graph, torch.arange(8), sampler, batch_size=3, shuffle=True)
    seen = []
    for part in loader:
        assert part.node_frame().is_read("feat")
        assert_induced(small_graph, part)
        seen += part.ndata[hf.NID].tolist()
    assert sorted(seen) == list(range(200))
    # Read again, and the same.
    before = file.stat().st_mtime_ns
    again = ClusterGCNSampler(small_graph, 8, file)
    assert torch.equal(again.partition_node_ids, sampler.partition_node_ids)
    assert file.stat().st_mtime_ns == before
    assert [f.name for f in tmp_path.iterdir()] == ["clusters.npz"]


@pytest.mark.cpu_only
def test_clusters_given_twice_and_none(small_graph):
    sampler = ClusterGCNSampler(small_graph, 4, None)
    once, twice = (sampler.sample(small_graph, x) for x in ([2, 1], [2, 1, 2]))
    assert ids(once) == ids(twice)
    assert sampler.sample(small_graph, []).num_nodes() == 0


@pytest.mark.cpu_only
@pytest.mark.parametrize("kind", ["pickle", "text", "other graph", "other number", "truncated"])
def test_a_file_without_the_clusters_is_named(small_graph, tmp_path, kind):
    file = tmp_path / "clusters.npz"
    if kind == "pickle":
        file.write_bytes(pickle.dumps((np.zeros(3), np.zeros(200))))
    elif kind == "text":
        file.write_text("not this")
    else:
        made = hf.graph(([0], [1])) if kind == "other graph" else small_graph
        ClusterGCNSampler(made, 2 if kind == "other graph" else 3, file)
        if kind == "truncated":
            file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(hf.HopflowError, match=r"clusters\.npz"):
        ClusterGCNSampler(small_graph, 4, file)


@pytest.mark.cpu_only
@pytest.mark.parametrize("kind", ["edges", "balance", "no balance", "parts", "about"])
def test_a_file_of_other_clusters_of_as_many_nodes_is_refused(small_graph, tmp_path, kind):
    file, kinds = tmp_path / "clusters.npz", torch.arange(200) % 2
    made, balance, wanted = small_graph, None, None
    if kind == "edges":
        src, dst = small_graph.edges()
        made = hf.graph(((src + 1) % 200, (dst + 1) % 200), num_nodes=200)
    elif kind == "balance":
        wanted = kinds
    elif kind == "no balance":
        balance = kinds
    ClusterGCNSampler(made, 4, file, balance_ntypes=balance)
    if kind in ("parts", "about"):
        with np.load(file) as found:
            parts, about = found["parts"], found["about"]
        np.savez(file, parts=parts + 1, about=about if kind == "parts" else np.array(4))
    with pytest.raises(hf.HopflowError, match=r"clusters\.npz"):
        ClusterGCNSampler(small_graph, 4, file, balance_ntypes=wanted)


@pytest.mark.cpu_only
def test_a_file_of_clusters_is_read_for_ids_of_either_width(small_graph, tmp_path):
    wide = ClusterGCNSampler(small_graph, 4, tmp_path / "c.npz")
    narrow = ClusterGCNSampler(small_graph.int(), 4, tmp_path / "c.npz")
    assert torch.equal(wide.partition_node_ids, narrow.partition_node_ids)


@pytest.mark.cpu_only
def test_clusters_refuse_what_they_are_not_of(small_graph):
    sampler = ClusterGCNSampler(small_graph, 4, None)
    with pytest.raises(IndexError, match="4"):
        sampler.sample(small_graph, [4])
    with pytest.raises(ValueError, match="200 nodes"):
        sampler.sample(hf.graph(([0], [1])), [0])
    with pytest.raises(ValueError, match="one node type"):
        ClusterGCNSampler(typed_graph(), 4, None)
    with pytest.raises(ValueError, match="num_parts"):
        ClusterGCNSampler(small_graph, 0, None)


# --- metis_partition_assignment


@pytest.mark.cpu_only
def test_parts_cut_few_edges_and_are_balanced():
    rng = torch.Generator().manual_seed(0)
    block = torch.arange(400) // 100
    src, dst = (torch.randint(400, (8000,), generator=rng) for _ in "uv")
    keep = block[src] == block[dst]
    keep[::40] = True
    graph = hf.graph((src[keep], dst[keep]), num_nodes=400)
    parts = hf.metis_partition_assignment(graph, 4)
    assert parts.dtype == torch.int64
    assert parts.bincount(minlength=4).max() <= 105
    u, v = graph.edges()
    assert (parts[u] != parts[v]).float().mean() < 0.15  # by chance 0.75
    kinds = torch.arange(400) % 2
    parts = hf.metis_partition_assignment(graph, 4, balance_ntypes=kinds)
    assert parts[kinds == 1].bincount(minlength=4).max() <= 53
    for options in ({"balance_edges": True}, {"mode": "?"}, {"objtype": "vol"},
                    {"balance_ntypes": [0, 1]}, {"balance_ntypes": kinds * 2}):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(options))):
            hf.metis_partition_assignment(graph, 4, **options)


# --- GraphSAINT


@pytest.mark.parametrize(("mode", "budget"), [("node", 30), ("edge", 20), ("walk", (8, 3))])
def test_saint_draws_subgraphs(small_graph, mode, budget):
    sampler = SAINTSampler(mode, budget, prefetch_ndata=["feat"], prefetch_edata=["weight"])
    batches = list(DataLoader(small_graph, torch.arange(4), sampler, num_workers=2, seed=1))
    for part in batches:
        assert_induced(small_graph, part)
        nodes = part.ndata[hf.NID]
        assert torch.equal(nodes, nodes.sort().values)
        assert 0 < len(nodes) <= {"node": 30, "edge": 40, "walk": 32}[mode]
    assert len({str(ids(part)) for part in batches}) == 4
    again = DataLoader(small_graph, torch.arange(4), sampler, seed=1)
    assert [ids(part) for part in batches] == [ids(part) for part in again]


def drawn_shares(graph: hf.Graph, mode: str, budget: Any, rounds: int) -> torch.Tensor:
    """In how many of the rounds each node is in the subgraph."""
    counts = torch.zeros(graph.num_nodes())
    sampler = SAINTSampler(mode, budget)
    for _ in range(rounds):
        counts[sampler.sample(graph, [0]).ndata[hf.NID]] += 1
    return counts


@pytest.mark.cpu_only
@pytest.mark.parametrize("mode", ["node", "edge", "walk"])
def test_saint_has_the_law_of_the_paper(mode):
    """One draw a subgraph: the share of rounds with each node against its exact probability."""
    graph = hf.graph(([0, 0, 0, 1, 2, 2, 3, 3], [1, 2, 3, 2, 0, 3, 3, 0]), num_nodes=6)
    src, dst = graph.edges()
    out_degrees, in_degrees = graph.out_degrees().double(), graph.in_degrees().double()
    if mode == "node":
        weights = out_degrees.clamp(min=1)
        exact = weights / weights.sum()
    elif mode == "edge":
        weights = 1 / out_degrees[src] + 1 / in_degrees[dst]
        weights /= weights.sum()
        exact = torch.zeros(6, dtype=torch.float64).index_add(0, src, weights)
        exact.index_add_(0, dst, weights * (src != dst))
    else:  # a root and one step
        exact = torch.full((6,), 1 / 6, dtype=torch.float64)
        step = (src != dst) / 6 / out_degrees[src]
        exact.index_add_(0, dst, step)
    rounds = 4000
    counts = drawn_shares(graph, mode, (1, 1) if mode == "walk" else 1, rounds).double()
    error = (counts - rounds * exact) / (rounds * exact * (1 - exact)).clamp(min=1e-9).sqrt()
    assert error[exact > 0].abs().max() < 5
    assert counts[exact == 0].sum() == 0


def test_saint_refuses_bad_options(small_graph):
    with pytest.raises(ValueError, match="mode"):
        SAINTSampler("nodes", 5)
    for mode, budget in (("node", 0), ("node", (3, 4)), ("walk", 5), ("walk", (5, 0))):
        with pytest.raises(ValueError, match="budget"):
            SAINTSampler(mode, budget)
    with pytest.raises(TypeError, match="budget"):
        SAINTSampler("edge", 1.5)
    with pytest.raises(ValueError, match="edges to draw"):
        SAINTSampler("edge", 5).sample(hf.graph(([], []), num_nodes=3), [0])
    with pytest.raises(ValueError, match="nodes to draw"):
        SAINTSampler("node", 5).sample(hf.graph(([], []), num_nodes=0), [0])
    with pytest.raises(ValueError, match="one node type"):
        SAINTSampler("node", 5).sample(typed_graph(), [0])
    with pytest.raises(KeyError, match="nothing"):
        SAINTSampler("node", 5, prefetch_ndata=["nothing"]).sample(small_graph, [0])


@pytest.mark.parametrize(
    "kind", ["shadow", "saint", *(pytest.param(x, marks=pytest.mark.cpu_only)
                                  for x in ("cluster", "ppr"))]
)  # fmt: skip
def test_samplers_are_pickled_and_named(small_graph, kind):
    sampler: Any = {
        "shadow": lambda: ShaDowKHopSampler([3, 2]),
        "ppr": lambda: PPRSampler(4, 0.2, 1e-3, prob="weight"),
        "cluster": lambda: ClusterGCNSampler(small_graph, 4, None),
        "saint": lambda: SAINTSampler("walk", (5, 2)),
    }[kind]()
    copy = pickle.loads(pickle.dumps(sampler))
    assert repr(copy) == repr(sampler)
    torch.manual_seed(1)
    one = sampler.sample(small_graph, [1, 2])
    torch.manual_seed(1)
    other = copy.sample(small_graph, [1, 2])
    if kind in ("shadow", "ppr"):
        one, other = one[2], other[2]
    assert ids(one) == ids(other)
