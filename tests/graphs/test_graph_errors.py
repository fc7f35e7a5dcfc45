"""Wrong input is refused by a message that names the operand, what was expected and what came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import hopflow as hf
import hopflow.function as fn

REFUSALS = (ValueError, IndexError, TypeError, KeyError, hf.HopflowError)
SRC, DST = [0, 1, 2, 2], [1, 2, 0, 1]
LONG = torch.int64


@pytest.fixture
def graph() -> hf.Graph:
    """Three nodes, four edges, a column on each side."""
    made = hf.graph((SRC, DST))
    made.ndata["h"], made.edata["w"] = torch.ones(3, 2), torch.ones(4, 2)
    return made


def refused(error: type[Exception], words: str, call: Callable[[], Any]) -> None:
    """The call raises exactly this kind of error, and the message has every word."""
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) in REFUSALS, type(caught.value)
    message = str(caught.value)
    missing = [word for word in words.split("|") if word not in message]
    assert not missing, f"{missing} not in: {message}"


BAD_IDS: list[tuple[str, Any, type[Exception], str]] = [
    ("negative", [0, -1], IndexError, "[1] is -1|expected 0 <= id < 3"),
    ("as many as nodes", [3], IndexError, "[0] is 3|expected 0 <= id < 3"),
    ("2**40", torch.tensor([0, 2**40]), IndexError, "[1] is 1099511627776"),
    ("-2**63", torch.tensor([-(2**63)]), IndexError, "is -9223372036854775808"),
    ("2**70", [2**70], TypeError, "expected integer ids"),
    ("2**63 unsigned", np.array([2**63], dtype=np.uint64), TypeError, "int64"),
    ("floats", [0.5], TypeError, "expected integer ids|float"),
    ("whole floats", torch.tensor([1.0]), TypeError, "expected integer ids|float32"),
    ("nan", [float("nan")], TypeError, "expected integer ids|float"),
    ("complex", torch.tensor([1j]), TypeError, "expected integer ids|complex64"),
    ("two dimensions", [[0, 1]], ValueError, "expected 1 dimension|[1, 2]"),
    ("empty, two dimensions", torch.empty(0, 2, dtype=LONG), ValueError, "1 dimension|[0, 2]"),
    ("ragged", [[0], [1, 2]], TypeError, "expected integer ids|list"),
    ("None", [None], TypeError, "expected integer ids|list"),
    ("text", "01", TypeError, "expected ids|str"),
    ("texts", ["0", "1"], TypeError, "expected integer ids|list"),
    ("dict", {0: 1}, (TypeError, ValueError), "expected"),
    ("set", {0, 1}, TypeError, "expected integer ids|set"),
    ("object", object(), TypeError, "expected integer ids|object"),
    ("meta", torch.empty(2, dtype=LONG, device="meta"), ValueError, "meta"),
    ("sparse", torch.tensor([0, 1]).to_sparse(), TypeError, "sparse"),
]
ID_TAKERS: dict[str, tuple[str, Callable[[hf.Graph, Any], Any]]] = {
    "sample_neighbors": ("nodes", lambda g, x: hf.sample_neighbors(g, x, 2)),
    "in_subgraph": ("nodes", lambda g, x: hf.in_subgraph(g, x)),
    "to_block": ("dst_nodes", lambda g, x: hf.to_block(g, x)),
    "in_degrees": ("v", lambda g, x: g.in_degrees(x)),
    "out_degrees": ("u", lambda g, x: g.out_degrees(x)),
    "in_edges": ("v", lambda g, x: g.in_edges(x)),
    "out_edges": ("u", lambda g, x: g.out_edges(x)),
    "edge_ids": ("v", lambda g, x: g.edge_ids(0, x)),
    "has_edges_between": ("u", lambda g, x: g.has_edges_between(x, 0)),
    "pull": ("v", lambda g, x: g.pull(x, fn.copy_u("h", "m"), fn.sum("m", "o"))),
    "push": ("u", lambda g, x: g.push(x, fn.copy_u("h", "m"), fn.sum("m", "o"))),
    "apply_nodes": ("v", lambda g, x: g.apply_nodes(lambda nodes: {}, x)),
    "graph": ("src", lambda g, x: hf.graph((x, [0] * _length(x)), num_nodes=3)),
    "create_block": ("dst", lambda g, x: hf.create_block(([0] * _length(x), x), 3, 3)),
    "csc": ("indices", lambda g, x: hf.graph(("csc", (_one_row(x), x)))),
}


def _length(ids: Any) -> int:
    return ids.shape[0] if hasattr(ids, "shape") else len(ids) if hasattr(ids, "__len__") else 1


def _one_row(ids: Any) -> list[int]:
    """An indptr of three rows, all edges in the first."""
    return [0] + [_length(ids)] * 3


@pytest.mark.parametrize("taker", list(ID_TAKERS))
@pytest.mark.parametrize("case", BAD_IDS, ids=lambda case: case[0])
def test_bad_ids(graph: hf.Graph, case: tuple[str, Any, type[Exception], str], taker: str) -> None:
    name, call = ID_TAKERS[taker]
    what, ids, error, words = case
    if taker == "graph" and what == "text":
        return  # ("01", ...) asks for a form called "01"
    refused(error, f"{name}|{words}", lambda: call(graph, ids))


@pytest.mark.parametrize("taker", ["sample_neighbors", "in_subgraph", "to_block", "in_degrees"])
def test_bad_masks(graph: hf.Graph, taker: str) -> None:
    name, call = ID_TAKERS[taker]
    for mask in (torch.ones(4, dtype=torch.bool), np.ones((3, 1), dtype=bool), [True]):
        refused(ValueError, f"{name}|mask of 3 nodes", lambda m=mask: call(graph, m))


def test_bad_edge_lists() -> None:
    refused(ValueError, "dst|2|1", lambda: hf.graph(([0, 1], [1])))
    refused(TypeError, "src|bool", lambda: hf.graph((torch.tensor([True]), [0])))
    for data in (None, 3, "ab", {}, {("a", "b", "c"): ([0], [1])}):
        refused(TypeError, "data|(src, dst)|got", lambda d=data: hf.graph(d))
    for data in ((), ([0],), ([0], [1], [2]), ("coo", ([0], [1], [2])), ("coo", 3), ("csc", [[0]])):
        refused(ValueError, "data", lambda d=data: hf.graph(d))
    refused(ValueError, "csx|csr", lambda: hf.graph(("csx", ([0], [1]))))


def test_bad_sizes() -> None:
    for bad in (2.0, "3", True, [3], torch.tensor([3, 4])):
        refused(TypeError, "num_nodes|int", lambda n=bad: hf.graph((SRC, DST), num_nodes=n))
    refused(ValueError, "num_nodes|-1", lambda: hf.graph((SRC, DST), num_nodes=-1))
    refused(IndexError, "src[2] is 2|< 2", lambda: hf.graph((SRC, DST), num_nodes=2))
    refused(IndexError, "dst[0] is 1|< 1", lambda: hf.create_block(([0], [1]), 1, 1))
    refused(TypeError, "num_dst_nodes", lambda: hf.create_block(([0], [1]), 1, 1.5))
    # Ids that would need petabytes of index.
    for huge in (2**50, 2**62, 2**63 - 1):
        refused(ValueError, "num_nodes", lambda n=huge: hf.graph(([n], [0])))


@pytest.mark.parametrize("kind", ["csc", "csr"])
def test_bad_compressed_forms(kind: str) -> None:
    bad: list[tuple[Any, type[Exception], str]] = [
        (([], [], []), ValueError, "indptr|at least one"),
        (([1, 2], [0], []), ValueError, "indptr|expected 0|1"),
        (([0, 2, 1, 2], [0, 1], []), ValueError, "indptr|falls from 2 to 1"),
        (([0, -1, 2], [0, 1], []), ValueError, "indptr|-1"),
        (([0, 1, 3], [0, 1], []), ValueError, "indptr|2|3"),
        (([0, 1, 1], [0, 1], []), ValueError, "indptr|2|1"),
        (([0, 2**40, 2], [0, 1], []), ValueError, "indptr"),
        (([0, 1, 2**63 - 1], [0, 1], []), ValueError, "indptr"),
        (([0, 0.5, 2], [0, 1], []), TypeError, "indptr|float"),
        (([0, 1, 2], [0, -1], []), IndexError, "indices[1] is -1"),
        (([0, 1, 2], [0, 1], [0]), ValueError, "eids|2|1"),
        (([0, 1, 2], [0, 1], [0, 0]), ValueError, "eids|edge 0 twice"),
        (([0, 1, 2], [0, 1], [0, 2]), IndexError, "eids[1] is 2"),
        (([0, 1, 2], [0, 1], [-1, 0]), IndexError, "eids[0] is -1"),
        (([0, 1, 2], [0, 1], [0.0, 1.0]), TypeError, "eids|float"),
        (([0, 1, 2], [0, 1], 3, 4), ValueError, "data"),
    ]
    for arrays, error, words in bad:
        refused(error, words, lambda a=arrays: hf.graph((kind, a)))
    arrays = ([0, 1, 2], [0, 7], [])
    refused(IndexError, "indices[1] is 7|< 3", lambda: hf.graph((kind, arrays), num_nodes=3))
    arrays = ([0, 1, 2], [0, 0], [])
    refused(ValueError, "indptr|1 rows|2", lambda: hf.graph((kind, arrays), num_nodes=1))


def test_bad_idtypes_and_devices() -> None:
    for bad in (torch.float32, torch.int16, "int32", int):
        refused(TypeError, "idtype|int32", lambda t=bad: hf.graph((SRC, DST), idtype=t))
    meta = torch.empty(2, dtype=LONG, device="meta")
    refused(ValueError, "src|meta", lambda: hf.graph((meta, meta)))


def test_bad_scipy_matrix() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    refused(ValueError, "square|(2, 3)", lambda: hf.graph(sparse.eye(2, 3)))


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_bad_columns(graph: hf.Graph) -> None:
    def put(frame: Any, key: Any, value: Any) -> Callable[[], None]:
        return lambda: frame.__setitem__(key, value)

    for value in ([1, 2, 3], np.ones(3), 1.0, None, "x"):
        refused(TypeError, "node column 'x'|torch.Tensor", put(graph.ndata, "x", value))
    refused(ValueError, "node column 'x'|3 nodes|[4, 2]", put(graph.ndata, "x", torch.ones(4, 2)))
    refused(ValueError, "edge column 'x'|4 edges|[3]", put(graph.edata, "x", torch.ones(3)))
    refused(ValueError, "node column 'x'|[]", put(graph.ndata, "x", torch.tensor(1.0)))
    refused(ValueError, "'x'|meta|cpu", put(graph.ndata, "x", torch.ones(3, device="meta")))
    for layout in (torch.eye(3).to_sparse(), torch.eye(3).to_sparse_csr()):
        refused(TypeError, "node column 'x'|sparse", put(graph.ndata, "x", layout))
    refused(TypeError, "column name|int", put(graph.ndata, 1, torch.ones(3)))
    refused(KeyError, "'nope'|'h'", lambda: graph.ndata["nope"])
    refused(KeyError, "edge|'nope'", lambda: graph.edata.pop("nope"))
    refused(KeyError, "'nope'", lambda: graph.ndata.__delitem__("nope"))
    refused(KeyError, "node|'nope'", lambda: graph.ndata.is_read("nope"))
    assert (list(graph.ndata), list(graph.edata)) == (["h"], ["w"])


def test_bad_functions(graph: hf.Graph) -> None:
    copy, total = fn.copy_u("h", "m"), fn.sum("m", "o")
    for bad in (None, "copy_u", total, fn.copy_u):
        refused(TypeError, "message function|copy_u", lambda f=bad: graph.update_all(f, total))
        refused(TypeError, "message function", lambda f=bad: graph.apply_edges(f))
        refused(TypeError, "message function", lambda f=bad: graph.pull([], f, total))
    for bad in (None, "sum", copy, fn.sum):
        refused(TypeError, "reduce function|mean", lambda f=bad: graph.update_all(copy, f))
        refused(TypeError, "reduce function", lambda f=bad: graph.send_and_recv([], copy, f))
    for bad in ("sum", copy, total, fn.sum):
        refused(TypeError, "apply_node_func", lambda f=bad: graph.update_all(copy, total, f))
        refused(TypeError, "apply_node_func", lambda f=bad: graph.apply_nodes(f))
    refused(ValueError, "'m'|'x'", lambda: graph.update_all(copy, fn.sum("x", "o")))
    refused(IndexError, "edges[0] is 4|edges", lambda: graph.apply_edges(copy, edges=[4]))
    refused(ValueError, "edges|tuple of 3", lambda: graph.apply_edges(copy, edges=([0], [1], [0])))
    refused(ValueError, "edges[1]|2|3", lambda: graph.apply_edges(copy, edges=([0, 1], [1, 2, 0])))
    refused(ValueError, "no edge from 0 to 2", lambda: graph.send_and_recv(([0], [2]), copy, total))
    refused(ValueError, "etype|'x'", lambda: graph.update_all(copy, total, etype="x"))
    refused(ValueError, "ntype|'x'", lambda: graph.apply_nodes(lambda nodes: {}, ntype="x"))
    refused(TypeError, "u|int", lambda: fn.copy_u(1, "m"))
    refused(TypeError, "out|NoneType", lambda: fn.u_mul_e("h", "w", None))
    refused(TypeError, "msg", lambda: fn.sum(3, "o"))
    refused(KeyError, "'x'|'h'", lambda: graph.update_all(fn.copy_u("x", "m"), total))
    refused(KeyError, "edge|'x'", lambda: graph.apply_edges(fn.u_add_e("h", "x", "m")))
    assert list(graph.ndata) == ["h"]


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_update_all_takes_no_complex_numbers(graph: hf.Graph, dtype: torch.dtype) -> None:
    graph.ndata["k"], graph.edata["k"] = torch.ones(3, 2).to(dtype), torch.ones(4, 2).to(dtype)
    name = str(dtype).replace("torch.", "")
    for reducer in (fn.sum, fn.mean, fn.max, fn.min):
        for message in (fn.copy_u, fn.copy_e):
            pair = message("k", "m"), reducer("m", "o")
            refused(TypeError, f"float32|{name}", lambda p=pair: graph.update_all(*p))
        pair = fn.u_add_v("k", "k", "m"), reducer("m", "o")
        refused(TypeError, f"float32|{name}", lambda p=pair: graph.update_all(*p))
    assert "o" not in graph.ndata
    graph.apply_edges(fn.copy_u("k", "c"))
    assert graph.edata["c"].dtype == dtype


def test_operands_that_do_not_go_together(graph: hf.Graph) -> None:
    graph.edata["three"] = torch.ones(4, 3)
    graph.edata["double"] = torch.ones(4, 2, dtype=torch.float64)
    total = fn.sum("m", "o")
    for op in ("add", "sub", "mul", "div", "dot"):
        function = getattr(fn, f"u_{op}_e")
        wrong = function("h", "three", "m")
        refused(ValueError, "[2]|[3]", lambda f=wrong: graph.apply_edges(f))
        refused(ValueError, "[2]|[3]", lambda f=wrong: graph.update_all(f, total))
        # DGL refuses operands of two dtypes; so does u_dot_v.
        mixed = function("h", "double", "m")
        refused(TypeError, "float32|float64", lambda f=mixed: graph.apply_edges(f))
        refused(TypeError, "float32|float64", lambda f=mixed: graph.update_all(f, total))


def test_bad_options_of_sampling(graph: hf.Graph) -> None:
    for bad in (1.5, None, "2", True, [2], torch.tensor(1.5), torch.tensor([1, 2])):
        refused(TypeError, "fanout|int", lambda f=bad: hf.sample_neighbors(graph, [0], f))
    for bad in (-2, 2**31, 2**63, 2**70):
        refused(ValueError, "fanout", lambda f=bad: hf.sample_neighbors(graph, [0], f))
    refused(ValueError, "edge_dir|both", lambda: hf.sample_neighbors(graph, [0], 1, "both"))
    refused(ValueError, "prob|[4, 2]", lambda: hf.sample_neighbors(graph, [0], 1, prob="w"))
    refused(KeyError, "nope|'w'", lambda: hf.sample_neighbors(graph, [0], 1, prob="nope"))
    refused(TypeError, "prob|int", lambda: hf.sample_neighbors(graph, [0], 1, prob=3))
    for bad in (-1.0, float("nan"), float("inf"), -float("inf")):
        w = torch.tensor([1.0, 1.0, bad, 1.0])
        refused(ValueError, "prob|edge 2", lambda w=w: hf.sample_neighbors(graph, [0], 1, prob=w))
    for bad in (torch.ones(3), torch.ones(4, 1), torch.ones(())):
        refused(
            ValueError, "prob|4 edges", lambda w=bad: hf.sample_neighbors(graph, [0], 1, prob=w)
        )
    complex_ones = torch.ones(4, dtype=torch.complex64)
    refused(TypeError, "prob|real", lambda: hf.sample_neighbors(graph, [0], 1, prob=complex_ones))
    for error, bad in (
        (IndexError, [4]),
        (IndexError, [-1]),
        (TypeError, [0.5]),
        (ValueError, {"x": []}),
    ):
        refused(
            error,
            "exclude_edges",
            lambda e=bad: hf.sample_neighbors(graph, [0], 1, exclude_edges=e),
        )
    for bad in ("a", 1.5, None, True):
        refused(TypeError, "seed|int", lambda s=bad: hf.seed(s))


def test_bad_options_of_transforms(graph: hf.Graph) -> None:
    block = hf.to_block(graph)
    for call in (
        hf.add_reverse_edges,
        hf.add_self_loop,
        hf.remove_self_loop,
        hf.to_block,
        lambda g: hf.in_subgraph(g, [0]),
        lambda g: hf.out_subgraph(g, [0]),
        lambda g: hf.sample_neighbors(g, [0], 1),
    ):
        refused(ValueError, "graph|block", lambda c=call: c(block))
        refused(TypeError, "graph|NoneType", lambda c=call: c(None))
    refused(ValueError, "dst_nodes|distinct|1", lambda: hf.to_block(graph, [0, 1, 1, 2]))
    refused(ValueError, "dst_nodes|3 of 4", lambda: hf.to_block(graph, [0]))
    refused(ValueError, "dst_nodes|4 of 4", lambda: hf.to_block(graph, []))
    part = hf.in_subgraph(graph, [1, 0])
    refused(ValueError, "dst_nodes|2 of 3", lambda: hf.to_block(part, [2, 0]))
    refused(TypeError, "include_dst", lambda: hf.to_block(graph, include_dst_in_src="no"))
    refused(ValueError, "src_nodes", lambda: hf.to_block(graph, src_nodes=[0]))
    refused(KeyError, "'nope'", lambda: hf.add_self_loop(graph, edge_feat_names=["nope"]))
    refused(ValueError, "form", lambda: graph.edges(form="src"))
    refused(ValueError, "order", lambda: graph.edges(order="dst"))
    refused(ValueError, "form", lambda: graph.in_edges(0, form="src"))
    refused(ValueError, "form", lambda: graph.out_edges(0, form="src"))
    refused(ValueError, "no edge from 0 to 2", lambda: graph.edge_ids([0, 0], [1, 2]))
    refused(ValueError, "v|3|2", lambda: graph.edge_ids([0, 1, 2], [0, 1]))
    refused(ValueError, "v|one node|2", lambda: graph.predecessors([0, 1]))
    refused(ValueError, "v|one node|2", lambda: graph.successors([0, 1]))
    refused(ValueError, "etype|'x'", lambda: graph.find_edges(0, etype="x"))
    refused(IndexError, "eid[1] is 4|4|edges", lambda: graph.find_edges([0, 4]))
    refused(IndexError, "vid[0] is -1", lambda: graph.has_nodes(-1))
    refused(ValueError, "eid|mask of 4 edges", lambda: graph.find_edges([True]))


def test_after_a_refusal_everything_still_works(graph: hf.Graph) -> None:
    with pytest.raises(IndexError):
        hf.sample_neighbors(graph, [99], 2)
    with pytest.raises(ValueError, match="4 edges"):
        graph.edata["w"] = torch.ones(5)
    graph.update_all(fn.copy_u("h", "m"), fn.sum("m", "o"))
    assert graph.ndata["o"].tolist() == [[1, 1], [2, 2], [1, 1]]
    assert hf.sample_neighbors(graph, [1], 1).num_edges() == 1
