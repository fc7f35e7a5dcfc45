"""The gather that decodes rows of few bits, and their encoders."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

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


# --- encoders ---


def error_by_column(x):
    """Errors in steps of their column, beyond what float32 rounds."""
    q, scale, offset = ops.quantize_by_column(x)
    assert (q.dtype, q.shape, scale.shape, offset.shape) == (
        torch.int8,
        x.shape,
        *[x.shape[1:]] * 2,
    )
    decoded = ops.gather_decoded(q, None, scale=scale, offset=offset)
    return beyond_rounding(x, decoded, scale, 0)


def error_by_row(x):
    encoded = ops.quantize_by_row(x)
    assert (encoded.dtype, encoded.shape) == (torch.uint8, (x.shape[0], x.shape[1] + 8))
    scale = encoded[:, -8:-4].clone(memory_format=torch.contiguous_format).view(torch.float32)
    return beyond_rounding(x, ops.gather_decoded(encoded, None, by_row=True), scale, 1)


def beyond_rounding(x, decoded, scale, dim):
    wide = x.double()
    rounding = 2.0**-22 * wide.abs().amax(dim, keepdim=True)
    error = ((decoded.double() - wide).abs() - rounding).clamp_min(0)
    return float((error / scale.clamp_min(1e-45).double()).max())


@pytest.mark.parametrize("error_of", [error_by_column, error_by_row])
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.randn(300, 37),
        lambda: torch.randn(300, 37) * torch.logspace(-42, 30, 37),
        lambda: torch.randn(300, 37).t().contiguous() * torch.logspace(-42, 30, 300),
        lambda: torch.randn(300, 37) + 1e6,
        lambda: torch.rand(300, 37).half() * 1e4,
        lambda: torch.randn(300, 37).bfloat16(),
        lambda: torch.randn(300, 37, dtype=torch.float64) * 1e-3 + 1 / 3,
        lambda: torch.randint(2, (300, 37)).float(),
        lambda: torch.arange(256.0).repeat(2, 1).t().repeat(1, 20),
        lambda: torch.randint(0, 1000, (300, 37), dtype=torch.int32).view(torch.float32),
        lambda: torch.tensor([[1e38, -1e38], [-1e38, 1e38]]),
        lambda: torch.randn(1, 5),
        lambda: torch.randn(5, 1),
    ],
)
def test_errors_are_half_a_step_at_most(make, error_of):
    x = make()
    before = x.clone()
    assert error_of(x) <= 0.5 + 1e-9
    assert torch.equal(x, before)


@pytest.mark.parametrize("value", [0.0, -0.1, 7e-42, 3e38, 123456.789])
def test_what_is_constant_comes_back_exactly(value):
    x = torch.randn(20, 9)
    x[:, 4] = value
    q, scale, offset = ops.quantize_by_column(x)
    assert scale[4] == 0
    assert torch.equal(ops.gather_decoded(q, None, scale=scale, offset=offset)[:, 4], x[:, 4])
    rows = x.t().contiguous()
    decoded = ops.gather_decoded(ops.quantize_by_row(rows), None, by_row=True)
    assert torch.equal(decoded[4], rows[4])


def test_tables_of_any_shape_and_without_rows():
    assert error_by_column(torch.randn(40, 3, 4).flatten(1)) <= 0.5 + 1e-9
    q, scale, offset = ops.quantize_by_column(torch.randn(40, 3, 4))
    assert (q.shape, scale.shape, offset.shape) == ((40, 3, 4), (3, 4), (3, 4))
    q, scale, offset = ops.quantize_by_column(torch.randn(40))
    assert (q.shape, scale.shape) == ((40,), ())
    assert ops.gather_decoded(q, None, scale=scale, offset=offset).shape == (40,)
    q, scale, offset = ops.quantize_by_column(torch.empty(0, 5))
    assert (q.shape, scale.tolist(), offset.tolist()) == ((0, 5), [0.0] * 5, [0.0] * 5)
    assert ops.quantize_by_column(torch.empty(5, 0))[0].shape == (5, 0)
    assert ops.quantize_by_row(torch.empty(0, 5)).shape == (0, 13)
    assert ops.quantize_by_row(torch.empty(5, 0)).tolist() == [[0] * 8] * 5


def test_chunks_change_nothing():
    x = torch.randn(1000, 7)
    whole, rows = ops.quantize_by_column(x), ops.quantize_by_row(x)
    for chunk_rows in (1, 13, 999, 5000):
        for ours, expected in zip(ops.quantize_by_column(x, chunk_rows=chunk_rows), whole):
            assert torch.equal(ours, expected)
        assert torch.equal(ops.quantize_by_row(x, chunk_rows=chunk_rows), rows)


def test_mapped_file(tmp_path):
    x = torch.randn(500, 8)
    x.numpy().tofile(tmp_path / "x")
    mapped = torch.from_file(str(tmp_path / "x"), size=x.numel()).view(500, 8)
    for ours, expected in zip(ops.quantize_by_column(mapped), ops.quantize_by_column(x)):
        assert torch.equal(ours, expected)


@pytest.mark.cpu_only
def test_rows_by_row_are_torchs():
    pack = torch.ops.quantized.embedding_bag_byte_prepack
    unpack = torch.ops.quantized.embedding_bag_byte_unpack
    x = torch.randn(300, 37)
    theirs, ours = pack(x), ops.quantize_by_row(x)
    assert theirs.shape == ours.shape
    for packed in (theirs, ours):
        decoded = ops.gather_decoded(packed, None, by_row=True)
        torch.testing.assert_close(unpack(packed), decoded, rtol=1e-6, atol=1e-6)
        step = (x.amax(1, keepdim=True) - x.amin(1, keepdim=True)) / 255
        assert bool(((decoded - x).abs() <= 0.5001 * step).all())


@pytest.mark.parametrize("encode", [ops.quantize_by_column, ops.quantize_by_row])
def test_encoders_refuse(encode):
    for value in (float("nan"), float("inf"), -float("inf")):
        x = torch.zeros(100, 6)
        x[70, 3] = x[80, 0] = value
        for chunk_rows in (None, 7):
            with pytest.raises(
                ValueError, match=rf"x\[70, 3\]: expected finite numbers, got {value}"
            ):
                encode(x, chunk_rows=chunk_rows)
    with pytest.raises(TypeError, match=r"x: expected float32, .* got int64"):
        encode(torch.zeros(3, 3, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"x: expected a torch.Tensor, got list"):
        encode([1.0])
    for chunk_rows in (0, -1):
        with pytest.raises(ValueError, match="chunk_rows: expected at least 1"):
            encode(torch.zeros(3, 3), chunk_rows=chunk_rows)
    with pytest.raises(TypeError, match="chunk_rows: expected an int"):
        encode(torch.zeros(3, 3), chunk_rows=1.5)
    far = torch.zeros(3, 3)
    far[1, 1], far[2, 1], far[1, 2] = 3e38, -3e38, -3e38
    what = "column 1" if encode is ops.quantize_by_column else "row 1"
    with pytest.raises(ValueError, match=rf"x: {what} spans -3e\+38 to 3e\+38, more than float32"):
        encode(far)


def test_shapes_that_encoders_refuse():
    with pytest.raises(ValueError, match="x: expected at least 1 dimension"):
        ops.quantize_by_column(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"x: expected 2 dimensions, got shape \[3\]"):
        ops.quantize_by_row(torch.zeros(3))
    x = torch.zeros(4, 2, 3)
    x[2, 1, 2] = float("nan")
    with pytest.raises(ValueError, match=r"x\[2, 1, 2\]: expected finite"):
        ops.quantize_by_column(x)


SCRIPT = Path(__file__).parents[2] / "scripts" / "measure_encodings.py"


@pytest.mark.slow
@pytest.mark.cpu_only
@pytest.mark.skipif(not SCRIPT.is_file(), reason="the scripts are not beside the tests")
def test_training_on_eight_bits_loses_no_accuracy(shared_data):
    """Within 0.3 points of float32 on a real graph, in the mean of three seeds."""
    kinds = ["int8 by column", "uint8 by row"]
    command = [SCRIPT, shared_data / "facebook-page-page", "--seeds", "3", "--json", "--only"]
    # Threads that spin while they wait take minutes where others need the cores.
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [sys.executable, *map(str, command), *kinds],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["float32"]["mean"] > 91.5
    for kind in kinds:
        assert figures[kind]["bytes"] < 0.27 * figures["float32"]["bytes"]
        assert figures[kind]["mean"] >= figures["float32"]["mean"] - 0.3
