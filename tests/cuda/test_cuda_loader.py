"""Batches made on CUDA, and the host memory that is page-locked for them.

They run where there is a CUDA device, and on the emulated kernels (tests/emulation/plugin.py);
elsewhere they are skipped.
"""

from __future__ import annotations

import pytest
import torch
from helpers import is_emulated, needs_gpu

import hopflow as hf
from hopflow import ops
from hopflow.dataloading import DataLoader, NeighborSampler

# --- the loader ---


def batches_of(graph, device, seeds=150, *, epochs=2, sampler=None, **options):
    sampler = sampler or NeighborSampler([3, 5, 2])
    loader = DataLoader(
        graph, torch.arange(seeds), sampler, device=device, batch_size=16, shuffle=True, seed=5,
        **options,
    )  # fmt: skip
    found = []
    for _ in range(epochs):
        for input_nodes, output_nodes, blocks in loader:
            x = blocks[0].srcdata["feat"]
            y = blocks[-1].dstdata["label"]
            w = blocks[1].edata["weight"]
            h = x
            for block in blocks:
                with block.local_scope():
                    block.srcdata["h"] = h
                    block.update_all(hf.function.copy_u("h", "m"), hf.function.mean("m", "h"))
                    h = block.dstdata["h"]
            batch = [input_nodes, output_nodes, x, y, w, h]
            for block in blocks:
                batch += [*block.edges(), block.srcdata[hf.NID], block.edata[hf.EID]]
            assert all(t.device == torch.device(device) for t in batch)
            found.append([t.detach().cpu() for t in batch])
    return found


WAYS = {
    "graph on the GPU": {"where": "cuda"},
    "graph in pinned memory": {"where": "cpu", "use_uva": True},
    "rows kept on the GPU": {
        "where": "cpu", "use_uva": True, "gpu_cache": {"node": {"feat": 50}},
    },
    "sampled on the CPU": {"where": "cpu"},
    "sampled on the CPU by threads": {"where": "cpu", "num_workers": 2},
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_batches_are_the_cpus(cuda, small_graph, way):
    needs_gpu()
    options = dict(WAYS[way])
    graph = small_graph.to(cuda) if options.pop("where") == "cuda" else small_graph
    for prefetch in (None, ["feat"]):
        sampler = NeighborSampler([3, 5, 2], prefetch_node_feats=prefetch)
        ours = batches_of(graph, cuda, sampler=sampler, **options)
        theirs = batches_of(small_graph, torch.device("cpu"), sampler=sampler)
        assert len(ours) == len(theirs) == 20
        for a, b in zip(ours, theirs):
            assert all(torch.equal(x, y) for x, y in zip(a, b))


def test_a_cache_counts_its_hits_and_notices_changes(cuda, small_graph):
    graph = small_graph
    if is_emulated():
        # There a graph "on the GPU" may have a cache too.
        loader = DataLoader(
            graph, torch.arange(100), NeighborSampler([4, 4]), batch_size=10,
            gpu_cache={"node": {"feat": 200}},
        )  # fmt: skip
    else:
        loader = DataLoader(
            graph, torch.arange(100), NeighborSampler([4, 4]), batch_size=10, device=cuda,
            use_uva=True, gpu_cache={"node": {"feat": 200}},
        )  # fmt: skip
    for input_nodes, _, blocks in loader:
        assert torch.equal(blocks[0].srcdata["feat"].cpu(), graph.ndata["feat"][input_nodes.cpu()])
    assert loader.cache_hit_rates() == {"feat": 1.0}
    for input_nodes, output_nodes, blocks in loader:
        rows = blocks[0].srcdata["feat"].cpu()
        assert torch.equal(rows, graph.ndata["feat"][input_nodes.cpu()])
        graph.ndata["feat"][output_nodes.cpu()] += 1


def test_batches_overlap_training_without_harm(cuda):
    needs_gpu()
    graph = hf.graph((torch.randint(5000, (60000,)), torch.randint(5000, (60000,))), num_nodes=5000)
    graph.ndata["feat"] = torch.arange(5000.0).view(-1, 1).repeat(1, 64)
    graph = graph.to(cuda)
    loader = DataLoader(graph, torch.arange(5000), NeighborSampler([10, 10]), batch_size=50)
    sums, nodes = [], []
    for input_nodes, _, blocks in loader:
        x = blocks[0].srcdata["feat"]
        torch.cuda._sleep(2_000_000)  # the consumer lags behind: memory must not be reused early
        sums.append(x.sum(1) / 64)
        nodes.append(input_nodes)
        del x, blocks
    assert all(torch.equal(s, n.float()) for s, n in zip(sums, nodes))


def test_leaving_and_resuming(cuda, small_graph):
    graph = small_graph.to(cuda)
    loader = DataLoader(graph, torch.arange(90), NeighborSampler([3]), batch_size=10, seed=4)
    whole = [batch[0].tolist() for batch in loader]
    other = DataLoader(graph, torch.arange(90), NeighborSampler([3]), batch_size=10, seed=4)
    for i, batch in enumerate(other):
        assert batch[0].tolist() == whole[i]
        if i == 3:
            break
    state = other.state_dict()
    assert state["batch"] == 4
    other.load_state_dict(state)
    assert [batch[0].tolist() for batch in other] == whole[4:]


def test_training_in_bfloat16(cuda, small_graph):
    graph = small_graph.to(cuda)
    graph.ndata["feat"] = torch.randn(200, 16, device=cuda)
    graph.ndata["label"] = (graph.ndata["feat"][:, 0] > 0).long()
    layers = torch.nn.ModuleList([hf.nn.SAGEConv(16, 32, "mean"), hf.nn.SAGEConv(32, 2, "mean")])
    layers.to(cuda)
    optimizer = torch.optim.Adam(layers.parameters(), lr=0.02)
    losses = []
    for _ in range(4 if is_emulated() else 12):
        for _, _, blocks in DataLoader(
            graph, torch.arange(200), NeighborSampler([5, 5]), batch_size=50
        ):
            with torch.autocast(cuda.type, dtype=torch.bfloat16):
                h = blocks[0].srcdata["feat"]
                h = layers[1](blocks[1], torch.relu(layers[0](blocks[0], h)))
            loss = torch.nn.functional.cross_entropy(h.float(), blocks[-1].dstdata["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert sum(losses[-4:]) < 0.7 * sum(losses[:4])
    with torch.inference_mode():
        for _, _, blocks in DataLoader(
            graph, torch.arange(200), NeighborSampler([5, 5]), batch_size=50
        ):
            x = blocks[0].srcdata["feat"].bfloat16()
            layer = hf.nn.SAGEConv(16, 8, "mean").to(cuda, torch.bfloat16)
            assert layer(blocks[0], x).dtype == torch.bfloat16


# --- pinned memory ---


def test_pinned_once_and_released(cuda, small_graph):
    graph, twin = small_graph, small_graph.int()
    assert not graph.is_pinned()
    graph.pin_memory_()
    assert graph.is_pinned()
    assert twin.is_pinned()  # the same memory
    twin.pin_memory_()
    graph.unpin_memory_()
    assert graph.is_pinned()  # the twin still holds it
    ids = torch.tensor([3, 1], device=cuda)
    expected = small_graph.ndata["feat"][[3, 1]]
    assert torch.equal(ops.gather_rows(graph.ndata["feat"], ids).cpu(), expected)
    twin.unpin_memory_()
    assert not graph.is_pinned()


def test_neighbours_on_the_heap_are_pinned_one_by_one(cuda):
    tensors = [torch.arange(float(n)) for n in [*range(1, 100), *range(1000, 60_000, 3000)]]
    expected = [x.clone() for x in tensors]
    alias = tensors[50]
    pins = [ops.pin_memory(x) for x in tensors]
    assert all(ops.is_pinned(x) for x in tensors)
    assert not any(ops.is_pinned(x) for x in expected)  # nothing but what was asked for
    alias[0] = expected[50][0] = 5  # still the same tensor
    for i in range(0, len(tensors), 2):
        pins[i] = None
    assert all(ops.is_pinned(x) for x in tensors[1::2])
    assert not any(ops.is_pinned(x) for x in tensors[::2])
    for i in range(0, len(tensors), 2):
        pins[i] = ops.pin_memory(tensors[i])
    assert all(ops.is_pinned(x) for x in tensors)
    if not is_emulated():
        for x, e in zip(tensors, expected):
            assert torch.equal(x.to(cuda, non_blocking=True).cpu(), e)
            ids = torch.arange(x.shape[0], device=cuda)
            assert torch.equal(ops.gather_rows(x, ids).cpu(), e)
    pins.clear()
    assert not any(ops.is_pinned(x) for x in tensors)
    assert ops.pin_memory(torch.empty(0)) is None
    assert all(torch.equal(x, e) for x, e in zip(tensors, expected))


def test_large_tensors_are_pinned_where_they_are(cuda):
    x = torch.arange(float(10**7))
    address = x.data_ptr()
    pin, again = ops.pin_memory(x), ops.pin_memory(x[1000:2000])
    assert x.data_ptr() == address
    assert ops.is_pinned(x)
    del pin
    assert ops.is_pinned(x)  # the slice holds the lock still
    assert again is not None
    del again
    assert not ops.is_pinned(x)


def test_memory_locked_in_part_is_refused(cuda):
    x = torch.arange(float(10**7))
    pin = ops.pin_memory(x[: 9 * 10**6])
    assert pin is not None
    assert ops.is_pinned(x[:1000])
    assert not ops.is_pinned(x)
    with pytest.raises(hf.HopflowError, match="a part is locked already"):
        ops.pin_memory(x)
    if not is_emulated():
        with pytest.raises(hf.HopflowError, match="ordinary host memory"):
            ops.gather_rows(x, torch.tensor([0], device=cuda))


def test_pool_buffers_are_copied_whole(cuda):
    needs_gpu()
    ops.set_pool_pinned(True)
    try:
        for count in (20_000, 100_000, 300_000):  # below and above where huge pages begin
            x = ops.pooled(torch.arange(count), torch.int64)
            assert ops.is_pinned(x)
            assert torch.equal(x.to(cuda, non_blocking=True).cpu(), torch.arange(count))
    finally:
        ops.set_pool_pinned(False)


def test_an_epoch_outlives_its_loader(cuda, small_graph):
    needs_gpu()
    expected = small_graph.ndata["feat"].clone()

    def batches():
        # Nobody holds the loader while its epoch is under way.
        return iter(
            DataLoader(
                small_graph, torch.arange(200), NeighborSampler([3, 3]), batch_size=50,
                device=cuda, use_uva=True,
            )
        )  # fmt: skip

    for input_nodes, _, blocks in batches():
        assert torch.equal(blocks[0].srcdata["feat"].cpu(), expected[input_nodes.cpu()])
    del blocks  # the last batch may still gather
    assert not ops.is_pinned(small_graph.ndata["feat"])
