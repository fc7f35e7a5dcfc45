"""Layers of steps, gates and attention beyond their formulas: hooks, kept results, bad input."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

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
    HeteroGraphConv,
    TAGConv,
    TWIRLSConv,
    TWIRLSUnfoldingAndAttention,
)

CHECKED = {
    "GCN2Conv": (lambda **o: GCN2Conv(5, 1, **o), lambda x, e: (x, x)),
    "AGNNConv": (lambda **o: AGNNConv(**o), lambda x, e: (x,)),
    "DotGatConv": (lambda **o: DotGatConv(5, 4, 2, **o), lambda x, e: (x,)),
    "EGATConv": (lambda **o: EGATConv(5, 2, 4, 3, 2, **o), lambda x, e: (x, e)),
    "EdgeGATConv": (lambda **o: EdgeGATConv(5, 2, 4, 2, **o), lambda x, e: (x, e)),
}


@pytest.mark.parametrize("name", CHECKED)
def test_nodes_without_in_edges(small_graph: hf.Graph, name: str) -> None:
    make, operands = CHECKED[name]
    given = operands(small_graph.ndata["feat"], torch.randn(2000, 2))
    layer = make()
    with pytest.raises(hf.HopflowError, match="20 of 200 destination nodes have no in-edge"):
        layer(small_graph, *given)
    layer.set_allow_zero_in_degree(True)
    layer(small_graph, *given)
    accepting = make(allow_zero_in_degree=True)
    accepting.load_state_dict(layer.state_dict())
    out, again = layer(small_graph, *given), accepting(small_graph, *given)
    assert torch.equal(*(x[0] if isinstance(x, tuple) else x for x in (out, again)))
    if name not in ("GCN2Conv", "EdgeGATConv"):
        out = out[0] if isinstance(out, tuple) else out
        assert not out[180:].any()


def test_unfolding_over_nodes_without_in_edges(small_graph: hf.Graph) -> None:
    x = small_graph.ndata["feat"]
    for options in ({"lam": 1}, {"lam": 0.5, "precond": False}):
        layer = TWIRLSUnfoldingAndAttention(5, 0, prop_step=2, **options)
        with pytest.raises(hf.HopflowError, match="or construct the layer with precond=True and"):
            layer(small_graph, x)
        assert layer(small_graph, x, self_loops=True).isfinite().all()
    assert TWIRLSUnfoldingAndAttention(5, 0, 0.5, 2)(small_graph, x).isfinite().all()


def watched(
    layer: nn.Module, part: nn.Module, *args: Any
) -> tuple[list[Tensor], list[Tensor], int]:
    """Results before and after somebody watches a part, and how often that was called then."""
    calls: list[int] = []
    before = layer(*args)
    part.register_forward_hook(lambda *_: calls.append(1))
    after = layer(*args)
    results = [list(x) if isinstance(x, tuple) else [x] for x in (before, after)]
    return results[0], results[1], len(calls)


def test_parts_are_called_where_somebody_watches(small_graph: hf.Graph) -> None:
    """A hook, or anything in a linear map's place, sees what DGL's layer would give it."""
    x, e, types = small_graph.ndata["feat"], torch.randn(2000, 2), torch.arange(2000) % 3
    tag, edge_gat = TAGConv(5, 2, 2), EdgeGATConv(5, 2, 4, 2, allow_zero_in_degree=True)
    egnn, gated = EGNNConv(5, 4, 3, 2), GatedGraphConv(5, 6, 2, 3)
    for layer, part, args, count in (
        (tag, tag.lin, (x,), 1),
        (edge_gat, edge_gat.fc_edge, (x, e), 1),
        (egnn, egnn.edge_mlp, (x, x[:, :2], e), 1),
        (EGNNConv(5, 4, 3, 2), 0, (x, x[:, :2], e), 1),
        (gated, gated.linears[1], (x, types), 2),
    ):
        part = layer.edge_mlp[part] if isinstance(part, int) else part
        before, after, calls = watched(layer, part, small_graph, *args)
        assert calls == count
        for a, b in zip(before, after, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_coinciding_ends_have_a_gradient() -> None:
    """In DGL that of the coordinates is not a number."""
    graph = hf.graph(([0, 1, 1], [0, 0, 2]))
    x = torch.randn(3, 2)
    x[2] = x[1]
    x.requires_grad_()
    nodes, moved = EGNNConv(4, 3, 2)(graph, torch.randn(3, 4), x)
    assert torch.equal(moved[1:], x[1:])
    (nodes.sum() + moved.sum()).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_equivariance(small_graph: hf.Graph) -> None:
    layer, h = EGNNConv(5, 4, 3).double(), small_graph.ndata["feat"].double()
    x = torch.randn(200, 3, dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    shift = torch.randn(3, dtype=torch.float64)
    nodes, moved = layer(small_graph, h, x)
    again, turned = layer(small_graph, h, x @ turn + shift)
    torch.testing.assert_close(again, nodes)
    torch.testing.assert_close(turned, moved @ turn + shift)


def test_steps_are_kept_for_the_same_input(small_graph: hf.Graph) -> None:
    layer = TWIRLSConv(5, 3, 4, 3, num_mlp_before=0)
    calls: list[int] = []
    layer.unfolding.register_forward_hook(lambda *_: calls.append(1))
    x = torch.randn(200, 5)
    first = layer(small_graph, x)
    assert torch.equal(layer(small_graph, x), first)
    assert len(calls) == 1
    other = hf.add_self_loop(hf.graph(([0, 1], [1, 2]), num_nodes=200))
    assert not torch.equal(layer(other, x), first)
    assert not torch.equal(layer(small_graph, x + 1), first)
    assert torch.equal(layer(small_graph, x), first)
    assert len(calls) == 4
    x += 1
    assert not torch.equal(layer(small_graph, x), first)
    assert copy.deepcopy(layer)._kept is None
    assert layer._kept is not None
    x.requires_grad_()
    for _ in range(2):
        layer(small_graph, x).sum().backward()
    with torch.inference_mode():
        layer(small_graph, torch.randn(200, 5))
    learned = TWIRLSConv(5, 3, 5, 3, num_mlp_before=0, attn_bef=True, use_eta=True)
    for _ in range(2):
        learned(small_graph, torch.ones(200, 5)).sum().backward()
    assert learned._kept is None


@pytest.mark.parametrize(
    "layer",
    [
        TWIRLSConv(5, 3, 4, 3, attention=True, attn_dropout=0.5),
        TWIRLSConv(5, 3, 4, 3, num_mlp_before=2, dropout=0.5),
        TWIRLSConv(5, 3, 4, 3, inp_dropout=0.5),
        GatedGCNConv(5, 5, 5, dropout=0.5),
        EdgeGATConv(5, 5, 3, 2, attn_drop=0.5, allow_zero_in_degree=True),
    ],
)
def test_dropout(small_graph: hf.Graph, layer: nn.Module) -> None:
    x = small_graph.ndata["feat"]
    args = (x,) if isinstance(layer, TWIRLSConv) else (x, torch.ones(2000, 5))

    def run() -> Tensor:
        out = layer(small_graph, *args)
        return out[0] if isinstance(out, tuple) else out

    assert not torch.equal(run(), run())
    layer.eval()
    assert torch.equal(run(), run())


def test_more_dimensions(small_graph: hf.Graph) -> None:
    """Rows of matrices, as the layers without edge features take them."""
    x = torch.randn(200, 2, 5)
    zero = {"allow_zero_in_degree": True}
    for layer, args in (
        (TAGConv(5, 3, 2), ()),
        (TAGConv(5, 7, 2), ()),
        (GCN2Conv(5, 1, **zero), (x,)),
        (AGNNConv(**zero), ()),
        (DotGatConv(5, 3, 4, **zero), ()),
    ):
        out = layer(small_graph, x, *args)
        for i in range(2):
            one = layer(small_graph, x[:, i].contiguous(), *(a[:, i] for a in args))
            torch.testing.assert_close(out[:, i], one)
    edge_gat, e = EdgeGATConv(5, 2, 3, 4, **zero), torch.randn(2000, 2, 2)
    out, attention = edge_gat(small_graph, x, e, get_attention=True)
    assert attention.shape == (2000, 2, 4, 1)
    for i in range(2):
        one = edge_gat(small_graph, x[:, i], e[:, i])
        torch.testing.assert_close(out[:, i], one, rtol=1e-4, atol=1e-5)


def test_attention_adds_up(small_graph: hf.Graph) -> None:
    x, e = small_graph.ndata["feat"], torch.randn(2000, 2)
    weight = torch.rand(2000)
    for layer, args in (
        (DotGatConv(5, 4, 3, allow_zero_in_degree=True), (x,)),
        (EGATConv(5, 2, 4, 3, 3, allow_zero_in_degree=True), (x, e)),
        (EdgeGATConv(5, 2, 4, 3, allow_zero_in_degree=True), (x, e)),
    ):
        *_, attention = layer(small_graph, *args, get_attention=True)
        assert attention.shape == (2000, 3, 1)
        totals = hf.functional.copy_e_sum(small_graph, attention).squeeze(-1)
        torch.testing.assert_close(totals[:180], torch.ones(180, 3))
        if isinstance(layer, EGATConv):
            *_, weighted = layer(small_graph, *args, weight, get_attention=True)
            torch.testing.assert_close(weighted, attention * weight.view(-1, 1, 1))


def test_bipartite_pairs_of_two_widths(small_graph: hf.Graph) -> None:
    block = hf.create_block(([0, 1, 2], [0, 1, 4]), num_src_nodes=3, num_dst_nodes=5)
    pair, e = (torch.randn(3, 5), torch.randn(5, 7)), torch.randn(3, 2)
    zero = {"allow_zero_in_degree": True}
    assert DotGatConv((5, 7), 4, 2, **zero)(block, pair).shape == (5, 2, 4)
    assert EdgeGATConv((5, 7), 2, 4, 2, **zero)(block, pair, e).shape == (5, 2, 4)
    assert EGATConv((5, 7), 2, 4, 3, 2, **zero)(block, pair, e)[0].shape == (5, 2, 4)
    same = (torch.randn(3, 5), torch.randn(5, 5))
    for layer in (TAGConv(5, 2, 1), ChebConv(5, 2, 2), AGNNConv(**zero)):
        assert layer(block, same).isfinite().all()
    with pytest.raises(ValueError, match="a block whose destinations are its first sources"):
        TWIRLSConv(5, 2, 4, 1)(block, same)


def test_inside_a_layer_of_relations() -> None:
    """HeteroGraphConv tells them to accept nodes without in-edges of one relation."""
    graph = hf.heterograph(
        {("a", "r", "b"): ([0, 1], [0, 0]), ("b", "s", "b"): ([0, 1], [1, 1])}, {"a": 2, "b": 3}
    )
    conv = HeteroGraphConv({"r": DotGatConv((4, 4), 3, 2), "s": DotGatConv(4, 3, 2)})
    out = conv(graph, {"a": torch.randn(2, 4), "b": torch.randn(3, 4)})
    assert out["b"].shape == (3, 2, 3)


def test_errors(small_graph: hf.Graph) -> None:
    x, e = small_graph.ndata["feat"], torch.randn(2000, 2)
    g, zero = small_graph, {"allow_zero_in_degree": True}
    block = hf.to_block(hf.in_subgraph(g, [1, 2]), [1, 2])
    few = torch.randn(block.num_src_nodes(), 5)
    for run, kind, text in (
        (lambda: TAGConv(5, 2)(g, x[:, :4]), ValueError, "feat: expected 5 features a row"),
        (lambda: TAGConv(5, 2)(g, x, -e[:, 0].abs()), hf.HopflowError, "positive weights"),
        (lambda: TAGConv(5, 2)(g, x, e[:5]), ValueError, "edge_weight: expected one row for each"),
        (lambda: TAGConv(5, 2)(block, few), ValueError, "takes k = 2; expected a graph"),
        (lambda: ChebConv(5, 2, 3)(block, few), ValueError, "or a layer with k = 2 for each"),
        (lambda: ChebConv(5, 2, 3)(g, x, [1.0, 2.0]), ValueError, "lambda_max: expected one"),
        (lambda: GCN2Conv(5, 1, **zero)(g, x, x[:9]), ValueError, "feat_0: expected 200 rows"),
        (lambda: GatedGraphConv(5, 4, 1, 1), ValueError, "out_feats: expected at least in_feats"),
        (lambda: GatedGraphConv(5, 6, 1, 2)(g, x), ValueError, "etypes: expected a type for each"),
        (lambda: GatedGraphConv(5, 6, 1, 2)(g, x, torch.full((2000,), 2)), IndexError,
         r"etypes\[0\]: expected a type from 0 to 1, got 2"),
        (lambda: GatedGraphConv(5, 6, 2, 1)(block, few), ValueError, "takes n_steps = 2"),
        (lambda: GatedGCNConv(5, 2, 4)(g, x, e[:9]), ValueError, "edge_feat: expected one row"),
        (lambda: GatedGCNConv(5, 3, 4)(g, x, e), ValueError, "edge_feat: expected 3 features"),
        (lambda: EGNNConv(5, 4, 3, 2)(g, x, x), ValueError, "edge_feat: expected features of the"),
        (lambda: EGNNConv(5, 4, 3)(g, x, x[:9]), ValueError, "coord_feat of sources: expected 200"),
        (lambda: EGATConv(5, 2, 4, 3, 2, **zero)(g, x, e, e), ValueError, "edge_weight: expected"),
        (lambda: EdgeGATConv(5, 3, 4, 2, **zero)(g, x, e), ValueError, "edge_feat: expected 3"),
        (lambda: TWIRLSConv(5, 3, 4, 2, norm="mean"), ValueError, "norm: expected one of none"),
        (lambda: TWIRLSConv(5, 3, 4, 2)(g, x[:, :4]), ValueError, "expected 5 features a row"),
        (lambda: TWIRLSConv(5, 3, 4, 2)(block, few), ValueError, "takes prop_step = 2"),
        (lambda: AGNNConv(**zero)(g, [x, x]), TypeError, "feat: expected a tensor or a pair"),
    ):  # fmt: skip
        with pytest.raises(kind, match=text):
            run()


def test_eigenvalues_of_any_kind(small_graph: hf.Graph) -> None:
    layer, x = ChebConv(5, 2, 3), small_graph.ndata["feat"]
    wanted = layer(small_graph, x, 1.5)
    for value in ([1.5], torch.tensor([1.5]), torch.tensor([[1.5]]), torch.tensor(1.5)):
        torch.testing.assert_close(layer(small_graph, x, value), wanted)
    assert torch.equal(layer(small_graph, x), layer(small_graph, x, 2))


def test_what_twirls_keeps_is_not_handed_out(small_graph: hf.Graph) -> None:
    x = torch.rand(small_graph.num_nodes(), 4)
    layer = TWIRLSConv(4, 4, 4, 2, 0, 0)
    first = layer(small_graph, x)
    wanted = first.clone()
    first.zero_()
    assert torch.equal(layer(small_graph, x), wanted)
