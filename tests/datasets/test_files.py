"""`.npz` files and edge lists: what is read, and what each malformed part says."""

import builtins
import gzip
import pickle

import numpy as np
import pytest
import torch

from hopflow import datasets

LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture
def edge_list(tmp_path):
    path = tmp_path / "links.csv"
    path.write_text("0,1\n1,2\n2,3\n3,4\n4,5\n")
    return path


def ends(dataset):
    src, dst = dataset[0][0].edges()
    return src.tolist(), dst.tolist()


# --- .npz


def test_npz_edge_index_and_masks(tmp_path):
    np.savez(
        tmp_path / "g.npz",
        edge_index=np.array([[0, 1, 2], [1, 2, 3]], dtype=np.uint32),
        num_nodes=6,
        x=np.ones((6, 2), dtype=np.float16),
        y=LABELS,
        train_mask=[1, 1, 0, 0, 0, 0],
        val_mask=[False, False, True, True, False, False],
        test_mask=[False, False, False, False, True, True],
        weight=[0.5, 1.0, 2.0],
        degree=np.arange(6, dtype=np.uint16),
        note=np.asarray(1),
    )
    dataset = datasets.load(tmp_path / "g.npz")
    graph, labels = dataset[0]
    assert graph.num_nodes() == 6
    assert ends(dataset) == ([0, 1, 2], [1, 2, 3])
    assert graph.ndata["feat"].dtype == torch.float16
    assert graph.ndata["degree"].tolist() == list(range(6))
    assert graph.edata["weight"].tolist() == [0.5, 1.0, 2.0]
    assert labels[:, 0].tolist() == LABELS.tolist()
    split = {key: ids.tolist() for key, ids in dataset.get_idx_split().items()}
    assert split == {"train": [0, 1], "valid": [2, 3], "test": [4, 5]}


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_npz_from_scipy(tmp_path, kind):
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.coo_matrix(([1, 1, 3], ([0, 0, 2], [1, 2, 0])), shape=(4, 4)).asformat(kind)
    sparse.save_npz(tmp_path / "a.npz", matrix)
    dataset = datasets.load(tmp_path / "a.npz")
    graph = dataset[0][0]
    found = {
        (*pair, w) for *pair, w in zip(*ends(dataset), graph.edata["weight"].tolist(), strict=False)
    }
    assert found == {(0, 1, 1), (0, 2, 1), (2, 0, 3)}
    assert graph.num_nodes() == 4


def test_npz_random_split_and_own_split(tmp_path):
    path = tmp_path / "g.npz"
    np.savez(path, src=[0, 1], dst=[1, 2], y=LABELS)
    first = datasets.load(path, seed=4).get_idx_split()
    assert first["train"].tolist() == datasets.load(path, seed=4).get_idx_split()["train"].tolist()
    np.savez(tmp_path / "s.npz", train=[5], valid=[4], test=[3])
    split = datasets.load(path, split=tmp_path / "s.npz").get_idx_split()
    assert [ids.tolist() for ids in split.values()] == [[5], [4], [3]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"src": [0]}, "expected src and dst, or edge_index, got src"),
        ({"edge_index": np.zeros((3, 2))}, r"\(edge_index\): expected \[2, num_edges\]"),
        ({"src": [0, 1], "dst": [1]}, "expected as many sources as destinations, got 2 and 1"),
        ({"src": [], "dst": []}, "expected at least one edge, got none"),
        ({"src": [0], "dst": [-1]}, r"\(destination\): ids must not be negative, got -1 in row 0"),
        ({"src": [0.5], "dst": [1]}, r"\(source\): expected whole-number ids, got 0.5"),
        ({"src": [0], "dst": [7], "num_nodes": 3}, r"must be below num_nodes = 3, got 7"),
        ({"src": [0], "dst": [1], "num_nodes": [2, 2]}, r"\(num_nodes\): expected one count"),
        ({"src": [0], "dst": [1], "num_nodes": 3, "x": [[1]]}, r"\(feat\): expected 3 rows"),
        ({"src": [0], "dst": [1], "x": [[1], [1]], "y": [0]}, r"\(label\): expected 2 rows"),
        ({"src": [0], "dst": [1], "x": [1, 2], "feat": [1, 2]}, "got feat and x"),
        ({"src": [0], "dst": [1], "odd": [1, 2, 3]}, r"\(odd\): expected 2 rows .* or 1 \(edges"),
        ({"src": [0], "dst": [1], "odd": ["a", "b"]}, r"\(odd\): expected numbers, got .*a"),
        ({"src": [0], "dst": [1], "train_idx": [0]}, "missing valid, test"),
        ({"format": b"csr", "shape": [2, 3]}, "expected a square adjacency matrix"),
        ({"format": b"dia", "shape": [2, 2]}, "expected a csr, csc or coo matrix, got 'dia'"),
        (
            {"format": b"csr", "shape": [2, 2], "indptr": [0, 9, 1], "indices": [1]},
            r"\(indptr\): does not fit",
        ),
    ],
)
def test_npz_malformed(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load(tmp_path / "bad.npz")
    assert "bad.npz" in str(caught.value)


class Trap:
    """Unpickling one would create a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickles_are_never_run(tmp_path):
    sprung = tmp_path / "sprung"
    bad = np.empty(1, dtype=object)
    bad[0] = Trap(sprung)
    np.savez(tmp_path / "bad.npz", src=[0], dst=[1], extra=bad)
    with pytest.raises(ValueError, match=r"bad.npz: array 'extra': holds pickled .* never loads"):
        datasets.load(tmp_path / "bad.npz")
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(ValueError, match=r"raw.npz: .*pickled"):
        datasets.load(tmp_path / "raw.npz")
    np.save(tmp_path / "f.npy", bad, allow_pickle=True)
    (tmp_path / "links.csv").write_text("0,1\n")
    with pytest.raises(ValueError, match=r"f.npy: holds pickled"):
        datasets.load(tmp_path / "links.csv", features=tmp_path / "f.npy")
    assert not sprung.exists()


def test_npz_corrupt(tmp_path):
    path = tmp_path / "g.npz"
    np.savez_compressed(path, src=np.arange(9999), dst=np.arange(9999))
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[200:260] = b"\xff" * 60
    for content in (whole[: len(whole) // 2], bytes(damaged), b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"g.npz: "):
            datasets.load(path)
    with open(path, "wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(ValueError, match=r"expected an .npz archive, got a single array"):
        datasets.load(path)


# --- edge lists


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.csv", "0,1\n1,2\n"),
        ("e.csv", "src,dst\n0,1\n1,2\n"),
        ("e.csv", "w,Target,Source\n7,1,0\n8,2,1\n"),
        ("e.csv", "from,to\n0,1\n1,2\n"),
        ("e.tsv", "u\tv\n0\t1\n1\t2\n"),
        ("e.csv.gz", "0,1\n1,2\n"),
        ("e.tsv.gz", "0\t1\n1\t2\n"),
    ],
)
def test_edge_list_forms(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    dataset = datasets.load(path)
    assert ends(dataset) == ([0, 1], [1, 2])
    assert dataset.name == "e"
    if "w," in text:
        assert dataset[0][0].edata["w"].tolist() == [7, 8]


def test_edge_list_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    import pandas as pd

    pd.DataFrame({"t": [0.5, 1.5], "src": [0, 1], "dst": [1, 2]}).to_parquet(tmp_path / "e.parquet")
    pd.DataFrame(np.ones((4, 3))).rename(columns=str).to_parquet(tmp_path / "f.parquet")
    pd.DataFrame({"label": [0, 1, None, 1]}).to_parquet(tmp_path / "l.parquet")
    dataset = datasets.load(
        tmp_path / "e.parquet", features=tmp_path / "f.parquet", labels=tmp_path / "l.parquet"
    )
    graph, labels = dataset[0]
    assert ends(dataset) == ([0, 1], [1, 2])
    assert graph.edata["t"].tolist() == [0.5, 1.5]
    assert graph.ndata["feat"].shape == (4, 3)
    assert labels[:, 0].tolist() == [0, 1, -1, 1]
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing of the kind PAR1")
    with pytest.raises(ValueError, match=r"bad.parquet: not a readable Parquet file"):
        datasets.load(tmp_path / "bad.parquet")
    pd.DataFrame({"src": [0, None], "dst": [1, 2]}).to_parquet(tmp_path / "e.parquet")
    with pytest.raises(ValueError, match=r"e.parquet \(source\): an id is missing"):
        datasets.load(tmp_path / "e.parquet")


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    def no_pyarrow(name, *args, real=builtins.__import__, **options):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **options)

    (tmp_path / "e.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(builtins, "__import__", no_pyarrow)
    with pytest.raises(ImportError, match=r"install hopflow\[parquet\]"):
        datasets.load(tmp_path / "e.parquet")


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz"])
def test_features_and_labels_beside(edge_list, tmp_path, suffix):
    features, labels = tmp_path / f"f{suffix}", tmp_path / f"l{suffix}"
    values = np.arange(14, dtype=np.float32).reshape(7, 2) / 4
    classes = np.array([0, 1, 2, 0, 1, 2, 3])
    if suffix == ".csv":
        np.savetxt(features, values, delimiter=",", header="a,b", comments="")
        np.savetxt(labels, classes, fmt="%d")
    elif suffix == ".npy":
        np.save(features, values)
        np.save(labels, classes)
    else:
        np.savez(features, feat=values, other=values)
        np.savez(labels, classes)
    dataset = datasets.load(edge_list, features=features, labels=labels)
    graph, found = dataset[0]
    assert graph.num_nodes() == 7  # from the rows, not from the largest id
    assert (graph.ndata["feat"].numpy() == values).all()
    assert found[:, 0].tolist() == classes.tolist()
    assert dataset.num_classes == 4
    assert sum(len(ids) for ids in dataset.get_idx_split().values()) == 7


def test_edge_list_split_folder(edge_list, tmp_path):
    np.save(tmp_path / "l.npy", LABELS)
    for key, node in (("train", 3), ("valid", 4), ("test", 5)):
        (tmp_path / f"{key}.csv").write_text(f"{node}\n")
    dataset = datasets.load(edge_list, labels=tmp_path / "l.npy", split=tmp_path)
    assert [ids.tolist() for ids in dataset.get_idx_split().values()] == [[3], [4], [5]]
    unlabelled = datasets.load(edge_list, split=tmp_path, num_nodes=9)
    assert unlabelled[0][0].num_nodes() == 9
    assert unlabelled.get_idx_split()["train"].tolist() == [3]
    with pytest.raises(FileNotFoundError, match=r"nosplit.npz: expected an .npz file"):
        datasets.load(edge_list, split=tmp_path / "nosplit.npz")
    (tmp_path / "test.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"test.csv.gz: expected the test node ids"):
        datasets.load(edge_list, split=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty|empty file"),
        ("src,dst\n", "expected at least one row"),
        ("0\n1\n", "expected two columns, source and target, got 1"),
        ("0,1,2\n1,2,3\n", "expected two columns, got 3; name them"),
        ("0,1\n1,2,3\n", "Expected 2 fields in line 2, saw 3"),
        ("0,1\n1,x\n", r"\(destination\): expected whole-number ids, got 'x'"),
        ("0,1\n1,\n", r"\(destination\): an id is missing \(NaN\), got nan in row 1"),
        ("0,1\n1.5,2\n", r"\(source\): expected whole-number ids, got 1.5 in row 1"),
        ("0,1\n-1,2\n", r"\(source\): ids must not be negative, got -1 in row 1"),
        ("src,dst,w\n0,1,heavy\n", r"\(column 'w'\): expected numbers, got 'heavy'"),
    ],
)
def test_edge_list_malformed(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load(path)
    assert "bad.csv" in str(caught.value)


def test_edge_list_corrupt_gzip(tmp_path):
    path = tmp_path / "bad.csv.gz"
    whole = gzip.compress("\n".join(f"{i},{i * i % 977}" for i in range(5000)).encode())
    for content in (b"0,1\n", whole[: len(whole) // 2], whole[:20] + b"\x00" * 40 + whole[60:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"bad.csv.gz: "):
            datasets.load(path)


def test_files_beside_malformed(edge_list, tmp_path):
    def refused(option, name, text, message, error=ValueError):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        with pytest.raises(error, match=message) as caught:
            datasets.load(edge_list, num_nodes=6, **{option: path})
        assert name in str(caught.value)

    refused("features", "none.csv", None, "no such file", FileNotFoundError)
    refused("features", "f.csv", "1,2\n3,4\n", r"expected 6 rows, got shape \(2, 2\)")
    refused("features", "f.csv", "1,2\n3,\n", r"row 1, column 1 \(counted from 0\) is empty")
    refused("features", "f.csv", "1,2\n3,x\n", "expected numbers, got 'x' in column 1")
    refused("features", "f.doc", "1,2\n", "expected one of .csv, .* got '.doc'")
    refused("labels", "l.csv", "0\n1\n", "expected 6 rows")
    refused(
        "labels", "l.csv", "0\n1\n2\n0\n1\n0.5\n", "whole-number class labels, got 0.5 in row 5"
    )
    np.savez(tmp_path / "f.npz", a=np.ones(6), b=np.ones(6))
    refused("features", "f.npz", None, "expected an array feat or x, got a, b")
    np.save(tmp_path / "l.npy", LABELS)
    with pytest.raises(ValueError, match=r"below num_nodes = 3, got 3"):
        datasets.load(edge_list, num_nodes=3)
    np.savez(tmp_path / "s.npz", train=[0, 99], valid=[1], test=[2])
    with pytest.raises(ValueError, match=r"s.npz \(train\): ids must be below num_nodes = 6"):
        datasets.load(edge_list, labels=tmp_path / "l.npy", split=tmp_path / "s.npz")
