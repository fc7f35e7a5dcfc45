"""Message passing over some of the edges, against loops over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import FORMS, IDS, edge_list, graph_form
from torch import Tensor

import hopflow as hf
import hopflow.function as fn
from hopflow.messages import built_in as message
from hopflow.structure.adjacency import Adjacency
from hopflow.udf import EdgeBatch, NodeBatch

FORMS_WITH_EDGES = [form for form in FORMS if form not in ("no_edges", "empty")]
WIDE = torch.float64


def with_columns(graph: hf.Graph) -> hf.Graph:
    """The graph with a column ``h`` on its sources, ``d`` on destinations, ``w`` on edges."""
    graph.srcdata["h"] = torch.rand(graph.num_src_nodes(), 3, dtype=WIDE)
    graph.dstdata["d"] = torch.rand(graph.num_dst_nodes(), 3, dtype=WIDE)
    graph.edata["w"] = torch.rand(graph.num_edges(), 1, dtype=WIDE)
    return graph


def mix(edges: EdgeBatch) -> dict[str, Tensor]:
    """A message of all that an edge can read, its ids included."""
    src, dst, eid = (x.to(WIDE).unsqueeze(1) for x in edges.edges())
    ids = 100 * src + 10 * dst + eid
    return {"m": edges.src["h"] * edges.data["w"] - edges.dst["d"] + ids}


def ordered(nodes: NodeBatch) -> dict[str, Tensor]:
    """A reducer that depends on the order of the messages, the node's column and its id."""
    box = nodes.mailbox["m"]
    place = torch.arange(1, box.shape[1] + 1, dtype=WIDE).view(1, -1, 1)
    return {"o": (box * place).sum(1) + nodes.data["d"] + nodes.nodes().unsqueeze(1)}


def looped(graph: hf.Graph, eids: list[int], old: Tensor, recv: set[int] | None = None) -> Tensor:
    """``old`` with what ``mix`` and ``ordered`` give along the edges, in this order.

    ``recv`` are nodes that get 0 if nothing reaches them.
    """
    ends, out = edge_list(graph), old.clone()
    h, d, w = graph.srcdata["h"], graph.dstdata["d"], graph.edata["w"]
    for v in {ends[e][1] for e in eids} | (recv or set()):
        mine = [e for e in eids if ends[e][1] == v]
        out[v] = 0
        for place, e in enumerate(mine):
            u = ends[e][0]
            out[v] += (place + 1) * (h[u] * w[e] - d[v] + 100 * u + 10 * v + e)
        if mine:
            out[v] += d[v] + v
    return out


def minus_one(graph: hf.Graph) -> Tensor:
    """A column of destinations to be overwritten in part."""
    return torch.full((graph.num_dst_nodes(), 3), -1.0, dtype=WIDE)


@pytest.mark.parametrize("new", [True, False], ids=["new column", "existing column"])
@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS_WITH_EDGES)
def test_send_and_recv(form: str, idtype: torch.dtype, new: bool) -> None:
    """By ids, by a mask, by pairs: messages in the order given; other rows stay."""
    graph = with_columns(graph_form(form, idtype))
    count, ends = graph.num_edges(), edge_list(graph)
    ids = torch.randperm(count)[: count // 2]
    mask = torch.rand(count) < 0.4
    pairs = [ends[e] for e in ids.tolist()]
    first = [ends.index(pair) for pair in pairs]
    given: list[tuple[Any, list[int]]] = [
        (ids, ids.tolist()),
        (ids.to(idtype), ids.tolist()),
        (ids.tolist(), ids.tolist()),
        (ids.numpy(), ids.tolist()),
        (mask, mask.nonzero().squeeze(1).tolist()),
        (tuple(torch.tensor(pairs).T), first),
        (int(ids[0]), [int(ids[0])]),
        (torch.cat([ids, ids[:3]]), [*ids.tolist(), *ids[:3].tolist()]),
    ]
    for edges, wanted in given:
        with graph.local_scope():
            old = torch.zeros_like(minus_one(graph)) if new else minus_one(graph)
            if not new:
                graph.dstdata["o"] = old
            graph.send_and_recv(edges, mix, ordered)
            torch.testing.assert_close(graph.dstdata["o"], looped(graph, wanted, old))
            if not new:
                assert (old == -1).all(), "written in place"


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS_WITH_EDGES)
def test_push(form: str, idtype: torch.dtype) -> None:
    """Out-edges in the order of the nodes given, each once."""
    graph = with_columns(graph_form(form, idtype))
    ends = edge_list(graph)
    nodes = torch.randperm(graph.num_src_nodes())[:4]
    for given in (nodes, nodes.to(idtype), [*nodes.tolist(), int(nodes[1])]):
        with graph.local_scope():
            graph.dstdata["o"] = minus_one(graph)
            graph.push(given, mix, ordered)
            wanted = [e for x in nodes.tolist() for e, (u, _) in enumerate(ends) if u == x]
            torch.testing.assert_close(graph.dstdata["o"], looped(graph, wanted, minus_one(graph)))


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS_WITH_EDGES)
def test_pull(form: str, idtype: torch.dtype) -> None:
    """In-edges of the nodes given, each node once; one without in-edges gets 0."""
    graph = with_columns(graph_form(form, idtype))
    ends = edge_list(graph)
    lone = int((graph.in_degrees() == 0).nonzero()[0])
    nodes = [lone, *torch.randperm(graph.num_dst_nodes())[:4].tolist()]
    mask = torch.zeros(graph.num_dst_nodes(), dtype=torch.bool)
    mask[nodes] = True
    for given in (torch.tensor(nodes), torch.tensor(nodes, dtype=idtype), [*nodes, lone], mask):
        with graph.local_scope():
            graph.dstdata["o"] = minus_one(graph)
            graph.pull(given, mix, ordered)
            wanted = [e for e, (_, v) in enumerate(ends) if v in nodes]
            if form == "shuffled":  # in-edges come as the graph was given them
                wanted = [e for v in sorted(set(nodes)) for e in graph.in_edges(v, "eid").tolist()]
            torch.testing.assert_close(
                graph.dstdata["o"], looped(graph, wanted, minus_one(graph), set(nodes))
            )


CALLS: dict[str, Callable[..., None]] = {
    "send_and_recv": lambda g, *f: g.send_and_recv([7, 2, 3, 5], *f),
    "push": lambda g, *f: g.push([2, 5], *f),
    "pull": lambda g, *f: g.pull([1, 4, 5], *f),
}
EVERY_MESSAGE = [getattr(fn, name) for name in fn.__all__ if "_" in name]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("form", ["graph", "block"])
def test_built_ins_as_over_a_graph_of_these_edges(form: str, call: str) -> None:
    """Every pair of built-ins gives what update_all gives on the edges alone."""
    graph = graph_form(form)
    ends = edge_list(graph)
    if call == "send_and_recv":
        kept = [7, 2, 3, 5]
    elif call == "push":
        kept = [e for e, (u, _) in enumerate(ends) if u in (2, 5)]
    else:
        kept = [e for e, (_, v) in enumerate(ends) if v in (1, 4, 5)]
    eids = torch.tensor(kept)
    src, dst = graph.find_edges(eids)
    part = hf.create_block((src, dst), graph.num_src_nodes(), graph.num_dst_nodes())
    written = part.in_degrees() > 0
    if call == "pull":
        written[[1, 4, 5]] = True
    h = torch.rand(graph.num_src_nodes(), 2, 3) + 0.5
    d = h if form == "graph" else torch.rand(graph.num_dst_nodes(), 2, 3) + 0.5
    w = torch.rand(graph.num_edges(), 2, 3) + 0.5
    graph.srcdata["x"], part.srcdata["x"] = h, h
    graph.dstdata["x"], part.dstdata["x"] = d, d
    graph.edata["x"], part.edata["x"] = w, w[eids]
    for make in EVERY_MESSAGE:
        copies = make.__name__.startswith("copy")
        function = make("x", "m") if copies else make("x", "x", "m")
        for reduce in (fn.sum, fn.mean, fn.max, fn.min):
            part.update_all(function, reduce("m", "o"))
            with graph.local_scope():
                graph.dstdata["o"] = torch.full_like(part.dstdata["o"], -1.0)
                CALLS[call](graph, function, reduce("m", "o"))
                wanted = torch.where(written.view(-1, 1, 1), part.dstdata["o"], -1.0)
                torch.testing.assert_close(graph.dstdata["o"], wanted)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("form", ["graph", "block", "sampled"])
@pytest.mark.parametrize("kind", ["python", "built-in"])
def test_gradients(form: str, call: str, kind: str) -> None:
    """Back to every operand, and through the rows that stay."""
    graph = with_columns(graph_form(form))
    pair = (mix, ordered) if kind == "python" else (fn.u_mul_e("h", "w", "m"), fn.mean("m", "o"))

    def run(h: Tensor, d: Tensor, w: Tensor, o: Tensor) -> Tensor:
        with graph.local_scope():
            graph.srcdata["h"], graph.dstdata["d"] = h, d
            graph.edata["w"], graph.dstdata["o"] = w, o
            CALLS[call](graph, *pair)
            return graph.dstdata["o"]

    columns = (graph.srcdata["h"], graph.dstdata["d"], graph.edata["w"], minus_one(graph))
    leaves = tuple(x.clone().requires_grad_() for x in columns)
    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)


@pytest.mark.parametrize("call", CALLS)
def test_apply_node_func_sees_the_nodes_written(call: str) -> None:
    graph = with_columns(graph_form("graph"))
    seen: list[tuple[list[int], list[str]]] = []

    def apply(nodes: NodeBatch) -> dict[str, Tensor]:
        seen.append((nodes.nodes().tolist(), sorted(nodes.data)))
        assert torch.equal(nodes.data["d"], graph.ndata["d"][nodes.nodes()])
        return {"z": nodes.data["o"] + 1}

    with graph.local_scope():
        CALLS[call](graph, mix, ordered)
        reduced = graph.ndata["o"]
    CALLS[call](graph, mix, ordered, apply)
    ((nodes, columns),) = seen
    assert nodes == sorted(set(nodes))
    assert columns == ["d", "h", "o"]
    assert "o" not in graph.ndata
    wanted = torch.zeros(11, 3, dtype=WIDE)
    wanted[nodes] = reduced[nodes] + 1
    assert torch.equal(graph.ndata["z"], wanted)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_sent_along_no_edges(form: str) -> None:
    """No function is called, apply_node_func not either, and nothing is written."""
    graph = with_columns(graph_form(form))
    before = sorted(graph.dstdata)

    def never(batch: object) -> Any:
        pytest.fail("called")

    for none in ([], torch.empty(0, dtype=torch.int64), torch.zeros(graph.num_edges()) > 0):
        graph.send_and_recv(none, never, never, never)
    graph.push([], never, never, never)
    graph.pull([], never, never, never)
    lone = [u for u in range(graph.num_src_nodes()) if not graph.out_degrees(u)]
    graph.push(lone, never, never, never)
    assert sorted(graph.dstdata) == before


def test_pulling_from_isolated_nodes() -> None:
    """A built-in reducer writes 0, a Python reducer is not called, apply_node_func is; as DGL."""
    graph = with_columns(graph_form("graph"))
    graph.ndata["o"] = minus_one(graph)
    graph.pull([10, 9], mix, lambda nodes: pytest.fail("called"))
    assert (graph.ndata["o"] == -1).all()
    graph.pull([10, 9], mix, ordered, lambda nodes: {"z": nodes.data["d"] + nodes.data["o"]})
    assert torch.equal(graph.ndata["z"][9:], graph.ndata["d"][9:] - 1)
    assert not graph.ndata["z"][:9].any()
    graph.pull([10, 9], mix, fn.max("m", "o"))
    assert not graph.ndata["o"][9:].any()
    assert (graph.ndata["o"][:9] == -1).all()


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("form", FORMS_WITH_EDGES)
def test_apply_edges_to_some(form: str, idtype: torch.dtype) -> None:
    graph = with_columns(graph_form(form, idtype))
    ends, count = edge_list(graph), graph.num_edges()
    with graph.local_scope():
        graph.apply_edges(mix)
        everywhere = graph.edata["m"]
    for e, (u, v) in enumerate(ends):
        ids = 100 * u + 10 * v + e
        want = graph.srcdata["h"][u] * graph.edata["w"][e] - graph.dstdata["d"][v] + ids
        torch.testing.assert_close(everywhere[e], want)
    ids = torch.randperm(count)[: count // 2]
    mask = torch.rand(count) < 0.4
    pairs = [ends[e] for e in ids.tolist()]
    built_in = fn.u_dot_v("h", "d", "m")
    for function in (mix, built_in):
        with graph.local_scope():
            graph.apply_edges(function)
            full = graph.edata["m"]
        for edges, kept in (
            (ids.to(idtype), ids),
            (torch.cat([ids, ids[:3]]), ids),
            (mask, mask.nonzero().squeeze(1)),
            (tuple(torch.tensor(pairs).T), torch.tensor([ends.index(pair) for pair in pairs])),
            ([], ids[:0]),
        ):
            is_kept = torch.zeros(count, 1, dtype=torch.bool)
            is_kept[kept] = True
            with graph.local_scope():
                graph.apply_edges(function, edges)
                torch.testing.assert_close(graph.edata["m"], full * is_kept)
                graph.edata["m"] = torch.full_like(full, -1.0)
                graph.apply_edges(function, edges)
                torch.testing.assert_close(graph.edata["m"], torch.where(is_kept, full, -1.0))


def test_apply_edges_to_all_may_change_a_column() -> None:
    graph = with_columns(graph_form("graph"))
    graph.apply_edges(lambda edges: {"w": edges.data["w"].float().squeeze(1), "x": edges.src["h"]})
    assert graph.edata["w"].shape == (30,)
    assert graph.edata["w"].dtype == torch.float32
    assert torch.equal(graph.edata["x"], graph.ndata["h"][graph.edges()[0]])


@pytest.mark.parametrize("form", ["graph", "block", "sampled"])
def test_apply_nodes(form: str) -> None:
    graph = with_columns(graph_form(form))
    num_dst = graph.num_dst_nodes()

    def double(nodes: NodeBatch) -> dict[str, Tensor]:
        assert len(nodes.mailbox) == 0
        return {"d": 2 * nodes.data["d"], "id": nodes.nodes() + 1}

    before = graph.dstdata["d"].clone()
    graph.apply_nodes(double, [4, 1, 4])
    kept = torch.zeros(num_dst, dtype=torch.bool)
    kept[[1, 4]] = True
    assert torch.equal(graph.dstdata["d"], torch.where(kept.unsqueeze(1), 2 * before, before))
    assert graph.dstdata["id"].tolist() == [v + 1 if v in (1, 4) else 0 for v in range(num_dst)]
    graph.apply_nodes(double)
    assert graph.dstdata["id"].tolist() == list(range(1, num_dst + 1))
    graph.apply_nodes(lambda nodes: {"d": nodes.data["d"] - 1}, kept)
    graph.apply_nodes(double, [])
    wanted = torch.where(kept.unsqueeze(1), 4 * before - 1, 2 * before)
    torch.testing.assert_close(graph.dstdata["d"], wanted)


def test_of_a_node_or_edge_given_twice_the_last_row_stays() -> None:
    """And gradients go to that row alone."""
    graph = graph_form("graph")
    values = torch.arange(4.0, requires_grad=True)
    graph.apply_nodes(lambda nodes: {"x": values}, [3, 0, 3, 3])
    assert graph.ndata["x"][[0, 3]].tolist() == [1, 3]
    graph.ndata["x"].sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 0, 1]
    graph.apply_edges(lambda edges: {"x": values}, [3, 0, 3, 3])
    assert graph.edata["x"][[0, 3]].tolist() == [1, 3]


@pytest.mark.parametrize("call", CALLS)
def test_rows_must_go_into_the_column(call: str) -> None:
    """Another width or dtype than the column has is refused, and no column is written then."""
    graph = with_columns(graph_form("graph"))
    for wrong, came in ((torch.zeros(11), r"float32 \[\]"), (torch.zeros(11, 4), r"float32 \[4\]")):
        graph.ndata["o"] = wrong
        with pytest.raises(ValueError, match=rf"column 'o'.*{came}, got float64 \[3\]"):
            CALLS[call](graph, mix, lambda nodes: {"first": nodes.data["d"], **ordered(nodes)})
        assert graph.ndata["o"] is wrong
        assert "first" not in graph.ndata
    graph.edata["o"] = torch.zeros(30, dtype=WIDE)
    with pytest.raises(ValueError, match=r"column 'o'.*float64 \[\], got float64 \[1\]"):
        graph.apply_edges(lambda edges: {"o": edges.data["w"]}, [1])


def test_only_the_edges_concerned_are_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the kernels, and what is not made on the way."""
    graph = with_columns(graph_form("graph"))
    sizes: list[tuple[int, int]] = []
    run = message.update_all

    def watched(adjacency: Adjacency, *rest: Any) -> Tensor:
        sizes.append((adjacency.num_edges, adjacency.num_dst))
        return run(adjacency, *rest)

    monkeypatch.setattr(message, "update_all", watched)
    for name in ("transpose", "in_edge_order"):
        whole = getattr(Adjacency, name)

        def checked(self: Adjacency, *rest: Any, whole: Any = whole) -> Any:
            assert self is not graph.adjacency, "all edges"
            return whole(self, *rest)

        monkeypatch.setattr(Adjacency, name, checked)
    degrees = graph.in_degrees()
    assert isinstance(degrees, Tensor)
    graph.pull([3, 4], fn.u_mul_e("h", "w", "m"), fn.sum("m", "o"))
    graph.pull([3, 4], mix, fn.sum("m", "o"))
    assert sizes == [(int(degrees[3] + degrees[4]), 2)] * 2
    monkeypatch.undo()
    monkeypatch.setattr(message, "update_all", watched)
    graph.send_and_recv([3, 4], fn.copy_u("h", "m"), fn.sum("m", "o"))
    graph.push([3], fn.copy_u("h", "m"), fn.sum("m", "o"))
    out = graph.out_edges(3)[1]
    assert sizes[2:] == [
        (2, len(set(graph.find_edges([3, 4])[1].tolist()))),
        (out.shape[0], len(set(out.tolist()))),
    ]
