"""The folder of a partitioned graph: what is written is read, and nothing else."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from folders import in_turn, one_type, typed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hopflow as hf
from hopflow.distributed.folder.check import check_folder
from hopflow.distributed.folder.reader import PartsFolder, open_folder
from hopflow.distributed.folder.writer import write_parts
from hopflow.storage import encode
from hopflow.storage.array_files import DTYPES
from hopflow.storage.manifests import MANIFEST


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


@pytest.mark.parametrize("code", ["int8", "int8-by-row", "float16"])
def test_columns_in_fewer_bits_are_decoded(code, tmp_path):
    graph = one_type()
    graph.ndata["feat"] = encode(graph.ndata["feat"], code, dtype=torch.bfloat16)
    graph.edata["w2"] = encode(torch.randn(graph.num_edges(), 3), code)
    owners = in_turn(graph, 3)
    write_parts(graph, owners, tmp_path / "p", num_parts=3, chunk_bytes=99)
    assert '"code"' not in (tmp_path / "p" / MANIFEST).read_text()
    check_against(graph, owners, open_folder(tmp_path / "p"))
    assert check_folder(tmp_path / "p") == []
