"""Batches of random small graphs and what both engines do with them: code that runs under both.

Nothing here imports DGL or hopflow. Every number comes from that of a world, so that only results
have to be recorded. Layers are filled by the names of their parameters: other names, other results.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from compare_engine import Case, Engine, Tensors, with_gradients
from torch import Tensor, nn
from typed_worlds import Relation, Stream

RECORDED = (0, 1, 2, 3)
"""The worlds whose results ``batches.npz`` holds: of one type and of several, int64 and int32."""

GAPS = "a graph without rows of the type: DGL puts the next ones' in its place, or fails"
_batches: dict[tuple[str, int], Any] = {}

ONE: list[Relation] = [("_N", "_E", "_N")]
SEVERAL: list[Relation] = [
    ("item", "near", "item"),
    ("user", "likes", "item"),
    ("user", "near", "user"),
]
WIDTH = 3
DTYPE = torch.float64


@dataclass(frozen=True)
class World:
    """Some graphs to batch.

    Attributes
    ----------
    number : int
        What all numbers come from.
    relations, ntypes : list
        The types of every graph.
    sizes : list of dict
        Nodes of each type, of each graph.
    edges : list of dict
        ``(sources, destinations)`` of each relation, of each graph.
    """

    number: int
    relations: list[Relation]
    ntypes: list[str]
    sizes: list[dict[str, int]]
    edges: list[dict[Relation, tuple[Tensor, Tensor]]]

    @property
    def idtype(self) -> torch.dtype:
        """Of the ids."""
        return torch.int32 if self.number // 2 % 2 else torch.int64

    def rows(self, name: str, *shape: int) -> Tensor:
        """Random numbers of both signs, away from 0 and none twice: the same for one name."""
        stream = Stream(self.number, zlib.crc32(name.encode()))
        signs = torch.from_numpy(stream.below(2, *shape)) * 2 - 1
        return (torch.from_numpy(stream.random(*shape)).to(DTYPE) + 0.5) * signs

    def graph(self, engine: Engine, i: int) -> Any:
        """One graph, with its columns."""
        if self.relations == ONE:
            ends, n = self.edges[i][ONE[0]], self.sizes[i]["_N"]
            g = engine.module().graph(ends, num_nodes=n, idtype=self.idtype)
        else:
            g = engine.module().heterograph(self.edges[i], self.sizes[i], idtype=self.idtype)
        for ntype in self.ntypes:
            n, data = self.sizes[i][ntype], g.nodes[ntype].data
            data["h"] = self.rows(f"{i} {ntype} h", n, WIDTH)
            data["w"] = self.rows(f"{i} {ntype} w", n, 1)
            data[f"of {ntype}"] = torch.arange(n) + 100 * i
        for relation in self.relations:
            m, data = self.edges[i][relation][0].shape[0], g.edges[relation].data
            data["h"] = self.rows(f"{i} {relation} h", m, WIDTH)
            data["w"] = self.rows(f"{i} {relation} w", m, 1)
        return g

    def graphs(self, engine: Engine) -> list[Any]:
        """All of them."""
        return [self.graph(engine, i) for i in range(len(self.sizes))]

    def batch(self, engine: Engine) -> Any:
        """All of them as one."""
        made = _batches.get((engine.name, self.number))
        if made is None:
            made = _batches[engine.name, self.number] = engine.module().batch(self.graphs(engine))
        return made.local_var()

    def has_gaps(self, of: Any) -> bool:
        """Whether a graph after the first has no nodes, or edges, of a type."""
        if isinstance(of, str):
            return any(n[of] == 0 for n in self.sizes[1:])
        return any(len(ends[of][0]) == 0 for ends in self.edges[1:])


def make_world(number: int) -> World:
    """Up to six graphs; some have no nodes of a type, some no edges."""
    stream = Stream(number, 7)
    relations = ONE if number % 2 == 0 else SEVERAL
    ntypes = sorted({end for src, _, dst in relations for end in (src, dst)})
    sizes, edges = [], []
    for i in range(stream.number(3, 7)):
        # Of two worlds in three only the first graph may be without nodes: see has_gaps.
        is_full = i == 1 or (i and number % 3 != 0)
        n = {
            t: stream.number(2, 6) if is_full else stream.number(0, 6) * stream.chance(0.8)
            for t in ntypes
        }
        sizes.append(n)
        of_graph = {}
        for relation in relations:
            src, dst = n[relation[0]], n[relation[2]]
            m = stream.number(1, 9) if src and dst and (is_full or stream.chance(0.8)) else 0
            ends = stream.below(max(src, 1), m), stream.below(max(dst, 1), m)
            of_graph[relation] = tuple(torch.from_numpy(end) for end in ends)
        edges.append(of_graph)
    return World(number, relations, ntypes, sizes, edges)


def told(g: Any, prefix: str = "") -> Tensors:
    """All that there is to see of a graph."""
    found: Tensors = {f"{prefix}batch_size": torch.tensor(g.batch_size)}
    for ntype in g.ntypes:
        found[f"{prefix}{ntype} nodes"] = g.batch_num_nodes(ntype)
        found[f"{prefix}{ntype} ids"] = g.nodes(ntype)
        for key, x in g.nodes[ntype].data.items():
            found[f"{prefix}{ntype}.{key}"] = x
    for relation in g.canonical_etypes:
        found[f"{prefix}{relation} edges"] = g.batch_num_edges(relation)
        src, dst, eids = g.edges(form="all", etype=relation)
        found |= {f"{prefix}{relation} src": src, f"{prefix}{relation} dst": dst}
        found[f"{prefix}{relation} eids"] = eids
        for key, x in g.edges[relation].data.items():
            found[f"{prefix}{relation}.{key}"] = x
    return found


def told_all(graphs: Iterable[Any]) -> Tensors:
    """The same of several."""
    return {k: x for i, g in enumerate(graphs) for k, x in told(g, f"{i} ").items()}


# --- made and taken apart


def structure_cases(world: World) -> dict[str, Callable[[Engine], Tensors]]:
    """Batches, what is made of them, and what becomes of their sizes."""

    def again(engine: Engine) -> Tensors:
        hf = engine.module()
        return told(hf.batch([world.batch(engine), world.graph(engine, 1), world.batch(engine)]))

    def some(engine: Engine, ndata: Any, edata: Any) -> Tensors:
        return told(engine.module().batch(world.graphs(engine), ndata=ndata, edata=edata))

    def halves(engine: Engine) -> Tensors:
        made = world.batch(engine)

        def two(sizes: Tensor) -> Tensor:
            return torch.stack([sizes[:2].sum(), sizes[2:].sum()])

        nodes = {t: two(made.batch_num_nodes(t)) for t in made.ntypes}
        edges = {r: two(made.batch_num_edges(r)) for r in made.canonical_etypes}
        return told_all(engine.module().unbatch(made, nodes, edges))

    def sliced(engine: Engine) -> Tensors:
        made, count = world.batch(engine), len(world.sizes)
        return told_all(
            engine.module().slice_batch(made, i, store_ids=i % 2 == 0) for i in range(count)
        )

    def sizes_set(engine: Engine) -> Tensors:
        made = engine.module().reverse(world.batch(engine), copy_edata=True)
        nodes = {t: torch.tensor([n[t] for n in world.sizes], dtype=world.idtype)
                 for t in world.ntypes}  # fmt: skip
        edges = {(r[2], r[1], r[0]): torch.tensor([len(e[r][0]) for e in world.edges],
                                                  dtype=world.idtype)
                 for r in world.relations}  # fmt: skip
        made.set_batch_num_nodes(nodes)
        made.set_batch_num_edges(edges)
        return told(made) | told_all(engine.module().unbatch(made))

    def sizes_of(engine: Engine, make: Callable[[Any, Any], Any]) -> Tensors:
        made = make(engine.module(), world.batch(engine))
        found = told(made)
        return {k: x for k, x in found.items() if k.endswith((" nodes", " edges", "_size"))}

    relation = world.relations[-1]
    changes: dict[str, Callable[[Any, Any], Any]] = {
        "local_var": lambda hf, g: g.local_var(),
        "clone": lambda hf, g: g.clone(),
        "to_float": lambda hf, g: hf.to_float(g),
        "to cpu": lambda hf, g: g.to("cpu"),
        "reverse": lambda hf, g: hf.reverse(g),
        "add_self_loop": lambda hf, g: hf.add_self_loop(g, etype=relation),
        "remove_self_loop": lambda hf, g: hf.remove_self_loop(g, etype=relation),
        "remove_edges": lambda hf, g: hf.remove_edges(
            g, torch.tensor([0, 2], dtype=world.idtype), etype=relation
        ),
        "remove_nodes": lambda hf, g: hf.remove_nodes(
            g, torch.tensor([1, 2], dtype=world.idtype), ntype=relation[2]
        ),
        "to_simple": lambda hf, g: hf.to_simple(g),
        "one relation": lambda hf, g: g[relation],
        "node_subgraph": lambda hf, g: hf.node_subgraph(
            g, {t: torch.tensor([0], dtype=world.idtype) for t in world.ntypes}
        ),
    }
    return {
        "batch": lambda engine: told(world.batch(engine)),
        "batch again": again,
        "no columns": partial(some, ndata=None, edata=None),
        "some columns": partial(some, ndata=["w", "h"], edata=["w"]),
        "unbatch": lambda engine: told_all(engine.module().unbatch(world.batch(engine))),
        "unbatch in two": halves,
        "slice_batch": sliced,
        "sizes set": sizes_set,
        "merge": lambda engine: told(engine.module().merge(merged_graphs(world, engine))),
        **{f"sizes after {name}": partial(sizes_of, make=make) for name, make in changes.items()},
    }


def merged_graphs(world: World, engine: Engine) -> list[Any]:
    """Graphs to merge: later ones have a node column that the first has not."""
    graphs = world.graphs(engine)
    for i, g in enumerate(graphs[2:]):
        ntype = world.ntypes[0]
        g.nodes[ntype].data["late"] = world.rows(f"late {i}", g.num_nodes(ntype), 2)
    return graphs


# --- readouts


def readout_cases(world: World) -> dict[str, Callable[[Engine], Tensors]]:
    """Functions of one column, with the gradients."""

    def run(engine: Engine, of: Any, name: str, *args: Any, **options: Any) -> Tensors:
        made = world.batch(engine)
        is_nodes = isinstance(of, str)
        data = (made.nodes if is_nodes else made.edges)[of].data
        leaves = {key: data[key].clone().requires_grad_() for key in ("h", "w")}
        data.update(leaves)
        key = "ntype" if is_nodes else "etype"
        function = engine.find(f"{name}_{'nodes' if is_nodes else 'edges'}", "")
        if name == "broadcast":
            leaves = {"x": world.rows("x", made.batch_size, 2, 2).requires_grad_()}
            args = (leaves["x"],)
        found = function(made, *args, **options, **{key: of})
        if name != "topk":
            return with_gradients({"out": found}, leaves)
        values, index = found
        sizes = made.batch_num_nodes(of) if is_nodes else made.batch_num_edges(of)
        # Beyond a graph's rows numbers mean nothing.
        is_there = torch.arange(index.shape[1]) < sizes.unsqueeze(1)
        shape = is_there.shape + (1,) * (index.dim() - 2)
        index = torch.where(is_there.view(shape), index, torch.full_like(index, -1))
        return with_gradients({"values": values, "index": index}, {"h": leaves["h"]})

    made: dict[str, Callable[[Engine], Tensors]] = {}
    for of in (world.ntypes[-1], world.relations[-1]):
        for weight in (None, "w"):
            for op in ("sum", "mean", "max", "min"):
                made[f"readout {of} {op} {weight}"] = partial(
                    run, of=of, name="readout", feat="h", weight=weight, op=op
                )
            for op in ("sum", "mean", "max"):
                options = {"feat": "h", "weight": weight}
                made[f"{op} {of} {weight}"] = partial(run, of=of, name=op, **options)
        made[f"softmax {of}"] = partial(run, of=of, name="softmax", feat="h")
        made[f"broadcast {of}"] = partial(run, of=of, name="broadcast")
        for descending in (True, False):
            for sortby in (None, 0, -1):
                for k in (1, 3, 7):
                    options = {"feat": "h", "k": k, "descending": descending, "sortby": sortby}
                    path = f"topk {of} {descending} {sortby} {k}"
                    made[path] = partial(run, of=of, name="topk", **options)
    return made


# --- layers


def mlp(width: int, out: int) -> nn.Module:
    """A network to give to a layer."""
    return nn.Sequential(nn.Linear(width, 4), nn.Tanh(), nn.Linear(4, out))


LAYERS: dict[str, Callable[[Callable[[str], Any]], nn.Module]] = {
    "SumPooling": lambda find: find("SumPooling")(),
    "AvgPooling": lambda find: find("AvgPooling")(),
    "MaxPooling": lambda find: find("MaxPooling")(),
    **{f"SortPooling {k}": lambda find, k=k: find("SortPooling")(k) for k in (1, 3, 7)},
    "GlobalAttentionPooling": lambda find: find("GlobalAttentionPooling")(mlp(WIDTH, 1)),
    "GlobalAttentionPooling feat": lambda find: find("GlobalAttentionPooling")(
        mlp(WIDTH, 1), mlp(WIDTH, 2)
    ),
    "Set2Set": lambda find: find("Set2Set")(WIDTH, 2, 1),
    "Set2Set deep": lambda find: find("Set2Set")(WIDTH, 3, 2),
    "WeightAndSum": lambda find: find("WeightAndSum")(WIDTH),
    "SetTransformerEncoder": lambda find: find("SetTransformerEncoder")(WIDTH, 2, 2, 5, n_layers=2),
    "SetTransformerEncoder isab": lambda find: find("SetTransformerEncoder")(
        WIDTH, 2, 2, 5, block_type="isab", m=2
    ),
    "SetTransformerDecoder": lambda find: find("SetTransformerDecoder")(WIDTH, 2, 2, 5, 1, 2),
    "SetTransformerDecoder one": lambda find: find("SetTransformerDecoder")(WIDTH, 3, 1, 4, 0, 1),
}


def layer_cases(world: World) -> dict[str, Callable[[Engine], Tensors]]:
    """Pooling layers on equal weights, with the gradients of features and parameters."""

    def run(engine: Engine, make: Callable[[Callable[[str], Any]], nn.Module]) -> Tensors:
        layer = make(lambda name: engine.find(name, "nn")).to(DTYPE)
        for name, x in layer.state_dict().items():
            x.copy_(world.rows(name, *x.shape) / 2)
        g = world.batch(engine)
        leaves = {"feat": g.ndata["h"].clone().requires_grad_(), **dict(layer.named_parameters())}
        found = {"out": layer(g, leaves["feat"])}
        if "Global" in type(layer).__name__:
            found["attention"] = layer(g, leaves["feat"], get_attention=True)[1]
        single = g.ndata["h"][: world.sizes[1]["_N"]]
        found["of one"] = layer(world.graph(engine, 1), single)
        found["state"] = torch.tensor([zlib.crc32(k.encode()) for k in layer.state_dict()])
        return with_gradients(found, leaves)

    return {name: partial(run, make=make) for name, make in LAYERS.items()}


def all_cases(numbers: Iterable[int], only: str = "") -> list[Case]:
    """Every case of some worlds whose path holds a text."""
    made = []
    for number in numbers:
        world = make_world(number)
        groups = {"batches": structure_cases(world), "readouts": readout_cases(world)}
        if world.relations == ONE:
            groups["pooling"] = layer_cases(world)
        for group, cases in groups.items():
            for name, run in cases.items():
                of = next(
                    (of for of in (*world.ntypes, *world.relations) if f" {of} " in name), "_N"
                )
                is_padded = name.startswith(("topk", "SortPooling", "SetTransformer"))
                known = GAPS if is_padded and world.has_gaps(of) else None
                case = Case(group, str(number), name, run, known)
                if only in case.path:
                    made.append(case)
    return made
