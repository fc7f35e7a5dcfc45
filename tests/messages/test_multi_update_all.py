"""multi_update_all: results of several relations merged into one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import typed_graph
from torch import Tensor

import hopflow as hf
import hopflow.function as fn

INTO_USERS = {"follows": fn.sum, "knows": fn.mean, "played_by": fn.max}


def made(graph: hf.Graph, cross: Any, functions: dict[str, Any] = INTO_USERS) -> Tensor:
    graph.multi_update_all(
        {e: (fn.copy_u("feat", "m"), f("m", "o")) for e, f in functions.items()}, cross
    )
    return graph.nodes["user"].data["o"]


def parts(graph: hf.Graph, functions: dict[str, Any] = INTO_USERS) -> list[Tensor]:
    """Of each relation alone, in the order of canonical_etypes."""
    found = []
    for relation in graph.canonical_etypes:
        if relation[1] in functions:
            one = graph[relation]
            with one.local_scope():
                one.update_all(fn.copy_u("feat", "m"), functions[relation[1]]("m", "o"))
                found.append(one.dstdata["o"])
    return found


def test_against_torch():
    graph = typed_graph()
    columns = parts(graph)
    assert torch.equal(made(graph, "sum"), torch.stack(columns).sum(0))
    assert torch.equal(made(graph, "mean"), torch.stack(columns).mean(0))
    assert torch.equal(made(graph, "stack"), torch.stack(columns, 1))
    listed = made(graph, lambda found: found[0] - 2 * found[1] + 3 * found[2])
    names = [r[1] for r in graph.canonical_etypes if r[1] in INTO_USERS]
    by_name = dict(zip(names, columns))
    # A function gets them as they are listed by the caller.
    expected = by_name["follows"] - 2 * by_name["knows"] + 3 * by_name["played_by"]
    assert torch.equal(listed, expected)


@pytest.mark.parametrize("op", ["max", "min"])
def test_a_relation_without_messages_does_not_count_among_extremes(op):
    graph = hf.heterograph(
        {("a", "r", "c"): ([0, 1], [0, 1]), ("b", "s", "c"): ([0, 0], [1, 2])},
        {"a": 2, "b": 1, "c": 4},
    )
    sign = -1 if op == "max" else 1
    graph.nodes["a"].data["h"] = sign * torch.tensor([1.0, 2.0])
    graph.nodes["b"].data["h"] = sign * torch.tensor([3.0])
    reduce = getattr(fn, op)("m", "o")
    for dtype in (torch.float32, torch.float16, torch.int32):
        for ntype in "ab":
            h = graph.nodes[ntype].data["h"]
            graph.nodes[ntype].data["h"] = h.to(dtype)
        graph.multi_update_all({e: (fn.copy_u("h", "m"), reduce) for e in "rs"}, op)
        # 0 would win over all of these values, but stands only where nothing came.
        assert graph.nodes["c"].data["o"].tolist() == [sign * x for x in (1, 2, 3, 0)]


@pytest.mark.parametrize("cross", ["sum", "mean", "max", "min", "stack"])
def test_gradients(cross):
    graph = typed_graph()
    x = {t: torch.randn(graph.num_nodes(t), 2, dtype=torch.float64) for t in ("user", "game")}
    leaves = [x["user"].requires_grad_(), x["game"].requires_grad_()]

    def function(users: Tensor, games: Tensor) -> Tensor:
        with graph.local_scope():
            graph.ndata["feat"] = {"user": users, "game": games}
            return made(graph, cross)

    assert torch.autograd.gradcheck(function, leaves, nondet_tol=0.0)


def test_several_destination_types_and_apply_functions():
    graph = typed_graph()
    called = []

    def apply(nodes: Any) -> dict[str, Tensor]:
        called.append((nodes.ntype, len(nodes)))
        return {"o": nodes.data["o"] + 1}

    graph.multi_update_all(
        {
            "plays": (fn.copy_u("feat", "m"), fn.sum("m", "o")),
            ("studio", "makes", "game"): (fn.copy_u("feat", "m"), fn.sum("m", "o")),
            "played_by": (fn.copy_u("feat", "m"), fn.sum("m", "o"), lambda n: {"o": -n.data["o"]}),
        },
        "sum",
        apply,
    )
    assert sorted(called) == [("game", 30), ("user", 50)]
    plain = typed_graph()
    plain["played_by"].update_all(fn.copy_u("feat", "m"), fn.sum("m", "o"))
    assert torch.equal(graph.nodes["user"].data["o"], 1 - plain.nodes["user"].data["o"])


def test_python_functions_know_their_types():
    graph = typed_graph()
    seen = []

    def message(edges: Any) -> dict[str, Tensor]:
        seen.append(edges.canonical_etype)
        return {"m": edges.src["feat"]}

    def reduce(nodes: Any) -> dict[str, Tensor]:
        seen.append(nodes.ntype)
        return {"o": nodes.mailbox["m"].sum(1)}

    graph.multi_update_all({"plays": (message, reduce)}, "sum")
    assert set(seen) == {("user", "plays", "game"), "game"}
    expected = parts(typed_graph(), {"plays": fn.sum})[0]
    assert torch.allclose(graph.nodes["game"].data["o"], expected, atol=1e-5)


def test_on_blocks():
    graph = typed_graph()
    block = hf.to_block(graph)
    block.multi_update_all(
        {e: (fn.copy_u("feat", "m"), f("m", "o")) for e, f in INTO_USERS.items()}, "sum"
    )
    ids = block.dstnodes["user"].data[hf.NID]
    assert torch.allclose(block.dstnodes["user"].data["o"], made(graph, "sum")[ids], atol=1e-5)


def test_errors_leave_no_column():
    graph = typed_graph()
    graph.nodes["studio"].data["feat"] = torch.ones(4, 3)
    sums = fn.copy_u("feat", "m"), fn.sum("m", "o")
    both = {"plays": sums, "makes": sums}
    for given, cross, error, match in (
        ({"plays": sums}, "median", ValueError, "cross_reducer: expected one of 'sum'"),
        ({"eats": sums}, "sum", ValueError, "etype: expected one of"),
        ({"plays": sums[0]}, "sum", TypeError, "expected \\(message_func, reduce_func\\)"),
        ([sums], "sum", TypeError, "etype_dict: expected {etype"),
        (both, "sum", ValueError, "one shape and dtype"),
        ({"plays": sums, ("user", "plays", "game"): sums}, "sum", ValueError, "once"),
        (both, lambda found: 3, TypeError, "a tensor"),
        (both, lambda found: found[0][:2], ValueError,
         "30 'game' nodes"),
    ):  # fmt: skip
        with pytest.raises(error, match=match):
            graph.multi_update_all(given, cross)
        assert "o" not in graph.ndata


def test_the_mean_of_integers_is_floating_point():
    graph = typed_graph()
    for e in ("follows", "knows"):
        graph.edges[e].data["c"] = torch.ones(graph.num_edges(e), dtype=torch.int64)
    functions = {e: (fn.copy_e("c", "m"), fn.sum("m", "o")) for e in ("follows", "knows")}
    graph.multi_update_all(functions, "mean")
    expected = sum(graph.in_degrees(etype=e) for e in ("follows", "knows")) / 2
    assert torch.equal(graph.nodes["user"].data["o"], expected)


# --- built-ins over all types of edges


@pytest.mark.parametrize("op", ["sum", "max", "min"])
def test_update_all_takes_all_types(op):
    graph, other = typed_graph(), typed_graph()
    sources = {relation[0] for relation in graph.canonical_etypes}
    for one in (graph, other):
        for ntype in sources:
            feat = one.nodes[ntype].data["feat"].flatten(1)[:, :1].clone().requires_grad_()
            one.nodes[ntype].data["x"] = feat
    message, reduce = fn.copy_u("x", "m"), getattr(fn, op)("m", "o")
    graph.update_all(message, reduce, lambda nodes: {"o": 2 * nodes.data["o"]})
    other.multi_update_all(dict.fromkeys(other.canonical_etypes, (message, reduce)), op)
    assert (
        graph.ndata["o"].keys() == other.ndata["o"].keys() == {r[2] for r in graph.canonical_etypes}
    )
    for ntype, column in graph.ndata["o"].items():
        assert torch.equal(column, 2 * other.ndata["o"][ntype])
    sum(x.sum() for x in graph.ndata["o"].values()).backward()
    sum(2 * x.sum() for x in other.ndata["o"].values()).backward()
    for ntype in sources:
        ours, theirs = (g.nodes[ntype].data["x"].grad for g in (graph, other))
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.equal(ours, theirs)


def test_apply_edges_takes_all_types():
    graph = typed_graph()
    for ntype in graph.ntypes:
        graph.nodes[ntype].data["x"] = torch.randn(graph.num_nodes(ntype), 2)
    graph.apply_edges(fn.u_dot_v("x", "x", "score"))
    for relation in graph.canonical_etypes:
        src, dst = graph.edges(etype=relation)
        ends = graph.nodes[relation[0]].data["x"][src], graph.nodes[relation[2]].data["x"][dst]
        torch.testing.assert_close(
            graph.edges[relation].data["score"].squeeze(1), (ends[0] * ends[1]).sum(1)
        )


def test_what_needs_its_type_named_says_so():
    graph = typed_graph()
    for call in (
        lambda: graph.update_all(fn.copy_u("feat", "m"), fn.mean("m", "o")),
        lambda: graph.update_all(lambda edges: {"m": edges.src["feat"]}, fn.sum("m", "o")),
        lambda: graph.update_all(fn.copy_u("feat", "m"), lambda nodes: {"o": nodes.data["feat"]}),
        lambda: graph.apply_edges(lambda edges: {"m": edges.src["feat"]}),
        lambda: graph.apply_edges(fn.copy_u("feat", "m"), edges=[0]),
    ):
        with pytest.raises(ValueError, match=r"etype: expected one of .*, got None"):
            call()
    last = graph.canonical_etypes[-1]
    graph.edges[last].data["w"] = torch.ones(graph.num_edges(last))
    with pytest.raises(KeyError, match="'w'"):
        graph.apply_edges(fn.copy_e("w", "copied"))
    assert not any("copied" in graph.edges[r].data for r in graph.canonical_etypes)


def test_one_relation_between_two_types_needs_no_name():
    for sizes in ({"u": 3, "i": 2}, {"u": 3, "i": 2, "lone": 1}):
        graph = hf.heterograph({("u", "r", "i"): ([0, 1, 2], [0, 1, 1])}, sizes)
        block = hf.to_block(graph)
        for one, source in ((graph, graph.nodes["u"]), (block, block.srcnodes["u"])):
            source.data["x"] = torch.tensor([1.0, 2.0, 4.0])
            one.update_all(fn.copy_u("x", "m"), fn.mean("m", "o"))
            one.update_all(lambda e: {"m": e.src["x"]}, lambda n: {"p": n.mailbox["m"].mean(1)})
            for name in ("o", "p"):
                assert one.dstnodes["i"].data[name].tolist() == [1, 3]
    graph = hf.heterograph({("u", "r", "i"): ([0, 1, 2], [0, 1, 1])})
    conv = hf.nn.SAGEConv(2, 2, "mean")
    pair = torch.rand(3, 2), torch.rand(2, 2)
    assert torch.equal(conv(graph, pair), conv(graph["r"], pair))
