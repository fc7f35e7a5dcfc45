"""TypedLinear: a matrix for each type of row."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from helpers import FLOATS
from torch import Tensor, nn

from hopflow.nn import TypedLinear

LINEARS = {"plain": (None, None), "basis": ("basis", 3), "bdd": ("bdd", 2)}
every_kind = pytest.mark.parametrize("kind", LINEARS)


def matrices(layer: TypedLinear) -> Tensor:
    """The matrices [T, in, out] written out."""
    weight = layer.get_weight()
    if layer.regularizer != "bdd":
        return weight
    blocks = weight.view(-1, layer.num_bases, layer.submat_in, layer.submat_out)
    return torch.stack([torch.block_diag(*of_type) for of_type in blocks])


def formula(layer: TypedLinear, x: Tensor, types: Tensor) -> Tensor:
    return torch.einsum("ni,nio->no", x, matrices(layer)[types.long()])


def rows(count: int = 40, width: int = 4) -> tuple[Tensor, Tensor]:
    """Rows of types 0, 1, 3 and 4; no row has 2 or 5."""
    return torch.randn(count, width), torch.tensor([0, 1, 3, 4])[torch.randint(4, (count,))]


@every_kind
@pytest.mark.parametrize("count", [0, 1, 40])
def test_formula(kind: str, count: int) -> None:
    layer, (x, types) = TypedLinear(4, 6, 6, *LINEARS[kind]), rows(count)
    want = formula(layer, x, types)
    for dtype in (torch.int64, torch.int32, torch.int16, torch.uint8):
        torch.testing.assert_close(layer(x, types.to(dtype)), want)
    order = types.argsort(stable=True)
    out = layer(x[order], types[order], sorted_by_type=True)
    torch.testing.assert_close(out, want[order])
    assert torch.equal(layer(x[order], types[order]), out)
    assert out.shape == (count, 6)


@every_kind
def test_gradients(kind: str) -> None:
    layer, (x, types) = TypedLinear(4, 6, 6, *LINEARS[kind]).double(), rows(9)
    names = [name for name, _ in layer.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters)), (x, types))

    given = (x.double().requires_grad_(), *layer.parameters())
    assert torch.autograd.gradcheck(run, given)
    assert torch.autograd.gradgradcheck(run, given)


def test_width_one() -> None:
    x, types = rows(width=1)
    for options in ((None, None), ("basis", 1), ("bdd", 1)):
        layer = TypedLinear(1, 1, 6, *options)
        torch.testing.assert_close(layer(x, types), formula(layer, x, types))


@every_kind
@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_and_autocast(kind: str, dtype: torch.dtype) -> None:
    layer, (x, types) = TypedLinear(4, 6, 6, *LINEARS[kind]), rows()
    want = layer(x, types)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer(x.requires_grad_(), types)
    assert mixed.dtype == torch.bfloat16
    torch.testing.assert_close(mixed.float(), want, rtol=0.05, atol=0.05)
    mixed.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == p.dtype for p in layer.parameters())
    out = layer.to(dtype)(x.detach().to(dtype), types)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), want, rtol=0.05, atol=0.05)


@every_kind
def test_determinism_and_unused_types(kind: str) -> None:
    layer, (x, types) = TypedLinear(4, 6, 6, *LINEARS[kind]), rows()

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad(layer(x, types).square().sum(), list(layer.parameters())))

    first = gradients()
    assert all(torch.equal(a, b) for a, b in zip(first, gradients()))
    of_type = first[1] if kind == "basis" else first[0]
    assert not of_type[[2, 5]].any()
    assert of_type[[0, 1, 3, 4]].flatten(1).any(1).all()


def test_parameters_and_repr() -> None:
    shapes = {
        kind: {k: tuple(p.shape) for k, p in TypedLinear(4, 6, 5, *options).state_dict().items()}
        for kind, options in LINEARS.items()
    }
    assert shapes == {
        "plain": {"W": (5, 4, 6)},
        "basis": {"W": (3, 4, 6), "coeff": (5, 3)},
        "bdd": {"W": (5, 12)},
    }
    assert repr(TypedLinear(4, 6, 5)) == "TypedLinear(in_size=4, out_size=6, num_types=5)"
    assert repr(TypedLinear(4, 6, 5, "bdd", 2)).endswith("regularizer=bdd, num_bases=2)")
    layer = TypedLinear(100, 6, 5)
    before = layer.W.clone()
    assert 0.09 < before.abs().max() <= 0.1
    layer.reset_parameters()
    assert not torch.equal(before, layer.W)
    for made in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(made.W, layer.W)


def test_vmap_over_models() -> None:
    layer, (x, types) = TypedLinear(4, 6, 6), rows()
    weights = torch.randn(3, 6, 4, 6)

    def run(weight: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"W": weight}, (x, types))

    torch.testing.assert_close(torch.vmap(run)(weights), torch.stack([run(w) for w in weights]))


def test_errors() -> None:
    layer, (x, types) = TypedLinear(4, 6, 6), rows()
    for wrong, value in ((7, 6), (30, -1)):
        bad = types.clone()
        bad[wrong] = value
        bad[wrong + 1] = 99
        with pytest.raises(IndexError, match=rf"x_type\[{wrong}\]: .* 0 to 5, got {value}"):
            layer(x, bad)
    with pytest.raises(ValueError, match=r"x_type: expected types that rise.*at row"):
        layer(x, types.sort(descending=True).values, True)
    for given, error, match in (
        ((x[:, :3], types), ValueError, "x: expected 4 features"),
        ((x[0], types), ValueError, r"x: expected rows, shape \[N, 4\]"),
        ((x, types[1:]), ValueError, "x_type: expected one type for each of the 40 rows"),
        ((x, types.float()), TypeError, "x_type: expected integers, got float32"),
        ((x, types.tolist()), TypeError, "x_type: expected a tensor of integers, got list"),
        ((x.double(), types), TypeError, "weight: expected the dtype of x, float64"),
    ):
        with pytest.raises(error, match=match):
            layer(*given)
    with pytest.raises(ValueError, match="regularizer: expected None, 'basis' or 'bdd', got 'x'"):
        TypedLinear(4, 6, 5, "x")
    for kind in ("basis", "bdd"):
        with pytest.raises(ValueError, match="num_bases: expected a number"):
            TypedLinear(4, 6, 5, kind)
    with pytest.raises(ValueError, match="num_bases: expected a divisor of in_size = 4"):
        TypedLinear(4, 6, 5, "bdd", 3)


def compiled_once(model: nn.Module, calls: Sequence[tuple[Any, ...]]) -> None:
    """Compiled into one graph at the first call and never again; results and gradients agree."""
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13):
        pytest.skip("torch.compile of layers is held to with torch 2.13 and later")
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="aot_eager")
    parameters = list(model.parameters())
    for number, given in enumerate(calls):
        with torch._dynamo.config.patch(error_on_recompile=number > 0):
            found, want = (f(*given) for f in (compiled, model))
        torch.testing.assert_close(found, want)
        if isinstance(found, dict):
            found, want = (torch.cat(list(x.values())) for x in (found, want))
        grads = [torch.autograd.grad(x.square().sum(), parameters) for x in (found, want)]
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)
    torch._dynamo.reset()


@pytest.mark.cpu_only
@every_kind
def test_compiled(kind: str) -> None:
    compiled_once(TypedLinear(4, 6, 6, *LINEARS[kind]), [rows(n) for n in (40, 17, 90)])
