"""Messages of two operands reduced in one kernel: values, gradients, edge cases."""

import pytest
import torch
from helpers import DOT_SHAPES, FLOATS, IDS, PAIRS, ROW_SHAPES, operands, random_csc

from hopflow import _native, ops

OPS = ["add", "sub", "mul", "div"]
CASES = [(op, name, ROW_SHAPES[name]) for op in OPS for name in ROW_SHAPES]
CASES += [("dot", name, DOT_SHAPES[name]) for name in DOT_SHAPES]


@pytest.mark.parametrize("reduce", ops.REDUCERS)
@pytest.mark.parametrize(("op", "shapes"), [pytest.param(o, s, id=f"{o} {n}") for o, n, s in CASES])
def test_values_and_gradients_equal_the_references(op, shapes, reduce):
    csc = random_csc(9, 8, 25)
    for targets in PAIRS:
        for eids in (None, csc.eids):
            for given in (shapes, shapes[::-1]):
                left, right = operands(csc, targets, given)
                pairs = []
                for function in (ops.spmm_binary, ops.spmm_binary_reference):
                    lhs, rhs = left.clone().requires_grad_(), right.clone().requires_grad_()
                    out = function(
                        csc.indptr, csc.indices, op, lhs, rhs, lhs_target=targets[0],
                        rhs_target=targets[1], reduce=reduce, eids=eids,
                    )  # fmt: skip
                    cotangent = torch.cos(torch.arange(out.numel(), dtype=out.dtype))
                    out.backward(cotangent.view(out.shape))
                    pairs.append((out, lhs.grad, rhs.grad))
                for what, got, expected in zip(("out", "lhs", "rhs"), *pairs):
                    assert got.shape == expected.shape
                    torch.testing.assert_close(
                        got, expected, msg=lambda m, w=what, t=targets: f"{w} of {t}: {m}"
                    )


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("reduce", ops.REDUCERS)
def test_every_dtype(reduce, dtype, ids):
    csc = random_csc(dtype=ids)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}.get(dtype, 1e-2)
    for op in (*OPS, "dot"):
        for width in (1, 3, 8, 17, 100):
            lhs, rhs = operands(csc, ("u", "e"), ((2, width), (2, width)), dtype)
            args = (csc.indptr, csc.indices, op, lhs, rhs)
            got = ops.spmm_binary(*args, reduce=reduce, eids=csc.eids)
            expected = ops.spmm_binary_reference(*args, reduce=reduce, eids=csc.eids)
            assert got.dtype == dtype
            torch.testing.assert_close(got, expected, rtol=tolerance, atol=4 * tolerance)


@pytest.mark.cpu_only
@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
@pytest.mark.parametrize("op", [*OPS, "dot"])
def test_gradients_are_differentiable_too(op, reduce):
    csc = random_csc(5, 6, 12)
    for targets in (("u", "e"), ("v", "u"), ("e", "v")):
        lhs, rhs = (x.requires_grad_() for x in operands(csc, targets, ((2, 3), (1, 3))))

        def function(lhs, rhs, targets=targets):
            return ops.spmm_binary(
                csc.indptr, csc.indices, op, lhs, rhs, lhs_target=targets[0],
                rhs_target=targets[1], reduce=reduce, eids=csc.eids,
            )  # fmt: skip

        assert torch.autograd.gradcheck(function, (lhs, rhs))
        assert torch.autograd.gradgradcheck(function, (lhs, rhs))


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_gradients_of_a_row_that_all_heads_share(reduce, ids):
    csc = random_csc(5, 6, 12, dtype=ids)
    for eids in (None, csc.eids):
        rows, factors = operands(csc, ("u", "e"), ((1, 3), (2, 1)))

        def function(rows, factors, eids=eids):
            return ops.spmm_binary(
                csc.indptr, csc.indices, "mul", rows, factors, reduce=reduce, eids=eids
            )

        operands_with = (rows.requires_grad_(), factors.requires_grad_())
        assert torch.autograd.gradcheck(function, operands_with)
        assert torch.autograd.gradgradcheck(function, operands_with)


@pytest.mark.cpu_only
@pytest.mark.parametrize("reduce", ops.REDUCERS)
@pytest.mark.parametrize("op", [*OPS, "dot"])
def test_same_bits_for_any_threads_and_instruction_set(op, reduce):
    csc = random_csc(300, 200, 9000, hub=2000)
    lhs, rhs = operands(csc, ("u", "e"), ((3, 45), (3, 45)), torch.float32)
    results = []
    try:
        for isa in ("baseline", "avx2", "avx512"):
            _native.limit_isa(isa)
            for threads in (1, 3):
                ops.set_num_threads(threads)
                args = (csc.indptr, csc.indices, op, lhs, rhs)
                results.append(ops.spmm_binary(*args, reduce=reduce, eids=csc.eids))
    finally:
        _native.limit_isa("avx512")
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_messages_are_not_rounded_to_half():
    # 1 + 2^-10 fits float16, its square does not: a message in float16 would lose 2^-20.
    csc = random_csc(1, 1, 0, hub=1024)
    x = torch.full((1, 20), 1 + 2**-10, dtype=torch.float16)
    e = torch.full((1024, 20), 1 + 2**-10, dtype=torch.float16)
    got = ops.spmm_binary(csc.indptr, csc.indices, "mul", x, e, reduce="sum")
    exact = 1024 * (1 + 2**-10) ** 2
    assert got[0, 0].item() == torch.tensor(exact).half().item()


@pytest.mark.parametrize("reduce", ["max", "min"])
def test_infinities_survive_nan_propagates_and_ties_go_to_the_first(reduce):
    indptr, indices = torch.tensor([0, 2, 4, 4, 6]), torch.tensor([0, 1, 1, 2, 0, 0])
    x = torch.tensor([[1.0], [float("inf")], [float("nan")]])
    if reduce == "min":
        x = -x
    x = x.expand(3, 20).contiguous().requires_grad_()
    e = torch.zeros(6, 20, requires_grad=True)
    out = ops.spmm_binary(indptr, indices, "add", x, e, reduce=reduce)
    assert torch.isinf(out[0]).all()
    assert torch.isnan(out[1]).all()
    assert not out[2].any()
    out[3].sum().backward()
    assert e.grad[4].eq(1).all()
    assert not e.grad[5].any()


@pytest.mark.parametrize("reduce", ops.REDUCERS)
def test_no_edges_and_no_nodes(reduce):
    for num_dst in (0, 3):
        indptr = torch.zeros(num_dst + 1, dtype=torch.int64)
        indices = torch.empty(0, dtype=torch.int32)
        for op in (*OPS, "dot"):
            u = torch.randn(4, 5, requires_grad=True)
            e = torch.randn(0, 5, requires_grad=True)
            out = ops.spmm_binary(indptr, indices, op, u, e, reduce=reduce)
            assert out.shape == (num_dst, 1 if op == "dot" else 5)
            assert not out.any()
            out.sum().backward()
            assert u.grad.shape == u.shape
            assert not u.grad.any()
            assert e.grad.shape == e.shape


def test_any_layout():
    csc = random_csc()
    u = torch.randn(12, csc.num_src).t()
    e = torch.randn(csc.num_edges, 24)[:, ::2]
    whole = torch.randn(csc.num_src, 1).expand(csc.num_src, 12)
    for lhs in (u, whole):
        args = (csc.indptr, csc.indices, "sub", lhs, e)
        torch.testing.assert_close(
            ops.spmm_binary(*args), ops.spmm_binary_reference(*args), rtol=1e-5, atol=1e-5
        )


def test_transpose_at_hand_gives_the_same_gradient():
    csc = random_csc()
    transpose = ops.transpose_csc(csc.indptr, csc.indices, csc.num_src)
    u, e = operands(csc, ("u", "e"), ((6,), (6,)))
    grads = []
    for given in (None, transpose):
        x = u.clone().requires_grad_()
        out = ops.spmm_binary(csc.indptr, csc.indices, "div", x, e, transpose=given)
        grads.append(torch.autograd.grad(out.square().sum(), x)[0])
    assert torch.equal(*grads)
    with pytest.raises(ValueError, match="transpose: expected that of"):
        ops.spmm_binary(csc.indptr, csc.indices, "div", u[:-1], e, transpose=transpose)


U, E = torch.zeros(4, 3), torch.zeros(2, 3)
INDPTR, INDICES = torch.tensor([0, 1, 2]), torch.tensor([0, 3])


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"op": "pow"}, ValueError, "op: expected one of add, sub, mul, div, dot, got 'pow'"),
        ({"rhs_target": "w"}, ValueError, "rhs_target: expected one of u, v, e, got 'w'"),
        ({"reduce": "prod"}, ValueError, "reduce: expected one of"),
        ({"rhs": E.double()}, TypeError, "operands of one dtype, got float32 and float64"),
        ({"rhs": E + 0j}, TypeError, "rhs: expected float32, float64, float16, bfloat16"),
        ({"rhs": E[:1]}, ValueError, "rhs: expected one row for each of the 2 edges, got 1"),
        ({"lhs": U, "lhs_target": "v"}, ValueError, "lhs: expected .* 2 destinations, got 4"),
        ({"rhs": E[:, :2]}, ValueError, r"cannot broadcast feature shapes \[3\] and \[2\]"),
        ({"op": "dot", "rhs": E[:, :1]}, ValueError, "operands of one last dimension"),
        ({"lhs": U[:3]}, IndexError, "indices.* is 3"),
        ({"indices": torch.tensor([0, -1])}, IndexError, "indices.* is -1"),
        ({"indptr": torch.tensor([0, 3, 2])}, ValueError, "indptr"),
        ({"eids": torch.tensor([0, 0])}, ValueError, "eids"),
    ],
)
def test_bad_arguments(change, error, match):
    given = {"indptr": INDPTR, "indices": INDICES, "op": "add", "lhs": U, "rhs": E, **change}
    with pytest.raises(error, match=match):
        ops.spmm_binary(**given)


def test_gradients_of_halves_stay_in_range():
    """A sum out of float16's range, times a gradient that brings it back."""
    num = 3000
    indptr, indices = torch.tensor([0, num]), torch.arange(num)
    u = torch.full((num, 4), 30.0, dtype=torch.half)
    v = torch.full((1, 4), 0.01, dtype=torch.half, requires_grad=True)
    sides = {"lhs_target": "v", "rhs_target": "u", "reduce": "mean"}
    ops.spmm_binary(indptr, indices, "mul", v, u, **sides).sum().backward()
    assert v.grad.tolist() == [[30.0] * 4]
    small = torch.full((num, 4), 1e-5, dtype=torch.half)
    v = torch.full((1, 4), 1e-3, dtype=torch.half, requires_grad=True)
    out = ops.spmm_binary(indptr, indices, "div", v, small, **sides)
    out.backward(torch.full_like(out, 1e-3))
    assert v.grad.float().sub(1e-3 / 1e-5).abs().max() < 2


@pytest.mark.parametrize("values", [(1e-25, 1e-25), (1e25, 1e25), (3e20, 2e20), (1e-30, 1e-22)])
def test_gradient_of_a_quotient_stays_in_range(values):
    left, right = (torch.full((1, 1), x, requires_grad=True) for x in values)
    ops.spmm_binary(torch.tensor([0, 1]), torch.tensor([0]), "div", left, right).backward()
    u, e = (x.detach().requires_grad_() for x in (left, right))
    (u / e).backward()
    torch.testing.assert_close(right.grad, e.grad, rtol=1e-5, atol=0)


def test_wide_edge_ids_are_checked_before_they_are_cut():
    arguments = torch.tensor([0, 2]), torch.tensor([0, 1], dtype=torch.int32)
    with pytest.raises(IndexError, match=r"eids\[0\] is 4294967296"):
        ops.spmm_binary(
            *arguments, "mul", torch.ones(2, 1), torch.ones(2, 1), eids=torch.tensor([2**32, 1])
        )
