"""Attention layers beyond DGL's record: autocast, nothing to attend to, hooks, bad arguments."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hopflow as hf
from hopflow.nn import GATConv, GATv2Conv

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
