"""The synthetic citation graph: its structure, its cache, and that it samples like ogbn-arxiv."""

import numpy as np
import pytest
import torch

from hopflow.datasets import arxiv_like, cache, synthetic

SMALL = {"num_nodes": 2000, "num_edges": 12_000, "num_features": 16, "num_classes": 8}


def arrays_of(dataset):
    graph, labels = dataset[0]
    src, dst = graph.edges()
    split = dataset.get_idx_split()
    return [src, dst, graph.ndata["feat"], graph.ndata["year"], labels, *split.values()]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(arrays_of(first), arrays_of(second), strict=False))


def check_structure(dataset, *, num_nodes, num_edges, num_features, num_classes):
    graph, labels = dataset[0]
    src, dst = (ends.numpy() for ends in graph.edges())
    year = graph.ndata["year"].numpy()
    assert graph.num_nodes() == num_nodes
    assert graph.num_edges() == len(src) == num_edges
    assert (src != dst).all()
    low, high = np.minimum(src, dst), np.maximum(src, dst)
    assert len(np.unique(low * num_nodes + high)) == num_edges  # none repeated, none mutual
    assert (year[src] >= year[dst]).all()  # papers cite earlier ones
    assert graph.ndata["feat"].shape == (num_nodes, num_features)
    assert graph.ndata["feat"].dtype == torch.float32
    assert abs(float(graph.ndata["feat"].var()) - 1) < 0.15
    assert year.shape == (num_nodes, 1)
    assert year.dtype == np.int64
    assert labels.shape == (num_nodes, 1)
    assert labels.dtype == torch.int64
    assert int(labels.min()) >= 0
    assert int(labels.max()) < dataset.num_classes == num_classes
    split = {key: ids.numpy() for key, ids in dataset.get_idx_split().items()}
    together = np.sort(np.concatenate(list(split.values())))
    assert (together == np.arange(num_nodes)).all()
    assert year[split["train"]].max() <= 2017
    assert (year[split["valid"]] == 2018).all()
    assert year[split["test"]].min() >= 2019


@pytest.mark.parametrize(
    "sizes",
    [
        SMALL,
        {**SMALL, "num_edges": 500},
        {**SMALL, "num_nodes": 200, "num_edges": 4975},  # as dense as it gets
        {"num_nodes": 10, "num_edges": 11, "num_features": 64, "num_classes": 10},
        {"num_nodes": 10, "num_edges": 1, "num_features": 200, "num_classes": 1},
    ],
)
def test_structure(sizes):
    dataset = arxiv_like(seed=1, cache=False, **sizes)
    if sizes["num_nodes"] > 10:
        check_structure(dataset, **sizes)
    assert dataset[0][0].num_edges() == sizes["num_edges"]


def test_seed_decides():
    first = arxiv_like(seed=5, cache=False, **SMALL)
    assert same(first, arxiv_like(seed=5, cache=False, **SMALL))
    assert not same(first, arxiv_like(seed=6, cache=False, **SMALL))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_nodes": 9}, "num_nodes: expected at least 10, got 9"),
        ({"num_edges": 0}, "num_edges: expected at least 1, got 0"),
        ({"num_edges": 10**6}, r"num_edges: expected at most 499750 \(a quarter of all pairs\)"),
        ({"num_features": 0}, "num_features: expected at least 1, got 0"),
        ({"num_classes": 0}, "num_classes: expected at least 1, got 0"),
        ({"num_classes": 2001}, "num_classes: expected at most num_nodes = 2000, got 2001"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
    ],
)
def test_wrong_sizes(change, message):
    with pytest.raises(ValueError, match=message):
        arxiv_like(cache=False, **{**SMALL, **change})


def test_sizes_are_integers():
    with pytest.raises(TypeError):
        arxiv_like(cache=False, **{**SMALL, "num_nodes": 2e3})


@pytest.fixture
def generated(monkeypatch):
    """Count how often a graph is really made."""
    calls = []
    real = synthetic._generate
    monkeypatch.setattr(
        synthetic, "_generate", lambda **sizes: calls.append(sizes) or real(**sizes)
    )
    return calls


def test_cache(tmp_path, generated):
    folder = tmp_path / "new" / "folder"
    first = arxiv_like(cache_dir=folder, **SMALL)
    assert same(first, arxiv_like(cache_dir=folder, **SMALL))
    assert len(generated) == 1
    (file,) = folder.iterdir()
    assert file.name.startswith("arxiv-like-v1-")
    assert file.suffix == ".npz"
    arxiv_like(seed=1, cache_dir=folder, **SMALL)
    assert len(list(folder.iterdir())) == 2
    arxiv_like(cache=False, cache_dir=folder, **SMALL)
    assert len(generated) == 3


def test_damaged_cache_is_made_again(tmp_path, generated):
    first = arxiv_like(cache_dir=tmp_path, **SMALL)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    with np.load(file) as arrays:
        content = {key: arrays[key] for key in arrays.files}
    outside = tmp_path / "outside.npz"
    np.savez(outside, **{**content, "src": content["src"] + 5000})  # well-formed, ids out of range
    damaged = [b"", b"junk", whole[: len(whole) // 2], bytes(flipped), outside.read_bytes()]
    outside.unlink()
    for count, data in enumerate(damaged, start=2):
        file.write_bytes(data)
        assert same(first, arxiv_like(cache_dir=tmp_path, **SMALL))
        assert len(generated) == count
    assert same(first, arxiv_like(cache_dir=tmp_path, **SMALL))
    assert len(generated) == len(damaged) + 1
    assert [path.name for path in tmp_path.iterdir()] == [file.name]  # no temporary files left


def test_unwritable_cache_costs_a_warning(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="not cached"):
        dataset = arxiv_like(cache_dir=tmp_path / "file", **SMALL)
    check_structure(dataset, **SMALL)


def test_default_cache_folder(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(synthetic, "user_cache_dir", lambda: asked.append(1) or tmp_path)
    arxiv_like(**SMALL)
    assert asked
    assert len(list(tmp_path.iterdir())) == 1
    assert "hopflow" in cache.user_cache_dir().parts


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    return arxiv_like(seed=0, cache_dir=tmp_path_factory.mktemp("cache"))


def test_full_size_structure(full_size):
    check_structure(
        full_size, num_nodes=169_343, num_edges=1_166_243, num_features=128, num_classes=40
    )
    sizes = [len(ids) for ids in full_size.get_idx_split().values()]
    assert sizes == [90_941, 29_799, 48_603]
    graph, labels = full_size[0]
    src, dst = (ends.numpy() for ends in graph.edges())
    degrees = np.bincount(np.concatenate([src, dst]), minlength=169_343)
    assert degrees.min() >= 1
    assert 8_000 < degrees.max() < 18_000  # ogbn-arxiv: 13,161
    label = labels[:, 0].numpy()
    assert 0.45 < (label[src] == label[dst]).mean() < 0.70
    counts = np.bincount(label, minlength=40)
    assert counts.min() > 0
    assert counts.max() > 50 * counts.min()


def test_full_size_samples_like_ogbn_arxiv(full_size):
    dataloading = pytest.importorskip("hopflow.dataloading")
    import hopflow as hf

    graph = hf.add_reverse_edges(full_size[0][0])
    assert graph.num_edges() == 2_332_486
    train = full_size.get_idx_split()["train"]
    sampler = dataloading.NeighborSampler([4, 4])
    generator = torch.Generator().manual_seed(0)
    sizes = []
    for _ in range(20):
        seeds = train[torch.randperm(len(train), generator=generator)[:1024]]
        _, _, blocks = sampler.sample(graph, seeds)
        sizes.append([blocks[0].num_src_nodes(), blocks[0].num_dst_nodes()])
    num_src, num_dst = np.mean(sizes, axis=0)
    assert num_src == pytest.approx(12_600, rel=0.03)
    assert num_dst == pytest.approx(4_030, rel=0.03)


def test_neighbours_help():
    """Least squares on features alone and on features with their means over one and two hops."""
    num_nodes, num_classes = 30_000, 40
    dataset = arxiv_like(num_nodes=num_nodes, num_edges=206_000, cache=False)
    graph, labels = dataset[0]
    src, dst = graph.edges()
    src, dst = torch.cat([src, dst]), torch.cat([dst, src])
    degrees = torch.bincount(dst, minlength=num_nodes).clamp(min=1)
    hops = [graph.ndata["feat"]]
    for _ in range(2):
        total = torch.zeros_like(hops[0]).index_add_(0, dst, hops[-1][src])
        hops.append(total / degrees[:, None])
    split = dataset.get_idx_split()
    target = torch.nn.functional.one_hot(labels[:, 0], num_classes).float()
    accuracy = []
    for inputs in (hops[0], torch.cat(hops, dim=1)):
        inputs = torch.cat([inputs, torch.ones(num_nodes, 1)], dim=1)
        weights = torch.linalg.lstsq(inputs[split["train"]], target[split["train"]]).solution
        guess = (inputs[split["test"]] @ weights).argmax(1)
        accuracy.append(float((guess == labels[split["test"], 0]).float().mean()))
    assert accuracy[0] + 0.10 < accuracy[1] < 0.80
