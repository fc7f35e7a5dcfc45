"""The command on graphs of several types, as a user types it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from hopflow.commands.app import app

SMALL = ["--hidden", "8", "--heads", "2", "--epochs", "2", "--batch-size", "20", "--fanout", "3,3"]


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *args: runner.invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder of tables as a user would bring it: users of two kinds buy items of two kinds."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(0)
    kind = np.arange(60) % 2
    users = [f"u{i},{k + rng.normal():.3f},{'AB'[k]}" for i, k in enumerate(kind)]
    (folder / "users.csv").write_text("\n".join(["id,age,label", *users]) + "\n")
    buys = [f"u{i},{2 * rng.integers(20) + kind[i]}" for i in rng.integers(60, size=300)]
    (folder / "buys.csv").write_text("\n".join(["user,item", *buys]) + "\n")
    manifest = {
        "nodes": {
            "user": {"table": "users.csv", "id": "id", "features": ["age"], "label": "label"},
            "item": {"num_nodes": 40},
        },
        "edges": [
            {"relation": ["user", "buys", "item"], "table": "buys.csv", "source": "user",
             "target": "item"},
        ],
    }  # fmt: skip
    (folder / "hopflow.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("model", ["sage", "rgcn", "hgt"])
def test_trains_resumes_plots_and_infers(run, shop, tmp_path, model):
    saved, plot = tmp_path / "model.pt", tmp_path / "curve.svg"
    command = ("train", "--dataset", shop, "--model", model, *SMALL)
    done = run(*command, "--save", saved, "--plot", plot, "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["config"]["model"] == model
    assert 0 <= result["test_accuracy"] <= 1
    told = " ".join(done.stderr.split())
    assert "60 of user (1 features)" in told
    assert "40 of item (no features)" in told
    assert "note: types without features have rows that are learned: 40 of item" in told
    assert "Traceback" not in done.output
    assert plot.stat().st_size > 0

    more = run("train", "--resume", saved, "--epochs", "3", "--json")
    assert more.exit_code == 0, more.output
    history = json.loads(more.stdout)["history"]
    assert history[:2] == result["history"]
    assert len(history) == 3

    for suffix in (".npy", ".csv", ".parquet"):
        out = tmp_path / f"predictions{suffix}"
        done = run("infer", "--checkpoint", saved, "--out", out, "--json", "--chunk-edges", "50")
        assert done.exit_code == 0, done.output
        summary = json.loads(done.stdout)
        assert (summary["num_nodes"], summary["target_type"]) == (60, "user")
        assert out.exists()
    classes = np.load(tmp_path / "predictions.npy")
    table = np.genfromtxt(tmp_path / "predictions.csv", delimiter=",", names=True)
    assert (table["prediction"] == classes).all()
    out = tmp_path / "logits.npy"
    done = run("infer", "--checkpoint", saved, "--out", out, "--logits", "--scratch", tmp_path)
    assert done.exit_code == 0, done.output
    assert (np.load(out).argmax(1) == classes).all()
    assert np.load(out).shape == (60, 2)


def test_mag_like_at_a_scale(run, tmp_path):
    saved, out = tmp_path / "model.pt", tmp_path / "p.npy"
    done = run(
        "train", "--data", "mag-like", "--scale", "0.001", "--epochs", "1", "--hidden", "8",
        "--fanout", "cites=3+*=2,4", "--target-type", "paper", "--save", saved, "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["config"]["fanout"] == [{"cites": 3, "*": 2}, 4]
    assert "736 of paper (128 features)" in " ".join(done.stderr.split())
    assert run("infer", "--checkpoint", saved, "--out", out).exit_code == 0
    assert np.load(out).shape == (736,)
    done = run("infer", "--checkpoint", saved, "--out", out, "--scale", "0.002")
    assert done.exit_code == 2
    assert "the model has learned a row for each of 1,135 nodes of 'author'" in " ".join(
        done.stderr.split()
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "gat"], "model: GAT is for graphs of one type"),
        (["--target-type", "shop"], "expected a node type of {shop}, 'item', 'user', got 'shop'"),
        (["--target-type", "item"], "with labels, 'user', got 'item'"),
        (["--model", "hgt", "--heads", "3"], "hidden: expected a multiple of heads = 3, got 8"),
        (["--fanout", "buys=3,3"], "fanout: no number for rev_buys; *=0 leaves out"),
        (["--fanout", "sells=3+*=1,3"], "expected relations of rev_buys, buys, or * for all"),
        (["--fanout", "buys=x,3"], "--fanout: expected ints such as 10,10, got 'buys=x,3'"),
        (["--scale", "0.5"], "scale: only mag-like has one, got 0.5"),
        (["--bases", "0"], "bases: expected at least 1, got 0"),
    ],
)
def test_mistakes_get_one_readable_line(run, shop, args, message):
    # A later option of a name replaces an earlier one.
    done = run("train", "--data", shop, *SMALL, *args)
    assert done.exit_code == 2, done.output
    text = " ".join(done.stderr.split())
    assert text.startswith("error: ")
    assert message.format(shop=shop) in text
    assert "Traceback" not in done.output


def test_models_and_data_of_one_type_and_of_several_do_not_mix(run, shop, tmp_path):
    one, saved, out = tmp_path / "one.npz", tmp_path / "model.pt", tmp_path / "p.npy"
    np.savez(one, src=[0, 1], dst=[1, 2], feat=np.zeros((9, 6), np.float32), label=np.arange(9) % 2)
    done = run("train", "--data", one, *SMALL, "--model", "rgcn")
    assert done.exit_code == 2
    assert "model: R-GCN is for graphs of several types" in " ".join(done.stderr.split())
    for trained, other, message in (
        (one, shop, "has nodes of several types, the model was trained on a graph of one"),
        (shop, one, "has one type of nodes, the model was trained on item, user"),
    ):
        assert run("train", "--data", trained, *SMALL, "--save", saved).exit_code == 0
        done = run("infer", "--checkpoint", saved, "--data", other, "--out", out)
        assert done.exit_code == 2
        assert message in " ".join(done.stderr.split())
        saved.unlink()
