"""Predicting links: which edges are held out, what batches are of, what is reported, and runs."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain

import pytest
import torch
from groups import Given, classes, groups
from test_train import StopAfter, results

import hopflow as hf
from hopflow.train import TrainConfig, Trainer, load_checkpoint
from hopflow.train import link_data as links
from hopflow.train.link_data import HeldOut, prepare_links
from hopflow.train.link_task import link_scores
from hopflow.train.loop import Interrupted
from hopflow.train.task import task_of

CONFIG = TrainConfig(
    data="mine", task="link", epochs=3, batch_size=200, hidden=16, fanout=(5,), lr=0.02
)


@pytest.fixture(scope="module")
def dataset():
    return Given(groups()[0], None, None)


def pairs_of(src, dst, directed):
    found = zip(src.tolist(), dst.tolist())
    return {(u, v) if directed else (min(u, v), max(u, v)) for u, v in found if u != v}


@pytest.mark.parametrize("undirected", [True, False])
def test_edges_are_split_once_and_alike(dataset, undirected):
    config = replace(CONFIG, undirected=undirected)
    data = prepare_links(config, dataset)
    graph, count = data.graph, len(data.seeds)
    src, dst = graph.edges()
    parts = [pairs_of(src[:count], dst[:count], not undirected)]
    parts += [pairs_of(held.src, held.dst, not undirected) for held in data.held_out.values()]
    everything = pairs_of(*dataset.graph.edges(), not undirected)
    assert set.union(*parts) == everything
    assert sum(map(len, parts)) == len(everything)
    for part in parts[1:]:  # one more where an edge and its reverse are the last
        assert len(part) - int(0.1 * len(everything)) in ((0,) if undirected else (0, 1))
    # The reverse of every edge, if it is there.
    there = {pair: i for i, pair in enumerate(zip(src.tolist(), dst.tolist()))}
    expected = [there.get((v, u), -1) for u, v in zip(src.tolist(), dst.tolist())]
    assert data.reverse.tolist() == expected
    assert graph.num_edges() == (2 * count if undirected else count)
    other = prepare_links(replace(config, seed=5), dataset)  # a split is not of a run's seed
    assert torch.equal(other.held_out["test"].others, data.held_out["test"].others)
    assert torch.equal(other.graph.edges()[0], src)


def test_directed_parts_do_not_share_what_joins_two_nodes(dataset):
    both = hf.add_reverse_edges(dataset.graph)  # scores are the same either way round
    data = prepare_links(replace(CONFIG, undirected=False), Given(both, None, None))
    edges = [data.graph.edges(), *((held.src, held.dst) for held in data.held_out.values())]
    parts = [pairs_of(*ends, True) for ends in edges]
    assert set.union(*parts) == pairs_of(*both.edges(), True)
    joined = [pairs_of(*ends, False) for ends in edges]
    assert not any(joined[i] & joined[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    held = int(0.1 * sum(map(len, parts)))
    assert all(len(part) in (held, held + 1) for part in parts[1:])
    for one in data.held_out.values():
        there = set(zip(one.src.tolist(), one.dst.tolist()))
        assert all((v, u) in there for u, v in there)
    lonely = hf.graph((torch.arange(30), torch.arange(1, 31)), num_nodes=31)
    lonely.ndata["feat"] = torch.ones(31, 1)
    found = prepare_links(replace(CONFIG, undirected=False), Given(lonely, None, None))
    assert [len(held.src) for held in found.held_out.values()] == [3, 3]


@pytest.mark.parametrize("undirected", [True, False])
def test_what_an_edge_is_ranked_among_is_no_edge(dataset, undirected):
    data = prepare_links(replace(CONFIG, undirected=undirected), dataset)
    everything = pairs_of(*dataset.graph.edges(), not undirected)
    for held in data.held_out.values():
        assert held.others.shape == (len(held.src), links.NUM_NEGATIVES)
        assert 0 <= int(held.others.min()) <= int(held.others.max()) < 400
        for u, row, counts in zip(held.src.tolist(), held.others.tolist(), held.counts.tolist()):
            for v, is_counted in zip(row, counts):
                pair = (u, v) if not undirected else (min(u, v), max(u, v))
                assert is_counted == (u != v and pair not in everything)
    valid, test = (data.held_out[part].others for part in ("valid", "test"))
    assert not torch.equal(valid, test)


@pytest.mark.parametrize("undirected", [True, False])
@pytest.mark.parametrize("sampler", ["neighbor", "shadow", "ppr"])
def test_blocks_have_no_edge_of_the_batch(dataset, undirected, sampler):
    config = replace(CONFIG, undirected=undirected, sampler=sampler, negatives=3)
    trainer = Trainer(config, dataset)
    seen = []
    for batch in trainer.loader:
        _, positive, negative, made = batch
        graph = made[-1] if sampler == "neighbor" else made
        eids = positive.edata[hf.EID]
        reverse = trainer.task.data.reverse[eids]
        assert not set(graph.edata[hf.EID].tolist()) & {*eids.tolist(), *reverse.tolist()}
        assert negative.num_edges() == 3 * positive.num_edges()
        nodes = positive.ndata[hf.NID]
        src, dst = positive.edges()
        u, v = trainer.graph.find_edges(eids)
        assert torch.equal(nodes[src], u)
        assert torch.equal(nodes[dst], v)
        known = graph.dstdata if sampler == "neighbor" else graph.ndata
        assert torch.equal(known[hf.NID][: len(nodes)], nodes)
        seen += eids.tolist()
    assert sorted(seen) == trainer.task.data.seeds.tolist()


def test_scores_are_those_of_a_plain_loop():
    torch.manual_seed(0)
    rows = torch.randint(-2, 3, (30, 3)).float()  # with ties
    n, k = 17, 12
    src, dst, others = torch.randint(30, (n,)), torch.randint(30, (n,)), torch.randint(30, (n, k))
    counts = torch.rand(n, k) < 0.8
    reciprocal, hits, right, total = [], [], 0.0, 0
    positives = [float(rows[u] @ rows[v]) for u, v in zip(src, dst)]
    negatives = [
        [float(rows[u] @ rows[v]) for v, c in zip(row, counted) if c]
        for u, row, counted in zip(src, others, counts)
    ]
    for own, among in zip(positives, negatives):
        rank = 1 + sum(x > own for x in among) + sum(x == own for x in among) / 2
        reciprocal.append(1 / rank)
        hits.append(rank <= 10)
    for own in positives:
        for x in chain.from_iterable(negatives):
            right, total = right + (own > x) + (own == x) / 2, total + 1
    found = link_scores(rows, HeldOut(src, dst, others, counts))
    assert found["mrr"] == pytest.approx(sum(reciprocal) / n)
    assert found["hits@10"] == pytest.approx(sum(hits) / n)
    assert found["roc_auc"] == pytest.approx(right / total)


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({}, 0.7), ({"sampler": "labor", "model": "gcn"}, 0.7), ({"negatives": 4}, 0.65),
        ({"sampler": "shadow", "layers": 2}, 0.65), ({"undirected": False}, 0.65),
    ],
)  # fmt: skip
def test_learns_alike_on_any_number_of_workers_and_goes_on(dataset, tmp_path, options, least):
    config, path = replace(CONFIG, **options), tmp_path / "model.pt"
    whole = Trainer(config, dataset).run()
    assert whole.scores["test_roc_auc"] > least  # by chance 0.5
    assert whole.scores["test_mrr"] > 0.08  # by chance 0.052, the mean of 1 / k up to 101
    assert whole.scores["valid_mrr"] == max(r.score("valid", "mrr") for r in whole.history)
    trainer = Trainer(replace(config, num_workers=2), dataset, save=path)
    with pytest.raises(Interrupted):
        trainer.run(StopAfter(trainer, len(trainer.loader) + 2))
    resumed = Trainer(config, dataset, resume=load_checkpoint(path)).run()
    assert results(resumed.history) == results(whole.history)


def test_sampled_evaluation_over_all_neighbours_is_the_full_one(dataset):
    # Of two layers, for dropout, which evaluation is without, is on the input of the second.
    config = replace(CONFIG, fanout=(-1, -1), dropout=0.9, epochs=1)
    trainer = Trainer(config, dataset)
    trainer.run()
    trainer.model.train()
    task = task_of(replace(config, evaluation="sampled", batch_size=77), dataset)
    found, full = (one.evaluate(trainer.model) for one in (task, trainer.task))
    assert found == pytest.approx(full, rel=1e-3)


def test_loss_is_that_of_a_plain_loop(dataset):
    trainer = Trainer(replace(CONFIG, negatives=2), dataset)
    step = trainer.task.read(trainer.model, next(iter(trainer.loader)))
    out = trainer.model(step.blocks, step.x).detach()
    losses = []
    for graph, is_edge in zip(step.target, (True, False)):
        for u, v in zip(*(ends.tolist() for ends in graph.edges())):
            score = float(out[u].double() @ out[v].double()) / CONFIG.hidden**0.5
            losses.append(math.log1p(math.exp(-score if is_edge else score)))
    assert len(losses) == 3 * step.count
    found = float(trainer.task.loss(out, step))
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_labels_make_no_difference():
    labelled = classes()
    first = Trainer(CONFIG, labelled).run()
    second = Trainer(CONFIG, Given(labelled.graph, None, None)).run()
    assert results(first.history) == results(second.history)


class Split(Given):
    """With a split of edges, as OGB's data sets of links have it."""

    def get_edge_split(self):
        return self.split


def test_a_split_of_the_data_set_is_taken():
    graph, _ = groups()
    src, dst = graph.edges()
    edges = torch.stack([src, dst], 1)[src < dst].unique(dim=0)  # no pair is there twice
    edges = edges[torch.arange(len(edges)) * 7 % len(edges)]
    split = {
        "train": {"edge": edges[:800]}, "valid": {"edge": edges[800:900]},
        "test": {"edge": edges[900:1000]},
    }  # fmt: skip
    data = prepare_links(replace(CONFIG, undirected=False), Split(graph, None, split))
    found = pairs_of(data.held_out["test"].src, data.held_out["test"].dst, True)
    assert found == pairs_of(*edges[900:1000].T, True)
    assert pairs_of(*data.graph.edges(), True) == pairs_of(*edges[:800].T, True)
    for wrong, match in (
        ({"edge": edges[:0]}, r"expected edges \[n, 2\] of the part test, got shape \[0, 2\]"),
        ({"edge": edges + 300}, "expected edges between the 400 nodes in the part test"),
    ):
        with pytest.raises(ValueError, match=match):
            prepare_links(CONFIG, Split(graph, None, {**split, "test": wrong}))


def test_a_split_that_is_none_of_edges_is_told():
    graph, _ = groups()
    src, dst = graph.edges()
    edges = torch.stack([src, dst], 1)
    split = {part: {"edge": edges[i::3]} for i, part in enumerate(("train", "valid", "test"))}
    loops = src[:9, None].expand(9, 2)
    for wrong, match in (
        ({"train": split["train"]}, "to give {part: .*, got no 'edge' of the part valid"),
        (None, "got no 'edge' of the part train"),
        ({**split, "test": {"source_node": src}}, "got no 'edge' of the part test"),
        ({**split, "test": edges}, "got no 'edge' of the part test"),
        ({**split, "test": {"edge": loops}}, "in the part test, got self-loops alone"),
        ({**split, "test": {"edge": "all"}}, r"edges \[n, 2\] of the part test, got shape \[\]"),
    ):
        with pytest.raises(ValueError, match=match):
            prepare_links(CONFIG, Split(graph, None, wrong))
    floats = {**split, "valid": {"edge": edges / 2}}  # half a node is none
    with pytest.raises(TypeError, match="edges of the part valid: expected integer ids, got float"):
        prepare_links(CONFIG, Split(graph, None, floats))


@pytest.mark.parametrize("undirected", [True, False])
def test_a_split_that_overlaps_leaks_nothing(undirected):
    graph, _ = groups()
    src, dst = graph.edges()
    edges = torch.stack([src, dst], 1)[src != dst]
    split = {
        "train": {"edge": torch.cat([edges[:1950], edges[1950:2000].flip(1)])},
        "valid": {"edge": torch.cat([edges[1800:1900], edges[1900:1910].flip(1)])},
        "test": {"edge": edges[1900:2000]},
    }
    data = prepare_links(replace(CONFIG, undirected=undirected), Split(graph, None, split))
    valid, test = (
        pairs_of(data.held_out[part].src, data.held_out[part].dst, False)
        for part in ("valid", "test")
    )
    assert test == pairs_of(*edges[1900:2000].T, False)
    assert valid == pairs_of(*edges[1800:1900].T, False) - test
    assert pairs_of(*data.graph.edges(), False) == (pairs_of(*edges[:1950].T, False) - test - valid)
    none = Split(graph, None, {**split, "train": {"edge": edges[1900:2000].flip(1)}})
    with pytest.raises(ValueError, match="of the part train that valid or test does not have"):
        prepare_links(replace(CONFIG, undirected=undirected), none)


def test_at_most_so_many_are_held_out(dataset, monkeypatch):
    monkeypatch.setattr(links, "MOST_HELD_OUT", 30)
    data = prepare_links(CONFIG, dataset)
    assert [len(held.src) for held in data.held_out.values()] == [30, 30]


def test_what_cannot_be_is_refused(dataset, tmp_path):
    for change, match in (
        (
            {"sampler": "saint"},
            "sampler: expected one of neighbor, labor, shadow, ppr for task",
        ),
        ({"target": "classes"}, "target: expected none for task link, which predicts edges"),
        ({"negatives": 0}, "negatives: expected at least 1, got 0"),
        ({"negatives": 10**23}, "negatives: expected at most 2147483647, got 1000"),
        ({"task": "node", "negatives": 2}, "negatives: expected none for task node"),
        ({"task": "graph"}, "task: expected node or link, got 'graph'"),
    ):
        with pytest.raises(ValueError, match=match):
            replace(CONFIG, **change)
    few = hf.graph(([0, 1], [1, 2]), num_nodes=3)
    few.ndata["feat"] = torch.ones(3, 1)
    with pytest.raises(ValueError, match="expected at least 10 edges to hold some out, got 2"):
        Trainer(CONFIG, Given(few, None, None))
    bare = Given(hf.graph(dataset.graph.edges(), num_nodes=400), None, None)
    with pytest.raises(ValueError, match="expected node features, got none"):
        Trainer(CONFIG, bare)


def two(rank):
    dataset = Given(groups()[0], None, None)
    return results(Trainer(replace(CONFIG, epochs=2), dataset).run().history)


def test_several_ranks_share_out_edges(ranks):
    first, second = ranks.run(two, num=2)
    for name in ("loss", "scores"):
        assert [record[name] for record in first] == [record[name] for record in second]
    assert first[-1]["scores"]["test_roc_auc"] > 0.7
