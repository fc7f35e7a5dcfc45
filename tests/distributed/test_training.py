"""Training on a graph in parts: weights, learned rows and predictions are those of one process."""

from __future__ import annotations

import pytest
import torch
from ranks import error_of
from test_partitioned_graph import NUM_NODES, assignment, loader_of, whole
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import hopflow as hf
from hopflow.dataloading import NeighborSampler
from hopflow.distributed import NodeEmbedding, PartitionedGraph, layerwise_inference, part_of

EPOCHS = 10


class Model(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = hf.nn.SAGEConv(width, 8, "mean")
        self.second = hf.nn.SAGEConv(8, 4, "mean")

    def layers(self):
        return [lambda b, x: torch.tanh(self.first(b, x)), self.second]

    def forward(self, blocks, x):
        for block, layer in zip(blocks, self.layers()):
            x = layer(block, x)
        return x


def rows_of(embedding, blocks):
    return embedding(blocks[0].srcdata[hf.NID])


def train(rank, num, how, num_workers, learns, cached):
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, num, how), rank, num), timeout=30)
    torch.manual_seed(0)
    model = Model(6 if learns else 5).double()
    ddp = DistributedDataParallel(model)
    optimizers = [torch.optim.Adam(ddp.parameters(), lr=0.01)]
    embedding = None
    if learns:
        embedding = NodeEmbedding(parts, 6, seed=5).double()
        optimizers.append(torch.optim.SparseAdam(list(embedding.parameters()), lr=0.05))
    if cached:
        parts.cache_rows(NeighborSampler([4, 3]), range(150), rows=50, batch_size=16)
    loader = loader_of(parts, "one", "plain", use_ddp=True, num_workers=num_workers)
    for _ in range(EPOCHS):
        for _, _, blocks in loader:
            x = (
                blocks[0].srcdata["feat"].double()
                if embedding is None
                else rows_of(embedding, blocks)
            )
            out = ddp(blocks, x)
            loss = functional.cross_entropy(out, blocks[-1].dstdata["label"])
            for optimizer in optimizers:
                optimizer.zero_grad()
            (loss * blocks[-1].loss_weight).backward()
            if embedding is not None:
                embedding.collect()
            for optimizer in optimizers:
                optimizer.step()
    found = {"model": [p.detach() for p in model.parameters()], "ids": parts.owned()}
    if embedding is not None:
        found["rows"] = embedding.weight.detach()
        every = torch.arange(NUM_NODES)
        found["all"] = embedding.rows_of(every if rank == 0 else every[:0])
    else:
        x = parts.columns()["feat"].double()
        found["out"] = layerwise_inference(parts, model.eval().layers(), x, chunk_edges=90)
    parts.close()
    return found


def train_alone(num, learns):
    """One process at the same global batch: the gradients of ``num`` batches a step."""
    graph = whole()
    one = PartitionedGraph(part_of(graph, assignment(graph, 1, "hash"), 0, 1))
    torch.manual_seed(0)
    model = Model(6 if learns else 5).double()
    optimizers = [torch.optim.Adam(model.parameters(), lr=0.01)]
    rows = None
    if learns:
        rows = torch.nn.Embedding(NUM_NODES, 6, sparse=True).double()
        rows.weight.data.copy_(NodeEmbedding(one, 6, seed=5).weight)
        optimizers.append(torch.optim.SparseAdam(list(rows.parameters()), lr=0.05))
    one.close()
    loader = loader_of(graph, "one", "plain")
    for _ in range(EPOCHS):
        batches = list(loader)
        for begin in range(0, len(batches), num):
            total, count = 0, 0
            for _, seeds, blocks in batches[begin : begin + num]:
                x = blocks[0].srcdata["feat"].double() if rows is None else rows_of(rows, blocks)
                loss = functional.cross_entropy(
                    model(blocks, x), blocks[-1].dstdata["label"], reduction="sum"
                )
                total, count = total + loss, count + len(seeds)
            for optimizer in optimizers:
                optimizer.zero_grad()
            (total / count).backward()
            for optimizer in optimizers:
                optimizer.step()
    return model, rows, graph


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize(
    ("num", "how", "num_workers", "cached"), [(2, "hash", 2, True), (4, "ranges", 0, False)]
)
def test_weights_and_predictions_are_those_of_one_process(
    ranks, num, how, num_workers, cached, learns
):
    of_ranks = ranks.run(train, num, how, num_workers, learns, cached, num=num)
    model, rows, graph = train_alone(num, learns)
    for found in of_ranks:
        for ours, theirs in zip(found["model"], model.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs.detach(), rtol=1e-8, atol=1e-10)
        if learns:
            own = rows.weight.detach()[found["ids"]]
            torch.testing.assert_close(found["rows"], own, rtol=1e-8, atol=1e-10)
        else:
            x = graph.ndata["feat"].double()
            for layer in model.layers():
                x = layer(graph, x)
            torch.testing.assert_close(found["out"], x.detach()[found["ids"]], rtol=1e-7, atol=1e-9)
    if learns:
        torch.testing.assert_close(of_ranks[0]["all"], rows.weight.detach(), rtol=1e-8, atol=1e-10)


def typed_layers():
    torch.manual_seed(2)
    relations = [("a", "to", "b"), ("b", "back", "a"), ("b", "likes", "b")]
    widths = {"a": 3, "b": 5}
    first = hf.nn.HeteroGraphConv(
        {e: hf.nn.SAGEConv((widths[e[0]], widths[e[2]]), 6, "mean") for e in relations}
    ).double()
    second = hf.nn.HeteroGraphConv({e: hf.nn.SAGEConv(6, 4, "mean") for e in relations}).double()
    return [first, second]


def infer_typed(rank, num):
    graph = whole("typed")
    parts = PartitionedGraph(part_of(graph, assignment(graph, num, "hash"), rank, num))
    x = {ntype: parts.columns(ntype)["feat"].double() for ntype in ("a", "b")}
    out = layerwise_inference(parts, typed_layers(), x, chunk_edges=300)
    ids = {ntype: parts.owned(ntype) for ntype in ("a", "b")}
    parts.close()
    return ids, {ntype: rows.detach() for ntype, rows in out.items()}


@pytest.mark.parametrize("num", [1, 3])
def test_inference_over_several_types(ranks, num):
    graph = whole("typed")
    x = {ntype: graph.nodes[ntype].data["feat"].double() for ntype in ("a", "b")}
    for layer in typed_layers():
        x = layer(graph, x)
    for ids, out in ranks.run(infer_typed, num, num=num):
        assert list(out) == ["a", "b"]
        for ntype, own in ids.items():
            torch.testing.assert_close(out[ntype], x[ntype].detach()[own], rtol=1e-9, atol=1e-11)


def first_rows(rank, num):
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, num, "hash"), rank, num))
    embedding = NodeEmbedding(parts, 3, seed=1)
    other = NodeEmbedding(parts, 3, seed=2**70)
    ones = NodeEmbedding(parts, 2, init=torch.nn.init.ones_)
    errors = [
        error_of(lambda: NodeEmbedding(parts, 0)),
        error_of(lambda: NodeEmbedding(parts, 3, "x")),
        error_of(lambda: layerwise_inference(parts, [], torch.zeros(1, 2))),
    ]
    found = parts.owned(), embedding.weight.detach(), other.weight.detach(), ones.weight.detach()
    with torch.no_grad():
        frozen = embedding(torch.tensor([3, 199, 3]))
    parts.close()
    return found, frozen, errors, repr(embedding)


def test_first_rows_do_not_depend_on_the_partitioning(ranks):
    alone, _, _, _ = first_rows(0, 1)
    assert not torch.equal(alone[1], alone[2])
    assert float(alone[1].abs().max()) <= 3**-0.5
    for found, frozen, errors, told in ranks.run(first_rows, 3, num=3):
        ids, rows, others, ones = found
        assert torch.equal(rows, alone[1][ids])
        assert torch.equal(others, alone[2][ids])
        assert bool((ones == 1).all())
        assert torch.equal(frozen, alone[1][[3, 199, 3]])
        assert not frozen.requires_grad
        assert errors[0] == "ValueError: dim: expected at least 1, got 0"
        assert errors[1] == "ValueError: ntype: expected one of '_N', got 'x'"
        assert errors[2].startswith("ValueError: x: expected a row for each of the")
        assert told == f"NodeEmbedding({ids.shape[0]} of 200 rows, dim=3)"
