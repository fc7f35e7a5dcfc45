"""Training on graphs of several types, from Python."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_train import StopAfter, results

import hopflow as hf
from hopflow.train import TrainConfig, Trainer, load_checkpoint
from hopflow.train.loop import Interrupted
from hopflow.train.task import task_of
from hopflow.train.typed_data import add_reverse_relations, resolve_fanouts

CONFIG = TrainConfig(
    data="mag-like", epochs=3, batch_size=200, hidden=8, heads=2, fanout=(3, 2), lr=0.02
)
BEST = replace(CONFIG, epochs=4, batch_size=1024, hidden=32, heads=4, fanout=(4, 4), lr=0.01)
MODELS = ["sage", "rgcn", "hgt"]


@pytest.fixture(scope="module")
def dataset():
    return hf.datasets.mag_like(scale=0.002, num_classes=5, num_features=12, cache=False)


class Given:
    """A data set of a graph and labels at hand."""

    def __init__(self, graph, labels, split=None):
        self.graph, self.labels = graph, labels
        self.num_classes = max((int(rows.max()) + 1 for rows in labels.values()), default=0)
        self.split = split or {
            part: {ntype: torch.arange(len(rows)) for ntype, rows in labels.items()}
            for part in ("train", "valid", "test")
        }

    def __getitem__(self, index):
        return self.graph, self.labels

    def get_idx_split(self):
        return self.split


def small(**labels):
    """Two types, two relations; labels by type."""
    graph = hf.heterograph(
        {("user", "buys", "item"): ([0, 1, 2], [0, 1, 1]), ("user", "knows", "user"): ([0], [2])},
        {"user": 4, "item": 3},
    )
    return Given(graph, {ntype: torch.tensor(rows)[:, None] for ntype, rows in labels.items()})


@pytest.mark.parametrize("model", MODELS)
def test_all_types_are_worth_five_points_over_citations_alone(model):
    """In fact 10 and more, in these few steps; chance is 1 of 24 classes."""
    dataset = hf.datasets.mag_like(scale=0.02, num_classes=24, cache=False)
    graph, labels = dataset[0]
    citations = Given(hf.edge_type_subgraph(graph, ["cites"]), labels, dataset.get_idx_split())
    citations.num_classes = dataset.num_classes
    config = replace(BEST, model=model)
    whole = Trainer(config, dataset).run()
    part = Trainer(config, citations).run()
    assert whole.history[-1].loss < 0.8 * whole.history[0].loss
    assert whole.test_accuracy > part.test_accuracy + 0.05
    assert part.test_accuracy > 0.1


@pytest.mark.parametrize("model", MODELS)
def test_same_seed_same_history_on_any_number_of_workers(dataset, model):
    config = replace(CONFIG, model=model)
    first = Trainer(config, dataset).run()
    second = Trainer(replace(config, num_workers=2), dataset).run()
    other = Trainer(replace(config, seed=1), dataset).run()
    assert results(first.history) == results(second.history)
    assert results(first.history) != results(other.history)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("batches", [3, 9])
def test_resume_within_an_epoch_equals_a_run_that_never_stopped(dataset, tmp_path, model, batches):
    config, path = replace(CONFIG, model=model), tmp_path / "model.pt"
    whole = Trainer(config, dataset).run()
    trainer = Trainer(config, dataset, save=path)
    assert len(trainer.loader) == 7
    with pytest.raises(Interrupted, match="--resume"):
        trainer.run(StopAfter(trainer, batches))
    resumed = Trainer(config, dataset, resume=load_checkpoint(path)).run()
    assert results(resumed.history) == results(whole.history)


def test_checkpoints_of_other_data_or_settings_are_refused(dataset, tmp_path):
    path = tmp_path / "model.pt"
    Trainer(replace(CONFIG, epochs=1), dataset, save=path).run()
    state = load_checkpoint(path)
    with pytest.raises(ValueError, match="model is 'sage', not 'rgcn'"):
        Trainer(replace(CONFIG, model="rgcn"), dataset, resume=state)
    other = hf.datasets.mag_like(scale=0.003, num_classes=5, num_features=12, cache=False)
    with pytest.raises(ValueError, match=r"data with num_nodes = \{'author': 2269"):
        Trainer(CONFIG, other, resume=state)


def test_parameters_are_those_that_the_target_depends_on(dataset):
    """No relation that leads elsewhere in the last layer; rows of types without features."""
    model = Trainer(replace(CONFIG, model="rgcn"), dataset).model
    assert model.encoder.featured == ("paper",)
    assert model.encoder.learned == ("author", "field_of_study", "institution")
    assert [len(layer.relations) for layer in model.layers] == [7, 4]
    assert model.layers[1].types == ("paper",)


def test_learned_rows_move_by_sparse_gradients(dataset):
    trainer = Trainer(replace(CONFIG, epochs=1), dataset)
    tables = [table.weight for table in trainer.model.encoder.tables]
    before = [table.detach().clone() for table in tables]
    trainer.run()
    assert all(table.grad.is_sparse for table in tables)
    assert not any(torch.equal(a, b) for a, b in zip(before, tables))
    (note,) = trainer.task.notes(trainer.model)
    assert "rows that are learned: 2,269 of author" in note


def test_the_target_is_the_labelled_type_or_what_is_asked_for():
    for labels, wanted, target in (
        ({"item": [0, 1, 0]}, None, "item"),
        ({"item": [0, 1, 0], "user": [1, 0, 1, 0]}, "user", "user"),
    ):
        task = task_of(replace(CONFIG, target_type=wanted), small(**labels))
        assert task.target_type == target
        assert task.num_nodes == len(labels[target])
    with pytest.raises(ValueError, match=r"target_type: 'item', 'user' of mag-like have labels"):
        task_of(CONFIG, small(item=[0, 1, 0], user=[0, 1, 0, 1]))
    with pytest.raises(ValueError, match=r"mag-like with labels, 'item', got 'user'"):
        task_of(replace(CONFIG, target_type="user"), small(item=[0, 1, 0]))
    with pytest.raises(ValueError, match=r"node type of mag-like, 'item', 'user', got 'shop'"):
        task_of(replace(CONFIG, target_type="shop"), small(item=[0, 1, 0]))
    with pytest.raises(ValueError, match="expected labels to train on, got none"):
        task_of(CONFIG, small())


def test_data_that_cannot_be_trained_on():
    data = small(item=[0, 1, 0])
    data.labels["item"] = torch.zeros(3, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match="expected one label a node, got 2 tasks of 'item'"):
        task_of(CONFIG, data)
    data = small(item=[0, 1, 0])
    data.split = {part: {} for part in ("train", "valid", "test")}
    with pytest.raises(ValueError, match="expected training nodes of 'item', got none"):
        task_of(CONFIG, data)


def test_what_is_for_several_types_is_refused_on_one():
    one = hf.datasets.arxiv_like(
        num_nodes=300, num_edges=900, num_features=4, num_classes=3, cache=False
    )
    for change, message in (
        ({"model": "rgcn"}, "model: R-GCN is for graphs of several types, mag-like has one"),
        ({"model": "hgt"}, "model: HGT is for graphs of several types"),
        ({"target_type": "paper"}, "target_type: mag-like has one type, without a name"),
        ({"fanout": ({"cites": 3},)}, "fanout: mag-like has one relation, without a name"),
    ):
        with pytest.raises(ValueError, match=message):
            Trainer(replace(CONFIG, **change), one)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model": "mlp"}, "model: expected one of sage, rgcn, hgt, .*, got 'mlp'"),
        ({"model": "hgt", "heads": 3}, "hidden: expected a multiple of heads = 3, got 8"),
        ({"heads": 0}, "heads"),
        ({"bases": 0}, "bases"),
        ({"scale": 0.0}, "scale"),
        ({"fanout": ({"cites": -2},)}, "fanout: expected -1"),
    ],
)
def test_bad_configs(change, match):
    with pytest.raises(ValueError, match=match):
        replace(CONFIG, **change)


def test_a_config_comes_back_from_its_values():
    config = replace(CONFIG, fanout=(3, {"cites": 2, "*": 0}), model="hgt", target_type="paper")
    assert TrainConfig.from_dict(config.to_dict()) == config


def test_fanouts_by_relation():
    relations = [("a", "r", "b"), ("b", "r", "a"), ("b", "s", "a")]
    found = resolve_fanouts([4, {"a/r/b": 3, "s": -1, "*": 2}], relations)
    assert found == [4, dict(zip(relations, [3, 2, -1]))]
    with pytest.raises(ValueError, match=r"expected relations of a/r/b, b/r/a, s, or \*.*got 'r'"):
        resolve_fanouts([{"r": 3}], relations)
    with pytest.raises(ValueError, match=r"no number for b/r/a, s; \*=0 leaves out all"):
        resolve_fanouts([{"a/r/b": 3}], relations)
    with pytest.raises(ValueError, match="two numbers for 'b/s/a'"):
        resolve_fanouts([{"s": 3, "b/s/a": 3}], relations)


def test_fanouts_by_relation_are_sampled(dataset):
    trainer = Trainer(replace(CONFIG, fanout=({"*": 2}, {"cites": 4, "*": 0})), dataset)
    _, _, blocks = next(iter(trainer.loader))
    counts = {name: blocks[1].num_edges(name) for name in blocks[1].canonical_etypes}
    assert counts.pop(("paper", "cites", "paper")) > 0
    assert not any(counts.values())
    assert blocks[0].num_edges("writes") > 0


@pytest.mark.parametrize("model", MODELS)
def test_batches_without_a_node_of_some_type(dataset, model):
    """Its rows are none: training goes on, and logits are those that full neighbourhoods give."""
    fanout = ({"*": -1}, {"cites": -1, "*": 0})  # the last layer meets papers alone
    config = replace(CONFIG, fanout=fanout, model=model, batch_size=7, epochs=1)
    trainer = Trainer(config, dataset)
    net = trainer.model.eval()
    _, seeds, blocks = next(iter(trainer.loader))
    assert 0 in [blocks[-1].num_src_nodes(ntype) for ntype in blocks[-1].srctypes]
    out = net(blocks, net.encoder.inputs(blocks[0]))
    whole = Trainer(replace(config, batch_size=10_000), dataset)
    _, all_seeds, blocks = next(iter(whole.loader))
    every = net(blocks, net.encoder.inputs(blocks[0]))
    row = {int(seed): i for i, seed in enumerate(all_seeds["paper"])}
    rows = [row[int(seed)] for seed in seeds["paper"]]
    torch.testing.assert_close(out, every[rows])
    assert len(trainer.run().history) == 1


def test_reverse_relations_are_added_once(dataset):
    graph, _ = dataset[0]
    both = add_reverse_relations(graph)
    assert len(both.canonical_etypes) == 8
    for src, name, dst in graph.canonical_etypes:
        u, v = graph.edges(etype=name)
        back = both.edges(etype=(dst, f"rev_{name}", src))
        assert torch.equal(u, back[1])
        assert torch.equal(v, back[0])
    assert add_reverse_relations(both).canonical_etypes == both.canonical_etypes
    assert set(both.nodes["paper"].data) == set(graph.nodes["paper"].data)


def test_a_relation_may_be_its_own_reverse_or_have_one_of_any_name():
    pairs = [0, 1, 2, 2], [1, 0, 2, 0]
    edges = {
        ("a", "likes", "b"): ([0, 1, 1], [1, 0, 2]),
        ("b", "liked_by", "a"): ([2, 0, 1], [1, 1, 0]),
        ("a", "near", "a"): ([0, 1, 2, 1], [1, 0, 1, 2]),
        ("a", "sees", "a"): pairs,
    }
    made = add_reverse_relations(hf.heterograph(edges))
    assert set(made.canonical_etypes) == {*edges, ("a", "rev_sees", "a")}
    edges[("a", "rev_sees", "a")] = ([0, 1, 2, 2], [1, 2, 1, 2])
    with pytest.raises(ValueError, match="is not the reverse of"):
        add_reverse_relations(hf.heterograph(edges))


def test_directed_runs_keep_relations_as_they_are(dataset):
    """Authors, whom nothing leads to then, keep rows in every layer."""
    result = Trainer(replace(CONFIG, undirected=False, fanout=(3, 3, 3)), dataset).run()
    assert len(result.history) == 3


def test_names_may_be_any_text():
    """Such as modules of torch may not have."""
    graph = hf.heterograph(
        {("a.b", "x.y", "a.b"): ([0, 1, 2], [1, 2, 3]), ("keys", "pop", "a.b"): ([0, 1], [1, 0])},
        {"a.b": 4, "keys": 2},
    )
    data = Given(graph, {"a.b": torch.tensor([[0], [1], [0], [1]])})
    for model in MODELS:
        assert len(Trainer(replace(CONFIG, model=model), data).run().history) == 3


def test_the_data_set_stays_as_it_was(dataset):
    graph, _ = dataset[0]
    before = graph.nodes["paper"].data["feat"].clone()
    trainer = Trainer(replace(CONFIG, undirected=False, normalize_features=True), dataset)
    assert torch.equal(graph.nodes["paper"].data["feat"], before)
    assert "label" not in graph.nodes["paper"].data
    sums = trainer.graph.nodes["paper"].data["feat"].abs().sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_models_know_what_data_they_can_be_run_on(dataset):
    task = task_of(CONFIG, dataset)
    sizes = task.sizes()
    task.model(sizes)
    other = {**sizes, "num_nodes": {**sizes["num_nodes"], "author": 7}}
    with pytest.raises(ValueError, match="learned a row for each of 7 nodes of 'author'"):
        task.model(other)
    with pytest.raises(ValueError, match="expected 5 features of 'paper', as in training, got 12"):
        task.model({**sizes, "num_features": {"paper": 5}})
    edges = {k: v for k, v in sizes["num_edges"].items() if k[1] != "cites"}
    with pytest.raises(ValueError, match="expected the relations that the model was trained on"):
        task.model({**sizes, "num_edges": edges})
    with pytest.raises(ValueError, match="the model was trained on a graph of one"):
        task.model({**sizes, "num_nodes": 5})
