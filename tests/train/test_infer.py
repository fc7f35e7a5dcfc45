"""`hopflow infer` and what is under it: memory, accuracy, where files go."""

from __future__ import annotations

import json
import stat

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import hopflow as hf
from hopflow.commands.app import app
from hopflow.train import GraphSAGE, TrainConfig, Trainer, inference, layerwise_inference
from hopflow.train.data import accuracy
from hopflow.train.export import check_suffix, check_target

SPLIT = {"train": np.arange(100), "valid": np.arange(100, 200), "test": np.arange(200, 300)}


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *args: runner.invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two classes told apart by their features, a split in a file, and a model of them."""
    folder = tmp_path_factory.mktemp("trained")
    label = np.arange(300) % 2
    label[240:270] = -1  # of the test nodes
    feat = np.stack([label == 0, label == 1], 1).astype(np.float32) * 5
    np.savez(folder / "g.npz", src=np.arange(299), dst=np.arange(1, 300), feat=feat, label=label)
    np.savez(folder / "split.npz", **SPLIT)
    config = TrainConfig(
        data=str(folder / "g.npz"), split=str(folder / "split.npz"), undirected=False, hidden=8,
        fanout=(2, 2), batch_size=50, epochs=15, lr=0.05,
    )  # fmt: skip
    dataset = hf.datasets.load(config.data, split=config.split)
    result = Trainer(config, dataset, save=folder / "model.pt").run()
    return folder, result


def test_nodes_without_a_label_are_neither_right_nor_wrong(run, trained, tmp_path):
    folder, result = trained
    assert result.test_accuracy == 1.0
    done = run("infer", "--checkpoint", folder / "model.pt", "--out", tmp_path / "p.npy", "--json")
    assert json.loads(done.stdout)["test_accuracy"] == 1.0
    logits = torch.eye(3)
    labels = torch.tensor([0, -1, 1])
    assert accuracy(logits, labels, torch.tensor([0, 1, 2])) == 0.5
    assert np.isnan(accuracy(logits, labels, torch.tensor([1])))


def test_the_split_of_the_training_data_is_not_asked_of_other_data(run, trained, tmp_path):
    folder, _ = trained
    other, out = tmp_path / "other.npz", tmp_path / "p.npy"
    np.savez(other, src=[0, 1], dst=[1, 2], feat=np.zeros((5, 2), np.float32))
    done = run("infer", "--checkpoint", folder / "model.pt", "--data", other, "--out", out)
    assert done.exit_code == 0, done.output
    assert np.load(out).shape == (5,)


def test_predictions_go_into_new_folders_and_bad_targets_are_told_first(run, trained, tmp_path):
    folder, _ = trained
    out = tmp_path / "new" / "p.csv"
    assert run("infer", "--checkpoint", folder / "model.pt", "--out", out).exit_code == 0
    assert out.read_text().startswith("node,prediction")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(ValueError, match="got a folder"):
        check_target(tmp_path / "folder.npy")
    with pytest.raises(ValueError, match="cannot make its folder"):
        check_target(out / "below" / "a_file.npy")


def test_parquet_without_pyarrow_is_told_first(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'hopflow\[parquet\]'"):
        check_suffix(tmp_path / "p.parquet")


def test_wide_rows_make_small_chunks(small_graph, monkeypatch):
    model = GraphSAGE(5, 8, 3, num_layers=2, dropout=0.0)
    x = small_graph.ndata["feat"]
    before = torch.get_rng_state()
    whole = layerwise_inference(model, small_graph, x)
    assert torch.equal(torch.get_rng_state(), before)
    monkeypatch.setattr(inference, "_CHUNK_ELEMENTS", 40)
    rows = []
    take = inference.take_rows
    monkeypatch.setattr(
        inference, "take_rows", lambda name, x, ids: rows.append(len(ids)) or take(name, x, ids)
    )
    torch.testing.assert_close(layerwise_inference(model, small_graph, x), whole)
    # 40 elements are 8 rows of 5 or 5 rows of 8; a node with more in-edges comes alone.
    assert max(rows) <= max(8, int(small_graph.in_degrees().max()) + 1)


def test_scratch_files_are_apart_and_gone_afterwards(small_graph, tmp_path):
    mine = tmp_path / "layer-0.f32"
    mine.write_text("the user's own")
    model = GraphSAGE(5, 8, 3, num_layers=3, dropout=0.0)
    layerwise_inference(model, small_graph, small_graph.ndata["feat"], scratch=tmp_path)
    assert mine.read_text() == "the user's own"
    assert list(tmp_path.iterdir()) == [mine]
    with pytest.raises(ValueError, match="scratch: expected a folder"):
        layerwise_inference(
            model, small_graph, small_graph.ndata["feat"], scratch=tmp_path / "none"
        )


def test_checkpoints_have_the_mode_of_other_files(trained, tmp_path):
    folder, _ = trained
    (tmp_path / "file").touch()
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (folder / "model.pt", tmp_path / "file")]
    assert modes[0] == modes[1]
