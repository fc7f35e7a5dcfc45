"""What DGL and hopflow are both asked on graphs of several types: queries and message passing.

Every function takes the package, ``dgl`` or ``hopflow``, and a :class:`~typed_worlds.World`; what
it returns is compared, name by name. ``typed_structure.py`` has the graphs made from graphs.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from compare_engine import Case, with_gradients
from torch import Tensor
from typed_structure import structure_cases
from typed_worlds import Relation, Tensors, World, columns_of, make_world, text, typed_case

MESSAGES = {"copy_u": "x", "copy_e": "e", "u_mul_e": "xw", "u_add_v": "xy"}
REDUCERS = ("sum", "mean", "max", "min")
CROSS = ("sum", "min", "max", "mean", "stack", "callable")

NO_EDGES = "gradients of max and min without any edge: DGL sends them to source 0, or fails"
NO_IN_EDGES = "max and min in a relation without in-edges, then another reducer: DGL has infinities"


def all_cases(numbers: Iterable[int], only: str = "") -> list[Case]:
    """Every case of some worlds whose path holds a text."""
    found: list[Case] = []
    for world in map(make_world, numbers):
        found += [*message_cases(world), *structure_cases(world)]
    return [case for case in found if only in case.path]


def functions(lib: Any) -> Any:
    """``dgl.function`` or hopflow's."""
    return importlib.import_module(f"{lib.__name__}.function")


def of_relation(relation: Relation, keys: str, leaves: Mapping[str, Tensor]) -> Tensors:
    """The columns that a message of a relation reads."""
    names = {"x": f"x {relation[0]}", "y": f"y {relation[2]}"}
    names |= {key: f"{key} {relation}" for key in "we"}
    return {names[key]: leaves[names[key]] for key in keys}


# --- what a graph tells ---


def types(lib: Any, world: World) -> Tensors:
    """Names and counts."""
    g, _ = world.filled(lib)
    names = [r[1] for r in world.relations]
    short = {name: g.to_canonical_etype(name) for name in names if names.count(name) == 1}
    told = {
        "ntypes": g.ntypes,
        "etypes": g.etypes,
        "canonical_etypes": g.canonical_etypes,
        "srctypes": g.srctypes,
        "dsttypes": g.dsttypes,
        "to_canonical_etype": [short, [g.to_canonical_etype(r) for r in world.relations]],
        "metagraph": list(g.metagraph().edges(keys=True)),
        "is_homogeneous": g.is_homogeneous,
        "all nodes and edges": [g.num_nodes(), g.num_edges()],
        "num_nodes": {t: g.num_nodes(t) for t in g.ntypes},
        "num_src_nodes": [{t: g.num_src_nodes(t) for t in g.srctypes}, g.num_src_nodes()],
        "num_dst_nodes": [{t: g.num_dst_nodes(t) for t in g.dsttypes}, g.num_dst_nodes()],
        "num_edges": [g.num_edges(r) for r in g.canonical_etypes],
        "by name": {name: g.num_edges(name) for name in short},
        "ids": [g.get_ntype_id(t) for t in g.ntypes],
        "edge ids": [g.get_etype_id(r) for r in g.canonical_etypes],
        "slices": [_slice(g, r) for r in world.relations],
        "repr": repr(g) if len(g.canonical_etypes) > 1 or len(g.ntypes) > 1 else "",
    }
    found = {k: text(x) for k, x in told.items()}
    return found | {f"nodes {t}": g.nodes(t) for t in g.ntypes} | {"columns": columns_of(g)}


def _slice(g: Any, relation: Relation) -> Any:
    part = g[relation]
    return [part.ntypes, part.srctypes, part.dsttypes, part.canonical_etypes, part.num_edges(),
            part.num_src_nodes(), part.num_dst_nodes(), sorted(part.srcdata.keys()),
            sorted(part.dstdata.keys()), sorted(part.edata.keys())]  # fmt: skip


def frames(lib: Any, world: World) -> Tensors:
    """``ndata[k]`` and its like, which are dicts by type; columns set through them and dropped."""
    g, _ = world.filled(lib)
    found: Tensors = {}

    def take(name: str) -> None:
        for what in ("ndata", "edata", "srcdata", "dstdata"):
            for key in "xw" if what == "edata" else "xyz":
                if key not in getattr(g, what):
                    continue
                got = getattr(g, what)[key]
                parts = got if isinstance(got, dict) else {"alone": got}
                found.update({f"{name} {what} {key} {t}": x for t, x in parts.items()})

    take("all")
    some = sorted(world.num_nodes)[0]
    g.nodes[some].data["z"] = torch.arange(world.num_nodes[some])
    take("some")
    g.nodes[some].data.pop("x")
    take("popped")
    with g.local_scope():
        g.nodes[some].data["y"] = torch.zeros(world.num_nodes[some])
        g.edges[world.relations[0]].data.pop("w")
        take("local")
    take("after")
    return found | {"columns": columns_of(g)}


def queries(lib: Any, world: World, relation: Relation) -> Tensors:
    """What a graph tells about the edges of a relation."""
    g = world.build(lib)
    num_src, num_dst = world.num_nodes[relation[0]], world.num_nodes[relation[2]]
    eids = world.pick(f"edges {relation}", g.num_edges(relation))
    sources, targets = world.pick(f"u {relation}", num_src), world.pick(f"v {relation}", num_dst)
    found: Tensors = {}

    def put(name: str, *values: Tensor) -> None:
        found.update({f"{name} {i}": x for i, x in enumerate(values)})

    put("edges eid", *g.edges(form="all", order="eid", etype=relation))
    src, dst, ids = g.edges(form="all", order="srcdst", etype=relation)
    # DGL's sort is not stable: edges between the same two nodes may come in any order there.
    put("edges srcdst", src, dst, ids[np.lexsort((ids, dst, src))])
    put("uv", *g.edges(etype=relation))
    put("in_degrees", g.in_degrees(etype=relation), g.in_degrees(targets, etype=relation))
    put("out_degrees", g.out_degrees(etype=relation), g.out_degrees(sources, etype=relation))
    put("find_edges", *g.find_edges(eids, etype=relation))
    u, v = torch.arange(num_src).repeat_interleave(num_dst), torch.arange(num_dst).repeat(num_src)
    u, v = u.to(eids.dtype), v.to(eids.dtype)
    between = g.has_edges_between(u, v, etype=relation)
    put("between", between.long())
    put("edge_ids", g.edge_ids(u[between], v[between], etype=relation))
    put("edge_ids all", *g.edge_ids(u, v, return_uv=True, etype=relation))
    for form in ("uv", "all"):
        put(f"in_edges {form}", *g.in_edges(targets, form=form, etype=relation))
        put(f"out_edges {form}", *g.out_edges(sources, form=form, etype=relation))
    put("in_edges eid", g.in_edges(targets, form="eid", etype=relation))
    if num_src and num_dst:
        put("predecessors", g.predecessors(num_dst - 1, etype=relation))
        put("successors", g.successors(0, etype=relation))
        one = [g.in_degrees(0, etype=relation), g.out_degrees(0, etype=relation)]
        found["of one node"] = text([int(x) for x in one])
    return found


# --- one relation ---


def update_all(lib: Any, world: World, relation: Relation, message: str, reducer: str) -> Tensors:
    """A built-in message with a built-in reducer."""
    fn = functions(lib)
    g, leaves = world.filled(lib)
    g.update_all(
        getattr(fn, message)(*MESSAGES[message], "m"), getattr(fn, reducer)("m", "out"),
        etype=relation,
    )  # fmt: skip
    found = {"columns": columns_of(g), "out": g.nodes[relation[2]].data["out"]}
    if without_gradient(world, relation, reducer):
        return found
    return with_gradients(found, of_relation(relation, MESSAGES[message], leaves))


def without_gradient(world: World, relation: Relation, reducer: str) -> bool:
    """Whether DGL's gradient is wrong: see :data:`NO_EDGES`."""
    return reducer in ("max", "min") and not len(world.edges[relation][0])


def message_udf(edges: Any) -> Tensors:
    """Reads all that an edge has."""
    return {"m": edges.src["x"] * edges.data["w"] - edges.dst["y"]}


def reduce_udf(nodes: Any) -> Tensors:
    """Depends on the order of the messages."""
    box = nodes.mailbox["m"]
    place = torch.arange(1, box.shape[1] + 1, dtype=box.dtype).view(1, -1, 1, 1)
    return {"out": (box * place).sum(1) + nodes.data["y"]}


def apply_udf(nodes: Any) -> Tensors:
    """Keeps what was reduced."""
    return {"out": nodes.data["out"] + 1, "twice": nodes.data["y"] * 2}


def python(lib: Any, world: World, relation: Relation, form: str) -> Tensors:
    """Python functions for the messages, the reducer, the nodes."""
    fn = functions(lib)
    g, leaves = world.filled(lib)
    passing = {
        "both": (message_udf, reduce_udf),
        "message": (message_udf, fn.mean("m", "out")),
        "reduce": (fn.u_mul_e("x", "w", "m"), reduce_udf),
        "apply": (fn.u_mul_e("x", "w", "m"), fn.sum("m", "out"), apply_udf),
    }[form]
    g.update_all(*passing, etype=relation)
    data = g.nodes[relation[2]].data
    found = {"columns": columns_of(g)} | {k: data[k] for k in ("out", "twice") if k in data}
    return with_gradients(found, leaves)


def apply_edges(lib: Any, world: World, relation: Relation, message: str, some: bool) -> Tensors:
    """A message on the edges, all or some."""
    fn = functions(lib)
    g, leaves = world.filled(lib)
    function = {
        "python": message_udf,
        "u_dot_v": fn.u_dot_v("x", "y", "m"),
        "u_mul_e": fn.u_mul_e("x", "w", "m"),
        "e_sub_v": fn.e_sub_v("w", "y", "m"),
        "copy_u": fn.copy_u("x", "m"),
    }[message]
    taken = {"edges": world.pick("some edges", g.num_edges(relation), 1)} if some else {}
    g.apply_edges(function, etype=relation, **taken)
    found = {"columns": columns_of(g), "m": g.edges[relation].data["m"]}
    return with_gradients(found, leaves)


def apply_nodes(lib: Any, world: World, ntype: str, some: bool) -> Tensors:
    """A function of the nodes of a type, all or some."""
    g, leaves = world.filled(lib)
    taken = {"v": world.pick("some nodes", world.num_nodes[ntype], 1)} if some else {}
    g.apply_nodes(lambda nodes: {"out": nodes.data["x"] * nodes.data["y"]}, ntype=ntype, **taken)
    found = {"columns": columns_of(g), "out": g.nodes[ntype].data["out"]}
    return with_gradients(found, leaves)


def some_edges(lib: Any, world: World, relation: Relation, what: str) -> Tensors:
    """``send_and_recv``, ``pull`` and ``push`` over a relation."""
    fn = functions(lib)
    g, leaves = world.filled(lib)
    counts = {"send_and_recv": g.num_edges(relation), "push": world.num_nodes[relation[0]],
              "pull": world.num_nodes[relation[2]]}  # fmt: skip
    given = world.pick(what, counts[what], 1)
    getattr(g, what)(given, fn.u_mul_e("x", "w", "m"), fn.sum("m", "out"), etype=relation)
    found = {"columns": columns_of(g), "out": g.nodes[relation[2]].data["out"]}
    return with_gradients(found, of_relation(relation, "xw", leaves))


# --- several relations ---


def weigh(columns: list[Tensor]) -> Tensor:
    """A cross reducer in Python that depends on their order; one alone it leaves as it is."""
    return sum((i + 1) * x for i, x in enumerate(columns))  # type: ignore[return-value]


def infinite(world: World, reducers: Mapping[Relation, str], last: str, cross: str) -> bool:
    """Whether DGL's infinities show, or spread: see :data:`NO_IN_EDGES`.

    DGL's max and min are infinite for a node without in-edges until all relations are reduced;
    then 0 if the last reducer of the whole call is max or min. So with one kind throughout, a
    relation counts only for the nodes that it enters, unless it has no edges: then it gives 0.
    """
    kinds = set(reducers.values())
    if not kinds & {"max", "min"}:
        return False
    if last not in ("max", "min"):
        return True
    if len(reducers) == 1 or cross == "stack":
        return False
    return kinds != {cross} or any(not len(world.edges[r][0]) for r in reducers)


def multi_update_all(
    lib: Any,
    world: World,
    chosen: list[Relation],
    inner: str,
    cross: str,
    form: str = "built-in",
) -> Tensors:
    """Several relations, reduced across; ``inner`` is a reducer, or "mixed"."""
    fn = functions(lib)
    g, leaves = world.filled(lib)
    kinds = [*MESSAGES] if len(chosen) > 1 else ["u_mul_e"]
    reducers, passing, used = {}, {}, {}
    for place, relation in enumerate(chosen):
        message = kinds[(place + world.number) % len(kinds)]
        reducer = REDUCERS[(place + world.number) % 4] if inner == "mixed" else inner
        into = "more" if form == "two columns" and place % 2 else "out"
        given = (
            getattr(fn, message)(*MESSAGES[message], "m"),
            getattr(fn, reducer)("m", into),
        )
        if form == "python" and place % 2 == 0:
            given = (message_udf, reduce_udf)
            message, reducer = "u_mul_e", "sum"
            used |= of_relation(relation, "y", leaves)
        if form == "apply each":
            given = (
                *given,
                lambda nodes: {"out": nodes.data["out"] * nodes.data["y"]},
            )
            used |= of_relation(relation, "y", leaves)
        reducers[relation], passing[relation] = reducer, given
        if not without_gradient(world, relation, reducer):
            used |= of_relation(relation, MESSAGES[message], leaves)
    names = [r[1] for r in world.relations]
    by_name = {r if names.count(r[1]) > 1 else r[1]: f for r, f in passing.items()}
    reducer = weigh if cross == "callable" else cross
    g.multi_update_all(by_name, reducer, apply_udf if form == "apply" else None)
    found = {"columns": columns_of(g)}
    last = reducers[chosen[-1]]
    for ntype in sorted({r[2] for r in chosen}):
        of_type = {r: k for r, k in reducers.items() if r[2] == ntype}
        for key in ("out", "more", "twice"):
            if key in g.nodes[ntype].data:
                out = g.nodes[ntype].data[key]
                if infinite(world, of_type, last, cross):
                    out = out[world.entered(of_type, ntype)]
                found[f"{key} {ntype}"] = out
    if any(without_gradient(world, r, k) for r, k in reducers.items()):
        return found
    return with_gradients(found, used)


# --- all of them ---


def message_cases(world: World) -> Iterator[Case]:
    """Queries and message passing of one world."""
    case = partial(typed_case, world)
    yield case("types", "all", types)
    yield case("types", "frames", frames)
    for r in world.relations:
        yield case("queries", f"{r}", partial(queries, relation=r))
        yield from relation_cases(world, r)
    for ntype in sorted(world.num_nodes):
        for some in (False, True):
            run = partial(apply_nodes, ntype=ntype, some=some)
            yield case("apply_nodes", f"{ntype} {'some' if some else 'all'}", run)
    yield from multi_cases(world)


def relation_cases(world: World, r: Relation) -> Iterator[Case]:
    """Passing over one relation."""
    case = partial(typed_case, world)
    for message in MESSAGES:
        for reducer in REDUCERS:
            run = partial(update_all, relation=r, message=message, reducer=reducer)
            but = NO_EDGES if without_gradient(world, r, reducer) else None
            yield case("update_all", f"{r} {message} {reducer}", run, but=but)
    for form in ("both", "message", "reduce", "apply"):
        yield case("python", f"{r} {form}", partial(python, relation=r, form=form))
    for message in ("python", "u_dot_v", "u_mul_e", "e_sub_v", "copy_u"):
        for some in (False, True):
            run = partial(apply_edges, relation=r, message=message, some=some)
            yield case("apply_edges", f"{r} {message} {'some' if some else 'all'}", run)
    if r[0] == r[2] and len(world.edges[r][0]):
        for what in ("send_and_recv", "pull", "push"):
            yield case(what, f"{r}", partial(some_edges, relation=r, what=what))


def multi_cases(world: World) -> Iterator[Case]:
    """Passing over several relations at once."""
    case = partial(typed_case, world)
    case = partial(typed_case, world)
    groups = {"every": world.shuffled("every", world.relations)}
    for ntype in sorted(world.num_nodes):
        into = world.shuffled(f"into {ntype}", world.into(ntype))
        if into:
            groups[f"one into {ntype}"] = into[:1]
        if len(into) > 1:
            groups[f"two into {ntype}"] = into[:2]
        if len(into) > 2:
            groups[f"{len(into[:5])} into {ntype}"] = into[:5]
    for name, chosen in groups.items():
        for cross in CROSS:
            for inner in (*REDUCERS, "mixed"):
                run = partial(multi_update_all, chosen=chosen, inner=inner, cross=cross)
                but = NO_IN_EDGES if inner in ("max", "min", "mixed") else None
                yield case("multi_update_all", f"{name}, {inner}, {cross}", run, but=but)
            for form in ("python", "apply", "apply each", "two columns"):
                if (form, cross) in (("apply", "stack"), ("two columns", "callable")):
                    continue
                run = partial(multi_update_all, chosen=chosen, inner="sum", cross=cross, form=form)
                yield case("multi_update_all", f"{name}, {form}, {cross}", run)
