"""What labels may be: losses and scores against plain ones, detection, and runs."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from groups import Given, classes, labels_of_groups, numbers_of_groups
from test_train import StopAfter, results
from torch.nn import functional

import hopflow as hf
from hopflow.train import TrainConfig, Trainer, load_checkpoint
from hopflow.train.loop import Interrupted
from hopflow.train.targets import TARGETS, roc_auc, target_of

CONFIG = TrainConfig(data="mine", epochs=5, batch_size=50, hidden=16, fanout=(4, 4), lr=0.02)
NAN = float("nan")


@pytest.mark.parametrize("ties", [False, True])
def test_roc_auc_is_the_share_of_pairs_in_order(ties):
    torch.manual_seed(0)
    scores = torch.randint(5, (60,)).float() if ties else torch.randn(60)
    labels = torch.rand(60) < 0.3
    pairs = scores[labels][:, None] - scores[~labels][None]
    expected = float(((pairs > 0).double() + (pairs == 0).double() / 2).mean())
    assert roc_auc(scores, labels) == pytest.approx(expected, abs=1e-12)
    assert math.isnan(roc_auc(scores, torch.ones(60, dtype=torch.bool)))
    sklearn = pytest.importorskip("sklearn.metrics")
    assert roc_auc(scores, labels) == pytest.approx(sklearn.roc_auc_score(labels, scores))


def test_scores_of_several_labels_are_sklearns():
    sklearn = pytest.importorskip("sklearn.metrics")
    torch.manual_seed(0)
    out, labels = torch.randn(50, 4), (torch.rand(50, 4) < 0.4).float()
    found = TARGETS["multilabel"].scores(out, labels)
    assert found["micro_f1"] == pytest.approx(sklearn.f1_score(labels, out > 0, average="micro"))
    assert found["roc_auc"] == pytest.approx(sklearn.roc_auc_score(labels, out, average="macro"))
    # What is not known counts for nothing, nor does a label that all have.
    more = torch.cat([labels, torch.ones(50, 1)], 1)
    more[7:9, 0] = NAN
    known = ~more.isnan()
    wide = torch.cat([out, torch.randn(50, 1)], 1)
    found = TARGETS["multilabel"].scores(wide, more)
    areas = [sklearn.roc_auc_score(more[known[:, i], i], out[known[:, i], i]) for i in range(4)]
    assert found["roc_auc"] == pytest.approx(sum(areas) / 4)
    expected = sklearn.f1_score(more[known], wide[known] > 0)
    assert found["micro_f1"] == pytest.approx(expected)
    loss = TARGETS["multilabel"].loss(wide, more)
    expected = functional.binary_cross_entropy_with_logits(wide[known], more[known])
    torch.testing.assert_close(loss, expected)
    assert math.isnan(TARGETS["multilabel"].scores(out[:0], labels[:0])["roc_auc"])


def test_scores_of_numbers_are_numpys():
    torch.manual_seed(0)
    out, labels = torch.randn(50, 1), torch.randn(50, 1)
    labels[3] = NAN
    found = TARGETS["regression"].scores(out, labels)
    keep = ~labels[:, 0].isnan()
    y, p = labels[keep, 0].double().numpy(), out[keep, 0].double().numpy()
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((p - y) ** 2)))
    assert found["mae"] == pytest.approx(np.mean(abs(p - y)))
    assert found["r2"] == pytest.approx(1 - np.sum((p - y) ** 2) / np.sum((y - y.mean()) ** 2))
    target = TARGETS["regression"]
    sums = np.add(target.sums(out[:20], labels[:20]), target.sums(out[20:], labels[20:]))
    assert target.training_scores(sums.tolist(), 50)["rmse"] == pytest.approx(found["rmse"])
    assert math.isnan(target.scores(out[:0], labels[:0])["rmse"])
    assert math.isnan(target.scores(out[:2], torch.ones(2, 1))["r2"])  # no variance


@pytest.mark.parametrize(
    ("labels", "wanted", "name"),
    [
        ([0, 2, 1], None, "classes"),
        ([[0], [2], [-1]], None, "classes"),
        ([True, False, True], None, "classes"),
        ([[True, False]], None, "multilabel"),
        ([[0, 1], [-1, 1]], None, "multilabel"),
        ([[0.0, 1.0], [NAN, 1.0]], None, "multilabel"),
        ([0.5, 1.0], None, "regression"),
        ([[0.0], [1.0]], None, "regression"),
        ([[0.5, 1.0]], None, "regression"),
        ([0, 1, -1], "multilabel", "multilabel"),
        ([3, 7, -1], "regression", "regression"),
        ([[3, 7], [4, 0]], "regression", "regression"),
    ],
)
def test_what_labels_are(labels, wanted, name):
    assert target_of("mine", torch.tensor(labels), wanted).name == name


def test_labels_that_are_none_of_these():
    with pytest.raises(ValueError, match="several of 0 and 1, got 2 columns with classes up to 4"):
        target_of("mine", torch.tensor([[0, 4]]), None)
    with pytest.raises(ValueError, match="one column of integers for classes, mine has 2 columns"):
        target_of("mine", torch.tensor([[0, 1]]), "classes")
    with pytest.raises(ValueError, match="integers for classes, mine has float32"):
        target_of("mine", torch.tensor([0.5]), "classes")
    with pytest.raises(ValueError, match=r"expected 0, 1 or none \(-1, NaN\) for multilabel"):
        target_of("mine", torch.tensor([0, 2]), "multilabel")
    with pytest.raises(ValueError, match=r"expected labels \[N\] or \[N, C\], got \[1, 1, 1\]"):
        target_of("mine", torch.zeros(1, 1, 1), None)
    with pytest.raises(ValueError, match="target: expected one of classes, multilabel, regression"):
        replace(CONFIG, target="number")


def test_missing_labels_as_numbers():
    whole = TARGETS["regression"].labels(torch.tensor([3, -1]))
    assert whole[0] == 3
    assert whole.isnan().tolist() == [[False], [True]]
    assert TARGETS["multilabel"].labels(torch.tensor([[1, -1]])).isnan().tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("make", "target", "metric", "least"),
    [
        (labels_of_groups, "multilabel", "roc_auc", 0.85),  # by chance 0.5
        (numbers_of_groups, "regression", "r2", 0.6),  # by chance 0
    ],
)
def test_learns_alike_on_any_number_of_workers_and_goes_on(
    tmp_path, make, target, metric, least
):  # fmt: skip
    dataset, path = make(), tmp_path / "model.pt"
    trainer = Trainer(CONFIG, dataset)
    assert trainer.task.target.name == target
    whole = trainer.run()
    assert whole.scores[f"test_{metric}"] > least
    assert math.isnan(whole.test_accuracy)
    first = trainer.task.metrics[0]
    values = [record.score("valid", first.key) for record in whole.history]
    best = min(values) if first.is_error else max(values)
    assert whole.scores[f"valid_{first.key}"] == best
    assert whole.best_epoch == values.index(best) + 1
    trainer = Trainer(replace(CONFIG, num_workers=2), dataset, save=path)
    with pytest.raises(Interrupted):
        trainer.run(StopAfter(trainer, 6))
    state = load_checkpoint(path)
    assert state["target"] == target
    resumed = Trainer(CONFIG, dataset, resume=state).run()
    assert results(resumed.history) == results(whole.history)
    sampled = Trainer(replace(CONFIG, evaluation="sampled"), dataset).run()
    assert sampled.scores[f"test_{metric}"] > least - 0.1
    for sampler in ("cluster", "shadow"):
        found = Trainer(replace(CONFIG, sampler=sampler), dataset).run()
        assert found.scores[f"test_{metric}"] > least - 0.1


def test_numbers_are_learned_whatever_their_unit():
    """Errors are in the labels' own: a thousand times them, a thousand times the errors."""
    dataset = numbers_of_groups()
    large = Given(dataset.graph, dataset.labels * 1000, dataset.split)
    one, other = (Trainer(CONFIG, data).run() for data in (dataset, large))
    assert other.scores["test_rmse"] == pytest.approx(1000 * one.scores["test_rmse"], rel=0.02)
    assert other.scores["test_r2"] == pytest.approx(one.scores["test_r2"], abs=0.02)
    still = Given(dataset.graph, torch.full_like(dataset.labels, 7), dataset.split)
    assert Trainer(CONFIG, still).run().scores["test_rmse"] < 7


def test_labels_that_are_missing_are_left_out():
    dataset = labels_of_groups()
    given = dataset.labels.float()
    given[dataset.split["train"][::3], 0] = NAN
    given[dataset.split["test"][::2]] = NAN
    result = Trainer(CONFIG, Given(dataset.graph, given, dataset.split)).run()
    assert result.scores["test_roc_auc"] > 0.8
    assert math.isfinite(result.history[-1].loss)


def test_classes_may_be_predicted_as_numbers():
    dataset = classes()
    result = Trainer(replace(CONFIG, target="regression"), dataset).run()
    assert set(result.scores) == {
        f"{p}_{m}" for p in ("valid", "test") for m in ("rmse", "mae", "r2")
    }
    assert result.scores["test_r2"] > 0.3


def test_records_come_back_from_their_values():
    record = Trainer(replace(CONFIG, epochs=1), classes()).run().history[0]
    values = record.to_dict()
    assert list(values) == [
        "epoch", "loss", "train_accuracy", "valid_accuracy", "test_accuracy", "seconds"
    ]  # fmt: skip
    assert type(record).from_dict(json.loads(json.dumps(values))) == record


def test_files_of_numbers(tmp_path):
    numbers = np.array([0.5, -3.0, NAN, 2.0])
    np.savez(tmp_path / "g.npz", src=[0, 1], dst=[1, 2], feat=np.eye(4), label=numbers)
    dataset = hf.datasets.load(tmp_path / "g.npz")
    labels = dataset[0][1]
    assert labels.dtype == torch.float32
    assert labels.shape == (4, 1)
    assert dataset.num_classes == 0
    assert sorted(torch.cat([*dataset.get_idx_split().values()]).tolist()) == [0, 1, 3]
    whole = np.array([0.0, 1.0, NAN, 2.0])  # classes, as ogb stores them
    np.savez(tmp_path / "w.npz", src=[0, 1], dst=[1, 2], feat=np.eye(4), label=whole)
    assert hf.datasets.load(tmp_path / "w.npz")[0][1][:, 0].tolist() == [0, 1, -1, 2]
    np.savez(tmp_path / "i.npz", src=[0, 1], dst=[1, 2], label=[0.5, np.inf, 0, 1])
    with pytest.raises(
        ValueError, match=r"label\): expected finite numbers, or NaN for none, got inf"
    ):
        hf.datasets.load(tmp_path / "i.npz")
    bare = {"train_idx": [2], "valid_idx": [0], "test_idx": [1]}
    np.savez(tmp_path / "b.npz", src=[0, 1], dst=[1, 2], label=numbers, **bare)
    with pytest.raises(ValueError, match="1 training nodes have no label"):
        hf.datasets.load(tmp_path / "b.npz")


def with_label(dataset, label, count=5, num_classes=4):
    """The data set with another label of the first training nodes."""
    labels = dataset.labels.clone()
    labels[dataset.split["train"][:count]] = label
    return Given(dataset.graph, labels, dataset.split, num_classes)


@pytest.mark.parametrize("sampler", ["neighbor", "saint"])
def test_training_nodes_have_labels_that_can_be_learned(sampler):
    config = replace(CONFIG, sampler=sampler)
    of_classes, numbers = classes(), numbers_of_groups()
    first = int(of_classes.split["train"][0])
    for dataset, expected in (
        (with_label(of_classes, -1), f"5 training nodes have no label, the first is node {first}"),
        (with_label(of_classes, 7), "5 training nodes have no class below 4, the first is"),
        (with_label(of_classes, 0, num_classes=10**9), "expected classes that are numbered from 0"),
        (with_label(of_classes, 0, num_classes=0), "200 training nodes have no class below 0"),
        (with_label(numbers, NAN), f"5 training nodes have no label, the first is node {first}"),
        (with_label(numbers, -math.inf), "5 training nodes have a label that is infinite"),
    ):
        with pytest.raises(ValueError, match=f"mine: {expected}"):
            Trainer(config, dataset)


def test_splits_are_ids_or_masks_of_all_parts():
    dataset = classes()
    split, none = dataset.split, torch.zeros(400, dtype=torch.bool)
    masks = {part: none.index_fill(0, ids, True) for part, ids in split.items()}
    given = Given(dataset.graph, dataset.labels, masks, 4)
    ordered = {part: ids.sort().values for part, ids in split.items()}
    same = Given(dataset.graph, dataset.labels.int(), ordered, 4)
    config = replace(CONFIG, epochs=1)
    found = [results(Trainer(config, one).run().history) for one in (given, same)]
    assert found[0] == found[1]
    for change, error, match in (
        ({"valid": torch.tensor([400])}, IndexError, r"split\['valid'\]\[0\]"),
        ({"test": torch.rand(4)}, TypeError, r"split\['test'\]: expected integer ids, got float"),
        ({"train": split["train"][:0]}, ValueError, "mine: expected training nodes, got none"),
    ):
        with pytest.raises(error, match=match):
            Trainer(config, Given(dataset.graph, dataset.labels, {**split, **change}, 4))
    del masks["valid"]
    with pytest.raises(ValueError, match="train, valid, test, got none called valid"):
        Trainer(config, given)


@pytest.mark.parametrize("options", [{}, {"fanout": (0,)}, {"task": "link"}])
def test_features_that_are_not_finite_are_named(options):
    dataset = classes()
    graph, node = dataset.graph.local_var(), int(dataset.split["test"][0])
    feat = graph.ndata["feat"].clone()
    feat[node, 3] = NAN
    graph.ndata["feat"] = feat
    given = Given(graph, dataset.labels, dataset.split, 4)
    with pytest.raises(RuntimeError, match=f"; the features of node {node} are not all finite"):
        Trainer(replace(CONFIG, **options), given).run()
    for wrong, shape in ((feat[:, 0], r"\[400\]"), (feat[:, :0], r"\[400, 0\]")):
        graph.ndata["feat"] = wrong
        with pytest.raises(ValueError, match=rf"expected features \[N, D\].*got {shape}"):
            Trainer(replace(CONFIG, **options), given)
