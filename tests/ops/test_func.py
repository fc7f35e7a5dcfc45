"""torch.func and forward mode: every operator against plain torch, alone and nested."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from helpers import random_csc
from torch import Tensor
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

import hopflow as hf
from hopflow import ops

pytestmark = pytest.mark.filterwarnings("error:.*the batching rule for hopflow:UserWarning")

CSC = random_csc(7, 8, 24, seed=3)
EDGES = CSC.indptr, CSC.indices
ROWS = {"u": CSC.num_src, "v": CSC.num_dst, "e": CSC.num_edges}
SIZE = 3


class Case(NamedTuple):
    """A function of floating-point operands, the same in plain torch, and the operands' shapes."""

    function: Callable[..., Tensor]
    reference: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]


def case(
    name: str, *shapes: tuple[int, ...], before: tuple[Any, ...] = EDGES, **options: Any
) -> Case:
    both = (getattr(ops, name), getattr(ops, f"{name}_reference"))
    return Case(*(partial(_call, f, before, options) for f in both), shapes)


def _call(function: Any, before: tuple[Any, ...], options: dict[str, Any], *xs: Tensor) -> Tensor:
    named = {k: xs[v] if k == "weight" else v for k, v in options.items()}
    out = function(*before, *xs[: len(xs) - ("weight" in options)], **named)
    return torch.cat([x.flatten() for x in out]) if isinstance(out, tuple) else out


def _binary() -> dict[str, Case]:
    cases = {}
    for op, targets, shapes in [
        ("add", "ue", ((2, 3), (2, 3))),
        ("sub", "vu", ((2, 1), (1, 3))),
        ("mul", "ue", ((2, 3), (2, 1))),
        ("mul", "ue", ((3,), ())),
        ("div", "uv", ((2, 3), (3,))),
        ("div", "eu", ((1, 3), (2, 1))),
        ("dot", "uv", ((2, 3), (2, 3))),
        ("dot", "ev", ((2, 3), (1, 3))),
    ]:
        full = tuple((ROWS[t], *shape) for t, shape in zip(targets, shapes))
        options = {"lhs_target": targets[0], "rhs_target": targets[1], "eids": CSC.eids}
        name = f"{targets[0]}_{op}_{targets[1]} {shapes}"
        cases[f"sddmm {name}"] = case("sddmm_binary", *full, before=(*EDGES, op), **options)
        for reduce in ops.REDUCERS:
            cases[f"spmm {name} {reduce}"] = case(
                "spmm_binary", *full, before=(*EDGES, op), reduce=reduce, **options
            )
    return cases


U, V, E = (ROWS[t] for t in "uve")
CASES = {
    "gather": case("gather_rows", (U, 2, 3), before=(), ids=torch.tensor([3, 0, 3, 6, 1])),
    "gather numbers": case("gather_rows", (U,), before=(), ids=torch.tensor([3, 0, 3, 6, 1])),
    **{f"spmm {r}": case("spmm", (U, 3), reduce=r) for r in ops.REDUCERS},
    **{f"spmm heads {r}": case("spmm", (U, 2, 3), reduce=r) for r in ops.REDUCERS},
    "spmm numbers": case("spmm", (U,), reduce="mean"),
    **{
        f"spmm weighted {r} {w}": case("spmm", (U, 2, 3), w, reduce=r, weight=1, eids=CSC.eids)
        for r in ("sum", "mean")
        for w in ((E, 2), (E,))
    },
    **{
        f"segment {r}": case(
            "segment_reduce", (E, 2, 3), before=(CSC.indptr,), reduce=r, eids=CSC.eids
        )
        for r in ops.REDUCERS
    },
    **{f"own {r}": case("spmm_with_own", (9, 3), reduce=r) for r in ("mean", "sum")},
    "sddmm": case("sddmm", (U, 2, 3), (V, 2, 3), eids=CSC.eids),
    "softmax": case("edge_softmax", (E, 3), before=(CSC.indptr,), eids=CSC.eids),
    "softmax numbers": case("edge_softmax", (E,), before=(CSC.indptr,)),
    "gatv2": case("gatv2_scores", (U, 2, 3), (V, 2, 3), (2, 3), eids=CSC.eids),
    **_binary(),
}
every_case = pytest.mark.parametrize("name", CASES)


def inputs(name: str, *batch: int, seed: int = 0) -> list[Tensor]:
    """Operands away from 0 and from each other, so that nothing lies on a kink."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for shape in CASES[name].shapes:
        count = torch.Size((*batch, *shape)).numel()
        values = torch.randperm(count, generator=generator).double() / count + 0.4
        sign = torch.randint(2, (count,), generator=generator) * 2 - 1
        made.append((values * sign).view(*batch, *shape))
    return made


def scalar(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A number whose second derivatives in the operands are not 0."""

    def total(*xs: Tensor) -> Tensor:
        out = function(*xs)
        weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
        return (out * weights).sum() + (out * out * weights).sum() / 2

    return total


def same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def argnums(name: str) -> tuple[int, ...]:
    return tuple(range(len(CASES[name].shapes)))


@every_case
def test_grad(name: str) -> None:
    xs = inputs(name)
    found, expected = (grad(scalar(f), argnums(name))(*xs) for f in CASES[name][:2])
    same(found, expected)


@every_case
def test_vjp_and_jvp(name: str) -> None:
    xs, tangents = inputs(name), inputs(name, seed=1)
    function, reference, _ = CASES[name]
    same(jvp(function, tuple(xs), tuple(tangents)), jvp(reference, tuple(xs), tuple(tangents)))
    out, pull = vjp(function, *xs)
    expected, reference_pull = vjp(reference, *xs)
    same(out, expected)
    same(pull(out.sin()), reference_pull(out.sin()))
    for number in argnums(name):  # a tangent of one operand alone
        one = [partial(_with, f, xs, number) for f in (function, reference)]
        same(*(jvp(f, (xs[number],), (tangents[number],)) for f in one))


def _with(function: Any, xs: list[Tensor], number: int, x: Tensor) -> Tensor:
    return function(*xs[:number], x, *xs[number + 1 :])


@every_case
def test_vmap(name: str) -> None:
    function, reference, shapes = CASES[name]
    plain = inputs(name)
    for which in range(1, 2 ** len(shapes)):  # which operands have a batch
        dims = tuple(-1 if which >> i & 1 else None for i in range(len(shapes)))
        xs = [
            plain[i] if dim is None else x.movedim(0, -1)
            for i, (x, dim) in enumerate(zip(inputs(name, SIZE), dims))
        ]
        found = vmap(function, in_dims=dims)(*xs)
        each = [[x if d is None else x.select(d, i) for x, d in zip(xs, dims)] for i in range(SIZE)]
        same(found, torch.stack([reference(*x) for x in each]))


@every_case
def test_gradients_a_sample_and_of_a_batch(name: str) -> None:
    xs = inputs(name, SIZE)
    numbers = argnums(name)
    function, reference, _ = CASES[name]
    found = vmap(grad(scalar(function), numbers))(*xs)
    each = [grad(scalar(reference), numbers)(*(x[i] for x in xs)) for i in range(SIZE)]
    same(found, tuple(torch.stack(g) for g in zip(*each)))
    of_all = grad(lambda *xs: vmap(scalar(function))(*xs).sum(), numbers)(*xs)
    same(of_all, found)
    # torch's own gradient through a batch, and one operand alone with a batch.
    leaves = [x.clone().requires_grad_() for x in xs]
    same(torch.autograd.grad(vmap(scalar(function))(*leaves).sum(), leaves), found)
    for number in numbers:
        rest = [x[0] for x in xs]
        dims = tuple(0 if i == number else None for i in numbers)
        mixed = [x if i == number else r for i, (x, r) in enumerate(zip(xs, rest))]
        found = vmap(grad(scalar(function), numbers), dims)(*mixed)
        each = [
            grad(scalar(reference), numbers)(*_replaced(rest, number, xs[number][i]))
            for i in range(SIZE)
        ]
        same(found, tuple(torch.stack(g) for g in zip(*each)))


def _replaced(xs: list[Tensor], number: int, x: Tensor) -> list[Tensor]:
    return [*xs[:number], x, *xs[number + 1 :]]


@every_case
def test_jacobians_and_tangents_of_a_batch(name: str) -> None:
    xs, tangents = inputs(name, SIZE), inputs(name, SIZE, seed=1)
    function, reference, _ = CASES[name]

    def push(f: Any, xs: Any, tangents: Any) -> Any:
        return jvp(f, tuple(xs), tuple(tangents))

    found = vmap(partial(push, function))(xs, tangents)
    each = [push(reference, [x[i] for x in xs], [t[i] for t in tangents]) for i in range(SIZE)]
    same(found, tuple(torch.stack(x) for x in zip(*each)))
    one = [x[0] for x in xs]
    expected = jacrev(reference, argnums(name))(*one)
    same(jacrev(function, argnums(name))(*one), expected)
    same(jacfwd(function, argnums(name))(*one), expected)


@pytest.mark.cpu_only
@every_case
def test_second_derivatives(name: str) -> None:
    function, reference, _ = CASES[name]
    xs = inputs(name)
    first = len(argnums(name)) - 1
    one, expected = (partial(_with, scalar(f), xs, first) for f in (function, reference))
    x = xs[first]
    same(hessian(one)(x), hessian(expected)(x))
    for outer, inner in ((jacrev, jacrev), (jacrev, jacfwd), (jacfwd, jacfwd)):
        same(outer(inner(one))(x), hessian(expected)(x))


@pytest.mark.cpu_only
@every_case
def test_forward_mode_without_torch_func(name: str) -> None:
    function = CASES[name].function
    xs = [x.requires_grad_() for x in inputs(name)]
    assert gradcheck(
        function,
        xs,
        check_forward_ad=True,
        check_backward_ad=False,
    )
    if "own" not in name and xs[0].numel() < 25:
        assert gradgradcheck(
            scalar(function),
            xs,
            check_fwd_over_rev=True,
            check_rev_over_rev=False,
            check_undefined_grad=False,
        )
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(x.detach(), torch.ones_like(x)) for x in xs]
        plain = forward_ad.unpack_dual(function(*duals))
    assert plain.tangent is not None
    same(plain, forward_ad.UnpackedDualTensor(*jvp(function, tuple(duals_of(xs)), ones(xs))))


def duals_of(xs: list[Tensor]) -> list[Tensor]:
    return [x.detach() for x in xs]


def ones(xs: list[Tensor]) -> tuple[Tensor, ...]:
    return tuple(torch.ones_like(x) for x in xs)


def test_edges_may_have_a_batch_too() -> None:
    x = torch.randn(U, 3, dtype=torch.float64)
    indices = torch.stack([CSC.indices, (CSC.indices + 1) % U])
    expected = torch.stack([ops.spmm(CSC.indptr, i, x) for i in indices])
    same(vmap(lambda i: torch.ops.hopflow.spmm(x, CSC.indptr, i, *_COPY)[0])(indices), expected)
    made = vmap(lambda i: torch.ops.hopflow.transpose_csc(CSC.indptr, i, U))(indices)
    for i in range(2):
        same(tuple(m[i] for m in made), tuple(ops.transpose_csc(CSC.indptr, indices[i], U)))


_COPY = (None, None, None, "sum", None, None, None)


def test_batches_in_batches() -> None:
    x = torch.randn(2, SIZE, U, 3, dtype=torch.float64)
    w = torch.randn(SIZE, E, dtype=torch.float64)

    def function(x: Tensor, w: Tensor) -> Tensor:
        return ops.spmm(*EDGES, x, weight=w, reduce="mean")

    found = vmap(vmap(function), (0, None))(x, w)
    each = [[function(x[i, j], w[j]) for j in range(SIZE)] for i in range(2)]
    same(found, torch.stack([torch.stack(row) for row in each]))
    of_max = vmap(vmap(grad(lambda x: ops.spmm(*EDGES, x, reduce="max").square().sum())))(x)
    leaf = x.clone().requires_grad_()
    total = sum(ops.spmm(*EDGES, row, reduce="max").square().sum() for b in leaf for row in b)
    same(of_max, torch.autograd.grad(total, leaf)[0])


def test_half_precision() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        x = torch.randn(SIZE, U, 2, 3).to(dtype)
        for function in (
            lambda x: ops.spmm(*EDGES, x, reduce="mean"),
            lambda x: ops.spmm(*EDGES, x, reduce="max"),
            lambda x: ops.spmm_binary(*EDGES, "mul", x, x[:1].expand(V, 2, 3), rhs_target="v"),
            lambda x: ops.gatv2_scores(*EDGES, x, x[:1].expand(V, 2, 3), x[1]),
            lambda x: ops.edge_softmax(CSC.indptr, x[:1].expand(E, 2, 3)),
        ):
            same(vmap(function)(x), torch.stack([function(one) for one in x]))
            out, tangent = jvp(function, (x[0],), (x[1],))
            assert out.dtype == tangent.dtype == dtype


def test_no_grad_inside_and_outside() -> None:
    x = torch.randn(U, 3, dtype=torch.float64)

    def square(x: Tensor) -> Tensor:
        return ops.spmm(*EDGES, x).square().sum()

    def constant(x: Tensor) -> Tensor:
        with torch.no_grad():
            held = ops.spmm(*EDGES, x)
        return (held * ops.spmm(*EDGES, x)).sum()

    same(grad(constant)(x), grad(square)(x) / 2)
    with torch.no_grad():
        same(grad(lambda x: grad(square)(x).square().sum())(x), hessian_times_two(square, x))
    expected = grad(lambda x: (grad(square)(x) / 2).sum())(x) * 0
    same(grad(lambda x: grad(constant)(x).detach().sum() + 0 * x.sum())(x), expected)


def hessian_times_two(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    size = x.numel()
    matrix = hessian(function)(x).view(size, size)
    return (2 * matrix @ grad(function)(x).flatten()).view(x.shape)


def test_errors_and_transposes_are_those_of_eager_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(SIZE, U, 3)
    with pytest.raises(IndexError, match="rows of x"):
        vmap(lambda x: ops.gather_rows(x, torch.tensor([U])))(x)
    with pytest.raises(TypeError, match="weight"):
        vmap(lambda x: ops.spmm(*EDGES, x, weight=torch.ones(E, dtype=torch.float64)))(x)
    # The graph keeps one transpose, for transforms as well.
    graph = hf.add_self_loop(
        hf.graph((torch.randint(9, (30,)), torch.randint(9, (30,))), num_nodes=9)
    )
    graph.ndata["h"] = torch.ones(9, 1)
    kept = graph.adjacency.full()
    kept.transpose()
    made = []
    monkeypatch.setattr(ops.csc, "transpose_csc", lambda *a: made.append(a))

    def loss(x: Tensor) -> Tensor:
        return ops.spmm(kept.indptr, kept.indices, x).square().sum()

    vmap(grad(loss))(torch.randn(SIZE, 9, 3))
    assert not made


COMPILED: dict[str, Callable[[Callable[[Tensor], Tensor], Tensor], Any]] = {
    "grad": lambda f, x: grad(f)(x[0]),
    "vmap": lambda f, x: vmap(f)(x),
    "vmap of grad": lambda f, x: vmap(grad(f))(x),
    "jvp": lambda f, x: jvp(f, (x[0],), (x[1],)),
}


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
    reason="torch.compile is held to with torch 2.13 and later",
)
@pytest.mark.parametrize("name", COMPILED)
def test_compiled(name: str) -> None:
    torch._dynamo.reset()

    def loss(x: Tensor) -> Tensor:
        return ops.spmm(*EDGES, x, reduce="mean").square().sum()

    def function(x: Tensor) -> Any:
        return COMPILED[name](loss, x)

    x = torch.randn(SIZE, U, 3, dtype=torch.float64)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    same(compiled(x), function(x))


# --- no edges, no batch, gradients in batches


@pytest.mark.parametrize("reduce", ops.REDUCERS)
def test_no_edges(reduce: str) -> None:
    indptr, indices = torch.zeros(4, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)

    def function(x: Tensor) -> Tensor:
        return ops.spmm(indptr, indices, x, reduce=reduce)

    def segments(x: Tensor) -> Tensor:
        return ops.segment_reduce(indptr, x[:0], reduce=reduce)

    for f in (function, segments):
        out, tangent = jvp(f, (x,), (torch.ones_like(x),))
        same((out, tangent), (torch.zeros(3, 2).double(),) * 2)
        (first,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum() + x.sum(), x)
        same((first, second), (torch.zeros_like(x), torch.ones_like(x)))
        assert gradcheck(f, x, check_forward_ad=True)


@every_case
def test_vmap_over_nothing(name: str) -> None:
    function, reference, _ = CASES[name]
    xs = [x[:0] for x in inputs(name, 2)]
    same(vmap(function)(*xs), vmap(reference)(*[x.new_zeros((1, *x.shape[1:])) for x in xs])[:0])


@every_case
def test_gradients_in_batches(name: str) -> None:
    function, reference, _ = CASES[name]
    xs = [x.requires_grad_() for x in inputs(name)]
    found = []
    for f in (function, reference):
        out = f(*xs)
        rows = torch.linspace(-1, 1, 3 * out.numel(), dtype=out.dtype).view(3, *out.shape)
        found.append(torch.autograd.grad(out, xs, rows, is_grads_batched=True))
    same(*found)
