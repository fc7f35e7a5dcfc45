"""GraphConv and EdgeWeightNorm: formula, parameters, forms of input, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import hopflow as hf
from hopflow.nn import EdgeWeightNorm, GraphConv
from hopflow.nn._checks import require_in_degrees

NORMS = ["none", "both", "right", "left"]
SEEDS = [5, 190, 17, 3, 60]
HF = hf.HopflowError


def dense(graph: hf.Graph, weight: Tensor) -> Tensor:
    """The weighted adjacency matrix [V, U]; duplicate edges add up."""
    src, dst = graph.edges()
    matrix = weight.new_zeros(graph.num_dst_nodes(), graph.num_src_nodes())
    return matrix.index_put((dst.long(), src.long()), weight, accumulate=True)


def by_matrix(layer: GraphConv, graph: hf.Graph, x: Tensor, edge_weight: Tensor) -> Tensor:
    """The layer's formula with dense matrices."""
    counts = dense(graph, torch.ones_like(edge_weight))
    d_in, d_out = counts.sum(1).clamp(min=1), counts.sum(0).clamp(min=1)
    left = {"left": 1 / d_out, "both": d_out**-0.5}.get(layer._norm, torch.ones_like(d_out))
    right = {"right": 1 / d_in, "both": d_in**-0.5}.get(layer._norm, torch.ones_like(d_in))
    out = right[:, None] * dense(graph, edge_weight) * left @ x
    out = out if layer.weight is None else out @ layer.weight
    return out if layer.bias is None else out + layer.bias


@pytest.mark.parametrize("out_feats", [2, 9])
@pytest.mark.parametrize("norm", NORMS)
def test_formula(small_graph: hf.Graph, norm: str, out_feats: int) -> None:
    layer = GraphConv(5, out_feats, norm, allow_zero_in_degree=True)
    torch.nn.init.normal_(layer.bias)
    block = hf.to_block(hf.in_subgraph(small_graph, SEEDS), SEEDS)
    for graph in (small_graph, block):
        x, weight = graph.srcdata["feat"], graph.edata["weight"].clone()
        want = by_matrix(layer, graph, x, torch.ones_like(weight))
        assert torch.allclose(layer(graph, x), want, atol=1e-4)
        assert torch.allclose(layer(graph, (x, x[: graph.num_dst_nodes()])), want, atol=1e-4)
        want = by_matrix(layer, graph, x, weight)
        for given in (weight, weight.unsqueeze(1)):
            assert torch.allclose(layer(graph, x, edge_weight=given), want, atol=1e-4)
    assert sorted(small_graph.ndata) == ["feat", "label"]
    assert sorted(small_graph.edata) == ["weight"]
    assert block.ndata["feat"].shape == (5, 5)


def test_weights_and_bias(small_graph: hf.Graph) -> None:
    x, given = small_graph.ndata["feat"], torch.randn(5, 3, requires_grad=True)
    bare = GraphConv(5, 3, weight=False, bias=False, allow_zero_in_degree=True)
    own = GraphConv(5, 3, bias=False, allow_zero_in_degree=True)
    assert list(bare.state_dict()) == []
    with torch.no_grad():
        own.weight.copy_(given)
    out = bare(small_graph, x, weight=given)
    assert torch.equal(out, own(small_graph, x))
    out.sum().backward()
    assert given.grad is not None
    assert bare(small_graph, x).shape == x.shape
    with pytest.raises(ValueError, match="weight=False"):
        own(small_graph, x, weight=given)


def test_features_of_more_dimensions(small_graph: hf.Graph) -> None:
    layer = GraphConv(5, 3, allow_zero_in_degree=True)
    x = torch.randn(200, 4, 5)
    out = layer(small_graph, x, edge_weight=small_graph.edata["weight"])
    for i in range(4):
        want = layer(small_graph, x[:, i], edge_weight=small_graph.edata["weight"])
        assert torch.allclose(out[:, i], want, atol=1e-5)


def test_parameters_are_dgls() -> None:
    layer = GraphConv(40, 20, activation=torch.relu)
    shapes = {k: tuple(x.shape) for k, x in layer.state_dict().items()}
    assert shapes == {"weight": (40, 20), "bias": (20,)}
    bound = (6 / 60) ** 0.5
    assert 0.9 * bound < layer.weight.abs().max() <= bound
    assert not layer.bias.any()
    before = layer.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight, before)
    assert "in=40, out=20, normalization=both" in repr(layer)


def test_activation(small_graph: hf.Graph) -> None:
    x = small_graph.ndata["feat"]
    layer = GraphConv(5, 3, activation=torch.relu, allow_zero_in_degree=True)
    plain = GraphConv(5, 3, allow_zero_in_degree=True)
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(layer(small_graph, x), torch.relu(plain(small_graph, x)))


@pytest.mark.parametrize("out_feats", [2, 4])
@pytest.mark.parametrize("norm", NORMS)
def test_gradients(norm: str, out_feats: int) -> None:
    graph = hf.graph(([0, 1, 2, 2, 0], [1, 1, 0, 2, 1]), num_nodes=4)
    layer = GraphConv(3, out_feats, norm, allow_zero_in_degree=True).double()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    e = torch.rand(5, dtype=torch.float64).add(0.5).requires_grad_()

    def run(x: Tensor, e: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        parameters = {"weight": weight, "bias": bias}
        return torch.func.functional_call(layer, parameters, (graph, x), {"edge_weight": e})

    assert torch.autograd.gradcheck(run, (x, e, layer.weight, layer.bias))


@pytest.mark.parametrize("n", [0, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_no_edges(norm: str, n: int) -> None:
    layer, graph = GraphConv(4, 2, norm), hf.graph(([], []), num_nodes=n)
    layer.set_allow_zero_in_degree(True)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(n, 4, requires_grad=True)
    out = layer(graph, x, edge_weight=torch.ones(0))
    out.sum().backward()
    assert torch.equal(out, layer.bias.expand(n, 2))
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("norm", NORMS)
def test_other_floats(small_graph: hf.Graph, norm: str, dtype: torch.dtype) -> None:
    layer, x = GraphConv(5, 3, norm, allow_zero_in_degree=True), small_graph.ndata["feat"]
    weight = small_graph.edata["weight"]
    want = layer(small_graph, x, edge_weight=weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer(small_graph, x, edge_weight=weight)
    assert torch.allclose(mixed.float(), want, atol=0.1, rtol=0.05)
    out = layer.to(dtype)(small_graph, x.to(dtype), edge_weight=weight.to(dtype))
    assert out.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float64 else 0.1
    assert torch.allclose(out.float(), want, atol=tolerance, rtol=0.05)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_hub_is_counted_in_full(dtype: torch.dtype) -> None:
    """70,000 edges are more than float16 can hold, and 257 more than bfloat16 can count."""
    n = 70_000
    graph = hf.graph((torch.arange(n), torch.zeros(n, dtype=torch.int64)), num_nodes=n)
    layer = GraphConv(1, 1, weight=False, bias=False, allow_zero_in_degree=True)
    x = torch.full((n, 1), 0.5, dtype=dtype)
    out = layer(graph, x)
    assert torch.allclose(out[0].float(), torch.tensor([0.5 * n**0.5]), rtol=0.01)


def test_zero_in_degrees(small_graph: hf.Graph) -> None:
    layer, x = GraphConv(5, 3), small_graph.ndata["feat"]
    missing = int((small_graph.in_degrees() == 0).sum())
    assert missing >= 20
    with pytest.raises(HF, match=rf"{missing} of 200 .* 0-in-degree .*add_self_loop"):
        layer(small_graph, x)
    with pytest.raises(HF, match="allow_zero_in_degree"):
        layer(hf.to_block(hf.in_subgraph(small_graph, [190]), [190]), x[:1])
    assert layer(hf.add_self_loop(small_graph), x).shape == (200, 3)
    layer.set_allow_zero_in_degree(True)
    assert not layer(small_graph, x)[190:].any()
    layer.set_allow_zero_in_degree(False)
    with pytest.raises(HF, match="in-edge"):
        layer(small_graph, x)


@pytest.mark.skipif(not hasattr(torch.compiler, "is_compiling"), reason="torch 2.2 cannot be asked")
def test_a_compiled_check_of_degrees(small_graph: hf.Graph) -> None:
    """Where a model is compiled into one graph the check is a part of it."""

    def run(graph: hf.Graph, x: Tensor, allow: bool) -> Tensor:
        require_in_degrees(graph, allow)
        return x + 1

    compiled = torch.compile(run, fullgraph=True, backend="eager", dynamic=True)
    x = small_graph.ndata["feat"]
    assert torch.equal(compiled(hf.add_self_loop(small_graph), x, False), x + 1)
    assert torch.equal(compiled(small_graph, x, True), x + 1)
    with pytest.raises(RuntimeError, match="0-in-degree"):
        compiled(small_graph, x, False)


def test_wrong_inputs() -> None:
    with pytest.raises(ValueError, match=r"norm.*'most'"):
        GraphConv(3, 2, norm="most")
    graph = hf.graph(([0, 1, 2, 2], [1, 2, 0, 1]), num_nodes=3)
    layer, x = GraphConv(3, 2), torch.randn(3, 3)
    for feat in (x[:2], x[:1], x[0], torch.randn(4, 3), (x, x[:1]), (x[:1], x), (x, x, x)):
        with pytest.raises(ValueError, match="row"):
            layer(graph, feat)
    with pytest.raises(TypeError, match="NoneType"):
        layer(graph, (x, None))
    with pytest.raises(ValueError, match="3 features"):
        layer(graph, x[:, :2])
    for weight in (torch.ones(3), torch.ones(1), torch.ones(()), torch.ones(5, 1)):
        with pytest.raises(ValueError, match="4 edges"):
            layer(graph, x, edge_weight=weight)
    with pytest.raises(ValueError, match="broadcast"):
        layer(graph, x, edge_weight=torch.ones(4, 5))
    assert list(graph.ndata) == list(graph.edata) == []


def test_training_after_inference_mode(small_graph: hf.Graph) -> None:
    layer, norm = GraphConv(5, 3, allow_zero_in_degree=True), EdgeWeightNorm()
    x, weight = small_graph.ndata["feat"], small_graph.edata["weight"] + 0.1
    with torch.inference_mode():
        layer(small_graph, x, edge_weight=norm(small_graph, weight))
    x = x.clone().requires_grad_()
    weight = weight.clone().requires_grad_()
    layer(small_graph, x, edge_weight=norm(small_graph, weight)).sum().backward()
    assert weight.grad is not None


# --- EdgeWeightNorm ---


@pytest.mark.parametrize("eps", [0.0, 0.5])
@pytest.mark.parametrize("norm", ["both", "right", "none"])
def test_edge_weight_norm(small_graph: hf.Graph, norm: str, eps: float) -> None:
    layer = EdgeWeightNorm(norm, eps)
    assert list(layer.state_dict()) == []
    block = hf.to_block(hf.in_subgraph(small_graph, SEEDS), SEEDS)
    for graph in (small_graph, small_graph.int(), block):
        weight = graph.edata["weight"] + 0.1
        src, dst = (end.long() for end in graph.edges())
        sums = dense(graph, weight)
        d_in, d_out = sums.sum(1)[dst] + eps, sums.sum(0)[src] + eps
        divisor = {"both": (d_in * d_out) ** 0.5, "right": d_in}.get(norm, 1)
        assert torch.allclose(layer(graph, weight), weight / divisor, rtol=1e-5)
        half = layer(graph, weight.bfloat16())
        assert half.dtype == torch.bfloat16
        assert torch.allclose(half.float(), weight / divisor, rtol=0.03)
    assert sorted(small_graph.ndata) == ["feat", "label"]


@pytest.mark.parametrize("norm", ["both", "right"])
def test_edge_weight_norm_gradients(norm: str) -> None:
    graph = hf.graph(([0, 1, 2, 2, 0], [1, 1, 0, 2, 1]), num_nodes=5)
    weight = torch.rand(5, dtype=torch.float64).add(0.5).requires_grad_()
    layer = EdgeWeightNorm(norm)
    assert torch.autograd.gradcheck(lambda w: layer(graph, w), (weight,))
    with torch.autograd.detect_anomaly(check_nan=True):
        layer(graph, weight).sum().backward()


def test_edge_weight_norm_errors() -> None:
    with pytest.raises(ValueError, match=r"norm.*'left'"):
        EdgeWeightNorm("left")
    graph = hf.graph(([0, 1], [1, 2]), num_nodes=3)
    for weight in (torch.tensor([1.0, 0.0]), torch.tensor([1.0, -2.0])):
        with pytest.raises(HF, match=r"positive.*got (0|-2)"):
            EdgeWeightNorm("both")(graph, weight)
        EdgeWeightNorm("right")(graph, weight)
    with pytest.raises(ValueError, match="more dimensions"):
        EdgeWeightNorm("both")(graph, torch.ones(2, 1))
    with pytest.raises(ValueError, match="2 edges"):
        EdgeWeightNorm("both")(graph, torch.ones(3))
    empty = hf.graph(([], []), num_nodes=3)
    assert EdgeWeightNorm("both")(empty, torch.ones(0)).shape == (0,)
