"""Native threads on graphs of several node types and relations: batches, requests, ends."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest
import torch
from helpers import native_threads, random_csc

from hopflow import ops

pytestmark = pytest.mark.cpu_only

NUM_NODES = [120, 80, 0, 40]
BASE = [0, 120, 200, 200]
TYPES = [(0, 0), (1, 0), (0, 1), (3, 1), (1, 3)]


def graph(dtypes: tuple[torch.dtype, ...] = (torch.int32, torch.int64)) -> list[ops.Relation]:
    relations = []
    for r, (src_type, dst_type) in enumerate(TYPES):
        csc = random_csc(
            NUM_NODES[src_type], NUM_NODES[dst_type], 700, seed=r, dtype=dtypes[r % len(dtypes)]
        )
        relations.append(ops.Relation(csc.indptr, csc.indices, src_type, dst_type))
    return relations


FANOUTS = [[3, 2, -1, 0, 4], [-1] * 5, [2, 2, 2, 1, 0]]


def loader_of(relations: list[ops.Relation], seeds: torch.Tensor, **change: Any) -> Any:
    batch_size = change.pop("batch_size", 7)
    options = {
        "replace": False, "idtype": torch.int64, "batch_size": batch_size,
        "batches": range(-(-seeds.shape[0] // batch_size)), "seed": 5, "epoch": 2, "num_workers": 2,
        "capacity": 3, "cache": ops.ScratchCache(),
    }  # fmt: skip
    fanouts = change.pop("fanouts", FANOUTS)
    return ops.TypedBatchLoader(relations, NUM_NODES, seeds, fanouts, **(options | change))


def split(seeds: torch.Tensor) -> list[torch.Tensor]:
    """By type, with the nodes' own ids."""
    return [
        seeds[(seeds >= base) & (seeds < base + count)] - base
        for base, count in zip(BASE, NUM_NODES)
    ]


def expected_of(relations: list[ops.Relation], seeds: torch.Tensor, batch: int, **options: Any):
    """The second hop keeps all edges: it draws nothing and has no number among those that do."""
    hops = [ops.stream_key(5, 2, batch, hop) for hop in (0, 9, 1)]
    keys = [[ops.relation_key(key, r) for r in range(len(relations))] for key in hops]
    own = split(seeds[7 * batch : 7 * batch + 7])
    return ops.sample_typed_blocks(relations, NUM_NODES, own, FANOUTS, keys=keys, **options)


def as_lists(blocks: ops.SampledTypedBlocks) -> Any:
    nodes = [[None if x is None else (x.dtype, x.tolist()) for x in own] for own in blocks.nodes]
    hops = [
        ([[(x.dtype, x.tolist()) for x in edges] for edges in hop.relations], hop.num_src)
        for hop in blocks.hops
    ]
    return nodes, hops


def batches_of(loader: Any) -> list[Any]:
    return [as_lists(batch.blocks) for batch in iter(loader.next, None)]


@pytest.fixture
def seeds() -> torch.Tensor:
    """Nodes of three types mixed, some of them twice in a batch."""
    return torch.randint(240, (150,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("num_workers", [0, 1, 2])
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("dtypes", [(torch.int32,), (torch.int64,), (torch.int32, torch.int64)])
def test_batches_are_those_of_sample_typed_blocks(seeds, num_workers, replace, dtypes):
    relations = graph(dtypes)
    options = {"replace": replace, "idtype": dtypes[0]}
    loader = loader_of(relations, seeds, num_workers=num_workers, **options)
    got = batches_of(loader)
    expected = [expected_of(relations, seeds, b, **options) for b in range(22)]
    assert got == [as_lists(blocks) for blocks in expected]
    assert any(nodes.seed_inverse is not None for blocks in expected for nodes in blocks.nodes)
    assert loader.next() is None
    loader.close()
    assert native_threads() == []


def test_a_batch_of_several_threads_is_that_of_one():
    large = [
        ops.Relation(csc.indptr, csc.indices, *types)
        for csc, types in (
            (random_csc(20_000, 20_000, 300_000, seed=1), (0, 0)),
            (random_csc(20_000, 20_000, 300_000, seed=2), (1, 0)),
        )
    ]
    seeds = torch.randperm(40_000)
    got = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        loader = ops.TypedBatchLoader(
            large, [20_000, 20_000], seeds, [[8, 8], [4, 4]], replace=False, idtype=torch.int32,
            batch_size=20_000, batches=[1], seed=1, epoch=0, num_workers=0,
            capacity=1, cache=ops.ScratchCache(),
        )  # fmt: skip
        got.append(batches_of(loader))
        loader.close()
    assert got[0] == got[1]
    assert len(got[0]) == 1


def test_one_type_and_relation_load_what_the_plain_loader_does(seeds):
    csc = random_csc(240, 240, 3000)
    options = {
        "replace": False, "idtype": torch.int64, "batch_size": 7,
        "batches": range(4, 22), "seed": 5, "epoch": 2, "num_workers": 1, "capacity": 3,
        "cache": ops.ScratchCache(),
    }  # fmt: skip
    plain = ops.BatchLoader(csc.indptr, csc.indices, seeds, [3, -1, 4], **options)
    relation = ops.Relation(csc.indptr, csc.indices, 0, 0)
    typed = ops.TypedBatchLoader([relation], [240], seeds, [[3], [-1], [4]], **options)
    for _ in range(18):
        ours, theirs = typed.next().blocks, plain.next().blocks
        (nodes,) = ours.nodes
        assert torch.equal(nodes.input_nodes, theirs.input_nodes)
        assert torch.equal(nodes.output_nodes, theirs.output_nodes)
        for hop, other in zip(ours.hops, theirs.hops):
            assert all(map(torch.equal, hop.relations[0], other[:3]))
            assert hop.num_src == [other.num_src]
    assert typed.next() is plain.next() is None
    typed.close()
    plain.close()


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_columns_by_type_and_transposes_by_relation(seeds, num_workers):
    relations = graph()
    dtypes = [torch.float32, torch.float16, torch.float64, torch.int64]
    columns = [
        (torch.randn(NUM_NODES[t], 3).to(dtype), t, level)
        for t, dtype in enumerate(dtypes)
        for level in range(4)
    ]
    columns.append((torch.randn(80, 8)[:, 2:5], 1, 3))
    transposes = [(hop, r) for r in (4, 0, 3, 1) for hop in (2, 0, 1)]
    loader = loader_of(relations, seeds, num_workers=num_workers)
    number = loader.request(columns, transposes)
    answered = 0
    for batch in iter(loader.next, None):
        if batch.request != number:
            assert not batch.columns
            continue
        answered += 1
        for rows, (column, t, level) in zip(batch.columns, columns, strict=True):
            nodes = batch.blocks.nodes[t]
            count = nodes.output_nodes.shape[0]
            if level:
                count = batch.blocks.hops[level - 1].num_src[t]
            assert torch.equal(rows, column[nodes.input_nodes[:count]])
            assert rows.dtype == column.dtype
        for transpose, (h, r) in zip(batch.transposes, transposes, strict=True):
            hop = batch.blocks.hops[h]
            edges = hop.relations[r]
            full = ops.transpose_csc(edges.indptr, edges.indices, hop.num_src[TYPES[r][0]])
            assert all(map(torch.equal, transpose, full))
    assert answered >= 15
    loader.close()


def test_samples_do_not_depend_on_stamps_that_run_out():
    """The map of a type with 2^20 nodes has stamps for 2047 batches; the epoch has more."""
    num_nodes = [3, 2**20 + 5]
    indices = torch.cat([torch.arange(2**20), torch.tensor([4, 0, 9])]).int()
    relations = [
        ops.Relation(torch.tensor([0, 2**20, 2**20 + 3, 2**20 + 3]), indices, 1, 0),
        ops.Relation(torch.tensor([0, 0, 1, 1]), torch.tensor([2]), 0, 0),
    ]
    seeds = torch.ones(4500, dtype=torch.int64)
    seeds[0] = 0
    expected = ops.sample_typed_blocks(
        relations, num_nodes, [torch.tensor([1]), torch.tensor([]).long()], [[-1, -1]],
        keys=[[0, 0]],
    )  # fmt: skip
    loader = ops.TypedBatchLoader(
        relations, num_nodes, seeds, [[-1, -1]], replace=False, idtype=torch.int64, batch_size=1,
        batches=range(4500), seed=0, epoch=0, num_workers=1, capacity=4,
        cache=ops.ScratchCache(),
    )  # fmt: skip
    assert loader.next().blocks.hops[0].num_src == [1, 2**20]
    for _ in range(4499):
        blocks = loader.next().blocks
        for nodes, others in zip(blocks.nodes, expected.nodes):
            assert torch.equal(nodes.input_nodes, others.input_nodes)
        for edges, others in zip(blocks.hops[0].relations, expected.hops[0].relations):
            assert torch.equal(edges.indices, others.indices)
    assert loader.next() is None
    loader.close()


def test_scratch_memory_serves_epoch_after_epoch(seeds):
    relations, cache = graph(), ops.ScratchCache()
    first = None
    for num_workers in (1, 2, 0):
        loader = loader_of(relations, seeds, cache=cache, num_workers=num_workers)
        got = batches_of(loader)
        loader.close()
        first = first or got
        assert got == first


# --- ends ---


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_bad_graph_is_an_error_in_the_consumer_and_the_scratch_lives_on(seeds, num_workers):
    relations, cache = graph(), ops.ScratchCache()
    options = {"cache": cache, "num_workers": num_workers}
    loader = loader_of(relations, seeds, **options)
    expected = batches_of(loader)
    loader.close()
    good = relations[2].indices.clone()
    relations[2].indices.fill_(10**6)
    loader = loader_of(relations, seeds, **options)
    message = r"relation 2: indices\[\d+\] is 1000000, but type 0 has 120 nodes"
    with pytest.raises(ValueError, match=message):
        batches_of(loader)
    loader.close()
    assert native_threads() == []
    relations[2].indices.copy_(good)
    loader = loader_of(relations, seeds, **options)
    assert batches_of(loader) == expected
    loader.close()


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("wrong", [240, -1])
def test_seeds_changed_to_no_nodes_under_way_are_an_error(seeds, num_workers, wrong):
    loader = loader_of(graph(), seeds, num_workers=num_workers, capacity=1)
    loader.next()
    seeds[-14:] = wrong
    with pytest.raises(IndexError, match=f"seeds.* {wrong}"):
        batches_of(loader)
    loader.close()


def test_threads_end_when_the_loader_is_let_go(seeds):
    loader = loader_of(graph(), seeds)
    loader.next()
    deadline = time.monotonic() + 10
    while len(native_threads()) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(native_threads()) == 2
    del loader
    assert native_threads() == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_closed_epoch_says_so(seeds, num_workers):
    loader = loader_of(graph(), seeds, num_workers=num_workers)
    loader.next()
    loader.close()
    loader.close()
    assert native_threads() == []
    with pytest.raises(ops.HopflowError, match="closed before its end"):
        loader.next()


def test_what_is_under_way_is_given_up_and_a_wait_has_a_limit():
    csc = random_csc(40_000, 40_000, 2_000_000)
    relation = ops.Relation(csc.indptr, csc.indices, 0, 0)
    loader = ops.TypedBatchLoader(
        [relation, relation], [40_000], torch.arange(40_000).repeat(2), [[-1, -1]] * 4,
        replace=False, idtype=torch.int64, batch_size=40_000, batches=range(2), seed=0,
        epoch=0, num_workers=1, capacity=2, cache=ops.ScratchCache(),
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="timed out after"):
        loader.next(0.001)
    loader.close()
    assert native_threads() == []


def test_closing_twice_at_once_never_shares_scratch(seeds):
    relations, cache = graph(), ops.ScratchCache()
    expected = batches_of(loader_of(relations, seeds, num_workers=0))
    for _ in range(20):
        loader = loader_of(relations, seeds, cache=cache)
        loader.next()
        closers = [threading.Thread(target=loader.close) for _ in range(3)]
        for closer in closers:
            closer.start()
        loader.close()
        other = loader_of(relations, seeds, cache=cache)
        assert batches_of(other) == expected
        for closer in closers:
            closer.join()
        other.close()


def run(code: str) -> subprocess.CompletedProcess[str]:
    start = """
        import os, torch
        from hopflow import ops
        indptr, indices = torch.arange(0, 4004, 4), torch.arange(4000) * 7 % 1000
        relations = [ops.Relation(indptr, indices, *types) for types in [(0, 0), (1, 0), (0, 1)]]
        def loader(num_workers):
            return ops.TypedBatchLoader(
                relations, [1000, 1000], torch.arange(2000), [[2, 2, 2]] * 2, replace=False,
                idtype=torch.int64, batch_size=3, batches=range(600), seed=0, epoch=0,
                num_workers=num_workers, capacity=4, cache=ops.ScratchCache())
        def ids(batch):
            return [nodes.input_nodes.tolist() for nodes in batch.blocks.nodes]
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(code)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_interpreter_leaves_with_an_epoch_under_way():
    done = run("epoch = loader(2); epoch.next(); print('left')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is Unix's")
def test_fork():
    done = run("""
        import warnings; warnings.simplefilter("ignore", DeprecationWarning)
        torch.set_num_threads(1)
        expected = [ids(batch) for batch in iter(loader(2).next, None)]
        epoch = loader(2)
        got = [ids(epoch.next())]
        pid = os.fork()
        if pid == 0:
            try:
                epoch.next()
            except ops.HopflowError as error:
                assert "another process" in str(error), error
            else:
                os._exit(3)
            del epoch
            os._exit(0 if [ids(b) for b in iter(loader(2).next, None)] == expected else 4)
        _, status = os.waitpid(pid, 0)
        got += [ids(batch) for batch in iter(epoch.next, None)]
        print(os.waitstatus_to_exitcode(status), got == expected)
    """)
    assert (done.stdout, done.stderr) == ("0 True\n", "")


# --- bad arguments ---


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"seeds": torch.tensor([0, 240])}, IndexError, r"seeds\[1\] is 240"),
        ({"seeds": torch.tensor([-1])}, IndexError, r"seeds\[0\] is -1"),
        ({"seeds": torch.tensor([0.5])}, TypeError, "seeds: expected int32 or int64"),
        ({"fanouts": [[1] * 4]}, ValueError, r"fanouts\[0\]: expected one for each of 5"),
        ({"fanouts": [[1] * 4 + [-2]]}, ValueError, r"fanouts\[0\]\[4\]: expected -1"),
        ({"batches": range(23)}, ValueError, "batches: got number 22, the seeds fill 22"),
        ({"batches": [-1]}, ValueError, "batches: got number -1, the seeds fill 22"),
        ({"capacity": 0}, ValueError, "capacity at least 1"),
    ],
)
def test_bad_arguments(seeds, change, error, match):
    with pytest.raises(error, match=match):
        loader_of(graph(), change.pop("seeds", seeds), **change)
    assert native_threads() == []


@pytest.mark.parametrize(
    ("columns", "transposes", "match"),
    [
        ([(torch.zeros(120, 2), 4, 0)], [], "type: expected 0 to 3, got 4"),
        ([(torch.zeros(120, 2), -1, 0)], [], "type: expected 0 to 3, got -1"),
        ([(torch.zeros(120, 2), 1, 0)], [], "column: expected 80 rows, got 120"),
        ([(torch.zeros(120, 2), 0, 4)], [], "level: expected 0 to 3, got 4"),
        ([(torch.zeros(2, 120).t(), 0, 0)], [], "column: expected contiguous rows"),
        ([], [(3, 0)], "hop: expected 0 to 2, got 3"),
        ([], [(0, 5)], "relation: expected 0 to 4, got 5"),
        ([], [(0, -1)], "relation: expected 0 to 4, got -1"),
    ],
)
def test_bad_requests(seeds, columns, transposes, match):
    loader = loader_of(graph(), seeds)
    with pytest.raises(ValueError, match=match):
        loader.request(columns, transposes)
    loader.close()
