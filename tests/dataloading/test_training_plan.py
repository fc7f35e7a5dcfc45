"""What an epoch is said to cost, against the epoch."""

import time

import numpy as np
import pytest
import torch

import hopflow as hf
from hopflow.storage import DiskColumn
from hopflow.storage.memory import MappedFiles, available_memory, own_memory
from hopflow.structure.ids import shared_tensor

pytestmark = pytest.mark.cpu_only

NUM_NODES = 3000


def graph_of(folder, memory=None, *, is_on_disk=True):
    torch.manual_seed(1)
    src = (torch.rand(40_000) ** 3 * NUM_NODES).long()
    graph = hf.graph((src, torch.randint(NUM_NODES, (40_000,))), num_nodes=NUM_NODES)
    feat = torch.randn(NUM_NODES, 32)
    np.save(folder / "feat.npy", feat.numpy())
    graph.ndata["feat"] = DiskColumn(folder / "feat.npy", memory=memory) if is_on_disk else feat
    graph.ndata["label"] = torch.randint(5, (NUM_NODES,))
    return graph


def loader_of(graph, num_workers=0, **options):
    sampler = hf.dataloading.NeighborSampler([4, 3])
    return hf.dataloading.DataLoader(
        graph, torch.arange(0, NUM_NODES, 2), sampler, batch_size=15, shuffle=True,
        num_workers=num_workers, **options,
    )  # fmt: skip


def read(batch):
    _, _, blocks = batch
    _ = blocks[0].srcdata["feat"], blocks[-1].dstdata["label"]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("is_fixed", [False, True])
def test_counts_bytes_and_hits_are_those_of_the_epoch(tmp_path, num_workers, is_fixed):
    graph = graph_of(tmp_path, memory=4 * NUM_NODES + 1000 * (128 + 9))
    column = graph.node_frames()["_N"].column("feat")
    loader = loader_of(graph, num_workers)
    if is_fixed:
        loader.keep_expected_rows()
    for batch in loader:  # a cache of the rows used last is full then
        read(batch)
    plan = hf.plan(loader, read, num_batches=40)
    assert plan.num_batches == len(loader) == 100
    assert plan.sampled_batches == 40
    before, nodes, edges = column.report(), 0, 0
    for batch in loader:
        read(batch)
        nodes += len(batch[0])
        edges += sum(block.num_edges() for block in batch[2])
    after = column.report()
    assert plan.input_nodes == pytest.approx(nodes / 100, rel=0.05)
    assert plan.edges == pytest.approx(edges / 100, rel=0.05)
    assert plan.disk_rows == pytest.approx((after.rows - before.rows) / 100, rel=0.05)
    rate = (after.hits - before.hits) / (after.rows - before.rows)
    assert plan.hit_rate == pytest.approx(rate, abs=0.05)
    assert plan.disk_bytes == pytest.approx((after.bytes - before.bytes) / 100, rel=0.3)
    assert plan.gathered_bytes == 15 * 8  # the labels
    assert [one.hit_rate for one in plan.caches["feat"]] == sorted(
        one.hit_rate for one in plan.caches["feat"]
    )
    assert plan.caches["feat"][-1].hit_rate == pytest.approx(1)
    for one in plan.caches["feat"]:
        assert one.hit_rate_recent <= one.hit_rate + 1e-6
    assert plan.memory["cache"] == after.memory
    assert plan.seconds_a_batch > 0
    assert plan.bound in ("model", "sampling", "gathering", "reading", "transposing")


def test_in_memory(tmp_path):
    graph = graph_of(tmp_path, is_on_disk=False)
    plan = hf.plan(loader_of(graph))
    assert plan.disk_rows == plan.disk_bytes == 0
    assert plan.caches == {}
    # feat and label of the input nodes, and no more.
    assert plan.gathered_bytes >= plan.input_nodes * (32 * 4 + 8) * 0.99
    assert plan.memory["columns"] == NUM_NODES * (32 * 4 + 8)
    assert plan.memory["graph"] > 40_000 * 4
    assert plan.memory_bytes > plan.memory["columns"]
    assert "100 batches an epoch" in str(plan)
    assert plan.to_dict()["fits"] == plan.fits


def test_the_loader_and_the_random_generator_stay_as_they_are(tmp_path):
    graph = graph_of(tmp_path, is_on_disk=False)

    def nodes(with_plan):
        torch.manual_seed(7)
        loader = loader_of(graph)
        if with_plan:
            hf.plan(loader)
        return [input_nodes.tolist() for input_nodes, _, _ in loader]

    assert nodes(True) == nodes(False)
    # Those that are sampled are the exact ones.
    torch.manual_seed(7)
    seen = []
    hf.plan(loader_of(graph), lambda batch: seen.append(batch[0].tolist()), num_batches=5)
    assert seen == nodes(False)[: len(seen)]


def test_an_epoch_of_few_batches(tmp_path):
    graph = graph_of(tmp_path, is_on_disk=False)
    sampler = hf.dataloading.NeighborSampler([2])
    loader = hf.dataloading.DataLoader(graph, torch.arange(3), sampler, batch_size=8)
    plan = hf.plan(loader)
    assert plan.num_batches == plan.sampled_batches == 1


def test_what_is_mapped_is_told_from_what_is_in_memory(tmp_path):
    graph = graph_of(tmp_path, is_on_disk=False)
    graph.ndata["feat"] = shared_tensor(np.load(tmp_path / "feat.npy", mmap_mode="r"))
    files = MappedFiles()
    assert files.holds(graph.ndata["feat"])
    assert not files.holds(graph.ndata["label"])
    plan = hf.plan(loader_of(graph))
    assert plan.mapped_bytes == NUM_NODES * 128
    assert plan.memory["columns"] == NUM_NODES * 8
    assert own_memory() > 1 << 20
    assert available_memory() > 1 << 20


def test_errors_of_the_step_surface_and_nothing_is_left_running(tmp_path):
    loader = loader_of(graph_of(tmp_path, is_on_disk=False), num_workers=2)

    def step(batch):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        hf.plan(loader, step)
    assert sum(1 for _ in loader) == 100


def test_errors(tmp_path):
    graph = graph_of(tmp_path, is_on_disk=False)
    with pytest.raises(TypeError, match="expected a DataLoader, got int"):
        hf.plan(3)
    with pytest.raises(ValueError, match="num_batches: expected at least 1, got 0"):
        hf.plan(loader_of(graph), num_batches=0)
    loader = hf.dataloading.DataLoader(graph, torch.arange(0), hf.dataloading.NeighborSampler([2]))
    with pytest.raises(ValueError, match="at least one batch"):
        hf.plan(loader)

    class Other(hf.dataloading.BlockSampler):
        pass

    loader = hf.dataloading.DataLoader(graph, torch.arange(4), Other())
    with pytest.raises(TypeError, match="expected a NeighborSampler, got Other"):
        hf.plan(loader)


@pytest.mark.parametrize("at", [90, 97])
def test_a_loader_that_goes_on_in_mid_epoch(tmp_path, at):
    graph = graph_of(tmp_path, is_on_disk=False)
    torch.manual_seed(0)
    loader = loader_of(graph)
    truth = hf.plan(loader, read)
    for step, _ in enumerate(loader):
        if step + 1 == at:
            state = loader.state_dict()
            break
    loader.load_state_dict(state)
    plan = hf.plan(loader, read)
    assert plan.sampled_batches == 10
    assert plan.input_nodes == pytest.approx(truth.input_nodes, rel=0.1)
    assert sum(1 for _ in loader) == 100 - at


def test_columns_count_as_much_as_they_are_read(tmp_path):
    graph = graph_of(tmp_path, memory="1MB")
    np.save(tmp_path / "idle.npy", np.zeros((NUM_NODES, 4), np.float32))
    graph.ndata["idle"] = DiskColumn(tmp_path / "idle.npy")
    loader = loader_of(graph)
    loader.keep_expected_rows()
    plan = hf.plan(loader, read)
    assert plan.hit_rate == pytest.approx(1)
    assert plan.disk_rows == pytest.approx(plan.input_nodes)


def test_memory_that_processes_share_is_memory():
    shared = torch.zeros(1 << 20).share_memory_()
    assert not MappedFiles().holds(shared)


def test_batches_of_another_form(tmp_path):
    class Dicts(hf.dataloading.NeighborSampler):
        def sample(self, g, seed_nodes):
            return {"seeds": seed_nodes}

    graph = graph_of(tmp_path, is_on_disk=False)
    loader = hf.dataloading.DataLoader(graph, torch.arange(9), Dicts([2]), batch_size=3)
    with pytest.raises(TypeError, match=r"expected batches .* got dict"):
        hf.plan(loader, lambda batch: None)


class _Slow(hf.dataloading.NeighborSampler):
    """Takes so many seconds for a batch, at least."""

    def __init__(self, seconds):
        super().__init__([2])
        self._seconds = seconds

    def sample(self, g, seed_nodes):
        time.sleep(self._seconds)
        return super().sample(g, seed_nodes)


def slow_loader(folder, seconds, num_seeds, prefetch_factor):
    """A loader of one worker, with batches of ten."""
    return hf.dataloading.DataLoader(
        graph_of(folder, is_on_disk=False), torch.arange(num_seeds), _Slow(seconds), batch_size=10,
        num_workers=1, prefetch_factor=prefetch_factor,
    )  # fmt: skip


def test_batches_that_are_there_already_are_not_taken_for_fast_ones(tmp_path):
    loader = slow_loader(tmp_path, 0.005, 1200, 20)
    steps = 0

    def step(batch):
        nonlocal steps
        steps += 1
        if steps <= 42:  # meanwhile 20 of those that are measured are made
            time.sleep(0.012)

    plan = hf.plan(loader, step, num_batches=40)
    assert steps == 82
    # 5 ms each at least, of which the last may have begun earlier.
    assert plan.seconds_a_batch > 0.0045


@pytest.mark.parametrize(("num_workers", "prefetch_factor"), [(1, 12), (2, 4), (2, 2)])
def test_no_batches_behind_the_last_one_are_not_taken_for_slow_workers(
    tmp_path, num_workers, prefetch_factor
):
    loader = hf.dataloading.DataLoader(
        graph_of(tmp_path, is_on_disk=False), torch.arange(120),
        hf.dataloading.NeighborSampler([2]), batch_size=10, num_workers=num_workers,
        prefetch_factor=prefetch_factor,
    )  # fmt: skip
    steps = []

    def step(batch):
        begin = time.perf_counter()
        time.sleep(0.01)
        steps.append(time.perf_counter() - begin)

    plan = hf.plan(loader, step, num_batches=10)
    assert plan.sampled_batches == 10
    # Beside the model's own time: a queue that runs dry would make it twice to ten times that.
    assert plan.seconds_a_batch < 1.5 * max(steps)
    assert plan.bound == "model" or plan.waiting_share < 0.5


def test_an_epoch_that_ends_with_the_measurement_shows_slow_workers(tmp_path):
    loader = slow_loader(tmp_path, 0.03, 120, 12)
    first = [0.5]
    plan = hf.plan(loader, lambda batch: time.sleep(first.pop() if first else 0.001))
    assert plan.seconds_a_batch > 0.03
    assert plan.bound == "sampling"


def test_rows_that_the_first_layer_reads_in_place_are_counted(tmp_path):
    graph = graph_of(tmp_path, is_on_disk=False)
    conv = hf.nn.SAGEConv(32, 32, "mean")
    sampler = hf.dataloading.NeighborSampler([2, 2])
    loader = hf.dataloading.DataLoader(graph, torch.arange(600), sampler, batch_size=300)
    edges, own = [], []

    def step(batch):
        _, _, blocks = batch
        rows = blocks[0].src_rows("feat")
        assert conv._reads_table(blocks[0], rows, None)
        conv(blocks[0], rows)
        edges.append(blocks[0].num_edges())
        own.append(blocks[0].num_dst_nodes())

    plan = hf.plan(loader, step, num_batches=2)
    assert plan.gathered_bytes == (sum(edges) + sum(own)) / len(edges) * 32 * 4
    # Where it gathers them after all it is a row a source.
    conv = hf.nn.SAGEConv(32, 4, "pool")
    plan = hf.plan(loader, lambda batch: conv(batch[2][0], batch[2][0].src_rows("feat")))
    assert plan.gathered_bytes == plan.input_nodes * 32 * 4
