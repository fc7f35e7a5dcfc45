"""What tests of samplers whose batches are subgraphs look at."""

from __future__ import annotations

from typing import Any

import torch

import hopflow as hf

SEEDS = torch.tensor([5, 190, 17, 3, 60])


def ids(graph: hf.Graph) -> Any:
    """Everything that tells a subgraph from another, as plain lists."""
    src, dst = graph.edges()
    return graph.ndata[hf.NID].tolist(), src.tolist(), dst.tolist(), graph.edata[hf.EID].tolist()


def assert_induced(graph: hf.Graph, part: hf.Graph, without: Any = ()) -> None:
    """Its edges are all edges of ``graph`` among its nodes, each once, with their columns."""
    nodes = part.ndata[hf.NID].long()
    assert nodes.unique().shape == nodes.shape
    src, dst = (ends.long() for ends in graph.edges())
    among = torch.isin(src, nodes) & torch.isin(dst, nodes)
    if len(without):
        among[torch.as_tensor(without)] = False
    eids = part.edata[hf.EID].long()
    assert torch.equal(eids.sort().values, among.nonzero().squeeze(1))
    u, v = (nodes[ends.long()] for ends in part.edges())
    assert torch.equal(u, src[eids])
    assert torch.equal(v, dst[eids])
    assert torch.equal(part.ndata["feat"], graph.ndata["feat"][nodes])
    assert torch.equal(part.edata["weight"], graph.edata["weight"][eids])
