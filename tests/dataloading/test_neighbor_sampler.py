"""Samplers: what a batch consists of."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import hopflow as hf
from hopflow.dataloading import (
    BlockSampler,
    ClusterGCNSampler,
    DataLoader,
    LaborSampler,
    MultiLayerFullNeighborSampler,
    MultiLayerNeighborSampler,
    NeighborSampler,
    SAINTSampler,
    ShaDowKHopSampler,
)


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
def test_blocks_chain_and_name_the_parents_edges(small_graph, idtype, replace):
    graph = small_graph.int() if idtype == torch.int32 else small_graph
    src, dst = graph.edges()
    degrees = graph.in_degrees()
    seeds = torch.tensor([5, 199, 0, 17])
    sampler = NeighborSampler([2, 5, 3], replace=replace)
    input_nodes, output_nodes, blocks = sampler.sample(graph, seeds)
    assert output_nodes.tolist() == seeds.tolist()
    assert torch.equal(blocks[0].srcdata[hf.NID], input_nodes)
    assert torch.equal(blocks[-1].dstdata[hf.NID], output_nodes)
    for above, below in pairwise(blocks):
        assert torch.equal(above.dstdata[hf.NID], below.srcdata[hf.NID])
    for block, fanout in zip(blocks, [2, 5, 3], strict=True):
        parents, own = block.srcdata[hf.NID], block.dstdata[hf.NID]
        assert parents.dtype == own.dtype == block.edata[hf.EID].dtype == idtype
        assert torch.equal(parents[: block.num_dst_nodes()], own)
        assert parents.unique().shape == parents.shape
        u, v = block.edges()
        eids = block.edata[hf.EID].long()
        assert torch.equal(src[eids], parents[u.long()])
        assert torch.equal(dst[eids], own[v.long()])
        wanted = (
            torch.where(degrees[own.long()] > 0, fanout, 0)
            if replace
            else degrees[own.long()].clamp(max=fanout)
        )
        assert torch.equal(block.in_degrees(), wanted.to(idtype))
        if not replace:
            assert eids.unique().shape == eids.shape


def test_full_sampler_keeps_every_edge_once(small_graph):
    _, _, blocks = MultiLayerFullNeighborSampler(2).sample(small_graph, torch.arange(200))
    for block in blocks:
        assert torch.equal(block.edata[hf.EID].sort().values, torch.arange(2000))


def test_duplicate_seeds_are_merged(small_graph):
    seeds = torch.tensor([9, 4, 9, 9, 4, 7])
    _, output_nodes, blocks = NeighborSampler([3]).sample(small_graph, seeds)
    assert output_nodes.tolist() == [9, 4, 7]
    assert torch.equal(output_nodes[blocks[-1].seed_inverse], seeds)
    _, _, blocks = NeighborSampler([3]).sample(small_graph, [1, 2])
    assert blocks[-1].seed_inverse is None


@pytest.mark.parametrize(
    "seeds",
    [
        torch.tensor([3, 8]),
        torch.tensor([3, 8], dtype=torch.int32),
        np.array([3, 8]),
        np.array([3, 8], dtype=np.uint8),
        [3, 8],
        (3, 8),
        range(3, 9, 5),
        torch.arange(200).eq(3) | torch.arange(200).eq(8),
        np.isin(np.arange(200), [3, 8]),
        [i in (3, 8) for i in range(200)],
    ],
)
def test_seeds_in_every_form(small_graph, seeds):
    _, output_nodes, _ = NeighborSampler([2]).sample(small_graph, seeds)
    assert output_nodes.tolist() == [3, 8]
    (batch,) = DataLoader(small_graph, seeds, NeighborSampler([2]), batch_size=9)
    assert batch[1].tolist() == [3, 8]


def test_no_seeds(small_graph):
    for seeds in ([], torch.empty(0, dtype=torch.int64)):
        input_nodes, output_nodes, blocks = NeighborSampler([2, 2]).sample(small_graph, seeds)
        assert len(input_nodes) == len(output_nodes) == 0
        assert [b.num_edges() for b in blocks] == [0, 0]
        assert list(DataLoader(small_graph, seeds, NeighborSampler([2]))) == []


def test_columns_are_gathered_when_read_or_prefetched(small_graph):
    _, _, blocks = NeighborSampler([2, 2]).sample(small_graph, [1, 2])
    assert not blocks[0].srcdata.is_read("feat")
    sampler = NeighborSampler(
        [2, 2], prefetch_node_feats=["feat"], prefetch_labels=["label"],
        prefetch_edge_feats=["weight"],
    )  # fmt: skip
    for workers in (0, 2):
        for _, _, blocks in DataLoader(
            small_graph, range(50), sampler, batch_size=10, num_workers=workers
        ):
            assert blocks[0].srcdata.is_read("feat")
            assert blocks[-1].dstdata.is_read("label")
            assert all(block.edata.is_read("weight") for block in blocks)
            assert not blocks[-1].srcdata.is_read("feat")
            nodes = blocks[0].srcdata[hf.NID]
            assert torch.equal(blocks[0].srcdata["feat"], small_graph.ndata["feat"][nodes])


def test_sample_blocks_checks_its_seeds(small_graph):
    sampler = NeighborSampler([2, 2])
    with pytest.raises(ValueError, match="seed_nodes: expected distinct nodes"):
        sampler.sample_blocks(small_graph, torch.tensor([0, 0, 7]))
    with pytest.raises(IndexError, match=r"seed_nodes\[0\] is 4294967296"):
        sampler.sample_blocks(small_graph, torch.tensor([2**32, 7]))
    assert sampler.sample_blocks(small_graph, [3, 4])[1].tolist() == [3, 4]


@pytest.mark.parametrize(
    ("fanouts", "error", "match"),
    [
        ([], ValueError, "fanouts: expected at least one layer"),
        ([3, -2], ValueError, r"fanouts\[1\]: expected -1 \(all\) or a count >= 0, got -2"),
        ([2**70], ValueError, r"fanouts\[0\]: expected at most 2\^31 - 1"),
        ([2.5], TypeError, r"fanouts\[0\]: expected an int, got float"),
        ([True], TypeError, r"fanouts\[0\]: expected an int, got bool"),
        ("44", TypeError, "fanouts: expected a list"),
        (4, TypeError, "fanouts: expected a list with one int a layer, got int"),
        ({"a": 1}, TypeError, "fanouts: expected a list"),
    ],
)
def test_bad_fanouts(fanouts, error, match):
    with pytest.raises(error, match=match):
        MultiLayerNeighborSampler(fanouts)


@pytest.mark.cpu_only
def test_output_device_is_the_graphs(small_graph):
    made = {
        NeighborSampler([2], output_device="cpu"): [0, 1],
        LaborSampler([2], output_device=torch.device("cpu")): [0, 1],
        ShaDowKHopSampler([2], output_device="cpu"): [0, 1],
        SAINTSampler("node", 20, output_device="cpu"): [0],
        ClusterGCNSampler(small_graph, 2, cache_path=None, output_device="cpu"): [0],
    }
    for sampler, indices in made.items():
        assert len(list(DataLoader(small_graph, indices, sampler))) == len(indices)
    with pytest.raises(ValueError, match="output_device: expected None or the graph's, cpu"):
        list(DataLoader(small_graph, [0], NeighborSampler([2], output_device="meta")))
    made = [
        NeighborSampler([2], output_device="meta"),
        LaborSampler([2], output_device="meta"),
        ShaDowKHopSampler([2], output_device="meta"),
        SAINTSampler("node", 20, output_device="meta"),
        ClusterGCNSampler(small_graph, 2, cache_path=None, output_device="meta"),
    ]
    for sampler in made:
        with pytest.raises(ValueError, match="output_device: expected None or the graph's, cpu"):
            sampler.sample(small_graph, [0])

    class Own(BlockSampler):
        def sample_blocks(self, g, seed_nodes):
            return NeighborSampler([1]).sample_blocks(g, seed_nodes)

    assert len(Own(output_device="cpu").sample(small_graph, [3])[2]) == 1
    with pytest.raises(ValueError, match="output_device"):
        Own(output_device="meta").sample(small_graph, [3])


@pytest.mark.parametrize(
    ("seeds", "error", "match"),
    [
        ([0, 200], IndexError, r"\[1\] is 200, expected 0 <= id < 200"),
        ([-1], IndexError, r"\[0\] is -1"),
        ([2**70], TypeError, "expected integer ids"),
        (np.array([2**63], dtype=np.uint64), TypeError, "does not fit int64"),
        ([0.5], TypeError, "expected integer ids, got float64"),
        ([[1, 2]], ValueError, r"expected 1 dimension, got shape \[1, 2\]"),
        (torch.zeros(9, dtype=torch.bool), ValueError, "expected a mask of 200 nodes"),
        ({"a": [1]}, ValueError, "expected node types of '_N', got 'a'"),
        (None, TypeError, "expected ids, got NoneType"),
        ("12", TypeError, "expected ids, got str"),
        ([[1], [1, 2]], TypeError, "expected integer ids"),
    ],
)
def test_bad_seeds(small_graph, seeds, error, match):
    with pytest.raises(error, match=match):
        NeighborSampler([1]).sample(small_graph, seeds)
    with pytest.raises(error, match=match):
        DataLoader(small_graph, seeds, NeighborSampler([1]))
