"""Graphs in parts from their folder: opened by every rank, or refused by all."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from ranks import error_of
from test_partitioned_graph import assignment, columns, loader_of, told, whole

import hopflow.distributed as hfd

NUM = 2
needs_kaminpar = pytest.mark.skipif(
    importlib.util.find_spec("kaminpar") is None, reason="kaminpar is not installed"
)
METHODS = ["hash", "stream", pytest.param("kaminpar", marks=needs_kaminpar)]


@pytest.fixture(params=["one", "typed"])
def kind(request):
    return request.param


def written(folder, kind, num=NUM, method=None, **options):
    graph = whole(kind)
    parts = assignment(graph, num, "hash")
    if method is not None:
        parts = hfd.assign_parts(graph, num, method=method)
    ntype = "b" if kind == "typed" else "_N"
    splits = {"train": {ntype: torch.arange(0, 150, 3)}, "test": {ntype: torch.arange(150, 200)}}
    hfd.write_parts(
        graph, parts, folder, num_parts=num, splits=splits, num_classes=4, **options,
    )  # fmt: skip
    return folder


def epochs(rank, folder, kind, topology, num_workers):
    graph = hfd.load(folder, topology=topology, timeout=20)
    loader = loader_of(graph, kind, "plain", use_ddp=True, num_workers=num_workers)
    found = [
        [(b[2][-1].is_padding, told(b), columns(b[2], kind)) for b in loader] for _ in range(2)
    ]
    split = {name: told(ids) for name, ids in graph.get_idx_split().items()}
    graph.close()
    return found, split, graph.num_classes, graph.topology is not None, repr(graph)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("topology", ["parts", "replicated", "auto"])
def test_a_folders_batches_are_those_of_one_process(ranks, tmp_path, kind, topology, method):
    folder = written(tmp_path / "parts", kind, method=method)
    of_ranks = ranks.run(epochs, folder, kind, topology, 2, num=NUM)
    alone = loader_of(whole(kind), kind, "plain")
    for epoch in range(2):
        steps = zip(*(found[0][epoch] for found in of_ranks), strict=True)
        every = [one[1:] for step in steps for one in step if not one[0]]
        assert every == [(told(b), columns(b[2], kind)) for b in alone]
    for _, split, num_classes, replicated, text in of_ranks:
        ids = split["train"] if kind == "one" else split["train"]["b"]
        assert ids[1] == list(range(0, 150, 3))
        assert num_classes == 4
        assert replicated == (topology != "parts")
        assert "PartitionedGraph(part" in text


def test_one_part_needs_no_group(tmp_path):
    graph = hfd.load(written(tmp_path / "parts", "one", 1))
    ours, theirs = loader_of(graph, "one", "plain"), loader_of(whole(), "one", "plain")
    assert [told(b) for b in ours] == [told(b) for b in theirs]
    graph.close()


def refused(rank, folder, topology="parts"):
    return error_of(lambda: hfd.load(folder, topology=topology))


def test_what_one_rank_cannot_open_no_rank_does(ranks, tmp_path):
    folder = written(tmp_path / "parts", "one")
    file = folder / "part-1" / "edge-0.indices.npy"
    file.write_bytes(file.read_bytes()[:-5])
    first, second = ranks.run(refused, folder, num=NUM)
    assert "part-1/edge-0.indices.npy" in first
    assert first.startswith("HopflowError: rank 1 could not open its part: ValueError")
    assert second.startswith("ValueError")


@pytest.mark.parametrize("change", ["swap", "other", "missing"])
def test_mixed_up_parts_are_refused(ranks, tmp_path, change):
    folder = written(tmp_path / "parts", "one")
    if change == "swap":
        for old, new in (("part-0", "x"), ("part-1", "part-0"), ("x", "part-1")):
            (folder / old).rename(folder / new)
    elif change == "other":
        graph = whole()
        other = tmp_path / "other"
        hfd.write_parts(graph, assignment(graph, NUM, "ranges"), other, num_parts=NUM)
        (folder / "part-1").rename(tmp_path / "away")
        (other / "part-1").rename(folder / "part-1")
    else:
        (folder / "part-1" / "part.json").unlink()
    for error in ranks.run(refused, folder, num=NUM):
        assert "part-" in error
        assert error.split(":")[0] in ("HopflowError", "ValueError", "FileNotFoundError")


def test_another_number_of_ranks_than_parts_is_refused(ranks, tmp_path):
    folder = written(tmp_path / "parts", "one", 2)
    for error in ranks.run(refused, folder, num=3):
        assert "a graph in 2 parts: expected as many ranks, got 3" in error
    folder = written(tmp_path / "more", "one", 4)
    for error in ranks.run(refused, folder, num=2):
        assert "a graph in 4 parts: expected as many ranks, got 2" in error
    assert "expected a process group, got none" in refused(0, folder)


def at_odds(rank, folder):
    return error_of(lambda: hfd.load(folder, topology=("auto", "parts")[rank]))


def test_ranks_that_want_other_topologies_are_told_so(ranks, tmp_path):
    folder = written(tmp_path / "parts", "one")
    for error in ranks.run(at_odds, folder, num=NUM):
        assert "rank 1 has 2 parts and topology='parts', rank 0 2 and 'auto'" in error


def test_bad_topologies_are_refused(tmp_path):
    folder = written(tmp_path / "parts", "one", 1, with_topology=False)
    assert refused(0, folder, "some").startswith("ValueError: topology: expected one of auto")
    assert "has no topology" in refused(0, folder, "replicated")
    assert refused(0, folder, "auto") is None
