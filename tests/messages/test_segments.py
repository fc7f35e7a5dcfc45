"""segment_softmax, segment_mm and gather_mm, as dgl.ops has them."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf
import hopflow.functional as HF

LENGTHS = [3, 0, 5, 1]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_segment_mm_and_softmax(dtype: torch.dtype) -> None:
    lengths = torch.tensor(LENGTHS, dtype=dtype)
    a = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    b = torch.randn(4, 4, 3, dtype=torch.float64, requires_grad=True)
    parts = a.split(LENGTHS)
    want = torch.cat([x @ w for x, w in zip(parts, b)])
    got = HF.segment_mm(a, b, lengths)
    torch.testing.assert_close(got, want)
    for x, y in zip(*(torch.autograd.grad(out.square().sum(), [a, b]) for out in (got, want))):
        torch.testing.assert_close(x, y)
    deep = a.view(9, 2, 2)
    wanted = torch.cat([torch.softmax(x, 0) for x in deep.split(LENGTHS)])
    torch.testing.assert_close(HF.segment_softmax(lengths, deep), wanted)
    assert torch.autograd.gradcheck(lambda a: HF.segment_softmax(lengths, a), (a,))
    none = torch.zeros(2, dtype=dtype)
    assert HF.segment_softmax(none, torch.zeros(0, 3)).shape == (0, 3)
    assert HF.segment_mm(torch.zeros(0, 4), torch.zeros(2, 4, 3), none).shape == (0, 3)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_gather_mm(dtype: torch.dtype) -> None:
    a = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    b = torch.randn(5, 4, 3, dtype=torch.float64, requires_grad=True)
    for ids in ([4, 0, 4, 1, 1, 0, 4, 4, 0], sorted([4, 0, 4, 1, 1, 0, 4, 4, 0])):
        number = torch.tensor(ids, dtype=dtype)
        got, want = (
            HF.gather_mm(a, b, idx_b=number),
            torch.einsum("ni,nio->no", a, b[number.long()]),
        )
        torch.testing.assert_close(got, want)
        for x, y in zip(*(torch.autograd.grad(out.square().sum(), [a, b]) for out in (got, want))):
            torch.testing.assert_close(x, y)
    empty = torch.zeros(0, dtype=dtype)
    assert HF.gather_mm(torch.zeros(0, 4), torch.zeros(5, 4, 3), idx_b=empty).shape == (0, 3)


def test_wrong_inputs() -> None:
    a, b = torch.randn(9, 4), torch.randn(4, 4, 3)
    for bad in ([3, 0, 5, 2], [-1, 4, 5, 1]):
        with pytest.raises(ValueError, match="lengths"):
            HF.segment_mm(a, b, torch.tensor(bad))
        with pytest.raises(ValueError, match="lengths"):
            HF.segment_softmax(torch.tensor(bad), a)
    with pytest.raises(ValueError, match="5 bounds"):
        HF.segment_mm(a, b, torch.tensor([3, 5, 1]))
    with pytest.raises(IndexError, match="types"):
        HF.gather_mm(a, b, idx_b=torch.full((9,), 4))
    with pytest.raises(ValueError, match="9 rows of a"):
        HF.gather_mm(a, b, idx_b=torch.zeros(8, dtype=torch.int64))
    with pytest.raises(TypeError, match="scalar"):
        HF.segment_softmax(torch.tensor([1]), torch.tensor(1.0))
    assert hf.ops.gather_mm is HF.gather_mm
    assert hf.ops.segment_mm is not HF.segment_mm
