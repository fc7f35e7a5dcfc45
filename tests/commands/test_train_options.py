"""`hopflow train` and `hopflow infer` beyond the default: models, samplers, links, other labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from groups_of_files import group_files
from typer.testing import CliRunner

from hopflow.commands.app import app

SMALL = ["--hidden", "8", "--epochs", "2", "--batch-size", "60", "--layers", "2", "--lr", "0.02"]


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *args: runner.invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return group_files(tmp_path_factory.mktemp("groups"))


def words(text):
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        (["--model", "gat", "--heads", "2"], 2),
        (["--model", "gin", "--aggregator", "mean", "--sampler", "labor"], 2),
        (["--model", "gcn", "--sampler", "cluster", "--clusters", "12"], 2),
        (["--sampler", "saint", "--saint-mode", "node", "--budget", "80"], 2),
        (["--sampler", "ppr", "--ppr-neighbors", "8", "--ppr-epsilon", "1e-3"], 2),
        (["--model", "gatv2", "--sampler", "shadow", "--fanout", "4"], 2),
    ],
)
def test_trains_goes_on_and_infers(run, files, tmp_path, options, layers):
    model, out = tmp_path / "model.pt", tmp_path / "p.npy"
    done = run("train", "--data", files["classes"], *SMALL, *options, "--save", model, "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert set(result) == {
        "config", "best_epoch", "valid_accuracy", "test_accuracy", "history", "seconds",
    }  # fmt: skip
    assert "4 classes" in done.stderr
    assert "loss:" not in done.stderr  # as it always was with classes
    more = run("train", "--resume", model, "--epochs", "3", "--layers", layers, "--json")
    assert more.exit_code == 0, more.output
    history = json.loads(more.stdout)["history"]
    assert history[:2] == result["history"]
    refused = run("train", "--resume", model, "--epochs", "4", "--layers", layers + 1)
    assert refused.exit_code == 2
    assert "the checkpoint is of another run" in refused.stderr
    done = run("infer", "--checkpoint", model, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    best = max(history, key=lambda record: record["valid_accuracy"])
    found = json.loads(done.stdout)["test_accuracy"]
    assert found == pytest.approx(best["test_accuracy"], abs=0.02)
    assert np.load(out).shape == (300,)


def test_several_labels(run, files, tmp_path):
    model, plot = tmp_path / "model.pt", tmp_path / "curve.svg"
    done = run("train", "--data", files["labels"], *SMALL, "--save", model, "--plot", plot)
    assert done.exit_code == 0, done.output
    assert "8 features, 3 labels; 180 training nodes" in words(done.stderr)
    assert "loss: binary cross-entropy; reported: ROC-AUC, micro-F1" in done.stderr
    assert "test ROC-AUC 0." in done.stdout
    assert "micro-F1 0." in done.stdout
    assert "epoch   1/2" in done.stderr
    assert plot.stat().st_size > 0
    out = tmp_path / "p.csv"
    done = run("infer", "--checkpoint", model, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)) >= {"test_roc_auc", "test_micro_f1"}
    table = np.genfromtxt(out, delimiter=",", names=True)
    assert table.dtype.names == ("node", "label_0", "label_1", "label_2")
    assert set(table["label_1"]) == {0.0, 1.0}
    logits = tmp_path / "l.npy"
    assert run("infer", "--checkpoint", model, "--out", logits, "--logits").exit_code == 0
    assert ((np.load(logits)[:, 1] > 0) == table["label_1"]).all()


def test_numbers(run, files, tmp_path):
    model, plot, out = tmp_path / "model.pt", tmp_path / "curve.png", tmp_path / "p.npy"
    done = run(
        "train", "--data", files["numbers"], *SMALL, "--save", model, "--plot", plot, "--json"
    )
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert set(result) >= {"test_rmse", "test_mae", "test_r2", "valid_rmse"}
    assert "loss: mean squared error; reported: RMSE, MAE, R²" in done.stderr
    assert "8 features, 1 number;" in words(done.stderr)
    done = run("infer", "--checkpoint", model, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["test_rmse"] == pytest.approx(result["test_rmse"], rel=1e-4)
    assert 900 < np.load(out).mean() < 1200  # in the labels' own unit
    # Without labels there the checkpoint says what is predicted, and how large.
    done = run("infer", "--checkpoint", model, "--data", files["bare"], "--out", out)
    assert done.exit_code == 0, done.output
    assert 900 < np.load(out).mean() < 1200
    done = run("infer", "--checkpoint", model, "--data", files["classes"], "--out", out)
    assert done.exit_code == 0, done.output
    done = run("infer", "--checkpoint", model, "--out", out, "--logits")
    assert done.exit_code == 2
    assert "--logits: a model of numbers has none" in done.stderr


def test_links(run, files, tmp_path):
    model, out, plot = tmp_path / "model.pt", tmp_path / "p.npy", tmp_path / "curve.png"
    given = ["--data", files["bare"], "--task", "link", "--negatives", "2", *SMALL]
    done = run("train", *given, "--save", model, "--plot", plot)
    assert done.exit_code == 0, done.output
    told = words(done.stderr)
    assert "edges held out to validate and to test" in told
    assert "training edges" in told
    assert "loss: binary cross-entropy; reported: MRR among 100 sampled negatives" in told
    assert "test MRR among 100 sampled negatives 0." in words(done.stdout)
    assert "ROC-AUC 0." in words(done.stdout)
    more = run("train", "--resume", model, "--epochs", "3", "--json")
    assert more.exit_code == 0, more.output
    result = json.loads(more.stdout)
    assert result["config"]["task"] == "link"
    assert set(result) >= {"test_mrr", "test_hits@10", "test_roc_auc", "valid_mrr"}
    assert run("infer", "--checkpoint", model, "--out", out).exit_code == 0
    assert np.load(out).shape == (300, 8)
    table = tmp_path / "p.csv"
    assert run("infer", "--checkpoint", model, "--out", table).exit_code == 0
    assert table.read_text().startswith("node,dim_0,dim_1")
    done = run("infer", "--checkpoint", model, "--out", out, "--logits")
    assert "--logits: a model of links has none" in done.stderr


def test_links_of_a_graph_folder(run, files, tmp_path):
    assert run("convert", files["bare"], tmp_path / "g", "--undirected").exit_code == 0
    given = ["--data", tmp_path / "g", "--task", "link", *SMALL]
    done = run("train", *given)
    assert done.exit_code == 2
    assert "stay in its folder; expected --edges memory" in words(done.stderr)
    done = run("train", *given, "--edges", "memory", "--memory", "5kB", "--json")
    assert done.exit_code == 0, done.output
    again = run("train", "--data", files["bare"], "--task", "link", *SMALL, "--json")
    first, second = (json.loads(x.stdout) for x in (done, again))
    assert first["test_mrr"] == pytest.approx(second["test_mrr"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "mlp"], "model: expected one of sage, rgcn, hgt, gcn, gat, gatv2, gin"),
        (["--model", "rgcn"], "model: R-GCN is for graphs of several types"),
        (["--model", "gin", "--heads", "2"], "heads: GIN has none (gat, gatv2, hgt have), got 2"),
        (["--model", "gat", "--aggregator", "sum"], "aggregator: expected none, as GAT has no"),
        (["--model", "gat", "--heads", "3"], "hidden: expected a multiple of heads = 3"),
        (["--sampler", "walk"], "sampler: expected one of neighbor, labor, shadow, ppr, cluster"),
        (["--clusters", "4"], "clusters: expected none with sampler neighbor; it is for cluster"),
        (["--sampler", "saint", "--budget", "x"], "--budget: expected ints such as 2000 or 500,2"),
        (["--sampler", "cluster", "--fanout", "3"], "--fanout: sampler cluster takes all edges"),
        (["--sampler", "ppr", "--fanout", "3"], "--fanout: sampler ppr takes all edges"),
        (["--task", "link", "--sampler", "saint"], "sampler: expected one of neighbor, labor,"),
        (["--task", "edge"], "task: expected node or link, got 'edge'"),
        (["--negatives", "2"], "negatives: expected none for task node; they are for link"),
        (["--target", "multilabel"], "target: expected 0, 1 or none (-1, NaN) for multilabel"),
        (["--target", "numbers"], "target: expected one of classes, multilabel, regression"),
    ],
)
def test_mistakes_get_one_readable_line(run, files, args, message):
    done = run("train", "--data", files["classes"], *args)
    assert done.exit_code == 2
    text = words(done.stderr)
    assert text.startswith("error: ")
    assert message in text
    assert "Traceback" not in done.output


def test_memory_that_does_not_do_is_told_in_a_line(run, files, monkeypatch):
    def refuse(trainer):
        np.empty(1 << 57, np.int8)

    monkeypatch.setattr("hopflow.commands.train.plan_run", refuse)
    done = run("train", "--data", files["classes"], *SMALL)
    assert done.exit_code == 1, done.exception
    last = words(done.stderr).partition("error: ")[2]
    assert last.startswith("not enough memory: Unable to allocate 128. PiB")
    assert "Traceback" not in done.output


def test_memory_that_torch_does_not_get_is_told_in_a_line(run, files, monkeypatch):
    monkeypatch.setattr(
        "hopflow.commands.train.plan_run", lambda trainer: torch.empty(1 << 57, dtype=torch.int8)
    )
    done = run("train", "--data", files["classes"], *SMALL)
    assert done.exit_code == 1, done.exception
    last = words(done.stderr).partition("error: ")[2]
    assert last.startswith("not enough memory: 1.44e+08 GB were asked for at once")
