"""OGB's raw layout of several types, text and binary, and ogbn-mag by its name."""

import gzip
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch

from hopflow import datasets
from hopflow.datasets import ogb_typed

NODES = {"author": 4, "field": 2, "paper": 5}
WRITES, CITES, ABOUT = (
    ("author", "writes", "paper"), ("paper", "cites", "paper"), ("paper", "about", "field")
)  # fmt: skip
EDGES = {
    WRITES: [(0, 4), (0, 1), (3, 2), (0, 4)],
    CITES: [(1, 0), (4, 2)],
    ABOUT: [(0, 1), (1, 1), (2, 0)],
}
LABELS = [0, 1, 2, 0, 1]
SPLIT = {"train": [0, 1], "valid": [2], "test": [4, 3]}


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (",".join(map(str, row)) if isinstance(row, tuple) else str(row) for row in rows)
    with gzip.open(path, "wt") as file:
        file.writelines(f"{line}\n" for line in lines)


def make_text(folder, *, release=2):
    raw = folder / "raw"
    write(raw / "num-node-dict.csv.gz", [tuple(NODES), tuple(NODES.values())])
    write(raw / "triplet-type-list.csv.gz", EDGES)
    for number, (relation, rows) in enumerate(EDGES.items()):
        sub = raw / "relations" / "___".join(relation)
        write(sub / "edge.csv.gz", rows)
        write(sub / "num-edge-list.csv.gz", [len(rows)])
        write(sub / "edge_reltype.csv.gz", [number] * len(rows))
    write(raw / "node-feat" / "paper" / "node-feat.csv.gz", [(i / 2, -i) for i in range(5)])
    write(raw / "node-feat" / "paper" / "node_year.csv.gz", [2015 + i for i in range(5)])
    write(raw / "nodetype-has-feat.csv.gz", [tuple(NODES), (False, False, True)])
    write(raw / "nodetype-has-label.csv.gz", [tuple(NODES), (False, False, True)])
    write(raw / "node-label" / "paper" / "node-label.csv.gz", LABELS)
    split = folder / "split" / "time"
    write(split / "nodetype-has-split.csv.gz", [tuple(NODES), (False, False, True)])
    for key, ids in SPLIT.items():
        write(split / "paper" / f"{key}.csv.gz", ids)
    (folder / f"RELEASE_v{release}.txt").write_text("")
    return folder


def arrays():
    """The same as ogb's saver takes it."""
    return {
        "num_nodes_dict": dict(NODES),
        "edge_index_dict": {key: np.array(rows).T for key, rows in EDGES.items()},
        "node_feat_dict": {"paper": np.array([(i / 2, -i) for i in range(5)], dtype=np.float32)},
        "node_year": {"paper": np.arange(2015, 2020)[:, None]},
        "edge_reltype": {key: np.full((len(rows), 1), n) for n, (key, rows) in
                         enumerate(EDGES.items())},
    }  # fmt: skip


def check(dataset):
    graph, labels = dataset[0]
    assert graph.ntypes == ["author", "field", "paper"]
    assert graph.canonical_etypes == [WRITES, ABOUT, CITES]
    assert {t: graph.num_nodes(t) for t in graph.ntypes} == NODES
    for number, (relation, rows) in enumerate(EDGES.items()):
        src, dst = graph.edges(etype=relation)
        assert list(zip(src.tolist(), dst.tolist(), strict=True)) == rows
        assert graph.edges[relation].data["reltype"].tolist() == [[number]] * len(rows)
    paper = graph.nodes["paper"].data
    assert paper["feat"].tolist() == [[i / 2, -i] for i in range(5)]
    assert paper["feat"].dtype == torch.float32
    assert paper["year"].tolist() == [[2015 + i] for i in range(5)]
    assert not graph.nodes["author"].data
    assert list(labels) == ["paper"]
    assert labels["paper"].tolist() == [[x] for x in LABELS]
    assert labels["paper"].dtype == torch.int64
    split = dataset.get_idx_split()
    assert {key: {t: ids.tolist() for t, ids in part.items()} for key, part in split.items()} == {
        key: {"paper": ids} for key, ids in SPLIT.items()
    }


# --- folders


def test_text_folder(tmp_path):
    dataset = datasets.load(make_text(tmp_path / "mine"))
    check(dataset)
    assert isinstance(dataset, datasets.TypedNodePropDataset)
    assert (dataset.name, dataset.num_classes, dataset.num_tasks) == ("mine", 3, 1)
    assert (len(dataset), len(list(dataset))) == (1, 1)
    assert repr(dataset) == (
        "TypedNodePropDataset('mine', num_nodes={'author': 4, 'field': 2, 'paper': 5}, "
        "num_edges={('author', 'writes', 'paper'): 4, ('paper', 'about', 'field'): 3, "
        "('paper', 'cites', 'paper'): 2}, num_classes=3, num_tasks=1, train={'paper': 2}, "
        "valid={'paper': 1}, test={'paper': 2})"
    )


def test_same_as_ogbs_own_reader(tmp_path):
    reader = pytest.importorskip("ogb.io.read_graph_raw")
    folder = make_text(tmp_path / "mine")
    theirs = reader.read_csv_heterograph_raw(
        str(folder / "raw"),
        additional_node_files=["node_year"],
        additional_edge_files=["edge_reltype"],
    )[0]
    compare(datasets.load(folder), theirs, reader.read_node_label_hetero(str(folder / "raw")))
    split = reader.read_nodesplitidx_split_hetero(str(folder / "split" / "time"))
    ours = datasets.load(folder).get_idx_split()
    for key, part in zip(("train", "valid", "test"), split, strict=True):
        assert {t: ids.tolist() for t, ids in ours[key].items()} == {
            t: ids.tolist() for t, ids in part.items()
        }


def compare(dataset, theirs, labels):
    graph, own_labels = dataset[0]
    assert {t: graph.num_nodes(t) for t in graph.ntypes} == theirs["num_nodes_dict"]
    assert sorted(graph.canonical_etypes) == sorted(theirs["edge_index_dict"])
    for relation, edge_index in theirs["edge_index_dict"].items():
        assert (torch.stack(graph.edges(etype=relation)).numpy() == edge_index).all()
    for name in ("node_feat_dict", "node_year"):
        key = name.removeprefix("node_").removesuffix("_dict")
        assert set(theirs[name]) == {t for t in graph.ntypes if key in graph.nodes[t].data}
        for ntype, column in theirs[name].items():
            assert (graph.nodes[ntype].data[key].numpy() == column).all()
    for relation, column in theirs["edge_reltype"].items():
        assert (graph.edges[relation].data["reltype"].numpy() == column).all()
    assert set(own_labels) == set(labels)
    for ntype, rows in labels.items():
        assert (own_labels[ntype].numpy() == rows).all()


def test_binary_folder_of_ogbs_saver(tmp_path, monkeypatch):
    io = pytest.importorskip("ogb.io")
    reader = pytest.importorskip("ogb.io.read_graph_raw")
    monkeypatch.chdir(tmp_path)
    saver = io.DatasetSaver("ogbn-mine", is_hetero=True, version=1, root=str(tmp_path / "root"))
    saver.save_graph_list([arrays()])
    saver.save_target_labels({"paper": np.array(LABELS)[:, None]})
    saver.save_split(
        {key: {"paper": np.array(ids)} for key, ids in SPLIT.items()}, split_name="time"
    )
    folder = tmp_path / "root_ogbn_mine" / "mine"
    dataset = datasets.load(folder)
    check(dataset)
    theirs = reader.read_binary_heterograph_raw(str(folder / "raw"))[0]
    compare(dataset, theirs, {"paper": np.array(LABELS)[:, None]})


def test_reverse_relations(tmp_path):
    graph, _ = datasets.load(make_text(tmp_path / "mine"), add_reverse=True)[0]
    assert len(graph.canonical_etypes) == 6
    for src, name, dst in EDGES:
        there, back = graph.edges(etype=(src, name, dst)), graph.edges(etype=f"rev_{name}")
        assert graph.to_canonical_etype(f"rev_{name}") == (dst, f"rev_{name}", src)
        assert [x.tolist() for x in there] == [x.tolist() for x in back][::-1]
        column = graph.edges[f"rev_{name}"].data["reltype"]
        assert torch.equal(column, graph.edges[name].data["reltype"])


def test_edge_features_and_missing_labels(tmp_path):
    folder = make_text(tmp_path / "mine")
    write(folder / "raw" / "relations" / "___".join(CITES) / "edge-feat.csv.gz", [(1, 2), (3, 4)])
    write(folder / "raw" / "node-label" / "paper" / "node-label.csv.gz", [0, 1, 2, "nan", 1])
    graph, labels = datasets.load(folder)[0]
    assert graph.edges[CITES].data["feat"].tolist() == [[1, 2], [3, 4]]
    assert labels["paper"][:, 0].tolist() == [0, 1, 2, -1, 1]


@pytest.mark.parametrize(
    ("file", "rows", "message"),
    [
        ("num-node-dict", [("author", "field"), (4, 2)], "expected one of author, field, got 'pap"),
        ("num-node-dict", [tuple(NODES), (4, 2, 5), (4, 2, 5)], "expected one graph, got 2"),
        ("triplet-type-list", [("author", "writes")], r"expected 3 column\(s\), got 2"),
        ("triplet-type-list", [CITES, CITES], "expected each relation once"),
        (
            "relations/author___writes___paper/edge",
            [(0, 5)] * 4,
            "'paper'.: ids must be below num_",
        ),
        ("relations/author___writes___paper/edge", [(4, 0)] * 4, "'author'.: ids must be below nu"),
        ("relations/author___writes___paper/edge", [(0, 0)], r"expected 4 edges \(num-edge-list\)"),
        ("relations/paper___cites___paper/edge_reltype", [1], r"expected 2 rows, got shape"),
        ("node-feat/paper/node-feat", [(1, "x")] * 5, "expected numbers, got 'x' in column 1"),
        ("node-label/paper/node-label", [0, 1], r"expected 5 rows, got shape"),
        ("nodetype-has-label", [tuple(NODES), ("yes", "no", "no")], "expected True or False"),
        ("../split/time/paper/train", [0, 4], "node 4 already stands in an earlier part"),
        ("../split/time/nodetype-has-split", [("paper",), ("False",)], "split of at least one"),
    ],
)
def test_malformed_text(tmp_path, file, rows, message):
    folder = make_text(tmp_path / "mine")
    write(folder / "raw" / f"{file}.csv.gz", rows)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "raw/num-node-dict.csv.gz",
        "raw/relations/paper___cites___paper/edge.csv.gz",
        "raw/relations/paper___cites___paper/num-edge-list.csv.gz",
        "raw/nodetype-has-label.csv.gz",
        "raw/node-label/paper/node-label.csv.gz",
        "split/time/nodetype-has-split.csv.gz",
        "split/time/paper/valid.csv.gz",
    ],
)
def test_missing_part(tmp_path, name):
    folder = make_text(tmp_path / "mine")
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.rsplit("/", 1)[-1].split(".")[0]):
        datasets.load(folder)


def test_parsed_once(tmp_path, monkeypatch):
    calls, real = [], ogb_typed._parse_text
    monkeypatch.setattr(ogb_typed, "_CACHE_MIN_BYTES", 0)
    monkeypatch.setattr(ogb_typed, "_parse_text", lambda raw: calls.append(raw) or real(raw))
    folder = make_text(tmp_path / "mine")
    for _ in range(2):
        check(datasets.load(folder))
    assert len(calls) == 1
    assert [path.name for path in (folder / "processed").iterdir()] == ["hopflow-typed-v1.npz"]
    # A file in a folder below is noticed too.
    write(folder / "raw" / "node-label" / "paper" / "node-label.csv.gz", [0, 1, 2, 3, 4])
    assert datasets.load(folder).num_classes == 5
    assert len(calls) == 2


def test_a_split_runs_no_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    folder = make_text(tmp_path / "mine")
    pickled = folder / "split" / "time" / "split_dict.pt"
    pickled.write_bytes(pickle.dumps({"train": {"paper": Trap()}}))
    with pytest.raises(ValueError, match=r"split_dict.pt: not a split of plain arrays"):
        datasets.load(folder)
    assert not (tmp_path / "sprung").exists()
    torch.save({key: torch.tensor(ids) for key, ids in SPLIT.items()}, pickled)
    with pytest.raises(ValueError, match=r"split_dict.pt \(train\): expected ids by node type"):
        datasets.load(folder)


# --- ogbn-mag


def test_ogbn_mag_downloads_once(tmp_path, monkeypatch):
    url = pytest.importorskip("ogb.utils.url")
    source = make_text(tmp_path / "source" / "mag")
    asked = []

    def download_url(address, folder):
        path = f"{folder}/{address.rpartition('/')[2]}"
        with zipfile.ZipFile(path, "w") as archive:
            for file in source.rglob("*"):
                archive.write(file, file.relative_to(source.parent))
        return path

    monkeypatch.setattr(url, "decide_download", lambda address: asked.append(address) or True)
    monkeypatch.setattr(url, "download_url", download_url)
    for _ in range(2):
        dataset = datasets.load("ogbn-mag", root=tmp_path / "root")
        check(dataset)
        assert (dataset.name, dataset.num_classes) == ("ogbn-mag", 349)
    assert len(asked) == 1
    assert asked[0].endswith("mag.zip")
    shutil.rmtree(tmp_path / "root" / "ogbn_mag" / "raw")
    with pytest.raises(FileExistsError, match="expected ogbn-mag with raw/triplet-type-list"):
        datasets.load("ogbn-mag", root=tmp_path / "root")


def test_ogbn_mag_is_ogbs(tmp_path):
    nodeproppred = pytest.importorskip("ogb.nodeproppred")
    folder = make_text(tmp_path / "ogbn_mag")
    (folder / "processed").mkdir()
    theirs = nodeproppred.NodePropPredDataset("ogbn-mag", root=str(tmp_path))
    for _ in range(2):
        dataset = datasets.load("ogbn-mag", root=tmp_path)
        compare(dataset, *theirs[0])
        for key, part in theirs.get_idx_split().items():
            assert dataset.get_idx_split()[key]["paper"].tolist() == part["paper"].tolist()
