"""Encoders of tables in 8 bits: errors, refusals, and what training loses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hopflow import ops


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
    """Within 0.3 points of float32 on a real graph, in the mean of two seeds."""
    kinds = ["int8 by column", "uint8 by row"]
    command = [SCRIPT, shared_data / "facebook-page-page", "--seeds", "2", "--epochs", "6"]
    # Threads that spin while they wait take minutes where others need the cores.
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [sys.executable, *map(str, command), "--json", "--only", *kinds],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["float32"]["mean"] > 90
    for kind in kinds:
        assert figures[kind]["bytes"] < 0.27 * figures["float32"]["bytes"]
        assert figures[kind]["mean"] >= figures["float32"]["mean"] - 0.3
