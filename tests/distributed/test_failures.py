"""Ranks that are killed, stopped, slow or wrong: the others get an error that says so, in time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from ranks import error_of, rank_context
from test_partitioned_graph import assignment, loader_of, whole

from hopflow.dataloading import BlockSampler, DataLoader, NeighborSampler
from hopflow.distributed import (
    NodeEmbedding,
    PartitionedGraph,
    layerwise_inference,
    part_of,
)

LIMIT = 4.0  # seconds that a rank may take to answer
NAMED = 12.0  # the limit, the silence that makes a rank suspect, and time for a busy machine


def begin(rank, num, file):
    """A process group, and the rank's part of the graph."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{file}", rank=rank, world_size=num,
        timeout=timedelta(seconds=60),
    )  # fmt: skip
    graph = whole()
    part = part_of(graph, assignment(graph, num, "hash"), rank, num)
    return PartitionedGraph(part, timeout=LIMIT)


def endless(rank, num, file, num_workers, pipe):
    """Load batches until something fails; tell what, and when."""
    parts = begin(rank, num, file)
    loader = loader_of(parts, "one", "plain", use_ddp=True, num_workers=num_workers)
    pipe.send("ready")

    def run():
        while True:
            for _ in loader:
                pass

    pipe.send((error_of(run), time.time()))
    # As a program that fails: no farewell to the others.
    pipe.close()
    os._exit(1)


class World:
    """Processes that load batches for ever."""

    def __init__(self, folder, num, num_workers, work=endless):
        context = rank_context()
        self.processes, self.pipes = [], []
        file = folder / f"store-{time.monotonic_ns()}"
        for rank in range(num):
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(rank, num, file, num_workers, theirs))
            process.start()
            theirs.close()
            self.processes.append(process)
            self.pipes.append(ours)
        for pipe in self.pipes:
            assert pipe.poll(60)
            assert pipe.recv() == "ready"

    def send(self, rank, number):
        os.kill(self.processes[rank].pid, number)
        return time.time()

    def errors(self, ranks):
        found = {}
        for rank in ranks:
            assert self.pipes[rank].poll(NAMED + 10), f"rank {rank} hangs"
            found[rank] = self.pipes[rank].recv()
        return found

    def end(self):
        for process in self.processes:
            process.kill()
            process.join()


@pytest.fixture
def world(tmp_path):
    made = []

    def make(num, num_workers):
        made.append(World(tmp_path, num, num_workers))
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.mark.parametrize(
    ("number", "num_workers"), [(signal.SIGKILL, 0), (signal.SIGKILL, 2), (signal.SIGSTOP, 2)]
)
def test_a_rank_that_is_killed_or_stopped_is_named(world, number, num_workers):
    running = world(3, num_workers)
    time.sleep(random.uniform(0.1, 0.6))
    at = running.send(2, number)
    for rank, (error, when) in running.errors([0, 1]).items():
        assert error.startswith("HopflowError: "), error
        assert f"failed on rank {rank}: rank 2 (" in error
        assert "gives no sign of life" in error
        assert when - at < NAMED


def slow(rank):
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, 2, "hash"), rank, 2), timeout=2)
    sampler = NeighborSampler([3])
    found = []
    for seconds in (1, 4):
        time.sleep(seconds * rank)
        found.append(error_of(lambda: sampler.sample(parts, [1, 2])))
    parts.close()
    return found


def test_a_slow_rank_is_waited_for_as_long_as_the_limit_says(ranks):
    (first, late), (other, _) = ranks.run(slow, num=2)
    assert first is None
    assert other is None
    assert "every rank is alive; one was slower than the limit" in late


class Failing(BlockSampler):
    """Fails at one batch on one rank."""

    def __init__(self, rank):
        super().__init__()
        self.rank, self.count = rank, 0

    def sample(self, g, seeds):
        self.count += 1
        if self.rank == 1 and self.count == 3:
            raise LookupError("no such thing")
        return NeighborSampler([3, 2]).sample(g, seeds)


def one_fails(rank, num_workers):
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, 3, "hash"), rank, 3), timeout=LIMIT)
    loader = DataLoader(
        parts,
        range(150),
        Failing(rank),
        batch_size=10,
        num_workers=num_workers,
        use_ddp=True,
        seed=1,
    )
    begin = time.monotonic()
    first = error_of(lambda: list(loader))
    took = time.monotonic() - begin
    # The loader can be used again.
    again = [len(list(loader)) for _ in range(2)]
    parts.close()
    return first, took, again


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_on_one_rank_reaches_all(ranks, num_workers):
    for rank, (error, took, again) in enumerate(ranks.run(one_fails, num_workers, num=3)):
        if rank == 1:
            assert error == "LookupError: no such thing"
        else:
            assert f"failed on rank {rank}: rank 1 failed with LookupError: no such thing" in error
        assert took < NAMED
        assert again == [5, 5]


OTHERS = {
    "fanout": [lambda: NeighborSampler([3]), lambda: NeighborSampler([4])],
    "columns": [
        lambda: NeighborSampler([3], prefetch_labels=["label"]),
        lambda: NeighborSampler([3], prefetch_node_feats=["feat"], prefetch_labels=["label"]),
    ],
    "hops": [lambda: NeighborSampler([3]), lambda: NeighborSampler([3, 3])],
}


def other_step(rank, what):
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, 2, "hash"), rank, 2), timeout=LIMIT)
    sampler = OTHERS[what][rank]()
    found = error_of(lambda: sampler.sample(parts, [1, 2]))
    parts.close()
    return found


@pytest.mark.parametrize("what", list(OTHERS))
def test_ranks_at_different_steps_are_told_so(ranks, what):
    for rank, error in enumerate(ranks.run(other_step, what, num=2)):
        assert error.startswith(
            f"HopflowError: rank {1 - rank} is at another step than rank {rank}"
        )


def leave_early(rank, num_workers):
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, 2, "hash"), rank, 2), timeout=20)
    loader = loader_of(parts, "one", "plain", use_ddp=True, num_workers=num_workers)
    for stop in (1, 3, 0):
        for i, _ in enumerate(loader):
            time.sleep(0.01 * rank)
            if i == stop:
                break
    found = [batch[0].tolist() for batch in loader]
    parts.close()
    return found


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_ranks_may_leave_a_loop_together(ranks, num_workers):
    first, second = ranks.run(leave_early, num_workers, num=2)
    alone = loader_of(whole(), "one", "plain")
    for _ in range(3):
        iter(alone)
    expected = [batch[0].tolist() for batch in alone]
    assert first == expected[::2]
    assert second[: len(expected) // 2] == expected[1::2]


def close_in_a_loop(rank, num_workers):
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, 2, "hash"), rank, 2), timeout=20)
    loader = loader_of(parts, "one", "plain", use_ddp=True, num_workers=num_workers)
    batches = iter(loader)
    found = len([next(batches) for _ in range(2)])
    parts.close()  # threads are at work on later batches
    return found


@pytest.mark.parametrize("num_workers", [1, 3])
def test_a_graph_may_be_closed_in_a_loop(ranks, num_workers):
    for _ in range(3):
        assert ranks.run(close_in_a_loop, num_workers, num=2) == [2, 2]


@pytest.mark.parametrize("how", ["left", "open", "destroy", "raise"])
def test_a_program_may_end_without_closing_anything(tmp_path, how):
    here = Path(__file__).resolve().parent
    paths = [str(here), str(here.parent), *filter(None, sys.path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(here / "left_open.py")]
    running = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "store"), how], env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        for process in running:
            out, err = process.communicate(timeout=60)
            assert process.returncode == (3 if how == "raise" else 0), err
            assert "end" in out or how == "raise"
    finally:
        for process in running:
            process.kill()


# --- ranks that want different things ---


def at_odds(rank, what):
    graph = whole()
    assigned = assignment(graph, 2, "hash")
    if what == "assigned" and rank == 1:
        assigned["_N"] = assigned["_N"].flip(0)
    if what == "dtype" and rank == 1:
        graph.ndata["feat"] = graph.ndata["feat"].double()
    part = part_of(graph, assigned, rank, 2)
    try:
        parts = PartitionedGraph(part, timeout=LIMIT)
    except ValueError as error:
        return f"ValueError: {error}"
    options = {"use_ddp": True}
    if what == "by_part":
        options["seeds_by_part"] = rank == 0
    if what == "num_workers":
        options["num_workers"] = rank
    if what == "prefetch_factor":
        options |= {"num_workers": 1, "prefetch_factor": 1 + rank}
    if what == "width":
        found = error_of(lambda: NodeEmbedding(parts, 3 + rank)(torch.tensor([1, 2])))
    elif what == "inference":
        x = parts.columns()["feat"].to(torch.float64 if rank else torch.float32)
        found = error_of(lambda: layerwise_inference(parts, [lambda block, x: x[:0]], x))
    else:
        found = error_of(lambda: next(iter(loader_of(parts, "one", "plain", **options))))
    parts.close()
    return found


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("by_part", "seeds_by_part is None on rank 1"),
        ("num_workers", "num_workers is 1 on rank 1 and 0 on rank 0"),
        ("prefetch_factor", "prefetch_factor is 2 on rank 1 and 1 on rank 0"),
        ("assigned", "has a part of another partitioning than rank 0"),
        ("dtype", "has a part of another partitioning than rank 0"),
        ("width", "is at another step"),
        ("inference", "is at another step"),
    ],
)
def test_ranks_at_odds_are_told_so(ranks, what, message):
    for error in ranks.run(at_odds, what, num=2):
        assert message in error


def closed(rank):
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, 2, "hash"), rank, 2), timeout=LIMIT)
    loader = DataLoader(parts, range(150), Failing(1), batch_size=10, use_ddp=True, seed=1)
    first = error_of(lambda: list(loader))  # on both ranks
    sampler = NeighborSampler([2])
    found = [first, error_of(lambda: sampler.sample(parts, [1]))]
    parts.cache_rows(sampler, [1, 2], rows=3)  # opens it again
    found.append(error_of(lambda: sampler.sample(parts, [1])))
    parts.close()
    return [*found, error_of(lambda: sampler.sample(parts, [1]))]


def test_a_closed_exchange_says_so_and_opens_again(ranks):
    for first, second, third, last in ranks.run(closed, num=2):
        assert first == "LookupError: no such thing"
        assert second.startswith("HopflowError: the exchange of rank")
        assert third is None
        assert last.startswith("HopflowError: the exchange of rank")


def killed_between(rank, num, file, num_workers, pipe):
    parts = begin(rank, num, file)
    pipe.send("ready")
    if rank == 1:
        time.sleep(100)
    time.sleep(1)
    loader = loader_of(parts, "one", "plain", use_ddp=True)
    pipe.send((error_of(lambda: iter(loader)), time.time()))
    os._exit(1)


def test_a_rank_stopped_between_loops_is_named(tmp_path):
    running = World(tmp_path, 2, 0, killed_between)
    try:
        at = running.send(1, signal.SIGSTOP)
        error, when = running.errors([0])[0]
        assert "what ranks agree on failed on rank 0: rank 1 (" in error
        assert when - at < NAMED
    finally:
        running.end()


def wrong_parts(rank, change):
    graph = whole()
    part = part_of(graph, assignment(graph, 2, "hash"), rank, 2)
    if change == "swapped":
        part = part_of(graph, assignment(graph, 2, "hash"), 1 - rank, 2)
    elif change == "other":
        object.__setattr__(part, "partition_id", f"id {rank}")
    elif change == "three":
        part = part_of(graph, assignment(graph, 3, "hash"), rank, 3)
    return error_of(lambda: PartitionedGraph(part))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("swapped", "ValueError: rank 0 has part 1, expected part 0"),
        (
            "other",
            "ValueError: rank 1 has a part of another partitioning than rank 0: id 1, not id 0",
        ),
        ("three", "HopflowError: a graph in 3 parts: expected as many ranks, got 2"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(ranks, change, match):
    for error in ranks.run(wrong_parts, change, num=2):
        assert error.startswith(match)
