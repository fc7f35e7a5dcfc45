"""Training and inference on graph folders, from memory, mapped files and disk."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import hopflow as hf
from hopflow.commands.app import app
from hopflow.storage import DiskColumn, EncodedColumn
from hopflow.train import TrainConfig, Trainer
from hopflow.train.plan import plan_run
from hopflow.train.sampled import Diverged, sampled_accuracy

pytestmark = pytest.mark.cpu_only


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A small graph that can be learned, as a file."""
    folder = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 400)
    src = rng.integers(0, 400, 3000)
    same = rng.random(3000) < 0.8
    by_label = [np.flatnonzero(label == k) for k in range(3)]
    dst = np.where(same, [rng.choice(by_label[label[u]]) for u in src], rng.integers(0, 400, 3000))
    feat = rng.normal(size=(400, 16)) + 2 * np.eye(3, 16)[label]
    np.savez(folder / "g.npz", src=src, dst=dst, feat=feat.astype(np.float32), label=label)
    return folder / "g.npz"


@pytest.fixture(scope="module")
def folders(source):
    made = {}
    for dtype in ("float32", "float16", "int8"):
        made[dtype] = source.with_name(dtype)
        hf.datasets.convert(source, made[dtype], dtypes={"feat": dtype}, undirected=True)
    return made


def trained(folder, **options):
    config = TrainConfig(
        data=str(folder), fanout=(5, 5), epochs=3, batch_size=60, hidden=16, **options
    )
    dataset = hf.datasets.load(folder, memory=config.memory, edges=config.edges)
    trainer = Trainer(config, dataset)
    return trainer, trainer.run()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_the_same_results_wherever_the_features_are(folders, dtype):
    found = []
    for options in (
        {}, {"memory": "1GB"}, {"memory": 9000}, {"memory": 0, "edges": "memory", "num_workers": 2},
    ):  # fmt: skip
        options = {**options, "memory": None if "memory" not in options else str(options["memory"])}
        trainer, result = trained(folders[dtype], **options)
        column = trainer.graph.node_frames()["_N"].column("feat")
        table = column.table if isinstance(column, EncodedColumn) else column
        is_small = options["memory"] in ("9000", "0")
        assert isinstance(table, DiskColumn) == is_small
        found.append((result.history[-1].loss, result.test_accuracy))
        assert result.test_accuracy > 0.6
    assert len(set(found)) == 1


def test_a_folder_is_trained_on_as_it_is_stored(source, tmp_path):
    hf.datasets.convert(source, tmp_path / "g")
    trainer, _ = trained(tmp_path / "g")
    assert trainer.graph.num_edges() == 3000
    assert any("as it is stored" in note for note in trainer.task.notes(trainer.model))
    config = TrainConfig(data=str(source), epochs=1)
    assert Trainer(config, hf.datasets.load(source)).graph.num_edges() > 3000


def test_a_folder_of_a_built_in_name_is_not_taken_for_it(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hf.datasets.convert(source, tmp_path / "arxiv-like")
    dataset = hf.datasets.load("arxiv-like")
    assert not dataset.is_stored
    assert hf.datasets.load(tmp_path / "arxiv-like").is_stored


def test_features_that_stay_are_not_normalized(folders):
    with pytest.raises(ValueError, match=r"normalize_features: .* stays on disk as it is"):
        trained(folders["float16"], normalize_features=True)


def test_sampled_accuracy_over_all_neighbours_is_the_full_one(folders):
    trainer, _ = trained(folders["float32"])
    full = trainer._accuracies()
    config = TrainConfig.from_dict(
        {**trainer.config.to_dict(), "fanout": (-1, -1), "evaluation": "sampled"}
    )
    other = Trainer(config, hf.datasets.load(folders["float32"]))
    other.model.load_state_dict(trainer.model.state_dict())
    assert other._accuracies() == pytest.approx(full)
    with torch.no_grad():
        next(other.model.parameters()).fill_(float("nan"))
    with pytest.raises(Diverged, match="no longer finite"):
        sampled_accuracy(other.task, other.model, "valid", torch.device("cpu"))


def test_sampled_evaluation_of_a_run(folders):
    _, result = trained(folders["float32"], evaluation="sampled", num_workers=1)
    assert result.test_accuracy > 0.4  # of three classes
    assert trained(folders["float32"], evaluation="sampled")[1].history[-1].valid_accuracy == (
        pytest.approx(result.history[-1].valid_accuracy)
    )
    with pytest.raises(ValueError, match="evaluation: expected full or sampled"):
        TrainConfig(evaluation="some")


def test_a_plan_changes_nothing_of_a_run(folders):
    def losses(with_plan):
        config = TrainConfig(
            data=str(folders["float32"]), fanout=(5, 5), epochs=2, batch_size=60, num_workers=1
        )
        torch.manual_seed(5)
        trainer = Trainer(config, hf.datasets.load(folders["float32"]))
        if with_plan:
            plan = plan_run(trainer)
            assert plan.num_batches == trainer.num_batches
        history = trainer.run().history
        return [record.loss for record in history], float(torch.rand(()))

    assert losses(True) == losses(False)


def test_the_commands(folders, tmp_path, monkeypatch):
    run = CliRunner().invoke
    save, out = tmp_path / "model.pt", tmp_path / "p.npy"
    given = [
        "--data",
        str(folders["int8"]),
        "--epochs",
        "2",
        "--fanout",
        "3,3",
        "--batch-size",
        "50",
    ]
    done = run(app, ["train", *given, "--memory", "9kB", "--save", str(save)])
    assert done.exit_code == 0, done.stderr
    assert "plan: 5 batches an epoch" in done.stderr.replace("\n", " ")
    assert "cached" in done.stderr
    # Whoever waits long for batches is told what for.
    for share, is_told in ((0.0, True), (1.1, False)):
        monkeypatch.setattr("hopflow.commands.train._MUCH", share)
        done = run(app, ["train", *given, "--memory", "9kB"])
        assert ("loader, in the last epoch: the model" in done.stderr) == is_told
    # On with other memory, and elsewhere.
    done = run(app, ["train", "--resume", str(save), "--epochs", "3", "--memory", "1GB"])
    assert done.exit_code == 0, done.stderr
    for more in (["--memory", "9kB", "--edges", "memory"], ["--data", str(folders["float32"])]):
        done = run(app, ["infer", "--checkpoint", str(save), "--out", str(out), "--json", *more])
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["test_accuracy"] > 0.5
    done = run(app, ["train", "--data", "mag-like", "--scale", "0.002", "--memory", "1GB"])
    assert done.exit_code == 2
    assert "only a graph folder has them" in done.stderr.replace("\n", " ")


def test_typed_features_are_read_in_pieces(tmp_path):
    dataset = hf.datasets.mag_like(scale=0.002, cache=False)
    graph, labels = dataset[0]
    graph.nodes["paper"].data["feat"] = hf.storage.encode(
        graph.nodes["paper"].data["feat"], "int8-by-row"
    )
    folder = tmp_path / "mag"
    hf.datasets.save_folder(
        graph, folder, labels=labels, splits=dataset.get_idx_split(),
        num_classes=dataset.num_classes,
    )  # fmt: skip
    config = TrainConfig(data=str(folder), model="rgcn", fanout=(3,), epochs=1, batch_size=200)
    results = [
        Trainer(config, hf.datasets.load(folder, memory=memory)).run().test_accuracy
        for memory in (None, "20kB")
    ]
    assert results[0] == results[1]
