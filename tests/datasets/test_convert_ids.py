"""Ids that are no numbers of rows: numbered as they appear, and kept."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from hopflow import datasets
from hopflow.datasets.conversion import numbering, staging


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(staging, "_LEAST_ROWS", 7)
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def numbered(ids):
    """Each different id with its number, in order of first appearance."""
    return {x: k for k, x in enumerate(dict.fromkeys(ids))}


def some_edges(kind: str) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = ["ann", "bøb", "NA", "007", "7", "x,y", "two\nlines", *(f"n{i}" for i in range(40))]
    if kind == "number":
        names = rng.integers(-(2**62), 2**62, size=47).tolist()
    pick = rng.integers(47, size=(200, 2))
    frame = pd.DataFrame({"source": [names[i] for i in pick[:, 0]],
                          "target": [names[i] for i in pick[:, 1]]})  # fmt: skip
    return frame.assign(w=rng.normal(size=200))


@pytest.mark.parametrize("kind", ["text", "number"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_in_order_of_first_appearance(kind, suffix, tmp_path):
    frame = some_edges(kind)
    source = tmp_path / f"e{suffix}"
    frame.to_parquet(source) if suffix == ".parquet" else frame.to_csv(source, index=False)
    datasets.convert(source, tmp_path / "g", ids=kind, memory=1, keep_edge_ids=True)
    number = numbered(frame[["source", "target"]].to_numpy().reshape(-1).tolist())
    back = datasets.load(tmp_path / "g")
    src, dst = back[0][0].edges()
    assert src.tolist() == [number[x] for x in frame.source]
    assert dst.tolist() == [number[x] for x in frame.target]
    assert back[0][0].edata["w"].tolist() == frame.w.tolist()
    assert back.node_ids.tolist() == list(number)
    assert back.node_ids[3] == list(number)[3]
    assert datasets.check_graph(tmp_path / "g") == []
    datasets.save_folder(back, tmp_path / "again")
    assert datasets.load(tmp_path / "again").node_ids.tolist() == list(number)


def test_nodes_of_tables_come_first(tmp_path):
    frame = some_edges("text")
    ids = sorted({*frame.source, *frame.target, "alone"})
    frame.to_csv(tmp_path / "e.csv", index=False)
    rng = np.random.default_rng(0)
    feat = pd.DataFrame({"id": ids, "a": rng.normal(size=len(ids)), "b": range(len(ids))})
    feat.to_csv(tmp_path / "f.csv", index=False)
    labels = pd.DataFrame({"c": np.arange(30) % 3, "node": ids[::-1][:30]})
    labels.to_csv(tmp_path / "l.csv", index=False)
    datasets.convert(
        tmp_path / "e.csv", tmp_path / "g", ids="text", memory=1,
        features=tmp_path / "f.csv", labels=tmp_path / "l.csv",
    )  # fmt: skip
    back = datasets.load(tmp_path / "g")
    graph, found = back[0]
    assert back.node_ids.tolist() == ids
    assert graph.ndata["feat"].numpy().tolist() == feat[["a", "b"]].to_numpy(np.float32).tolist()
    of = dict(zip(labels.node, labels.c))
    assert found[:, 0].tolist() == [of.get(x, -1) for x in ids]
    assert len(back.get_idx_split()["train"]) == 18
    # Without features nodes of labels come first, and edges may name others.
    datasets.convert(tmp_path / "e.csv", tmp_path / "h", ids="text", labels=tmp_path / "l.csv")
    assert datasets.load(tmp_path / "h").node_ids[:30].tolist() == labels.node.tolist()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "e.csv",
            "a,b\nann,bob\nbob,joe\n",
            r"e\.csv: expected the id of .*f\.csv.* row 1",
        ),
        (
            "e.csv",
            "a,b\nann,bob\nbob,\n",
            r"\(column 'b'\): expected an id, got none in row 1",
        ),
        ("f.csv", "id,x\nann,1\nbob,2\nann,3\n", r"f\.csv: expected each id once, .* row 2"),
        ("l.csv", "id,x\nann,1\nann,0\n", r"l\.csv: expected each id once, .* row 1"),
    ],
)
def test_what_is_refused(name, text, message, tmp_path):
    (tmp_path / "e.csv").write_text("a,b\nann,bob\nbob,ann\n")
    (tmp_path / "f.csv").write_text("id,x\nann,1\nbob,2\n")
    (tmp_path / "l.csv").write_text("id,x\nann,1\n")
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        datasets.convert(
            tmp_path / "e.csv", tmp_path / "g", ids="text", features=tmp_path / "f.csv",
            labels=tmp_path / "l.csv",
        )  # fmt: skip
    assert not (tmp_path / "g.converting").exists()


def test_numbers_that_are_none(tmp_path):
    (tmp_path / "e.csv").write_text("a,b\n1,2\n3,x\n")
    with pytest.raises(ValueError, match=r"'b'\): expected a whole number, got 'x' in row 1"):
        datasets.convert(tmp_path / "e.csv", tmp_path / "g", ids="number")


@pytest.mark.parametrize("what", ["features", "labels"])
@pytest.mark.parametrize("suffix", [".csv", ".npy"])
def test_rows_that_do_not_say_whose_they_are_are_refused(what, suffix, tmp_path):
    (tmp_path / "e.csv").write_text("source,target\n30,10\n10,20\n20,30\n")
    file = tmp_path / f"rows{suffix}"
    if suffix == ".npy":
        np.save(file, np.arange(3))
    else:
        file.write_text("paper_id,a\n10,1\n20,0\n30,1\n")
    with pytest.raises(ValueError, match="expected a table with the ids in a column"):
        datasets.convert(tmp_path / "e.csv", tmp_path / "g", ids="number", **{what: file})
    assert not (tmp_path / "g.converting").exists()


def test_a_mask_of_ids(tmp_path):
    frame = some_edges("text")
    frame.to_csv(tmp_path / "e.csv", index=False)
    datasets.convert(tmp_path / "e.csv", tmp_path / "g", ids="text")
    ids = datasets.load(tmp_path / "g").node_ids
    mask = np.zeros(len(ids), bool)
    mask[[2, 5]] = True
    assert ids[mask].tolist() == [ids[2], ids[5]]


def test_numbers_above_what_float64_tells_apart(tmp_path):
    ids = np.array([2**53 + 1, 2**53, 2**63 - 1, 2**63 - 2], np.uint64)
    frame = pd.DataFrame({"source": ids, "target": ids[::-1]})
    frame.to_parquet(tmp_path / "e.parquet")
    datasets.convert(tmp_path / "e.parquet", tmp_path / "g", ids="number")
    assert sorted(datasets.load(tmp_path / "g").node_ids.tolist()) == sorted(ids.tolist())
    frame.loc[2, "target"] = np.uint64(2**63)
    frame.to_parquet(tmp_path / "e.parquet")
    with pytest.raises(ValueError, match=r"whole number, got 9223372036854775808 in row 2"):
        datasets.convert(tmp_path / "e.parquet", tmp_path / "h", ids="number")


@pytest.mark.parametrize("kind", ["text", "number"])
@pytest.mark.parametrize("memory", [0, 700, 5000, 1 << 30])
def test_any_number_of_ids_at_a_time(kind, memory, tmp_path):
    rng = np.random.default_rng(1)
    pick = rng.integers(300, size=4000)
    ids = pick - 7 if kind == "number" else np.array([f"n{i}" * (i % 40) for i in pick], object)
    collector = numbering.IdCollector(tmp_path, kind)
    for piece in np.array_split(ids, 9):
        collector.add(piece)
    found = collector.finish(memory)
    of = numbered(ids.tolist())
    assert found.count == len(of)
    numbers = np.concatenate(list(numbering.numbers_of_pieces(tmp_path, found.pieces)))
    assert numbers.tolist() == [of[x] for x in ids.tolist()]
    records, num_bytes = numbering.write_ids(tmp_path, tmp_path, kind, found.count, 100)
    assert num_bytes == (sum(map(len, of)) if kind == "text" else 0)
    if kind == "number":
        assert np.load(tmp_path / "node-0.ids.npy").tolist() == list(of)
    else:
        ends = np.load(tmp_path / "node-0.id-ends.npy").tolist()
        texts = np.load(tmp_path / "node-0.id-bytes.npy").tobytes().decode()
        assert [texts[a:b] for a, b in zip([0, *ends], ends)] == list(of)
    assert set(records) <= {file.name for file in tmp_path.iterdir()}
