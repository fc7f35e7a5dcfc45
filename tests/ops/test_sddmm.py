"""u_dot_v: values, gradients, edge cases."""

import pytest
import torch
from helpers import FLOATS, IDS, opcheck, random_csc

from hopflow import _native, ops


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("heads", [(), (1,), (3,), (2, 2)])
def test_equals_reference(heads, dtype, ids):
    csc = random_csc(dtype=ids)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}.get(dtype, 1e-2)
    for width in (1, 2, 7, 8, 15, 16, 17, 33, 100, 128):
        u = torch.randn(csc.num_src, *heads, width).to(dtype)
        v = torch.randn(csc.num_dst, *heads, width).to(dtype)
        for eids in (None, csc.eids):
            result = ops.sddmm(csc.indptr, csc.indices, u, v, eids=eids)
            expected = ops.sddmm_reference(csc.indptr, csc.indices, u, v, eids=eids)
            assert result.shape == (csc.num_edges, *heads, 1)
            torch.testing.assert_close(result, expected, rtol=tolerance, atol=4 * tolerance)


@pytest.mark.parametrize("with_eids", [False, True])
def test_gradients(with_eids):
    csc = random_csc(7, 8, 25)
    u = torch.randn(7, 2, 3, dtype=torch.float64, requires_grad=True)
    v = torch.randn(8, 2, 3, dtype=torch.float64, requires_grad=True)

    def function(u, v):
        eids = csc.eids if with_eids else None
        return ops.sddmm(csc.indptr, csc.indices, u, v, eids=eids)

    assert torch.autograd.gradcheck(function, (u, v))
    assert torch.autograd.gradgradcheck(function, (u, v))


@pytest.mark.cpu_only
def test_same_bits_for_any_threads_and_instruction_set():
    csc = random_csc(300, 200, 9000, hub=2000)
    u, v = torch.randn(300, 3, 45), torch.randn(200, 3, 45)
    results = []
    try:
        for isa in ("baseline", "avx2", "avx512"):
            _native.limit_isa(isa)
            for threads in (1, 3):
                torch.set_num_threads(threads)
                results.append(ops.sddmm(csc.indptr, csc.indices, u, v))
    finally:
        _native.limit_isa("avx512")
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_any_layout():
    csc = random_csc()
    u, v = torch.randn(12, csc.num_src).t(), torch.randn(csc.num_dst, 24)[:, ::2]
    torch.testing.assert_close(
        ops.sddmm(csc.indptr, csc.indices, u, v),
        ops.sddmm_reference(csc.indptr, csc.indices, u, v),
    )


def test_no_edges():
    u = torch.randn(3, 4, requires_grad=True)
    v = torch.randn(2, 4, requires_grad=True)
    out = ops.sddmm(torch.zeros(3, dtype=torch.int64), torch.empty(0, dtype=torch.int32), u, v)
    assert out.shape == (0, 1)
    out.sum().backward()
    assert not u.grad.any()
    assert not v.grad.any()


@pytest.mark.cpu_only
def test_registered_for_compilers():
    csc = random_csc()
    u = torch.randn(csc.num_src, 2, 3, requires_grad=True)
    v = torch.randn(csc.num_dst, 2, 3, requires_grad=True)
    none = (None, None, None)
    opcheck(torch.ops.hopflow.sddmm_dot.default, (u, v, csc.indptr, csc.indices, csc.eids, *none))


U, V = torch.zeros(4, 3), torch.zeros(2, 3)
INDPTR, INDICES = torch.tensor([0, 1, 2]), torch.tensor([0, 3])


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"v": V[:, :2]}, ValueError, r"rows of one shape \[..., D\], got \[3\] and \[2\]"),
        ({"v": V.double()}, TypeError, "v: expected the dtype of u, float32, got float64"),
        ({"v": V[:1]}, ValueError, "one row for each of the 2 destinations, got 1"),
        ({"u": U[:3]}, IndexError, r"indices\[1\] is 3"),
        ({"u": U.int()}, TypeError, "u: expected float32"),
        ({"u": U[:, 0], "v": V[:, 0]}, ValueError, "rows of one shape"),
        ({"u": U.to("meta")}, ValueError, "one device"),
        ({"eids": torch.tensor([0, 5])}, IndexError, r"eids\[1\] is 5"),
        ({"eids": torch.tensor([0, 0])}, ValueError, "each edge once, got edge 0 twice"),
        ({"eids": torch.tensor([0])}, ValueError, "eids: expected 2 elements, got 1"),
        ({"indptr": torch.tensor([0, 5, 2])}, ValueError, "falls from 5 to 2"),
    ],
)
def test_bad_arguments(change, error, match):
    arguments = {"indptr": INDPTR, "indices": INDICES, "u": U, "v": V, **change}
    with pytest.raises(error, match=match):
        ops.sddmm(**arguments)
