"""A graph in parts: the batches of all ranks together are those of one process."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from ranks import error_of

import hopflow as hf
from hopflow.dataloading import (
    DataLoader,
    MultiLayerFullNeighborSampler,
    NeighborSampler,
    as_edge_prediction_sampler,
)
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
    "out": lambda: NeighborSampler([4, 3], edge_dir="out"),
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
    topology = graph if options.pop("replicated", False) else None
    parts = PartitionedGraph(part, topology=topology, timeout=20)
    try:
        if cache := options.pop("cache", None):
            seeds = loader_of(parts, kind, sampler, use_ddp=True).indices
            by_part = options.get("seeds_by_part", False)
            parts.cache_rows(SAMPLERS[sampler](), seeds, batch_size=16, by_part=by_part, **cache)
        loader = loader_of(parts, kind, sampler, use_ddp=True, **options)
        return [
            [(b[2][-1].is_padding, told(b), columns(b[2], kind)) for b in loader] for _ in range(2)
        ]
    finally:
        parts.close()


def check(ranks, num, kind, how, sampler, idtype=torch.int64, **options):
    of_ranks = ranks.run(epochs_in_parts, num, kind, how, sampler, idtype, options, num=num)
    alone = loader_of(whole(kind, idtype), kind, sampler)
    assert len(alone) == 10 + (kind == "typed")
    for epoch in range(2):
        steps = zip(*(found[epoch] for found in of_ranks), strict=True)
        every = [one[1:] for step in steps for one in step if not one[0]]
        assert every == [(told(b), columns(b[2], kind)) for b in alone]


@pytest.mark.parametrize("how", ["hash", "ranges", "last"])
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("num", [2, 4])
def test_batches_are_those_of_one_process(ranks, num, num_workers, how):
    check(ranks, num, "one", how, "plain", num_workers=num_workers)


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - {"plain", "out", "by_relation"}))
def test_of_every_sampler(ranks, sampler):
    check(ranks, 3, "one", "hash", sampler, torch.int32, num_workers=1)


@pytest.mark.parametrize("sampler", ["plain", "full", "weighted", "by_relation", "mixed"])
def test_of_several_types(ranks, sampler):
    check(ranks, 3, "typed", "hash", sampler, num_workers=2)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    ("kind", "sampler"),
    [("one", "plain"), ("one", "out"), ("one", "weighted"), ("typed", "by_relation")],
)
def test_with_all_edges_on_every_rank(ranks, kind, sampler, num_workers):
    check(ranks, 2, kind, "hash", sampler, num_workers=num_workers, replicated=True)


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


# --- rows of other parts that are kept ---


@pytest.mark.parametrize("cache", [{"rows": 30}, {"size": "600B"}, {"rows": 10**6}, {"rows": 0}])
def test_a_cache_changes_no_batch(ranks, cache):
    check(ranks, 2, "one", "hash", "plain", num_workers=1, cache=cache)


def test_a_cache_of_several_types(ranks):
    check(ranks, 3, "typed", "hash", "plain", num_workers=2, cache={"size": "2kB"})


def hits(rank, cache, by_part):
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, 2, "ranges"), rank, 2), timeout=20)
    sampler = NeighborSampler([3, 2], prefetch_node_feats=["feat"])
    seeds = torch.arange(0, 200, 2)
    report = parts.cache_rows(sampler, seeds, batch_size=10, by_part=by_part, **cache)
    before = parts.traffic()
    options = {"batch_size": 10, "shuffle": True, "seed": 4, "use_ddp": True}
    for _ in range(40):
        for _ in DataLoader(parts, seeds, sampler, seeds_by_part=by_part, **options):
            pass
    after = parts.traffic()
    found = [getattr(after, n) - getattr(before, n) for n in ("cached_rows", "remote_rows", "rows")]
    parts.close()
    return report, found


@pytest.mark.parametrize("by_part", [False, True])
def test_the_expected_hit_rate_is_what_comes(ranks, by_part):
    for report, (cached, remote, _) in ranks.run(hits, {"rows": 40}, by_part, num=2):
        assert report.rows == {"_N": 40}
        assert report.bytes == 40 * 20
        # Nodes are taken for independent, which is only nearly so in a graph this small.
        assert cached / (cached + remote) == pytest.approx(report.expected_hit_rate, abs=0.06)
        assert cached / (cached + remote) > 0.45  # 40 of 100 at random would be 0.4


def test_a_cache_of_everything_leaves_nothing_to_fetch(ranks):
    for report, (cached, remote, rows) in ranks.run(hits, {"size": "1GiB"}, False, num=2):
        assert report.expected_hit_rate == pytest.approx(1)
        assert (remote, rows) == (0, 0)
        assert cached > 0


def bad_caches(rank):
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, 1, "hash"), 0, 1))
    sampler = NeighborSampler([2])
    found = [
        error_of(lambda options=options: parts.cache_rows(sampler, [1], **options))
        for options in (
            {},
            {"size": 1, "rows": 1},
            {"size": "2 apples"},
            {"rows": -1},
            {"size": -1},
        )
    ]
    parts.close()
    return found


def test_bad_sizes_of_a_cache():
    both, other, apples, rows, size = bad_caches(0)
    assert both == other == "ValueError: size, rows: expected one of them, got both or neither"
    assert apples.startswith("ValueError: size: expected a size such as '500MB'")
    assert rows == "ValueError: rows: expected at least 0, got -1"
    assert size == "ValueError: size: expected at least 0 bytes, got -1"


# --- seeds by part ---


def by_part(rank, how, num_workers):
    graph = whole()
    part = part_of(graph, assignment(graph, 2, how), rank, 2)
    parts = PartitionedGraph(part, timeout=20)
    loader = loader_of(
        parts, "one", "plain", use_ddp=True, seeds_by_part=True, num_workers=num_workers
    )
    found = [(b[2][-1].is_padding, told(b), b[1]) for b in loader]
    own = set(part.ids[0].tolist())
    parts.close()
    return [one[:2] for one in found], [set(seeds.tolist()) <= own for _, _, seeds in found]


@pytest.mark.parametrize("how", ["hash", "ranges", "last"])
def test_seeds_by_part_are_the_ranks_own(ranks, how):
    of_ranks = ranks.run(by_part, how, 2, num=2)
    every = [one for step in zip(*(x[0] for x in of_ranks), strict=True) for one in step]
    real = [batch for is_padding, batch in every if not is_padding]
    seeds = [s for batch in real for s in batch[1][1]]
    expected = torch.randperm(NUM_NODES, generator=torch.Generator().manual_seed(1))[:150]
    assert sorted(seeds) == sorted(expected.tolist())
    if how == "ranges":  # 5 of 10 batches are full on both ranks, but for leftovers
        for _, own in of_ranks:
            assert sum(own) >= len(own) - 2
    # One process with the order of seeds that results yields the same.
    order = torch.tensor(seeds)
    alone = loader_of(whole(), "one", "plain", shuffle=False)
    alone.indices = order
    theirs = [batch[0].tolist() for batch in alone]
    assert [batch[0][1] for batch in real] == theirs


def resumed_elsewhere(rank):
    graph, found = whole(), []
    state = None
    for how in ("ranges", "hash"):
        part = part_of(graph, assignment(graph, 2, how), rank, 2)
        parts = PartitionedGraph(part, timeout=20)
        loader = loader_of(parts, "one", "plain", use_ddp=True, seeds_by_part=True)
        if state is None:
            batches = iter(loader)
            next(batches)
            state = loader.state_dict()
        else:
            found.append(error_of(partial(loader.load_state_dict, state)))
        parts.close()
    found.append(error_of(lambda: loader_of(graph, "one", "plain").load_state_dict(state)))
    return found


def test_a_state_of_seeds_by_part_is_of_its_partitioning(ranks):
    for errors in ranks.run(resumed_elsewhere, num=2):
        for error in errors:
            assert error == "ValueError: state: it is of seeds by another partitioning, or by none"


def started(rank):
    numbers = []
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, 2, "hash"), rank, 2), timeout=20)
    options = {"use_ddp": True, "num_workers": 2, "worker_init_fn": numbers.append}
    list(loader_of(parts, "one", "plain", **options))
    parts.close()
    return sorted(numbers)


def test_threads_call_worker_init_fn(ranks):
    assert ranks.run(started, num=2) == [[0, 1], [0, 1]]


def test_seeds_by_part_needs_parts():
    with pytest.raises(ValueError, match="seeds_by_part: expected False for a graph that is not"):
        loader_of(whole(), "one", "plain", seeds_by_part=True)


# --- what cannot be done is said ---


def refusals(rank):
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, 2, "hash"), rank, 2), timeout=20)

    def sample(**options):
        return lambda: NeighborSampler([2], **options).sample(parts, [1, 2])

    found = [
        error_of(lambda: DataLoader(parts, [1], NeighborSampler([2]))),
        error_of(sample(edge_dir="out")),
        error_of(sample(prob="no")),
        error_of(sample(prob=torch.ones(1500))),
        error_of(sample(prefetch_edge_feats=["w"])),
        error_of(sample(prefetch_node_feats=["no"])),
        error_of(lambda: sample(prefetch_node_feats=["feat"])()[2][-1].dstdata["label"]),
        error_of(lambda: NeighborSampler([2]).sample(parts, [200])),
        error_of(lambda: NeighborSampler([2]).sample(parts, [1], exclude_eids=[1])),
        error_of(lambda: parts.owned("x")),
        error_of(
            lambda: DataLoader(
                parts, [1], as_edge_prediction_sampler(NeighborSampler([2])), use_ddp=True
            )
        ),
        error_of(lambda: PartitionedGraph(parts.part, timeout=0)),
    ]
    # A column asked for at both ends comes once, for all nodes.
    both = {"prefetch_node_feats": ["feat", "label"], "prefetch_labels": ["label"]}
    blocks = sample(**both)()[2]
    assert blocks[0].srcdata["label"].shape[0] == blocks[0].num_src_nodes()
    assert blocks[-1].dstdata["label"].tolist() == graph.ndata["label"][[1, 2]].tolist()
    parts.close()
    return found


def test_what_parts_cannot_do_is_said(ranks):
    expected = [
        "ValueError: use_ddp: expected True for a graph in parts",
        "ValueError: edge_dir: expected 'in' for a graph in parts",
        "KeyError: \"prob: no type of edges has a column 'no'",
        "TypeError: prob: expected the name of an edge column for a graph in parts, got a tensor",
        "ValueError: prefetch_edge_feats: expected none for a graph in parts",
        "KeyError: \"no node column 'no'; there is 'feat'",
        "KeyError: \"column 'label' did not come with the batch",
        "IndexError: seed_nodes[0] is 200",
        "ValueError: exclude_eids: expected None for a graph in parts",
        "ValueError: ntype: expected one of '_N', got 'x'",
        "ValueError: graph_sampler: expected one of batches of nodes for a graph in parts",
        "ValueError: timeout: expected seconds > 0, got 0",
    ]
    for errors in ranks.run(refusals, num=2):
        for error, start in zip(errors, expected, strict=True):
            assert error.startswith(start), error
