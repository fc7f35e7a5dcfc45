"""The command, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

import hopflow as hf
from hopflow.commands.app import app

SMALL = ["--hidden", "8", "--epochs", "2", "--batch-size", "50", "--fanout", "3,3"]


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *args: runner.invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory):
    """A small labelled graph as a user would bring it: two groups that link among themselves."""
    rng = np.random.default_rng(0)
    label = np.arange(400) % 2
    src = rng.integers(400, size=3000)
    dst = (rng.integers(200, size=3000) * 2 + label[src]) % 400
    path = tmp_path_factory.mktemp("data") / "graph.npz"
    feat = rng.normal(size=(400, 6)) + label[:, None]
    np.savez(path, src=src, dst=dst, feat=feat.astype(np.float32), label=label)
    return path


def test_trains_saves_plots_and_prints_json(run, graph_file, tmp_path):
    model, plot = tmp_path / "model.pt", tmp_path / "curve.png"
    done = run("train", "--data", graph_file, *SMALL, "--save", model, "--plot", plot, "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["config"]["fanout"] == [3, 3]
    assert len(result["history"]) == 2
    assert 0.5 < result["test_accuracy"] <= 1
    assert set(result["seconds"]) >= {"sample", "gather", "forward", "backward"}
    assert "where the time went" in done.stderr
    assert "test accuracy" in done.stderr
    assert plot.read_bytes().startswith(b"\x89PNG")

    more = run("train", "--resume", model, "--epochs", "3", "--json")
    assert more.exit_code == 0, more.output
    history = json.loads(more.stdout)["history"]
    assert history[:2] == result["history"]
    assert len(history) == 3

    for suffix in (".npy", ".csv", ".parquet"):
        out = tmp_path / f"predictions{suffix}"
        done = run("infer", "--checkpoint", model, "--out", out, "--json", "--chunk-edges", "100")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["num_nodes"] == 400
        assert out.exists()
    classes = np.load(tmp_path / "predictions.npy")
    out = tmp_path / "logits.npy"
    assert run("infer", "--checkpoint", model, "--out", out, "--logits").exit_code == 0
    assert np.load(out).shape == (400, 2)
    assert (np.load(out).argmax(1) == classes).all()
    table = np.genfromtxt(tmp_path / "predictions.csv", delimiter=",", names=True)
    assert (table["prediction"] == classes).all()
    assert (table["node"] == np.arange(400)).all()


def test_results_go_to_stdout_and_progress_to_stderr(run, graph_file):
    done = run("train", "--data", graph_file, *SMALL)
    assert "test accuracy" in done.stdout
    assert "where the time went" in done.stdout
    assert "epoch   1/2" in done.stderr


def test_no_file_is_overwritten_by_mistake(run, graph_file, tmp_path):
    before = graph_file.read_bytes()
    done = run("train", "--data", graph_file, *SMALL, "--save", graph_file)
    assert done.exit_code == 2
    assert "--save and --data are the same file" in " ".join(done.stderr.split())
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    done = run("train", "--data", graph_file, *SMALL, "--save", other)
    assert done.exit_code == 2
    assert "expected a checkpoint of hopflow train" in " ".join(done.stderr.split())
    assert other.read_text() == "mine"
    assert graph_file.read_bytes() == before


def test_paths_are_no_markup(run, graph_file, tmp_path):
    model = tmp_path / "a[/]b [red]c.pt"
    done = run("train", "--data", graph_file, *SMALL, "--save", model)
    assert done.exit_code == 0, done.output
    assert "[/]b [red]c.pt" in done.stderr


def test_a_closed_pipe_does_not_cost_the_plot(graph_file, tmp_path):
    plot = tmp_path / "curve.png"
    command = [
        sys.executable,
        "-m",
        "hopflow.commands.app",
        "train",
        "--data",
        str(graph_file),
        *SMALL,
    ]
    process = subprocess.Popen(
        [*command, "--plot", str(plot)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    process.stdout.close()
    assert process.wait(timeout=120) == 1
    assert plot.exists()


def test_infers_on_another_graph_without_labels(run, graph_file, tmp_path):
    model, other, out = tmp_path / "model.pt", tmp_path / "other.npz", tmp_path / "p.npy"
    assert run("train", "--data", graph_file, *SMALL, "--save", model).exit_code == 0
    np.savez(other, src=[0, 1], dst=[1, 2], feat=np.zeros((5, 6), np.float32))
    done = run("infer", "--checkpoint", model, "--data", other, "--out", out)
    assert done.exit_code == 0, done.output
    assert np.load(out).shape == (5,)
    np.savez(other, src=[0, 1], dst=[1, 2], feat=np.zeros((5, 3), np.float32))
    done = run("infer", "--checkpoint", model, "--data", other, "--out", out)
    assert done.exit_code == 2
    expected = f"error: {other}: expected 6 features, as in training, got 3"
    assert " ".join(done.stderr.split()) == expected


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--data", "nope"], "nope"),
        (["--data", "missing/graph.npz"], "no such file"),
        (["--fanout", "3,x"], "--fanout: expected ints such as 10,10, got '3,x'"),
        (["--fanout", "3,4", "--layers", "3"], "--fanout has 2 numbers, but --layers is 3"),
        (["--layers", "0"], "fanout: expected at least one layer"),
        (["--hidden", "0"], "hidden: expected at least 1, got 0"),
        (["--dropout", "1.5"], "dropout: expected a rate in [0, 1), got 1.5"),
        (["--resume", "missing.pt"], "missing.pt: no such checkpoint"),
        (["--split", "nope"], "split"),
        (["--device", "gpu"], "device: expected cpu, cuda or cuda:N, got 'gpu'"),
        (["--device", "cuda:99"], "`hopflow doctor` says what is missing"),
        (["--plot", "curve.xyz"], "curve.xyz: expected an image such as .png"),
    ],
)
def test_mistakes_get_one_readable_line(run, args, message):
    done = run("train", *args)
    assert done.exit_code == 2
    text = " ".join(done.stderr.split())
    assert text.startswith("error: ")
    assert message in text
    assert "Traceback" not in done.output


def test_outputs_that_cannot_be_written_are_told_before_training(run, graph_file, tmp_path):
    for option in ("--plot", "--save"):
        (tmp_path / "taken.png").mkdir(exist_ok=True)
        done = run("train", "--data", graph_file, *SMALL, option, tmp_path / "taken.png")
        assert done.exit_code == 2
        assert "got a folder" in done.stderr
        assert "epoch" not in done.stderr


def test_resumes_data_that_moved_and_layers_said_again(run, graph_file, tmp_path):
    model, moved = tmp_path / "model.pt", tmp_path / "moved.npz"
    assert run("train", "--data", graph_file, *SMALL, "--save", model).exit_code == 0
    moved.write_bytes(graph_file.read_bytes())
    again = ("train", "--resume", model, "--epochs", "3")
    done = run(*again, "--data", moved, "--layers", "2", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["config"]["fanout"] == [3, 3]
    done = run(*again, "--layers", "3")
    assert done.exit_code == 2
    assert "fanout is [3, 3]" in done.stderr
    np.savez(
        moved, src=[0, 1], dst=[1, 2], feat=np.zeros((9, 6), np.float32), label=np.arange(9) % 2
    )
    done = run(*again, "--data", moved)
    assert done.exit_code == 2
    assert "the checkpoint is of data with num_nodes = 400" in " ".join(done.stderr.split())


def test_debug_shows_the_traceback(run):
    done = run("train", "--data", "nope", "--debug")
    assert isinstance(done.exception, ValueError)


def test_typos_and_help(run):
    assert run("train", "--epoch", "3").exit_code == 2
    assert run("trian").exit_code == 2
    assert run("--version").stdout.strip() == f"hopflow {hf.__version__}"
    for command in ("train", "infer", "doctor"):
        done = run(command, "--help")
        assert done.exit_code == 0
        assert "--json" in done.output
    done = run("infer", "--checkpoint", "x.pt", "--out", "p.txt")
    assert "expected a file ending in .npy, .csv, .parquet" in " ".join(done.stderr.split())


def test_layers_repeat_one_fanout(run, graph_file):
    done = run("train", "--data", graph_file, "--hidden", "8", "--epochs", "1", "--fanout", "4",
               "--layers", "3", "--json")  # fmt: skip
    assert json.loads(done.stdout)["config"]["fanout"] == [4, 4, 4]


@pytest.mark.skipif(os.name != "posix", reason="sends a Unix signal")
def test_ctrl_c_leaves_a_checkpoint_that_resumes(run, graph_file, tmp_path):
    model = tmp_path / "model.pt"
    command = [
        sys.executable, "-m", "hopflow", "train", "--data", str(graph_file), "--hidden", "8",
        "--epochs", "100000", "--save", str(model),
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not model.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert model.exists()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    epochs = len(hf_history(model))
    done = run("train", "--resume", model, "--epochs", epochs + 2, "--json")
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["history"]) == epochs + 2


def hf_history(path):
    from hopflow.train import load_checkpoint

    return load_checkpoint(path)["history"]


def test_doctor(run, monkeypatch):
    done = run("doctor")
    assert done.exit_code == 0
    for word in ("hopflow", "torch", "kernels use", "OMP_NUM_THREADS", "runtimes loaded", "cuda"):
        assert word in done.output
    findings = json.loads(run("doctor", "--json").stdout)
    assert findings["versions"]["hopflow"] == hf.__version__
    assert findings["cpu"]["kernels use"] in ("baseline", "avx2", "avx512")

    import hopflow.commands.doctor as doctor

    monkeypatch.setattr(doctor, "_read", lambda path: "")
    assert doctor.examine()["cpu"]["features"] == []
    two = {**findings, "openmp": {"runtimes loaded": ["/a/libgomp.so.1", "/b/libiomp5.so"]}}
    two["memory"] = {**two["memory"], "transparent huge pages": "never"}
    two["threads"] = {**two["threads"], "hopflow": 1, "torch": 4, "OMP_NUM_THREADS": "1",
                      "usable here": 8, "container limit": "none"}  # fmt: skip
    two["cuda"] = {**two["cuda"], "devices": ["X (sm_90)"], "built into hopflow": "no",
                   "built into torch": "no"}  # fmt: skip
    advice = " ".join(doctor._advice(two))
    for word in ("Several OpenMP", "huge pages", "OMP_NUM_THREADS=1", "built without CUDA",
                 "CPU build", "do not share"):  # fmt: skip
        assert word in advice


def test_the_package_is_the_command_too():
    done = subprocess.run(
        [sys.executable, "-m", "hopflow", "doctor", "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["versions"]["hopflow"] == hf.__version__
