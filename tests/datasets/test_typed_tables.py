"""A folder of tables with a manifest."""

import gzip
import json

import pytest
import torch

from hopflow import datasets

USERS = """id,age,income,country,part,since
ann,31,1.5,NL,train,2015
007,44,2.5,DE,val,2016
7,27,0.5,NL,train,2017
NA,61,3.5,,test,2018
"""
BUYS = """user,item,price
NA,10,2.5
ann,-3,1
7,10,4
"""
FOLLOWS = "who\twhom\nann\t007\n7\tann\n"
MANIFEST = {
    "nodes": {
        "user": {
            "table": "users.csv",
            "id": "id",
            "features": ["age", "income"],
            "label": "country",
            "year": "since",
            "split": "part",
        },
        "tag": {"num_nodes": 3},
    },
    "edges": [
        {
            "relation": ["user", "buys", "item"],
            "table": "buys.csv.gz",
            "source": "user",
            "target": "item",
            "columns": ["price"],
        },
        {
            "relation": ["user", "follows", "user"],
            "table": "follows.tsv",
            "source": "who",
            "target": "whom",
        },
        {
            "relation": ["item", "has", "tag"],
            "table": "tags.csv",
            "source": "item",
            "target": "tag",
        },
    ],
}


def make(folder, *, manifest=None, **files):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hopflow.json").write_text(json.dumps(MANIFEST if manifest is None else manifest))
    (folder / "users.csv").write_text(files.get("users", USERS))
    with gzip.open(folder / "buys.csv.gz", "wt") as file:
        file.write(files.get("buys", BUYS))
    (folder / "follows.tsv").write_text(files.get("follows", FOLLOWS))
    (folder / "tags.csv").write_text(files.get("tags", "item,tag\n2,2\n"))
    return folder


def changed(*path_and_value):
    """The manifest with one value changed; None deletes it."""
    *path, last, value = path_and_value
    made = json.loads(json.dumps(MANIFEST))
    part = made
    for key in path:
        part = part[key]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return made


def ends(graph, etype):
    return [x.tolist() for x in graph.edges(etype=etype)]


def test_folder(tmp_path):
    dataset = datasets.load(make(tmp_path / "shop"))
    graph, labels = dataset[0]
    assert dataset.name == "shop"
    assert graph.ntypes == ["item", "tag", "user"]
    # Items stand in no table: as many as relations name, in the order of their numbers.
    assert {t: graph.num_nodes(t) for t in graph.ntypes} == {"item": 3, "tag": 3, "user": 4}
    assert dataset.node_ids["item"].tolist() == ["-3", "2", "10"]
    assert dataset.node_ids["user"].tolist() == ["ann", "007", "7", "NA"]
    assert ends(graph, "buys") == [[3, 0, 2], [2, 0, 2]]
    assert ends(graph, "follows") == [[0, 2], [1, 0]]
    assert ends(graph, "has") == [[1], [2]]
    user = graph.nodes["user"].data
    assert user["feat"].tolist() == [[31, 1.5], [44, 2.5], [27, 0.5], [61, 3.5]]
    assert user["feat"].dtype == torch.float32
    assert user["year"].tolist() == [[2015], [2016], [2017], [2018]]
    assert set(user) == {"feat", "year"}
    assert graph.edges["buys"].data["price"].tolist() == [2.5, 1, 4]
    assert labels["user"].tolist() == [[1], [0], [1], [-1]]
    assert dataset.class_names == {"user": ("DE", "NL")}
    assert dataset.num_classes == 2
    split = dataset.get_idx_split()
    split = {key: {t: ids.tolist() for t, ids in part.items()} for key, part in split.items()}
    assert split == {"train": {"user": [0, 2]}, "valid": {"user": [1]}, "test": {"user": [3]}}
    again, _ = datasets.load(tmp_path / "shop" / "hopflow.json", add_reverse=True)[0]
    assert ends(again, "rev_buys") == ends(graph, "buys")[::-1]


def test_parquet_and_numbers_as_ids(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    manifest = changed("nodes", "user", "table", "users.parquet")
    manifest["nodes"]["user"] = {
        "table": "users.parquet", "id": "id", "features": "f_*", "label": "y", "columns": ["w"],
    }  # fmt: skip
    manifest["edges"] = manifest["edges"][1:2]
    manifest["edges"][0]["table"] = "follows.parquet"
    folder = make(tmp_path / "shop", manifest=manifest)
    pd.DataFrame(
        {
            "f_a": [1, 2, 3, 4],
            "id": [2**62, -1, 0, 5],
            "f_b": [0.5] * 4,
            "y": [2, 0, -1, 1],
            "w": [1, 2, 3, 4],
        }
    ).to_parquet(folder / "users.parquet")
    pd.DataFrame({"who": ["5", "-1"], "whom": [str(2**62), "0"]}).to_parquet(
        folder / "follows.parquet"
    )
    dataset = datasets.load(folder, seed=3)
    graph, labels = dataset[0]
    assert graph.num_nodes("tag") == 3  # told, though no relation names it
    assert ends(graph, "follows") == [[3, 1], [0, 2]]
    assert graph.nodes["user"].data["feat"].tolist() == [[i, 0.5] for i in (1, 2, 3, 4)]
    assert graph.nodes["user"].data["w"].tolist() == [1, 2, 3, 4]
    assert labels["user"][:, 0].tolist() == [2, 0, -1, 1]
    assert dataset.class_names == {}
    # Without a split: a random one of the labelled nodes.
    split = dataset.get_idx_split()
    assert sorted(torch.cat([part["user"] for part in split.values()]).tolist()) == [0, 1, 3]


def test_rows_as_ids_and_all_numeric_columns(tmp_path):
    manifest = changed("nodes", "user", {"table": "users.csv", "features": "*", "columns": ["b"]})
    manifest["edges"] = manifest["edges"][1:2]
    folder = make(
        tmp_path / "shop",
        manifest=manifest,
        users="a,b,name,c\n1,2,x,3\n4,5,y,6\n\n\n",
        follows="who\twhom\n0\t1\n1\t1\n",
    )
    graph, labels = datasets.load(folder)[0]
    assert graph.nodes["user"].data["feat"].tolist() == [[1, 3], [4, 6]]
    assert graph.nodes["user"].data["b"].tolist() == [2, 5]
    assert ends(graph, "follows") == [[0, 1], [1, 1]]
    assert labels == {}
    with pytest.raises(ValueError, match="'shop' has no split"):
        datasets.load(folder).get_idx_split()


def test_text_ids_are_ordered_as_texts(tmp_path):
    folder = make(tmp_path / "shop", tags="item,tag\nx,0\n")
    assert datasets.load(folder).node_ids["item"].tolist() == ["-3", "10", "x"]


TEXTS = {"users": USERS, "buys": BUYS, "follows": FOLLOWS, "tags": "item,tag\n2,2\n"}
NUMBER, ID = "expected a number, got", "expected an id, got none"
TAG, USER = "expected a node of type 'tag', 0 to 2, got", "expected the id of a node of type 'user'"


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("users", "44,", "old,", f"users.csv: line 3, column 'age': {NUMBER} 'old'"),
        ("users", "2.5,", ",", f"users.csv: line 3, column 'income': {NUMBER} an empty cell"),
        ("users", "007,", "ann,", "line 3, column 'id': .* each id once, got 'ann', as in line 2"),
        ("users", "007,", ",", f"users.csv: line 3, column 'id': {ID}"),
        ("users", "val,", "dev,", "line 3, column 'part': expected train, .*, got 'dev'"),
        ("users", "2017", "1.5", "line 4, column 'since': expected a whole number, got 1.5"),
        ("users", "DE,val", ",train", r"users.csv \(valid\): expected at least one node"),
        ("users", "NL,train,2017", ",train,2017", "1 training nodes have no label"),
        ("users", "age", "years", "users.csv: expected a column 'age', got id, years, income"),
        ("users", USERS, "id,age\n", "users.csv: expected at least one row"),
        ("users", USERS, "", "users.csv: "),
        ("users", "31,1.5", "31,1,3,4", "users.csv: line 1 names 6 columns, and lines below"),
        ("users", "27,0.5", "27,1,3,4", "users.csv: .*Expected 6 fields in line 4, saw 8"),
        ("buys", "7,10", "bob,10", f"buys.csv.gz: line 4, column 'user': {USER} .*, got 'bob'"),
        ("buys", "ann,-3", "ann,", f"buys.csv.gz: line 3, column 'item': {ID}"),
        ("buys", "4\n", "\n", f"buys.csv.gz: line 4, column 'price': {NUMBER} an empty cell"),
        ("tags", "2,2", "2,2\n2,3", f"tags.csv: line 3, column 'tag': {TAG} '3'"),
        ("tags", "2,2", "2,red", f"tags.csv: line 2, column 'tag': {TAG} 'red'"),
        ("follows", "\t", ",", "follows.tsv: expected a column 'who', got who,whom"),
    ],
)
def test_malformed_tables(tmp_path, table, old, new, message):
    text = TEXTS[table].replace(old, new)
    assert text != TEXTS[table]
    with pytest.raises(ValueError, match=message):
        datasets.load(make(tmp_path / "shop", **{table: text}))


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ([], r"hopflow.json: expected an object, got \[\]"),
        (changed("edges", []), "edges: expected at least one relation"),
        (changed("nodes", []), r"nodes: expected an object, node types by name, got \[\]"),
        (changed("nodes", "user", "tabel", "x"), r"nodes.user: expected table, .*got 'tabel'"),
        (changed("nodes", "user", "id", 3), r"nodes.user.id: expected a text, got 3"),
        (changed("nodes", "user", "features", "age"), r"nodes.user.features: expected a list of"),
        (changed("nodes", "user", "table", None), r"nodes.user.id: expected a table with such"),
        (changed("nodes", "user", "num_nodes", 4), r"nodes.user.num_nodes: a table says how many"),
        (changed("nodes", "tag", "num_nodes", -1), r"nodes.tag.num_nodes: expected at least 0"),
        (changed("nodes", "tag", "num_nodes", True), r"expected a number of nodes, got True"),
        (changed("edges", 0, "source", None), r"edges\[0\]: expected .* missing source"),
        (changed("edges", 0, "relation", ["a", "b"]), r"edges\[0\].relation: expected \[source"),
        (changed("edges", 2, "relation", ["user", "buys", "item"]), r"edges\[2\]: .*already"),
        (changed("nodes", "user", "features", "f_*"), r"features: expected a column 'f_"),
        (changed("nodes", "user", "features", ["age", "age"]), "column 'age' is there twice"),
        (changed("edges", 0, "columns", ["price", "price"]), "column 'price' is there twice"),
    ],
)  # fmt: skip
def test_malformed_manifest(tmp_path, manifest, message):
    with pytest.raises(ValueError, match=message):
        datasets.load(make(tmp_path / "shop", manifest=manifest))


def test_not_json_and_missing_files(tmp_path):
    folder = make(tmp_path / "shop")
    with pytest.raises(ValueError, match=r"split= does not apply to .*hopflow.json"):
        datasets.load(folder, split="time")
    (folder / "hopflow.json").write_text('{\n  "nodes": }')
    with pytest.raises(ValueError, match=r"hopflow.json: line 2, column 12: expected JSON"):
        datasets.load(folder)
    (folder / "hopflow.json").write_text('{"edges": [], "edges": []}')
    with pytest.raises(ValueError, match="'edges' stands twice in one object"):
        datasets.load(folder)
    make(folder)
    (folder / "follows.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"follows.tsv: expected a CSV file, no such file"):
        datasets.load(folder)
