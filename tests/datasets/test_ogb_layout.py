"""OGB's raw layout as a folder, text and binary."""

import gzip
import pickle
import shutil

import numpy as np
import pytest
import torch

from hopflow import datasets
from hopflow.datasets import ogb_layout

EDGES = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (5, 0)]
NUM_NODES = 6


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (",".join(map(str, row)) if isinstance(row, tuple) else str(row) for row in rows)
    with gzip.open(path, "wt") as file:
        file.writelines(f"{line}\n" for line in lines)


def make_text(folder, *, split="time", release=1):
    raw = folder / "raw"
    write(raw / "edge.csv.gz", EDGES)
    write(raw / "num-node-list.csv.gz", [NUM_NODES])
    write(raw / "num-edge-list.csv.gz", [len(EDGES)])
    write(raw / "node-feat.csv.gz", [(i / 2, -i) for i in range(NUM_NODES)])
    write(raw / "node_year.csv.gz", [2013 + i for i in range(NUM_NODES)])
    write(raw / "node-label.csv.gz", [0, 1, 2, 0, 1, 2])
    for key, ids in (("train", [0, 1, 2]), ("valid", [3]), ("test", [4, 5])):
        write(folder / "split" / split / f"{key}.csv.gz", ids)
    (folder / f"RELEASE_v{release}.txt").write_text("")
    return folder


def make_binary(folder, **changes):
    make_text(folder)
    shutil.rmtree(folder / "raw")
    (folder / "raw").mkdir()
    arrays = {
        "edge_index": np.array(EDGES).T,
        "num_nodes_list": [NUM_NODES],
        "num_edges_list": [len(EDGES)],
        "node_feat": np.ones((NUM_NODES, 2), dtype=np.float32),
        "node_year": np.arange(NUM_NODES)[:, None],
        "edge_weight": np.arange(len(EDGES)),
    }
    arrays = {key: value for key, value in {**arrays, **changes}.items() if value is not None}
    np.savez_compressed(folder / "raw" / "data.npz", **arrays)
    labels = np.array([[0], [1], [2], [np.nan], [np.nan], [1]])
    np.savez_compressed(folder / "raw" / "node-label.npz", node_label=labels)
    return folder


def check_text(dataset):
    graph, labels = dataset[0]
    src, dst = graph.edges()
    assert list(zip(src.tolist(), dst.tolist(), strict=False)) == EDGES
    assert graph.ndata["feat"].tolist() == [[i / 2, -i] for i in range(NUM_NODES)]
    assert graph.ndata["feat"].dtype == torch.float32
    assert graph.ndata["year"].tolist() == [[2013 + i] for i in range(NUM_NODES)]
    assert labels.tolist() == [[0], [1], [2], [0], [1], [2]]
    assert dataset.get_idx_split()["test"].tolist() == [4, 5]


# --- folders


def test_text_folder(tmp_path):
    dataset = datasets.load(make_text(tmp_path / "mine"))
    check_text(dataset)
    assert dataset.name == "mine"
    assert dataset.num_classes == 3
    assert not (tmp_path / "mine" / "processed").exists()  # too small to be worth a copy


def test_text_folder_extras(tmp_path):
    folder = make_text(tmp_path / "mine")
    (folder / "raw" / "node-feat.csv.gz").unlink()
    write(folder / "raw" / "edge-feat.csv.gz", [(i, 0.5) for i in range(len(EDGES))])
    write(folder / "raw" / "edge_reltype.csv.gz", range(len(EDGES)))
    write(folder / "raw" / "species.csv.gz", range(NUM_NODES))
    write(folder / "raw" / "node-label.csv.gz", [(0, 1), (1, 1), (1, 0), (0, 0), (0, 1), (1, "")])
    dataset = datasets.load(folder)
    graph, labels = dataset[0]
    assert "feat" not in graph.ndata
    assert graph.edata["feat"].shape == (len(EDGES), 2)
    assert graph.edata["reltype"].flatten().tolist() == list(range(len(EDGES)))
    assert graph.ndata["species"].dtype == torch.int64
    assert labels.shape == (NUM_NODES, 2)
    assert labels[5].tolist() == [1, -1]
    assert (dataset.num_tasks, dataset.num_classes) == (2, 2)


def test_several_splits(tmp_path):
    folder = make_text(tmp_path / "mine")
    shutil.copytree(folder / "split" / "time", folder / "split" / "random")
    write(folder / "split" / "random" / "train.csv.gz", [2])
    with pytest.raises(ValueError, match="several splits, choose one with split=: random, time"):
        datasets.load(folder)
    assert datasets.load(folder, split="random").get_idx_split()["train"].tolist() == [2]
    with pytest.raises(FileNotFoundError, match="no such split, there is random, time"):
        datasets.load(folder, split="species")


def test_binary_folder(tmp_path):
    dataset = datasets.load(make_binary(tmp_path / "big"))
    graph, labels = dataset[0]
    src, dst = graph.edges()
    assert list(zip(src.tolist(), dst.tolist(), strict=False)) == EDGES
    assert graph.ndata["feat"].shape == (NUM_NODES, 2)
    assert graph.ndata["year"].shape == (NUM_NODES, 1)
    assert graph.edata["weight"].tolist() == list(range(len(EDGES)))
    assert labels[:, 0].tolist() == [0, 1, 2, -1, -1, 1]
    assert labels.dtype == torch.int64
    assert dataset.num_classes == 3


@pytest.mark.parametrize(
    ("file", "rows", "message"),
    [
        ("edge", [(0, 1, 2)], r"expected 2 column\(s\), got 3"),
        ("edge", [0, 1], r"expected 2 column\(s\), got 1"),
        ("edge", EDGES[:-1], r"expected 6 edges \(num-edge-list\), got 5"),
        ("edge", [*EDGES[:-1], (5, 6)], r"\(destination\): ids must be below num_nodes = 6, got 6"),
        ("edge", [*EDGES[:-1], (-5, 0)], r"\(source\): ids must not be negative, got -5 in row 5"),
        ("edge", [*EDGES[:-1], ("five", 0)], r"\(source\): expected whole-number ids, got 'five'"),
        ("edge", [*EDGES[:-1], ("", 0)], r"\(source\): an id is missing \(NaN\)"),
        ("edge", [], "the file is empty|No columns"),
        ("num-node-list", [3, 3], "expected one graph, got 2"),
        ("num-node-list", [0], "expected a count of at least 1, got 0"),
        ("num-node-list", ["six"], "expected whole-number ids, got 'six'"),
        ("num-edge-list", [3, 3], "expected one graph, got 2"),
        ("node-feat", [(1, 2)] * 5, r"expected 6 rows, got shape \(5, 2\)"),
        ("node-feat", [(1, 2)] * 5 + [(1, "")], r"row 5, column 1 \(counted from 0\) is empty"),
        ("node-feat", [(1, 2)] * 5 + [(1, "x")], "expected numbers, got 'x' in column 1"),
        ("node-feat", [(1, 2)] * 5 + [(1, 2, 3)], "Expected 2 fields in line 6, saw 3"),
        ("node_year", [2000] * 7, r"expected 6 rows, got shape \(7, 1\)"),
        ("edge-feat", [1.0], r"expected 6 rows, got shape \(1, 1\)"),
        ("node-label", [0] * 5, r"expected 6 rows, got shape \(5, 1\)"),
        ("node-label", [0] * 5 + [-7], "labels must be classes >= 0"),
        ("node-label", ["cs.LG"] * 6, "expected numbers, got 'cs.LG'"),
        ("../split/time/train", [0, 6], r"\(train\): ids must be below num_nodes = 6, got 6"),
        ("../split/time/train", [0, 4], r"\(test\): node 4 already stands in an earlier part"),
        ("../split/time/valid", [0.5], "expected whole-number ids, got 0.5"),
        ("../split/time/valid", [], "the file is empty|No columns"),
    ],
)
def test_text_folder_malformed(tmp_path, file, rows, message):
    folder = make_text(tmp_path / "mine")
    write(folder / "raw" / f"{file}.csv.gz", rows)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load(folder)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_nodes_list": None}, "expected arrays num_nodes_list"),
        ({"num_nodes_list": [3, 3]}, r"\(num_nodes_list\): expected one graph, got 2"),
        ({"num_edges_list": [5]}, r"\(edge_index\): expected \[2, 5\], got \(2, 6\)"),
        ({"edge_index": np.full((2, 6), 6)}, "ids must be below num_nodes = 6"),
        ({"node_feat": np.ones((5, 2))}, r"\(node_feat\): expected 6 rows"),
        ({"feat": np.ones((6, 2))}, r"expected names node_\* or edge_\*, got 'feat'"),
        ({"node_name": np.array(["a"] * 6, dtype=object)}, "holds pickled Python objects"),
    ],
)
def test_binary_folder_malformed(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        datasets.load(make_binary(tmp_path / "big", **changes))


@pytest.mark.parametrize(
    "name", ["edge", "num-node-list", "num-edge-list", "node-label", "../split/time/test"]
)
def test_text_folder_missing_part(tmp_path, name):
    folder = make_text(tmp_path / "mine")
    (folder / "raw" / f"{name}.csv.gz").unlink()
    with pytest.raises(FileNotFoundError, match=name.rsplit("/", 1)[-1]):
        datasets.load(folder)


def test_not_a_layout(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected OGB's raw layout with raw/edge.csv.gz"):
        datasets.load(tmp_path)
    folder = make_text(tmp_path / "mine")
    shutil.rmtree(folder / "split")
    with pytest.raises(FileNotFoundError, match="expected a folder with a split, got none"):
        datasets.load(folder)


def test_corrupt_gzip(tmp_path):
    folder = make_text(tmp_path / "mine")
    path = folder / "raw" / "node-feat.csv.gz"
    for content in (b"1,2\n", path.read_bytes()[:-12]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"node-feat.csv.gz: "):
            datasets.load(folder)


# --- splits saved by ogb.io.DatasetSaver


@pytest.mark.parametrize("kind", ["numpy", "tensor"])
def test_split_dict(tmp_path, kind):
    if kind == "numpy" and not hasattr(torch.serialization, "safe_globals"):
        pytest.skip("this torch cannot be told which numpy functions are safe")
    folder = make_text(tmp_path / "mine")
    split = {"train": np.array([3, 4]), "valid": np.array([5]), "test": np.array([0])}
    if kind == "tensor":
        split = {key: torch.from_numpy(ids) for key, ids in split.items()}
    torch.save(split, folder / "split" / "time" / "split_dict.pt")
    assert datasets.load(folder).get_idx_split()["train"].tolist() == [3, 4]


def test_folder_from_ogbs_own_saver(tmp_path):
    if not hasattr(torch.serialization, "safe_globals"):
        pytest.skip("this torch cannot be told which numpy functions are safe")
    io = pytest.importorskip("ogb.io")
    saver = io.DatasetSaver("ogbn-mine", is_hetero=False, version=1, root=str(tmp_path / "root"))
    features = np.random.default_rng(0).random((NUM_NODES, 3)).astype(np.float32)
    saver.save_graph_list(
        [{"edge_index": np.array(EDGES).T, "num_nodes": NUM_NODES, "node_feat": features}]
    )
    saver.save_target_labels(np.arange(NUM_NODES)[:, None] % 3)
    split = {"train": np.array([0, 1, 2]), "valid": np.array([3]), "test": np.array([4, 5])}
    saver.save_split(split, split_name="time")
    dataset = datasets.load(saver.dataset_dir)
    assert (dataset[0][0].ndata["feat"].numpy() == features).all()
    assert dataset.get_idx_split()["test"].tolist() == [4, 5]
    assert dataset.num_classes == 3


class Trap:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_split_dict_runs_nothing(tmp_path):
    folder = make_text(tmp_path / "mine")
    split = folder / "split" / "time" / "split_dict.pt"
    for content in ({"train": Trap(tmp_path / "sprung")}, [1, 2]):
        torch.save(content, split)
        with pytest.raises(ValueError, match=r"split_dict.pt: not a split of plain arrays"):
            datasets.load(folder)
    split.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(ValueError, match=r"split_dict.pt: not a split of plain arrays"):
        datasets.load(folder)
    assert not (tmp_path / "sprung").exists()


# --- parsed arrays kept beside the raw files


@pytest.fixture
def parses(monkeypatch):
    """Cache folders of any size, and count how often text is parsed."""
    calls = []
    real = ogb_layout._parse_text
    monkeypatch.setattr(ogb_layout, "_CACHE_MIN_BYTES", 0)
    monkeypatch.setattr(ogb_layout, "_parse_text", lambda raw: calls.append(raw) or real(raw))
    return calls


def test_parsed_once(tmp_path, parses):
    folder = make_text(tmp_path / "mine")
    for _ in range(3):
        check_text(datasets.load(folder))
    assert len(parses) == 1
    assert [path.name for path in (folder / "processed").iterdir()] == ["hopflow-v1.npz"]


def test_parsed_again_when_raw_files_change(tmp_path, parses):
    folder = make_text(tmp_path / "mine")
    datasets.load(folder)
    write(folder / "raw" / "node-label.csv.gz", [0, 1, 2, 3, 4, 5])
    assert datasets.load(folder).num_classes == 6
    assert len(parses) == 2


def test_parsed_again_when_the_copy_is_damaged(tmp_path, parses):
    folder = make_text(tmp_path / "mine")
    datasets.load(folder)
    cached = folder / "processed" / "hopflow-v1.npz"
    whole = cached.read_bytes()
    for content in (b"", b"junk", whole[:300], whole.replace(b"\x93NUMPY", b"\x00NUMPY")):
        cached.write_bytes(content)
        check_text(datasets.load(folder))
        assert cached.read_bytes() == whole
    assert len(parses) == 5


def test_compressed_binary_is_kept_too(tmp_path, monkeypatch):
    monkeypatch.setattr(ogb_layout, "_CACHE_MIN_BYTES", 0)
    folder = make_binary(tmp_path / "big")
    first = datasets.load(folder)
    assert (folder / "processed" / "hopflow-v1.npz").exists()
    assert datasets.load(folder)[0][1].tolist() == first[0][1].tolist()


def test_unwritable_folder_costs_a_warning(tmp_path, parses):
    folder = make_text(tmp_path / "mine")
    (folder / "processed").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="not cached"):
        check_text(datasets.load(folder))
