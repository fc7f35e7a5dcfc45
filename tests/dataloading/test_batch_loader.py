"""Native threads behind the loader: what they bring along, how they end, what they may not do."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import torch
from helpers import native_threads

import hopflow as hf
from hopflow import ops
from hopflow.dataloading import DataLoader, NeighborSampler, packed_batch


@pytest.fixture
def gathers(monkeypatch):
    """Names of the columns gathered in the consumer's thread, one entry a gather."""
    names: list[str] = []
    take_rows = packed_batch.take_rows

    def counting(name, column, ids):
        names.append(name)
        return take_rows(name, column, ids)

    monkeypatch.setattr(packed_batch, "take_rows", counting)
    return names


def loader_of(graph, *, num_workers=2, fanouts=(3, 4), seeds=180, batch_size=6, **sampler):
    return DataLoader(
        graph, torch.arange(seeds), NeighborSampler(list(fanouts), **sampler),
        batch_size=batch_size, num_workers=num_workers, seed=3,
    )  # fmt: skip


def ids_of(batch):
    return batch[0].tolist(), batch[1].tolist(), [b.edges()[0].tolist() for b in batch[2]]


# --- columns ---


def test_columns_read_of_every_batch_are_gathered_by_the_workers(small_graph, gathers):
    small_graph.ndata["h"] = torch.randn(small_graph.num_nodes(), 5)
    small_graph.ndata["y"] = torch.arange(small_graph.num_nodes())
    for input_nodes, output_nodes, blocks in loader_of(small_graph):
        assert torch.equal(blocks[0].srcdata["h"], small_graph.ndata["h"][input_nodes])
        assert torch.equal(blocks[-1].dstdata["y"], output_nodes)
    # Only batches begun before the first read was seen lack them.
    assert 0 < gathers.count("h") <= 6
    assert 0 < gathers.count("y") <= 6


def test_columns_that_are_no_longer_read_are_no_longer_gathered(small_graph):
    loader = loader_of(small_graph)
    small_graph.ndata["h"] = torch.randn(small_graph.num_nodes(), 5)
    epoch = iter(loader)
    for step, (_, _, blocks) in enumerate(epoch):
        if step < 10:
            blocks[0].srcdata["h"]
        if step == 10:
            assert loader._reads.columns() == [(2, "_N", "h")]
    assert loader._reads.columns() == []


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    "column",
    [
        torch.randn(200, 5),
        torch.randn(200, 5).bfloat16(),
        torch.randn(200, 2, 3).half(),
        torch.randn(200, 8)[:, 2:5],  # rows apart
        torch.randn(5, 200).t(),  # no contiguous rows
        torch.arange(200),
        torch.arange(200) % 2 == 0,
        torch.randn(200, 0),
        torch.complex(torch.randn(200), torch.randn(200)).conj(),
        torch.randn(1, 4).expand(200, 4),
    ],
    ids=lambda x: f"{x.dtype}{list(x.shape)}{list(x.stride())}",
)
def test_columns_of_every_kind_arrive_as_they_are(small_graph, column, num_workers):
    small_graph.ndata["c"] = column
    sampler = {"prefetch_node_feats": ["c"], "prefetch_labels": ["c"]}
    for input_nodes, output_nodes, blocks in loader_of(
        small_graph, num_workers=num_workers, **sampler
    ):
        assert blocks[0].srcdata.is_read("c")
        assert blocks[-1].dstdata.is_read("c")
        assert torch.equal(blocks[0].srcdata["c"], column[input_nodes])
        assert torch.equal(blocks[-1].dstdata["c"], column[output_nodes])
        assert torch.equal(blocks[1].srcdata["c"], column[blocks[1].srcdata[hf.NID]])


def test_a_column_changed_in_place_between_batches_is_read_as_it_is(small_graph):
    """Historical embeddings are written back after every batch."""
    history = small_graph.ndata["history"] = torch.zeros(small_graph.num_nodes(), 3)
    for step, (input_nodes, output_nodes, blocks) in enumerate(loader_of(small_graph)):
        assert torch.equal(blocks[0].srcdata["history"], history[input_nodes])
        history[output_nodes] = float(step)


def test_a_replaced_column_is_read_as_it_was_when_the_batch_came(small_graph):
    for step, (input_nodes, _, blocks) in enumerate(loader_of(small_graph)):
        if step:
            assert torch.equal(blocks[0].srcdata["h"], small_graph.ndata["h"][input_nodes])
        small_graph.ndata["h"] = torch.full((small_graph.num_nodes(), 2), float(step))
    small_graph.ndata["h"] = torch.zeros(small_graph.num_nodes(), 2)


def test_a_learned_column_gets_its_gradient(small_graph):
    table = torch.nn.Parameter(torch.randn(small_graph.num_nodes(), 3))
    small_graph.ndata["embedding"] = table
    for input_nodes, _, blocks in loader_of(small_graph, prefetch_node_feats=["embedding"]):
        table.grad = None
        blocks[0].srcdata["embedding"].sum().backward()
        expected = torch.bincount(input_nodes, minlength=table.shape[0])
        assert torch.equal(table.grad, expected.float().unsqueeze(1).expand_as(table))


def test_two_columns_of_one_batch_never_share_memory(small_graph):
    small_graph.ndata["h"] = torch.randn(small_graph.num_nodes(), 3)
    for _, _, blocks in loader_of(small_graph):
        a, b = blocks[0].dstdata["h"], blocks[1].srcdata["h"]
        assert torch.equal(a, b)
        a.zero_()
        assert not torch.equal(a, b)


def test_a_missing_column_is_named(small_graph):
    with pytest.raises(KeyError, match="no source node column 'nothing'"):
        next(iter(loader_of(small_graph, prefetch_node_feats=["nothing"])))


def test_transposes_are_made_by_the_workers_once_a_backward_pass_needed_them(small_graph):
    layer = hf.nn.SAGEConv(4, 4, "mean")
    small_graph.ndata["h"] = torch.randn(small_graph.num_nodes(), 4)
    at_hand = []
    for _, _, blocks in loader_of(small_graph):
        at_hand.append([block.adjacency._transpose is not None for block in blocks])
        x = layer(blocks[0], blocks[0].srcdata["h"])
        layer(blocks[1], x).sum().backward()
        for block, made in zip(blocks, at_hand[-1]):
            if made:
                full = ops.transpose_csc(
                    block.adjacency.indptr, block.adjacency.indices, block.num_src_nodes()
                )
                assert all(map(torch.equal, block.adjacency.transpose(), full))
    # The input layer needs no gradient, hence no transpose.
    assert at_hand[-1] == [False, True]
    assert at_hand[0] == [False, False]


def test_transposes_are_no_longer_made_once_nothing_needs_them(small_graph):
    layer = hf.nn.SAGEConv(5, 4, "mean")
    loader = loader_of(small_graph)
    for step, (_, _, blocks) in enumerate(loader):
        with torch.set_grad_enabled(step < 10):
            x = blocks[0].srcdata["feat"].clone().requires_grad_(step < 10)
            y = layer(blocks[0], x)
            if step < 10:
                y.sum().backward()
        if step == 9:
            assert loader._reads.transposes() == [(1, 0)]
    assert loader._reads.transposes() == []


# --- one answer ---


@pytest.mark.cpu_only
def test_samples_do_not_depend_on_threads_workers_or_stamps_that_run_out():
    """A map of 2^20 slots has stamps for 2047 batches; the epoch has more."""
    num_nodes = 2**20 + 5
    indptr = torch.zeros(num_nodes + 1, dtype=torch.int64)
    indptr[1:] = 2**20  # node 0 has every in-edge but node 1's
    indptr[2:] += 3
    indices = torch.cat([torch.arange(2**20), torch.tensor([4, 0, 9])]).int()
    seeds = torch.ones(4500, dtype=torch.int64)
    seeds[0] = 0
    expected = ops.sample_blocks(indptr, indices, seeds[1:2], [-1], keys=[0])
    loader = ops.BatchLoader(
        indptr, indices, seeds, [-1], replace=False, idtype=torch.int64, batch_size=1,
        batches=range(4500), seed=0, epoch=0, num_workers=1, capacity=4,
        cache=ops.ScratchCache(),
    )  # fmt: skip
    hub = loader.next()
    assert hub.blocks.hops[0].num_src == 2**20
    for _ in range(4499):
        blocks = loader.next().blocks
        assert torch.equal(blocks.input_nodes, expected.input_nodes)
        assert torch.equal(blocks.hops[0].indices, expected.hops[0].indices)
    assert loader.next() is None
    loader.close()


def test_scratch_memory_serves_epoch_after_epoch(small_graph):
    loader = loader_of(small_graph)
    first = [ids_of(batch) for batch in loader]
    loader._num_epochs = 0
    assert [ids_of(batch) for batch in loader] == first


# --- ends ---


def test_a_bad_graph_is_an_error_in_the_consumer_and_the_loader_lives_on(small_graph):
    indices = small_graph.adjacency.indices
    good = indices.clone()
    loader = loader_of(small_graph)
    expected = [ids_of(batch) for batch in loader]
    loader._num_epochs = 0
    indices.fill_(10**6)
    with pytest.raises(ValueError, match=r"indices\[\d+\] is 1000000, but the graph has 200 nodes"):
        list(loader)
    assert native_threads() == []
    indices.copy_(good)
    loader._num_epochs = 0
    assert [ids_of(batch) for batch in loader] == expected


@pytest.mark.cpu_only
def test_threads_end_when_the_iterator_is_let_go(small_graph):
    loader = loader_of(small_graph)
    epoch = iter(loader)
    next(epoch)
    deadline = time.monotonic() + 10
    while len(native_threads()) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(native_threads()) == 2
    del epoch
    gc.collect()
    assert native_threads() == []


def test_a_closed_epoch_says_so(small_graph):
    loader = loader_of(small_graph)
    epoch = iter(loader)
    next(epoch)
    loader.close()
    assert native_threads() == []
    with pytest.raises(hf.HopflowError, match="closed before its end"):
        next(epoch)
    assert len(list(loader)) == 30


def run(code: str) -> subprocess.CompletedProcess[str]:
    start = """
        import os, sys, torch, hopflow as hf
        from hopflow.dataloading import DataLoader, NeighborSampler
        g = hf.graph((torch.arange(20000) % 997, torch.arange(20000) % 991), num_nodes=1000)
        def loader(num_workers):
            return DataLoader(g, torch.arange(1000), NeighborSampler([5, 5]), batch_size=2,
                              num_workers=num_workers, seed=1)
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(code)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.cpu_only
def test_the_interpreter_leaves_with_an_epoch_under_way():
    done = run("epoch = iter(loader(2)); next(epoch); print('left')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")


@pytest.mark.cpu_only
@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is Unix's")
def test_fork():
    done = run("""
        import warnings; warnings.simplefilter("ignore", DeprecationWarning)
        torch.set_num_threads(1)
        expected = [b[0].tolist() for b in loader(2)]
        epoch = iter(loader(2))
        got = [next(epoch)[0].tolist()]
        pid = os.fork()
        if pid == 0:
            try:
                next(epoch)
            except hf.HopflowError as error:
                assert "another process" in str(error), error
            else:
                os._exit(3)
            del epoch
            # New loaders work in the child.
            os._exit(0 if [b[0].tolist() for b in loader(2)] == expected else 4)
        _, status = os.waitpid(pid, 0)
        got += [b[0].tolist() for b in epoch]
        print(os.waitstatus_to_exitcode(status), got == expected)
    """)
    assert (done.stdout, done.stderr) == ("0 True\n", "")


@pytest.mark.cpu_only
def test_memory_stays_flat_over_ten_epochs():
    graph = hf.graph(
        (torch.randint(5000, (200_000,)), torch.randint(5000, (200_000,))), num_nodes=5000
    )
    graph.ndata["h"] = torch.randn(5000, 64)
    loader = DataLoader(graph, torch.arange(5000), NeighborSampler([10, 10]), batch_size=500,
                        num_workers=2, shuffle=True)  # fmt: skip

    def resident() -> int:
        gc.collect()
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def epoch() -> None:
        for _, _, blocks in loader:
            blocks[0].srcdata["h"]

    for _ in range(4):
        epoch()
    before = resident()
    for _ in range(10):
        epoch()
    assert resident() - before < 24 << 20


# --- what may change while workers run ---


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("prefetch", [None, ["feat"]])
@pytest.mark.parametrize("change", ["data", "dtype", "gradient"])
def test_a_column_changed_behind_its_name_is_noticed(small_graph, num_workers, prefetch, change):
    feat = small_graph.ndata["feat"]
    loader = loader_of(small_graph, num_workers=num_workers, prefetch_node_feats=prefetch)
    for i, (input_nodes, _, blocks) in enumerate(loader):
        x = blocks[0].srcdata["feat"]
        assert torch.equal(x, feat[input_nodes])
        assert x.requires_grad == feat.requires_grad
        if i % 4 == 3:
            if change == "data":
                feat.data = feat.data + 1
            elif change == "dtype":
                feat.data = feat.data.double() if feat.dtype == torch.float32 else feat.data.float()
            else:
                feat.requires_grad_(not feat.requires_grad)


@pytest.mark.cpu_only
def test_closing_twice_at_once_never_shares_scratch(small_graph):
    loader = loader_of(small_graph, num_workers=2)
    expected = [ids_of(batch) for batch in loader_of(small_graph, num_workers=0)]
    for _ in range(20):
        iterator = iter(loader)
        next(iterator)
        closers = [threading.Thread(target=loader.close) for _ in range(3)]
        for closer in closers:
            closer.start()
        loader.close()
        other = DataLoader(
            small_graph, torch.arange(180), NeighborSampler([3, 4]), batch_size=6, num_workers=2,
            seed=3,
        )  # fmt: skip
        assert [ids_of(batch) for batch in other] == expected
        for closer in closers:
            closer.join()


def test_overrides_on_a_sampler_instance_are_used(small_graph):
    sampler = NeighborSampler([3])
    calls = []
    plain = sampler.sample_blocks
    sampler.sample_blocks = lambda g, seeds: calls.append(len(seeds)) or plain(g, seeds)
    for _ in DataLoader(small_graph, torch.arange(30), sampler, batch_size=10):
        pass
    assert calls == [10, 10, 10]


def test_another_graph_gets_scratch_of_its_own():
    loader = None
    for size in (50, 5000):
        graph = hf.graph((torch.randint(size, (4 * size,)), torch.randint(size, (4 * size,))))
        if loader is None:
            loader = DataLoader(graph, [0, 1], NeighborSampler([3]), num_workers=2, seed=1)
        loader.graph, loader.indices = graph, torch.arange(graph.num_nodes())
        loader.batch_size = 2**62  # all in one batch
        ((_, output_nodes, _),) = list(loader)
        assert output_nodes.tolist() == list(range(graph.num_nodes()))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_batch_read_under_inference_mode_can_be_trained_on(small_graph, num_workers):
    loader = loader_of(small_graph, num_workers=num_workers)
    with torch.inference_mode():
        blocks = []
        for _, _, batch in loader:
            batch[0].srcdata["feat"]
            blocks.append(batch[0])
    layer = hf.nn.SAGEConv(5, 3, "mean")
    for block in blocks:
        layer(block, block.srcdata["feat"]).sum().backward()


@pytest.mark.cpu_only
@pytest.mark.parametrize("num_workers", [0, 1])
def test_arrays_moved_to_shared_memory_end_the_epoch(small_graph, num_workers):
    iterator = iter(loader_of(small_graph, num_workers=num_workers))
    next(iterator)
    small_graph.adjacency.indices.share_memory_()
    with pytest.raises(hf.HopflowError, match="moved while the epoch was under way"):
        next(iterator)
    loader = loader_of(small_graph, num_workers=0, prefetch_node_feats=["feat"])
    for i, (input_nodes, _, blocks) in enumerate(loader):
        assert torch.equal(blocks[0].srcdata["feat"], small_graph.ndata["feat"][input_nodes])
        if i == 2:
            small_graph.ndata["feat"].share_memory_()
