"""Message, reduce and apply functions written in Python, against loops over edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from helpers import FLOATS, FORMS, IDS, edge_list, graph_form
from torch import Tensor

import hopflow as hf
import hopflow.function as fn
from hopflow.structure.frame import LazyColumn
from hopflow.udf import EdgeBatch, NodeBatch

FORMS_WITH_EDGES = [form for form in FORMS if form not in ("no_edges", "empty")]


def with_columns(graph: hf.Graph, dtype: torch.dtype = torch.float64) -> hf.Graph:
    """The graph with a column ``h`` on its sources, ``d`` on destinations, ``w`` on edges."""
    graph.srcdata["h"] = torch.rand(graph.num_src_nodes(), 3).to(dtype)
    graph.dstdata["d"] = torch.rand(graph.num_dst_nodes(), 3).to(dtype)
    graph.edata["w"] = torch.rand(graph.num_edges(), 1).to(dtype)
    return graph


def mix(edges: EdgeBatch) -> dict[str, Tensor]:
    """A message of all that an edge can read."""
    return {"m": edges.src["h"] * edges.data["w"] - edges.dst["d"], "w": edges.data["w"]}


def ordered(nodes: NodeBatch) -> dict[str, Tensor]:
    """A reducer that depends on the order of the messages and on the node."""
    box = nodes.mailbox["m"]
    place = torch.arange(1, box.shape[1] + 1, dtype=box.dtype).view(1, -1, 1)
    return {
        "out": (box * place).sum(1) + nodes.data["d"],
        "w": nodes.mailbox["w"].sum(1).squeeze(-1),
    }


def looped(graph: hf.Graph) -> tuple[Tensor, Tensor]:
    """What ``mix`` and ``ordered`` give."""
    out = torch.zeros(graph.num_dst_nodes(), 3, dtype=torch.float64)
    total = torch.zeros(graph.num_dst_nodes(), dtype=torch.float64)
    h, d, w = graph.srcdata["h"], graph.dstdata["d"], graph.edata["w"]
    for v in range(graph.num_dst_nodes()):
        mine = [(u, e) for e, (u, x) in enumerate(edge_list(graph)) if x == v]
        for place, (u, e) in enumerate(mine):
            out[v] = out[v] + (place + 1) * (h[u] * w[e] - d[v])
            total[v] = total[v] + w[e, 0]
        if mine:
            out[v] = out[v] + d[v]
    return out, total


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS_WITH_EDGES)
def test_update_all(form: str, idtype: torch.dtype) -> None:
    """Messages reach the reducer by rising edge id; nodes without in-edges get 0."""
    graph = with_columns(graph_form(form, idtype))
    graph.dstdata["out"] = torch.full((graph.num_dst_nodes(), 3), -1.0, dtype=torch.float64)
    graph.update_all(mix, ordered)
    out, total = looped(graph)
    torch.testing.assert_close(graph.dstdata["out"], out)
    torch.testing.assert_close(graph.dstdata["w"], total)
    isolated = graph.in_degrees() == 0
    assert isolated.any()
    assert not graph.dstdata["out"][isolated].any()


@pytest.mark.parametrize("reducer", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("form", FORMS_WITH_EDGES)
def test_built_ins_and_python_functions_mix(form: str, reducer: str) -> None:
    """Four ways to say the same, and their gradients."""

    def message(edges: EdgeBatch) -> dict[str, Tensor]:
        return {"m": edges.src["h"] * edges.data["w"]}

    def reduce(nodes: NodeBatch) -> dict[str, Tensor]:
        box = nodes.mailbox["m"]
        reduced = getattr(box, {"max": "amax", "min": "amin"}.get(reducer, reducer))(1)
        return {"o": reduced}

    graph = with_columns(graph_form(form))
    built_in = fn.u_mul_e("h", "w", "m"), getattr(fn, reducer)("m", "o")
    results = []
    for pair in [built_in, (built_in[0], reduce), (message, built_in[1]), (message, reduce)]:
        leaves = [graph.srcdata["h"].clone(), graph.edata["w"].clone()]
        with graph.local_scope():
            graph.srcdata["h"], graph.edata["w"] = (x.requires_grad_() for x in leaves)
            graph.update_all(*pair)
            out = graph.dstdata["o"]
        out.backward(torch.cos(torch.arange(out.numel(), dtype=out.dtype)).view(out.shape))
        results.append((out.detach(), *(x.grad for x in leaves)))
    for got in results[1:]:
        for value, want in zip(got, results[0], strict=True):
            torch.testing.assert_close(value, want)


@pytest.mark.parametrize("form", ["graph", "block", "sampled"])
def test_gradients(form: str) -> None:
    graph = with_columns(graph_form(form))

    def run(h: Tensor, d: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        with graph.local_scope():
            graph.srcdata["h"], graph.dstdata["d"], graph.edata["w"] = h, d, w
            if form != "block":
                graph.ndata["h"], graph.ndata["d"] = h, d
            graph.update_all(mix, ordered, lambda nodes: {"z": nodes.data["out"].tanh()})
            graph.apply_edges(mix)
            return graph.dstdata["z"], graph.edata["m"]

    columns = (graph.srcdata["h"], graph.dstdata["d"], graph.edata["w"])
    leaves = tuple(x.clone().requires_grad_() for x in columns)
    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int64, torch.int32, torch.bool], ids=str)
def test_dtypes(dtype: torch.dtype) -> None:
    """Python functions take what torch takes."""
    graph = graph_form("graph")
    graph.ndata["h"] = torch.randint(2, (11, 1)).to(dtype)

    def message(edges: EdgeBatch) -> dict[str, Tensor]:
        return {"m": edges.src["h"]}

    def reduce(nodes: NodeBatch) -> dict[str, Tensor]:
        return {"o": nodes.mailbox["m"].amax(1)}

    graph.update_all(message, reduce)
    assert graph.ndata["o"].dtype == dtype
    assert graph.ndata["o"].shape == (11, 1)
    for v in range(11):
        mine = [bool(graph.ndata["h"][u]) for u, x in edge_list(graph) if x == v]
        assert bool(graph.ndata["o"][v]) == any(mine)


def test_a_bucket_for_each_degree() -> None:
    """The reducer is called once for each distinct in-degree, rising, with its nodes."""
    graph = graph_form("graph")
    calls: list[tuple[list[int], tuple[int, ...]]] = []

    def reduce(nodes: NodeBatch) -> dict[str, Tensor]:
        assert len(nodes) == nodes.batch_size() == nodes.nodes().shape[0]
        assert list(nodes.mailbox) == ["m"]
        assert len(nodes.mailbox) == 1
        assert "m" in nodes.mailbox
        assert "x" not in nodes.mailbox
        calls.append((nodes.nodes().tolist(), tuple(nodes.mailbox["m"].shape)))
        nodes.nodes().fill_(0)
        return {"o": nodes.mailbox["m"].sum(1)}

    graph.ndata["h"] = torch.ones(11, 2, 4)
    graph.update_all(fn.copy_u("h", "m"), reduce)
    degrees = graph.in_degrees()
    assert isinstance(degrees, Tensor)
    wanted = [(degrees == d).nonzero().squeeze(1).tolist() for d in degrees.unique() if d > 0]
    assert [nodes for nodes, _ in calls] == wanted
    shapes = [(len(nodes), int(degrees[nodes[0]]), 2, 4) for nodes in wanted]
    assert [shape for _, shape in calls] == shapes
    assert graph.ndata["o"][:, 0, 0].tolist() == degrees.tolist()


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS)
def test_edge_batch(form: str, idtype: torch.dtype) -> None:
    graph = with_columns(graph_form(form, idtype))
    seen: list[EdgeBatch] = []

    def message(edges: EdgeBatch) -> dict[str, Tensor]:
        seen.append(edges)
        return {"m": edges.src["h"]}

    graph.update_all(message, fn.sum("m", "o"))
    (edges,) = seen
    assert len(edges) == edges.batch_size() == graph.num_edges()
    assert edges.canonical_etype == ("_N", "_E", "_N")
    src, dst, eids = edges.edges()
    assert src.dtype == dst.dtype == eids.dtype == idtype
    assert list(zip(src.tolist(), dst.tolist(), strict=True)) == edge_list(graph)
    assert eids.tolist() == list(range(graph.num_edges()))
    before = edge_list(graph)
    for ids in (src, dst, eids):
        ids.fill_(0)
    assert edge_list(graph) == before
    assert set(edges.src) == set(graph.srcdata)
    assert len(edges.dst) == len(graph.dstdata)
    assert torch.equal(edges.dst["d"], graph.dstdata["d"][graph.edges()[1].long()])
    assert edges.data["w"] is graph.edata["w"]
    assert "w" not in edges.src
    with pytest.raises(KeyError, match="'nope'"):
        edges.src["nope"]


def test_columns_are_gathered_when_read() -> None:
    """Columns of a block that no function reads are not gathered from the parent graph."""
    graph = with_columns(graph_form("graph"))
    seeds = torch.tensor([3, 1, 7])
    block = hf.to_block(hf.in_subgraph(graph, seeds), seeds)
    block.update_all(lambda e: {"m": e.src["h"]}, lambda n: {"o": n.mailbox["m"].sum(1)})
    assert block.srcdata.is_read("h")
    assert not block.srcdata.is_read("d")
    assert not block.edata.is_read("w")
    assert not block.dstdata.is_read("d")
    assert not block.dstdata.is_read("h")


def test_messages_that_are_not_read_are_not_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    from hopflow.structure import row_view as rows

    taken: list[str] = []
    take = rows.take_rows
    monkeypatch.setattr(rows, "take_rows", lambda n, c, i: (taken.append(n), take(n, c, i))[1])
    graph = with_columns(graph_form("graph"))
    graph.update_all(
        lambda e: {"m": e.data["w"], "big": e.data["w"]}, lambda n: {"o": n.mailbox["m"].sum(1)}
    )
    assert set(taken) == {"m"}


@pytest.mark.parametrize("form", ["no_edges", "empty"])
def test_no_edges(form: str) -> None:
    """A built-in reducer gives 0; a Python reducer is not called and writes nothing, as in DGL."""
    graph = with_columns(graph_form(form))
    graph.update_all(mix, fn.max("m", "o"))
    assert graph.ndata["o"].shape == (graph.num_nodes(), 3)
    assert not graph.ndata["o"].any()
    graph.update_all(mix, lambda nodes: pytest.fail("no node has messages"))
    graph.update_all(fn.copy_u("h", "m"), ordered, lambda nodes: {"z": nodes.data["d"] + 1})
    assert torch.equal(graph.ndata["z"], graph.ndata["d"] + 1)
    assert sorted(graph.ndata) == ["d", "h", "o", "z"]
    graph.apply_edges(mix)
    assert graph.edata["m"].shape == (0, 3)


def test_apply_node_func_replaces_what_was_reduced() -> None:
    """It sees the new columns over the old ones; only what it returns is written, as in DGL."""
    graph = with_columns(graph_form("graph"))
    graph.ndata["o"] = torch.full((11, 3), -1.0, dtype=torch.float64)
    seen: list[NodeBatch] = []

    def apply(nodes: NodeBatch) -> dict[str, Tensor]:
        seen.append(nodes)
        assert set(nodes.data) == wanted_columns
        return {"z": nodes.data["o"] + nodes.data["d"]}

    wanted_columns = {"d", "h", "o"}
    for reduce in (fn.sum("m", "o"), lambda nodes: {"o": nodes.mailbox["m"].sum(1)}):
        graph.update_all(fn.copy_u("h", "m"), reduce, apply)
        nodes = seen.pop()
        assert nodes.nodes().tolist() == list(range(11))
        assert len(nodes.mailbox) == 0
        wanted_columns.add("z")
        src, dst = graph.edges()
        wanted = torch.zeros(11, 3, dtype=torch.float64)
        wanted.index_add_(0, dst, graph.ndata["h"][src])
        torch.testing.assert_close(graph.ndata["z"], wanted + graph.ndata["d"])
        assert (graph.ndata["o"] == -1).all()


def named(nodes: Any) -> Any:
    """A function whose name errors are to give."""
    return named.result(nodes)  # type: ignore[attr-defined]


BAD_RESULTS: list[tuple[Callable[[int], Any], type[Exception], str]] = [
    (lambda n: torch.ones(n), TypeError, "expected a dict of tensors, got Tensor"),
    (lambda n: None, TypeError, "expected a dict of tensors, got NoneType"),
    (lambda n: {0: torch.ones(n)}, TypeError, "expected names of columns, got int"),
    (lambda n: {"o": [1.0] * n}, TypeError, "'o': expected a tensor, got list"),
    (lambda n: {"o": torch.ones(n).to_sparse()}, TypeError, "'o': expected a dense tensor"),
    (lambda n: {"o": torch.ones(n + 1, 2)}, ValueError, "'o': expected {n} rows, one for each"),
    (lambda n: {"o": torch.tensor(1.0)}, ValueError, "got shape []"),
    (lambda n: {"o": torch.ones(n, device="meta")}, ValueError, "'o' is on meta"),
]


@pytest.mark.parametrize("case", range(len(BAD_RESULTS)))
def test_wrong_results_are_refused(case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the function and what came; nothing is written."""
    make, error, words = BAD_RESULTS[case]
    graph = with_columns(graph_form("graph"))
    monkeypatch.setattr(named, "result", lambda batch: make(len(batch)), raising=False)
    calls: list[tuple[str, Callable[[], None]]] = [
        ("message", lambda: graph.update_all(named, fn.sum("o", "o"))),
        ("message", lambda: graph.apply_edges(named)),
        ("reduce", lambda: graph.update_all(fn.copy_u("h", "m"), named)),
        ("apply", lambda: graph.update_all(fn.copy_u("h", "m"), fn.sum("m", "s"), named)),
        ("apply", lambda: graph.apply_nodes(named)),
    ]
    for role, call in calls:
        with pytest.raises(error) as caught:
            call()
        rows = {"message": 30, "apply": 11}.get(role, int((graph.in_degrees() == 1).sum()))
        assert f"{role} function named: " in str(caught.value)
        assert words.replace("{n}", str(rows)) in str(caught.value)
    assert sorted(graph.ndata) == ["d", "h"]
    assert list(graph.edata) == ["w"]


BAD_BUCKETS: list[tuple[Callable[[NodeBatch, int], Mapping[str, Tensor]], str]] = [
    (lambda n, d: {"o": n.mailbox["m"].sum(1)} if d < 2 else {}, r"expected columns \['o'\]"),
    (lambda n, d: {"o": n.mailbox["m"][:, :, :d].sum(1)}, r"float64 \[1\], got float64 \[2\]"),
    (lambda n, d: {"o": n.mailbox["m"].sum(1).to(FLOATS[d % 2])}, "float64.*got float32"),
    (lambda n, d: {"o": n.mailbox["m"].flatten(1)}, r"float64 \[3\], got float64 \[6\]"),
]


@pytest.mark.parametrize("case", range(len(BAD_BUCKETS)))
def test_buckets_must_agree(case: int) -> None:
    function, words = BAD_BUCKETS[case]
    graph = with_columns(graph_form("graph"))
    degrees = graph.in_degrees()
    assert isinstance(degrees, Tensor)
    assert {1, 2} <= set(degrees.tolist())
    with pytest.raises(ValueError, match=f"reduce function .*at in-degree 2.*{words}"):
        graph.update_all(
            fn.copy_u("h", "m"), lambda nodes: function(nodes, nodes.mailbox["m"].shape[1])
        )
    assert "o" not in graph.ndata


def test_messages_and_reducers_must_fit() -> None:
    graph = with_columns(graph_form("graph"))
    with pytest.raises(ValueError, match="reads message 'x', but the message function writes 'm'"):
        graph.update_all(mix, fn.sum("x", "o"))
    with pytest.raises(KeyError, match="no message 'x'; there is 'm'"):
        graph.update_all(fn.copy_u("h", "m"), lambda nodes: {"o": nodes.mailbox["x"]})
    with pytest.raises(KeyError, match="'nope'"):
        graph.update_all(lambda edges: {"m": edges.dst["nope"]}, fn.sum("m", "o"))


def test_modules_and_methods_are_functions() -> None:
    """Anything that can be called: a module's errors give its class."""

    class Reduce(torch.nn.Module):
        def forward(self, nodes: NodeBatch) -> dict[str, Tensor]:
            return {"o": nodes.mailbox["m"].sum(1)}

    class Wrong(torch.nn.Module):
        def forward(self, nodes: NodeBatch) -> None:
            return None

    graph = with_columns(graph_form("graph"))
    graph.update_all(fn.copy_u("h", "m"), Reduce())
    with pytest.raises(TypeError, match="Wrong: expected a dict"):
        graph.update_all(fn.copy_u("h", "m"), Wrong())


def test_an_lstm_reducer_learns() -> None:
    """A recurrent reducer over mailboxes, as DGL's LSTM aggregator, gets its gradients."""
    lstm = torch.nn.LSTM(3, 4, batch_first=True).double()
    graph = with_columns(graph_form("block"))
    graph.update_all(
        fn.copy_u("h", "m"), lambda nodes: {"o": lstm(nodes.mailbox["m"])[1][0].squeeze(0)}
    )
    graph.dstdata["o"].sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in lstm.parameters())
    lone = graph.in_degrees() == 0
    assert not graph.dstdata["o"][lone].any()
    assert graph.dstdata["o"][~lone].any()


def test_lazy_columns_are_read_once() -> None:
    graph = graph_form("graph")
    reads: list[int] = []

    def compute() -> Tensor:
        reads.append(1)
        return torch.ones(11, 2)

    graph.ndata._columns["h"] = LazyColumn(compute)
    graph.update_all(lambda e: {"m": e.src["h"] + e.dst["h"]}, fn.sum("m", "o"))
    assert len(reads) == 1
