"""The gather that decodes rows of few bits."""

import shutil

import pytest
import torch
from helpers import IDS, assert_same

import hopflow._native as _native
from hopflow import ops

DECODED = [torch.float32, torch.float16, torch.bfloat16]
# Narrower than a vector of any instruction set, odd, in the middle of vectors, whole vectors.
WIDTHS = [1, 2, 3, 7, 8, 9, 16, 31, 33, 47, 64, 100, 128, 130]
KINDS = ["by column", "by row", "float32", "float16", "bfloat16"]


def encoded(kind, num_rows, *row, seed=0):
    """A table and the options with which it is decoded."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_rows, *row, generator=generator) * 3 + 1
    if kind == "by column":
        q = torch.randint(-128, 128, x.shape, dtype=torch.int8, generator=generator)
        scale = torch.rand(row, generator=generator)
        return q, {"scale": scale, "offset": torch.randn(row, generator=generator)}
    if kind == "by row":
        return ops.quantize_by_row(x.flatten(1)), {"by_row": True}
    return x.to(getattr(torch, kind)), {}


def assert_as_reference(x, ids, **options):
    got = ops.gather_decoded(x, ids, **options)
    assert_same(got, ops.gather_decoded_reference(x, ids, **options))
    return got


@pytest.mark.parametrize("ids_dtype", IDS)
@pytest.mark.parametrize("dtype", DECODED)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_reference(kind, dtype, ids_dtype):
    for width in WIDTHS:
        x, options = encoded(kind, 50, width)
        ids = torch.randint(50, (70,)).to(ids_dtype)
        assert_as_reference(x, ids, dtype=dtype, **options)
        assert_as_reference(x, None, dtype=dtype, **options)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "by row"])
def test_rows_of_any_shape(kind):
    for row in ((), (1,), (4, 5), (2, 3, 4), (0,), (3, 0)):
        x, options = encoded(kind, 20, *row)
        got = assert_as_reference(x, torch.tensor([3, 19, 3]), **options)
        assert got.shape == (3, *row)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (4, 1), (1, 5), (4, 5)])
def test_scale_and_offset_broadcast(shape):
    x, _ = encoded("by column", 30, 4, 5)
    ids = torch.randint(30, (40,))
    assert_as_reference(x, ids, scale=torch.rand(shape), offset=torch.randn(4, 5))
    assert_as_reference(
        x, ids, scale=torch.rand(4, 5).t().contiguous().t(), offset=torch.rand(shape)
    )
    assert_as_reference(x, ids, scale=torch.rand(shape))


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x[:, ::2],
        lambda x: x.t(),
        lambda x: x[:, 3:17],
        lambda x: x[::3],
        lambda x: x[0].expand(9, -1),
        lambda x: x.flip(0),
    ],
)
@pytest.mark.parametrize("kind", ["by column", "float16"])
def test_any_layout(kind, make):
    x = make(encoded(kind, 20, 20)[0])
    options = {"scale": torch.rand(x.shape[1])} if kind == "by column" else {}
    ids = torch.randint(x.shape[0], (33,))
    assert_as_reference(x, ids, **options)
    assert_as_reference(x, None, **options)


@pytest.mark.parametrize("width", [5, 128])
def test_rows_by_row_may_lie_anywhere(width):
    """In the bytes of something else, at any address: a buffer that was read from a file."""
    x, options = encoded("by row", 20, width)
    assert_as_reference(x[:1], torch.tensor([0, 0]), **options)
    for begin in range(5):
        room = torch.zeros(20, x.shape[1] + 7, dtype=torch.uint8)
        room[:, begin : begin + x.shape[1]] = x
        inside = room[:, begin : begin + x.shape[1]]
        assert_as_reference(inside, torch.randint(20, (30,)), **options)


def test_nothing_to_decode():
    none = torch.empty(0, dtype=torch.int64)
    for kind in KINDS:
        for num_rows in (0, 4):
            x, options = encoded(kind, num_rows, 3)
            assert ops.gather_decoded(x, none, **options).shape == (0, 3)
            assert ops.gather_decoded(x, None, **options).shape == (num_rows, 3)
    assert ops.gather_decoded(torch.zeros(3, 8, dtype=torch.uint8), None, by_row=True).shape == (
        3,
        0,
    )


@pytest.mark.cpu_only
@pytest.mark.parametrize("dtype", DECODED)
@pytest.mark.parametrize("kind", KINDS)
def test_same_bits_for_any_threads_and_instruction_set(kind, dtype):
    ids = torch.randint(300, (20_000,))
    try:
        for width in (1, 5, 37, 64):
            x, options = encoded(kind, 300, width)
            for isa in ("baseline", "avx2", "avx512"):
                _native.limit_isa(isa)
                for threads in (1, 3):
                    torch.set_num_threads(threads)
                    assert_as_reference(x, ids, dtype=dtype, **options)
    finally:
        _native.limit_isa("avx512")


@pytest.mark.cpu_only
@pytest.mark.parametrize("dtype", DECODED)
@pytest.mark.parametrize("width", [1, 37, 128, 1024, 1025, 3000])
def test_large_results_which_are_written_past_the_caches(width, dtype):
    x, options = encoded("by column", 100, width)
    num_ids = (33 << 20) // (width * dtype.itemsize)
    ids = torch.randint(100, (num_ids,), dtype=torch.int32)
    torch.set_num_threads(3)  # whose parts begin and end within cache lines
    assert_as_reference(x, ids, dtype=dtype, **options)


@pytest.mark.cpu_only
@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
@pytest.mark.parametrize("dtype", DECODED)
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_every_half_value(kind, dtype, isa):
    """All 65,536 bit patterns, infinities, NaN and subnormals among them, on every path."""
    values = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16)
    try:
        _native.limit_isa(isa)
        for width in (128, 1):
            assert_as_reference(
                values.view(getattr(torch, kind)).view(-1, width), None, dtype=dtype
            )
    finally:
        _native.limit_isa("avx512")


@pytest.mark.parametrize("kind", ["by column", "by row"])
def test_every_byte(kind):
    for width in (256, 4, 1):
        numbers = torch.arange(256).view(-1, width)
        if kind == "by column":
            factors = {"scale": torch.rand(width), "offset": torch.randn(width)}
            assert_as_reference((numbers - 128).to(torch.int8), None, **factors)
        else:
            factors = torch.rand(256 // width, 2).view(torch.uint8)
            x = torch.cat([numbers.to(torch.uint8), factors], 1)
            assert_as_reference(x, None, by_row=True)


def test_factors_that_are_not_finite():
    """What the formula makes of them, in rows and in columns."""
    x = torch.tensor([[-2, 0, 3, 1, 1]], dtype=torch.int8)
    scale = torch.tensor([float("inf"), float("inf"), 3e38, float("nan"), 1.0])
    offset = torch.tensor([1.0, 1.0, 0.0, 1.0, -float("inf")])
    assert_as_reference(x, None, scale=scale, offset=offset)
    rows = torch.cat([torch.zeros(5, 1), scale.unsqueeze(1), offset.unsqueeze(1)], 1)
    assert_as_reference(rows.view(torch.uint8), None, by_row=True)


# --- gradients and compilers ---


@pytest.mark.parametrize("dtype", DECODED)
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_gradient_of_converted_rows(kind, dtype):
    x = encoded(kind, 9, 3)[0].requires_grad_()
    ids = torch.tensor([1, 1, 5, 0, 1])
    up = torch.randn(5, 3).to(dtype)
    (grad,) = torch.autograd.grad(ops.gather_decoded(x, ids, dtype=dtype), x, up)
    expected = torch.zeros(9, 3).index_add(0, ids, up.float()).to(x.dtype)
    torch.testing.assert_close(grad, expected)
    (grad,) = torch.autograd.grad(
        ops.gather_decoded(x, None, dtype=dtype), x, torch.ones(9, 3).to(dtype)
    )
    assert torch.equal(grad, torch.ones_like(x))


def test_func_transforms():
    ids = torch.tensor([1, 1, 5, 0])
    x, tangent = torch.randn(6, 3), torch.randn(6, 3)
    _, got = torch.func.jvp(
        lambda x: ops.gather_decoded(x, ids, dtype=torch.bfloat16), (x,), (tangent,)
    )
    assert torch.equal(got, tangent[ids].bfloat16())
    batch = torch.randn(4, 6, 3)
    got = torch.func.vmap(lambda x: ops.gather_decoded(x, ids, dtype=torch.float16))(batch)
    assert torch.equal(got, batch[:, ids].half())
    grad = torch.func.grad(lambda x: ops.gather_decoded(x, ids).sum())(x)
    assert torch.equal(grad, torch.zeros(6, 3).index_add(0, ids, torch.ones(4, 3)))


def test_integers_have_no_gradient():
    x, options = encoded("by column", 9, 3)
    assert not ops.gather_decoded(x, None, **options).requires_grad


@pytest.mark.cpu_only
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
@pytest.mark.parametrize("kind", ["by column", "by row", "bfloat16"])
def test_compiles(kind):
    x, options = encoded(kind, 30, 16)

    @torch.compile(fullgraph=True, dynamic=True)
    def model(ids):
        return ops.gather_decoded(x, ids, **options) * 2

    for count in (5, 8):
        ids = torch.randint(30, (count,))
        assert torch.equal(model(ids), ops.gather_decoded(x, ids, **options) * 2)


# --- errors ---

Q = torch.zeros(3, 2, dtype=torch.int8)
ONE = torch.ones(())
AT = torch.tensor([0])


@pytest.mark.parametrize(
    ("x", "ids", "options", "error", "match"),
    [
        (
            Q,
            torch.tensor([0, 3]),
            {"scale": ONE},
            IndexError,
            r"ids\[1\] is 3, expected 0 <= id < 3",
        ),
        (Q, torch.tensor([-1]), {"scale": ONE}, IndexError, r"ids\[0\] is -1"),
        (Q[:0], AT, {"scale": ONE}, IndexError, "expected 0 <= id < 0"),
        (Q, torch.tensor([0.0]), {"scale": ONE}, TypeError, "ids: expected int32 or int64"),
        (Q, torch.tensor([[0]]), {"scale": ONE}, ValueError, "ids: expected 1 dimension"),
        ([1.0], AT, {}, TypeError, "x: expected a torch.Tensor, got list"),
        (torch.tensor(1.0), AT, {}, ValueError, "x: expected at least 1 dimension, got a scalar"),
        (Q.short(), AT, {}, TypeError, "x: expected int8, float32, .* got int16"),
        (Q.double(), AT, {}, TypeError, "got float64"),
        (Q, AT, {}, ValueError, "scale: expected one for the columns of x, which is of int8"),
        (Q, AT, {"offset": ONE}, ValueError, "scale: expected one"),
        (Q, AT, {"scale": 1.0}, TypeError, "scale: expected a torch.Tensor, got float"),
        (Q, AT, {"scale": ONE.double()}, TypeError, "scale: expected float32, got float64"),
        (Q, AT, {"scale": torch.ones(3)}, ValueError, r"to a row's, \[2\], got \[3\]"),
        (Q, AT, {"scale": torch.ones(1, 2)}, ValueError, r"got \[1, 2\]"),
        (Q, AT, {"scale": ONE, "offset": torch.ones(3)}, ValueError, "offset: expected a shape"),
        (Q, AT, {"scale": ONE.clone().requires_grad_()}, ValueError, "scale: has no gradient"),
        (Q, AT, {"scale": ONE.to("meta")}, ValueError, "scale is on meta, the result on cpu"),
        (Q.float(), AT, {"scale": ONE}, ValueError, "expected none beside x of float32"),
        (Q, AT, {"by_row": True}, TypeError, "x: expected uint8 beside by_row, got int8"),
        (
            Q.byte(),
            AT,
            {"by_row": True},
            ValueError,
            r"rows of D \+ 8 bytes, .* got shape \[3, 2\]",
        ),
        (torch.zeros(3, 2, 9).byte(), AT, {"by_row": True}, ValueError, "got shape"),
        (torch.zeros(3, 9).byte(), AT, {"by_row": True, "scale": ONE}, ValueError, "beside by_row"),
        (Q.float(), AT, {"dtype": torch.float64}, TypeError, "dtype: expected float32, .* float64"),
        (Q.float(), AT, {"dtype": "float32"}, TypeError, "dtype: expected float32, .* got str"),
        (Q.float(), AT.to("meta"), {}, ValueError, "one device"),
    ],
)
def test_bad_arguments(x, ids, options, error, match):
    with pytest.raises(error, match=match):
        ops.gather_decoded(x, ids, **options)


def test_the_native_function_checks_by_itself():
    out = torch.empty(1, 2)
    for arguments, error, match in [
        ((Q, AT, None, None, False, out), ValueError, "expected both for x of int8"),
        ((Q, AT, ONE, ONE, False, out), ValueError, "scale: expected 1 dimension"),
        ((Q.float(), AT, None, None, False, out[:, :1]), ValueError, "out: expected"),
        ((Q.float(), AT, None, None, False, out.double()), TypeError, "out: expected float32"),
        ((Q.byte(), AT, None, None, False, out), TypeError, "x: expected float32"),
        ((Q.byte(), AT, None, None, True, out), ValueError, "rows of at least 8 bytes"),
        ((Q.float().t(), AT, None, None, False, torch.empty(1, 3)), ValueError, "contiguous rows"),
    ]:
        with pytest.raises(error, match=match):
            _native.gather_decoded(*arguments)
