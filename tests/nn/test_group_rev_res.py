"""GroupRevRes: gradients of torch's own record, memory let go, draws made again."""

from __future__ import annotations

import copy
import gc
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

import hopflow as hf
import hopflow.nn.group_rev_res as module
from hopflow.nn import GraphConv, GroupRevRes


class Layer(nn.Module):
    """As in a deep network: normalisation, dropout, a convolution, perhaps edge weights."""

    def __init__(self, width: int, dropout: float = 0.0, norm: bool = False) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.conv = GraphConv(width, width, "right", allow_zero_in_degree=True)

    def forward(self, g: hf.Graph, x: Tensor, w: Tensor | None = None) -> Tensor:
        x = self.dropout(torch.tanh(self.norm(x)))
        return self.conv(g, x, edge_weight=None if w is None else w.mean(1))


class Plain(GroupRevRes):
    """The formula under torch's own record."""

    def forward(self, g: hf.Graph, x: Tensor, *args: Tensor) -> Tensor:
        return module._apply(self._calls(g), x, args)


class Deep(nn.Module):
    def __init__(self, depth: int, groups: int, **options: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            GroupRevRes(Layer(12 // groups, **options), groups) for _ in range(depth)
        )

    def forward(self, g: hf.Graph, x: Tensor, *args: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(g, x, *args)
        return x

    def plain(self) -> Deep:
        other = copy.deepcopy(self)
        for layer in other.layers:
            layer.__class__ = Plain
        return other


def gradients(model: nn.Module, g: hf.Graph, x: Tensor, *args: Tensor) -> list[Tensor]:
    leaves = [x, *args, *model.parameters()]
    torch.manual_seed(4)
    out = model(g, x * 1.0, *args)
    return [out.detach().clone(), *torch.autograd.grad(out.square().sum(), leaves)]


def compare(found: list[Tensor], wanted: list[Tensor]) -> None:
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize(
    "options", [{}, {"dropout": 0.4}, {"norm": True}, {"dropout": 0.4, "norm": True}], ids=str
)
def test_gradients(small_graph: hf.Graph, groups: int, options: dict[str, Any]) -> None:
    """With dropout and statistics, in a chain; buffers and the random stream end up alike."""
    model = Deep(3, groups, **options).double()
    other = model.plain()
    x = torch.randn(200, 12, dtype=torch.float64, requires_grad=True)
    w = torch.rand(2000, 2 * groups, dtype=torch.float64, requires_grad=True)
    for args in ((), (w,)):
        found = gradients(model, small_graph, x, *args)
        after = torch.rand(3)
        compare(found, gradients(other, small_graph, x, *args))
        assert torch.equal(after, torch.rand(3))
        for (name, a), b in zip(model.named_buffers(), other.buffers()):
            assert torch.equal(a, b), name


def test_only_the_last_output_is_kept(small_graph: hf.Graph) -> None:
    """Outputs in between are gone after the forward pass, and after the backward pass too."""
    model = Deep(4, 2)
    x, alive = torch.randn(200, 12, requires_grad=True), []
    h = x * 1.0
    for layer in model.layers:
        h = layer(small_graph, h)
        alive.append(StorageWeakRef(h.untyped_storage()))
    assert [ref.expired() for ref in alive] == [True, True, True, False]
    loss = h.sum()
    loss.backward()
    step, steps = h.grad_fn.step, []
    while step is not None:
        steps.append(step)
        step = step._before()
    assert [step._out is not None for step in steps] == [True, False, False, False]
    del h, loss, step, steps
    gc.collect()
    assert alive[-1].expired()


def test_nothing_forms_a_circle(small_graph: hf.Graph) -> None:
    """All ends with the last reference, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        out = Deep(3, 2)(small_graph, torch.randn(200, 12, requires_grad=True) * 1.0)
        ref = StorageWeakRef(out.untyped_storage())
        del out
        assert ref.expired()
    finally:
        gc.enable()


def test_outputs_in_between_may_be_used(small_graph: hf.Graph) -> None:
    """By a loss of their own, by two modules, or where what follows is not part of the loss."""
    model = Deep(3, 2).double()
    other = model.plain()
    x = torch.randn(200, 12, dtype=torch.float64, requires_grad=True)

    def run(model: Deep, kind: str) -> list[Tensor]:
        a, b, c = model.layers
        first = a(small_graph, x * 1.0)
        second = b(small_graph, first)
        third = c(small_graph, first if kind == "branch" else second)
        if kind == "cut":  # what is computed from here on has no part in the loss
            loss = first.square().sum()
            del second, third
        elif kind == "middle":
            loss = second.square().sum()
        else:
            loss = first.square().sum() + second.sum() + third.square().sum()
        leaves = [x, *model.parameters()]
        once = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
        again = torch.autograd.grad(loss, leaves, allow_unused=True)
        for p, q in zip(once, again):
            assert (p is None) == (q is None)
            assert p is None or torch.allclose(p, q)
        return [g for g in once if g is not None]

    for kind in ("all", "branch", "cut", "middle"):
        compare(run(model, kind), run(other, kind))


def test_changes_in_place_are_told(small_graph: hf.Graph) -> None:
    layer, x = GroupRevRes(Layer(6)), torch.randn(200, 12, requires_grad=True)
    out = layer(small_graph, x)
    with torch.no_grad():
        out.add_(1)
    with pytest.raises(RuntimeError, match="output was changed in place"):
        out.sum().backward()
    w = torch.rand(2000, 2)
    out = layer(small_graph, x, w)
    w.add_(1)
    with pytest.raises(RuntimeError, match="argument was changed in place"):
        out.sum().backward()


def test_autocast(small_graph: hf.Graph) -> None:
    """The backward pass computes as the forward pass did, wherever it is called."""
    model, x = Deep(2, 2), torch.randn(200, 12, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = gradients(model.plain(), small_graph, x)
        inside = gradients(model, small_graph, x)
        out = model(small_graph, x * 1.0)
    outside = torch.autograd.grad(out.square().sum(), [x, *model.parameters()])
    for found in (inside[1:], outside):
        for a, b in zip(found, wanted[1:], strict=True):
            assert torch.allclose(a, b, atol=0.02 * b.abs().max().item())


def test_without_gradients_and_frozen(small_graph: hf.Graph) -> None:
    model, x = Deep(2, 2).requires_grad_(False), torch.randn(200, 12)
    assert not model(small_graph, x).requires_grad
    assert torch.equal(model(small_graph, x), model.plain()(small_graph, x))
    model.layers[1].gnn_modules[0].conv.weight.requires_grad_(True)
    other = model.plain()
    for m in (model, other):
        m(small_graph, x).sum().backward()
    found, wanted = (m.layers[1].gnn_modules[0].conv.weight.grad for m in (model, other))
    assert torch.allclose(found, wanted, atol=1e-4)
    x.requires_grad_()
    for m in (model, other):
        (grad,) = torch.autograd.grad(m(small_graph, x).sum(), [x])
        assert torch.isfinite(grad).all()


def test_wrong_inputs(small_graph: hf.Graph) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        GroupRevRes(Layer(6), 1)
    layer, x = GroupRevRes(Layer(6)), torch.randn(200, 12)
    for bad, match in (((x[:, :11],), "share"), ((x, torch.rand(2000, 3)), r"args\[0\].*share")):
        with pytest.raises(ValueError, match=match):
            layer(small_graph, *bad)
    with pytest.raises(TypeError, match=r"args\[0\]"):
        layer(small_graph, x, None)
    with pytest.raises(ValueError, match="input's shape"):
        GroupRevRes(GraphConv(6, 5, allow_zero_in_degree=True))(small_graph, x)
    assert list(GroupRevRes(nn.Linear(2, 2)).state_dict()) == [
        f"gnn_modules.{i}.{name}" for i in (0, 1) for name in ("weight", "bias")
    ]


def test_a_backward_pass_after_the_graph_changed_is_of_the_edges_before() -> None:
    model, x = GroupRevRes(Layer(4), 2), torch.rand(4, 8, requires_grad=True)
    found = []
    for changes in (False, True):
        g = hf.graph(([0, 1, 2], [1, 2, 3]))
        out = model(g, x).square().sum()
        if changes:
            g.add_edges([0, 1, 2, 3], [0, 0, 0, 0])
        found.append(torch.autograd.grad(out, [x, *model.parameters()]))
    compare(list(found[1]), list(found[0]))
