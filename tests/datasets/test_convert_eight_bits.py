"""Node columns in eight bits, in graph folders: written, read, refused."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graphs_alike import assert_alike

import hopflow as hf
from hopflow import datasets, ops
from hopflow.datasets.conversion import columns, options
from hopflow.datasets.conversion.growing import GrowingArray
from hopflow.datasets.graph_folder.manifest import read_manifest
from hopflow.storage import DiskColumn, EncodedColumn, encode
from hopflow.storage.manifests import MANIFEST, Column, rows_of_column
from hopflow.storage.memory import MappedFiles

pytestmark = pytest.mark.cpu_only

NUM_NODES, WIDTH = 60, 6


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def arrays_of(dtype: Any = np.float32) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    feat = rng.normal(size=(NUM_NODES, WIDTH)) * np.logspace(-2, 2, NUM_NODES)[:, None]
    feat[5] = 0.25  # a row of one number
    return {
        "src": rng.integers(NUM_NODES, size=300), "dst": rng.integers(NUM_NODES, size=300),
        "feat": feat.astype(dtype), "label": np.arange(NUM_NODES) % 3,
        "w": rng.normal(size=(300, 2)),
    }  # fmt: skip


def saved(folder: Path, form: str, arrays: dict[str, Any]) -> Path:
    source = folder / "source"
    if form == "npz":
        source = source.with_suffix(".npz")
        np.savez(source, **arrays)
        return source
    source.mkdir()
    if form == "npy":
        for name, array in arrays.items():
            np.save(source / f"{name}.npy", array)
        return source
    raw = source / "raw"
    raw.mkdir()
    texts = {
        "edge": np.stack([arrays["src"], arrays["dst"]], 1), "node-feat": arrays["feat"],
        "node-label": arrays["label"], "num-node-list": np.array([NUM_NODES]),
        "num-edge-list": np.array([300]),
    }  # fmt: skip
    split = source / "split" / "some"
    split.mkdir(parents=True)
    parts = zip(("train", "valid", "test"), np.split(np.arange(NUM_NODES), [30, 40]))
    files = {raw / name: array for name, array in texts.items()}
    for file, array in {**files, **{split / name: part for name, part in parts}}.items():
        with gzip.open(f"{file}.csv.gz", "wt") as opened:
            np.savetxt(opened, array, fmt="%.9g", delimiter=",")
    return source


def column_of(dataset: Any, name: str = "feat") -> Any:
    return dataset[0][0].node_frames()["_N"].column(name)


@pytest.mark.parametrize("memory", [None, 300, "1MB"])
@pytest.mark.parametrize("form", ["npz", "npy", "ogb"])
def test_batches_have_the_decoded_rows(form, memory, tmp_path, monkeypatch):
    monkeypatch.setattr(options.Options, "piece_bytes", 5 * WIDTH * 4)  # of five rows
    source = saved(tmp_path, form, arrays_of())
    datasets.convert(source, tmp_path / "out", dtypes={"feat": "int8"}, link=True)
    assert datasets.check_graph(tmp_path / "out") == []
    wanted = ops.quantize_by_row(datasets.load(source)[0][0].ndata["feat"])
    assert np.array_equal(np.load(tmp_path / "out" / "node-0.col-0.npy"), wanted.numpy())

    dataset = datasets.load(tmp_path / "out", memory=memory)
    graph, column = dataset[0][0], column_of(dataset)
    assert isinstance(column, EncodedColumn)
    assert (column.dtype, column.shape) == (torch.float32, (NUM_NODES, WIDTH))
    assert isinstance(column.table, DiskColumn) == (memory == 300)
    if memory != 300:
        assert MappedFiles().holds(column.table) == (memory is None)
    decoded = ops.gather_decoded(wanted, None, by_row=True)
    loader = hf.dataloading.DataLoader(
        graph, torch.arange(NUM_NODES), hf.dataloading.NeighborSampler([3, 2]), batch_size=16,
        num_workers=1,
    )  # fmt: skip
    for input_nodes, _, blocks in loader:
        assert torch.equal(blocks[0].srcdata["feat"], decoded[input_nodes])
    assert torch.equal(graph.ndata["feat"], decoded)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_and_names(dtype, tmp_path):
    arrays = arrays_of(dtype)
    arrays["x2"] = arrays["feat"]
    arrays["feat"] = (arrays["feat"] * 4).astype(
        np.int32
    )  # features are floats, whatever they were
    source = saved(tmp_path, "npz", arrays)
    datasets.convert(source, tmp_path / "out", dtypes={"feat": "int8", "x2": "int8"})
    manifest = read_manifest(tmp_path / "out")
    assert {c.code for c in manifest.node_columns["_N"]} == {"int8-by-row"}
    loaded, back = datasets.load(source)[0][0], datasets.load(tmp_path / "out")
    for name in ("feat", "x2"):
        table = column_of(back, name).table
        assert torch.equal(table, ops.quantize_by_row(loaded.ndata[name]))


def test_the_error_is_as_small_as_promised(tmp_path):
    arrays = arrays_of()
    source = saved(tmp_path, "npz", arrays)
    datasets.convert(source, tmp_path / "out", dtypes={"feat": "int8"})
    x = torch.from_numpy(arrays["feat"])
    found = datasets.load(tmp_path / "out")[0][0].ndata["feat"]
    span = x.amax(1) - x.amin(1)
    assert ((found - x).abs().amax(1) <= span / 510 * 1.001 + 2**-22 * x.abs().amax(1)).all()


def broken(name: str, change: Any) -> dict[str, Any]:
    arrays = arrays_of(np.float64)
    arrays["h"] = arrays.pop("feat")
    arrays["year"] = np.arange(NUM_NODES)
    arrays["flat"] = np.arange(NUM_NODES) / 2
    arrays["cube"] = np.zeros((NUM_NODES, 2, 2))
    if change is not None:
        arrays[name][41, 2] = change
    return arrays


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("h", np.nan, r"h\.npy: expected finite numbers, .* got NaN or infinity in row 41$"),
        ("h", -np.inf, r"h\.npy: expected finite numbers, .* got NaN or infinity in row 41$"),
        ("h", 1e39, r"h\.npy: row 41 spans .* to 1e\+39, more than float32 can"),
        ("year", None, r"year\.npy: dtype: expected a column of floats, got int64"),
        (
            "flat",
            None,
            r"flat\.npy: dtype: expected a matrix \[60, D\] for int8, got shape \(60,\)",
        ),
        ("cube", None, r"cube\.npy: dtype: expected a matrix .* got shape \(60, 2, 2\)"),
        ("w", None, r"dtypes: expected node columns, got 'w'; there is"),
    ],
)
def test_what_has_no_such_code(name, change, message, tmp_path, monkeypatch):
    monkeypatch.setattr(options.Options, "piece_bytes", 5 * WIDTH * 8)
    source = saved(tmp_path, "npy", broken(name, change))
    with pytest.raises(ValueError, match=message):
        datasets.convert(source, tmp_path / "out", dtypes={name: "int8"})
    assert [x.name for x in tmp_path.iterdir()] == ["source"]


def test_features_that_are_not_finite(tmp_path):
    arrays = arrays_of()
    arrays["feat"][17, 0] = np.inf
    source = saved(tmp_path, "npz", arrays)
    with pytest.raises(ValueError, match=r"source\.npz \(feat\): .* NaN or infinity in row 17"):
        datasets.convert(source, tmp_path / "out", dtypes={"feat": "int8"})


@pytest.mark.parametrize("moment", [1, 4, 5, 11, 16, 20])
def test_goes_on_in_the_middle_of_a_column(moment, tmp_path, monkeypatch):
    # Pieces of three rows, and a step for every four pieces: 20 pieces in 5 steps.
    monkeypatch.setattr(options.Options, "piece_bytes", 3 * WIDTH * 4)
    monkeypatch.setattr(columns, "_STEP_BYTES", 12 * WIDTH * 4)
    source = saved(tmp_path, "npy", arrays_of())
    asked = {"dtypes": {"feat": "int8"}}
    real, count = GrowingArray.write, 0

    def write(self, rows):
        nonlocal count
        count += self.path.name == "node-0.col-0.npy"
        real(self, rows)
        if count == stop:
            raise KeyboardInterrupt

    stop: int | None = moment
    monkeypatch.setattr(GrowingArray, "write", write)
    with pytest.raises(KeyboardInterrupt):
        datasets.convert(source, tmp_path / "out", **asked)
    stop, count = None, 0
    datasets.convert(source, tmp_path / "out", **asked)
    assert count == 20 - (moment - 1) // 4 * 4  # what a finished step wrote stays
    monkeypatch.undo()
    datasets.convert(source, tmp_path / "whole", **asked)
    for file in (tmp_path / "whole").rglob("*.*"):
        other = tmp_path / "out" / file.relative_to(tmp_path / "whole")
        assert file.read_bytes() == other.read_bytes(), file


@pytest.fixture
def folder(tmp_path):
    source = saved(tmp_path, "npz", arrays_of())
    datasets.convert(source, tmp_path / "out", dtypes={"feat": "int8"})
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"code": "int4"},
            r"node_columns\._N\[0\]: code: expected int8-by-row, or none, got 'int4'",
        ),
        ({"code": None}, "code: expected a text, got None"),
        ({"dtype": "int64"}, r"code: expected none beside dtype int64 and shape \[6\]"),
        ({"shape": [2, 3]}, r"code: expected none beside dtype float32 and shape \[2, 3\]"),
        ({"shape": [7]}, r"node-0\.col-0\.npy: shape: expected \[60, 15\], got \[60, 14\]"),
        ({"dtype": "float16"}, "graph_id: expected .* the file has been changed"),
        ("drop", r"node-0\.col-0\.npy: dtype: expected float32, got 'uint8'"),
        ("edge", r"edge_columns\[0\]\[0\]: code: expected none here, got 'int8-by-row'"),
    ],
)
def test_manifests_are_refused(folder, change, message):
    file = folder / MANIFEST
    values = json.loads(file.read_text())
    (column,) = values["node_columns"]["_N"]
    assert column == {"name": "feat", "dtype": "float32", "shape": [6], "code": "int8-by-row"}
    if change == "drop":
        del column["code"]
    elif change == "edge":
        values["edge_columns"][0][0] |= {"dtype": "float32", "code": "int8-by-row"}
    else:
        column |= change
    file.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message):
        datasets.load(folder)
    assert len(datasets.check_graph(folder)) == 1


def test_a_manifest_of_columns_as_they_are_has_no_code(tmp_path):
    assert Column("x", "float32", (4,)).to_json() == {"name": "x", "dtype": "float32", "shape": [4]}
    layout = rows_of_column(Column("x", "bfloat16", (4,), "int8-by-row"), 3)
    assert (layout.dtypes, layout.shape) == (("uint8",), (3, 12))


@pytest.mark.parametrize("memory", [None, 300, "1MB"])
def test_saved_again_it_is_the_same(folder, memory, tmp_path):
    dataset = datasets.load(folder, memory=memory)
    told = datasets.save_folder(dataset, tmp_path / "again", chunk_bytes=50)
    assert told == read_manifest(folder).graph_id
    assert (tmp_path / "again" / MANIFEST).read_text() == (folder / MANIFEST).read_text()
    assert_alike(datasets.load(tmp_path / "again"), dataset)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("code", ["int8", "int8-by-row", "float16", "bfloat16"])
def test_save_folder(code, dtype, tmp_path):
    graph = hf.graph(([0, 1, 2], [2, 0, 0]), num_nodes=40)
    graph.ndata["feat"] = encode(torch.randn(40, 7), code, dtype=dtype)
    graph.edata["e"] = encode(torch.randn(3, 4), code, dtype=dtype)
    sizes: list[tuple[int, int]] = []
    datasets.save_folder(
        graph, tmp_path / "g", chunk_bytes=64, on_progress=lambda *at: sizes.append(at)
    )
    assert sizes[-1][0] == sizes[-1][1]
    assert datasets.check_graph(tmp_path / "g") == []
    back = datasets.load(tmp_path / "g")
    column = column_of(back)
    assert isinstance(column, EncodedColumn) == (code == "int8-by-row")
    for found, wanted in ((back[0][0].ndata["feat"], graph.ndata["feat"]),
                          (back[0][0].edata["e"], graph.edata["e"])):  # fmt: skip
        assert found.dtype == dtype
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_save_folder_of_a_column_on_disk(dtype, tmp_path):
    x = torch.randn(40, 7).to(dtype)
    array = x.view(torch.int16) if dtype == torch.bfloat16 else x
    np.save(tmp_path / "x.npy", array.numpy())
    graph = hf.graph(([0, 1, 2], [2, 0, 0]), num_nodes=40)
    graph.ndata["x"] = DiskColumn(tmp_path / "x.npy", dtype=str(dtype)[6:])
    datasets.save_folder(graph, tmp_path / "g", chunk_bytes=64)
    assert torch.equal(datasets.load(tmp_path / "g")[0][0].ndata["x"], x)
