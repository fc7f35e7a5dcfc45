"""``hopflow plan``."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import hopflow as hf
from hopflow.commands.app import app


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    return lambda *arguments: CliRunner().invoke(app, ["plan", *map(str, arguments)])


TINY = ("--data", "mag-like", "--scale", "0.002", "--batch-size", "100", "--fanout", "2,2")


def test_a_table_and_its_json(run):
    done = run(*TINY, "--parts", 3, "--method", "hash", "--cache", "20kB", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["plans"]) == 8
    for row in found["plans"]:
        assert row["bytes"] == pytest.approx(row["ids"] + row["edges"] + row["rows"])
        assert (row["edges"] == 0) == row["replicated"]
        assert 0 <= row["hit_rate"] <= 1
    with_cache = [r["rows"] for r in found["plans"] if r["cache_bytes"]]
    without = [r["rows"] for r in found["plans"] if not r["cache_bytes"]]
    assert all(a < b for a, b in zip(with_cache, without))


def test_what_people_see(run):
    done = run(*TINY, "--parts", 2, "--method", "stream")
    assert done.exit_code == 0, done.stderr
    assert "MB between processes" in done.stdout
    assert "MB that a process sends for a batch; 2 parts by stream" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--parts", "2", "--cache", "3x"),
            "--cache: expected a size such as '500MB' or '2GiB', got '3x'",
        ),
        (("--method", "metis"), "--method: expected one of auto, kaminpar, stream, hash"),
        (("--parts", 0), "num_parts: expected 1 to 32767, got 0"),
        (("--fanout", "a"), "--fanout: expected ints such as 10,10"),
    ],
)
def test_mistakes_get_a_line(run, arguments, message):
    done = run(*TINY, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_one_process(run, tmp_path):
    done = run(*TINY, "--json")
    assert done.exit_code == 0, done.stderr
    plan = json.loads(done.stdout)["plan"]
    assert plan["input_nodes"] > 0
    assert plan["disk_rows"] == 0
    assert plan["seconds"] == pytest.approx(plan["num_batches"] * plan["seconds_a_batch"])


def test_one_process_with_features_on_disk(run, tmp_path):
    torch.manual_seed(0)
    ends = torch.randint(500, (2, 4000))
    np.savez(
        tmp_path / "g.npz", src=ends[0].numpy(), dst=ends[1].numpy(), label=np.arange(500) % 5,
        feat=np.random.default_rng(0).normal(size=(500, 16)).astype(np.float32),
    )  # fmt: skip
    hf.datasets.convert(tmp_path / "g.npz", tmp_path / "g")
    given = ("--data", tmp_path / "g", "--memory", "20kB", "--batch-size", 50)
    done = run(*given)
    assert done.exit_code == 0, done.stderr
    for said in ("input nodes", "read from disk", "caches for feat", "batches an epoch, each of"):
        assert said in done.stdout
    done = run(*given, "--cache", "1MB")
    assert done.exit_code == 2
    assert "--cache: it is for --parts" in done.stderr
