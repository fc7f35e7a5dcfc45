"""What ``compare.py`` compares: messages, Python functions, passing and functions of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from compare_engine import Case, Engine, Shape, Tensors, with_gradients
from torch import Tensor

BINARY = [
    f"{lhs}_{op}_{rhs}"
    for op in ("add", "sub", "mul", "div", "dot")
    for lhs in "uve"
    for rhs in "uve"
    if lhs != rhs
]
MESSAGES = ["copy_u", "copy_e", *BINARY]
REDUCERS = ("sum", "mean", "max", "min")
DTYPES = {"float32": torch.float32, "float64": torch.float64}

SHAPES: dict[str, dict[str, Shape]] = {
    "scalar": {"u": (), "v": (), "e": ()},
    **{f"width {n}": {"u": (n,), "v": (n,), "e": (n,)} for n in (1, 3, 5, 32)},
    "heads, e (4, 1)": {"u": (4, 8), "v": (4, 8), "e": (4, 1)},
    "heads, e (1, 8)": {"u": (4, 8), "v": (4, 8), "e": (1, 8)},
    "heads, v (1, 8)": {"u": (4, 1), "v": (1, 8), "e": (4, 8)},
    "fewer dimensions": {"u": (4, 8), "v": (8,), "e": (1,)},
}


def sides(message: str) -> str:
    """The operands of a message: "u", "ue", ..."""
    return message[-1] if message.startswith("copy") else message[0] + message[-1]


NO_EDGES = "gradients of max and min without any edge: DGL sends them to source 0, or fails"
INFINITE = "max and min of dgl.ops without in-edges: DGL's infinities are read as 0"


def lacks_edges(graph: str, reducer: str) -> bool:
    """Whether DGL's gradient is wrong: see :data:`NO_EDGES`."""
    return graph.startswith("no_edges") and reducer in ("max", "min")


# --- built-in messages ---


def run_message(
    engine: Engine, graph: str, message: str, reducer: str, shape: str, dtype: str
) -> Tensors:
    """``update_all`` or ``apply_edges`` with a built-in."""
    fn = engine.module("function")
    g = engine.graph(graph)
    leaves = {s: engine.leaf(graph, s, SHAPES[shape][s], DTYPES[dtype]) for s in sides(message)}
    frames = {"u": g.srcdata, "v": g.dstdata, "e": g.edata}
    for side, x in leaves.items():
        frames[side][f"x_{side}"] = x
    function = getattr(fn, message)(*(f"x_{side}" for side in sides(message)), "m")
    if reducer == "apply_edges":
        g.apply_edges(function)
        return with_gradients({"out": g.edata["m"]}, leaves)
    g.update_all(function, getattr(fn, reducer)("m", "out"))
    outputs = {"out": g.dstdata["out"]}
    return outputs if lacks_edges(graph, reducer) else with_gradients(outputs, leaves)


def message_cases() -> Iterator[Case]:
    """All messages, all reducers, all shapes."""
    for graph in ("graph", "graph32", "block", "no_edges", "no_edges_block"):
        for dtype in DTYPES:
            for shape in SHAPES:
                if graph == "graph32" and shape not in ("width 3", "heads, e (4, 1)"):
                    continue
                for message in MESSAGES:
                    for reducer in (*REDUCERS, "apply_edges"):
                        given = (graph, message, reducer, shape, dtype)
                        yield Case(
                            f"messages {reducer}", graph, f"{message}, {shape}, {dtype}",
                            partial(_with_engine, run_message, given),
                            but=NO_EDGES if lacks_edges(graph, reducer) else None,
                        )  # fmt: skip


def _with_engine(function: Any, given: tuple[Any, ...], engine: Engine) -> Tensors:
    found: Tensors = function(engine, *given)
    return found


# --- Python functions and passing over some edges ---


def message_udf(edges: Any) -> Tensors:
    """Reads all that an edge has."""
    return {"m": edges.src["u"] * edges.data["e"] - edges.dst["v"]}


def reduce_udf(nodes: Any) -> Tensors:
    """Depends on the order of the messages."""
    box = nodes.mailbox["m"]
    place = torch.arange(1, box.shape[1] + 1, dtype=box.dtype).view(1, -1, 1)
    return {"out": (box * place).sum(1) + nodes.data["v"]}


def softmax_udf(nodes: Any) -> Tensors:
    """Softmax over the messages, and their spread."""
    box = nodes.mailbox["m"]
    return {"out": (torch.softmax(box, 1) * box).sum(1), "more": box.amax(1) - box.amin(1)}


def apply_udf(nodes: Any) -> Tensors:
    """Keeps what was reduced."""
    return {"out": nodes.data["out"] + 1, "twice": nodes.data["v"] * 2}


NODES, EIDS = [3, 0, 4, 7], [5, 2, 7, 0, 31]
PASSES = {
    "update_all": lambda g, *f: g.update_all(*f),
    "send_and_recv ids": lambda g, *f: g.send_and_recv(EIDS, *f),
    "send_and_recv pairs": lambda g, *f: g.send_and_recv(g.find_edges([1, 3, 8]), *f),
    "push": lambda g, *f: g.push(NODES, *f),
    "pull": lambda g, *f: g.pull(NODES, *f),
    "pull no in-edges": lambda g, *f: g.pull([2, 23, 0], *f),
}


def function_pairs(fn: Any) -> dict[str, tuple[Any, Any]]:
    """Message and reduce functions, in Python and built in."""
    return {
        "python, python": (message_udf, reduce_udf),
        "python, softmax": (message_udf, softmax_udf),
        "python, sum": (message_udf, fn.sum("m", "out")),
        "python, max": (message_udf, fn.max("m", "out")),
        "u_mul_e, python": (fn.u_mul_e("u", "e", "m"), reduce_udf),
        "copy_u, python": (fn.copy_u("u", "m"), softmax_udf),
        "u_mul_e, mean": (fn.u_mul_e("u", "e", "m"), fn.mean("m", "out")),
        "u_add_v, max": (fn.u_add_v("u", "v", "m"), fn.max("m", "out")),
        "copy_e, min": (fn.copy_e("e", "m"), fn.min("m", "out")),
    }


PAIRS = ("python, python", "python, softmax", "python, sum", "python, max", "u_mul_e, python",
         "copy_u, python", "u_mul_e, mean", "u_add_v, max", "copy_e, min")  # fmt: skip


def run_pass(engine: Engine, graph: str, what: str, pair: str, form: str, dtype: str) -> Tensors:
    """Passing over all edges or some, into a new column or one that is there."""
    g = engine.graph(graph)
    leaves = {s: engine.leaf(graph, s, (3,), DTYPES[dtype]) for s in "uve"}
    g.srcdata["u"], g.dstdata["v"], g.edata["e"] = leaves["u"], leaves["v"], leaves["e"]
    if form == "old":
        g.dstdata["out"] = -torch.ones(g.num_dst_nodes(), 3, dtype=DTYPES[dtype])
    functions = function_pairs(engine.module("function"))[pair]
    PASSES[what](g, *functions, *([apply_udf] if form == "apply" else []))
    got = {k: g.dstdata[k] for k in ("out", "more", "twice") if k in g.dstdata}
    return with_gradients(got, leaves)


def run_some_edges(engine: Engine, graph: str, message: str, dtype: str) -> Tensors:
    """``apply_edges`` on some edges."""
    g = engine.graph(graph)
    leaves = {s: engine.leaf(graph, s, (3,), DTYPES[dtype]) for s in "uve"}
    g.srcdata["u"], g.dstdata["v"], g.edata["e"] = leaves["u"], leaves["v"], leaves["e"]
    fn = engine.module("function")
    given = sides(message) if message != "python" else ""
    function = message_udf if not given else getattr(fn, message)(*given, "m")
    g.apply_edges(function, edges=EIDS)
    return with_gradients({"out": g.edata["m"]}, leaves)


def known_of_pass(graph: str, what: str, pair: str, form: str) -> str | None:
    """Why DGL is not to be matched, if so."""
    if graph == "block" and what != "update_all":
        return "on a block DGL reads the sources' columns for the destinations'"
    infinite = what == "pull no in-edges" or (what == "update_all" and form == "apply")
    if pair.split(", ")[1] in ("max", "min") and infinite:
        return "DGL gives infinity for max and min without in-edges in pull and apply functions"
    return None


def pass_cases() -> Iterator[Case]:
    """Every way of passing with every pair of functions."""
    for graph in ("graph", "block", "graph32"):
        for what in PASSES:
            for pair in PAIRS:
                for form in ("new", "old", "apply"):
                    for dtype in DTYPES:
                        run = partial(_with_engine, run_pass, (graph, what, pair, form, dtype))
                        known = known_of_pass(graph, what, pair, form)
                        name = f"{pair}, {form}, {dtype}"
                        yield Case(f"passing {what}", graph, name, run, known)
        for message in ("python", *MESSAGES):
            for dtype in DTYPES:
                run = partial(_with_engine, run_some_edges, (graph, message, dtype))
                yield Case("passing apply_edges some", graph, f"{message}, {dtype}", run)


# --- functions of a graph and tensors ---


def run_function(
    engine: Engine, graph: str, name: str, given: str, shape: str, dtype: str
) -> Tensors:
    """One of the names of ``dgl.ops`` that are generated."""
    modules = ("ops",) if engine.name == "dgl" else ("functional",)
    function = engine.find(name, *modules)
    leaves = {s: engine.leaf(graph, s, SHAPES[shape][s], DTYPES[dtype]) for s in given}
    out = function(engine.graph(graph), *leaves.values())
    reducer = name.rpartition("_")[2]
    if lacks_edges(graph, reducer):
        return {"out": out}
    if engine.name == "dgl" and reducer in ("max", "min"):
        out = out.masked_fill(out.isinf(), 0)
    return with_gradients({"out": out}, leaves)


def run_segments(engine: Engine, reducer: str, dtype: str) -> Tensors:
    """``dgl.ops.segment_reduce``, with empty segments at both ends and between."""
    modules = ("ops",) if engine.name == "dgl" else ("functional",)
    x = engine.leaf("graph", "e", (3,), DTYPES[dtype])
    lengths = torch.tensor([0, 10, 0, 1, 59, 20, 0])
    out = engine.find("segment_reduce", *modules)(lengths, x, reducer)
    return with_gradients({"out": out}, {"value": x})


def run_softmax(
    engine: Engine, graph: str, shape: Shape, norm_by: str, eids: list[int] | None, dtype: str
) -> Tensors:
    """``edge_softmax`` over all edges, or over those given."""
    modules = ("nn.functional", "functional", "nn")
    function = engine.find("edge_softmax", *modules)
    logits = engine.leaf(graph, "e", shape, DTYPES[dtype])
    g = engine.graph(graph)
    given: Tensor = logits if eids is None else logits[eids]
    options = {} if eids is None else {"eids": torch.tensor(eids)}
    return with_gradients(
        {"out": function(g, given, norm_by=norm_by, **options)}, {"logits": logits}
    )


def function_cases() -> Iterator[Case]:
    """The names of ``dgl.ops``."""
    names = {f"copy_{s}_{r}": s for s in "ue" for r in REDUCERS}
    names |= {f"u_{op}_e_{r}": "ue" for op in ("add", "sub", "mul", "div") for r in REDUCERS}
    names |= {"copy_u": "u", "copy_v": "v"} | {name: sides(name) for name in BINARY}
    for graph in ("graph", "block", "no_edges", "no_edges_block"):
        for name, given in names.items():
            for shape in ("width 3", "heads, e (4, 1)", "heads, e (1, 8)"):
                for dtype in DTYPES:
                    run = partial(_with_engine, run_function, (graph, name, given, shape, dtype))
                    reducer = name.rpartition("_")[2]
                    but = INFINITE if reducer in ("max", "min") else None
                    but = NO_EDGES if lacks_edges(graph, reducer) else but
                    yield Case("functions", graph, f"{name}, {shape}, {dtype}", run, but=but)
        for shape in ((1,), (4, 1), (4, 8)):
            for norm_by in ("dst", "src"):
                for eids in (None, EIDS):
                    if eids and graph.startswith("no_edges"):
                        continue
                    for dtype in DTYPES:
                        run = partial(
                            _with_engine, run_softmax, (graph, shape, norm_by, eids, dtype)
                        )
                        some = "all" if eids is None else "some"
                        yield Case(
                            "edge_softmax", graph, f"{shape} {norm_by} {some} edges {dtype}", run
                        )
    for reducer in REDUCERS:
        for dtype in DTYPES:
            run = partial(_with_engine, run_segments, (reducer, dtype))
            yield Case("functions", "graph", f"segment_reduce {reducer}, {dtype}", run)
