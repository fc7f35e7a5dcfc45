"""`load` as the one door, and what comes back."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from hopflow import datasets
from hopflow.datasets import checks, loading


def save_small(path, **extra):
    arrays = {
        "src": np.array([0, 1, 2, 3, 4]),
        "dst": np.array([1, 2, 3, 4, 0]),
        "feat": np.arange(10.0).reshape(5, 2),
        "label": np.array([0, 1, 2, 0, 1]),
        "year": np.array([2015, 2016, 2017, 2018, 2019]),
        "train_idx": np.array([0, 1]),
        "valid_idx": np.array([2]),
        "test_idx": np.array([3, 4]),
    }
    np.savez(path, **{**arrays, **extra})
    return path


def test_acts_as_an_ogb_dataset(tmp_path):
    dataset = datasets.load(save_small(tmp_path / "small.npz"))
    assert len(dataset) == 1
    assert len(list(dataset)) == 1  # iteration ends, by the IndexError of index 1
    graph, labels = dataset[0]
    assert graph.num_nodes() == 5
    assert graph.num_edges() == 5
    src, dst = graph.edges()
    assert src.tolist() == [0, 1, 2, 3, 4]
    assert dst.tolist() == [1, 2, 3, 4, 0]
    assert graph.ndata["feat"].dtype == torch.float32
    assert graph.ndata["feat"].shape == (5, 2)
    assert graph.ndata["year"].shape == (5, 1)
    assert graph.ndata["year"].dtype == torch.int64
    assert labels.dtype == torch.int64
    assert labels.tolist() == [[0], [1], [2], [0], [1]]
    split = dataset.get_idx_split()
    assert list(split) == ["train", "valid", "test"]
    assert all(ids.dtype == torch.int64 for ids in split.values())
    assert split["test"].tolist() == [3, 4]
    assert (dataset.num_classes, dataset.num_tasks, dataset.name) == (3, 1, "small")
    assert repr(dataset) == (
        "NodePropDataset('small', num_nodes=5, num_edges=5, num_classes=3, num_tasks=1, "
        "train=2, valid=1, test=2)"
    )


def test_one_graph_only(tmp_path):
    dataset = datasets.load(save_small(tmp_path / "small.npz"))
    for index in (1, -1):
        with pytest.raises(IndexError, match="one graph: expected index 0"):
            dataset[index]


def test_without_labels(tmp_path):
    np.savez(tmp_path / "bare.npz", src=[0, 1], dst=[1, 2])
    dataset = datasets.load(tmp_path / "bare.npz")
    graph, labels = dataset[0]
    assert graph.num_nodes() == 3
    assert labels is None
    assert (dataset.num_classes, dataset.num_tasks) == (0, 0)
    with pytest.raises(ValueError, match=r"'bare' has no split"):
        dataset.get_idx_split()


def test_arxiv_like_by_name(monkeypatch):
    asked = {}
    monkeypatch.setattr(loading, "arxiv_like", lambda **options: asked.update(options))
    datasets.load("arxiv-like", seed=3)
    assert asked == {"seed": 3}
    with pytest.raises(ValueError, match="split= does not apply to arxiv-like"):
        datasets.load("arxiv-like", split="time")


@pytest.mark.parametrize("name", ["ogbn-arxv", "citeseer"])
def test_unknown_name_lists_what_there_is(name):
    with pytest.raises(
        ValueError, match=f"unknown data set '{name}': expected arxiv-like"
    ) as caught:
        datasets.load(name)
    assert "ogbn-arxiv, " in str(caught.value)
    assert ".parquet" in str(caught.value)


@pytest.mark.parametrize("name", ["no/such/folder", "nothing.npz", "nothing.csv", "nothing.xyz"])
def test_missing_file(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{Path(name).name}: "):
        datasets.load(str(tmp_path / name))


def test_wrong_arguments(tmp_path):
    small = save_small(tmp_path / "small.npz")
    with pytest.raises(TypeError, match="expected a name or a path, got int"):
        datasets.load(3)
    with pytest.raises(ValueError, match="expected a name or a path, got an empty one"):
        datasets.load("")
    with pytest.raises(ValueError, match=r"features= does not apply to .*small.npz"):
        datasets.load(small, features=small)
    with pytest.raises(ValueError, match="labels= does not apply to ogbn-arxiv"):
        datasets.load("ogbn-arxiv", labels=small)
    with pytest.raises(ValueError, match="num_nodes: expected at least 1, got 0"):
        datasets.load(small, num_nodes=0)
    with pytest.raises(TypeError):
        datasets.load(small, num_nodes=2.5)
    other = tmp_path / "graph.xlsx"
    other.write_text("x")
    with pytest.raises(ValueError, match=r"graph.xlsx: expected a folder .* got .* '.xlsx'"):
        datasets.load(other)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([0.0, np.nan], r"w: an id is missing \(NaN\), got nan in row 1"),
        ([0.0, 1.5], "w: expected whole-number ids, got 1.5 in row 1"),
        ([0, -4], "w: ids must not be negative, got -4 in row 1"),
        ([0, 9], "w: ids must be below num_nodes = 9, got 9 in row 1"),
        (["0", "x"], "w: expected whole-number ids, got .*x"),
        ([True, False], "w: expected whole-number ids, got dtype bool"),
        ([[0, 1], [1, 2]], r"w: expected one column of ids, got shape \(2, 2\)"),
        ([0.0, np.inf], "w: ids must be below num_nodes = 9, got inf in row 1"),
    ],
)
def test_ids(array, message):
    with pytest.raises(ValueError, match=message):
        checks.as_ids(np.array(array), what="w", limit=9)


def test_ids_in_every_integer_type():
    for kind in ("i1", "u2", "u4", "u8", ">i4", "f8"):
        ids = checks.as_ids(np.array([[3], [1]], dtype=kind), what="w", limit=4)
        assert ids.dtype == np.int64
        assert ids.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([0, 1], r"w: expected 3 rows, got shape \(2,\)"),
        ([0.0, 1.0, 0.5], "w: expected whole-number class labels, got 0.5 in row 2"),
        ([0, 1, -2], "w: labels must be classes >= 0, or -1 for no label, got -2 in row 2"),
        (["a", "b", "c"], "w: expected numbers, got 'a'|np.str_"),
        (np.zeros((3, 1, 1)), r"w: expected labels \[3, num_tasks\], got \(3, 1, 1\)"),
    ],
)
def test_labels(array, message):
    with pytest.raises(ValueError, match=message):
        checks.as_labels(np.array(array), rows=3, what="w")


def test_missing_labels_become_minus_one():
    labels = checks.as_labels(np.array([np.nan, 2, -1]), rows=3, what="w")
    assert labels.tolist() == [[-1], [2], [-1]]
    assert checks.count_classes(labels) == 3
    assert checks.count_classes(np.full((3, 1), -1)) == 0


def test_features_are_floating():
    for kind, expected in (("i8", "f4"), ("?", "f4"), ("f8", "f4"), ("f2", "f2"), ("u4", "f4")):
        features = checks.as_features(np.ones((2, 3), dtype=kind), rows=2, what="w")
        assert features.dtype == np.dtype(expected)
    with pytest.raises(ValueError, match=r"w: integers beyond 2\*\*24"):
        checks.as_features(np.array([[1 << 25]]), rows=1, what="w")
    with pytest.raises(ValueError, match=r"w: expected numbers, got dtype complex128"):
        checks.as_features(np.array([[1j]]), rows=1, what="w")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"test": None}, "w: expected train, valid and test, missing test"),
        ({"test": [9]}, r"w \(test\): ids must be below num_nodes = 5, got 9"),
        ({"test": [-1]}, r"w \(test\): ids must not be negative, got -1"),
        ({"test": []}, r"w \(test\): expected at least one node, got none"),
        ({"test": [0]}, r"w \(test\): node 0 already stands in an earlier part"),
        ({"valid": [2, 2]}, r"w \(valid\): expected each node once"),
        ({"train": [True, False]}, r"w \(train\): expected a mask \[5\], got shape \(2,\)"),
        ({"train": [0, 4]}, r"w \(train\): 1 training nodes have no label, the first is node 4"),
    ],
)
def test_splits(parts, message):
    labels = np.array([[0], [1], [0], [1], [-1]])
    good = {"train": [0, 1], "valid": [2], "test": [3]}
    merged = {
        key: np.array(part, dtype=None if part else np.int64)
        for key, part in {**good, **parts}.items()
        if part is not None
    }
    with pytest.raises(ValueError, match=message):
        checks.as_splits(merged, num_nodes=5, labels=labels, what="w")


def test_random_split_is_seeded_and_skips_unlabelled():
    labels = np.zeros((100, 1), dtype=np.int64)
    labels[::10] = -1
    first = checks.random_splits(labels, seed=1, what="w")
    again = checks.random_splits(labels, seed=1, what="w")
    other = checks.random_splits(labels, seed=2, what="w")
    assert {key: len(ids) for key, ids in first.items()} == {"train": 54, "valid": 18, "test": 18}
    assert all((first[key] == again[key]).all() for key in first)
    assert (first["train"] != other["train"]).any()
    together = np.sort(np.concatenate(list(first.values())))
    assert (together == np.flatnonzero(labels[:, 0] >= 0)).all()
    with pytest.raises(ValueError, match="w: a random split needs 3 labelled nodes, got 2"):
        checks.random_splits(labels[1:3], seed=0, what="w")


def test_import_is_light():
    import subprocess
    import sys

    code = (
        "import sys, hopflow.datasets; "
        "print([m for m in ('pandas', 'ogb', 'pyarrow', 'platformdirs') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("folder", ["cora", "facebook-page-page"])
def test_shared_ogb_folders(shared_data, folder):
    expected = {
        "cora": (2708, 5278, 1433, 7, (140, 500, 1000)),
        "facebook-page-page": (22470, 170823, 128, 4, (13482, 4494, 4494)),
    }[folder]
    dataset = datasets.load(shared_data / folder)
    graph, labels = dataset[0]
    sizes = tuple(len(ids) for ids in dataset.get_idx_split().values())
    found = (graph.num_nodes(), graph.num_edges(), graph.ndata["feat"].shape[1])
    assert (*found, dataset.num_classes, sizes) == expected
    assert dataset.name == folder
    assert labels.shape == (graph.num_nodes(), 1)
    with gzip.open(shared_data / folder / "raw" / "edge.csv.gz", "rt") as file:
        first = [int(cell) for cell in file.readline().split(",")]
    src, dst = graph.edges()
    assert [int(src[0]), int(dst[0])] == first


def test_shared_npz(shared_data):
    dataset = datasets.load(shared_data / "cornell5.npz")
    graph, labels = dataset[0]
    assert (graph.num_nodes(), graph.num_edges()) == (18660, 790777)
    assert graph.ndata["local_info"].shape == (18660, 7)
    assert labels is None
