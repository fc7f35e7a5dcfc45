"""A graph in parts: the batches of all ranks together are those of one process."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf
from hopflow.dataloading import DataLoader, MultiLayerFullNeighborSampler, NeighborSampler
from hopflow.distributed import PartitionedGraph, part_of

NUM_NODES = 200


def whole(kind="one", idtype=torch.int64):
    """The whole graph, the same in every process."""
    generator = torch.Generator().manual_seed(3)

    def ids(most, count):
        return torch.randint(most, (count,), generator=generator)

    if kind == "typed":
        graph = hf.heterograph(
            {
                ("a", "to", "b"): (ids(90, 900), ids(200, 900)),
                ("b", "back", "a"): (ids(200, 700), ids(90, 700)),
                ("b", "likes", "b"): (ids(200, 800), ids(200, 800)),
                ("c", "none", "b"): (ids(9, 0), ids(200, 0)),
            },
            {"a": 90, "b": 200, "c": 9},
            idtype=idtype,
        )
        graph.nodes["b"].data["feat"] = torch.randn(200, 5, generator=generator)
        graph.nodes["a"].data["feat"] = torch.randn(90, 3, generator=generator).bfloat16()
        graph.nodes["b"].data["label"] = ids(4, 200)
        for relation in graph.canonical_etypes:
            weights = torch.rand(graph.num_edges(relation), generator=generator) + 0.1
            graph.edges[relation].data["w"] = weights
        return graph
    graph = hf.graph(
        (ids(NUM_NODES, 1500), ids(NUM_NODES - 20, 1500)), num_nodes=NUM_NODES, idtype=idtype
    )
    graph.ndata["feat"] = torch.randn(NUM_NODES, 5, generator=generator)
    graph.ndata["label"] = ids(4, NUM_NODES)
    graph.ndata["flag"] = ids(2, NUM_NODES).bool()
    graph.edata["w"] = torch.rand(1500, generator=generator) + 0.1
    graph.edata["m"] = ids(2, 1500).bool()
    return graph


def assignment(graph, num_parts, kind):
    """Part of each node: at random, in ranges, or all to the last part."""
    found = {}
    for t, ntype in enumerate(graph.ntypes):
        count = graph.num_nodes(ntype)
        if kind == "hash":
            generator = torch.Generator().manual_seed(t)
            found[ntype] = torch.randint(num_parts, (count,), generator=generator)
        elif kind == "ranges":
            found[ntype] = torch.arange(count) * num_parts // max(count, 1)
        else:
            found[ntype] = torch.full((count,), num_parts - 1)
    return found


SAMPLERS = {
    "plain": lambda: NeighborSampler([4, 3]),
    "replace": lambda: NeighborSampler([4, 3], replace=True),
    "full": lambda: MultiLayerFullNeighborSampler(2),
    "mixed": lambda: NeighborSampler([-1, 3, 0, 2]),
    "weighted": lambda: NeighborSampler([4, 3], prob="w"),
    "masked": lambda: NeighborSampler([4, 3], mask="m"),
    "prefetch": lambda: NeighborSampler(
        [4, 3], prefetch_node_feats=["feat"], prefetch_labels=["label"]
    ),
    "by_relation": lambda: NeighborSampler([{"to": 2, "back": 3, "likes": 0, "none": 1}, 2]),
}


def told(x):
    """A batch as plain lists, with the columns of its blocks."""
    if isinstance(x, torch.Tensor):
        return str(x.dtype), x.tolist()
    if isinstance(x, hf.Block):
        edges = {e: [told(y) for y in x.edges(etype=e)] for e in x.canonical_etypes}
        eids = {e: told(x.edges[e].data[hf.EID]) for e in x.canonical_etypes}
        return edges, eids
    if isinstance(x, dict):
        return {key: told(value) for key, value in x.items()}
    return [told(y) for y in x]


def columns(blocks, kind):
    first, last = blocks[0], blocks[-1]
    if kind == "typed":
        return [
            told(first.srcnodes["b"].data["feat"]),
            told(first.srcnodes["a"].data["feat"]),
            told(last.dstnodes["b"].data["label"]),
            told(first.dstnodes["b"].data["feat"]),
        ]
    return [told(first.srcdata["feat"]), told(last.dstdata["label"])]


def loader_of(graph, kind, sampler, **options):
    count = 150
    ids = torch.randperm(NUM_NODES, generator=torch.Generator().manual_seed(1))[:count]
    seeds = {"b": ids, "a": torch.arange(20)} if kind == "typed" else ids
    options = {"batch_size": 16, "shuffle": True, "seed": 9, **options}
    return DataLoader(graph, seeds, SAMPLERS[sampler](), **options)


def epochs_in_parts(rank, num, kind, how, sampler, idtype, options):
    graph = whole(kind, idtype)
    part = part_of(graph, assignment(graph, num, how), rank, num)
    parts = PartitionedGraph(part, timeout=20)
    try:
        loader = loader_of(parts, kind, sampler, use_ddp=True, **options)
        return [
            [(b[2][-1].is_padding, told(b), columns(b[2], kind)) for b in loader] for _ in range(2)
        ]
    finally:
        parts.close()


def check(ranks, num, kind, how, sampler, idtype=torch.int64, **options):
    of_ranks = ranks.run(epochs_in_parts, num, kind, how, sampler, idtype, options, num=num)
    alone = loader_of(whole(kind, idtype), kind, sampler)
    for epoch in range(2):
        steps = zip(*(found[epoch] for found in of_ranks), strict=True)
        every = [one[1:] for step in steps for one in step if not one[0]]
        assert every == [(told(b), columns(b[2], kind)) for b in alone]


@pytest.mark.parametrize("how", ["hash", "ranges", "last"])
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("num", [2, 4])
def test_batches_are_those_of_one_process(ranks, num, num_workers, how):
    check(ranks, num, "one", how, "plain", num_workers=num_workers)


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - {"plain", "by_relation"}))
def test_of_every_sampler(ranks, sampler):
    check(ranks, 3, "one", "hash", sampler, torch.int32, num_workers=1)


@pytest.mark.parametrize("sampler", ["plain", "full", "weighted", "by_relation", "mixed"])
def test_of_several_types(ranks, sampler):
    check(ranks, 3, "typed", "hash", sampler, num_workers=2)


def test_one_part_is_the_whole_graph():
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, 1, "hash"), 0, 1))
    ours = loader_of(parts, "one", "plain", use_ddp=False, num_workers=2)
    theirs = loader_of(graph, "one", "plain")
    for a, b in zip(ours, theirs, strict=True):
        assert told(a) == told(b)
        assert columns(a[2], "one") == columns(b[2], "one")
    assert parts.traffic().bytes == 0
    parts.close()
