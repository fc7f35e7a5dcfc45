"""Each model on graphs of one type: layers, inference, runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from groups import classes, groups
from test_train import StopAfter, results

import hopflow as hf
from hopflow.train import TrainConfig, Trainer, layerwise_inference, load_checkpoint
from hopflow.train.config import AGGREGATORS, ONE_TYPE_MODELS
from hopflow.train.loop import Interrupted
from hopflow.train.models import model_of
from hopflow.train.models.self_edges import with_self_edges

CONFIG = TrainConfig(epochs=3, batch_size=60, hidden=16, fanout=(4, 4), lr=0.02, heads=4)
CHOICES = [(model, None) for model in ONE_TYPE_MODELS if model not in AGGREGATORS]
CHOICES += [(model, one) for model, known in AGGREGATORS.items() for one in known]


def asked(model, aggregator=None, **more):
    heads = {} if model in ("gat", "gatv2") else {"heads": TrainConfig.heads}
    return replace(CONFIG, model=model, aggregator=aggregator, **heads, **more)


@pytest.fixture(scope="module")
def dataset():
    return classes()


@pytest.mark.parametrize(("model", "aggregator"), CHOICES)
@pytest.mark.parametrize("chunk_edges", [1, 300])
def test_layerwise_inference_is_the_whole_graph_at_once(model, aggregator, chunk_edges):
    """Also of nodes without in-edges, and whatever other nodes a chunk has."""
    graph, _ = classes(num_nodes=60, num_edges=200, alone=5)[0]
    torch.manual_seed(0)
    net = model_of(asked(model, aggregator, fanout=(1, 1, 1), dropout=0.5), 8, 3)
    x = graph.ndata["feat"]
    found = layerwise_inference(net, graph, x, chunk_edges=chunk_edges)
    assert net.training
    net.eval()
    torch.testing.assert_close(found, net([graph] * 3, x).detach(), rtol=1e-4, atol=1e-5)
    assert found.shape == (60, 3)
    assert bool(found.isfinite().all())
    assert not torch.equal(found[-1], found[-2])  # without edges, but not without themselves


def test_self_edges_are_there_once_and_come_last():
    graph = hf.graph(([0, 1, 2, 2, 3], [1, 1, 1, 0, 3]), num_nodes=5)
    block = with_self_edges(graph)
    src, dst = block.edges()
    pairs = sorted(zip(src.tolist(), dst.tolist()))
    assert pairs == [(0, 0), (0, 1), (1, 1), (2, 0), (2, 1), (2, 2), (3, 3), (4, 4)]
    for node in range(5):
        assert src[dst == node][-1] == node
    # Of a block sources beyond the destinations have none.
    (block,) = hf.dataloading.MultiLayerFullNeighborSampler(1).sample(graph, [1])[2]
    made = with_self_edges(block)
    assert (made.num_src_nodes(), made.num_dst_nodes(), made.num_edges()) == (3, 1, 3)
    none = with_self_edges(hf.graph(([], []), num_nodes=2))
    assert none.edges()[0].tolist() == [0, 1]
    assert with_self_edges(hf.graph(([], []), num_nodes=0)).num_edges() == 0


def test_gcn_is_the_mean_of_neighbours_and_itself():
    graph, _ = classes(num_nodes=50, num_edges=150, alone=4)[0]
    net = model_of(asked("gcn", fanout=(1,)), 8, 3)
    x, conv = graph.ndata["feat"], net.layers[0]
    src, dst = graph.edges()
    counts = torch.zeros(50, 50).index_put((dst, src), torch.ones(len(src)), accumulate=True)
    dense = counts.fill_diagonal_(1)
    expected = (dense / dense.sum(1, keepdim=True)) @ x @ conv.weight + conv.bias
    torch.testing.assert_close(net([graph], x), expected)


@pytest.mark.parametrize("model", ONE_TYPE_MODELS)
def test_learns_alike_on_any_number_of_workers_and_goes_on(dataset, tmp_path, model):
    config, path = asked(model), tmp_path / "model.pt"
    whole = Trainer(config, dataset).run()
    assert whole.test_accuracy > 0.7
    trainer = Trainer(replace(config, num_workers=2), dataset, save=path)
    with pytest.raises(Interrupted):
        trainer.run(StopAfter(trainer, 6))
    state = load_checkpoint(path)
    assert state["config"]["model"] == model
    resumed = Trainer(config, dataset, resume=state).run()
    assert results(resumed.history) == results(whole.history)
    other = "gin" if model == "gcn" else "gcn"
    with pytest.raises(ValueError, match=f"model is '{model}', not '{other}'"):
        Trainer(asked(other), dataset, resume=state)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model": "gcn", "heads": 2}, r"heads: GCN has none \(gat, gatv2, hgt have\), got 2"),
        ({"model": "gat", "hidden": 10}, "hidden: expected a multiple of heads = 4, got 10"),
        (
            {"model": "gcn", "aggregator": "mean"},
            r"aggregator: expected none, as GCN has no choice",
        ),
        (
            {"model": "gin", "aggregator": "lstm"},
            "aggregator: expected one of sum, mean, max for GIN, got 'lstm'",
        ),
        ({"aggregator": "sum"}, "expected one of mean, gcn, pool, lstm for GraphSAGE, got 'sum'"),
    ],
)
def test_options_of_other_models_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        replace(CONFIG, **change)


def test_options_of_other_graphs_are_refused(dataset):
    with pytest.raises(ValueError, match="bases: they are for rgcn"):
        Trainer(replace(CONFIG, bases=2), dataset)
    several = hf.datasets.mag_like(scale=0.001, num_classes=3, num_features=4, cache=False)
    for change, match in (
        ({"model": "gat"}, "model: GAT is for graphs of one type, mag-like has several; expected"),
        ({"aggregator": "pool"}, "aggregator: of several types it is the mean"),
        ({"sampler": "shadow"}, "sampler: shadow is for graphs of one type, mag-like has several"),
        ({"task": "link"}, "task: link is for graphs of one type"),
        ({"target": "regression"}, "target: of several types labels are classes"),
    ):
        with pytest.raises(ValueError, match=match):
            Trainer(replace(CONFIG, data="mag-like", **change), several)


@pytest.mark.parametrize("model", ONE_TYPE_MODELS)
def test_inputs_of_all_layers_but_the_first_are_dropped_in_training(model):
    config = TrainConfig(model=model, hidden=8, dropout=0.5, fanout=(-1, -1))
    graph, _ = groups()
    one, two = (model_of(replace(config, fanout=(-1,) * n), 8, 4) for n in (1, 2))
    x = graph.ndata["feat"]
    for made, is_dropped in ((one, False), (two, True)):
        blocks = [graph] * len(made.layers)
        exact = made.eval()(blocks, x)
        assert torch.equal(made(blocks, x), exact)
        made.train()
        assert torch.equal(made(blocks, x), exact) != is_dropped
