"""SAGEConv: forms of input, parameters, determinism."""

from __future__ import annotations

import pytest
import torch
import torch.nn.utils.prune
from torch import Tensor

import hopflow as hf
from hopflow.nn import SAGEConv

AGGREGATORS = ["mean", "gcn", "pool"]
SEEDS = [5, 190, 17, 3, 60]


def by_loop(layer: SAGEConv, graph: hf.Graph, x: Tensor, weight: Tensor) -> Tensor:
    """The layer's formula, node by node."""
    src, dst = (end.tolist() for end in graph.edges())
    kind, rows = layer._aggre_type, []
    messages = torch.relu(layer.fc_pool(x)) if kind == "pool" else x
    for v in range(graph.num_dst_nodes()):
        mine = [messages[s] * weight[i] for i, (s, d) in enumerate(zip(src, dst)) if d == v]
        if kind == "gcn":
            rows.append(sum(mine, x[v]) / (len(mine) + 1))
        elif not mine:
            rows.append(torch.zeros_like(messages[0]))
        else:
            stacked = torch.stack(mine)
            rows.append(stacked.amax(0) if kind == "pool" else stacked.mean(0))
    out = layer.fc_neigh(torch.stack(rows))
    if kind == "gcn":
        return out if layer.bias is None else out + layer.bias
    return out + layer.fc_self(x[: graph.num_dst_nodes()])


@pytest.mark.parametrize("out_feats", [2, 9])
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_formula(small_graph: hf.Graph, aggregator: str, out_feats: int) -> None:
    layer, x = SAGEConv(5, out_feats, aggregator), small_graph.ndata["feat"]
    weight = small_graph.edata["weight"].clone()
    ones = torch.ones(2000)
    assert torch.allclose(layer(small_graph, x), by_loop(layer, small_graph, x, ones), atol=1e-5)
    want = by_loop(layer, small_graph, x, weight)
    for given in (weight, weight.unsqueeze(1)):
        assert torch.allclose(layer(small_graph, x, edge_weight=given), want, atol=1e-5)
    assert sorted(small_graph.ndata) == ["feat", "label"]
    assert sorted(small_graph.edata) == ["weight"]


@pytest.mark.parametrize("out_feats", [2, 9])
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_graph_block_and_pair_agree(small_graph: hf.Graph, aggregator: str, out_feats: int) -> None:
    layer, x = SAGEConv(5, out_feats, aggregator), small_graph.ndata["feat"]
    block = hf.to_block(hf.in_subgraph(small_graph, SEEDS), SEEDS)
    whole, h = layer(small_graph, x), block.srcdata["feat"]
    for given in (h, (h, h[:5])):
        assert torch.allclose(layer(block, given), whole[SEEDS], atol=1e-5)
    assert torch.allclose(layer(small_graph, (x, x)), whole, atol=1e-6)


def test_parameters_are_dgls() -> None:
    """Names and shapes, so that a state dict moves either way."""
    shapes = {
        a: {k: tuple(p.shape) for k, p in SAGEConv((4, 6) if a != "gcn" else 4, 3, a)
            .state_dict().items()}
        for a in AGGREGATORS
    }  # fmt: skip
    own = {"fc_self.weight": (3, 6), "fc_self.bias": (3,), "fc_neigh.weight": (3, 4)}
    assert shapes == {
        "mean": own,
        "gcn": {"fc_neigh.weight": (3, 4), "bias": (3,)},
        "pool": {**own, "fc_pool.weight": (4, 4), "fc_pool.bias": (4,)},
    }
    for a in AGGREGATORS:
        assert not any(
            k in ("bias", "fc_self.bias") for k in SAGEConv(4, 3, a, bias=False).state_dict()
        )


def test_initialisation() -> None:
    """Glorot's bound with the gain of ReLU, from torch's generator."""
    torch.manual_seed(3)
    layer = SAGEConv(40, 20, "mean")
    bound = 2**0.5 * (6 / 60) ** 0.5
    for p in (layer.fc_self.weight, layer.fc_neigh.weight):
        assert 0.9 * bound < p.abs().max() <= bound
    torch.manual_seed(3)
    assert torch.equal(SAGEConv(40, 20, "mean").fc_self.weight, layer.fc_self.weight)
    before = layer.fc_neigh.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.fc_neigh.weight, before)


def test_options(small_graph: hf.Graph) -> None:
    x = small_graph.ndata["feat"]
    layer = SAGEConv(5, 3, "mean", activation=torch.relu, norm=lambda h: h - 1)
    plain = SAGEConv(5, 3, "mean")
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(layer(small_graph, x), torch.relu(plain(small_graph, x)) - 1)
    dropping = SAGEConv(5, 3, "mean", feat_drop=0.5)
    assert not torch.equal(dropping(small_graph, x), dropping(small_graph, x))
    dropping.eval()
    assert torch.equal(dropping(small_graph, x), dropping(small_graph, x))
    assert "mean" in repr(layer)


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_gradients(aggregator: str) -> None:
    graph = hf.graph(([0, 1, 2, 2, 0], [1, 1, 0, 2, 1]), num_nodes=4)
    layer = SAGEConv(3, 2, aggregator).double()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    w = torch.rand(5, dtype=torch.float64).add(0.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: layer(graph, x, edge_weight=w), (x, w))


@pytest.mark.parametrize("aggregator", AGGREGATORS)
@pytest.mark.parametrize("threads", [1, 2])
def test_backward_is_deterministic(small_graph: hf.Graph, aggregator: str, threads: int) -> None:
    layer, x = SAGEConv(5, 33, aggregator), small_graph.ndata["feat"].clone().requires_grad_()

    def gradients() -> list[Tensor]:
        leaves = [x, *layer.parameters()]
        return list(torch.autograd.grad(layer(small_graph, x).square().sum(), leaves))

    torch.set_num_threads(threads)
    first = gradients()
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(first, gradients()))


@pytest.mark.parametrize("aggregator", AGGREGATORS)
@pytest.mark.parametrize("n", [0, 3])
def test_no_edges(aggregator: str, n: int) -> None:
    layer, graph = SAGEConv(4, 2, aggregator), hf.graph(([], []), num_nodes=n)
    x = torch.randn(n, 4, requires_grad=True)
    out = layer(graph, x)
    out.sum().backward()
    assert out.shape == (n, 2)
    if aggregator != "gcn":
        assert torch.allclose(out, layer.fc_self(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_other_floats(small_graph: hf.Graph, aggregator: str, dtype: torch.dtype) -> None:
    layer, x = SAGEConv(5, 9, aggregator), small_graph.ndata["feat"]
    want = layer(small_graph, x)
    out = layer.to(dtype)(small_graph, x.to(dtype))
    assert out.dtype == dtype
    assert torch.allclose(out.float(), want, atol=0.1 if dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("out_feats", [2, 9])
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_autocast(small_graph: hf.Graph, aggregator: str, out_feats: int) -> None:
    """Linear layers in bfloat16, features and edge weights given in float32."""
    layer, x = SAGEConv(5, out_feats, aggregator), small_graph.ndata["feat"]
    weight = small_graph.edata["weight"].requires_grad_()
    want = layer(small_graph, x, edge_weight=weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(small_graph, x, edge_weight=weight)
    assert torch.allclose(out.float(), want, atol=0.1)
    out.float().sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_training_after_inference_mode(aggregator: str) -> None:
    """What inference leaves in a graph or block must not break a later backward pass."""
    graph = hf.graph(([0, 1, 2, 2], [1, 2, 0, 1]), num_nodes=4)
    graph.ndata["x"] = torch.randn(4, 3)
    layer, block = SAGEConv(3, 2, aggregator), hf.to_block(graph, [0, 1, 2, 3])
    with torch.inference_mode():
        layer(graph, graph.ndata["x"])
        layer(block, block.srcdata["x"])
    x = graph.ndata["x"].clone().requires_grad_()
    layer(graph, x).sum().backward()
    layer(block, block.srcdata["x"]).sum().backward()


def test_unknown_aggregator_and_widths() -> None:
    with pytest.raises(KeyError, match="median"):
        SAGEConv(3, 2, "median")
    with pytest.raises(ValueError, match="gcn"):
        SAGEConv((3, 4), 2, "gcn")


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_wrong_inputs(aggregator: str) -> None:
    """Rows that do not match are refused, never broadcast."""
    layer = SAGEConv(3, 2, aggregator)
    graph = hf.graph(([0, 1, 2, 2], [1, 2, 0, 1]), num_nodes=4)
    block = hf.create_block(([0, 1], [1, 2]), num_src_nodes=2, num_dst_nodes=4)
    x = torch.randn(4, 3)
    for feat in (x[:3], x[:1], torch.randn(5, 3), (x, x[:1]), (x, x[:3]), (x[:1], x)):
        with pytest.raises(ValueError, match="row"):
            layer(graph, feat)
    for feat in ((x[:2], x[:1]), (x[:2], x[:3]), x, x[:2]):
        with pytest.raises(ValueError, match=r"row|destination"):
            layer(block, feat)
    with pytest.raises((ValueError, TypeError)):
        layer(graph, (x, x, x))
    with pytest.raises((ValueError, RuntimeError)):
        layer(graph, x[:, :2])
    for weight in (torch.ones(3), torch.ones(1), torch.ones(4, 2), torch.ones(5, 1)):
        with pytest.raises(ValueError, match=r"row|broadcast|shape"):
            layer(graph, x, edge_weight=weight)
    assert list(graph.ndata) == []


@pytest.mark.parametrize("name", ["fc_self", "fc_neigh"])
@pytest.mark.parametrize("hook", ["forward", "full_backward", "full_backward_pre", "global"])
def test_hooks_of_the_inner_layers_see_their_own_results(small_graph, hook, name):
    layer = SAGEConv(5, 8, "mean")
    x = torch.randn(200, 5, requires_grad=True)
    expected = torch.autograd.grad(layer(small_graph, x).pow(2).sum(), x)[0]
    seen = []
    if hook == "global":
        handle = torch.nn.modules.module.register_module_full_backward_hook(
            lambda module, *grads: seen.append(module)
        )
    else:
        register = getattr(getattr(layer, name), f"register_{hook}_hook")
        handle = register(lambda module, *values: seen.append(module))
    got = torch.autograd.grad(layer(small_graph, x).pow(2).sum(), x)[0]
    handle.remove()
    assert getattr(layer, name) in seen
    torch.testing.assert_close(got, expected)


class Doubled(torch.nn.Linear):
    """A Linear with a forward of its own, as adapters have."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def with_bias(layer):
    layer.fc_neigh = torch.nn.Linear(5, 8)
    return lambda x: layer.fc_neigh(x)


def with_subclass(layer):
    layer.fc_neigh = Doubled(5, 8, bias=False)
    return lambda x: 2 * x @ layer.fc_neigh.weight.t()


def with_sequence(layer):
    layer.fc_neigh = torch.nn.Sequential(layer.fc_neigh, torch.nn.ReLU())
    return lambda x: torch.relu(layer.fc_neigh[0](x))


def with_instance_forward(layer):
    plain = layer.fc_neigh.forward
    layer.fc_neigh.forward = lambda x: plain(x) + 1
    return lambda x: plain(x) + 1


@pytest.mark.parametrize("change", [with_bias, with_subclass, with_sequence, with_instance_forward])
def test_a_replaced_inner_layer_is_called(small_graph, change):
    layer = SAGEConv(5, 8, "mean")
    neigh = change(layer)
    x = torch.randn(200, 5, requires_grad=True)
    mean = hf.ops.spmm(
        small_graph.adjacency.indptr, small_graph.adjacency.indices, x, reduce="mean"
    )
    torch.testing.assert_close(layer(small_graph, x), layer.fc_self(x) + neigh(mean))


def test_a_pruned_inner_layer_trains(small_graph):
    layer = SAGEConv(5, 8, "mean")
    torch.nn.utils.prune.l1_unstructured(layer.fc_neigh, "weight", 0.5)
    x = torch.randn(200, 5)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(small_graph, x).pow(2).mean().backward()
        optimizer.step()
    assert (layer.fc_neigh.weight == 0).float().mean() == 0.5


def test_forward_mode_is_right(small_graph):
    layer = SAGEConv(5, 8, "mean")
    x = torch.randn(200, 5)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        out = torch.autograd.forward_ad.unpack_dual(layer(small_graph, dual))
    # The layer is linear, but for its bias.
    bias = layer(small_graph, torch.zeros_like(x))
    torch.testing.assert_close(out.tangent, layer(small_graph, torch.ones_like(x)) - bias)


def test_vmap_over_the_weights_of_one_inner_layer(small_graph):
    layer = SAGEConv(5, 8, "mean")
    x = torch.randn(200, 5)
    weights = torch.randn(3, 8, 5)

    def run(weight):
        return torch.func.functional_call(layer, {"fc_neigh.weight": weight}, (small_graph, x))

    together = torch.vmap(run)(weights)
    for one, weight in zip(together, weights):
        torch.testing.assert_close(one, run(weight))
