"""Runs whose batches other samplers make."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from groups import classes
from test_train import StopAfter, results

import hopflow as hf
from hopflow.train import TrainConfig, Trainer, load_checkpoint
from hopflow.train.config import SAMPLERS
from hopflow.train.loop import Interrupted
from hopflow.train.samplers import opened
from hopflow.train.task import task_of

CONFIG = TrainConfig(epochs=4, batch_size=50, hidden=16, fanout=(4, 4), lr=0.02)


@pytest.fixture(scope="module")
def dataset():
    return classes()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_learns_alike_on_any_number_of_workers_and_goes_on(dataset, tmp_path, sampler):
    config, path = replace(CONFIG, sampler=sampler), tmp_path / "model.pt"
    whole = Trainer(config, dataset).run()
    assert whole.test_accuracy > 0.7
    assert whole.history[-1].loss < whole.history[0].loss
    trainer = Trainer(replace(config, num_workers=2), dataset, save=path)
    with pytest.raises(Interrupted):
        trainer.run(StopAfter(trainer, 6))
    resumed = Trainer(config, dataset, resume=load_checkpoint(path)).run()
    assert results(resumed.history) == results(whole.history)
    other = Trainer(replace(config, seed=1), dataset).run()
    assert results(other.history) != results(whole.history)


@pytest.mark.parametrize("sampler", ["shadow", "ppr", "cluster", "saint"])
def test_training_nodes_of_a_subgraph_are_learned_from(dataset, sampler):
    config = replace(CONFIG, sampler=sampler)
    trainer = Trainer(config, dataset)
    labels, train = dataset.labels[:, 0], set(dataset.split["train"].tolist())
    seen = []
    for batch in trainer.loader:
        blocks, rows = opened(config, batch)
        assert len(blocks) == 2
        assert blocks[0] is blocks[1]
        ids = blocks[0].ndata[hf.NID]
        step = trainer.task.read(trainer.model, batch)
        assert torch.equal(step.target, labels[ids[rows]])
        assert step.count == len(rows)
        own = set(ids[rows].tolist())
        if sampler in ("shadow", "ppr"):
            assert own == set(batch[1].tolist())
        else:
            assert own == train & set(ids.tolist())
        seen += ids[rows].tolist()
    if sampler != "saint":  # each node once an epoch
        assert sorted(seen) == sorted(train)


def test_as_many_batches_as_the_batch_size_says(dataset):
    train = len(dataset.split["train"])
    for options, num_batches in (
        ({"sampler": "cluster"}, round(train / 50)),
        ({"sampler": "cluster", "clusters": 6}, 3),  # two of six
        ({"sampler": "cluster", "batch_size": 1000}, 1),
        ({"sampler": "saint"}, -(-train // 50)),
    ):
        trainer = Trainer(replace(CONFIG, **options), dataset)
        assert trainer.num_batches == len(trainer.loader) == num_batches
    sampler = Trainer(replace(CONFIG, sampler="saint"), dataset).loader.graph_sampler
    assert (sampler.mode, sampler.budget) == ("walk", (34, 2))
    for mode, given, budget in (("node", None, 100), ("edge", None, 50), ("node", (30,), 30)):
        config = replace(CONFIG, sampler="saint", saint_mode=mode, budget=given, epochs=1)
        trainer = Trainer(config, dataset)
        assert trainer.loader.graph_sampler.budget == (budget,)
        assert len(trainer.run().history) == 1


def test_a_batch_without_training_nodes_changes_nothing(dataset):
    one = {**dataset.split, "train": dataset.split["train"][:1]}
    few = type(dataset)(dataset.graph, dataset.labels, one, dataset.num_classes)
    config = replace(CONFIG, sampler="cluster", clusters=200, batch_size=1, epochs=1)
    trainer = Trainer(config, few)
    trainer.loader.batch_size = 20
    trainer.num_batches = 10
    before = {k: x.clone() for k, x in trainer.model.state_dict().items()}
    history = trainer.run().history
    assert history[0].train_accuracy in (0.0, 1.0)
    assert any(not torch.equal(before[k], x) for k, x in trainer.model.state_dict().items())
    state = trainer.optimizers[0].state_dict()["state"]
    assert {int(own["step"]) for own in state.values()} == {1}  # of ten batches


def test_shadow_has_layers_of_its_own_and_its_own_evaluation(dataset):
    config = replace(CONFIG, sampler="shadow", fanout=(5,), layers=3)
    trainer = Trainer(config, dataset)
    assert len(trainer.model.layers) == 3
    assert trainer.run().test_accuracy > 0.7
    sampled = Trainer(replace(config, evaluation="sampled"), dataset).run()
    assert sampled.test_accuracy > 0.7
    again = Trainer(replace(config, evaluation="sampled", num_workers=2), dataset).run()
    assert results(again.history) == results(sampled.history)


def test_ppr_takes_its_numbers_and_any_number_of_layers(dataset):
    plain = Trainer(replace(CONFIG, sampler="ppr"), dataset).loader.graph_sampler
    assert (plain.num_neighbors, plain.alpha, plain.epsilon) == (32, 0.15, 1e-4)
    config = replace(
        CONFIG, sampler="ppr", layers=3, ppr_neighbors=6, ppr_alpha=0.3, ppr_epsilon=1e-3
    )
    trainer = Trainer(config, dataset)
    sampler = trainer.loader.graph_sampler
    assert (sampler.num_neighbors, sampler.alpha, sampler.epsilon) == (6, 0.3, 1e-3)
    assert len(trainer.model.layers) == 3
    assert Trainer(replace(config, evaluation="sampled"), dataset).run().test_accuracy > 0.7


@pytest.mark.parametrize("sampler", ["neighbor", "labor"])
def test_sampled_evaluation_over_all_neighbours_is_the_full_one(dataset, sampler):
    config = replace(CONFIG, sampler=sampler, fanout=(-1, -1), dropout=0.9, epochs=1)
    trainer = Trainer(config, dataset)
    trainer.run()
    trainer.model.train()
    task = task_of(replace(config, evaluation="sampled", batch_size=7), dataset)
    found, full = (one.evaluate(trainer.model) for one in (task, trainer.task))
    assert found == pytest.approx(full, abs=0.011)  # a node of the hundred, where two classes tie


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {"sampler": "some"},
            "sampler: expected one of neighbor, labor, shadow, ppr, cluster",
        ),
        ({"clusters": 5}, "clusters: expected none with sampler neighbor; it is for cluster"),
        ({"budget": (5,)}, "budget: expected none with sampler neighbor; it is for saint"),
        ({"sampler": "cluster", "saint_mode": "node"}, "saint_mode: expected none with sampler"),
        ({"sampler": "cluster", "clusters": 0}, "clusters: expected at least 1, got 0"),
        (
            {"sampler": "saint", "saint_mode": "tree"},
            "saint_mode: expected one of walk, node, edge",
        ),
        ({"sampler": "saint", "budget": (5,)}, r"budget: expected two numbers >= 1 \(roots, steps"),
        (
            {"sampler": "saint", "saint_mode": "node", "budget": (5, 2)},
            "budget: expected one number >= 1 for saint_mode node",
        ),
        ({"ppr_alpha": 0.2}, "ppr_alpha: expected none with sampler neighbor; it is for ppr"),
        ({"sampler": "ppr", "ppr_neighbors": 0}, "ppr_neighbors: expected at least 1, got 0"),
        ({"sampler": "ppr", "ppr_alpha": 0.0}, "ppr_alpha: expected a number from 1e-06 to 1"),
        ({"sampler": "ppr", "ppr_epsilon": 0.0}, "ppr_epsilon: expected a finite number of at"),
        ({"layers": 3}, "layers: expected as many as fanouts, 2, for sampler neighbor, got 3"),
        (
            {"sampler": "saint", "evaluation": "sampled"},
            "evaluation: expected full with sampler saint, whose subgraphs are of no given nodes",
        ),
    ],
)
def test_options_of_other_samplers_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        replace(CONFIG, **change)


def test_more_clusters_than_nodes_are_refused(dataset):
    with pytest.raises(ValueError, match=r"clusters: expected at most 400 for .*, got 500"):
        Trainer(replace(CONFIG, sampler="cluster", clusters=500), dataset)


def test_more_draws_than_a_graph_can_use_are_refused(dataset):
    for mode, budget, draws in (
        ("walk", (20_001, 2), "40,000 roots times steps"), ("node", (40_001,), "40,000 draws"),
        ("edge", (10**23,), "40,000 draws"),
    ):  # fmt: skip
        config = replace(CONFIG, sampler="saint", saint_mode=mode, budget=budget)
        with pytest.raises(ValueError, match=f"budget: expected at most {draws} for .*, 100 for"):
            Trainer(config, dataset)
    # A batch size of any height is a batch of all training nodes, not of as many draws.
    config = replace(CONFIG, sampler="saint", batch_size=10**15)
    trainer = Trainer(config, dataset)
    assert trainer.loader.graph_sampler.budget == (-(-10 * 400 // 3), 2)
    assert trainer.num_batches == 1


def refused(rank):
    with pytest.raises(ValueError, match="saint draws subgraphs of no given nodes, which several"):
        Trainer(replace(CONFIG, sampler="saint"), classes())
    history = Trainer(replace(CONFIG, sampler="shadow", epochs=2), classes()).run().history
    return results(history)


def test_several_ranks_share_out_seeds_alone(ranks):
    first, second = ranks.run(refused, num=2)
    assert first == second
