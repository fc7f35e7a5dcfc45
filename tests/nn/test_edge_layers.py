"""GMMConv, NNConv, CFConv and AtomicConv against plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import hopflow as hf
from hopflow.nn import AtomicConv, CFConv, GMMConv, NNConv

SEEDS = [5, 190, 17, 3, 60]
IN, OUT, EDGE = 5, 3, 4


def ends(graph: hf.Graph) -> tuple[Tensor, Tensor]:
    src, dst = graph.edges()
    return src.long(), dst.long()


def scatter(graph: hf.Graph, messages: Tensor, kind: str) -> Tensor:
    """Messages [E, ...] in the order of edge ids, reduced; 0 without in-edges."""
    reduce = {"sum": "sum", "mean": "mean", "max": "amax"}[kind]
    flat = messages.flatten(1)
    index = ends(graph)[1].unsqueeze(1).expand_as(flat)
    out = flat.new_zeros(graph.num_dst_nodes(), flat.shape[1])
    out = out.scatter_reduce(0, index, flat, reduce, include_self=False)
    return out.view(-1, *messages.shape[1:])


def finish(layer: Any, out: Tensor, own: Tensor) -> Tensor:
    if layer.res_fc is not None:
        out = out + layer.res_fc(own)
    return out if layer.bias is None else out + layer.bias


def gmm(layer: GMMConv, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Tensor:
    k = layer.mu.shape[0]
    rows = layer.fc(x).view(len(x), k, -1)[ends(graph)[0]]
    far = ((e[:, None] - layer.mu) * layer.inv_sigma) ** 2
    weight = torch.exp(-0.5 * far.sum(-1))
    return finish(layer, scatter(graph, rows * weight[..., None], layer._aggre_type).sum(1), own)


def nnc(layer: NNConv, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Tensor:
    matrices = layer.edge_func(e).view(len(e), x.shape[1], -1)
    terms = x[ends(graph)[0]][..., None] * matrices
    return finish(layer, scatter(graph, terms, layer._aggre_type).sum(1), own)


def cf(layer: CFConv, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Tensor:
    def ssp(x: Tensor) -> Tensor:
        return functional.softplus(x) - math.log(2)

    first, second = layer.project_edge[0], layer.project_edge[2]
    filters = ssp(second(ssp(first(e))))
    messages = layer.project_node(x)[ends(graph)[0]] * filters
    return ssp(layer.project_out[0](scatter(graph, messages, "sum")))


def mlp(*, hidden: int, bias: bool = True) -> nn.Module:
    return nn.Sequential(nn.Linear(EDGE, hidden), nn.Tanh(), nn.Linear(hidden, IN * OUT, bias=bias))


ZERO = {"allow_zero_in_degree": True}
LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[..., Tensor]]] = {
    **{f"gmm-{k}": (lambda k=k: GMMConv(IN, OUT, EDGE, 2, k, True, **ZERO), gmm)
       for k in ("sum", "mean", "max")},
    "gmm-wide": (lambda: GMMConv(IN, IN, EDGE, 3, residual=True, **ZERO), gmm),
    **{f"nn-{k}": (lambda k=k: NNConv(IN, OUT, mlp(hidden=2), k, True), nnc)
       for k in ("sum", "mean", "max")},
    "nn-matrices": (lambda: NNConv(IN, OUT, mlp(hidden=400)), nnc),
    "nn-linear": (lambda: NNConv(IN, OUT, nn.Linear(EDGE, IN * OUT), "sum", False, False), nnc),
    "nn-no-bias": (lambda: NNConv(IN, OUT, mlp(hidden=2, bias=False)), nnc),
    "cf": (lambda: CFConv(IN, EDGE, 6, OUT), cf),
}  # fmt: skip
NAMES = sorted(LAYERS)


def edge_rows(graph: hf.Graph, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(graph.num_edges())
    return torch.randn(graph.num_edges(), EDGE, generator=generator).to(dtype)


@pytest.mark.parametrize("name", NAMES)
def test_formula(small_graph: hf.Graph, name: str) -> None:
    """On a graph, a block and a pair, with int32 and int64 ids; columns stay as they were."""
    make, formula = LAYERS[name]
    layer = make()
    block = hf.to_block(hf.in_subgraph(small_graph, SEEDS), SEEDS)
    for graph in (small_graph, small_graph.int(), block):
        x, e = graph.srcdata["feat"], edge_rows(graph)
        own = x[: graph.num_dst_nodes()]
        for feat, mine in ((x, own), ((x, own), own), ((x, own + 1), own + 1)):
            want = formula(layer, graph, x, mine, e)
            torch.testing.assert_close(layer(graph, feat, e), want, atol=1e-4, rtol=1e-4)
    assert sorted(small_graph.ndata) == ["feat", "label"]
    assert sorted(small_graph.edata) == ["weight"]


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str) -> None:
    make, formula = LAYERS[name]
    graph = hf.graph(([0, 1, 2, 2, 0, 3, 3], [1, 1, 0, 2, 1, 2, 0]), num_nodes=4)
    layer = make().double()
    x = torch.randn(4, IN, dtype=torch.float64, requires_grad=True)
    e = edge_rows(graph, torch.float64).requires_grad_()
    leaves = [x, e, *layer.parameters()]
    found = torch.autograd.grad(layer(graph, x, e).square().sum(), leaves)
    wanted = torch.autograd.grad(formula(layer, graph, x, x, e).square().sum(), leaves)
    for got, want in zip(found, wanted):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("n", [0, 4])
@pytest.mark.parametrize("name", NAMES)
def test_no_edges(name: str, n: int) -> None:
    layer, graph = LAYERS[name][0](), hf.graph(([], []), num_nodes=n)
    x, e = torch.randn(n, IN, requires_grad=True), torch.zeros(0, EDGE)
    out = layer(graph, x, e)
    bias = getattr(layer, "bias", None)
    if name == "cf":
        want = layer.project_out(torch.zeros(n, 6))
    else:
        want = finish(layer, torch.zeros(n, out.shape[1]), x)
    torch.testing.assert_close(out, want)
    out.sum().backward()
    assert bias is None or torch.equal(bias.grad, torch.full_like(bias, float(n)))


@pytest.mark.parametrize("name", NAMES)
def test_other_floats_and_autocast(small_graph: hf.Graph, name: str) -> None:
    make, _ = LAYERS[name]
    layer, x = make(), small_graph.ndata["feat"].clone().requires_grad_()
    e = edge_rows(small_graph) * 0.5
    want = layer(small_graph, x, e)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer(small_graph, x, e)
        narrow = layer(small_graph, x.bfloat16(), e)
    size = want.abs().max().item()
    for out in (mixed, narrow):
        assert torch.allclose(out.float(), want, atol=0.03 * size, rtol=0.05)
        out.float().sum().backward()
        assert torch.isfinite(x.grad).all()
    for dtype, atol in ((torch.float64, 1e-4), (torch.bfloat16, 0.05 * size)):
        out = layer.to(dtype)(small_graph, x.to(dtype), e.to(dtype))
        assert out.dtype == dtype
        assert torch.allclose(out.float(), want, atol=atol, rtol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_inputs(name: str) -> None:
    """Rows that do not match are refused, never broadcast; columns stay as they were."""
    layer, graph = LAYERS[name][0](), hf.graph(([0, 1, 2, 2], [1, 2, 0, 1]), num_nodes=4)
    x, e = torch.randn(4, IN), torch.randn(4, EDGE)
    for feat in (x[:3], x[:1], torch.randn(5, IN), (x, x[:1]), (x[:1], x), (x, x, x)):
        with pytest.raises(ValueError, match="row"):
            layer(graph, feat, e)
    with pytest.raises(ValueError, match="5 features"):
        layer(graph, x[:, :4], e)
    with pytest.raises(ValueError, match="one dimension"):
        layer(graph, torch.randn(4, 2, IN), e)
    for bad in (e[:3], e[:1], torch.randn(5, EDGE)):
        with pytest.raises(ValueError, match="4 edges"):
            layer(graph, x, bad)
    assert list(graph.ndata) == list(graph.edata) == []


class Largest(TorchDispatchMode):
    """The most numbers that any operator's result has."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(x, Tensor):
                self.numel = max(self.numel, x.numel())
        return out


@pytest.mark.parametrize("kind", ["sum", "mean"])
def test_nn_conv_writes_no_matrix_for_every_edge(kind: str) -> None:
    """Neither forward nor backward, where the edge function ends in a Linear; else once each."""
    graph = hf.graph((torch.randint(50, (3000,)), torch.randint(50, (3000,))), num_nodes=50)
    width, hidden = 16, 8
    x = torch.randn(50, width, requires_grad=True)
    e = torch.randn(3000, hidden, requires_grad=True)

    def largest(network: nn.Module) -> int:
        layer = NNConv(width, width, network, kind)
        with Largest() as seen:
            layer(graph, x, e).sum().backward()
        return seen.numel

    last = nn.Linear(hidden, width * width)
    assert largest(nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), last)) <= 3000 * width
    assert largest(nn.Sequential(last, nn.Tanh())) == 3000 * width * width


def test_nn_conv_calls_a_network_with_hooks(small_graph: hf.Graph) -> None:
    """A network that is more than its layers is called as it is, with the same result."""
    x, e = small_graph.ndata["feat"], edge_rows(small_graph)
    layer = NNConv(IN, OUT, mlp(hidden=2))
    want, seen = layer(small_graph, x, e), []
    for watched in (layer.edge_func, layer.edge_func[-1]):
        handle = watched.register_forward_hook(lambda m, given, out: seen.append(out.shape))
        torch.testing.assert_close(layer(small_graph, x, e), want)
        handle.remove()
    assert seen == [(2000, IN * OUT)] * 2
    for network in (lambda e: e[:, :1], nn.Linear(EDGE, IN * OUT - 1)):
        with pytest.raises(ValueError, match=r"5 \* 3 numbers"):
            NNConv(IN, OUT, network)(small_graph, x, e)


def test_gmm_order_of_products_does_not_matter(small_graph: hf.Graph) -> None:
    """A hook on the projection has it called; without one it may come after the sum."""
    x, e = small_graph.ndata["feat"], edge_rows(small_graph)
    for kind in ("sum", "mean"):
        layer = GMMConv(IN, 8, EDGE, 3, kind, allow_zero_in_degree=True)
        want, seen = layer(small_graph, x, e), []
        layer.fc.register_forward_hook(lambda m, given, out, seen=seen: seen.append(out.shape))
        torch.testing.assert_close(layer(small_graph, x, e), want, atol=1e-5, rtol=1e-5)
        assert seen == [(200, 24)]


def test_gmm_needs_in_edges(small_graph: hf.Graph) -> None:
    layer, x = GMMConv(IN, OUT, EDGE, 2), small_graph.ndata["feat"]
    with pytest.raises(hf.HopflowError, match="0-in-degree"):
        layer(small_graph, x, edge_rows(small_graph))
    layer.set_allow_zero_in_degree(True)
    assert layer(small_graph, x, edge_rows(small_graph)).shape == (200, OUT)


def test_unknown_aggregators() -> None:
    for make in (lambda: GMMConv(1, 1, 1, 1, "min"), lambda: NNConv(1, 1, nn.Identity(), "min")):
        with pytest.raises(KeyError, match="min"):
            make()


def test_parameters_are_dgls() -> None:
    """Names, order and shapes, so that a state dict moves either way."""
    cutoffs = torch.ones(3)
    made = {
        GMMConv((IN, 4), OUT, 2, 6, residual=True): {
            "mu": (6, 2), "inv_sigma": (6, 2), "bias": (3,), "fc.weight": (18, 5),
            "res_fc.weight": (3, 4),
        },
        NNConv((IN, 4), OUT, nn.Linear(2, 15), residual=True): {
            "bias": (3,), "edge_func.weight": (15, 2), "edge_func.bias": (15,),
            "res_fc.weight": (3, 4),
        },
        NNConv(IN, OUT, lambda e: e, bias=False): {},
        CFConv(IN, EDGE, 6, OUT): {
            "project_edge.0.weight": (6, 4), "project_edge.0.bias": (6,),
            "project_edge.2.weight": (6, 6), "project_edge.2.bias": (6,),
            "project_node.weight": (6, 5), "project_node.bias": (6,),
            "project_out.0.weight": (3, 6), "project_out.0.bias": (3,),
        },
        AtomicConv(cutoffs, cutoffs, cutoffs, torch.ones(2)): {
            "features_to_use": (2,), "radial_pooling.interaction_cutoffs": (3, 1, 1),
            "radial_pooling.rbf_kernel_means": (3, 1, 1),
            "radial_pooling.rbf_kernel_scaling": (3, 1, 1),
        },
    }  # fmt: skip
    for layer, shapes in made.items():
        assert {k: tuple(x.shape) for k, x in layer.state_dict().items()} == shapes
        assert list(layer.state_dict()) == list(shapes)


def test_initialisation() -> None:
    torch.manual_seed(1)
    layer = GMMConv((300, 200), 50, 4, 80, residual=True)
    assert layer.inv_sigma.eq(1).all()
    assert not layer.bias.any()
    assert layer.mu.std().item() == pytest.approx(0.1, rel=0.2)
    for weight, fans in ((layer.fc.weight, 300 + 4000), (layer.res_fc.weight, 250)):
        assert weight.std().item() == pytest.approx((4 / fans) ** 0.5, rel=0.05)


ATOMS = torch.tensor([1.0, 6.0, 8.0])


def atomic(uses_features: bool) -> AtomicConv:
    return AtomicConv(
        torch.tensor([0.5, 0.8]), torch.tensor([0.1, 0.4]), torch.tensor([2.0, 3.0]),
        ATOMS if uses_features else None,
    )  # fmt: skip


@pytest.mark.parametrize("uses_features", [True, False])
def test_atomic_conv(small_graph: hf.Graph, uses_features: bool) -> None:
    """Every destination by itself; on a graph, a block and a pair; gradients of the filters."""
    layer = atomic(uses_features)
    small_graph.ndata["atom"] = ATOMS[small_graph.ndata["label"] % 3].unsqueeze(1)
    block = hf.to_block(hf.in_subgraph(small_graph, SEEDS), SEEDS)
    for graph in (small_graph, small_graph.int(), block):
        atoms, far = graph.srcdata["atom"], graph.edata["weight"].unsqueeze(1).requires_grad_()
        c, mean, gamma = (p.view(-1) for p in layer.radial_pooling.parameters())
        pooled = torch.exp(-gamma * (far - mean) ** 2) * 0.5 * (torch.cos(math.pi * far / c) + 1)
        pooled = pooled * (far <= c)
        kinds = (atoms == ATOMS).float() if uses_features else atoms
        messages = kinds[ends(graph)[0]].unsqueeze(2) * pooled.unsqueeze(1)
        want = scatter(graph, messages, "sum").flatten(1)
        leaves = [far, *layer.radial_pooling.parameters()]
        wanted = torch.autograd.grad(want.square().sum(), leaves)
        for feat in (atoms, (atoms, atoms[: graph.num_dst_nodes()])):
            got = layer(graph, feat, far)
            torch.testing.assert_close(got, want)
            for a, b in zip(torch.autograd.grad(got.square().sum(), leaves), wanted):
                torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match=r"distances: expected shape \[2000, 1\]"):
        layer(small_graph, small_graph.ndata["atom"], far)
    empty = layer(hf.graph(([], []), num_nodes=3), torch.ones(3, 1), torch.zeros(0, 1))
    assert torch.equal(empty, torch.zeros(3, 6 if uses_features else 2))
