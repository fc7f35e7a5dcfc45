"""What graphs and blocks are made of: which arrays are kept, which forms there are, which ids."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from torch import Tensor

import hopflow as hf
import hopflow.function as fn
from hopflow import ops
from hopflow.ops import _shapes
from hopflow.ops.pinned import _is_mapped_file

NUM_NODES, NUM_EDGES = 6, 24


def compressed(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """In-edges of a random graph: ``indptr`` int64, ``indices`` int32, ``eids`` int32."""
    generator = torch.Generator().manual_seed(seed)
    dst = torch.randint(NUM_NODES, (NUM_EDGES,), generator=generator)
    indptr = torch.zeros(NUM_NODES + 1, dtype=torch.int64)
    torch.cumsum(torch.bincount(dst, minlength=NUM_NODES), 0, out=indptr[1:])
    indices = torch.randint(NUM_NODES, (NUM_EDGES,), generator=generator, dtype=torch.int32)
    return indptr, indices, torch.argsort(dst, stable=True).int()


def ends(g: hf.Graph) -> list[list[int]]:
    return [x.tolist() for x in g.edges()]


# --- more edges than int32 can number


@pytest.fixture
def few_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if int32 ended at 10: six nodes fit, and 24 edges do not."""
    monkeypatch.setattr(_shapes, "INT32_MAX", 10)


WIDE: dict[str, Callable[..., hf.Graph]] = {
    "coo": lambda ip, ix, e, **more: hf.graph((ix, ops.destinations(ip, 24, ix.dtype)), **more),
    "edge_index": lambda ip, ix, e, **more: hf.graph(
        torch.stack([ix, ops.destinations(ip, 24, ix.dtype)]), **more
    ),
    "csc": lambda ip, ix, e, **more: hf.graph(("csc", (ip, ix, [])), num_nodes=6, **more),
    "csc, eids": lambda ip, ix, e, **more: hf.graph(("csc", (ip, ix, e)), **more),
    "csr": lambda ip, ix, e, **more: hf.graph(("csr", (ip, ix, [])), **more),
    "csr, eids": lambda ip, ix, e, **more: hf.graph(("csr", (ip, ix, e)), **more),
    "block": lambda ip, ix, e, **more: hf.create_block(("csc", (ip, ix, e)), **more),
    "scipy": lambda ip, ix, e, **more: hf.from_scipy(
        scipy.sparse.csc_array((np.ones(24), ix, ip), shape=(6, 6)), **more
    ),
}


@pytest.mark.parametrize("form", list(WIDE))
@pytest.mark.usefixtures("few_ids")
def test_an_inferred_idtype_holds_the_edges(form: str) -> None:
    arrays = compressed()
    made = WIDE[form](*arrays)
    assert made.idtype == torch.int64
    assert made.adjacency.indices.dtype == torch.int32  # the nodes fit
    assert {x.dtype for x in made.edges("all")} == {torch.int64}
    assert made.edges("eid").tolist() == list(range(24))
    with pytest.raises(ValueError, match="idtype: 24 nodes or edges do not fit int32"):
        WIDE[form](*arrays, idtype=torch.int32)
    with pytest.raises(ValueError, match="idtype: 24 nodes or edges do not fit int32"):
        made.int()
    assert made.long() is made


def test_graphs_derived_from_one_of_int32_ids_hold_their_edges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    indptr, indices, eids = compressed()
    narrow = hf.graph(("csc", (indptr, indices, eids)))
    assert narrow.idtype == torch.int32
    monkeypatch.setattr(_shapes, "INT32_MAX", 24)
    doubled = hf.add_reverse_edges(narrow)
    assert (doubled.num_edges(), doubled.idtype) == (45, torch.int64)  # three self-loops
    assert hf.add_self_loop(narrow).idtype == torch.int64
    assert narrow.reverse().idtype == hf.in_subgraph(narrow, [0, 1]).idtype == torch.int32
    assert hf.to_block(doubled).idtype == torch.int64
    part = hf.in_subgraph(doubled, [0, 1])
    assert part.idtype == torch.int64
    assert part.int().idtype == torch.int32


def _passed(g: hf.Graph, function: Any, reduce: Any) -> Tensor:
    """Results and gradients of one pass, in a row."""
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    w = torch.rand(24, 1, generator=torch.Generator().manual_seed(2)).requires_grad_()
    with g.local_scope():
        g.ndata["h"], g.edata["w"] = x, w
        g.update_all(function, reduce("m", "out"))
        g.apply_edges(fn.u_dot_v("h", "h", "dot"))
        found = [g.ndata["out"], g.edata["dot"]]
    sum(y.sin().sum() for y in found).backward()  # type: ignore[union-attr]
    return torch.cat([y.detach().flatten() for y in (*found, x.grad, w.grad) if y is not None])


@pytest.mark.parametrize("form", ["csc", "csc, eids", "csr"])
@pytest.mark.parametrize("reduce", [fn.sum, fn.mean, fn.max])
def test_messages_over_edges_that_int32_cannot_number(
    form: str, reduce: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = fn.copy_u("h", "m"), fn.u_mul_e("h", "w", "m"), fn.v_sub_e("h", "w", "m")
    expected = [_passed(WIDE[form](*compressed()), function, reduce) for function in functions]
    monkeypatch.setattr(_shapes, "INT32_MAX", 10)
    g = WIDE[form](*compressed())
    for function, wanted in zip(functions, expected):
        torch.testing.assert_close(_passed(g, function, reduce), wanted)


@pytest.mark.parametrize("form", ["csc", "csc, eids"])
def test_batches_of_edges_that_int32_cannot_number(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sampled() -> list[Tensor]:
        g = WIDE[form](*compressed())
        g.edata["p"] = torch.rand(24, generator=torch.Generator().manual_seed(3))
        found = []
        for prob in (None, "p"):
            sampler = hf.dataloading.NeighborSampler([2, 2], prob=prob)
            hf.seed(5)
            for _, nodes, blocks in hf.dataloading.DataLoader(g, range(6), sampler, batch_size=2):
                found += [nodes, *blocks[0].edges(), blocks[0].edata[hf.EID]]
        return found

    expected = sampled()
    monkeypatch.setattr(_shapes, "INT32_MAX", 10)
    got = sampled()
    assert [x.tolist() for x in got] == [x.tolist() for x in expected]
    assert {x.dtype for x in got} == {torch.int64}


def test_edge_ids_that_int32_cannot_hold_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    indices = torch.zeros(24, dtype=torch.int32)
    assert ops._shapes.beside_eids(indices, torch.arange(24)) is indices
    monkeypatch.setattr(_shapes, "INT32_MAX", 10)
    assert ops._shapes.beside_eids(indices, torch.arange(24)).dtype == torch.int64
    assert ops._shapes.beside_eids(indices, None) is indices


# --- arrays that are taken as they are


def _addresses(g: hf.Graph) -> list[int]:
    return [x.data_ptr() for x in g.adjacency.arrays()]


@pytest.mark.parametrize("make", [hf.graph, hf.create_block])
def test_arrays_of_the_right_dtype_are_not_copied(make: Any) -> None:
    arrays = compressed()
    for given in (arrays, [x.numpy() for x in arrays]):
        assert _addresses(make(("csc", given))) == [x.data_ptr() for x in arrays]
    own = make(("csc", arrays), copy=True)
    assert not set(_addresses(own)) & {x.data_ptr() for x in arrays}
    assert ends(own) == ends(make(("csc", arrays)))


def test_a_copy_is_left_alone_and_shared_memory_is_the_users() -> None:
    indptr, indices, eids = compressed()
    shared, own = (hf.graph(("csc", (indptr, indices, eids)), copy=copy) for copy in (False, True))
    before = ends(own)
    indices.fill_(3)
    assert ends(own) == before
    assert shared.adjacency.indices.unique().tolist() == [3]


def test_what_has_not_the_right_form_is_converted_alone() -> None:
    indptr, indices, eids = compressed()
    expected = ends(hf.graph(("csc", (indptr, indices, eids))))
    unaligned = np.frombuffer(b"\0" + indices.numpy().tobytes(), np.uint8)[1:].view(np.int32)
    strided = torch.stack([indices, indices], 1)[:, 1]
    for other in (
        indices.long(), indices.numpy().astype(">i4"), indices.tolist(), indices.short(), strided,
        unaligned,
    ):  # fmt: skip
        g = hf.graph(("csc", (indptr, other, eids)))
        assert ends(g) == expected
        assert (g.adjacency.indices.dtype, g.adjacency.indices.is_contiguous()) == (torch.int32, 1)
        assert g.adjacency.indptr.data_ptr() == indptr.data_ptr()
        assert g.adjacency.eids is not None
        assert g.adjacency.eids.data_ptr() == eids.data_ptr()
    assert ends(hf.graph(("csc", (indptr.int(), indices, eids.long())))) == expected


@pytest.fixture
def mapped(tmp_path: Path) -> list[Any]:
    """The arrays of :func:`compressed` as read-only maps of files."""
    maps = []
    for name, x in zip(("indptr", "indices", "eids"), compressed()):
        np.save(tmp_path / f"{name}.npy", x.numpy())
        maps.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    return maps


@pytest.mark.filterwarnings("error")
def test_files_mapped_into_memory_are_not_read_into_it(mapped: list[Any]) -> None:
    g = hf.graph(("csc", mapped))
    assert _addresses(g) == [x.ctypes.data for x in mapped]
    expected = hf.graph(("csc", compressed()))
    del mapped[:]  # the graph keeps them open
    assert ends(g) == ends(expected)
    sampler = hf.dataloading.NeighborSampler([2, 2])
    found = []
    for graph in (g, expected):
        hf.seed(3)
        loader = hf.dataloading.DataLoader(graph, range(6), sampler, batch_size=4, num_workers=1)
        found.append([x.tolist() for _, _, blocks in loader for x in blocks[0].edges()])
    assert found[0] == found[1]
    passes = [_passed(graph, fn.u_mul_e("h", "w", "m"), fn.sum) for graph in (g, expected)]
    assert torch.equal(*passes)


@pytest.mark.filterwarnings("error")
def test_graphs_of_mapped_files_travel(mapped: list[Any]) -> None:
    expected = ends(hf.graph(("csc", compressed())))
    g = hf.graph(("csc", mapped))
    assert ends(pickle.loads(pickle.dumps(g))) == expected
    assert not _is_mapped_file(pickle.loads(pickle.dumps(g)).adjacency.indices)
    assert ends(hf.add_reverse_edges(g)) == ends(hf.add_reverse_edges(hf.graph(expected)))
    for x in g.adjacency.arrays():
        x.share_memory_()
    assert ends(g) == expected


@pytest.mark.filterwarnings("error")
def test_frozen_arrays_are_taken_in_every_form(mapped: list[Any]) -> None:
    src, dst = (np.asarray(x) for x in hf.graph(("csc", compressed())).edges())
    for x in (src, dst):
        x.flags.writeable = False
    expected = [src.tolist(), dst.tolist()]
    assert ends(hf.graph((src, dst))) == expected
    edge_index = np.stack([src, dst])
    edge_index.flags.writeable = False
    assert ends(hf.graph(edge_index)) == expected
    assert ends(hf.graph(("csr", mapped))) == ends(hf.graph(("csr", compressed())))


def test_pages_of_files_are_not_locked_where_they_are(
    mapped: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("only Linux says what a page holds")
    g = hf.graph(("csc", mapped))
    assert all(_is_mapped_file(x) for x in g.adjacency.arrays())
    assert not _is_mapped_file(torch.zeros(1 << 20))
    assert not _is_mapped_file(torch.zeros(1 << 20).share_memory_())
    # However large they are.
    monkeypatch.setattr(ops.pinned, "_LEAST_MAPPED", 0)
    monkeypatch.setattr(ops.pinned, "Pin", lambda x: x)
    monkeypatch.setattr(ops.pinned, "is_pinned", lambda x: False)
    before = ends(g)
    for x in g.adjacency.arrays():
        ops.pin_memory(x)
        assert not _is_mapped_file(x)
    assert ends(g) == before


def test_graphs_made_under_inference_mode_serve_a_backward_pass() -> None:
    with torch.inference_mode():
        indptr, indices, eids = compressed()
        graphs = [hf.graph((kind, (indptr, indices, eids))) for kind in ("csc", "csr")]
        assert graphs[0].adjacency.indices.data_ptr() == indices.data_ptr()
    for g, kind in zip(graphs, ("csc", "csr")):
        expected = hf.graph((kind, compressed()))
        passes = [_passed(x, fn.u_mul_e("h", "w", "m"), fn.sum) for x in (g, expected)]
        assert torch.equal(*passes)


# --- how many nodes there are


@pytest.mark.parametrize("kind", ["csc", "csr"])
def test_a_compressed_graph_is_square(kind: str) -> None:
    data: Any = (kind, ([0, 1, 2], [0, 7], []))
    with pytest.raises(IndexError, match=r"indices\[1\] is 7, expected 0 <= id < 2 .* num_nodes"):
        hf.graph(data)
    assert hf.graph(data, num_nodes=8).num_nodes() == 8
    with pytest.raises(IndexError, match=r"indices\[1\] is 7, expected 0 <= id < 7"):
        hf.graph(data, num_nodes=7)
    block = hf.create_block(data)
    sides = (block.num_src_nodes(), block.num_dst_nodes())
    assert sides == ((8, 2) if kind == "csc" else (2, 8))


# --- edge lists


EDGES = [[0, 2, 1, 1], [1, 0, 0, 1]]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8])
def test_edge_index(dtype: torch.dtype) -> None:
    edge_index = torch.tensor(EDGES, dtype=dtype)
    transposed = edge_index.t().contiguous().t()
    assert not transposed.is_contiguous()
    for given in (edge_index, transposed, torch.cat([edge_index] * 2, 1)[:, :4]):
        for data in (given, given.numpy(), ("coo", given), ("coo", given.numpy())):
            g = hf.graph(data, num_nodes=5)
            assert (ends(g), g.num_nodes()) == (EDGES, 5)
            assert g.idtype == (torch.int32 if dtype == torch.int32 else torch.int64)
            block = hf.create_block(data)
            assert ends(block) == EDGES
            assert (block.num_src_nodes(), block.num_dst_nodes()) == (3, 2)
    assert ends(hf.graph(edge_index[:, :2])) == [row[:2] for row in EDGES]  # [2, 2] is no list
    assert hf.graph(edge_index[:, :0]).num_nodes() == 0


def test_lists_of_edges() -> None:
    """As in DGL a list holds edges, where it cannot be read otherwise."""
    pairs = list(zip(*EDGES))
    assert ends(hf.graph(pairs)) == EDGES
    assert ends(hf.graph([list(pair) for pair in pairs])) == EDGES
    assert ends(hf.graph([(0, 5), (2, 3)])) == [[0, 2], [5, 3]]
    assert ends(hf.graph([(4, 1)])) == [[4], [1]]
    assert ends(hf.graph(EDGES)) == EDGES
    assert ends(hf.graph([torch.tensor([0, 5]), torch.tensor([2, 3])])) == [[0, 5], [2, 3]]
    assert ends(hf.graph(((0, 5), (2, 3)))) == [[0, 5], [2, 3]]
    for make in (hf.graph, hf.create_block):
        assert (make([]).num_nodes(), make([]).num_edges()) == (0, 0)
        with pytest.raises(ValueError, match=r"may be two edges or .*; give a tuple \(src, dst\)"):
            make([[0, 5], [2, 3]])
    assert hf.graph([], num_nodes=3).num_nodes() == 3


BAD_DATA: list[tuple[Any, type[Exception], str]] = [
    (torch.zeros(4, 2, dtype=torch.int64), ValueError, r"\[2, E\], got shape \[4, 2\]; transpose"),
    (np.zeros((3, 2), int), ValueError, r"\[2, E\], got shape \[3, 2\]; transpose"),
    (torch.zeros(3, 3, dtype=torch.int64), ValueError, r"\[2, E\], got shape \[3, 3\]$"),
    (torch.zeros(4, dtype=torch.int64), ValueError, r"\[2, E\], got shape \[4\]"),
    (torch.tensor(1), ValueError, r"\[2, E\], got shape \[\]"),
    (np.zeros((2, 3, 1), int), ValueError, r"\[2, E\], got shape \[2, 3, 1\]"),
    (torch.zeros(2, 3), TypeError, "src: expected integer ids, got float32"),
    (torch.ones(2, 3, requires_grad=True), TypeError, "src: expected integer ids, got float32"),
    (np.full((2, 3), np.nan), TypeError, "src: expected integer ids, got float64"),
    (np.ones((2, 3), bool), TypeError, "src: expected integer ids, got bool"),
    (np.array([["0"], ["1"]]), TypeError, "src: expected integer ids"),
    (torch.tensor([[0, -1], [0, 1]]), IndexError, r"src\[1\] is -1, expected 0 <= id"),
    (torch.tensor([[-3], [-2]]), IndexError, r"src\[0\] is -3, expected 0 <= id"),
    (torch.tensor([[0, 2**50], [0, 1]]), ValueError, "nodes would need"),
    (torch.eye(3).to_sparse(), TypeError, "data: expected a dense tensor, got a sparse one"),
    (torch.empty(2, 3, dtype=torch.int64, device="meta"), ValueError, "data: .*meta device"),
    (np.ma.array([[0], [1]], mask=[[0], [1]]), TypeError, "dst: .* masked"),
    (scipy.sparse.coo_array(np.array([1, 0])), ValueError, r"data: .* two dimensions.*\(2,\)"),
    ([0, 1], ValueError, "data: expected .* got a list of int"),
    ([[0]], ValueError, "data: expected .* got a list of 1 elements"),
    ([(0, 1, 2), (1, 2, 3), (2, 3, 4)], ValueError, "data: expected .* a list of 3 elements"),
    ([(0, 1.5)], TypeError, "dst: expected integer ids, got float64"),
    ([(0, None)], TypeError, "dst: expected integer ids"),
    ([("a", "b")], TypeError, "src: expected integer ids"),
    ((x for x in EDGES), TypeError, "data: expected .* got generator"),
    ({0, 1}, TypeError, "data: expected .* got set"),
    (range(2), TypeError, "data: expected .* got range"),
]


@pytest.mark.parametrize("case", BAD_DATA, ids=lambda case: case[2][:40])
@pytest.mark.parametrize("make", [hf.graph, hf.create_block])
def test_wrong_data(make: Any, case: tuple[Any, type[Exception], str]) -> None:
    data, error, words = case
    with pytest.raises(error, match=words) as caught:
        make(data)
    assert type(caught.value) is error


BAD_IDS: list[tuple[Any, str]] = [
    (np.array([1, 2], "M8[D]"), "datetime64"),
    (np.zeros(2, [("a", "i4")]), "dtype"),
    (np.array([0, 1], object), "integer"),
    ([0, 2**64], "not all of them integers that fit int64"),
    (iter([0, 1]), "list_iterator"),
    (np.ma.array([0, 1], mask=[0, 1]), "some are masked"),
]
if hasattr(torch, "uint64"):
    BAD_IDS.append((torch.tensor([0, 2**63], dtype=torch.uint64), "does not fit int64"))


@pytest.mark.parametrize("case", BAD_IDS, ids=lambda case: case[1])
def test_wrong_ids(case: tuple[Any, str]) -> None:
    ids, words = case
    for name, data in (
        ("src", (ids, [0, 0])),
        ("dst", ([0, 0], ids)),
        ("indptr", ("csc", (ids, [0, 0], []))),
        ("indices", ("csr", ([0, 2], ids, []))),
        ("eids", ("csc", ([0, 2], [0, 0], ids))),
    ):
        with pytest.raises(TypeError, match=f"{name}: .*{words}"):
            hf.create_block(data)


@pytest.mark.filterwarnings("ignore::UserWarning")  # both are on their way in or out of torch
def test_tensors_without_ordinary_memory() -> None:
    nested = torch.nested.nested_tensor([torch.tensor([1]), torch.tensor([1, 2])])
    quantized = torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint32)
    for kind, x in (("nested", nested), ("quantized", quantized)):
        with pytest.raises(TypeError, match=f"data: expected a dense tensor, got a {kind} one"):
            hf.graph(x)
        with pytest.raises(TypeError, match=f"src: expected a dense tensor, got a {kind} one"):
            hf.graph((x, [0, 0]))


def test_ids_of_pandas_and_masked_arrays_without_a_mask() -> None:
    pandas = pytest.importorskip("pandas")
    for ids in (
        pandas.Series([0, 1]), pandas.Index([0, 1]), pandas.Series([0, 1], dtype="Int64"),
        np.ma.array([0, 1], mask=[0, 0]),
    ):  # fmt: skip
        assert ends(hf.graph((ids, [1, 0]))) == [[0, 1], [1, 0]]
    with pytest.raises(TypeError, match="src: expected integer ids"):
        hf.graph((pandas.Series([0, None], dtype="Int64"), [1, 0]))


def test_wrong_devices() -> None:
    for make in (
        hf.graph,
        hf.create_block,
        lambda data, device: hf.from_scipy(SQUARE, device=device),
    ):
        with pytest.raises(ValueError, match=r"device: expected .*'nowhere'"):
            make(([0], [0]), device="nowhere")
        with pytest.raises(ValueError, match=r"device: .* meta"):
            make(([0], [0]), device="meta")
        with pytest.raises(TypeError, match=r"device: expected .*1.5"):
            make(([0], [0]), device=1.5)


SQUARE = scipy.sparse.eye(2)
