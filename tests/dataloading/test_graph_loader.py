"""GraphDataLoader: mini-batches of whole graphs."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
import torch

import hopflow as hf
from hopflow.dataloading import GraphCollator, GraphDataLoader

Pair = namedtuple("Pair", ["graph", "label"])


class Paths:
    """Paths of 1, 2, 3, ... nodes with their lengths as labels."""

    def __init__(self, count: int, with_label: bool = True) -> None:
        self.count, self.with_label = count, with_label

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int):
        # With the kernels that sort edges, in the worker.
        g = hf.graph((torch.arange(i).flip(0), torch.arange(i).flip(0) + 1), num_nodes=i + 1)
        g.ndata["x"] = torch.full((i + 1, 2), float(i))
        part = g.subgraph(list(range(i + 1)))  # its columns are not read yet
        return (part, torch.tensor(i)) if self.with_label else part


def told(loader):
    """Sizes, edges, columns and labels of every batch."""
    return [(g.batch_num_nodes().tolist(), g.edges()[0].tolist(), g.ndata["x"].tolist(),
             labels.tolist()) for g, labels in loader]  # fmt: skip


def test_graphs_and_labels():
    batches = list(GraphDataLoader(Paths(5), batch_size=2))
    assert [labels.tolist() for _, labels in batches] == [[0, 1], [2, 3], [4]]
    g = batches[1][0]
    assert g.batch_num_nodes().tolist() == [3, 4]
    assert g.batch_num_edges().tolist() == [2, 3]
    assert g.ndata["x"][:, 0].tolist() == [2] * 3 + [3] * 4
    assert [len(labels) for _, labels in GraphDataLoader(Paths(5), batch_size=2, drop_last=True)] \
        == [2, 2]  # fmt: skip
    alone = list(GraphDataLoader(Paths(3, with_label=False), batch_size=3))
    assert alone[0].batch_size == 3


@pytest.mark.cpu_only
@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_change_nothing(context):
    outputs = []
    for options in ({}, {"num_workers": 2, "multiprocessing_context": context}):
        torch.manual_seed(0)
        outputs.append(told(GraphDataLoader(Paths(9), batch_size=4, shuffle=True, **options)))
    assert outputs[0] == outputs[1]
    assert outputs[0][0][0] != [1, 2, 3, 4]


def test_without_batches_or_with_another_collate_fn():
    single = list(GraphDataLoader(Paths(2), batch_size=None))
    assert single[1][0].batch_size == 1
    assert single[1][0].num_nodes() == 2
    counts = GraphDataLoader(Paths(3), collate_fn=len, batch_size=2)
    assert list(counts) == [2, 1]


def test_what_is_collated():
    g = hf.graph(([0], [1]))
    collate = GraphCollator().collate
    items = [{"graph": g, "label": (i, float(i), "abc"[i], np.ones(2) * i)} for i in range(3)]
    made = collate(items)
    assert made["graph"].batch_size == 3
    numbers, floats, texts, rows = made["label"]
    assert (numbers.dtype, floats.dtype, rows.shape) == (torch.int64, torch.float64, (3, 2))
    assert list(texts) == ["a", "b", "c"]
    pair = collate([Pair(g, torch.ones(2)), Pair(g, torch.ones(2))])
    assert isinstance(pair, Pair)
    assert pair.graph.batch_size == 2
    assert isinstance(collate(((g, 1), (g, 2))), list)

    class Own(hf.Graph):
        pass

    own = Own(g.adjacency)
    assert collate([own, own]).batch_size == 2
    with pytest.raises(TypeError):
        collate([object()])
    with pytest.raises(ValueError, match=r"graphs\[1\]"):
        collate([g, g.int()])


def shares(rank: int) -> list[list[int]]:
    """The labels that a rank sees, in two epochs."""
    loader = GraphDataLoader(Paths(7), use_ddp=True, ddp_seed=3, shuffle=True, batch_size=2)
    seen = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        seen.append([int(i) for _, labels in loader for i in labels])
    whole = GraphDataLoader(Paths(7), use_ddp=True, drop_last=True, batch_size=2)
    seen.append([int(i) for _, labels in whole for i in labels])
    return seen


@pytest.mark.cpu_only
def test_ranks_share_the_graphs(ranks):
    first, second = ranks.run(shares)
    for epoch in range(2):
        assert len(first[epoch]) == len(second[epoch]) == 4
        assert {*first[epoch], *second[epoch]} == {*range(7)}
    assert first[0] != first[1]
    assert (first[2], second[2]) == ([0, 2, 4], [1, 3, 5])
    with pytest.raises(hf.HopflowError, match="use_ddp=True"):
        GraphDataLoader(Paths(2)).set_epoch(1)
