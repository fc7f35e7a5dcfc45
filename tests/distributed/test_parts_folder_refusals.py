"""The folder of a partitioned graph: what is half written, damaged or mixed up is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from folders import in_turn, one_type

import hopflow as hf
from hopflow.distributed.folder.check import check_folder
from hopflow.distributed.folder.reader import open_folder
from hopflow.distributed.folder.writer import write_parts
from hopflow.storage import folders
from hopflow.storage.manifests import MANIFEST


def failing_after(monkeypatch, files: int) -> None:
    """Let the writer fail in the middle, as on a full disk."""
    real = folders.ArrayWriter.write
    left = [files]

    def write(self, rows):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(self, rows)

    monkeypatch.setattr(folders.ArrayWriter, "write", write)


@pytest.mark.parametrize("files", [0, 5, 15])
def test_an_error_leaves_nothing(tmp_path, monkeypatch, files):
    graph = one_type()
    failing_after(monkeypatch, files)
    with pytest.raises(OSError, match="No space"):
        write_parts(graph, in_turn(graph, 3), tmp_path / "p", num_parts=3)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    graph = one_type()
    with pytest.raises(KeyboardInterrupt):
        write_parts(graph, in_turn(graph, 3), tmp_path / "p", num_parts=3, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_the_old_one(written, monkeypatch):
    graph = one_type(seed=1)
    before = open_folder(written).partition_id
    with pytest.raises(FileExistsError, match="holds a partition already"):
        write_parts(graph, in_turn(graph, 2), written, num_parts=2)
    with monkeypatch.context() as patch:
        failing_after(patch, 5)
        with pytest.raises(OSError, match="No space"):
            write_parts(graph, in_turn(graph, 2), written, num_parts=2, overwrite=True)
    assert open_folder(written).partition_id == before
    assert check_folder(written) == []
    write_parts(graph, in_turn(graph, 2), written, num_parts=2, overwrite=True)
    assert open_folder(written).num_parts == 2
    assert [p.name for p in written.parent.iterdir()] == ["p"]


def test_nothing_else_is_replaced(tmp_path):
    graph = one_type()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / MANIFEST).write_text('{"format": "something else"}')
    for target in (mine, mine / MANIFEST):
        with pytest.raises(FileExistsError, match="is no partition to replace"):
            write_parts(graph, in_turn(graph, 2), target, num_parts=2, overwrite=True)
    with pytest.raises(FileNotFoundError, match="expected a folder to put it in"):
        write_parts(graph, in_turn(graph, 2), tmp_path / "no" / "p", num_parts=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_parts": 0}, "num_parts: expected at least 1"),
        ({"parts": {}}, "expected the part of each node of '_N', got none"),
        ({"parts": torch.zeros(50)}, "got Tensor"),
        ({"parts": {"_N": torch.zeros(49, dtype=torch.int16)}}, "each of 50 nodes, got 49"),
        ({"parts": {"_N": torch.full((50,), 3)}}, r"expected parts in \[0, 3\), got 3 to 3"),
        ({"parts": {"_N": torch.full((50,), -1)}}, "got -1 to -1"),
        ({"parts": {"_N": torch.zeros(50)}}, "expected integer ids"),
        ({"splits": {"a/b": [1]}}, "expected names of letters"),
        ({"splits": {"train": {"x": [1]}}}, "expected ids of '_N', got 'x'"),
        ({"splits": {"train": [50]}}, r"splits\['train'\]\[0\] is 50"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, options, message):
    graph = one_type()
    given_ = {"parts": in_turn(graph, 3), "num_parts": 3, **options}
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        write_parts(graph, folder=tmp_path / "p", **given_)
    assert list(tmp_path.iterdir()) == []


def test_a_dtype_without_a_file_is_refused(tmp_path):
    graph = one_type()
    graph.ndata["q"] = torch.zeros(50).to(torch.float8_e5m2)
    with pytest.raises(TypeError, match="node column 'q': expected one of bool"):
        write_parts(graph, in_turn(graph, 3), tmp_path / "p", num_parts=3)


@pytest.mark.parametrize(
    "name",
    [
        "place/node-0.npy", "split/train-0.npy", "topology/0.indptr.npy", "part-1/node-0.ids.npy",
        "part-1/node-0.col-0.npy", "part-1/edge-0.indptr.npy", "part-1/edge-0.col-0.npy",
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", ["deleted", "cut", "longer", "dtype", "shape", "damaged", "text"])
def test_a_file_that_is_another_is_refused(written, name, how):
    file = written / name
    data = file.read_bytes()
    if how == "deleted":
        file.unlink()
    elif how == "cut":
        file.write_bytes(data[:-1])
    elif how == "longer":
        file.write_bytes(data + b"\0")
    elif how == "text":
        file.write_text("hello")
    elif how == "damaged":
        file.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    else:
        array = np.load(file)
        np.save(file, array.astype(np.float16) if how == "dtype" else array[:-1])
    message = {
        "deleted": "no such file", "cut": "expected [0-9,]+ bytes, got",
        "longer": "expected [0-9,]+ bytes, got",
        "text": "expected an .npy file", "damaged": "its checksum is another",
        "dtype": "expected dtype", "shape": "expected shape",
    }[how]  # fmt: skip
    kind = FileNotFoundError if how == "deleted" else ValueError
    with pytest.raises(kind, match=f"{name}: {message}"):
        open_folder(written).part(1)
    (fault,) = check_folder(written)
    assert name in fault


def test_damage_inside_a_large_file_is_found_by_the_check(tmp_path):
    graph = hf.graph(([0], [1]), num_nodes=60_000)
    graph.ndata["x"] = torch.arange(60_000)
    write_parts(graph, in_turn(graph, 1), tmp_path / "p", num_parts=1)
    file = tmp_path / "p" / "part-0" / "node-0.col-0.npy"
    array = np.load(file, mmap_mode="r+")
    array[30_000] += 1
    array.flush()
    open_folder(tmp_path / "p").part(0)
    (fault,) = check_folder(tmp_path / "p")
    assert "part-0/node-0.col-0.npy: its checksum is another" in fault


def test_parts_that_are_mixed_up(written, tmp_path):
    (written / "part-1").rename(tmp_path / "x")
    (written / "part-2").rename(written / "part-1")
    (tmp_path / "x").rename(written / "part-2")
    folder = open_folder(written)
    folder.part(0)
    with pytest.raises(ValueError, match=r"part-1/part.json: part: expected 1, got 2"):
        folder.part(1)
    assert len(check_folder(written)) == 2


def test_a_part_of_another_partitioning(written, tmp_path):
    graph = one_type(seed=1)  # of the same sizes
    other = tmp_path / "other"
    write_parts(graph, in_turn(graph, 3), other, num_parts=3, splits={"train": torch.arange(9)})
    shutil.rmtree(written / "part-2")
    shutil.copytree(other / "part-2", written / "part-2")
    with pytest.raises(ValueError, match="part-2 is of another partitioning"):
        open_folder(written).part(2)
    (fault,) = check_folder(written)
    assert "part-2 is of another partitioning" in fault
    shutil.copy(other / "part-1" / "node-0.col-0.npy", written / "part-1")
    with pytest.raises(
        ValueError, match=r"node-0.col-0.npy: its checksum is another; .*of another"
    ):
        open_folder(written).part(1)
    shutil.copy(other / MANIFEST, written)
    with pytest.raises(ValueError, match=r"topology/0.indptr.npy: its checksum is another"):
        open_folder(written)


def test_a_file_of_another_part(written):
    shutil.copy(written / "part-1" / "edge-0.indptr.npy", written / "part-2")
    with pytest.raises(ValueError, match=r"part-2/edge-0.indptr.npy: expected shape"):
        open_folder(written).part(2)


CODED = {"name": "x", "dtype": "float32", "shape": [5], "code": "int8-by-row"}
CHANGES = [
    ("format", "x", "expected what `hopflow partition` wrote, with format 'hopflow partition'"),
    ("version", 2, "version: expected at most 1, got 2; a newer hopflow wrote it"),
    ("version", "1", "version: expected a whole number >= 1, got '1'"),
    ("partition_id", None, "partition_id: expected a text, got None"),
    ("partition_id", "0" * 32, "the file has been changed"),
    ("num_parts", 0, "num_parts: expected a whole number >= 1, got 0"),
    ("num_parts", True, "num_parts: expected a whole number >= 1, got True"),
    ("num_parts", 2, r"part_nodes._N: expected a list of 2"),
    ("idtype", "int8", "idtype: expected int32 or int64, got 'int8'"),
    ("ntypes", [], "ntypes: expected at least one"),
    ("ntypes", ["_N", "_N"], "ntypes: expected at least one, each once"),
    ("ntypes", ["a"], "relations: expected ends among 'a'"),
    ("relations", [["_N", "_E"]], r"relations\[0\]: expected \[source type"),
    ("num_nodes", {"_N": 51}, "part_nodes: expected 51 of '_N' in all"),
    ("num_nodes", {"x": 50}, "num_nodes: expected an object with '_N'"),
    ("num_edges", [-1], r"num_edges\[0\]: expected a whole number >= 0, got -1"),
    ("num_edges", [299], "part_edges: expected 299 of"),
    ("part_nodes", {"_N": [17, 16, 17]}, "the file has been changed"),
    ("part_edges", [[1]], r"part_edges\[0\]: expected a list of 3"),
    ("node_columns", {"_N": [{}]}, r"node_columns._N\[0\]: dtype: expected a text, got none"),
    ("node_columns", [], r"node_columns: expected an object, got \[\]"),
    ("node_columns", {"_N": [{"name": "x", "dtype": "object", "shape": []}]}, "expected one of"),
    ("node_columns", {"_N": [CODED]}, r"_N\[0\]: code: expected none here, got 'int8-by-row'"),
    ("edge_columns", [[CODED]], r"\[0\]\[0\]: code: expected none here, got 'int8-by-row'"),
    ("edge_columns", [[]], "the file has been changed"),
    ("splits", {}, "files: expected no split/train-0.npy"),
    ("splits", {"../x": {"_N": 9}}, "splits: expected names of letters"),
    ("splits", {"train": {"_N": 8}}, r"files.split/train-0.npy: shape: expected \[8\], got \[9\]"),
    ("num_classes", "4", "num_classes: expected a whole number"),
    ("topology", None, "files: expected no topology/0.eids.npy"),
    ("topology", [1], r"topology\[0\]: expected true or false, got 1"),
    ("report", 3, "report: expected an object or null"),
    ("report", {"cut": 1}, "the file has been changed"),
    ("assignment", "x", "the file has been changed"),
    ("parts", ["x", "y", "z"], "the file has been changed"),
    ("files", {}, "files: expected place/node-0.npy too"),
    ("files", 1, "files: expected an object, got 1"),
]


@pytest.mark.parametrize(("field", "value", "message"), CHANGES)
def test_a_changed_manifest_is_refused(written, field, value, message):
    file = written / MANIFEST
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, field: value}))
    with pytest.raises(ValueError, match=f"{MANIFEST}.*{message}"):
        open_folder(written)
    del values[field]
    file.write_text(json.dumps(values))
    optional = {"num_classes", "report"}  # which are null here
    if field not in optional:
        with pytest.raises(ValueError, match=MANIFEST):
            open_folder(written)


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff"])
def test_no_manifest_at_all(tmp_path, text):
    with pytest.raises(FileNotFoundError, match=r"expected a folder that .*manifest.json is miss"):
        open_folder(tmp_path)
    (tmp_path / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"manifest.json: expected"):
        open_folder(tmp_path)
    assert len(check_folder(tmp_path)) == 1


def test_a_changed_part_manifest_is_refused(written):
    file = written / "part-1" / "part.json"
    values = json.loads(file.read_text())
    values["files"]["node-0.ids.npy"]["crc32_ends"] += 1
    file.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"part-1/part.json: does not fit manifest.json"):
        open_folder(written).part(1)
    values["files"]["node-0.ids.npy"]["shape"] = [3]
    file.write_text(json.dumps(values))
    with pytest.raises(
        ValueError, match=r"files.node-0.ids.npy: shape: expected \[17\], got \[3\]"
    ):
        open_folder(written).part(1)
