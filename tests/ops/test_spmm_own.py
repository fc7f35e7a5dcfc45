"""Own rows beside the neighbours' mean, with one gradient for both."""

from __future__ import annotations

import pytest
import torch
from helpers import FLOATS, IDS, opcheck, random_csc

from hopflow import ops


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("shape", [(1,), (5,), (33,), (2, 3)])
def test_values_and_gradients(dtype, ids, reduce, shape):
    csc = random_csc(40, 25, 160, dtype=ids)
    x = torch.randn(40, *shape).to(dtype).requires_grad_()
    own, neighbor = ops.spmm_with_own(csc.indptr, csc.indices, x, reduce=reduce)
    other = x.detach().clone().requires_grad_()
    reference = ops.spmm_with_own_reference(csc.indptr, csc.indices, other, reduce=reduce)
    assert own.dtype == neighbor.dtype == dtype
    assert torch.equal(own, reference[0])
    exact = {"rtol": 1e-5, "atol": 1e-5} if dtype in (torch.float32, torch.float64) else {}
    tolerance = exact or {"rtol": 2e-2, "atol": 2e-2}
    torch.testing.assert_close(neighbor, reference[1], **tolerance)
    (own * 3 + neighbor).sum().backward()
    (reference[0] * 3 + reference[1]).sum().backward()
    torch.testing.assert_close(x.grad, other.grad, **tolerance)


def test_gradcheck():
    csc = random_csc(9, 6, 20)
    x = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    for reduce in ("mean", "sum"):

        def run(x, reduce=reduce):
            return ops.spmm_with_own(csc.indptr, csc.indices, x, reduce=reduce)

        assert torch.autograd.gradcheck(run, x)
        assert torch.autograd.gradgradcheck(run, x)


def test_one_of_the_results_may_go_unused():
    csc = random_csc(9, 6, 20)
    for i in (0, 1):
        x = torch.randn(9, 3, requires_grad=True)
        other = x.detach().clone().requires_grad_()
        ops.spmm_with_own(csc.indptr, csc.indices, x)[i].sum().backward()
        ops.spmm_with_own_reference(csc.indptr, csc.indices, other)[i].sum().backward()
        torch.testing.assert_close(x.grad, other.grad)


def test_no_edges_and_no_nodes():
    none = torch.zeros(0, dtype=torch.int32)
    x = torch.randn(4, 3, requires_grad=True)
    own, neighbor = ops.spmm_with_own(torch.zeros(3, dtype=torch.int64), none, x)
    assert torch.equal(own, x[:2])
    assert (neighbor == 0).all()
    (own.sum() + neighbor.sum()).backward()
    assert x.grad.tolist() == [[1.0] * 3] * 2 + [[0.0] * 3] * 2
    own, neighbor = ops.spmm_with_own(torch.zeros(1, dtype=torch.int64), none, torch.zeros(0, 3))
    assert own.shape == neighbor.shape == (0, 3)


def test_the_own_rows_are_a_copy():
    csc = random_csc(9, 6, 20)
    x = torch.randn(9, 3)
    own, _ = ops.spmm_with_own(csc.indptr, csc.indices, x)
    own.zero_()
    assert not (x[:6] == 0).all()


def test_opcheck():
    csc = random_csc(9, 6, 20)
    for x in (torch.randn(9, 1, 3), torch.randn(9, 1, 3, requires_grad=True)):
        opcheck(torch.ops.hopflow.spmm_with_own.default, (x, csc.indptr, csc.indices, "mean"))
    opcheck(torch.ops.hopflow.inverse_degrees.default, (csc.indptr, torch.float32))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"x": torch.randn(5, 3)}, ValueError, "x: expected at least 6 rows, got 5"),
        ({"x": torch.randn(8, 3)}, IndexError, "rows"),
        ({"x": torch.arange(9)}, TypeError, "x: expected float32"),
        ({"reduce": "max"}, ValueError, 'reduce: expected "mean" or "sum"'),
        ({"indices": torch.zeros(20)}, TypeError, "indices: expected int32 or int64"),
        ({"indptr": torch.tensor([0, 30])}, ValueError, "indptr"),
    ],
)
def test_bad_input(change, error, match):
    csc = random_csc(9, 6, 20)
    indices = torch.full_like(csc.indices, 8)
    given = {"indptr": csc.indptr, "indices": indices, "x": torch.randn(9, 3)} | change
    with pytest.raises(error, match=match):
        ops.spmm_with_own(**given)
