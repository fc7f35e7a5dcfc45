"""GINConv, GINEConv, SGConv, APPNPConv, EdgeConv and SAGEConv's LSTM against plain torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hopflow as hf
from hopflow.nn import APPNPConv, EdgeConv, GINConv, GINEConv, SAGEConv, SGConv

HF = hf.HopflowError
SEEDS = [5, 190, 17, 3, 60]
Run = Callable[[nn.Module, hf.Graph, Any, Tensor, Tensor], Tensor]


def ends(graph: hf.Graph) -> tuple[Tensor, Tensor]:
    src, dst = graph.edges()
    return src.long(), dst.long()


def scatter(graph: hf.Graph, messages: Tensor, reduce: str) -> Tensor:
    """Messages [E, D] in the order of edge ids, reduced; 0 without in-edges."""
    index = ends(graph)[1].unsqueeze(1).expand_as(messages)
    out = messages.new_zeros(graph.num_dst_nodes(), messages.shape[1])
    return out.scatter_reduce(0, index, messages, reduce, include_self=False)


def degrees(graph: hf.Graph, like: Tensor) -> tuple[Tensor, Tensor]:
    """Out- and in-degree of each edge's ends."""
    src, dst = ends(graph)
    by_src, by_dst = (
        torch.bincount(end, minlength=n).to(like)
        for end, n in ((src, graph.num_src_nodes()), (dst, graph.num_dst_nodes()))
    )
    return by_src[src], by_dst[dst]


def gin(layer: GINConv, graph: hf.Graph, x: Tensor, own: Tensor, w: Tensor) -> Tensor:
    reduce = {"sum": "sum", "mean": "mean", "max": "amax"}[layer._aggregator_type]
    neighbor = scatter(graph, x[ends(graph)[0]] * w[:, None], reduce)
    return layer.apply_func((1 + layer.eps) * own + neighbor)


def gine(layer: GINEConv, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Tensor:
    messages = torch.relu(x[ends(graph)[0]] + e[:, None])
    return layer.apply_func((1 + layer.eps) * own + scatter(graph, messages, "sum"))


def edge(layer: EdgeConv, graph: hf.Graph, x: Tensor, own: Tensor, _: Tensor) -> Tensor:
    src, dst = ends(graph)
    messages = layer.theta(own[dst] - x[src]) + layer.phi(own[dst])
    if layer.batch_norm and len(src):
        messages = layer.bn(messages)
    return scatter(graph, messages, "amax")


def step(graph: hf.Graph, h: Tensor, w: Tensor | None, *, symmetric: bool = False) -> Tensor:
    """One normalised sum, by degrees or by sums of weights."""
    src, dst = ends(graph)
    if w is not None:
        total = [h.new_zeros(n).index_add(0, i, w) for n, i in ((len(h), src), (len(h), dst))]
        factor = w / (total[0][src] * total[1][dst]) ** 0.5
    else:
        by_src, by_dst = degrees(graph, h)
        if symmetric:
            count = torch.bincount(dst, minlength=graph.num_dst_nodes()).to(h)
            by_src = count.clamp(min=1)[src]
        factor = (by_src * by_dst) ** -0.5
    return scatter(graph, h[src] * factor[:, None], "sum")


def sg(layer: SGConv, graph: hf.Graph, x: Tensor, own: Tensor, w: Tensor) -> Tensor:
    for _ in range(layer._k):
        x = step(graph, x, None, symmetric=not graph.is_block)
    return layer.fc(x)


def appnp(layer: APPNPConv, graph: hf.Graph, x: Tensor, own: Tensor, w: Tensor) -> Tensor:
    for _ in range(layer._k):
        x = (1 - layer._alpha) * step(graph, x, None) + layer._alpha * own
    return x


def lstm(layer: SAGEConv, graph: hf.Graph, x: Tensor, own: Tensor, w: Tensor) -> Tensor:
    """The LSTM written out, one destination at a time."""
    src, dst = ends(graph)
    p, rows = layer.lstm, []
    for v in range(graph.num_dst_nodes()):
        h = c = x.new_zeros(x.shape[1])
        for e in (dst == v).nonzero().flatten().tolist():
            message = x[src[e]] * w[e]
            gates = p.weight_ih_l0 @ message + p.bias_ih_l0 + p.weight_hh_l0 @ h + p.bias_hh_l0
            i, f, g, o = gates.chunk(4)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        rows.append(h)
    neighbor = torch.stack(rows) if rows else x.new_zeros(0, x.shape[1])
    return layer.fc_self(own) + layer.fc_neigh(neighbor)


def plain(layer: nn.Module, graph: hf.Graph, feat: Any, w: Tensor) -> Tensor:
    return layer(graph, feat)


def weighted(layer: nn.Module, graph: hf.Graph, feat: Any, w: Tensor) -> Tensor:
    return layer(graph, feat, edge_weight=w)


def with_edges(layer: nn.Module, graph: hf.Graph, feat: Any, w: Tensor) -> Tensor:
    return layer(graph, feat, w.unsqueeze(1).expand(-1, 5))


# name: (layer, how it is called, the formula); widths 5 and 3.
LAYERS: dict[str, tuple[Callable[[], nn.Module], Any, Any]] = {
    **{
        f"gin-{kind}": (
            lambda kind=kind: GINConv(nn.Linear(5, 3), kind, 0.3, True), weighted, gin,
        )
        for kind in ("sum", "max", "mean")
    },
    "gine": (lambda: GINEConv(nn.Linear(5, 3), 0.3, True), with_edges, gine),
    "sg": (lambda: SGConv(5, 3, allow_zero_in_degree=True), plain, sg),
    "appnp": (lambda: APPNPConv(1, 0.2), plain, appnp),
    "edge": (lambda: EdgeConv(5, 3, allow_zero_in_degree=True), plain, edge),
    "edge-bn": (lambda: EdgeConv(5, 3, True, allow_zero_in_degree=True), plain, edge),
    "lstm": (lambda: SAGEConv(5, 3, "lstm"), weighted, lstm),
}  # fmt: skip
NAMES = sorted(LAYERS)


@pytest.mark.parametrize("name", NAMES)
def test_formula(small_graph: hf.Graph, name: str) -> None:
    """On a graph, a block and a pair, with int32 and int64 ids; columns stay as they were."""
    make, call, formula = LAYERS[name]
    layer = make()
    block = hf.to_block(hf.in_subgraph(small_graph, SEEDS), SEEDS)
    for graph in (small_graph, small_graph.int(), block):
        x, w = graph.srcdata["feat"], graph.edata["weight"].clone()
        own = x[: graph.num_dst_nodes()]
        want = formula(layer, graph, x, own, w)
        assert torch.allclose(call(layer, graph, x, w), want, atol=1e-4)
        assert torch.allclose(call(layer, graph, (x, own), w), want, atol=1e-4)
        other = torch.randn_like(own)
        want = formula(layer, graph, x, other, w)
        assert torch.allclose(call(layer, graph, (x, other), w), want, atol=1e-4)
    assert sorted(small_graph.ndata) == ["feat", "label"]
    assert sorted(small_graph.edata) == ["weight"]


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str) -> None:
    make, call, _ = LAYERS[name]
    graph = hf.graph(([0, 1, 2, 2, 0], [1, 1, 0, 2, 1]), num_nodes=4)
    layer = make().double()
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    w = torch.rand(5, dtype=torch.float64).add(0.5).requires_grad_()
    names = [k for k, p in layer.named_parameters()]

    def run(x: Tensor, w: Tensor, *parameters: Tensor) -> Tensor:
        call_it = Call(layer, call)
        given = {f"layer.{k}": p for k, p in zip(names, parameters)}
        return torch.func.functional_call(call_it, given, (graph, x, w))

    if call is plain:
        w = w.detach()
    assert torch.autograd.gradcheck(run, (x, w, *layer.parameters()))


class Call(nn.Module):
    """A layer called in its way, so that parameters can be given."""

    def __init__(self, layer: nn.Module, how: Any) -> None:
        super().__init__()
        self.layer, self.how = layer, how

    def forward(self, graph: hf.Graph, x: Tensor, w: Tensor) -> Tensor:
        return self.how(self.layer, graph, x, w)


@pytest.mark.parametrize("n", [0, 4])
@pytest.mark.parametrize("name", NAMES)
def test_no_edges(name: str, n: int) -> None:
    make, call, formula = LAYERS[name]
    layer, graph = make(), hf.graph(([], []), num_nodes=n)
    x = torch.randn(n, 5, requires_grad=True)
    out = call(layer, graph, x, torch.ones(0))
    assert torch.allclose(out, formula(layer, graph, x, x, torch.ones(0)), atol=1e-6)
    out.sum().backward()
    assert x.grad is not None
    assert not any(torch.isnan(p).any() for p in layer.state_dict().values())


def require_lstm_under_autocast() -> None:
    """Skip where torch itself has none for the processor."""
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.nn.LSTM(4, 4, batch_first=True)(torch.zeros(2, 3, 4))
    except RuntimeError as error:
        pytest.skip(f"torch's LSTM does not run here under autocast: {str(error)[:60]}")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_other_floats_and_autocast(small_graph: hf.Graph, name: str, dtype: torch.dtype) -> None:
    if name == "lstm":
        require_lstm_under_autocast()
    make, call, _ = LAYERS[name]
    layer, x = make(), small_graph.ndata["feat"].clone().requires_grad_()
    w = small_graph.edata["weight"].clone().requires_grad_()
    want = call(layer, small_graph, x, w)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = call(layer, small_graph, x, w)
        narrow = call(layer, small_graph, x.bfloat16(), w)
    for out in (mixed, narrow):
        assert torch.allclose(out.float(), want, atol=0.15, rtol=0.05)
        out.float().sum().backward()
        assert x.grad is not None
        assert torch.isfinite(x.grad).all()
    out = call(layer.to(dtype), small_graph, x.to(dtype), w.to(dtype))
    assert out.dtype == dtype
    exact = dtype == torch.float64
    assert torch.allclose(out.float(), want, atol=1e-4 if exact else 0.15, rtol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_training_after_inference_mode(name: str) -> None:
    make, call, _ = LAYERS[name]
    graph = hf.graph(([2, 0, 1, 2], [1, 1, 2, 0]), num_nodes=4)
    graph.ndata["x"] = torch.randn(4, 5)
    layer, block = make(), hf.to_block(graph, [0, 1, 2, 3])
    for g in (graph, block, hf.in_subgraph(graph, [1, 2])):
        w = torch.rand(g.num_edges())
        with torch.inference_mode():
            call(layer, g, g.srcdata["x"], w)
        x = g.srcdata["x"].clone().requires_grad_()
        call(layer, g, x, w.requires_grad_()).sum().backward()
        assert x.grad is not None


@pytest.mark.parametrize("name", NAMES)
def test_backward_is_deterministic(small_graph: hf.Graph, name: str) -> None:
    make, call, _ = LAYERS[name]
    layer, x = make(), small_graph.ndata["feat"].clone().requires_grad_()
    w = small_graph.edata["weight"]

    def gradients() -> list[Tensor]:
        out = call(layer, small_graph, x, w)
        return list(torch.autograd.grad(out.square().sum(), [x, *layer.parameters()]))

    first = gradients()
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(first, gradients()))


def test_parameters_are_dgls() -> None:
    """Names, order and shapes, so that a state dict moves either way."""
    linear = {"apply_func.weight": (3, 5), "apply_func.bias": (3,)}
    theta = {"theta.weight": (3, 5), "theta.bias": (3,), "phi.weight": (3, 5), "phi.bias": (3,)}
    norm = {f"bn.{k}": (3,) for k in ("weight", "bias", "running_mean", "running_var")}
    expected = {
        "gin-sum": {"eps": (1,), **linear},
        "gine": {"eps": (1,), **linear},
        "sg": {"fc.weight": (3, 5), "fc.bias": (3,)},
        "appnp": {},
        "edge": theta,
        "edge-bn": {**theta, **norm, "bn.num_batches_tracked": ()},
        "lstm": {
            "lstm.weight_ih_l0": (20, 5), "lstm.weight_hh_l0": (20, 5), "lstm.bias_ih_l0": (20,),
            "lstm.bias_hh_l0": (20,), "fc_neigh.weight": (3, 5), "fc_self.weight": (3, 5),
            "fc_self.bias": (3,),
        },
    }  # fmt: skip
    for name, shapes in expected.items():
        state = LAYERS[name][0]().state_dict()
        assert {k: tuple(x.shape) for k, x in state.items()} == shapes
        assert list(state) == list(shapes)
    assert list(SGConv(5, 3, bias=False).state_dict()) == ["fc.weight"]
    for fixed in (GINConv(), GINEConv()):
        assert list(fixed.state_dict()) == ["eps"]
        assert list(fixed.parameters()) == []
        assert fixed.eps.tolist() == [0.0]


def test_initialisation() -> None:
    layer = SGConv(40, 20)
    bound = (6 / 60) ** 0.5
    assert 0.9 * bound < layer.fc.weight.abs().max() <= bound
    assert not layer.fc.bias.any()
    sage = SAGEConv(40, 20, "lstm")
    assert 0.9 * 40**-0.5 < sage.lstm.weight_hh_l0.abs().max() <= 40**-0.5
    before = sage.lstm.weight_ih_l0.clone()
    sage.reset_parameters()
    assert not torch.equal(before, sage.lstm.weight_ih_l0)
    assert GINConv(init_eps=0.25).eps.item() == 0.25


@pytest.mark.parametrize("layer", [SGConv(5, 3), EdgeConv(5, 3), EdgeConv(5, 3, True)], ids=repr)
def test_zero_in_degrees(small_graph: hf.Graph, layer: Any) -> None:
    x = small_graph.ndata["feat"]
    with pytest.raises(HF, match=r"0-in-degree .*allow_zero_in_degree"):
        layer(small_graph, x)
    assert layer(hf.add_self_loop(small_graph), x).shape == (200, 3)
    layer.set_allow_zero_in_degree(True)
    assert layer(small_graph, x).shape == (200, 3)
    layer.set_allow_zero_in_degree(False)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_inputs(name: str) -> None:
    """Rows that do not match are refused, never broadcast; columns stay as they were."""
    make, call, _ = LAYERS[name]
    layer, graph = make(), hf.graph(([0, 1, 2, 2], [1, 2, 0, 1]), num_nodes=4)
    x, w = torch.randn(4, 5), torch.ones(4)
    for feat in (x[:3], x[:1], torch.randn(5, 5), (x, x[:1]), (x[:1], x), (x, x, x)):
        with pytest.raises(ValueError, match="row"):
            call(layer, graph, feat, w)
    if call is not plain:
        for bad in (w[:3], w[:1], torch.ones(5)):
            with pytest.raises(ValueError, match=r"4 edges|\[4\]"):
                call(layer, graph, x, bad)
    if name not in ("sg", "lstm"):
        with pytest.raises(ValueError, match="one shape"):
            call(layer, graph, (x, x[:, :1]), w)
    assert list(graph.ndata) == list(graph.edata) == []


def test_unknown_aggregators() -> None:
    for make in (lambda: GINConv(aggregator_type="min"), lambda: SAGEConv(3, 2, "min")):
        with pytest.raises(KeyError, match="min"):
            make()


def test_lstm_needs_its_width(small_graph: hf.Graph) -> None:
    layer = SAGEConv(5, 3, "lstm")
    with pytest.raises(ValueError, match="one dimension"):
        layer(small_graph, torch.randn(200, 2, 5))
    with pytest.raises((ValueError, RuntimeError)):
        layer(small_graph, torch.randn(200, 4))


def test_gin_options(small_graph: hf.Graph) -> None:
    x = small_graph.ndata["feat"]
    bare = GINConv()
    assert torch.allclose(
        bare(small_graph, x), x + hf.ops.spmm(*csc(small_graph), x), atol=1e-5
    )  # fmt: skip
    active = GINConv(apply_func=lambda h: h - 1, activation=torch.relu)
    assert torch.equal(active(small_graph, x), torch.relu(bare(small_graph, x) - 1))
    wide = small_graph.edata["weight"].unsqueeze(1).expand(-1, 5)
    assert torch.allclose(
        bare(small_graph, x, edge_weight=wide),
        bare(small_graph, x, edge_weight=small_graph.edata["weight"]),
        atol=1e-5,
    )
    assert bare(small_graph, torch.randn(200, 2, 3)).shape == (200, 2, 3)


def csc(graph: hf.Graph) -> tuple[Tensor, Tensor]:
    return graph.adjacency.indptr, graph.adjacency.indices


@pytest.mark.parametrize("k", [0, 1, 3])
def test_steps_with_and_without_weights(small_graph: hf.Graph, k: int) -> None:
    x, w = small_graph.ndata["feat"], small_graph.edata["weight"] + 0.1
    layer, spread = SGConv(5, 3, k, allow_zero_in_degree=True), APPNPConv(k, 0.3)
    assert torch.allclose(layer(small_graph, x), sg(layer, small_graph, x, x, w), atol=1e-5)
    assert torch.allclose(spread(small_graph, x), appnp(spread, small_graph, x, x, w), atol=1e-5)
    flat, teleported = x, x
    for _ in range(k):
        flat = step(small_graph, flat, w)
        teleported = 0.7 * step(small_graph, teleported, w) + 0.3 * x
    assert torch.allclose(layer(small_graph, x, edge_weight=w), layer.fc(flat), atol=1e-5)
    assert torch.allclose(spread(small_graph, x, edge_weight=w), teleported, atol=1e-5)


@pytest.mark.parametrize("layer", [SGConv(5, 3, 2, allow_zero_in_degree=True), APPNPConv(2, 0.1)])
def test_a_block_carries_one_step(small_graph: hf.Graph, layer: Any) -> None:
    block = hf.to_block(hf.in_subgraph(small_graph, SEEDS), SEEDS)
    with pytest.raises(ValueError, match="k = 2"):
        layer(block, block.srcdata["feat"])
    with pytest.raises(HF, match="positive"):
        layer(small_graph, small_graph.ndata["feat"], edge_weight=torch.zeros(2000))


def test_sg_keeps_its_features(small_graph: hf.Graph) -> None:
    x = small_graph.ndata["feat"]
    layer = SGConv(5, 3, 2, cached=True, norm=torch.tanh, allow_zero_in_degree=True)
    fresh = SGConv(5, 3, 2, norm=torch.tanh, allow_zero_in_degree=True)
    fresh.load_state_dict(layer.state_dict())
    with torch.inference_mode():
        first = layer(small_graph, x)
    assert torch.equal(first, fresh(small_graph, x))
    again = layer(small_graph, torch.randn(200, 5))
    assert torch.equal(first, again)
    again.sum().backward()
    assert layer.fc.weight.grad is not None
    with pytest.raises(ValueError, match=r"200 rows.*3 destination"):
        layer(hf.graph(([0], [1]), num_nodes=3), x[:3])


def test_appnp_drops_edges(small_graph: hf.Graph) -> None:
    x = torch.ones(200, 1)
    layer, keeping = APPNPConv(1, 0.0, edge_drop=0.5), APPNPConv(1, 0.0)
    want = keeping(small_graph, x)
    draws = [layer(small_graph, x) for _ in range(200)]
    assert not torch.equal(draws[0], draws[1])
    assert torch.allclose(torch.stack(draws).mean(0), want, atol=0.35)
    assert torch.allclose(torch.stack(draws).mean(), want.mean(), rtol=0.02)
    weighted = layer(small_graph, x, edge_weight=torch.ones(2000))
    assert not torch.equal(weighted, layer(small_graph, x, edge_weight=torch.ones(2000)))
    layer.eval()
    assert torch.equal(layer(small_graph, x), want)


def test_edge_conv_calls_a_theta_that_is_no_plain_linear(small_graph: hf.Graph) -> None:
    x = small_graph.ndata["feat"]
    for normed in (False, True):
        layer = EdgeConv(5, 3, normed, allow_zero_in_degree=True)
        want = layer(small_graph, x)
        seen: list[Any] = []
        handle = layer.theta.register_forward_hook(
            lambda m, given, out, seen=seen: seen.append(out.shape)
        )
        assert torch.allclose(layer(small_graph, x), want, atol=1e-5)
        assert seen == [(2000, 3)]
        handle.remove()
        layer.theta = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
        got, zeros = layer(small_graph, x), torch.zeros(0)
        assert torch.allclose(got, edge(layer, small_graph, x, x, zeros), atol=1e-5)


def test_edge_conv_statistics(small_graph: hf.Graph) -> None:
    """Batch normalisation sees every edge once, and nothing where there are none."""
    layer = EdgeConv(5, 3, batch_norm=True, allow_zero_in_degree=True)
    x, (src, dst) = small_graph.ndata["feat"], ends(small_graph)
    layer(small_graph, x)
    values = layer.theta(x[dst] - x[src]) + layer.phi(x[dst])
    assert torch.allclose(layer.bn.running_mean, 0.1 * values.mean(0), atol=1e-5)
    layer(hf.graph(([], []), num_nodes=3), x[:3])
    assert layer.bn.num_batches_tracked.item() == 1
