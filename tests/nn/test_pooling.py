"""Pooling layers against plain torch, graph by graph; see oracle/ for DGL's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import hopflow as hf
from hopflow.nn import (
    AvgPooling,
    GlobalAttentionPooling,
    MaxPooling,
    Set2Set,
    SetTransformerDecoder,
    SetTransformerEncoder,
    SortPooling,
    SumPooling,
    WeightAndSum,
)
from hopflow.nn.pooling.set_transformer import MultiHeadAttention

SIZES = [3, 0, 5, 1, 0]
WIDTH = 4


def batch() -> tuple[hf.Graph, Tensor]:
    """Graphs with and without nodes, the last without."""
    made = hf.batch([hf.graph(([], []), num_nodes=n) for n in SIZES])
    generator = torch.Generator().manual_seed(0)
    return made, torch.randn(sum(SIZES), WIDTH, generator=generator)


def sort_pooling(layer: SortPooling, x: Tensor) -> Tensor:
    rows = x.sort(-1).values
    best = rows[rows[:, -1].sort(descending=True).indices][: layer.k]
    return torch.cat([best, x.new_zeros(layer.k - len(best), WIDTH)]).flatten()


def global_attention(layer: GlobalAttentionPooling, x: Tensor) -> Tensor:
    made = x if layer.feat_nn is None else layer.feat_nn(x)
    return (torch.softmax(layer.gate_nn(x), 0) * made).sum(0)


def set2set(layer: Set2Set, x: Tensor) -> Tensor:
    state, read = None, x.new_zeros(2 * WIDTH)
    for _ in range(layer.n_iters):
        query, state = layer.lstm(read.view(1, 1, -1), state)
        query = query.view(-1)
        read = torch.cat([query, torch.softmax(x @ query, 0) @ x])
    return read


def attend(layer: MultiHeadAttention, x: Tensor, mem: Tensor) -> Tensor:
    """torch's own attention with the layer's weights."""
    heads = []
    for h in range(layer.num_heads):
        own = slice(h * layer.d_head, (h + 1) * layer.d_head)
        q, k, v = (p.weight[own] for p in (layer.proj_q, layer.proj_k, layer.proj_v))
        q, k, v = x @ q.T, mem @ k.T, mem @ v.T
        heads.append(nn.functional.scaled_dot_product_attention(q, k, v) if len(mem) else 0 * q)
    x = layer.norm_in(x + layer.proj_o(torch.cat(heads, -1)))
    return layer.norm_inter(x + layer.ffn(x))


def encoder(layer: SetTransformerEncoder, x: Tensor) -> Tensor:
    for block in layer.layers:
        if layer.block_type == "sab":
            x = attend(block.mha, x, x)
        else:
            x = attend(block.mha[1], x, attend(block.mha[0], block.inducing_points, x))
    return x


def decoder(layer: SetTransformerDecoder, x: Tensor) -> Tensor:
    x = attend(layer.pma.mha, layer.pma.seed_vectors, layer.pma.ffn(x))
    for block in layer.layers:
        x = attend(block.mha, x, x)
    return x.flatten()


Case = tuple[Callable[[], nn.Module], Callable[[nn.Module, Tensor], Tensor]]
CASES: dict[str, Case] = {
    "sum": (SumPooling, lambda layer, x: x.sum(0)),
    "avg": (AvgPooling, lambda layer, x: x.sum(0) / max(len(x), 1)),
    "max": (MaxPooling, lambda layer, x: x.max(0).values if len(x) else x.sum(0)),
    "sort": (lambda: SortPooling(3), sort_pooling),
    "attention": (lambda: GlobalAttentionPooling(nn.Linear(WIDTH, 1)), global_attention),
    "attention of others": (
        lambda: GlobalAttentionPooling(nn.Linear(WIDTH, 1), nn.Linear(WIDTH, 2)),
        global_attention,
    ),
    "set2set": (lambda: Set2Set(WIDTH, 3, 2), set2set),
    "weight and sum": (lambda: WeightAndSum(WIDTH), lambda layer, x: (
        torch.sigmoid(layer.atom_weighting[0](x)) * x).sum(0)),
    "sab": (lambda: SetTransformerEncoder(WIDTH, 2, 3, 5, n_layers=2), encoder),
    "isab": (lambda: SetTransformerEncoder(WIDTH, 2, 3, 5, block_type="isab", m=2), encoder),
    "decoder": (lambda: SetTransformerDecoder(WIDTH, 2, 3, 5, 2, 3), decoder),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_graph_by_itself(name):
    torch.manual_seed(0)
    make, reference = CASES[name]
    layer, (made, x) = make().double(), batch()
    leaves = [x.double().requires_grad_(), *layer.parameters()]
    out = layer(made, leaves[0])
    wanted = [reference(layer, part) for part in leaves[0].split(SIZES)]
    is_rows = isinstance(layer, SetTransformerEncoder)
    want = torch.cat(wanted) if is_rows else torch.stack(wanted)
    torch.testing.assert_close(out, want)
    cotangent = torch.randn_like(out)
    got = torch.autograd.grad(out, leaves, cotangent)
    for ours, theirs in zip(got, torch.autograd.grad(want, leaves, cotangent)):
        torch.testing.assert_close(ours, theirs)
    if not is_rows:
        own = layer(hf.graph(([], []), num_nodes=3), leaves[0][:3])
        torch.testing.assert_close(own, want[:1])


@pytest.mark.parametrize("name", CASES)
def test_no_nodes_at_all(name):
    layer = CASES[name][0]()
    made = hf.batch([hf.graph(([], []), num_nodes=0)] * 2)
    x = torch.zeros(0, WIDTH, requires_grad=True)
    out = layer(made, x)
    assert out.shape[0] == (0 if isinstance(layer, SetTransformerEncoder) else 2)
    assert out.isfinite().all()
    out.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused(name):
    layer, (made, x) = CASES[name][0](), batch()
    with pytest.raises(ValueError, match="expected one row for each of the 9 nodes"):
        layer(made, x[:8])
    with pytest.raises(TypeError, match=r"expected a torch.Tensor, got list"):
        layer(made, [1])
    with pytest.raises(TypeError, match=r"expected a hopflow.Graph, got int"):
        layer(3, x)
    with pytest.raises(ValueError, match="ntype"):
        layer(hf.heterograph({("a", "x", "b"): ([0], [0])}), x)
    if name in ("set2set", "weight and sum", "sab", "isab", "decoder"):
        with pytest.raises(ValueError, match="expected 4 features a row"):
            layer(made, x[:, :3])


def test_attention_is_given():
    layer, (made, x) = GlobalAttentionPooling(nn.Linear(WIDTH, 1)), batch()
    out, weights = layer(made, x, get_attention=True)
    assert torch.equal(out, layer(made, x))
    assert weights.shape == (9, 1)
    total = torch.stack([part.sum() for part in weights.split(SIZES)])
    torch.testing.assert_close(total, torch.tensor([1.0, 0, 1, 1, 0]))
    wide = GlobalAttentionPooling(nn.Linear(WIDTH, 2))
    with pytest.raises(ValueError, match=r"gate_nn\(feat\): expected 1 features a row"):
        wide(made, x)


def test_dropout_is_of_training_alone():
    torch.manual_seed(0)
    layer, (made, x) = SetTransformerEncoder(WIDTH, 2, 3, 5, dropouta=0.5), batch()
    assert not torch.equal(layer(made, x), layer(made, x))
    layer.eval()
    assert torch.equal(layer(made, x), layer(made, x))


class Largest(TorchDispatchMode):
    """Notes the numbers of the largest tensor that is made."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.size = max(self.size, out.numel())
        return out


@pytest.mark.parametrize("name", ["sab", "isab", "decoder"])
def test_one_long_graph_among_short_ones(name):
    """Nothing is padded to it, and each is what it is alone: in value, and in gradients."""
    torch.manual_seed(0)
    sizes = [2] * 40 + [0, 150, 40, 33, 17, 0] + [1] * 40
    make, reference = CASES[name]
    layer = make().double()
    made = hf.batch([hf.graph(([], []), num_nodes=n) for n in sizes])
    x = torch.randn(sum(sizes), WIDTH, dtype=torch.float64, requires_grad=True)
    with Largest() as largest:
        out = layer(made, x)
    # Two heads; a graph of up to 16 nodes counts as one of 16, and others as less than twice.
    if name == "sab":
        assert largest.size <= 2 * (82 * 16**2 + 150**2 + 2 * 40**2 + 32**2)
    wanted = [reference(layer, part) for part in x.split(sizes)]
    want = torch.stack(wanted) if name == "decoder" else torch.cat(wanted)
    torch.testing.assert_close(out, want)
    weight = torch.randn_like(want)
    got, expected = (torch.autograd.grad(y, x, weight)[0] for y in (out, want))
    torch.testing.assert_close(got, expected)


def test_unknown_blocks():
    with pytest.raises(KeyError, match="block_type"):
        SetTransformerEncoder(4, 1, 1, 1, block_type="no")
    with pytest.raises(KeyError, match="m: expected"):
        SetTransformerEncoder(4, 1, 1, 1, block_type="isab")
    with pytest.raises(ValueError, match="k: expected at least 1"):
        SortPooling(0)


def test_parameters_can_be_drawn_anew():
    torch.manual_seed(0)
    layer = Set2Set(WIDTH, 2, 1)
    old = [p.clone() for p in layer.parameters()]
    layer.reset_parameters()
    assert all(not torch.equal(a, b) for a, b in zip(old, layer.parameters()))
    assert repr(layer).startswith("Set2Set(\n  n_iters=2")
