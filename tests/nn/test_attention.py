"""Attention layers beyond DGL's record: autocast, nothing to attend to, hooks, bad arguments."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hopflow as hf
from hopflow.nn import GATConv, GATv2Conv, _attention
from hopflow.nn.conv import gat

LAYERS = [GATConv, GATv2Conv]


@pytest.mark.parametrize("layer", LAYERS)
def test_autocast_and_halves(layer, small_graph):
    made = layer(5, 4, 2, residual=True, allow_zero_in_degree=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = made(small_graph, torch.rand(200, 5))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), made(small_graph, torch.rand(200, 5)), rtol=1, atol=2)
    out.float().sum().backward()
    assert all(p.grad is not None for p in made.parameters())
    half = layer(5, 4, 2, allow_zero_in_degree=True).bfloat16()
    assert half(small_graph, torch.rand(200, 5).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("layer", LAYERS)
def test_no_destinations(layer, residual):
    none = torch.zeros(0, dtype=torch.int64)
    for num_src in (0, 3):
        block = hf.create_block((none, none), num_src_nodes=num_src, num_dst_nodes=0)
        made = layer(4, 5, 2, residual=residual)
        x = torch.rand(num_src, 4, requires_grad=True)
        out = made(block, x)
        assert out.shape == (0, 2, 5)
        out.sum().backward()
        assert not x.grad.any()


@pytest.mark.parametrize("layer", LAYERS)
def test_dropout_and_shapes(layer, small_graph):
    made = layer(5, 4, 2, feat_drop=0.5, attn_drop=0.5, allow_zero_in_degree=True)
    x = torch.rand(200, 5)
    assert not torch.equal(made(small_graph, x), made(small_graph, x))
    made.eval()
    out, attention = made(small_graph, x, get_attention=True)
    assert out.shape == (200, 2, 4)
    assert attention.shape == (2000, 2, 1)
    totals = hf.functional.copy_e_sum(small_graph, attention).squeeze(-1)
    assert torch.allclose(totals[:180], torch.ones(180, 2))


def test_rectifiers_are_called_where_somebody_watches(small_graph):
    made = GATv2Conv(5, 4, 2, allow_zero_in_degree=True)
    x, calls = torch.rand(200, 5), []
    expected = made(small_graph, x)
    made.leaky_relu.register_forward_hook(lambda *_: calls.append(1))
    assert torch.allclose(made(small_graph, x), expected, atol=1e-6)
    assert calls == [1]
    made.leaky_relu = nn.ReLU()
    assert made(small_graph, x).shape == expected.shape


@pytest.mark.parametrize("layer", LAYERS)
def test_bad_arguments(layer, small_graph):
    with pytest.raises(hf.HopflowError, match="have no in-edge"):
        layer(5, 4, 2)(small_graph, torch.rand(200, 5))
    with pytest.raises(TypeError, match="in_feats: expected an int, got list"):
        layer([4, 4], 3, 2)
    with pytest.raises(ValueError, match="in_feats: expected an int or a pair"):
        layer((4, 4, 4), 3, 2)
    with pytest.raises(ValueError, match="feat of sources: expected 200 rows"):
        layer(5, 4, 2, allow_zero_in_degree=True)(small_graph, torch.rand(3, 5))


def test_bad_edge_weights(small_graph):
    made, x = GATConv(5, 4, 2, allow_zero_in_degree=True), torch.rand(200, 5)
    with pytest.raises(ValueError, match="edge_weight: expected one number for each of the 2000"):
        made(small_graph, x, torch.rand(2000, 2))
    with pytest.raises(TypeError, match="edge_weight: expected a tensor, got list"):
        made(small_graph, x, [1.0])


def random_block(num_src, num_dst, num_edges):
    """A block in which some destinations have no in-edges."""
    src = torch.randint(num_src, (num_edges,))
    dst = torch.randint(num_dst - 1, (num_edges,))
    return hf.create_block((src, dst), num_src_nodes=num_src, num_dst_nodes=num_dst)


def of_both_orders(monkeypatch, made, call):
    """Outputs and gradients with the sum before the projection, after it, and as torch has it."""
    found = []
    for is_first in (True, False):
        with monkeypatch.context() as patched:
            patched.setattr(gat, "sums_inputs", lambda *_, answer=is_first: answer)
            found.append(call())
    # Whoever watches a projection sees all rows go through it.
    handles, calls = [], []
    for name in ("fc", "fc_src", "fc_dst"):
        if hasattr(made, name):
            hook = getattr(made, name).register_forward_hook(lambda *_: calls.append(1))
            handles.append(hook)
    found.append(call())
    assert calls
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("needs_grad", [False, True])
@pytest.mark.parametrize(
    ("options", "is_pair"),
    [
        ({}, False),
        ({"residual": True, "bias": False}, False),
        ({"negative_slope": -0.5, "activation": torch.tanh}, False),
        ({}, True),
    ],
)
def test_both_orders_and_folded_scores(monkeypatch, options, is_pair, needs_grad):
    torch.manual_seed(4)
    block = random_block(30, 12, 80)
    for heads, width in ((3, 4), (1, 1)):
        made = GATConv((5, 5) if is_pair else 5, width, heads, allow_zero_in_degree=True, **options)
        made = made.double()
        x = torch.randn(block.num_src_nodes(), 5, dtype=torch.float64, requires_grad=needs_grad)
        own = torch.randn(12, 5, dtype=torch.float64, requires_grad=needs_grad)
        factor = torch.rand(block.num_edges(), dtype=torch.float64, requires_grad=True)
        upstream = torch.randn(12, heads, width, dtype=torch.float64)
        wanted = [factor, *made.parameters(), *([x] if needs_grad else [])]
        wanted += [own] if needs_grad and is_pair else []

        def call(made=made, x=x, own=own, factor=factor, upstream=upstream, wanted=wanted):
            feat = (x, own) if is_pair else x
            out, attention = made(block, feat, edge_weight=factor, get_attention=True)
            loss = (out * upstream).sum() + attention.square().sum()
            return out, attention, *torch.autograd.grad(loss, wanted)

        first, second, third = of_both_orders(monkeypatch, made, call)
        for a, b, c in zip(first, second, third, strict=True):
            torch.testing.assert_close(a, c)
            torch.testing.assert_close(b, c)


def test_second_derivatives_of_both_orders(monkeypatch):
    torch.manual_seed(5)
    block = random_block(8, 4, 12)
    made = GATConv(3, 2, 2, allow_zero_in_degree=True).double()
    x = torch.randn(block.num_src_nodes(), 3, dtype=torch.float64, requires_grad=True)
    for is_first in (True, False):
        monkeypatch.setattr(gat, "sums_inputs", lambda *_, answer=is_first: answer)
        assert torch.autograd.gradgradcheck(lambda x: made(block, x), (x,))


def test_the_order_is_the_cheaper_one():
    def answer(num_src, num_dst, in_feats, heads, width, needs_grad=False):
        indptr = torch.arange(0, 10 * num_dst + 1, 10)
        block = hf.create_block(
            ("csc", (indptr, torch.randint(num_src, (10 * num_dst,)), [])), num_src, num_dst
        )
        x = torch.empty(num_src, in_feats, requires_grad=needs_grad)
        return _attention.sums_inputs(block, x, heads, width)

    # A first layer over a sampled block: a third of the products, and narrower rows.
    assert answer(3000, 1000, 100, 4, 64)
    # As many sources as destinations; wide rows beside many narrow heads.
    assert not answer(1000, 1000, 256, 4, 64)
    assert not answer(3000, 1000, 602, 8, 8)
    # With a gradient of the rows there is more to do for every head.
    assert answer(3000, 1000, 64, 8, 32)
    assert not answer(3000, 1000, 128, 8, 32, needs_grad=True)
    assert answer(3000, 1000, 100, 4, 64, needs_grad=True)
    block = hf.rand_graph(4, 6)
    assert not _attention.sums_inputs(block, torch.rand(4, 2, 3), 4, 64)
