"""torch.compile of layers over edge features: one compiled model for batches of every size."""

from __future__ import annotations

import pytest
import torch
from test_typed_compile import Counting
from torch import Tensor, nn

import hopflow as hf
from hopflow.nn import DGNConv, GMMConv, NNConv

pytestmark = [
    pytest.mark.cpu_only,
    pytest.mark.skipif(
        tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
        reason="torch.compile of models that take graphs is held to with torch 2.13 and later",
    ),
]


class Filters(nn.Module):
    """Layers that weight neighbours by edge features."""

    def __init__(self) -> None:
        super().__init__()
        network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 24))
        self.gmm, self.nn = GMMConv(6, 8, 3, 2, allow_zero_in_degree=True), NNConv(8, 3, network)

    def forward(self, blocks: list[hf.Block], x: Tensor) -> Tensor:
        h = self.gmm(blocks[0], x, blocks[0].edata["e"])
        return self.nn(blocks[1], h, blocks[1].edata["e"])


class Towers(nn.Module):
    """A layer of several aggregators, with one that goes along an eigenvector."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = DGNConv(6, 4, ["dir1-dx", "std"], ["attenuation"], 1.5, edge_feat_size=3).eval()

    def forward(self, blocks: list[hf.Block], x: Tensor) -> Tensor:
        block = blocks[0]
        return self.conv(block, x, block.edata["e"], block.srcdata["eig"])


@pytest.mark.parametrize("make", [Filters, Towers])
def test_all_batches_are_compiled_once(small_graph: hf.Graph, make: type[nn.Module]) -> None:
    torch._dynamo.reset()
    generator = torch.Generator().manual_seed(3)
    small_graph.edata["e"] = torch.randn(2000, 3, generator=generator)
    small_graph.ndata["eig"] = torch.randn(200, 1, generator=generator)
    sampler = hf.dataloading.NeighborSampler([3, 4])
    loader = hf.dataloading.DataLoader(
        small_graph, torch.arange(75), sampler, batch_size=20, shuffle=True
    )
    model, counting = make(), Counting()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counting)
    parameters, after_first, sizes = list(model.parameters()), 0, set()
    for input_nodes, _, blocks in loader:
        x = torch.randn(len(input_nodes), 6, generator=generator)
        # Whatever a guard says from the second batch on is an error.
        with torch._dynamo.config.patch(error_on_recompile=after_first > 0):
            found = compiled(blocks, x)
            gradients = torch.autograd.grad(found.sin().sum(), parameters, allow_unused=True)
        after_first = after_first or counting.count
        expected = model(blocks, x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        wanted = torch.autograd.grad(expected.sin().sum(), parameters, allow_unused=True)
        for a, b in zip(gradients, wanted, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
        sizes.add(len(input_nodes))
    assert counting.count == after_first > 0
    assert len(sizes) > 2
