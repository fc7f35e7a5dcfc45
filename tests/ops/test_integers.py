"""Integer and boolean columns: exact, with torch's dtypes, against counting in Python."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from helpers import FORMS, IDS, edge_list, graph_form
from torch import Tensor

import hopflow as hf
import hopflow.functional as HF
from hopflow import function as fn
from hopflow import ops
from hopflow.ops import _integers

DTYPES = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
REDUCERS = ("sum", "mean", "max", "min")
OPS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
}


def reduced(messages: Tensor, edges: list[tuple[int, int]], num_dst: int, how: str) -> Tensor:
    """Messages [E, F] reduced in Python's integers."""
    out = []
    for node in range(num_dst):
        rows = [messages[e].tolist() for e, (_, v) in enumerate(edges) if v == node]
        columns = [list(column) for column in zip(*rows)] or [[]] * messages.shape[1]
        out.append([_number(column, how) for column in columns])
    dtype = messages.dtype
    if how == "sum":
        dtype = torch.int64
    elif how == "mean":
        dtype = torch.get_default_dtype()
    return torch.tensor(out, dtype=dtype).view(num_dst, messages.shape[1])


def _number(column: list[Any], how: str) -> Any:
    if not column:
        return 0
    if how == "mean":
        return float(Fraction(sum(column), len(column)))
    return {"sum": sum, "max": max, "min": min}[how](column)


def values(rows: int, *shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """The dtype's whole range."""
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.randint(2, (rows, *shape), generator=generator).bool()
    limits = torch.iinfo(dtype)
    low, high = max(limits.min, -(2**58)), min(limits.max, 2**58)  # whose sums are int64
    return torch.randint(low, high + 1, (rows, *shape), generator=generator).to(dtype)


def same(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("idtype", IDS, ids=str)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_copies(form: str, dtype: torch.dtype, idtype: torch.dtype) -> None:
    graph = graph_form(form, idtype)
    edges, num_dst = edge_list(graph), graph.num_dst_nodes()
    graph.srcdata["x"] = values(graph.num_src_nodes(), 3, dtype=dtype)
    graph.edata["w"] = values(graph.num_edges(), 3, dtype=dtype, seed=1)
    sources = graph.srcdata["x"][[u for u, _ in edges]]
    for how in REDUCERS:
        reducer = getattr(fn, how)("m", "o")
        graph.update_all(fn.copy_u("x", "m"), reducer)
        same(graph.dstdata["o"], reduced(sources, edges, num_dst, how))
        graph.update_all(fn.copy_e("w", "m"), reducer)
        same(graph.dstdata["o"], reduced(graph.edata["w"], edges, num_dst, how))


@pytest.mark.parametrize("form", ["graph", "block", "shuffled", "no_edges"])
@pytest.mark.parametrize("dtypes", [(a, b) for a in DTYPES for b in DTYPES], ids=str)
def test_messages_of_two_operands(form: str, dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    graph = graph_form(form)
    edges, num_dst = edge_list(graph), graph.num_dst_nodes()
    graph.srcdata["x"] = values(graph.num_src_nodes(), 2, 3, dtype=dtypes[0])
    graph.edata["w"] = values(graph.num_edges(), 3, dtype=dtypes[1], seed=1)
    sources = graph.srcdata["x"][[u for u, _ in edges]]
    for op in OPS:
        message = getattr(fn, f"u_{op}_e")("x", "w", "m")
        if op == "sub" and dtypes == (torch.bool, torch.bool):
            with pytest.raises(TypeError, match="bool"):
                graph.apply_edges(message)
            continue
        dtype = torch.promote_types(*dtypes)
        # Wraps around as torch does; its difference takes no booleans, even beside numbers.
        expected = OPS[op](sources.to(dtype), graph.edata["w"].unsqueeze(1).to(dtype))
        graph.apply_edges(message)
        same(graph.edata["m"], expected)
        for how in REDUCERS:
            if how in ("sum", "mean") and torch.int64 in dtypes:
                continue  # their sums may go round, in Python they do not
            graph.update_all(message, getattr(fn, how)("m", "o"))
            found = graph.dstdata["o"]
            same(found.flatten(1), reduced(expected.flatten(1), edges, num_dst, how))
            assert found.shape == (num_dst, 2, 3)
    graph.apply_edges(fn.u_div_e("x", "w", "q"))
    torch.testing.assert_close(
        graph.edata["q"], sources / graph.edata["w"].unsqueeze(1), equal_nan=True
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dot(dtype: torch.dtype) -> None:
    graph = graph_form("shuffled")
    graph.ndata["x"] = values(11, 2, 5, dtype=dtype)
    edges = edge_list(graph)
    u, v = (graph.ndata["x"][list(ids)].long() for ids in zip(*edges))
    graph.apply_edges(fn.u_dot_v("x", "x", "d"))
    same(graph.edata["d"], (u * v).sum(-1, keepdim=True))
    graph.update_all(fn.u_dot_v("x", "x", "m"), fn.max("m", "o"))
    expected = reduced(graph.edata["d"].flatten(1), edges, 11, "max")
    same(graph.ndata["o"].flatten(1), expected)


def star(count: int) -> hf.Graph:
    """Edges from ``count`` nodes to node 0."""
    return hf.graph((torch.arange(count), torch.zeros(count, dtype=torch.int64)))


def test_sums_beyond_the_dtype_int32_and_float64() -> None:
    graph = star(1000)
    for dtype in DTYPES[1:]:
        most = torch.iinfo(dtype).max // (1 if dtype != torch.int64 else 1000)
        graph.ndata["x"] = torch.full((1000,), most, dtype=dtype)
        graph.update_all(fn.copy_u("x", "m"), fn.sum("m", "o"))
        assert graph.ndata["o"].dtype == torch.int64
        assert int(graph.ndata["o"][0]) == 1000 * most
    # 2**53 + 1 and its kin are no float64; a sum of odd numbers around it shows any rounding.
    x = 2**53 + 1 + 2 * torch.arange(1000)
    graph.ndata["x"] = x
    for how, want in (("sum", sum(x.tolist())), ("max", max(x.tolist())), ("min", 2**53 + 1)):
        graph.update_all(fn.copy_u("x", "m"), getattr(fn, how)("m", "o"))
        assert int(graph.ndata["o"][0]) == want
    graph.update_all(fn.copy_u("x", "m"), fn.mean("m", "o"))
    assert float(graph.ndata["o"][0]) == float(torch.tensor(sum(x.tolist()) / 1000))
    # As torch's own sum, one beyond int64 goes round.
    graph.ndata["x"] = torch.full((1000,), 2**62)
    graph.update_all(fn.copy_u("x", "m"), fn.sum("m", "o"))
    assert int(graph.ndata["o"][0]) == int(graph.ndata["x"].sum())


def test_extremes_and_isolated_nodes() -> None:
    for dtype in DTYPES[1:]:
        limits = torch.iinfo(dtype)
        graph = star(3)
        for value in (limits.min, limits.max):
            graph.ndata["x"] = torch.full((3, 1), value, dtype=dtype)
            for reducer in (fn.max, fn.min):
                graph.update_all(fn.copy_u("x", "m"), reducer("m", "o"))
                assert graph.ndata["o"].tolist() == [[value], [0], [0]]
    graph.ndata["x"] = torch.tensor([False, True, False])
    for reducer, want in ((fn.max, True), (fn.min, False)):
        graph.update_all(fn.copy_u("x", "m"), reducer("m", "o"))
        assert graph.ndata["o"].tolist() == [want, False, False]


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 3, 4)], ids=str)
def test_shapes_and_strides(shape: tuple[int, ...]) -> None:
    graph = graph_form("graph")
    edges = edge_list(graph)
    x = values(11, *shape, dtype=torch.int32)
    strided = torch.stack([x, x], -1)[..., 0]
    for features in (x, strided, x.T.contiguous().T if len(shape) == 1 else x):
        graph.ndata["x"] = features
        for how in REDUCERS:
            graph.update_all(fn.copy_u("x", "m"), getattr(fn, how)("m", "o"))
            found = graph.ndata["o"]
            assert found.shape == (11, *shape)
            messages = x[[u for u, _ in edges]].reshape(len(edges), torch.Size(shape).numel())
            same(found.reshape(11, -1) if x.numel() else found, _as(found, messages, edges, how))


def _as(found: Tensor, messages: Tensor, edges: list[tuple[int, int]], how: str) -> Tensor:
    expected = reduced(messages, edges, 11, how)
    return expected if messages.numel() else expected.view(found.shape)


@pytest.mark.parametrize("reduce", REDUCERS)
def test_a_few_edges_at_a_time(monkeypatch: pytest.MonkeyPatch, reduce: str) -> None:
    graph = graph_form("shuffled")
    graph.ndata["x"], graph.edata["w"] = torch.arange(22).view(11, 2), torch.arange(30)
    message, reducer = fn.u_sub_e("x", "w", "m"), getattr(fn, reduce)("m", "o")
    graph.update_all(message, reducer)
    graph.apply_edges(message)
    expected = graph.ndata["o"], graph.edata["m"]
    for most in (1, 7, 59):
        monkeypatch.setattr(_integers, "_MOST_ELEMENTS", most)
        graph.update_all(message, reducer)
        graph.apply_edges(message)
        same(graph.ndata["o"], expected[0])
        same(graph.edata["m"], expected[1])


def test_beside_floating_point() -> None:
    graph = graph_form("shuffled")
    count, weight = torch.arange(11), torch.rand(30, dtype=torch.float64)
    graph.ndata["c"], graph.edata["w"] = count, weight.requires_grad_()
    graph.ndata["f"] = count.double()
    for op in ("add", "sub", "mul", "div", "dot"):
        for reducer in (fn.sum, fn.mean, fn.max, fn.min):
            found = []
            for name in ("c", "f"):
                graph.update_all(getattr(fn, f"u_{op}_e")(name, "w", "m"), reducer("m", "o"))
                graph.apply_edges(getattr(fn, f"e_{op}_v")("w", name, "m"))
                out = graph.ndata["o"], graph.edata["m"]
                found.append([*out, *torch.autograd.grad(out[0].sum() + out[1].sum(), weight)])
            for a, b in zip(*found):
                same(a, b)
    half = ops.spmm_binary(*_arrays(graph), "mul", count, torch.rand(30).half())
    assert half.dtype == torch.float16
    # The mean's dtype follows torch's default.
    torch.set_default_dtype(torch.float64)
    try:
        graph.update_all(fn.copy_u("c", "m"), fn.mean("m", "o"))
    finally:
        torch.set_default_dtype(torch.float32)
    assert graph.ndata["o"].dtype == torch.float64


def _arrays(graph: hf.Graph) -> tuple[Tensor, Tensor]:
    adjacency = graph.adjacency.full()
    return adjacency.indptr, adjacency.indices


def test_functions_on_tensors() -> None:
    graph = graph_form("graph")
    edges, (indptr, indices) = edge_list(graph), _arrays(graph)
    x, w = values(11, 2, 3, dtype=torch.int16), values(30, 2, dtype=torch.int8, seed=1)
    eids = graph.adjacency.full().eids
    for how in REDUCERS:
        messages = x[[u for u, _ in edges]]
        expected = reduced(messages.flatten(1), edges, 11, how).view(11, 2, 3)
        same(getattr(HF, f"copy_u_{how}")(graph, x), expected)
        same(ops.spmm(indptr, indices, x, reduce=how), expected)
        own = reduced(w, edges, 11, how)
        same(getattr(HF, f"copy_e_{how}")(graph, w), own)
        same(ops.segment_reduce(indptr, w, reduce=how, eids=eids), own)
        same(HF.segment_reduce(torch.tensor([12, 0, 18]), w, how)[1], torch.zeros_like(own[1]))
        product = reduced((messages * w.unsqueeze(2)).flatten(1), edges, 11, how).view(11, 2, 3)
        same(ops.spmm(indptr, indices, x, reduce=how, weight=w, eids=eids), product)
        same(getattr(HF, f"u_mul_e_{how}")(graph, x, w.unsqueeze(2)), product)
    floats = ops.spmm(indptr, indices, x, weight=w.double(), eids=eids)
    same(floats, ops.spmm(indptr, indices, x.double(), weight=w.double(), eids=eids))
    same(HF.u_add_v(graph, x, x), torch.stack([x[u] + x[v] for u, v in edges]))


def test_wrong_ids_are_errors() -> None:
    x = torch.arange(4)
    indptr, indices = torch.tensor([0, 1, 2]), torch.tensor([0, 3])
    for bad, error in (
        ({"x": x[:3]}, IndexError),
        ({"indices": torch.tensor([0, -1])}, IndexError),
        ({"indptr": torch.tensor([0, 2, 1])}, ValueError),
        ({"indptr": torch.tensor([0, 1, 3])}, ValueError),
        ({"x": torch.tensor(1)}, ValueError),
        ({"weight": torch.arange(2), "eids": torch.tensor([0, 0])}, ValueError),
        ({"weight": torch.arange(2), "eids": torch.tensor([0])}, ValueError),
        ({"weight": torch.arange(3)}, ValueError),
        ({"x": x.to("meta")}, ValueError),
    ):
        with pytest.raises(error):
            ops.spmm(**{"indptr": indptr, "indices": indices, "x": x, **bad})
    with pytest.raises(ValueError, match="eids"):
        ops.segment_reduce(indptr, torch.arange(2), eids=torch.tensor([1, 1]))


def test_python_functions_give_integers_to_a_built_in_reducer() -> None:
    graph = graph_form("graph")
    graph.ndata["x"] = torch.arange(11)
    graph.update_all(lambda edges: {"m": edges.src["x"] % 3 == 0}, fn.sum("m", "votes"))
    graph.update_all(
        lambda edges: {"m": edges.src["x"] % 3 == 0},
        lambda nodes: {"mine": nodes.mailbox["m"].sum(1)},
    )
    same(graph.ndata["votes"], graph.ndata["mine"])


def test_compiles() -> None:
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13):
        pytest.skip("torch.compile of functions that take graphs is held to with torch 2.13")
    graph = graph_form("block")
    x = values(9, 3, dtype=torch.int32)

    def votes(graph: hf.Graph, x: Tensor) -> tuple[Tensor, Tensor]:
        with graph.local_scope():
            graph.srcdata["x"] = x
            graph.update_all(fn.copy_u("x", "m"), fn.sum("m", "o"))
            graph.update_all(fn.copy_u("x", "m"), fn.mean("m", "p"))
            return graph.dstdata["o"], graph.dstdata["p"]

    compiled = torch.compile(votes, fullgraph=True, dynamic=True, backend="aot_eager")
    for found, expected in zip(compiled(graph, x), votes(graph, x)):
        same(found, expected)
