"""torch.compile of layers of steps, gates and attention: all batches compiled once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hopflow as hf
from hopflow.nn import (
    DotGatConv,
    EdgeGATConv,
    EGNNConv,
    GatedGraphConv,
    GCN2Conv,
    TWIRLSConv,
)

pytestmark = [
    pytest.mark.cpu_only,
    pytest.mark.skipif(
        tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
        reason="torch.compile of models that take graphs is held to with torch 2.13 and later",
    ),
]


class Steps(nn.Module):
    """Layers that take one step of a block, with weights, types and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.gcn2, self.gated = GCN2Conv(6, 1), GatedGraphConv(6, 7, 1, 3)
        self.twirls = TWIRLSConv(6, 5, 7, 1, attn_bef=True, use_eta=True)

    def forward(self, block: hf.Block, x: Tensor) -> list[Tensor]:
        weight, types = block.edata["weight"], block.edata["type"]
        gcn2, gated = self.gcn2(block, x, x, weight), self.gated(block, x, types)
        return [gcn2, gated, self.twirls(block, x)]


class Attentions(nn.Module):
    """Layers of attention, and the equivariant one."""

    def __init__(self) -> None:
        super().__init__()
        self.dot, self.edge_gat = DotGatConv(6, 4, 2), EdgeGATConv(6, 1, 4, 2)
        self.egnn = EGNNConv(6, 5, 4, 1)

    def forward(self, block: hf.Block, x: Tensor) -> list[Tensor]:
        edges = block.edata["weight"].unsqueeze(1)
        out = [self.dot(block, x), self.edge_gat(block, x, edges)]
        return [*out, *self.egnn(block, x, x[:, :3], edges)]


class Counting:
    """A backend of torch.compile that runs what it is given, and counts that."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, module: Any, inputs: Any) -> Any:
        self.count += 1
        return module.forward


def batches() -> hf.dataloading.DataLoader:
    """Three batches of one block, the last smaller; every node has an in-edge."""
    generator = torch.Generator().manual_seed(3)
    src, dst = (torch.randint(600, (3000,), generator=generator) for _ in range(2))
    graph = hf.add_self_loop(hf.graph((src, dst), num_nodes=600))
    graph.edata["weight"] = torch.rand(graph.num_edges(), generator=generator) + 0.1
    graph.edata["type"] = torch.randint(3, (graph.num_edges(),), generator=generator)
    sampler = hf.dataloading.NeighborSampler([4])
    return hf.dataloading.DataLoader(graph, torch.arange(130), sampler, batch_size=50, shuffle=True)


@pytest.mark.parametrize("kind", [Steps, Attentions])
def test_all_batches_are_compiled_once(kind: Any) -> None:
    torch._dynamo.reset()
    model, counting = kind(), Counting()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counting)
    parameters, after_first, sizes = list(model.parameters()), 0, set()
    for input_nodes, seeds, (block,) in batches():
        x = torch.randn(len(input_nodes), 6)
        found, gradients = [], []
        for run in (compiled, model):
            # Whatever a guard says from the second batch on is an error.
            with torch._dynamo.config.patch(error_on_recompile=after_first > 0):
                out = run(block, x)
                total = sum(y.square().mean() for y in out)
                gradients.append(torch.autograd.grad(total, parameters))
            found.append(out)
            after_first = after_first or counting.count
        for pair in zip(*found, strict=True):
            torch.testing.assert_close(*pair, rtol=1e-4, atol=1e-5)
        for pair in zip(*gradients, strict=True):
            torch.testing.assert_close(*pair, rtol=1e-4, atol=1e-5)
        sizes.add((len(seeds), len(input_nodes)))
    assert counting.count == after_first > 0
    assert len(sizes) == 3
