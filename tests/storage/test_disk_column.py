"""Columns that stay in files, in graphs, blocks and loaders."""

import copy
import pickle

import numpy as np
import pytest
import torch

import hopflow as hf
from hopflow.storage import DiskColumn
from hopflow.storage.sizes import size_in_bytes

pytestmark = pytest.mark.cpu_only


def graph_with(folder, num_nodes=300, num_edges=3000, dtype=np.float32, seed=0, **options):
    """A graph with the same columns in memory and on disk."""
    rng = np.random.default_rng(seed)
    graph = hf.graph(
        (rng.integers(0, num_nodes, num_edges), rng.integers(0, num_nodes, num_edges)),
        num_nodes=num_nodes,
    )
    feat = rng.standard_normal((num_nodes, 20)).astype(dtype)
    weight = rng.standard_normal((num_edges, 3)).astype(np.float32)
    np.save(folder / "feat.npy", feat)
    np.save(folder / "weight.npy", weight)
    graph.ndata["x"] = torch.from_numpy(feat)
    graph.ndata["feat"] = DiskColumn(folder / "feat.npy", **options)
    graph.edata["w"] = torch.from_numpy(weight)
    graph.edata["weight"] = DiskColumn(folder / "weight.npy", **options)
    return graph


@pytest.mark.parametrize("memory", [None, 5000, "1MiB"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_have_the_rows(tmp_path, num_workers, memory):
    graph = graph_with(tmp_path, memory=memory)
    sampler = hf.dataloading.NeighborSampler([4, 3])
    loader = hf.dataloading.DataLoader(
        graph, torch.arange(300), sampler, batch_size=16, shuffle=True, num_workers=num_workers
    )
    for _ in range(3):
        for _, _, blocks in loader:
            source, feat = blocks[0].srcdata, blocks[0].srcdata["feat"]
            assert torch.equal(feat, source["x"])
            assert feat.shape == (blocks[0].num_src_nodes(), 20)
            assert torch.equal(blocks[-1].dstdata["feat"], blocks[-1].dstdata["x"])
            assert torch.equal(blocks[0].edata["weight"], blocks[0].edata["w"])
    report = graph.node_frames()["_N"].column("feat").report()
    assert report.rows > 0
    assert (report.hits > 0) == (memory is not None)
    assert (report.memory == 0) == (memory is None)


def test_the_loader_threads_read_ahead(tmp_path):
    graph = graph_with(tmp_path)
    column = graph.node_frames()["_N"].column("feat")
    sampler = hf.dataloading.NeighborSampler([4], prefetch_node_feats=["feat"])
    loader = hf.dataloading.DataLoader(
        graph, torch.arange(300), sampler, batch_size=100, num_workers=1
    )
    expected = 0
    for _, _, blocks in loader:
        before = column.report().rows
        rows = blocks[0].srcdata["feat"]
        assert column.report().rows == before  # they had been read
        expected += rows.shape[0]
    assert column.report().rows == expected


def test_the_same_training_from_memory_and_from_disk(tmp_path):
    graph = graph_with(tmp_path, memory=8000)

    def losses(name):
        torch.manual_seed(0)
        conv = hf.nn.SAGEConv(20, 4, "mean")
        optimizer = torch.optim.SGD(conv.parameters(), lr=0.1)
        loader = hf.dataloading.DataLoader(
            graph, torch.arange(200), hf.dataloading.NeighborSampler([5]), batch_size=32,
            shuffle=True, num_workers=2, seed=3,
        )  # fmt: skip
        found = []
        for _, output_nodes, blocks in loader:
            loss = (
                (conv(blocks[0], blocks[0].srcdata[name]) - output_nodes[:, None] / 200)
                .square()
                .mean()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    assert losses("feat") == losses("x")


def test_as_any_column_of_a_graph(tmp_path):
    graph = graph_with(tmp_path, memory="1MiB")
    x = graph.ndata["x"]
    assert torch.equal(graph.ndata["feat"], x)
    assert torch.equal(graph.nodes[[5, 7, 5]].data["feat"], x[[5, 7, 5]])
    assert "'feat': Scheme(shape=(20,), dtype=torch.float32)" in repr(graph)
    part = hf.node_subgraph(graph, torch.arange(0, 300, 3))
    assert torch.equal(part.ndata["feat"], x[::3])
    part = hf.in_subgraph(graph, torch.tensor([3, 4]))
    assert torch.equal(part.edata["weight"], part.edata["w"])
    with graph.local_scope():
        graph.update_all(hf.function.copy_u("feat", "m"), hf.function.mean("m", "a"))
        graph.update_all(hf.function.copy_u("x", "m"), hf.function.mean("m", "b"))
        assert torch.equal(graph.ndata["a"], graph.ndata["b"])
    for other in (pickle.loads(pickle.dumps(graph)), copy.deepcopy(graph), graph.int()):
        assert isinstance(other.node_frames()["_N"].column("feat"), DiskColumn)
        assert torch.equal(other.ndata["feat"], x)
    with pytest.raises(ValueError, match="expected one row for each of the 10 nodes"):
        hf.graph(([0], [1]), num_nodes=10).ndata["feat"] = graph.node_frames()["_N"].column("feat")


def test_writing(tmp_path):
    graph = graph_with(tmp_path, memory="1MiB", writable=True)
    column = graph.node_frames()["_N"].column("feat")
    expected = graph.ndata["x"].clone()
    ids = torch.tensor([4, 9, 4])
    graph.nodes[ids].data["feat"] = torch.arange(60.0).view(3, 20)
    expected[9], expected[4] = torch.arange(20.0, 40), torch.arange(40.0, 60)
    assert torch.equal(graph.ndata["feat"], expected)
    assert torch.equal(column.gather(torch.arange(300)), expected)
    sampler = hf.dataloading.NeighborSampler([4])
    loader = hf.dataloading.DataLoader(
        graph, torch.arange(300), sampler, batch_size=50, num_workers=2
    )
    # What is written while batches are under way is seen by those that are read later: a loader
    # sees that what it brought along is old.
    for step, (input_nodes, _, blocks) in enumerate(loader):
        assert torch.equal(blocks[0].srcdata["feat"], expected[input_nodes])
        expected[input_nodes] = float(step)
        column.write(input_nodes, expected[input_nodes])
    column.flush()
    assert np.array_equal(np.load(tmp_path / "feat.npy"), expected.numpy())
    with pytest.raises(ValueError, match="expected rows as it has"):
        graph.nodes[ids].data["feat"] = torch.zeros(3, 19)
    with pytest.raises(ValueError, match="for reading alone"):
        DiskColumn(tmp_path / "weight.npy").write([0], torch.zeros(1, 3))


def test_keeping_rows(tmp_path):
    graph_with(tmp_path)
    column = DiskColumn(tmp_path / "feat.npy", memory=4 * 300 + 50 * (80 + 9))
    assert column.capacity == 50
    assert column.keep(torch.arange(299, -1, -1)) == 50  # the first of them, as many as fit
    column.gather(torch.arange(250, 300))
    report = column.report()
    assert (report.rows, report.hits, report.cached_rows) == (100, 50, 50)
    assert report.hit_rate == 0.5
    assert report.wait_seconds > 0
    assert report.bytes > 0


def test_bfloat16_and_other_dtypes(tmp_path):
    x = torch.randn(30, 4)
    np.save(tmp_path / "b.npy", x.bfloat16().view(torch.int16).numpy())
    column = DiskColumn(tmp_path / "b.npy", dtype="bfloat16")
    ids = torch.tensor([3, 29])
    assert torch.equal(column.gather(ids), x.bfloat16()[ids])
    assert torch.equal(column.read(), x.bfloat16())
    with pytest.raises(ValueError, match="expected an array of float16, got int16"):
        DiskColumn(tmp_path / "b.npy", dtype="float16")


def test_files_that_will_not_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npy: no such file"):
        DiskColumn(tmp_path / "none.npy")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(ValueError, match=r"text\.npy: expected an .npy file"):
        DiskColumn(tmp_path / "text.npy")
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"pickled\.npy"):
        DiskColumn(tmp_path / "pickled.npy")
    np.save(tmp_path / "fortran.npy", np.asfortranarray(np.ones((3, 4))))
    with pytest.raises(ValueError, match="C order"):
        DiskColumn(tmp_path / "fortran.npy")
    np.save(tmp_path / "big.npy", np.ones((3, 4), dtype=">f4"))
    with pytest.raises(ValueError, match="little-endian"):
        DiskColumn(tmp_path / "big.npy")
    np.save(tmp_path / "cut.npy", np.ones((300, 40)))
    whole = (tmp_path / "cut.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-8])
    with pytest.raises(ValueError, match=r"cut\.npy"):
        DiskColumn(tmp_path / "cut.npy")
    np.savez(tmp_path / "zip.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="one array"):
        DiskColumn(tmp_path / "zip.npz")
    np.save(tmp_path / "c.npy", np.ones(3))
    with pytest.raises(ValueError, match="memory: expected a size"):
        DiskColumn(tmp_path / "c.npy", memory="much")


@pytest.mark.parametrize(
    ("text", "size"),
    [(10, 10), ("10", 10), ("1.5 kB", 1500), ("2GiB", 2 << 30), ("8 mb", 8_000_000)],
)
def test_sizes(text, size):
    assert size_in_bytes("size", text) == size


def test_a_set_with_duplicates(tmp_path):
    graph_with(tmp_path)
    column = DiskColumn(tmp_path / "feat.npy", memory=4 * 300 + 3 * (80 + 9))
    assert column.keep([5, 5, 9, 5, 7, 8]) == 3
    before = column.report()
    column.gather(torch.tensor([5, 9, 7]))
    assert column.report().hits - before.hits == 3


def test_the_size_of_a_chunk_is_in_bytes(tmp_path, monkeypatch):
    np.save(tmp_path / "wide.npy", np.zeros((40, 1000), np.float32))
    column = DiskColumn(tmp_path / "wide.npy", memory="1MB")
    monkeypatch.setattr("hopflow.storage.disk_column.CHUNK_BYTES", 20_000)
    counts, read = [], column._rows.read
    monkeypatch.setattr(column._rows, "read", lambda ids: counts.append(len(ids)) or read(ids))
    column.keep(torch.arange(40))
    assert max(counts) == 5
    assert sum(counts) == 40
