"""Layers of steps, gates and attention against plain torch, a vector for every edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from test_layers import ends, scatter, step
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import hopflow as hf
from hopflow.nn import (
    AGNNConv,
    ChebConv,
    DotGatConv,
    EdgeGATConv,
    EGATConv,
    EGNNConv,
    GatedGCNConv,
    GatedGraphConv,
    GCN2Conv,
    TAGConv,
    TWIRLSConv,
    TWIRLSUnfoldingAndAttention,
)

SEEDS = [5, 190, 17, 3, 60]
ZERO = {"allow_zero_in_degree": True}
Formula = Callable[[Any, hf.Graph, Tensor, Tensor, Tensor], Any]


# --- formulas: layer, graph, rows of the sources and of the destinations, rows of the edges ---


def normalized(graph: hf.Graph, x: Tensor) -> Tensor:
    return step(graph, x, None, symmetric=not graph.is_block)


def tag(layer: Any, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Tensor:
    rows = [own]
    for _ in range(layer._k):
        x = normalized(graph, x)
        rows.append(x)
    return layer.lin(torch.cat(rows, 1))


def cheb(layer: Any, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Tensor:
    def laplacian(x: Tensor, own: Tensor) -> Tensor:
        return 2 / 1.6 * (own - normalized(graph, x)) - own

    rows = [own, laplacian(x, own)]
    for _ in range(2, layer._k):
        rows.append(2 * laplacian(rows[-1], rows[-1]) - rows[-2])
    return layer.linear(torch.cat(rows, 1)).relu()


def gcn2(layer: Any, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Tensor:
    smoothed, initial = 0.7 * normalized(graph, x), 0.3 * own
    second = layer.weight1 if layer.weight2 is None else layer.weight2
    mixed = layer.beta * (smoothed @ layer.weight1 + initial @ second)
    return (1 - layer.beta) * (smoothed + initial) + mixed + layer.bias


def types_of(graph: hf.Graph) -> Tensor:
    return torch.arange(graph.num_edges()) % 3


def gated_graph(layer: Any, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Tensor:
    src, _ = ends(graph)
    widen = nn.ZeroPad2d((0, layer._out_feats - 5, 0, 0))
    x, h = widen(x), widen(own)
    for _ in range(layer._n_steps):
        each = torch.stack([linear(x[src]) for linear in layer.linears], 1)
        sent = each[torch.arange(len(src)), types_of(graph) % len(layer.linears)]
        x = h = layer.gru(scatter(graph, sent, "sum"), h)
    return h


def gated_gcn(layer: Any, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Any:
    src, dst = ends(graph)
    edges = layer.D(x)[src] + layer.E(own)[dst] + layer.C(e)
    gate = edges.sigmoid()
    total = scatter(graph, gate, "sum") + 1e-6
    nodes = layer.A(own) + scatter(graph, gate * layer.B(x)[src], "sum") / total
    if layer.batch_norm:
        nodes = layer.bn_node(nodes) if len(nodes) else nodes
        edges = layer.bn_edge(edges) if len(edges) else edges
    nodes, edges = nodes.relu(), edges.relu()
    return (own + nodes, e + edges) if layer.residual else (nodes, edges)


def softmax(graph: hf.Graph, scores: Tensor) -> Tensor:
    """Of scores [E, H] over the in-edges of each destination."""
    weights = (scores - scores.detach().amax() if len(scores) else scores).exp()
    return weights / scatter(graph, weights, "sum")[ends(graph)[1]]


def attend(graph: hf.Graph, messages: Tensor, attention: Tensor) -> Tensor:
    """Messages [E, H, D] weighted by attention [E, H]."""
    weighted = (messages * attention.unsqueeze(-1)).flatten(1)
    return scatter(graph, weighted, "sum").view(-1, *messages.shape[1:])


def agnn(layer: Any, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Tensor:
    src, dst = ends(graph)
    cosines = functional.cosine_similarity(x[src], own[dst]).unsqueeze(1)
    return attend(graph, x[src].unsqueeze(1), softmax(graph, layer.beta * cosines)).squeeze(1)


def dot_gat(layer: Any, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Tensor:
    src, dst = ends(graph)
    shared = hasattr(layer, "fc")
    there = (layer.fc if shared else layer.fc_src)(x).view(-1, 2, 3)
    here = (layer.fc if shared else layer.fc_dst)(own).view(-1, 2, 3)
    scores = (there[src] * here[dst]).sum(-1) / 3**0.5
    return attend(graph, there[src], softmax(graph, scores))


def egat(layer: Any, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Any:
    src, dst = ends(graph)
    edges = layer.fc_ni(x)[src] + layer.fc_nj(own)[dst] + layer.fc_fij(e)
    if layer.bias is not None:
        edges = edges + layer.bias
    edges = functional.leaky_relu(edges).view(-1, 2, 3)
    attention = softmax(graph, (edges * layer.attn).sum(-1))
    return attend(graph, layer.fc_node_src(x).view(-1, 2, 4)[src], attention), edges


def edge_gat(layer: Any, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Tensor:
    src, dst = ends(graph)
    there, here, edges = (
        fc(rows).view(-1, 2, 3) for fc, rows in ((layer.fc, x), (layer.fc, own), (layer.fc_edge, e))
    )
    scores = (there * layer.attn_l).sum(-1)[src] + (here * layer.attn_r).sum(-1)[dst]
    scores = layer.leaky_relu(scores + (edges * layer.attn_edge).sum(-1))
    out = attend(graph, there[src] + edges, softmax(graph, scores))
    if layer.res_fc is not None:
        out = out + layer.res_fc(own).view(-1, 2, 3)
    return out + layer.bias.view(2, 3)


def egnn(layer: Any, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Any:
    src, dst = ends(graph)
    difference = x[src, :2] - own[dst, :2]
    square = difference.square().sum(1, keepdim=True)
    edges = [square, e] if layer.edge_feat_size else [square]
    messages = layer.edge_mlp(torch.cat([x[src], own[dst], *edges], 1))
    direction = torch.where(square > 0, difference / square.clamp(min=1e-20).sqrt(), 0)
    moves = scatter(graph, layer.coord_mlp(messages) * direction, "mean")
    nodes = layer.node_mlp(torch.cat([own, scatter(graph, messages, "sum")], 1))
    return nodes, own[:, :2] + moves


def unfold(layer: Any, graph: hf.Graph, x: Tensor, own: Tensor, loops: bool = False) -> Tensor:
    src, dst = ends(graph)
    if loops:
        kept, nodes = src != dst, torch.arange(len(own))
        src, dst = torch.cat([src[kept], nodes]), torch.cat([dst[kept], nodes])

    def reweighted(x: Tensor, own: Tensor) -> Tensor:
        eta = 1 if layer.etas is None else layer.etas
        distance = ((x[src] - own[dst]) * eta).square().sum(1) + 1e-7
        distance = distance.pow(1 - layer.reweighting.p / 2).clamp(min=layer.reweighting.tau)
        weight = 1 / distance
        if layer.reweighting.T > 0:
            weight = torch.where(distance > layer.reweighting.T, 0, weight)
        return weight + 1e-9

    weight = reweighted(x, own) if layer.init_att else torch.ones(len(src), dtype=x.dtype)
    given, alp, lam = own, layer.alp, layer.lam
    for k in range(layer.prop_step):
        after = x.new_zeros(len(own)).index_add(0, dst, weight)
        before = x.new_zeros(len(x)).index_add(0, src, weight) if graph.is_block else after
        if layer.precond:
            before, after = lam * before + 1 - lam, lam * after + 1 - lam
        factor = weight * (before[src] * after[dst]) ** -0.5
        sums = torch.zeros_like(own).index_add(0, dst, x[src] * factor.unsqueeze(1))
        if layer.precond:
            own = (1 - alp) * own + alp * lam * sums + alp * given / after.unsqueeze(1)
        else:
            own = (1 - alp * lam - alp) * own + alp * lam * sums + alp * given
        x = own
        if k == layer.attn_aft - 1:
            weight = reweighted(x, own)
    return own


def unfolding(layer: Any, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Tensor:
    return unfold(layer, graph, x, own)


def twirls(layer: Any, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor) -> Tensor:
    before, after = layer.mlp_bef, layer.mlp_aft
    return after(unfold(layer.unfolding, graph, before(x), before(own), loops=True))


# --- how each is called ---


def plain(layer: Any, graph: hf.Graph, feat: Any, e: Tensor) -> Any:
    return layer(graph, feat)


def with_edges(layer: Any, graph: hf.Graph, feat: Any, e: Tensor) -> Any:
    return layer(graph, feat, e)


def with_types(layer: Any, graph: hf.Graph, feat: Any, e: Tensor) -> Any:
    return layer(graph, feat, types_of(graph) % len(layer.linears))


def with_initial(layer: Any, graph: hf.Graph, feat: Any, e: Tensor) -> Any:
    return layer(graph, feat, feat[1] if isinstance(feat, tuple) else feat)


def with_eigenvalue(layer: Any, graph: hf.Graph, feat: Any, e: Tensor) -> Any:
    return layer(graph, feat, 1.6)


def with_coordinates(layer: Any, graph: hf.Graph, feat: Any, e: Tensor) -> Any:
    x = tuple(h[:, :2] for h in feat) if isinstance(feat, tuple) else feat[:, :2]
    return layer(graph, feat, x, e)


class Kind(NamedTuple):
    """A layer for features of width 5 and edges' of width 5, how it is called, its formula."""

    make: Callable[[], nn.Module]
    call: Any
    formula: Formula
    steps: int = 1


LAYERS: dict[str, Kind] = {
    "tag": Kind(lambda: TAGConv(5, 3, 1), plain, tag),
    "tag wide": Kind(lambda: TAGConv(5, 8, 1), plain, tag),
    "tag 3": Kind(lambda: TAGConv(5, 3, 3), plain, tag, 3),
    "tag 0": Kind(lambda: TAGConv(5, 3, 0), plain, tag),
    "cheb": Kind(lambda: ChebConv(5, 3, 2), with_eigenvalue, cheb),
    "cheb 4": Kind(lambda: ChebConv(5, 3, 4), with_eigenvalue, cheb, 3),
    "gcn2": Kind(lambda: GCN2Conv(5, 2, 0.3, **ZERO), with_initial, gcn2),
    "gcn2 two": Kind(
        lambda: GCN2Conv(5, 2, 0.3, project_initial_features=False, **ZERO), with_initial, gcn2
    ),
    "gated graph": Kind(lambda: GatedGraphConv(5, 7, 1, 3), with_types, gated_graph),
    "gated graph 3": Kind(lambda: GatedGraphConv(5, 5, 3, 3), with_types, gated_graph, 3),
    "gated graph of one": Kind(lambda: GatedGraphConv(5, 7, 1, 1), with_types, gated_graph),
    "gated gcn": Kind(lambda: GatedGCNConv(5, 5, 5), with_edges, gated_gcn),
    "gated gcn plain": Kind(
        lambda: GatedGCNConv(5, 5, 3, batch_norm=False), with_edges, gated_gcn
    ),
    "agnn": Kind(lambda: AGNNConv(1.3, **ZERO), plain, agnn),
    "dot gat": Kind(lambda: DotGatConv(5, 3, 2, **ZERO), plain, dot_gat),
    "dot gat pair": Kind(lambda: DotGatConv((5, 5), 3, 2, **ZERO), plain, dot_gat),
    "egat": Kind(lambda: EGATConv(5, 5, 4, 3, 2, **ZERO), with_edges, egat),
    "egat no bias": Kind(lambda: EGATConv(5, 5, 4, 3, 2, bias=False, **ZERO), with_edges, egat),
    "edge gat": Kind(lambda: EdgeGATConv(5, 5, 3, 2, **ZERO), with_edges, edge_gat),
    "edge gat alone": Kind(
        lambda: EdgeGATConv(5, 5, 3, 2, residual=False, **ZERO), with_edges, edge_gat
    ),
    "egnn": Kind(lambda: EGNNConv(5, 4, 3), with_coordinates, egnn),
    "egnn edges": Kind(lambda: EGNNConv(5, 4, 3, 5), with_coordinates, egnn),
    "unfolding": Kind(lambda: TWIRLSUnfoldingAndAttention(5, 0.3, 0.6, 1), plain, unfolding),
    "unfolding attention": Kind(
        lambda: TWIRLSUnfoldingAndAttention(
            5, 0.3, 0.6, 3, attn_aft=1, tau=0.5, T=3.0, p=0.5, use_eta=True, init_att=True
        ), plain, unfolding, 3,
    ),
    "twirls": Kind(lambda: TWIRLSConv(5, 3, 4, 1), plain, twirls),
    "twirls block attention": Kind(
        lambda: TWIRLSConv(5, 3, 4, 1, precond=False, attn_bef=True, use_eta=True, tau=0.5), plain,
        twirls,
    ),
    "twirls 4": Kind(
        lambda: TWIRLSConv(5, 3, 4, 4, 2, 2, "layer", attention=True, attn_bef=True), plain,
        twirls, 4,
    ),
    "twirls kept": Kind(lambda: TWIRLSConv(5, 3, 4, 2, 0, 2), plain, twirls, 2),
}  # fmt: skip
NAMES = sorted(LAYERS)


def results(out: Any) -> list[Tensor]:
    return list(out) if isinstance(out, tuple) else [out]


def assert_same(found: Any, wanted: Any, tolerance: float = 1e-4) -> None:
    for got, want in zip(results(found), results(wanted), strict=True):
        torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


def edge_rows(graph: hf.Graph) -> Tensor:
    return torch.randn(graph.num_edges(), 5)


@pytest.mark.parametrize("name", NAMES)
def test_formula(small_graph: hf.Graph, name: str) -> None:
    """On a graph, a block and a pair, with int32 and int64 ids; columns stay as they were."""
    kind = LAYERS[name]
    layer = kind.make()
    block = hf.to_block(hf.in_subgraph(small_graph, SEEDS), SEEDS)
    for graph in (small_graph, small_graph.int(), block):
        x, e = graph.srcdata["feat"], edge_rows(graph)
        own = x[: graph.num_dst_nodes()]
        if graph.is_block and kind.steps > 1:
            with pytest.raises(ValueError, match="a block carries features one step"):
                kind.call(layer, graph, x, e)
            continue
        wanted = kind.formula(layer, graph, x, own, e)
        assert_same(kind.call(layer, graph, x, e), wanted)
        assert_same(kind.call(layer, graph, (x, own), e), wanted)
        if kind.steps == 1:
            other = torch.randn_like(own)
            wanted = kind.formula(layer, graph, x, other, e)
            assert_same(kind.call(layer, graph, (x, other), e), wanted)
    assert sorted(small_graph.ndata) == ["feat", "label"]
    assert sorted(small_graph.edata) == ["weight"]


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str) -> None:
    """Of features, edges' rows and every parameter, as torch derives them from the formula."""
    kind = LAYERS[name]
    graph = hf.graph(([0, 1, 2, 2, 0], [1, 1, 0, 2, 1]), num_nodes=4)
    layer = kind.make().double()
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    e = torch.randn(5, 5, dtype=torch.float64, requires_grad=True)
    leaves, gradients = [x, e, *layer.parameters()], []
    for run in (kind.call, lambda *args: kind.formula(*args[:3], *args[2:])):
        total = sum(y.sin().sum() for y in results(run(layer, graph, x, e)))
        gradients.append(torch.autograd.grad(total, leaves, allow_unused=True))
    for got, want in zip(*gradients, strict=True):
        assert (got is None) == (want is None)
        if got is not None:
            torch.testing.assert_close(got, want)


@pytest.mark.parametrize("n", [0, 4])
@pytest.mark.parametrize("name", NAMES)
def test_no_edges(name: str, n: int) -> None:
    kind = LAYERS[name]
    layer, graph = kind.make(), hf.graph(([], []), num_nodes=n)
    x, e = torch.randn(n, 5, requires_grad=True), torch.randn(0, 5)
    out = kind.call(layer, graph, x, e)
    assert_same(out, kind.formula(layer, graph, x, x, e), 1e-5)
    sum(y.sum() for y in results(out)).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert not any(torch.isnan(p).any() for p in layer.state_dict().values())


@pytest.mark.parametrize("name", NAMES)
def test_autocast(small_graph: hf.Graph, name: str) -> None:
    """Near the result in float32, forward and backward."""
    kind = LAYERS[name]
    layer = kind.make().eval()
    x, e = small_graph.ndata["feat"], edge_rows(small_graph)
    wanted = results(kind.call(layer, small_graph, x, e))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = results(kind.call(layer, small_graph, x, e))
    for got, want in zip(found, wanted, strict=True):
        assert got.dtype in (torch.bfloat16, torch.float32)
        scale = want.detach().abs().amax().item()
        torch.testing.assert_close(got.float(), want, rtol=0.05, atol=0.05 * scale)
    if list(layer.parameters()):
        sum(y.float().sum() for y in found).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


class Largest(TorchDispatchMode):
    """Watches the size of everything that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(x, Tensor):
                self.most = max(self.most, x.numel())
        return out


@pytest.mark.parametrize(
    ("layer", "call"),
    [
        (lambda: TAGConv(64, 64, 2), plain),
        (lambda: ChebConv(64, 64, 3), plain),
        (lambda: GCN2Conv(64, 1, **ZERO), with_initial),
        (lambda: GatedGraphConv(64, 64, 2, 3), with_types),
        (lambda: AGNNConv(**ZERO), plain),
        (lambda: DotGatConv(64, 32, 2, **ZERO), plain),
        (lambda: EdgeGATConv(64, 2, 32, 2, **ZERO), with_edges),
        (lambda: TWIRLSConv(64, 64, 64, 3, attention=True), plain),
    ],
)  # fmt: skip
def test_no_vector_for_every_edge(layer: Any, call: Any) -> None:
    """A hundred edges a node, 64 numbers a row: nothing is as large as the messages would be."""
    assert 4000 <= largest_of(layer(), call) < 4000 * 64 / 4


def largest_of(layer: nn.Module, call: Any) -> int:
    """Numbers in the largest tensor of a forward and backward pass over 4,000 edges."""
    ends = torch.randint(40, (2, 4000))
    graph = hf.graph((ends[0], ends[1]), num_nodes=50)
    x, e = torch.randn(50, 64, requires_grad=True), torch.randn(4000, 2, requires_grad=True)
    with Largest() as largest:
        sum(y.square().sum() for y in results(call(layer, graph, x, e))).backward()
    return largest.most


def test_a_vector_for_every_edge_is_seen() -> None:
    layer = EdgeGATConv(64, 2, 32, 2, **ZERO)
    layer.fc_edge.register_forward_hook(lambda *_: None)
    assert largest_of(layer, with_edges) >= 4000 * 64
