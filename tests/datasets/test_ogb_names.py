"""OGB's data sets by name, with a download that is only played."""

import pickle
import sys
import zipfile

import pytest
import torch
from test_ogb_layout import EDGES, Trap, check_text, make_text, write

from hopflow import datasets
from hopflow.datasets import ogb_names


@pytest.fixture
def download(monkeypatch, tmp_path):
    """Play ogb's download: `archives` maps the end of a URL to a folder to zip up."""
    url = pytest.importorskip("ogb.utils.url")
    fake = {"asked": [], "archives": {}, "answer": True}

    def decide_download(address):
        fake["asked"].append(address)
        if isinstance(fake["answer"], Exception):
            raise fake["answer"]
        return fake["answer"]

    def download_url(address, folder):
        source = fake["archives"][address.rpartition("/")[2]]
        path = f"{folder}/{address.rpartition('/')[2]}"
        with zipfile.ZipFile(path, "w") as archive:
            for file in source.rglob("*"):
                archive.write(file, file.relative_to(source.parent))
        return path

    monkeypatch.setattr(url, "decide_download", decide_download)
    monkeypatch.setattr(url, "download_url", download_url)
    fake["archives"]["arxiv.zip"] = make_text(tmp_path / "source" / "arxiv")
    return fake


def test_name_downloads_once(tmp_path, download):
    root = tmp_path / "deep" / "root"
    for _ in range(2):
        dataset = datasets.load("ogbn-arxiv", root=root)
        check_text(dataset)
        assert dataset.name == "ogbn-arxiv"
        assert dataset.num_classes == 40  # what OGB says, not the largest label
    assert len(download["asked"]) == 1
    assert [path.name for path in root.iterdir()] == ["ogbn_arxiv"]


def test_name_ignores_ogb_pickles(tmp_path, download):
    folder = make_text(tmp_path / "ogbn_arxiv")
    (folder / "processed").mkdir()
    for name in ("data_processed", "dgl_data_processed"):
        (folder / "processed" / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    check_text(datasets.load("ogbn-arxiv", root=tmp_path))
    assert not (tmp_path / "sprung").exists()
    assert not download["asked"]


def test_reads_what_ogb_processed(tmp_path):
    """After ogb itself has loaded (and pickled) a folder, hopflow loads it twice alike."""
    nodeproppred = pytest.importorskip("ogb.nodeproppred")
    make_text(tmp_path / "ogbn_arxiv")
    (tmp_path / "ogbn_arxiv" / "processed").mkdir()
    theirs = nodeproppred.NodePropPredDataset("ogbn-arxiv", root=str(tmp_path))
    graph, labels = theirs[0]
    for _ in range(2):
        ours = datasets.load("ogbn-arxiv", root=tmp_path)
        check_text(ours)
        assert (ours[0][0].ndata["feat"].numpy() == graph["node_feat"]).all()
        assert (ours[0][0].ndata["year"].numpy() == graph["node_year"]).all()
        assert (torch.stack(ours[0][0].edges()).numpy() == graph["edge_index"]).all()
        assert (ours[0][1].numpy() == labels).all()
        for key, ids in theirs.get_idx_split().items():
            assert (ours.get_idx_split()[key].numpy() == ids).all()


def test_inverse_edges_as_ogb_adds_them(tmp_path):
    raw = pytest.importorskip("ogb.io.read_graph_raw")
    folder = make_text(tmp_path / "ogbn_products", split="sales_ranking")
    write(folder / "raw" / "edge-feat.csv.gz", [(i + 0.5,) for i in range(len(EDGES))])
    graph = datasets.load("ogbn-products", root=tmp_path)[0][0]
    theirs = raw.read_csv_graph_raw(str(folder / "raw"), add_inverse_edge=True)[0]
    assert (torch.stack(graph.edges()).numpy() == theirs["edge_index"]).all()
    assert (graph.edata["feat"].numpy() == theirs["edge_feat"]).all()


def test_name_errors(tmp_path, download):
    def refused(error, message, name="ogbn-arxiv"):
        with pytest.raises(error, match=message):
            datasets.load(name, root=tmp_path)

    download["answer"] = False
    refused(RuntimeError, r"ogbn-arxiv: download of http.*arxiv.zip declined")
    download["answer"] = EOFError()
    refused(RuntimeError, "there is no terminal to answer on; fetch it by hand")
    download["answer"] = OSError("no route to host")
    refused(ConnectionError, r"download of http.*arxiv.zip failed \(no route to host\)")
    download["answer"] = True
    download["archives"]["arxiv.zip"] = make_text(tmp_path / "source" / "other")
    refused(ValueError, r"arxiv.zip: expected a folder arxiv .* got other")
    (tmp_path / "ogbn_arxiv").mkdir()
    (tmp_path / "ogbn_arxiv" / "notes.txt").write_text("mine")
    refused(FileExistsError, r"ogbn_arxiv: expected ogbn-arxiv with .*remove the folder")
    assert (tmp_path / "ogbn_arxiv" / "notes.txt").exists()


def test_damaged_archive(tmp_path, download, monkeypatch):
    def download_url(address, folder):
        (tmp_path / "arxiv.zip").write_bytes(b"PK\x03\x04 cut short")
        return str(tmp_path / "arxiv.zip")

    monkeypatch.setattr(sys.modules["ogb.utils.url"], "download_url", download_url)
    with pytest.raises(ValueError, match=r"arxiv.zip: a damaged archive"):
        datasets.load("ogbn-arxiv", root=tmp_path)
    assert not (tmp_path / "ogbn_arxiv").exists()


def test_name_details(tmp_path, monkeypatch):
    assert set(ogb_names.known_names()) >= {"ogbn-arxiv", "ogbn-products", "ogbn-papers100M"}
    folder = make_text(tmp_path / "ogbn_arxiv", release=0)
    with pytest.warns(UserWarning, match="not version 1"):
        check_text(datasets.load("ogbn-arxiv", root=tmp_path))
    (folder / "RELEASE_v1.txt").write_text("")
    folder.rename(tmp_path / "ogbn_arxiv_dgl")
    check_text(datasets.load("ogbn-arxiv", root=tmp_path))
    write(tmp_path / "ogbn_arxiv_dgl" / "raw" / "node-label.csv.gz", [0, 1, 2, 0, 1, 40])
    with pytest.raises(ValueError, match="expected labels below 40 classes, got 40"):
        datasets.load("ogbn-arxiv", root=tmp_path)
    monkeypatch.setattr(ogb_names, "_read_master", dict)
    with pytest.raises(ImportError, match="needs the package ogb"):
        datasets.load("ogbn-arxiv", root=tmp_path)
