"""torch.compile: models that take blocks, over whole epochs, compiled once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hopflow as hf
from hopflow import function as fn
from hopflow.nn import EdgeConv, GATConv, GATv2Conv, GINConv, GINEConv, GraphConv, SAGEConv

pytestmark = [
    pytest.mark.cpu_only,
    pytest.mark.skipif(
        tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
        reason="torch.compile of models that take graphs is held to with torch 2.13 and later",
    ),
]


class OwnLayer(nn.Module):
    """A layer as users write it: built-ins, columns, a local scope."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.key, self.linear = nn.Linear(width, width), nn.Linear(3 * width, out)

    def forward(self, block: hf.Block, x: Tensor) -> Tensor:
        with block.local_scope():
            block.srcdata["h"] = x
            block.dstdata["key"] = self.key(x[: block.num_dst_nodes()])
            block.update_all(fn.copy_u("h", "m"), fn.mean("m", "mean"))
            block.apply_edges(fn.u_dot_v("h", "key", "score"))
            block.edata["score"] = block.edata["score"].sigmoid()
            block.update_all(fn.u_mul_e("h", "score", "m"), fn.sum("m", "sum"))
            block.update_all(fn.copy_u("h", "m"), fn.max("m", "max"))
            return self.linear(torch.cat([block.dstdata[n] for n in ("mean", "sum", "max")], 1))


class WithoutScope(nn.Module):
    """Columns written on the block itself stay there."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, out)

    def forward(self, block: hf.Block, x: Tensor) -> Tensor:
        block.srcdata["h"] = x
        block.update_all(fn.copy_u("h", "m"), fn.min("m", "h_N"))
        return self.linear(block.dstdata["h_N"])


class Weighted(nn.Module):
    """Edge weights are read off the block inside the compiled model."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, block: hf.Block, x: Tensor) -> Tensor:
        return self.layer(block, x, edge_weight=block.edata["weight"])


class Heads(nn.Module):
    """The mean of an attention layer's heads."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, block: hf.Block, x: Tensor) -> Tensor:
        return self.layer(block, x).mean(1)


class EdgeRows(nn.Module):
    """GINE, whose edges have rows of their own."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.edge, self.conv = nn.Linear(1, width), GINEConv(nn.Linear(width, out))

    def forward(self, block: hf.Block, x: Tensor) -> Tensor:
        return self.conv(block, x, self.edge(block.edata["weight"].unsqueeze(1)))


LAYERS: dict[str, Callable[[int, int], nn.Module]] = {
    "gat": lambda i, o: Heads(GATConv(i, o, 2, residual=True, allow_zero_in_degree=True)),
    "gatv2": lambda i, o: Heads(GATv2Conv(i, o, 2, allow_zero_in_degree=True)),
    "sage mean": lambda i, o: SAGEConv(i, o, "mean"),
    "sage pool": lambda i, o: SAGEConv(i, o, "pool"),
    "sage gcn": lambda i, o: SAGEConv(i, o, "gcn"),
    "sage weighted": lambda i, o: Weighted(SAGEConv(i, o, "mean")),
    "graph": lambda i, o: GraphConv(i, o),
    "graph weighted": lambda i, o: Weighted(GraphConv(i, o, norm="right")),
    "gin": lambda i, o: GINConv(nn.Linear(i, o), "sum", learn_eps=True),
    "gin max weighted": lambda i, o: Weighted(GINConv(nn.Linear(i, o), "max")),
    "gine": EdgeRows,
    "edge": lambda i, o: EdgeConv(i, o),
    "own": OwnLayer,
    "without scope": WithoutScope,
}


class Model(nn.Module):
    """Two layers over two blocks, of one kind where none is named for the last.

    ``feat`` names a column to read inside the model.
    """

    def __init__(
        self,
        make: Callable[[int, int], nn.Module],
        last: Callable[[int, int], nn.Module] | None = None,
        feat: str | None = None,
    ) -> None:
        super().__init__()
        self.first, self.last, self.feat = make(6, 12), (last or make)(12, 3), feat

    def forward(self, blocks: list[hf.Block], x: Tensor) -> Tensor:
        if self.feat is not None:
            x = x + blocks[0].srcdata[self.feat]
        return self.last(blocks[1], self.first(blocks[0], x).relu())


@pytest.fixture(autouse=True)
def _nothing_compiled() -> None:
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def graph() -> hf.Graph:
    """1,500 nodes with an in-edge each; edge ids are not positions."""
    generator = torch.Generator().manual_seed(3)
    src, dst = (torch.randint(1500, (9000,), generator=generator) for _ in range(2))
    graph = hf.add_self_loop(hf.graph((src, dst), num_nodes=1500))
    graph.ndata["feat"] = torch.randn(1500, 6, generator=generator)
    graph.edata["weight"] = torch.rand(graph.num_edges(), generator=generator)
    return graph


def batches(graph: hf.Graph, **options: Any) -> hf.dataloading.DataLoader:
    """Seven batches of two blocks, the last one smaller than the others."""
    sampler = hf.dataloading.NeighborSampler([3, 4])
    seeds = torch.arange(310)
    return hf.dataloading.DataLoader(
        graph, seeds, sampler, batch_size=50, shuffle=True, drop_last=False, **options
    )


class Counting:
    """A backend of torch.compile that counts the graphs that it is given."""

    def __init__(self, backend: str) -> None:
        self._backend, self.count = torch._dynamo.lookup_backend(backend), 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.count += 1
        return self._backend(*args, **options)


def step(model: Any, parameters: list[Tensor], blocks: list[hf.Block], x: Tensor) -> list[Tensor]:
    """The output and the gradients of the features and every parameter."""
    x = x.clone().requires_grad_()
    out = model(blocks, x)
    return [out, *torch.autograd.grad(out.square().mean(), [x, *parameters])]


def same_over_an_epoch(
    model: nn.Module, loader: hf.dataloading.DataLoader, backend: str, tolerance: float = 1e-5
) -> None:
    """Compiled at the first batch, never again in two epochs, with the results of eager mode."""
    counting, parameters = Counting(backend), list(model.parameters())
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counting)
    after_first, sizes = 0, set()
    for _ in range(2):
        for input_nodes, output_nodes, blocks in loader:
            x = torch.randn(len(input_nodes), 6)
            if not sizes:
                apart = [(b.num_dst_nodes(), b.num_dst_nodes() + 1, b.num_edges()) for b in blocks]
                assert len({*sum(apart, ()), len(input_nodes)}) == 7, "taken for one size"
            # Whatever a guard says from the second batch on is an error.
            with torch._dynamo.config.patch(error_on_recompile=after_first > 0):
                found = step(compiled, parameters, blocks, x)
            after_first = after_first or counting.count
            sizes.add((len(output_nodes), len(input_nodes)))
            for a, b in zip(found, step(model, parameters, blocks, x), strict=True):
                torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    assert counting.count == after_first > 0
    assert {seeds for seeds, _ in sizes} == {50, 10}
    assert len(sizes) > 7


# "aot_eager" does all that "eager" does and compiles the backward pass as well. A model takes two
# kinds of layers, for compiling is what takes the time; "own" stands twice in one, as in use.
@pytest.mark.parametrize(
    ("first", "last", "backend"),
    [(*pair, "aot_eager") for pair in zip([*LAYERS][::2], [*LAYERS][1::2], strict=True)]
    + [("own", "own", "aot_eager"), ("gat", "own", "eager")],
)
def test_an_epoch_is_compiled_once(graph: hf.Graph, first: str, last: str, backend: str) -> None:
    same_over_an_epoch(Model(LAYERS[first], LAYERS[last]), batches(graph), backend)


@pytest.mark.parametrize("layer", ["sage mean", "own"])
def test_inductor(graph: hf.Graph, layer: str) -> None:
    if shutil.which("c++") is None and shutil.which("g++") is None:
        pytest.skip("no C++ compiler, which torch's inductor needs")
    same_over_an_epoch(Model(LAYERS[layer]), batches(graph), "inductor", tolerance=1e-4)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("layer", ["sage mean", "graph weighted"])
def test_columns_read_inside_the_model(graph: hf.Graph, layer: str, num_workers: int) -> None:
    """A loader with threads learns what is read; that must not show in what is compiled."""
    model = Model(LAYERS[layer], feat="feat")
    counting = Counting("eager")
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counting)
    after_first = 0
    for _ in range(2):
        for input_nodes, _seeds, blocks in batches(graph, num_workers=num_workers):
            x = torch.randn(len(input_nodes), 6)
            with torch._dynamo.config.patch(error_on_recompile=after_first > 0):
                found = compiled(blocks, x)
                found.sum().backward()
            after_first = after_first or counting.count
            with torch.no_grad():
                torch.testing.assert_close(found, model(blocks, x))
            assert torch.equal(blocks[0].srcdata["feat"], graph.ndata["feat"][input_nodes])
    assert counting.count == after_first > 0


def test_whole_graphs() -> None:
    """Compiled once for graphs of any size."""
    layer, counting = GraphConv(6, 3), Counting("aot_eager")
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend=counting)
    for size in (1500, 700, 300):
        ends = torch.randint(size, (2, 5 * size))
        whole, x = hf.add_self_loop(hf.graph(tuple(ends), num_nodes=size)), torch.randn(size, 6)
        torch.testing.assert_close(compiled(whole, x), layer(whole, x))
    assert counting.count == 1


def test_python_message_functions(graph: hf.Graph) -> None:
    """Written in Python they are traced like any other function."""

    class Layer(nn.Module):
        def forward(self, block: hf.Block, x: Tensor) -> Tensor:
            with block.local_scope():
                block.srcdata["h"] = x
                block.apply_edges(lambda edges: {"e": edges.src["h"].tanh()})
                block.update_all(
                    lambda edges: {"m": edges.src["h"] * edges.data["e"]}, fn.mean("m", "h_N")
                )
                return block.dstdata["h_N"][:, :3].contiguous()

    class Widening(nn.Module):
        def __init__(self, width: int, out: int) -> None:
            super().__init__()
            self.linear, self.layer = nn.Linear(width, max(out, 3)), Layer()

        def forward(self, block: hf.Block, x: Tensor) -> Tensor:
            return self.linear(torch.cat([self.layer(block, x)] * (x.shape[1] // 3), 1))

    same_over_an_epoch(Model(Widening), batches(graph), "aot_eager")


def test_a_batch_of_one_node(graph: hf.Graph) -> None:
    """torch compiles sizes of 1 apart: once more, and right."""
    sampler = hf.dataloading.NeighborSampler([3, 4])
    loader = hf.dataloading.DataLoader(graph, torch.arange(101), sampler, batch_size=20)
    model, counting = Model(LAYERS["own"]), Counting("eager")
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counting)
    for _ in range(2):
        for input_nodes, _seeds, blocks in loader:
            x = torch.randn(len(input_nodes), 6)
            torch.testing.assert_close(compiled(blocks, x), model(blocks, x))
    assert counting.count == 2


def test_what_does_not_compile(graph: hf.Graph) -> None:
    """Work by degree depends on values: an error in one graph, not a wrong result."""
    _, _, blocks = next(iter(batches(graph)))
    x = torch.randn(blocks[0].num_src_nodes(), 6)

    def reduced(block: hf.Block, x: Tensor) -> Tensor:
        with block.local_scope():
            block.srcdata["h"] = x
            block.update_all(fn.copy_u("h", "m"), lambda nodes: {"o": nodes.mailbox["m"].sum(1)})
            return block.dstdata["o"]

    for function in (SAGEConv(6, 3, "lstm"), reduced):
        expected = function(blocks[0], x)
        torch._dynamo.reset()
        with pytest.raises(
            (torch._dynamo.exc.TorchDynamoException, RuntimeError), match=r"graph|guard"
        ):
            torch.compile(function, fullgraph=True, dynamic=True, backend="eager")(blocks[0], x)
        torch._dynamo.reset()
        eager = torch.compiler.disable(function)
        mixed = torch.compile(
            lambda b, x, layer=eager: layer(b, x) + 1, dynamic=True, backend="eager"
        )
        torch.testing.assert_close(mixed(blocks[0], x), expected + 1)
