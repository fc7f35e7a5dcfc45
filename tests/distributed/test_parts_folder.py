"""The folder of a partitioned graph: what is written is read, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hopflow as hf
from hopflow.distributed.folder import writer
from hopflow.distributed.folder.array_files import DTYPES
from hopflow.distributed.folder.check import check_folder
from hopflow.distributed.folder.manifest import MANIFEST
from hopflow.distributed.folder.reader import PartsFolder, open_folder
from hopflow.distributed.folder.writer import write_parts


def in_turn(graph: hf.Graph, num_parts: int) -> dict[str, torch.Tensor]:
    """A stand-in for a partitioner."""
    return {
        ntype: (torch.arange(graph.num_nodes(ntype)) % num_parts).to(torch.int16)
        for ntype in graph.ntypes
    }


def one_type(num_nodes: int = 50, num_edges: int = 300, seed: int = 0, **options) -> hf.Graph:
    generator = torch.Generator().manual_seed(seed)
    top = max(num_nodes - 3, 1)  # the last nodes have no edges
    src, dst = (torch.randint(top, (num_edges,), generator=generator) for _ in range(2))
    graph = hf.graph((src, dst), num_nodes=num_nodes, **options)
    graph.ndata["feat"] = torch.randn(num_nodes, 5, generator=generator)
    graph.ndata["label"] = torch.randint(4, (num_nodes,), generator=generator)
    graph.edata["weight"] = torch.rand(num_edges, generator=generator)
    return graph


def typed(seed: int = 0) -> hf.Graph:
    generator = torch.Generator().manual_seed(seed)

    def ends(num_src: int, num_dst: int, num_edges: int) -> tuple[torch.Tensor, torch.Tensor]:
        return (
            torch.randint(num_src, (num_edges,), generator=generator),
            torch.randint(num_dst, (num_edges,), generator=generator),
        )

    graph = hf.heterograph(
        {
            ("author", "writes", "paper"): ends(20, 31, 90),
            ("paper", "cites", "paper"): ends(31, 31, 120),
            ("paper", "rev_writes", "author"): ends(31, 20, 70),
            ("tag", "of", "paper"): ends(1, 1, 0),
        },
        {"author": 20, "paper": 31, "tag": 1, "alone": 4},
    )
    graph.nodes["paper"].data["feat"] = torch.randn(31, 3, generator=generator)
    graph.nodes["author"].data["h"] = torch.randn(20, 2, 2, generator=generator).bfloat16()
    graph.edges["cites"].data["w"] = torch.rand(120, generator=generator)
    return graph


def check_against(graph: hf.Graph, owners: dict[str, torch.Tensor], folder: PartsFolder) -> None:
    """Every array of the folder says what the graph says, edge by edge."""
    assert folder.ntypes == tuple(graph.ntypes)
    assert folder.relations == tuple(graph.canonical_etypes)
    assert folder.idtype == graph.idtype
    for ntype in graph.ntypes:
        place = folder.place(ntype)
        first = folder.first_rows(ntype)
        assert sorted(place.tolist()) == list(range(graph.num_nodes(ntype)))
        for p in range(folder.num_parts):
            part = folder.part(p)
            ids = part.ids(ntype)
            assert ids.tolist() == (owners[ntype] == p).nonzero().squeeze(1).tolist()
            assert place[ids.long()].tolist() == list(range(first[p], first[p + 1]))
            columns = part.columns(ntype)
            frame = graph.nodes[ntype].data
            assert columns.keys() == frame.keys()
            for name, column in columns.items():
                assert column.dtype == frame[name].dtype
                assert torch.equal(column, frame[name][ids.long()])
    for relation in graph.canonical_etypes:
        edges = graph.relation(relation).adjacency.full()
        frame = graph.relation(relation).edge_frame
        for p in range(folder.num_parts):
            part = folder.part(p)
            indptr, indices, eids = part.edges(relation)
            columns = part.edge_columns(relation)
            assert columns.keys() == frame.keys()
            rows = part.ids(relation[2]).tolist()
            assert len(indptr) == len(rows) + 1
            assert part.num_edges(relation) == len(indices) == len(eids) == int(indptr[-1])
            for row, node in enumerate(rows):
                own = slice(int(indptr[row]), int(indptr[row + 1]))
                there = slice(int(edges.indptr[node]), int(edges.indptr[node + 1]))
                assert indices[own].tolist() == edges.indices[there].tolist()
                wanted = torch.arange(there.start, there.stop)
                wanted = wanted if edges.eids is None else edges.eids[there]
                assert eids[own].tolist() == wanted.tolist()
                for name, column in columns.items():
                    assert torch.equal(column[own], frame[name][wanted.long()])


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A graph of one type in three parts."""
    graph = one_type()
    write_parts(
        graph, in_turn(graph, 3), tmp_path / "p", num_parts=3, splits={"train": torch.arange(9)}
    )
    return tmp_path / "p"


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("num_parts", [1, 3, 80])
def test_one_type_round_trip(tmp_path, idtype, num_parts):
    graph = one_type(idtype=idtype)
    owners = in_turn(graph, num_parts)
    train = torch.tensor([7, 3, 40], dtype=idtype)
    made = write_parts(
        graph, owners, tmp_path / "p", num_parts=num_parts, num_classes=4,
        splits={"train": train, "test": torch.arange(50) >= 45}, report={"cut": 3},
    )  # fmt: skip
    folder = open_folder(tmp_path / "p")
    assert folder.partition_id == made
    check_against(graph, owners, folder)
    assert folder.num_classes == 4
    assert folder.report == {"cut": 3}
    splits = folder.splits()
    assert splits["train"]["_N"].tolist() == [7, 3, 40]
    assert splits["train"]["_N"].dtype == idtype
    assert splits["test"]["_N"].tolist() == [45, 46, 47, 48, 49]
    assert check_folder(tmp_path / "p") == []


def test_typed_round_trip(tmp_path):
    graph = typed()
    owners = in_turn(graph, 3)
    owners["author"] = torch.full((20,), 2)  # parts 0 and 1 own no author
    splits = {"train": {"paper": torch.tensor([3, 1]), "author": torch.tensor([], dtype=int)}}
    write_parts(graph, owners, tmp_path / "p", num_parts=3, splits=splits)
    folder = open_folder(tmp_path / "p")
    check_against(graph, owners, folder)
    assert folder.splits()["train"]["paper"].tolist() == [3, 1]
    assert folder.part_nodes["author"] == (0, 0, 20)
    whole = folder.topology()
    assert whole.ntypes == graph.ntypes
    for relation in graph.canonical_etypes:
        for mine, given_ in zip(whole.edges(etype=relation), graph.edges(etype=relation)):
            assert torch.equal(mine, given_)
    assert check_folder(tmp_path / "p") == []


def test_topology_is_the_graph_over_files(tmp_path):
    graph = one_type()
    write_parts(graph, in_turn(graph, 2), tmp_path / "p", num_parts=2)
    whole = open_folder(tmp_path / "p").topology()
    assert whole.is_homogeneous
    assert (whole.num_nodes(), whole.num_edges()) == (50, 300)
    for mine, given_ in zip(whole.adjacency.arrays(), graph.adjacency.arrays()):
        assert mine.dtype == given_.dtype
        assert torch.equal(mine, given_)
    drawn = []
    for g in (graph, whole):
        hf.seed(1)
        drawn.append(hf.sample_neighbors(g, torch.arange(20), 3).edges())
    assert torch.equal(drawn[0][0], drawn[1][0])


def test_without_topology(tmp_path):
    graph = one_type()
    write_parts(graph, in_turn(graph, 2), tmp_path / "p", num_parts=2, with_topology=False)
    folder = open_folder(tmp_path / "p")
    assert not folder.has_topology
    with pytest.raises(FileNotFoundError, match="has no topology"):
        folder.topology()
    assert check_folder(tmp_path / "p") == []


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_small_graph(tmp_path, data):
    num_nodes = data.draw(st.integers(0, 9))
    node = st.integers(0, num_nodes - 1)
    edges = data.draw(st.lists(st.tuples(node, node), max_size=20)) if num_nodes else []
    src, dst = (torch.tensor([e[i] for e in edges], dtype=torch.int64) for i in range(2))
    graph = hf.graph((src, dst), num_nodes=num_nodes)
    graph.ndata["x"] = torch.arange(2 * num_nodes).reshape(num_nodes, 2)
    graph.edata["y"] = torch.arange(len(edges))
    num_parts = data.draw(st.integers(1, 12))
    part = st.integers(0, num_parts - 1)
    chosen = data.draw(st.lists(part, min_size=num_nodes, max_size=num_nodes))
    owners = {"_N": torch.tensor(chosen, dtype=torch.int16)}
    target = tmp_path / "p"
    write_parts(
        graph, owners, target, num_parts=num_parts, overwrite=True,
        chunk_bytes=data.draw(st.sampled_from([1, 64, 1 << 20])),
    )  # fmt: skip
    check_against(graph, owners, open_folder(target))
    assert check_folder(target) == []


def test_pieces_of_any_size_write_the_same(tmp_path):
    graph = typed()
    ids = [
        write_parts(graph, in_turn(graph, 3), tmp_path / f"{b}", num_parts=3, chunk_bytes=b)
        for b in (1, 33, 100, 1000, 1 << 26)
    ]
    assert len(set(ids)) == 1


def test_every_dtype_and_shape(tmp_path):
    graph = hf.graph(([0, 1, 2], [1, 2, 0]), num_nodes=5)
    for name, dtype in DTYPES.items():
        graph.ndata[name] = torch.arange(5).to(dtype)
        graph.edata[name] = torch.arange(3).to(dtype)
    graph.ndata["wide"] = torch.randn(5, 2, 3, 1, 2)
    graph.ndata["no width"] = torch.empty(5, 0)
    graph.ndata["turned"] = torch.randn(4, 5).T
    graph.ndata["conj"] = torch.randn(5, dtype=torch.complex64).conj()
    graph.ndata["learned"] = torch.randn(5, 2, requires_grad=True)
    graph.ndata[""] = torch.ones(5)
    owners = in_turn(graph, 2)
    write_parts(graph, owners, tmp_path / "p", num_parts=2, chunk_bytes=7)
    check_against(graph, owners, open_folder(tmp_path / "p"))
    assert check_folder(tmp_path / "p") == []


def test_sampled_graphs_and_shuffled_edges(tmp_path):
    graph = one_type()
    few = hf.sample_neighbors(graph, torch.tensor([7, 9, 2]), 3)
    a = graph.adjacency
    eids = torch.randperm(300)
    shuffled = hf.graph(("csc", (a.indptr, a.indices, eids)))
    shuffled.edata["w"] = torch.rand(300)
    for i, g in enumerate((few, shuffled)):
        write_parts(g, in_turn(g, 2), tmp_path / f"{i}", num_parts=2)
        check_against(g, in_turn(g, 2), open_folder(tmp_path / f"{i}"))
        assert check_folder(tmp_path / f"{i}") == []


def test_arrays_mapped_from_files(tmp_path):
    given_ = one_type()
    for name, array in zip(("indptr", "indices", "eids"), given_.adjacency.arrays()):
        np.save(tmp_path / f"{name}.npy", array.numpy())
    np.save(tmp_path / "feat.npy", given_.ndata["feat"].numpy())
    indptr, indices, eids, feat = (
        np.load(tmp_path / f"{name}.npy", mmap_mode="r")
        for name in ("indptr", "indices", "eids", "feat")
    )
    graph = hf.graph(("csc", (indptr, indices, eids)))
    graph.ndata["feat"] = hf.structure.ids.shared_tensor(feat)
    owners = in_turn(graph, 3)
    write_parts(graph, owners, tmp_path / "p", num_parts=3, chunk_bytes=100)
    check_against(graph, owners, open_folder(tmp_path / "p"))


def test_opening_and_reading_warn_of_nothing(written, recwarn):
    part = open_folder(written).part(0)
    part.ids(), part.columns(), part.edges(), part.edge_columns()
    assert list(recwarn) == []


def test_a_part_needs_no_other(written):
    for p in (0, 1):
        shutil.rmtree(written / f"part-{p}")
    folder = open_folder(written)
    assert folder.part(2).ids().tolist() == list(range(2, 50, 3))
    assert check_folder(written, parts=[2]) == []
    assert len(check_folder(written)) == 2
    with pytest.raises(FileNotFoundError, match="part-1 is not in this folder"):
        folder.part(1)
    with pytest.raises(IndexError, match="expected 0 <= part < 3, got 3"):
        folder.part(3)
    with pytest.raises(IndexError, match="parts: expected 0 <= part < 3, got -1"):
        check_folder(written, parts=[-1])


def test_the_id_is_of_everything(tmp_path):
    graph = one_type()
    ids = set()

    def write(g=graph, **changed):
        options = {"num_parts": 3, "parts": in_turn(g, 3), **changed}
        ids.add(write_parts(g, folder=tmp_path / "p", overwrite=True, **options))

    write()
    write()
    assert len(ids) == 1
    write(num_parts=4)
    write(parts=in_turn(graph, 2))
    write(splits={"train": [1]})
    write(splits={"train": [2]})
    write(num_classes=3)
    write(with_topology=False)
    graph.ndata["feat"][3, 2] += 1
    write()
    graph.ndata["feat2"] = graph.ndata.pop("feat")
    write()
    assert len(ids) == 9


def test_progress_ends_with_all(tmp_path):
    graph = typed()
    seen = []
    write_parts(
        graph, in_turn(graph, 3), tmp_path / "p", num_parts=3, chunk_bytes=200,
        splits={"a": {"paper": [1, 2]}}, on_progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]
    assert len({total for _, total in seen}) == 1


# --- refusals ---


def failing_after(monkeypatch, files: int) -> None:
    """Let the writer fail in the middle, as on a full disk."""
    real = writer.ArrayWriter.write
    left = [files]

    def write(self, rows):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(self, rows)

    monkeypatch.setattr(writer.ArrayWriter, "write", write)


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
