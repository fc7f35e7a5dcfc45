"""Segmented matrix products against the reference, alone and under torch's transforms."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from helpers import FLOATS, IDS, opcheck
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import jvp, vmap

from hopflow.ops.segment_mm import (
    head_mm,
    head_mm_reference,
    segment_mm,
    segment_mm_reference,
)

LENGTHS = {"some": [0, 4, 0, 1, 6, 0], "one": [11], "none": [0, 0], "no types": []}
FORMS = list(product(LENGTHS, (None, 2), (False, True)))


def operands(
    lengths: str, heads: int | None, is_mixed: bool, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(3)
    counts = torch.tensor(LENGTHS[lengths], dtype=torch.int64)
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    rows = int(indptr[-1])
    inner = () if heads is None else (heads,)
    x = torch.randn(rows, *inner, 3, generator=generator, dtype=torch.float64)
    weight = torch.randn(len(counts), *inner, 3, 5, generator=generator, dtype=torch.float64)
    order = torch.randperm(rows, generator=generator) if is_mixed else None
    return indptr, x.to(dtype), weight.to(dtype), order


@pytest.mark.parametrize(("lengths", "heads", "is_mixed"), FORMS)
def test_result_and_gradients(lengths: str, heads: int | None, is_mixed: bool) -> None:
    indptr, x, weight, rows = operands(lengths, heads, is_mixed)
    x.requires_grad_()
    weight.requires_grad_()
    for ids in IDS:
        order = None if rows is None else rows.to(ids)
        found = segment_mm(indptr.to(ids), x, weight, rows=order)
        torch.testing.assert_close(found, segment_mm_reference(indptr, x, weight, rows=rows))
    assert gradcheck(lambda x, w: segment_mm(indptr, x, w, rows=rows), (x, weight))
    assert gradgradcheck(lambda x, w: segment_mm(indptr, x, w, rows=rows), (x, weight))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("heads", [None, 2])
def test_dtypes_and_strides(dtype: torch.dtype, heads: int | None) -> None:
    indptr, x, weight, rows = operands("some", heads, True)
    want = segment_mm_reference(indptr, x, weight, rows=rows)
    tolerance = {torch.bfloat16: 5e-2, torch.float16: 5e-3}.get(dtype, 1e-5)
    apart = torch.stack([x, x], -1).to(dtype)[..., 0]
    turned = weight.to(dtype).transpose(-1, -2).contiguous().transpose(-1, -2)
    for a, w in ((x.to(dtype), weight.to(dtype)), (apart, turned)):
        out = segment_mm(indptr, a, w, rows=rows)
        assert out.dtype == dtype
        torch.testing.assert_close(out.double(), want, rtol=tolerance, atol=tolerance)
    for order in (None, rows):
        ones = torch.ones_like(x[..., :1]).to(dtype), torch.ones_like(weight[..., :1, :1]).to(dtype)
        assert segment_mm(indptr, *ones, rows=order).eq(1).all()
        empty = segment_mm(indptr, x[..., :0], weight[..., :0, :], rows=order)
        assert empty.eq(0).all()


@pytest.mark.parametrize("is_mixed", [False, True])
def test_transforms(is_mixed: bool) -> None:
    indptr, x, weight, rows = operands("some", 2, is_mixed)
    tangents = torch.randn_like(x), torch.randn_like(weight)
    functions = [
        lambda x, w, f=f: f(indptr, x, w, rows=rows) for f in (segment_mm, segment_mm_reference)
    ]
    found, want = (jvp(f, (x, weight), tangents) for f in functions)
    torch.testing.assert_close(found, want)
    xs, weights = torch.randn(3, *x.shape).double(), torch.randn(3, *weight.shape).double()
    for dims, given in (((0, None), (xs, weight)), ((None, 0), (x, weights)), (0, (xs, weights))):
        found, want = (vmap(f, dims)(*given) for f in functions)
        torch.testing.assert_close(found, want)
    grads = [
        vmap(torch.func.grad(lambda x, w, f=f: f(x, w).square().sum(), (0, 1)))(xs, weights)
        for f in functions
    ]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("is_mixed", [False, True])
def test_registration(is_mixed: bool) -> None:
    for lengths in ("some", "none"):
        bounds, x, weight, rows = operands(lengths, 2, is_mixed, torch.float32)
        given = x.requires_grad_(), weight.requires_grad_(), bounds, rows
        opcheck(torch.ops.hopflow.segment_mm.default, given)
        other = torch.randn(*x.shape[:2], 4).requires_grad_()
        opcheck(torch.ops.hopflow.segment_outer.default, (x, other, bounds, rows))


def test_errors() -> None:
    indptr, x, weight, rows = operands("some", None, True)
    for change, error, match in (
        ({"x": x[0]}, ValueError, r"x: expected shape \[N, I\] or"),
        ({"x": x.long()}, TypeError, "x: expected float32"),
        ({"x": x.float()}, TypeError, "weight: expected the dtype of x, float32, got float64"),
        ({"weight": weight[:, :2]}, ValueError, r"weight: expected shape \[T, 3, O\]"),
        ({"weight": weight[1:]}, ValueError, "indptr: expected 6 bounds for 5 matrices, got 7"),
        ({"indptr": indptr + 1}, ValueError, "indptr"),
        ({"indptr": indptr.clamp(max=9)}, ValueError, "indptr"),
        ({"indptr": indptr.flip(0)}, ValueError, "indptr"),
        ({"rows": rows[1:]}, ValueError, "rows: expected 11 of them, got 10"),
        ({"rows": rows.clamp(max=5)}, ValueError, "rows"),
        ({"rows": rows.float()}, TypeError, "rows: expected int32 or int64 ids, got float32"),
    ):
        given = {"indptr": indptr, "x": x, "weight": weight, "rows": rows} | change
        with pytest.raises(error, match=match):
            segment_mm(given["indptr"], given["x"], given["weight"], rows=given["rows"])


@pytest.mark.parametrize("shape", [(7, 2, 3, 5), (7, 1, 1, 1), (0, 2, 3, 5), (7, 2, 0, 5)])
def test_a_matrix_for_each_head(shape: tuple[int, int, int, int]) -> None:
    rows, heads, inner, outer = shape
    x = torch.randn(rows, heads, inner, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(heads, outer, inner, dtype=torch.float64, requires_grad=True)
    out = head_mm(x, weight.mT)
    assert out.is_contiguous()
    torch.testing.assert_close(out, head_mm_reference(x, weight.mT))
    assert gradcheck(lambda x, w: head_mm(x, w.mT), (x, weight))
    assert gradgradcheck(lambda x, w: head_mm(x, w.mT), (x, weight))
    batch = torch.stack([x, -x])
    torch.testing.assert_close(
        vmap(lambda x: head_mm(x, weight.mT))(batch), torch.stack([out, -out])
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_heads_dtypes(dtype: torch.dtype) -> None:
    x, weight = torch.randn(9, 2, 4).to(dtype), torch.randn(2, 4, 3).to(dtype)
    want = head_mm_reference(x.double(), weight.double())
    tolerance = {torch.bfloat16: 5e-2, torch.float16: 5e-3}.get(dtype, 1e-5)
    out = head_mm(x, weight)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), want, rtol=tolerance, atol=tolerance)


def test_bad_heads() -> None:
    x = torch.rand(4, 2, 3)
    for weight in (torch.rand(3, 3, 5), torch.rand(2, 2, 5), torch.rand(3, 5)):
        with pytest.raises(ValueError, match=r"expected shapes \[N, H, I\] and \[H, I, O\]"):
            head_mm(x, weight)
    with pytest.raises(TypeError, match="weight: expected the dtype of x, float32, got float64"):
        head_mm(x, torch.rand(2, 3, 5).double())
