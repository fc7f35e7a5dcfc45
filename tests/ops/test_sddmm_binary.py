"""A message for every edge from two operands: values, gradients, edge cases."""

import pytest
import torch
from helpers import DOT_SHAPES, FLOATS, IDS, PAIRS, ROW_SHAPES, operands, random_csc

from hopflow import _native, ops

OPS = ["add", "sub", "mul", "div"]
CASES = [(op, name, ROW_SHAPES[name]) for op in OPS for name in ROW_SHAPES]
CASES += [("dot", name, DOT_SHAPES[name]) for name in DOT_SHAPES]


@pytest.mark.parametrize(("op", "shapes"), [pytest.param(o, s, id=f"{o} {n}") for o, n, s in CASES])
def test_values_and_gradients_equal_the_references(op, shapes):
    csc = random_csc(9, 8, 25)
    for targets in PAIRS:
        for eids in (None, csc.eids):
            for given in (shapes, shapes[::-1]):
                left, right = operands(csc, targets, given)
                pairs = []
                for function in (ops.sddmm_binary, ops.sddmm_binary_reference):
                    lhs, rhs = left.clone().requires_grad_(), right.clone().requires_grad_()
                    out = function(
                        csc.indptr, csc.indices, op, lhs, rhs, lhs_target=targets[0],
                        rhs_target=targets[1], eids=eids,
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
def test_every_dtype(dtype, ids):
    csc = random_csc(dtype=ids)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}.get(dtype, 1e-2)
    for op in (*OPS, "dot"):
        for width in (1, 3, 8, 17, 100):
            lhs, rhs = operands(csc, ("u", "v"), ((2, width), (2, width)), dtype)
            args = (csc.indptr, csc.indices, op, lhs, rhs)
            got = ops.sddmm_binary(*args, eids=csc.eids)
            expected = ops.sddmm_binary_reference(*args, eids=csc.eids)
            assert got.dtype == dtype
            torch.testing.assert_close(got, expected, rtol=tolerance, atol=4 * tolerance)


@pytest.mark.cpu_only
@pytest.mark.parametrize("op", [*OPS, "dot"])
def test_gradients_are_differentiable_too(op):
    csc = random_csc(5, 6, 12)
    for targets in (("u", "v"), ("v", "e"), ("e", "u")):
        lhs, rhs = (x.requires_grad_() for x in operands(csc, targets, ((2, 3), (1, 3))))

        def function(lhs, rhs, targets=targets):
            return ops.sddmm_binary(
                csc.indptr, csc.indices, op, lhs, rhs, lhs_target=targets[0],
                rhs_target=targets[1], eids=csc.eids,
            )  # fmt: skip

        assert torch.autograd.gradcheck(function, (lhs, rhs))
        assert torch.autograd.gradgradcheck(function, (lhs, rhs))


@pytest.mark.cpu_only
@pytest.mark.parametrize("op", [*OPS, "dot"])
def test_same_bits_for_any_threads_and_instruction_set(op):
    csc = random_csc(300, 200, 9000, hub=2000)
    lhs, rhs = operands(csc, ("u", "v"), ((3, 45), (3, 45)), torch.float32)
    results = []
    try:
        for isa in ("baseline", "avx2", "avx512"):
            _native.limit_isa(isa)
            for threads in (1, 3):
                ops.set_num_threads(threads)
                results.append(ops.sddmm_binary(csc.indptr, csc.indices, op, lhs, rhs))
    finally:
        _native.limit_isa("avx512")
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_no_edges():
    for op in (*OPS, "dot"):
        u = torch.randn(3, 4, requires_grad=True)
        v = torch.randn(2, 4, requires_grad=True)
        indptr, indices = torch.zeros(3, dtype=torch.int64), torch.empty(0, dtype=torch.int32)
        out = ops.sddmm_binary(indptr, indices, op, u, v)
        assert out.shape == (0, 1 if op == "dot" else 4)
        out.sum().backward()
        assert not u.grad.any()
        assert not v.grad.any()


U, V = torch.zeros(4, 3), torch.zeros(2, 3)
INDPTR, INDICES = torch.tensor([0, 1, 2]), torch.tensor([0, 3])


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"op": "pow"}, ValueError, "op: expected one of add, sub, mul, div, dot, got 'pow'"),
        ({"rhs": V.double()}, TypeError, "operands of one dtype, got float32 and float64"),
        ({"rhs": V[:1]}, ValueError, "rhs: expected one row for each of the 2 destinations, got 1"),
        ({"rhs": V[:, :2]}, ValueError, r"cannot broadcast feature shapes \[3\] and \[2\]"),
        ({"lhs": U[:3]}, IndexError, "indices.* is 3"),
        ({"eids": torch.tensor([1, 1])}, ValueError, "eids"),
    ],
)
def test_bad_arguments(change, error, match):
    given = {"indptr": INDPTR, "indices": INDICES, "op": "add", "lhs": U, "rhs": V, **change}
    with pytest.raises(error, match=match):
        ops.sddmm_binary(**given)


def test_empty_rows_in_any_layout():
    """Nothing to read has no gaps."""
    u = torch.rand(2, 3, 4).transpose(0, 1)[:0].requires_grad_()
    v = torch.rand(0, 2, 4, requires_grad=True)
    indptr, indices = torch.zeros(1, dtype=torch.int64), torch.empty(0, dtype=torch.int32)
    ops.sddmm_binary(indptr, indices, "dot", u, v).sum().backward()
    assert u.grad.shape == u.shape
