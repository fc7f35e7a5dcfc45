"""``hopflow convert``, as a user types it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import hopflow as hf
from hopflow import ops
from hopflow.commands.app import app


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *args: runner.invoke(app, ["convert", *[str(a) for a in args]])


@pytest.fixture
def graph_file(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "graph.npz"
    np.savez(
        path,
        src=rng.integers(90, size=400),
        dst=rng.integers(90, size=400),
        feat=rng.normal(size=(90, 4)).astype(np.float32),
        label=np.arange(90) % 3,
    )
    return path


def test_writes_a_folder_that_train_takes(run, graph_file, tmp_path):
    folder = tmp_path / "made" / "g"
    done = run(graph_file, folder, "--undirected", "--dtype", "feat=float16", "--memory", "64MiB",
               "--json", "--check")  # fmt: skip
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    graph = hf.datasets.load(folder)[0][0]
    assert result["num_nodes"] == 90
    assert result["num_edges"] == graph.num_edges()
    assert len(result["graph_id"]) == 32
    assert "are as they were written" in done.stderr
    wanted = hf.add_reverse_edges(hf.datasets.load(graph_file)[0][0])
    assert graph.num_edges() == wanted.num_edges()
    assert torch.equal(graph.ndata["feat"], wanted.ndata["feat"].half())


def test_for_people(run, graph_file, tmp_path):
    done = run(graph_file, tmp_path / "g")
    assert done.exit_code == 0, done.output
    assert "90 nodes, 400 edges, 3 classes; columns: feat [4] float32" in done.stdout
    again = run(graph_file, tmp_path / "g")
    assert again.exit_code == 2
    assert "holds a graph already" in again.stderr
    assert run(graph_file, tmp_path / "g", "--overwrite").exit_code == 0


def test_in_eight_bits(run, graph_file, tmp_path):
    done = run(graph_file, tmp_path / "g", "--dtype", "feat=int8", "--check")
    assert done.exit_code == 0, done.output
    assert "columns: feat [4] float32 in int8-by-row" in done.stdout
    assert "are as they were written" in done.stderr
    feat = hf.datasets.load(tmp_path / "g", memory="1MB")[0][0].ndata["feat"]
    wanted = ops.quantize_by_row(hf.datasets.load(graph_file)[0][0].ndata["feat"])
    assert torch.equal(feat, ops.gather_decoded(wanted, None, by_row=True))


def test_check_of_a_folder(run, graph_file, tmp_path):
    folder = tmp_path / "a[b]"
    assert run(graph_file, folder).exit_code == 0
    done = run("--check", folder)
    assert done.exit_code == 0, done.output
    assert "90 nodes and 400 edges are as they were written" in done.stdout
    assert json.loads(run("--check", folder, "--json").stdout)["faults"] == []
    file = folder / "edge-0.indices.npy"
    file.write_bytes(file.read_bytes()[:-1])
    done = run("--check", folder)
    assert done.exit_code == 1
    assert "edge-0.indices.npy: expected 1,728 bytes, got 1,727" in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "expected SOURCE FOLDER, or --check FOLDER"),
        (["DATA"], "expected SOURCE FOLDER"),
        (["DATA", "g", "--dtype", "feat"], "--dtype: expected NAME=DTYPE, such as feat=float16"),
        (["DATA", "g", "--dtype", "feat=int4"], "dtype of 'feat': expected one of float16"),
        (["DATA", "g", "--dtype", "x=float16"], "expected node columns, got 'x'; there is feat"),
        (["DATA", "g", "--memory", "lots"], "memory: expected a size such as"),
        (["DATA", "g", "--ids", "names"], "ids: expected one of row, number, text"),
        (["DATA", "g", "--features", "f.npy"], "features= does not apply to"),
        (["nothing.npz", "g"], "nothing.npz: no such file or folder"),
        (["DATA", "DATA", "--overwrite"], "is no graph folder to replace"),
    ],
)
def test_one_line_says_what_is_wrong(run, graph_file, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    done = run(*[graph_file if a == "DATA" else a for a in args])
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.output
    assert [x.name for x in tmp_path.iterdir()] == ["graph.npz"]


def test_an_interrupt(run, graph_file, tmp_path, monkeypatch):
    import hopflow.commands.convert as command

    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "convert_graph", stop)
    done = run(graph_file, tmp_path / "g")
    assert done.exit_code == 130
    assert "interrupted; the same command goes on from here" in done.stderr
