"""Conversions: the folder holds the graph that the source holds."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import graphs_alike
import numpy as np
import pytest
import torch
from graphs_alike import assert_alike, assert_blocks_alike
from hypothesis import given, settings
from hypothesis import strategies as st

import hopflow as hf
from hopflow import datasets
from hopflow.datasets.conversion import options


@pytest.fixture
def tiny(monkeypatch):
    """Budgets of a few edges are kept; that steps reach the disk would take most of the time."""
    monkeypatch.setattr(options, "LEAST_EDGES", 7)
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def arrays_of(seed: int = 0, num_nodes: int = 50, num_edges: int = 300) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(num_nodes)
    return {
        "src": rng.integers(num_nodes, size=num_edges),
        # Some nodes have no in-edge, one has many.
        "dst": np.where(
            rng.random(num_edges) < 0.3, 7, rng.integers(num_nodes - 5, size=num_edges)
        ),
        "feat": rng.normal(size=(num_nodes, 3)).astype(np.float32),
        "label": rng.integers(-1, 4, size=num_nodes).clip(0),
        "year": rng.integers(1990, 2020, size=num_nodes),
        "weight": rng.normal(size=num_edges),
        "kind": rng.integers(9, size=(num_edges, 2)).astype(np.uint16),
        "train_idx": order[:30],
        "valid_idx": order[30:40],
        "test_mask": np.isin(np.arange(num_nodes), order[40:]),
    }


def check(source: Path, folder: Path, *, with_ids: bool = False, **asked: Any) -> Any:
    loads = {
        k: asked[k] for k in ("features", "labels", "split", "num_nodes", "seed") if k in asked
    }
    datasets.convert(source, folder, **asked, keep_edge_ids=with_ids)
    assert not (folder.parent / f"{folder.name}.converting").exists()
    assert datasets.check_graph(folder) == []
    back = datasets.load(folder)
    wanted = datasets.load(source, **loads)
    assert_alike(wanted, back, with_ids=with_ids)
    assert_blocks_alike(wanted, back)
    assert back.name == wanted.name
    return back


def save_folder_of_npy(folder: Path, arrays: dict[str, Any]) -> Path:
    folder.mkdir()
    for key, array in arrays.items():
        name = {"train_idx": "train", "valid_idx": "valid", "test_mask": "test"}.get(key, key)
        np.save(folder / f"{name}.npy", array)
    return folder


@pytest.mark.parametrize("with_ids", [False, True])
@pytest.mark.parametrize("memory", ["1GiB", 3000])
@pytest.mark.parametrize("form", ["npz", "compressed", "folder", "index", "fortran"])
def test_arrays(form, memory, with_ids, tmp_path, tiny):
    arrays = arrays_of()
    if form in ("index", "fortran"):
        ends = np.stack([arrays.pop("src"), arrays.pop("dst")])
        arrays["edge_index"] = np.asfortranarray(ends) if form == "fortran" else ends
        arrays["feat"] = np.asfortranarray(arrays["feat"])
    source = tmp_path / "g.npz"
    if form == "folder":
        source = save_folder_of_npy(tmp_path / "g", arrays)
    else:
        (np.savez_compressed if form == "compressed" else np.savez)(source, **arrays)
    back = check(source, tmp_path / "out", memory=memory, with_ids=with_ids)
    graph = back[0][0]
    assert set(graph.edata) == {"weight", "kind"}
    assert list(graph.ndata) == ["feat", "year"]
    assert (graph.adjacency.eids is not None) == with_ids


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_scipy(kind, tmp_path, tiny):
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    ends = rng.integers(20, size=80), rng.integers(20, size=80)
    matrix = sparse.coo_matrix((rng.normal(size=80), ends), shape=(20, 20)).asformat(kind)
    sparse.save_npz(tmp_path / "a.npz", matrix)
    check(tmp_path / "a.npz", tmp_path / "out", memory=1000)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".parquet", "folder"])
def test_edge_lists(suffix, tmp_path, tiny):
    import pandas as pd

    arrays = arrays_of(num_edges=2500)
    frame = pd.DataFrame({k: arrays[k] for k in ("src", "dst", "weight")})
    frame["mixed"] = np.arange(2500) + np.where(np.arange(2500) < 2400, 0, 0.5)
    source = tmp_path / f"links{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(source)
    elif suffix == "folder":
        source = tmp_path / "links"
        source.mkdir()
        frame[:1000].to_parquet(source / "a.parquet")
        frame[1000:].to_parquet(source / "b.parquet")
        frame.to_parquet(tmp_path / "links.parquet")
    else:
        frame.to_csv(source, index=False, sep="\t" if "tsv" in suffix else ",")
    np.save(tmp_path / "feat.npy", arrays["feat"])
    pd.DataFrame(arrays["label"]).to_csv(tmp_path / "labels.csv", index=False, header=False)
    beside = {"features": tmp_path / "feat.npy", "labels": tmp_path / "labels.csv", "seed": 3}
    for asked in ({}, {"num_nodes": 60}, beside):
        folder = tmp_path / f"out-{len(asked)}"
        if suffix != "folder":
            check(source, folder, memory=40_000, **asked)
            continue
        datasets.convert(source, folder, memory=40_000, **asked)
        assert_alike(datasets.load(tmp_path / "links.parquet", **asked), datasets.load(folder))


def test_features_in_a_table(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "e.csv").write_text("0,1\n1,2\n")
    # Whole numbers first, so that the first pieces are of another type.
    rows = [f"{i},{i % 7}" if i < 1500 else f"{i}.25,0.5" for i in range(3000)]
    with gzip.open(tmp_path / "f.csv.gz", "wt") as file:
        file.write("\n".join(rows))
    del rng
    check(tmp_path / "e.csv", tmp_path / "out", memory=1, features=tmp_path / "f.csv.gz")


@pytest.mark.parametrize("name", ["cora", "facebook-page-page"])
def test_real_graphs(name, shared_data, tmp_path):
    check(shared_data / name, tmp_path / "out", memory="8MiB")
    back = check(shared_data / name, tmp_path / "ids", memory="1GiB", with_ids=True)
    assert back.get_idx_split()["train"].dtype == torch.int64


def test_a_graph_of_scipy_like_columns(shared_data, tmp_path):
    check(shared_data / "cornell5.npz", tmp_path / "out", memory="4MiB")


def test_ogbs_binary_layout(tmp_path, tiny):
    arrays = arrays_of()
    raw, split = tmp_path / "g" / "raw", tmp_path / "g" / "split" / "time"
    raw.mkdir(parents=True)
    split.mkdir(parents=True)
    np.savez_compressed(
        raw / "data.npz",
        edge_index=np.stack([arrays["src"], arrays["dst"]]),
        num_nodes_list=[50],
        num_edges_list=[300],
        node_feat=arrays["feat"].astype(np.float64),
        node_year=arrays["year"][:, None],
        edge_feat=arrays["weight"][:, None].astype(np.float16),
    )
    np.savez(raw / "node-label.npz", node_label=arrays["label"][:, None].astype(np.float32))
    parts = {"train": arrays["train_idx"], "valid": arrays["valid_idx"],
             "test": np.flatnonzero(arrays["test_mask"])}  # fmt: skip
    for key, ids in parts.items():
        np.savetxt(split / f"{key}.csv.gz", ids, fmt="%d")
    check(tmp_path / "g", tmp_path / "out", memory=5000)


def transformed(dataset: Any, asked: dict[str, bool]) -> hf.Graph:
    graph = dataset[0][0]
    if asked.get("remove_self_loops"):
        graph = hf.remove_self_loop(graph)
    if asked.get("undirected"):
        graph = hf.add_reverse_edges(graph, copy_edata=True)
        del graph.edata[hf.EID]
    return hf.add_self_loop(graph) if asked.get("add_self_loops") else graph


@pytest.mark.parametrize("with_ids", [False, True])
@pytest.mark.parametrize("which", range(1, 8))
def test_edges_as_the_transforms_have_them(which, with_ids, tmp_path, tiny):
    names = ("undirected", "add_self_loops", "remove_self_loops")
    asked = {name: bool(which >> k & 1) for k, name in enumerate(names)}
    np.savez(tmp_path / "g.npz", **arrays_of())
    datasets.convert(
        tmp_path / "g.npz", tmp_path / "out", memory=4000, keep_edge_ids=with_ids, **asked
    )
    wanted = transformed(datasets.load(tmp_path / "g.npz"), asked)
    made = datasets.load(tmp_path / "out")[0][0]
    assert datasets.check_graph(tmp_path / "out") == []
    for x, y in zip(made.adjacency.arrays()[:2], wanted.adjacency.arrays()[:2]):
        assert torch.equal(x, y)
    mine, theirs = (next(iter(g.relations.values())) for g in (made, wanted))
    graphs_alike.assert_columns_alike(
        graphs_alike.by_position(mine), graphs_alike.by_position(theirs)
    )
    if with_ids:
        assert all(torch.equal(x, y) for x, y in zip(made.edges(), wanted.edges()))


edges = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(edges=edges, memory=st.integers(1, 20_000), which=st.integers(0, 15), wide=st.booleans())
def test_any_small_graph(edges, memory, which, wide, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    src, dst = np.array(edges).T
    np.savez(folder / "g.npz", src=src.astype(np.int32), dst=dst, num_nodes=12,
             e=np.arange(len(src)))  # fmt: skip
    names = ("undirected", "add_self_loops", "remove_self_loops", "keep_edge_ids")
    asked = {name: bool(which >> k & 1) for k, name in enumerate(names)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options, "LEAST_EDGES", 2)
        patch.setattr(os, "fsync", lambda handle: None)
        if wide:  # as if there were more nodes and edges than int32 can number
            for module in ("edges", "runs", "merge"):
                patch.setattr(f"hopflow.datasets.conversion.{module}.ids_dtype", lambda n: "int64")
            patch.setattr("hopflow.datasets.graph_folder.manifest.ids_dtype", lambda n: "int64")
        datasets.convert(folder / "g.npz", folder / "out", memory=memory, **asked)
        made = datasets.load(folder / "out")[0][0]
    assert made.adjacency.indices.dtype == (torch.int64 if wide else torch.int32)
    wanted = transformed(datasets.load(folder / "g.npz"), asked)
    assert torch.equal(made.adjacency.indptr, wanted.adjacency.indptr)
    assert torch.equal(made.adjacency.indices.int(), wanted.adjacency.indices)
    mine, theirs = (graphs_alike.by_position(x.relations["_N", "_E", "_N"]) for x in (made, wanted))
    graphs_alike.assert_columns_alike(mine, theirs)


def test_a_hub_larger_than_the_budget(tmp_path, tiny):
    rng = np.random.default_rng(0)
    num_nodes = 300_000
    dst = np.concatenate([[7] * 5000, [6] * 3000, rng.integers(num_nodes, size=2000)])
    np.savez(
        tmp_path / "g.npz",
        src=rng.integers(num_nodes, size=10_000, dtype=np.int32),
        dst=rng.permutation(dst),
        num_nodes=num_nodes,
    )
    check(tmp_path / "g.npz", tmp_path / "out", memory=100_000)


def test_dtypes_and_links(tmp_path):
    source = save_folder_of_npy(tmp_path / "g", arrays_of())
    datasets.convert(source, tmp_path / "out", link=True)
    assert (tmp_path / "out" / "node-0.col-0.npy").samefile(source / "feat.npy")
    assert datasets.check_graph(tmp_path / "out") == []
    wanted = datasets.load(source)
    assert_alike(wanted, datasets.load(tmp_path / "out"))
    for dtype in ("float16", "bfloat16"):
        datasets.convert(source, tmp_path / dtype, link=True, dtypes={"feat": dtype})
        feat = datasets.load(tmp_path / dtype)[0][0].ndata["feat"]
        assert torch.equal(feat, wanted[0][0].ndata["feat"].to(getattr(torch, dtype)))
        assert datasets.check_graph(tmp_path / dtype) == []


def test_nothing_is_read_at_opening(tmp_path):
    source = save_folder_of_npy(tmp_path / "g", arrays_of())
    datasets.convert(source, tmp_path / "out")
    dataset = datasets.load(tmp_path / "out")
    maps = Path("/proc/self/maps").read_text()
    names = [file.name for file in (tmp_path / "out").rglob("*.npy")]
    assert len(names) == 10
    assert all(f"{tmp_path}/out" in maps and name in maps for name in names)
    assert dataset[0][0].ndata["feat"].data_ptr() % 4096 == 128 % 4096  # behind the header


@pytest.mark.parametrize("form", ["folder", "npz"])
def test_a_column_of_two_nodes_in_fortran_order(form, tmp_path):
    arrays = {
        "src": np.array([0, 1]), "dst": np.array([1, 0]),
        "feat": np.asfortranarray(np.arange(10, dtype=np.float32).reshape(2, 5)),
    }  # fmt: skip
    source = tmp_path / ("g.npz" if form == "npz" else "s")
    if form == "npz":
        np.savez(source, **arrays)
    else:
        source.mkdir()
        for name, array in arrays.items():
            np.save(source / f"{name}.npy", array)
    datasets.convert(source, tmp_path / "g")
    assert datasets.load(tmp_path / "g")[0][0].ndata["feat"].tolist() == arrays["feat"].tolist()
