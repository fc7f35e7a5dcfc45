"""Graph folders: what comes back, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from graphs_alike import assert_alike

import hopflow as hf
from hopflow import datasets
from hopflow.datasets.graph_folder.manifest import read_manifest
from hopflow.storage import DiskColumn, folders
from hopflow.storage.manifests import MANIFEST
from hopflow.storage.memory import MappedFiles


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "small.npz", src=rng.integers(20, size=90), dst=rng.integers(20, size=90),
        feat=rng.normal(size=(20, 2)), label=np.arange(20) % 4, w=np.arange(90),
    )  # fmt: skip
    return datasets.load(tmp_path / "small.npz")


def test_a_data_set(dataset, tmp_path):
    sizes = []
    told = datasets.save_folder(
        dataset, tmp_path / "g", on_progress=lambda *at: sizes.append(at), chunk_bytes=64
    )
    back = datasets.load(tmp_path / "g")
    assert_alike(dataset, back, with_ids=True)
    assert repr(back) == repr(dataset)
    assert datasets.check_graph(tmp_path / "g") == []
    assert read_manifest(tmp_path / "g").graph_id == told
    assert sizes[-1][0] == sizes[-1][1]
    datasets.save_folder(back, tmp_path / "again")
    assert (tmp_path / "again" / MANIFEST).read_text() == (tmp_path / "g" / MANIFEST).read_text()


def test_several_types(tmp_path):
    wanted = datasets.mag_like(scale=0.001, cache=False, add_reverse=True)
    datasets.save_folder(wanted, tmp_path / "g")
    assert_alike(wanted, datasets.load(tmp_path / "g"), with_ids=True)
    assert datasets.check_graph(tmp_path / "g") == []


def test_ids_and_names_of_classes(tmp_path):
    (tmp_path / "u.csv").write_text("id,c\nann,x\nbøb,y\neve,x\njo,y\n")
    (tmp_path / "e.csv").write_text("a,b\nann,7\neve,-3\n")
    edges = {"relation": ["u", "to", "v"], "table": "e.csv", "source": "a", "target": "b"}
    manifest = {"nodes": {"u": {"table": "u.csv", "id": "id", "label": "c"}}, "edges": [edges]}
    (tmp_path / "hopflow.json").write_text(json.dumps(manifest))
    wanted = datasets.load(tmp_path)
    datasets.save_folder(wanted, tmp_path / "g")
    back = datasets.load(tmp_path / "g")
    assert_alike(wanted, back)
    assert back.class_names == wanted.class_names
    assert back.node_ids["u"].tolist() == ["ann", "bøb", "eve", "jo"]
    assert back.node_ids["u"][1] == "bøb"
    assert back.node_ids["u"][-1] == "jo"
    assert (
        back.node_ids["v"][torch.tensor([1, 0])].tolist() == wanted.node_ids["v"][[1, 0]].tolist()
    )


def test_a_graph(tmp_path):
    graph = hf.graph(([0, 1, 2], [2, 0, 0]), num_nodes=4, idtype=torch.int32)
    graph.ndata["x"] = torch.ones(4, 3, dtype=torch.bfloat16)
    datasets.save_folder(graph, tmp_path / "bare")
    back = datasets.load(tmp_path / "bare")
    assert back[0][1] is None
    assert not back.has_split
    assert back.name == "bare"
    assert back[0][0].idtype == torch.int32
    assert torch.equal(back[0][0].ndata["x"], graph.ndata["x"])
    splits = {"train": [0], "valid": torch.tensor([False, True, False, False]), "test": [3]}
    datasets.save_folder(
        graph, tmp_path / "g", labels=[0, 1, -1, 5], splits=splits, num_classes=9, name="n"
    )
    back = datasets.load(tmp_path / "g")
    assert back[0][1].tolist() == [[0], [1], [-1], [5]]
    assert back.get_idx_split()["valid"].tolist() == [1]
    assert (back.num_classes, back.name) == (9, "n")
    empty = hf.graph(([], []), num_nodes=0)
    datasets.save_folder(empty, tmp_path / "empty")
    assert datasets.load(tmp_path / "empty")[0][0].num_nodes() == 0


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"labels": [0, 1]},
            ValueError,
            r"labels of '_N': .* \[4, tasks\], got \[2, 1\]",
        ),
        ({"labels": [0.5] * 4}, TypeError, "labels of '_N': expected integers"),
        ({"labels": [0, -2, 0, 0]}, ValueError, "expected classes >= 0, or -1"),
        ({"splits": {"train": [0]}}, ValueError, "expected train, valid and test, got train"),
        (
            {"splits": {"train": [4], "valid": [0], "test": [1]}},
            IndexError,
            r"splits\['train'\]\[0\] is 4",
        ),
    ],
)
def test_what_does_not_fit(given, error, message, tmp_path):
    with pytest.raises(error, match=message):
        datasets.save_folder(hf.graph(([0], [3])), tmp_path / "g", **given)
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_nothing(dataset, tmp_path, monkeypatch):
    def write(self, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders.ArrayWriter, "write", write)
    with pytest.raises(OSError, match="No space left"):
        datasets.save_folder(dataset, tmp_path / "g")
    assert [x.name for x in tmp_path.iterdir()] == ["small.npz"]


@pytest.fixture
def pair(dataset, tmp_path):
    """Two folders of graphs of the same sizes."""
    datasets.save_folder(dataset, tmp_path / "one")
    graph, labels = dataset[0]
    graph = hf.Graph.reverse(graph, copy_edata=True)
    graph.ndata["feat"] = graph.ndata["feat"] + 1
    graph.adjacency.eids = graph.adjacency.eids.clone()
    datasets.save_folder(
        graph, tmp_path / "two", labels=labels + 1, splits=dataset.get_idx_split(), name="small"
    )
    return tmp_path / "one", tmp_path / "two"


FILES = ("edge-0.indices.npy", "edge-0.indptr.npy", "node-0.col-0.npy", "node-0.labels.npy")


@pytest.mark.parametrize("name", FILES)
def test_files_are_refused_by_name(pair, name):
    folder, other = pair
    file = folder / name
    whole = file.read_bytes()
    for damage, message in (
        (lambda: file.write_bytes(whole[:-1]), "expected .* bytes, got"),
        (lambda: file.write_bytes(whole[:20]), "expected an .npy file"),
        (lambda: shutil.copy(other / name, file), "is damaged, or of another graph folder"),
        (lambda: np.save(file, np.load(file).astype(np.int16)), "expected dtype"),
        (lambda: np.save(file, np.load(file)[:5]), "expected shape"),
    ):
        damage()
        with pytest.raises(ValueError, match=f"{name}: .*{message}"):
            datasets.load(folder)
        assert f"{name}: " in datasets.check_graph(folder)[0]
        file.write_bytes(whole)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}: no such file"):
        datasets.load(folder)


def test_damage_in_the_middle_is_found_by_the_check(tmp_path):
    graph = hf.graph(([0], [0]), num_nodes=100_000)
    graph.ndata["x"] = torch.zeros(100_000, 2)
    datasets.save_folder(graph, tmp_path / "g")
    with (tmp_path / "g" / "node-0.col-0.npy").open("r+b") as file:
        file.seek(400_000)
        file.write(b"x")
    datasets.load(tmp_path / "g")
    (fault,) = datasets.check_graph(tmp_path / "g")
    assert "node-0.col-0.npy: its checksum is another; the file is damaged" in fault


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version: expected at most 1, got 2; a newer hopflow wrote it"),
        ({"num_nodes": {"_N": 21}}, "shape: expected"),
        ({"name": "other"}, "graph_id: expected .* the file has been changed"),
        ({"labels": {"x": 1}}, "labels: expected types of the graph"),
        ({"has_eids": [1]}, r"has_eids\[0\]: expected true or false"),
    ],
)
def test_a_manifest_that_was_changed(pair, change, message):
    file = pair[0] / MANIFEST
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ValueError, match=message):
        datasets.load(pair[0])


def test_a_manifest_of_another_folder(pair):
    shutil.copy(pair[1] / MANIFEST, pair[0] / MANIFEST)
    with pytest.raises(ValueError, match="of another graph folder"):
        datasets.load(pair[0])


def test_options_do_not_apply(pair):
    with pytest.raises(ValueError, match="split= does not apply to a graph folder"):
        datasets.load(pair[0], split="x")


@pytest.mark.parametrize("edges", ["mapped", "memory"])
@pytest.mark.parametrize("memory", [None, 0, 9000, "1MB"])
def test_columns_within_memory(tmp_path, memory, edges):
    torch.manual_seed(0)
    ends = torch.randint(100, (2, 900))
    graph = hf.graph((ends[0], ends[1]), num_nodes=100)
    graph.ndata["feat"], graph.ndata["age"] = torch.randn(100, 32), torch.arange(100)
    datasets.save_folder(graph, tmp_path / "g")
    found, _ = datasets.load(tmp_path / "g", memory=memory, edges=edges)[0]
    files, frame = MappedFiles(), found.node_frames()["_N"]
    on_disk = {name for name in frame if isinstance(frame.column(name), DiskColumn)}
    assert on_disk == {None: set(), 0: {"feat", "age"}, 9000: {"feat"}, "1MB": set()}[memory]
    if memory == 9000:  # what the small one leaves is a cache for the large one
        cache = frame.column("feat").report().memory
        assert 0 < cache <= 9000 - 928
    for name in set(frame) - on_disk:
        assert files.holds(found.ndata[name]) == (memory is None)
    assert files.holds(found.adjacency.indices) == (edges == "mapped")
    for name in frame:
        assert torch.equal(found.ndata[name], graph.ndata[name])
        assert torch.equal(found.nodes[[5, 99]].data[name], graph.ndata[name][[5, 99]])
    assert torch.equal(found.in_degrees(), graph.in_degrees())


def test_memory_is_for_graph_folders_alone(tmp_path):
    datasets.save_folder(hf.graph(([0], [1])), tmp_path / "g")
    with pytest.raises(ValueError, match="memory: expected a size"):
        datasets.load(tmp_path / "g", memory="lots")
    with pytest.raises(ValueError, match='edges: expected "mapped" or "memory"'):
        datasets.load(tmp_path / "g", edges="disk")
    with pytest.raises(ValueError, match=r"memory=, edges=: expected neither for 'arxiv-like'"):
        datasets.load("arxiv-like", memory="1GiB")
