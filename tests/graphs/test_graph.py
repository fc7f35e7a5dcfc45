"""Graphs: constructors, structure, columns, scopes and moves."""

from __future__ import annotations

import copy
import functools
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

import hopflow as hf
import hopflow.function as fn

SRC, DST = [0, 2, 2, 1, 2, 0], [1, 0, 0, 1, 2, 1]
"""A duplicate edge each way of 0 -> 1 and 2 -> 0, a self-loop at 1 and at 2."""


def pairs(graph: hf.Graph) -> list[tuple[int, int]]:
    """The edges in the order of their ids."""
    src, dst = graph.edges()
    return list(zip(src.tolist(), dst.tolist()))


EDGES = list(zip(SRC, DST))


def test_tensors_arrays_lists_and_ranges_make_one_graph() -> None:
    forms: list[Any] = [
        (SRC, DST),
        [SRC, DST],
        (tuple(SRC), tuple(DST)),
        ("coo", (SRC, DST)),
        (torch.tensor(SRC), torch.tensor(DST)),
        (torch.tensor(SRC), np.array(DST)),
        (torch.tensor(SRC, dtype=torch.int32), DST),
        (torch.tensor(SRC, dtype=torch.uint8), torch.tensor(DST, dtype=torch.int16)),
        (torch.tensor([SRC, DST]).t()[:, 0], torch.tensor([SRC, DST]).t()[:, 1]),
        (torch.tensor(SRC).repeat_interleave(2)[::2], DST),
    ]
    names = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
    forms += [(np.array(SRC, dtype=name), np.array(DST, dtype=name)) for name in names]
    for form in forms:
        graph = hf.graph(form)
        assert pairs(graph) == EDGES
        assert (graph.num_nodes(), graph.num_edges()) == (3, 6)
    assert pairs(hf.graph((range(3), range(3)))) == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.filterwarnings("error")
def test_awkward_numpy_arrays_are_taken() -> None:
    """Reversed, strided, read-only and big-endian arrays are arrays of integers too."""
    frozen = np.array(SRC)
    frozen.flags.writeable = False
    table = np.array([SRC, DST]).T
    for src in (
        np.array(SRC[::-1])[::-1],
        table[:, 0],
        frozen,
        np.array(SRC, dtype=">i8"),
        np.repeat(SRC, 3)[::3],
    ):
        assert pairs(hf.graph((src, DST))) == EDGES


def compressed(kind: str) -> tuple[list[int], list[int], list[int]]:
    """The graph by destination or by source, edges permuted."""
    major, minor = (DST, SRC) if kind == "csc" else (SRC, DST)
    order = sorted(range(6), key=lambda i: (major[i], -i))
    indptr = [sum(m < v for m in major) for v in range(4)]
    return indptr, [minor[i] for i in order], order


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("kind", ["csc", "csr"])
def test_compressed_forms(kind: str, idtype: torch.dtype) -> None:
    indptr, indices, eids = (torch.tensor(x, dtype=idtype) for x in compressed(kind))
    graph = hf.graph((kind, (indptr, indices, eids)))
    assert pairs(graph) == EDGES
    assert graph.idtype == idtype
    for none in ([], None, torch.empty(0, dtype=torch.int64)):
        by_position = hf.graph((kind, (indptr, indices, none)))
        assert pairs(by_position) == [EDGES[i] for i in eids.tolist()]
    assert pairs(hf.graph((kind, (indptr, indices)))) == [EDGES[i] for i in eids.tolist()]
    wider = hf.graph((kind, (indptr, indices, eids)), num_nodes=5)
    assert pairs(wider) == EDGES
    assert wider.num_nodes() == 5


def test_scipy_keeps_every_stored_entry_in_its_order() -> None:
    """As dgl.from_scipy: duplicates stay two edges, edge e is entry e."""
    ones = np.ones(6)
    matrix = scipy.sparse.coo_matrix((ones, (SRC, DST)), shape=(4, 4))
    graph = hf.graph(matrix)
    assert graph.num_nodes() == 4
    assert pairs(graph) == EDGES
    for kind in ("csr", "csc"):
        single = scipy.sparse.coo_matrix((np.ones(3), ([2, 0, 1], [1, 2, 0])), shape=(3, 3))
        assert sorted(pairs(hf.graph(single.asformat(kind)))) == [(0, 2), (1, 0), (2, 1)]
    zeros = scipy.sparse.csr_matrix((np.zeros(2), ([0, 1], [1, 0])), shape=(2, 2))
    assert hf.graph(zeros).num_edges() == 2
    assert hf.graph(scipy.sparse.csr_array(matrix.tocsr())).num_nodes() == 4
    assert matrix.nnz == 6


def test_sizes() -> None:
    assert hf.graph((SRC, DST), num_nodes=10).num_nodes() == 10
    assert hf.graph((SRC, DST), num_nodes=np.int64(10)).num_nodes() == 10
    graph = hf.graph((SRC, DST))
    assert graph.number_of_nodes() == graph.num_src_nodes() == graph.num_dst_nodes() == 3
    assert graph.number_of_edges() == 6
    assert [x.tolist() for x in (graph.nodes(), graph.srcnodes(), graph.dstnodes())] == [
        [0, 1, 2]
    ] * 3


@pytest.mark.parametrize("num_nodes", [None, 0, 3])
def test_no_edges(num_nodes: Any) -> None:
    n = num_nodes or 0
    empty = torch.empty(0, dtype=torch.int64)
    for data in (([], []), (empty, empty), (np.array([], dtype=np.int64), [])):
        graph = hf.graph(data, num_nodes=num_nodes)
        assert (graph.num_nodes(), graph.num_edges()) == (n, 0)
        assert graph.in_degrees().tolist() == graph.out_degrees().tolist() == [0] * n
        assert [x.tolist() for x in graph.edges("all", "srcdst")] == [[], [], []]
    assert hf.graph(("csc", ([0] * (n + 1), [], []))).num_nodes() == n


def test_edge_forms_and_orders() -> None:
    graph = hf.graph((SRC, DST))
    src, dst, eids = graph.edges(form="all")
    assert (src.tolist(), dst.tolist(), eids.tolist()) == (SRC, DST, list(range(6)))
    assert graph.edges("eid").tolist() == list(range(6))
    wanted = sorted(range(6), key=lambda i: (SRC[i], DST[i], i))
    assert graph.edges("eid", order="srcdst").tolist() == wanted
    src, dst = graph.edges(order="srcdst")
    assert list(zip(src.tolist(), dst.tolist())) == sorted(EDGES)


def test_degrees() -> None:
    graph = hf.graph((SRC, DST), num_nodes=4)
    assert graph.in_degrees().tolist() == [2, 3, 1, 0]
    assert graph.out_degrees().tolist() == [2, 1, 3, 0]
    assert graph.in_degrees(1) == 3
    assert graph.in_degrees(np.int64(1)) == 3
    assert isinstance(graph.out_degrees(2), int)
    assert graph.in_degrees([3, 1, 1]).tolist() == [0, 3, 3]
    assert graph.out_degrees(torch.tensor([2], dtype=torch.int32)).tolist() == [3]
    assert graph.in_degrees([]).tolist() == []


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
def test_idtype(idtype: torch.dtype) -> None:
    graph = hf.graph((torch.tensor(SRC, dtype=idtype), torch.tensor(DST, dtype=idtype)))
    other = torch.int64 if idtype == torch.int32 else torch.int32
    assert graph.idtype == idtype
    assert hf.graph((SRC, DST)).idtype == torch.int64
    made = [hf.graph((SRC, DST), idtype=idtype), graph]
    made.append(hf.graph((SRC, DST), idtype=other)._as_idtype(idtype))
    for g in made:
        given = (*g.edges("all"), g.nodes(), g.in_degrees(), g.out_degrees([0]))
        assert {x.dtype for x in given} == {idtype}
    assert graph.int().idtype == torch.int32
    assert graph.long().idtype == torch.int64
    graph.ndata["h"] = torch.ones(3)
    changed = graph._as_idtype(other)
    changed.ndata["k"] = torch.ones(3)
    assert list(graph.ndata) == ["h"]
    assert pairs(changed) == EDGES


def test_what_a_user_changes_is_not_the_graph() -> None:
    """What a graph hands out is not its own, nor what it was made of, unless that is a CSC."""
    indptr, indices, eids = (torch.tensor(x, dtype=torch.int32) for x in compressed("csc"))
    graphs = [
        hf.graph(("csc", (indptr, indices, eids)), copy=True),
        hf.graph(("csc", (indptr.clone(), indices.clone(), eids.clone()))),
        hf.graph(("csr", (indptr, indices, eids))),
        hf.graph((torch.tensor(SRC).int(), torch.tensor(DST).int())),
        hf.graph((torch.tensor(sorted(SRC)).int(), torch.tensor(sorted(DST)).int())),
        hf.graph((sorted(SRC), sorted(DST)), idtype=torch.int32),
    ]
    before = [pairs(graph) for graph in graphs]
    for given in (indptr, indices, eids):
        given.fill_(0)
    for graph in graphs:
        for handed in (*graph.edges("all"), graph.in_degrees(), graph.out_degrees()):
            handed.fill_(0)
    assert [pairs(graph) for graph in graphs] == before


def test_columns() -> None:
    graph = hf.graph((SRC, DST))
    graph.ndata["h"] = x = torch.ones(3, 2)
    assert graph.ndata["h"] is x
    assert graph.srcdata["h"] is graph.dstdata["h"] is x
    graph.srcdata["k"] = torch.zeros(3)
    assert list(graph.dstdata) == ["h", "k"]
    graph.ndata.update({"year": torch.tensor([1, 2, 3]), "flag": torch.tensor([True] * 3)})
    assert graph.ndata.pop("k").tolist() == [0, 0, 0]
    del graph.ndata["h"]
    assert sorted(graph.ndata) == ["flag", "year"]
    assert "h" not in graph.ndata
    assert graph.ndata.get("h") is None
    graph.edata["w"] = torch.arange(6)
    assert (len(graph.edata), graph.edata.num_rows) == (1, 6)
    graph.ndata.clear()
    assert len(graph.ndata) == 0


def test_local_scope_forgets() -> None:
    graph = hf.graph((SRC, DST))
    graph.ndata["h"], graph.edata["w"] = torch.ones(3), torch.ones(6)

    def change() -> None:
        graph.ndata["h"] = torch.zeros(3)
        graph.srcdata["new"] = torch.zeros(3)
        assert "new" in graph.dstdata
        del graph.edata["w"]
        graph.update_all(fn.copy_u("h", "m"), fn.sum("m", "out"))

    with graph.local_scope():
        change()
    assert (list(graph.ndata), list(graph.edata)) == (["h"], ["w"])
    assert graph.ndata["h"].tolist() == [1, 1, 1]

    def fail() -> None:
        with graph.local_scope():
            change()
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    with graph.local_scope(), graph.local_scope():
        change()
    assert (list(graph.ndata), list(graph.edata)) == (["h"], ["w"])
    with graph.local_scope():
        graph.ndata["h"] += 1  # in place: the tensor is the user's own
    assert graph.ndata["h"].tolist() == [2, 2, 2]
    assert graph.srcdata is graph.dstdata


def test_repr_is_dgls() -> None:
    graph = hf.graph((SRC, DST))
    assert repr(graph) == (
        "Graph(num_nodes=3, num_edges=6,\n      ndata_schemes={}\n      edata_schemes={})"
    )
    graph.ndata["h"], graph.edata["w"] = torch.ones(3, 2), torch.ones(6, dtype=torch.float64)
    assert repr(graph) == (
        "Graph(num_nodes=3, num_edges=6,\n"
        "      ndata_schemes={'h': Scheme(shape=(2,), dtype=torch.float32)}\n"
        "      edata_schemes={'w': Scheme(shape=(), dtype=torch.float64)})"
    )


def test_moves() -> None:
    graph = hf.graph((SRC, DST))
    graph.ndata["h"], graph.edata["w"] = torch.ones(3), torch.ones(6)
    assert graph.to("cpu") is graph.to(torch.device("cpu")) is graph.cpu() is graph
    moved = graph.to("meta")  # the one other device that every machine has
    assert moved.device.type == moved.ndata["h"].device.type == "meta"
    assert moved.edata["w"].device.type == "meta"
    assert moved.srcdata is moved.dstdata
    assert graph.device.type == graph.ndata["h"].device.type == "cpu"
    with pytest.raises(ValueError, match="cpu"):
        moved.ndata["k"] = torch.ones(3)
    assert hf.graph((SRC, DST), device="cpu").device.type == "cpu"


@pytest.mark.cpu_only
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda() -> None:
    graph = hf.graph((SRC, DST))
    with pytest.raises(hf.HopflowError, match="CUDA"):
        graph.pin_memory_()
    with pytest.raises(hf.HopflowError, match="expected the CPU"):
        graph.to("meta").pin_memory_()


def test_copies_and_pickles() -> None:
    graph = hf.graph((SRC, DST), idtype=torch.int32)
    graph.ndata["h"] = torch.ones(3)
    for other in (copy.copy(graph), copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        assert pairs(other) == EDGES
        assert other.idtype == torch.int32
        assert other.ndata["h"].tolist() == [1, 1, 1]
        assert other.srcdata is other.dstdata
    deep = copy.deepcopy(graph)
    deep.ndata["h"].zero_()
    assert graph.ndata["h"].tolist() == [1, 1, 1]


def test_degree_of_a_few_nodes_is_not_a_pass_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """in_degrees of a handful of nodes reads a handful of rows."""
    graph = hf.graph(([0, 1], [1, 0]), num_nodes=1000)
    monkeypatch.setattr(torch.Tensor, "diff", lambda self: pytest.fail("all rows"))
    assert graph.in_degrees([1, 999]).tolist() == [1, 0]


class WithDegrees(hf.Graph):
    note = "none"

    @functools.cached_property
    def degrees(self) -> torch.Tensor:
        return self.in_degrees()


def test_graphs_of_a_subclass_are_of_it_and_forget_what_it_computed():
    graph = hf.graph(([0, 1, 2], [1, 2, 0]))
    mine = WithDegrees(graph.adjacency)
    mine.note = "kept"
    assert mine.degrees.tolist() == [1, 1, 1]
    for made in (mine.subgraph([0, 1]), mine.reverse(), mine.in_subgraph([1])):
        assert type(made) is WithDegrees
        assert made.note == "kept"
        assert made.degrees.tolist() == made.in_degrees().tolist()
    assert type(mine.local_var()) is WithDegrees


def test_blocks_made_in_inference_mode_train_later(small_graph):
    with torch.inference_mode():
        one = hf.to_block(hf.in_subgraph(small_graph, [3, 4]), [3, 4])
        (other,) = hf.dataloading.NeighborSampler([3]).sample(small_graph, torch.tensor([3, 4]))[2]
    for block in (one, other):
        x = torch.randn(block.num_src_nodes(), 2, requires_grad=True)
        hf.functional.copy_u_sum(block, x).sum().backward()
        assert x.grad is not None
