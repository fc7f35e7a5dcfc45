"""copy_u and copy_e with every reducer: values, gradients, edge cases."""

import math

import pytest
import torch
from helpers import FLOATS, IDS, opcheck, random_csc

from hopflow import _native, ops

REDUCERS = list(ops.REDUCERS)


def tolerance(dtype):
    """Half types: one rounding of a wide sum, so a unit in the last place."""
    return {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}[
        dtype
    ]


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("reduce", REDUCERS)
def test_spmm_equals_reference(reduce, dtype, ids):
    csc = random_csc(dtype=ids, hub=70)
    # Widths around one, two, four and eight vectors of every instruction set, and past them.
    for width in (
        0,
        1,
        2,
        3,
        5,
        7,
        8,
        15,
        16,
        17,
        31,
        33,
        63,
        64,
        65,
        100,
        127,
        128,
        129,
        257,
        300,
    ):
        x = torch.randn(csc.num_src, width).to(dtype)
        result = ops.spmm(csc.indptr, csc.indices, x, reduce=reduce)
        expected = ops.spmm_reference(csc.indptr, csc.indices, x, reduce=reduce)
        torch.testing.assert_close(result, expected, rtol=tolerance(dtype), atol=tolerance(dtype))
        assert result.shape == (csc.num_dst, width)
        assert not result[-3:].any()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("reduce", REDUCERS)
def test_segment_reduce_equals_reference(reduce, dtype):
    csc = random_csc(hub=70)
    for width in (1, 3, 16, 50, 130):
        x = torch.randn(csc.num_edges, width).to(dtype)
        for eids in (None, csc.eids, csc.eids.long()):
            result = ops.segment_reduce(csc.indptr, x, reduce=reduce, eids=eids)
            expected = ops.segment_reduce_reference(csc.indptr, x, reduce=reduce, eids=eids)
            torch.testing.assert_close(
                result, expected, rtol=tolerance(dtype), atol=tolerance(dtype)
            )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("heads", [None, 1, 3])
def test_weighted_equals_reference(heads, reduce, dtype):
    csc = random_csc()
    for width in (1, 5, 16, 40):
        shape = (csc.num_src, width) if heads is None else (csc.num_src, heads, width)
        x = torch.randn(shape).to(dtype)
        weight_shape = (csc.num_edges,) if heads is None else (csc.num_edges, heads)
        weight = torch.rand(weight_shape).to(dtype)
        for eids in (None, csc.eids, csc.eids.long()):
            args = {"reduce": reduce, "weight": weight, "eids": eids}
            result = ops.spmm(csc.indptr, csc.indices, x, **args)
            expected = ops.spmm_reference(
                csc.indptr, csc.indices, x.double(), **{**args, "weight": weight.double()}
            ).to(dtype)
            torch.testing.assert_close(
                result, expected, rtol=2 * tolerance(dtype), atol=2 * tolerance(dtype)
            )


@pytest.mark.parametrize("reduce", REDUCERS)
def test_gradients(reduce):
    csc = random_csc(8, 9, 30)
    x = torch.randn(8, 2, 3, dtype=torch.float64, requires_grad=True)
    e = torch.randn(30, 2, 3, dtype=torch.float64, requires_grad=True)

    def spmm(x):
        return ops.spmm(csc.indptr, csc.indices, x, reduce=reduce)

    def segments(e):
        return ops.segment_reduce(csc.indptr, e, reduce=reduce, eids=csc.eids)

    for function, value in ((spmm, x), (segments, e)):
        assert torch.autograd.gradcheck(function, (value,))
        assert torch.autograd.gradgradcheck(function, (value,))


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("with_eids", [False, True])
def test_weighted_gradients(reduce, with_eids):
    csc = random_csc(8, 9, 30)
    x = torch.randn(8, 2, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(30, 2, dtype=torch.float64, requires_grad=True)

    def function(x, weight):
        eids = csc.eids if with_eids else None
        return ops.spmm(csc.indptr, csc.indices, x, reduce=reduce, weight=weight, eids=eids)

    assert torch.autograd.gradcheck(function, (x, weight))
    assert torch.autograd.gradgradcheck(function, (x, weight))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("reduce", REDUCERS)
def test_backward_equals_reference_in_every_dtype(reduce, dtype):
    csc = random_csc(hub=70)
    x = torch.randn(csc.num_src, 19).to(dtype)
    upstream = torch.randn(csc.num_dst, 19).to(dtype)
    ours, wide = x.clone().requires_grad_(), x.double().requires_grad_()
    ops.spmm(csc.indptr, csc.indices, ours, reduce=reduce).backward(upstream)
    ops.spmm(csc.indptr, csc.indices, wide, reduce=reduce).backward(upstream.double())
    torch.testing.assert_close(
        ours.grad.double(), wide.grad, rtol=2 * tolerance(dtype), atol=2 * tolerance(dtype)
    )


def test_transpose_at_hand_gives_the_same_gradient():
    csc = random_csc()
    transpose = ops.transpose_csc(csc.indptr, csc.indices, csc.num_src)
    for reduce in REDUCERS:
        grads = []
        for given in (None, transpose):
            x = torch.linspace(-1, 1, csc.num_src * 6).view(-1, 6).requires_grad_()
            ops.spmm(
                csc.indptr, csc.indices, x, reduce=reduce, transpose=given
            ).square().sum().backward()
            grads.append(x.grad)
        assert torch.equal(*grads)


@pytest.mark.cpu_only
@pytest.mark.parametrize("reduce", REDUCERS)
def test_same_bits_for_any_threads_and_instruction_set(reduce):
    csc = random_csc(500, 400, 20_000, hub=3000)
    upstream = torch.randn(400, 37)
    start = torch.randn(500, 37)
    results = []
    try:
        for isa in ("baseline", "avx2", "avx512"):
            _native.limit_isa(isa)
            for threads in (1, 3):
                torch.set_num_threads(threads)
                x = start.clone().requires_grad_()
                out = ops.spmm(csc.indptr, csc.indices, x, reduce=reduce)
                out.backward(upstream)
                results.append((out.detach(), x.grad))
    finally:
        _native.limit_isa("avx512")
    for out, grad in results[1:]:
        assert torch.equal(out, results[0][0])
        assert torch.equal(grad, results[0][1])


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_half_value_is_read_right(isa, dtype):
    """All 65,536 bit patterns, infinities, NaN and subnormals among them, on every path."""
    bits = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16)
    values = bits.view(dtype)
    indptr, indices = torch.arange(513), torch.arange(512, dtype=torch.int32)
    try:
        _native.limit_isa(isa)
        for width in (128, 1):
            x = values.view(-1, width)
            n = x.shape[0]
            indptr, indices = torch.arange(n + 1), torch.arange(n, dtype=torch.int32)
            for reduce in ("sum", "max"):
                out = ops.spmm(indptr, indices, x, reduce=reduce)
                # 0 + -0 is 0, so signs of zeros are left out.
                torch.testing.assert_close(out.float(), x.float(), rtol=0, atol=0, equal_nan=True)
    finally:
        _native.limit_isa("avx512")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rounding_to_half_is_torchs(dtype):
    wide = torch.randn(4000) * torch.logspace(-9, 6, 4000)
    x = torch.cat([wide, torch.tensor([65504.0, 65519.9, 65520.0, 1e30, -1e30, 6e-8, 2.9e-8])])
    # Two addends whose exact sum must be rounded once.
    halves = torch.stack([x.to(dtype), (x - x.to(dtype).float()).to(dtype)]).view(2, -1)
    out = ops.spmm(torch.tensor([0, 2]), torch.tensor([0, 1]), halves, reduce="sum")
    expected = (halves[0].float() + halves[1].float()).to(dtype)
    assert torch.equal(out[0].float().nan_to_num(7), expected.float().nan_to_num(7))


def test_sums_accumulate_in_float32():
    ones = torch.ones(5000, 1, dtype=torch.float16)
    indptr, indices = torch.tensor([0, 5000]), torch.arange(5000)
    assert ops.spmm(indptr, indices, ones).item() == 5000  # float16 itself would stop at 2048
    assert ops.spmm(indptr, indices, ones.bfloat16()).item() == 4992  # bfloat16's nearest
    assert ops.spmm(indptr, indices, ones * 30000, reduce="mean").item() == 30000


@pytest.mark.parametrize("reduce", ["max", "min"])
def test_infinities_survive_and_empty_rows_are_zero(reduce):
    inf = math.inf
    x = torch.tensor([[-inf], [inf], [-inf]]).expand(3, 20)
    indptr, indices = torch.tensor([0, 1, 2, 2, 4]), torch.tensor([0, 1, 0, 2])
    assert ops.spmm(indptr, indices, x, reduce=reduce)[:, 7].tolist() == [-inf, inf, 0, -inf]


@pytest.mark.parametrize("width", [1, 40])
@pytest.mark.parametrize("reduce", ["max", "min"])
def test_nan_propagates_as_in_torch(reduce, width):
    x = torch.tensor([[1.0], [math.nan], [5.0], [-3.0]]).expand(4, width).contiguous()
    indptr = torch.tensor([0, 3, 5])
    indices = torch.tensor([0, 1, 2, 0, 3])
    out = ops.spmm(indptr, indices, x, reduce=reduce)
    assert out[0].isnan().all()
    assert (out[1] == (1 if reduce == "max" else -3)).all()


def test_ties_go_to_the_first_edge():
    x = torch.ones(3, 1, requires_grad=True)
    ops.spmm(torch.tensor([0, 3]), torch.tensor([2, 0, 1]), x, reduce="max").sum().backward()
    assert x.grad.flatten().tolist() == [0, 0, 1]


def test_duplicate_edges_count_each():
    x = torch.tensor([[2.0]], requires_grad=True)
    indptr, indices = torch.tensor([0, 3]), torch.tensor([0, 0, 0])
    out = ops.spmm(indptr, indices, x)
    out.backward()
    assert out.item() == 6
    assert x.grad.item() == 3
    x.grad = None
    ops.spmm(indptr, indices, x, reduce="max").backward()
    assert x.grad.item() == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x[:, ::2],
        lambda x: x.t(),
        lambda x: x[:, 3:20],
        lambda x: x[::2],
        lambda x: x[0].expand(24, -1),
        lambda x: x.view(24, 4, 6).transpose(1, 2),
        lambda x: torch.nn.Parameter(x),
    ],
)
@pytest.mark.parametrize("reduce", REDUCERS)
def test_any_layout(make, reduce):
    x = make(torch.randn(24, 24))
    csc = random_csc(x.shape[0], 9, 50)
    out = ops.spmm(csc.indptr, csc.indices, x, reduce=reduce)
    torch.testing.assert_close(
        out, ops.spmm_reference(csc.indptr, csc.indices, x.contiguous(), reduce=reduce)
    )
    grad = torch.randn(9, *x.shape[1:]).transpose(0, -1).contiguous().transpose(0, -1)
    y = x.detach().clone().requires_grad_()
    ops.spmm(csc.indptr, csc.indices, y, reduce=reduce).backward(grad)
    z = x.detach().clone().double().requires_grad_()
    ops.spmm(csc.indptr, csc.indices, z, reduce=reduce).backward(grad.double().contiguous())
    torch.testing.assert_close(y.grad.double(), z.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reduce", REDUCERS)
def test_no_edges_and_no_nodes(reduce):
    none = torch.empty(0, dtype=torch.int32)
    x = torch.randn(3, 2, requires_grad=True)
    out = ops.spmm(torch.zeros(5, dtype=torch.int64), none, x, reduce=reduce)
    assert out.tolist() == [[0, 0]] * 4
    out.sum().backward()
    assert x.grad.tolist() == [[0, 0]] * 3
    assert ops.spmm(torch.tensor([0]), none, torch.randn(0, 2), reduce=reduce).shape == (0, 2)
    e = torch.empty(0, 2, requires_grad=True)
    ops.segment_reduce(torch.zeros(5, dtype=torch.int64), e, reduce=reduce).sum().backward()
    assert e.grad.shape == (0, 2)


@pytest.mark.cpu_only
def test_registered_for_compilers():
    csc = random_csc()
    csc = csc._replace(eids=csc.eids)
    x = torch.randn(csc.num_src, 2, 3, requires_grad=True)
    weight = torch.rand(csc.num_edges, 2, requires_grad=True)
    spmm, segments = torch.ops.hopflow.spmm.default, torch.ops.hopflow.segment_reduce.default
    none = (None, None, None)
    opcheck(spmm, (x, csc.indptr, csc.indices, weight, csc.eids, None, "mean", *none))
    opcheck(spmm, (x, csc.indptr, csc.indices, None, None, None, "max", *none))
    e = torch.randn(csc.num_edges, 3, requires_grad=True)
    opcheck(segments, (e, csc.indptr, csc.eids, "sum"))
    opcheck(segments, (e, csc.indptr, None, "min"))


def test_compiles_without_a_graph_break():
    linear = torch.nn.Linear(4, 4)

    def layer(indptr, indices, x):
        return linear(ops.spmm(indptr, indices, x, reduce="mean")).relu()

    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for seed in range(3):
        csc = random_csc(20 + seed, 10 + seed, 50 + seed, seed=seed)
        grads = []
        for function in (layer, compiled):
            x = torch.linspace(-1, 1, csc.num_src * 4).view(-1, 4).requires_grad_()
            function(csc.indptr, csc.indices, x).sum().backward()
            grads.append(x.grad)
        torch.testing.assert_close(*grads)


X = torch.zeros(4, 3)
INDPTR, INDICES = torch.tensor([0, 1, 2]), torch.tensor([0, 3])


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"reduce": "median"}, ValueError, "reduce: expected one of sum, mean, max, min"),
        (
            {"x": X.to(torch.complex64)},
            TypeError,
            "x: expected float32, float64, float16, bfloat16, bool, .* got complex64",
        ),
        ({"x": torch.tensor(1.0)}, ValueError, "x: expected at least 1 dimension"),
        ({"x": X[:3]}, IndexError, r"\[1\] is 3, expected 0 <= id < 3"),
        ({"x": X.to("meta")}, ValueError, "one device"),
        ({"x": X.to_sparse()}, (TypeError, RuntimeError, ValueError), "."),
        ({"indices": torch.tensor([0, -1])}, IndexError, r"\[1\] is -1"),
        ({"indices": torch.tensor([0.0, 1])}, TypeError, "indices: expected int32 or int64"),
        ({"indptr": torch.tensor([0, 1, 3])}, ValueError, "number of edges, 2, got 3"),
        ({"indptr": torch.tensor([0, 9, 2])}, ValueError, "falls from 9 to 2"),
        ({"indptr": torch.tensor([], dtype=torch.int64)}, ValueError, "at least one element"),
        ({"weight": torch.ones(3)}, ValueError, "one row for each of the 2 edges, got 3"),
        ({"weight": torch.ones(2).double()}, TypeError, "weight: expected the dtype of x"),
        ({"weight": torch.ones(2, 2)}, ValueError, "weight: expected shape"),
        ({"weight": torch.ones(2), "reduce": "max"}, ValueError, "only sum and mean take weights"),
        ({"weight": torch.ones(2), "eids": torch.tensor([0, 2])}, IndexError, r"\[1\] is 2"),
        ({"weight": torch.ones(2), "eids": torch.tensor([0])}, ValueError, "expected 2 elements"),
        ({"weight": torch.ones(2), "eids": torch.tensor([1, 1])}, ValueError, "edge 1 twice"),
        ({"transpose": (INDPTR, INDICES, INDICES)}, TypeError, "transpose: expected what"),
        (
            {"transpose": ops.transpose_csc(INDPTR, INDICES, 5)},
            ValueError,
            "that of 2 edges from 4 sources, got 2 edges from 5",
        ),
    ],
)
def test_bad_arguments(change, error, match):
    arguments = {"indptr": INDPTR, "indices": INDICES, "x": X, **change}
    with pytest.raises(error, match=match):
        ops.spmm(**arguments)


@pytest.mark.parametrize(
    ("x", "eids", "error", "match"),
    [
        (torch.zeros(3, 1), None, ValueError, "number of edges, 3, got 2"),
        (torch.zeros(2, 1), torch.tensor([0, 2]), IndexError, r"\[1\] is 2"),
        (torch.zeros(2, 1), torch.tensor([0]), ValueError, "expected 2 elements, got 1"),
        (torch.zeros(2, 1), torch.tensor([0, 0]), ValueError, "each edge once, got edge 0 twice"),
        (torch.zeros(2, 1) + 0j, None, TypeError, "x: expected float32"),
    ],
)
def test_bad_segments(x, eids, error, match):
    with pytest.raises(error, match=match):
        ops.segment_reduce(INDPTR, x, eids=eids)
