"""save_graphs and load_graphs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

import hopflow as hf
from hopflow.as_dgl.data import Subset
from hopflow.as_dgl.files import load_graphs, save_graphs


def same(a, b):
    assert a.idtype == b.idtype
    assert a.num_nodes() == b.num_nodes()
    for x, y in zip(a.edges(form="all"), b.edges(form="all")):
        assert torch.equal(x, y)
    for mine, theirs in ((a.ndata, b.ndata), (a.edata, b.edata)):
        assert set(mine) == set(theirs)
        for key in mine:
            assert mine[key].dtype == theirs[key].dtype
            assert mine[key].shape == theirs[key].shape
            assert torch.equal(mine[key], theirs[key])


DTYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
    torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
]  # fmt: skip


def test_there_and_back(small_graph, tmp_path):
    for dtype in DTYPES:
        small_graph.ndata[str(dtype)] = torch.randint(0, 2, (200, 3)).to(dtype)
    small_graph.ndata["turned"] = torch.rand(3, 200).t()
    small_graph.ndata["of width 0"] = torch.zeros(200, 0)
    small_graph.edata["trained"] = torch.rand(2000, requires_grad=True)
    other = hf.graph(([], []), num_nodes=3, idtype=torch.int32)
    labels = {"labels": torch.arange(200).view(-1, 1), "scalar": torch.tensor(2.5)}
    path = tmp_path / "made" / "on the way" / "graphs"
    save_graphs(path, [small_graph, other], labels)
    (first, second), read = load_graphs(str(path))
    same(first, small_graph)
    same(second, other)
    assert set(read) == set(labels)
    for key in labels:
        assert torch.equal(read[key], labels[key])
        assert read[key].shape == labels[key].shape
    first.ndata["feat"][:] = 0  # memory of its own, to write to
    (only,), read = load_graphs(path, [1])
    same(only, other)
    assert set(read) == set(labels)
    assert [p.name for p in path.parent.iterdir()] == ["graphs"]


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
def test_order_of_edges_is_kept(tmp_path, idtype):
    graph = hf.graph(([3, 0, 3, 1], [2, 2, 0, 2]), idtype=idtype)  # not sorted: it has edge ids
    save_graphs(tmp_path / "g", graph)
    (read,), labels = load_graphs(tmp_path / "g")
    same(read, graph)
    assert labels == {}


def test_a_sampled_graph(small_graph, tmp_path):
    sampled = hf.sample_neighbors(small_graph, [5, 3], 2)
    save_graphs(tmp_path / "g", [sampled])
    (read,), _ = load_graphs(tmp_path / "g")
    same(read, sampled)


def test_what_cannot_be_written(small_graph, tmp_path):
    path = tmp_path / "g"
    with pytest.raises(ValueError, match=r"g_list\[0\]: expected a graph, got a block"):
        save_graphs(path, [hf.to_block(small_graph)])
    with pytest.raises(TypeError, match=r"g_list\[1\]: expected a hopflow.Graph, got int"):
        save_graphs(path, [small_graph, 3])
    with pytest.raises(TypeError, match=r"labels\['y'\]: expected a torch.Tensor, got ndarray"):
        save_graphs(path, small_graph, {"y": np.zeros(3)})
    with pytest.raises(TypeError, match=r"labels\['y'\]: expected a dense tensor"):
        save_graphs(path, small_graph, {"y": torch.eye(3).to_sparse()})
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(small_graph, tmp_path, monkeypatch):
    path = tmp_path / "g"
    save_graphs(path, small_graph)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("hopflow.as_dgl.own_files._Writer.write", fail)
    with pytest.raises(OSError, match="disk full"):
        save_graphs(path, hf.graph(([0], [1])))
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_foreign_files(tmp_path):
    path = tmp_path / "g"
    with pytest.raises(FileNotFoundError, match="g: no such file"):
        load_graphs(path)
    path.write_bytes(pickle.dumps({"graphs": []}))
    with pytest.raises(ValueError, match="written by another program, expected a file of hopflow"):
        load_graphs(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="written by another program"):
        load_graphs(path)
    path.write_bytes(bytes.fromhex("3fa1b446f04f2edd0200000000000000"))
    with pytest.raises(ValueError, match="damaged"):
        load_graphs(path)


def test_damaged_files(small_graph, tmp_path):
    path = tmp_path / "g"
    save_graphs(path, small_graph, {"y": torch.arange(3)})
    good = path.read_bytes()
    for length in (20, 40, 300, len(good) // 2, len(good) - 64):
        path.write_bytes(good[:length])
        with pytest.raises(ValueError, match=r"g: damaged \("):
            load_graphs(path)
    for old, new in (
        (b'"num_nodes": 200', b'"num_nodes":  10'),
        (b'"indptr"', b'"indptx"'),
        (b'"shape": [2000]', b'"shape": [9999]'),
        (b'"shape": [2000]', b'"shape": [-200]'),
        (b'"dtype": "float32"', b'"dtype": "object_"'),
        (b'"little"', b'"biggie"'),
    ):
        assert old in good
        path.write_bytes(good.replace(old, new))
        with pytest.raises(ValueError, match=r"g: damaged \("):
            load_graphs(path)
    path.write_bytes(good)
    with pytest.raises(IndexError, match=r"idx_list: .* holds 1 graphs, got 1"):
        load_graphs(path, [1])


def test_ids_in_a_file_are_checked(tmp_path):
    path = tmp_path / "g"
    save_graphs(path, hf.graph(([1, 2], [0, 1])))
    data = path.read_bytes()
    at = data.rindex(np.array([1, 2], dtype=np.int32).tobytes())
    path.write_bytes(data[:at] + np.array([1, 77], dtype=np.int32).tobytes() + data[at + 8 :])
    with pytest.raises(ValueError, match=r"g: damaged \(.*77"):
        load_graphs(path)


def test_subset():
    subset = Subset(["a", "b", "c"], [2, 0])
    assert (len(subset), subset[0], subset[1]) == (2, "c", "a")


def test_bad_index_lists_are_not_the_files_fault(tmp_path):
    path = tmp_path / "g.bin"
    save_graphs(path, [hf.graph(([0], [1]))])
    with pytest.raises(TypeError, match="idx_list: expected a sequence of ints, got int"):
        load_graphs(path, 0)
    with pytest.raises(TypeError, match="idx_list: expected an int, got str"):
        load_graphs(path, ["a"])
