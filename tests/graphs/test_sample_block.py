"""sample_neighbors_fused: the block of to_block(sample_neighbors(...))."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize(
    "options", [{}, {"replace": True}, {"prob": "p"}, {"exclude_edges": [0, 7, 9]}]
)
def test_equals_sampling_and_to_block(small_graph, idtype, options):
    graph = small_graph._as_idtype(idtype)
    graph.edata["p"] = torch.rand(graph.num_edges())
    graph.ndata["h"] = torch.rand(200)
    seeds = [7, 190, 3, 60]
    torch.manual_seed(2)
    block = graph.sample_neighbors_fused(seeds, 4, **options)
    torch.manual_seed(2)
    other = hf.to_block(hf.sample_neighbors(graph, seeds, 4, **options), seeds)
    assert block.is_block
    for ours, theirs in zip(block.edges(), other.edges()):
        assert torch.equal(ours, theirs)
    for name in (hf.NID, "h"):
        assert torch.equal(block.srcdata[name], other.srcdata[name])
        assert torch.equal(block.dstdata[name], other.dstdata[name])
    src, dst = block.edges()
    ends = graph.find_edges(block.edata[hf.EID])
    assert torch.equal(block.srcdata[hf.NID][src.long()], ends[0])
    assert torch.equal(block.dstdata[hf.NID][dst.long()], ends[1])
    assert torch.equal(block.edata["p"], graph.edata["p"][block.edata[hf.EID].long()])


def test_out_edges_types_and_options(small_graph):
    small_graph.ndata["h"], small_graph.edata["w"] = (
        torch.rand(200),
        torch.rand(small_graph.num_edges()),
    )
    block = hf.sample_neighbors_fused(
        small_graph, [3, 5, 3], -1, "out", copy_ndata=False, copy_edata=False, mapping={}
    )
    assert block.dstdata[hf.NID].tolist() == [3, 5]
    assert list(block.srcdata) == [hf.NID]
    assert list(block.edata) == [hf.EID]
    src, dst = small_graph.find_edges(block.edata[hf.EID])
    assert torch.equal(src, block.dstdata[hf.NID][block.edges()[1]])
    assert torch.equal(dst, block.srcdata[hf.NID][block.edges()[0]])
    graph = hf.heterograph(
        {("a", "x", "b"): ([0, 1, 2], [0, 0, 1]), ("b", "y", "a"): ([0, 1], [2, 2])}
    )
    block = graph.sample_neighbors_fused({"b": [1, 0]}, {"x": 2, "y": 1})
    assert block.num_dst_nodes("b") == 2
    assert block.num_edges("x") == 3
    assert block.num_edges("y") == 0
    with pytest.raises(ValueError, match="fanout"):
        graph.sample_neighbors_fused({"b": [1]}, -2)
    with pytest.raises(IndexError, match="nodes"):
        small_graph.sample_neighbors_fused([200], 1)
