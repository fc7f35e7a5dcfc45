"""save_tensors and load_tensors, save_info and load_info, load_labels."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

import hopflow as hf
from hopflow.as_dgl.files import load_graphs, load_labels, load_tensors, save_graphs, save_tensors
from hopflow.as_dgl.info import load_info, save_info
from hopflow.as_dgl.names import MODULES


def test_tensors_there_and_back(tmp_path):
    path = tmp_path / "made" / "tensors"
    tensors = {"a": torch.rand(3, 2).t(), "b": torch.tensor([True, False]), "c": torch.tensor(3)}
    assert save_tensors(path, tensors) is True
    read = load_tensors(str(path))
    assert list(read) == list(tensors)
    for name, x in tensors.items():
        assert read[name].dtype == x.dtype
        assert torch.equal(read[name], x)
    save_tensors(path, {})
    assert load_tensors(path) == {}
    assert load_graphs(path) == ([], {})


def test_tensors_that_cannot_be_written(tmp_path):
    path = tmp_path / "tensors"
    with pytest.raises(TypeError, match=r"tensor_dict\['a'\]: expected a torch.Tensor, got int"):
        save_tensors(path, {"a": 1})
    with pytest.raises(TypeError, match="tensor_dict: expected names of str, got int"):
        save_tensors(path, {1: torch.zeros(1)})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError, match="tensors: no such file"):
        load_tensors(path)


def test_labels_alone(tmp_path):
    path = tmp_path / "g"
    save_graphs(path, [hf.graph(([0], [1]))], {"y": torch.arange(3)})
    assert load_labels(path)["y"].tolist() == [0, 1, 2]
    save_graphs(path, [hf.graph(([0], [1]))])
    assert load_labels(path) == {}
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="written by another program"):
        load_labels(path)


def test_info_there_and_back(tmp_path):
    path = tmp_path / "info.pkl"
    info = {
        "classes": 7, "name": "cora", "share": 0.5, "none": None, "splits": [(1, 2), {"a"}],
        "mask": torch.tensor([True, False]), "ids": np.arange(3), "x": np.zeros((2, 2), np.float32),
    }  # fmt: skip
    save_info(str(path), info)
    read = load_info(path)
    assert list(read) == list(info)
    for name in ("classes", "name", "share", "none", "splits"):
        assert read[name] == info[name]
    assert torch.equal(read["mask"], info["mask"])
    for name in ("ids", "x"):
        np.testing.assert_array_equal(read[name], info[name])
        assert read[name].dtype == info[name].dtype


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        import os

        return os.mkdir, (self.folder,)


def test_nothing_in_info_is_executed(tmp_path):
    path, folder = tmp_path / "info", tmp_path / "made"
    path.write_bytes(pickle.dumps({"a": Trap(str(folder))}))
    with pytest.raises(ValueError, match="perhaps a pickle of the real DGL's, which is not read"):
        load_info(path)
    torch.save({"a": Trap(str(folder))}, path)
    with pytest.raises(ValueError, match=r"info: not a file of save_info, or damaged \("):
        load_info(path)
    assert not folder.exists()
    before = path.read_bytes()
    with pytest.raises(TypeError, match="info: expected tensors, numpy arrays, numbers"):
        save_info(path, {"a": Trap(str(folder))})
    assert not folder.exists()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["info"]


def test_damaged_info(tmp_path):
    path = tmp_path / "info"
    with pytest.raises(FileNotFoundError, match="info: no such file"):
        load_info(path)
    save_info(path, {"x": torch.arange(1000)})
    data = path.read_bytes()
    for length in (0, 3, 100, len(data) - 30):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="info: "):
            load_info(path)


def test_names():
    utils = MODULES["dgl.data.utils"]
    found = {
        name: utils.find(name)
        for name in ("load_labels", "save_tensors", "load_tensors", "save_info", "load_info")
    }
    assert [getattr(f, "__name__", None) for f in found.values()] == list(found)
