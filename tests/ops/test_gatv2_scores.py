"""GATv2's scores: values, gradients, edge cases."""

import pytest
import torch
from helpers import FLOATS, IDS, random_csc

from hopflow import _native, ops


def inputs(csc, heads, width, dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    shapes = ((csc.num_src, heads, width), (csc.num_dst, heads, width), (heads, width))
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_equals_reference(dtype, ids):
    csc = random_csc(dtype=ids)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}.get(dtype, 2e-2)
    for heads, width in ((1, 1), (1, 16), (3, 7), (2, 33), (4, 64), (0, 3), (2, 0)):
        args = inputs(csc, heads, width, dtype)
        for eids in (None, csc.eids):
            got = ops.gatv2_scores(csc.indptr, csc.indices, *args, eids=eids)
            expected = ops.gatv2_scores_reference(csc.indptr, csc.indices, *args, eids=eids)
            assert got.shape == (csc.num_edges, heads)
            torch.testing.assert_close(got, expected, rtol=tolerance, atol=8 * tolerance)


@pytest.mark.parametrize("with_eids", [False, True])
@pytest.mark.parametrize("width", [1, 5, 20])
def test_gradients(width, with_eids):
    csc = random_csc(7, 8, 25)
    args = [x.requires_grad_() for x in inputs(csc, 2, width, torch.float64)]
    eids = csc.eids if with_eids else None

    def function(u, v, attn):
        return ops.gatv2_scores(csc.indptr, csc.indices, u, v, attn, eids=eids, negative_slope=0.1)

    assert torch.autograd.gradcheck(function, args)
    assert torch.autograd.gradgradcheck(function, args)


@pytest.mark.cpu_only
def test_same_bits_for_any_threads_and_instruction_set():
    csc = random_csc(300, 200, 9000, hub=2000)
    results = []
    try:
        for isa in ("baseline", "avx2", "avx512"):
            _native.limit_isa(isa)
            for threads in (1, 3):
                ops.set_num_threads(threads)
                args = [x.requires_grad_() for x in inputs(csc, 3, 45)]
                out = ops.gatv2_scores(csc.indptr, csc.indices, *args, eids=csc.eids)
                torch.set_num_threads(1)
                out.backward(torch.cos(torch.arange(out.numel())).view(out.shape))
                results.append([out, *(x.grad for x in args)])
    finally:
        _native.limit_isa("avx512")
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


def test_no_edges():
    args = [torch.randn(3, 2, 4), torch.randn(2, 2, 4), torch.randn(2, 4)]
    args = [x.requires_grad_() for x in args]
    indptr, indices = torch.zeros(3, dtype=torch.int64), torch.empty(0, dtype=torch.int32)
    out = ops.gatv2_scores(indptr, indices, *args)
    assert out.shape == (0, 2)
    out.sum().backward()
    assert not any(x.grad.any() for x in args)


U, V, A = torch.zeros(4, 2, 3), torch.zeros(2, 2, 3), torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"v": V[:1]}, ValueError, "v: expected one row for each of the 2 destinations, got 1"),
        ({"attn": A[:1]}, ValueError, r"expected shapes \[U, H, D\], \[V, H, D\] and \[H, D\]"),
        ({"attn": A.double()}, TypeError, "attn: expected the dtype of u, float32, got float64"),
        ({"u": U[:3]}, IndexError, "indices.* is 3"),
        ({"u": U.long()}, TypeError, "u: expected float32"),
    ],
)
def test_bad_arguments(change, error, match):
    given = {"indptr": torch.tensor([0, 1, 2]), "indices": torch.tensor([0, 3])}
    with pytest.raises(error, match=match):
        ops.gatv2_scores(**{**given, "u": U, "v": V, "attn": A, **change})
