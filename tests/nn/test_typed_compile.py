"""torch.compile of models over blocks of several node and edge types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hopflow as hf
import hopflow.function as fn
from hopflow.nn import GraphConv, HeteroGraphConv, SAGEConv

pytestmark = [
    pytest.mark.cpu_only,
    pytest.mark.skipif(
        tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
        reason="torch.compile of models that take graphs is held to with torch 2.13 and later",
    ),
]

RELATIONS = [("user", "follows", "user"), ("user", "plays", "game"), ("game", "played_by", "user")]
Rows = dict[str, Tensor]


class MultiUpdate(nn.Module):
    """A layer as users write it: multi_update_all over the block itself."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.linears = nn.ModuleDict({t: nn.Linear(2 * width, out) for t in ("user", "game")})

    def forward(self, block: hf.Block, x: Rows) -> Rows:
        with block.local_scope():
            block.srcdata["h"] = x
            functions = {e: (fn.copy_u("h", "m"), fn.mean("m", "o")) for e in block.etypes}
            block.multi_update_all(functions, "sum")
            return {
                t: linear(torch.cat([x[t][: block.num_dst_nodes(t)], block.dstdata["o"][t]], 1))
                for t, linear in self.linears.items()
            }


def convs(make: Callable[[int, int], nn.Module]) -> Callable[[int, int], nn.Module]:
    return lambda i, o: HeteroGraphConv({e: make(i, o) for _, e, _ in RELATIONS})


LAYERS: dict[str, Callable[[int, int], nn.Module]] = {
    "sage": convs(lambda i, o: SAGEConv(i, o, "mean")),
    "graph conv": convs(lambda i, o: GraphConv(i, o, norm="right")),
    "multi_update_all": MultiUpdate,
}


class Model(nn.Module):
    def __init__(self, make: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.first, self.last = make(6, 12), make(12, 3)

    def forward(self, blocks: list[hf.Block], x: Rows) -> Tensor:
        hidden = {t: h.relu() for t, h in self.first(blocks[0], x).items()}
        return self.last(blocks[1], hidden)["user"]


def batches(**options: Any) -> hf.dataloading.DataLoader:
    generator = torch.Generator().manual_seed(3)
    counts = {"user": 1500, "game": 700}
    data = {
        (src, e, dst): tuple(
            torch.cat([torch.arange(counts[dst]) % counts[t],
                       torch.randint(counts[t], (5000,), generator=generator)])
            for t in (src, dst)
        )
        for src, e, dst in RELATIONS
    }  # fmt: skip
    graph = hf.heterograph(data, counts)
    sampler = hf.dataloading.NeighborSampler([3, {"follows": 4, "plays": 2, "played_by": 3}])
    seeds = {"user": torch.arange(310), "game": torch.arange(90)}
    return hf.dataloading.DataLoader(graph, seeds, sampler, batch_size=64, shuffle=True, **options)


class Counting:
    """A backend of torch.compile that counts the graphs that it is given."""

    def __init__(self) -> None:
        self._backend, self.count = torch._dynamo.lookup_backend("aot_eager"), 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.count += 1
        return self._backend(*args, **options)


@pytest.mark.parametrize("layer", LAYERS)
def test_all_batches_are_compiled_once(layer: str) -> None:
    torch._dynamo.reset()
    model, counting = Model(LAYERS[layer]), Counting()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counting)
    parameters, after_first, sizes = list(model.parameters()), 0, set()
    for input_nodes, _, blocks in batches(num_workers=1):
        x = {t: torch.randn(len(ids), 6) for t, ids in input_nodes.items()}
        # Whatever a guard says from the second batch on is an error.
        with torch._dynamo.config.patch(error_on_recompile=after_first > 0):
            found = compiled(blocks, x)
            gradients = torch.autograd.grad(found.square().mean(), parameters, allow_unused=True)
        after_first = after_first or counting.count
        expected = model(blocks, x)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        others = torch.autograd.grad(expected.square().mean(), parameters, allow_unused=True)
        for a, b in zip(gradients, others, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        sizes.add(tuple(len(ids) for ids in input_nodes.values()))
    assert counting.count == after_first > 0
    assert len(sizes) == 7
