"""torch.compile of layers over edge features: one compiled model for batches of every size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_typed_compile import Counting
from torch import Tensor, nn

import hopflow as hf
from hopflow.nn import CFConv, DGNConv, GMMConv, NNConv, PNAConv, TransR

pytestmark = [
    pytest.mark.cpu_only,
    pytest.mark.skipif(
        tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
        reason="torch.compile of models that take graphs is held to with torch 2.13 and later",
    ),
]


class Filters(nn.Module):
    """The layers that weight neighbours by edge features, and a score of relations."""

    def __init__(self) -> None:
        super().__init__()
        self.gmm = GMMConv(6, 8, 3, 2, allow_zero_in_degree=True)
        self.nn = NNConv(8, 6, nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 48)))
        self.cf, self.score = CFConv(6, 3, 8, 5), TransR(4, 3, 5)

    def forward(self, blocks: list[hf.Block], x: Tensor, rels: Tensor) -> Tensor:
        e = [block.edata["e"] for block in blocks]
        h = self.gmm(blocks[0], x, e[0])
        h = self.cf(blocks[2], self.nn(blocks[1], h, e[1]), e[2])
        return self.score(h, h.flip(0), rels)


class Towers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        options: Any = {"scalers": ["identity", "attenuation"], "delta": 1.5, "edge_feat_size": 3}
        self.first = PNAConv(6, 4, ["mean", "max", "std", "moment3"], **options).eval()
        self.second = DGNConv(4, 4, ["dir1-av", "dir1-dx", "sum"], **options).eval()

    def forward(self, blocks: list[hf.Block], x: Tensor, rels: Tensor) -> Tensor:
        h = self.first(blocks[1], x[: blocks[0].num_dst_nodes()], blocks[1].edata["e"])
        eig = blocks[2].srcdata["eig"]
        return self.second(blocks[2], h, blocks[2].edata["e"], eig)


@pytest.mark.parametrize("make", [Filters, Towers])
def test_all_batches_are_compiled_once(small_graph: hf.Graph, make: type[nn.Module]) -> None:
    torch._dynamo.reset()
    generator = torch.Generator().manual_seed(3)
    small_graph.edata["e"] = torch.randn(2000, 3, generator=generator)
    small_graph.ndata["eig"] = torch.randn(200, 1, generator=generator)
    sampler = hf.dataloading.NeighborSampler([3, 3, 4])
    loader = hf.dataloading.DataLoader(
        small_graph, torch.arange(75), sampler, batch_size=20, shuffle=True
    )
    model, counting = make(), Counting()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counting)
    parameters, after_first, sizes = list(model.parameters()), 0, set()
    for input_nodes, output_nodes, blocks in loader:
        x = torch.randn(len(input_nodes), 6, generator=generator)
        rels = torch.randint(4, (len(output_nodes),), generator=generator)
        # Whatever a guard says from the second batch on is an error.
        with torch._dynamo.config.patch(error_on_recompile=after_first > 0):
            found = compiled(blocks, x, rels)
            gradients = torch.autograd.grad(found.sin().sum(), parameters, allow_unused=True)
        after_first = after_first or counting.count
        expected = model(blocks, x, rels)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        wanted = torch.autograd.grad(expected.sin().sum(), parameters, allow_unused=True)
        for a, b in zip(gradients, wanted, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
        sizes.add(len(input_nodes))
    assert counting.count == after_first > 0
    assert len(sizes) > 2
