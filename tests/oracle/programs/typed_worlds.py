"""Random graphs of several types, the same for DGL and for hopflow: neither is imported here.

A :class:`World` is what both are given, in numpy: how many nodes of each type, the edges of each
relation, and any number of columns and picks of ids, all from one seed.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from compare_engine import Case, Engine
from torch import Tensor

Relation = tuple[str, str, str]
Tensors = dict[str, Tensor]

RECORDED = (0, 4, 7, 9, 10, 14, 16, 21)
"""The worlds whose results ``typed.npz`` holds; between them they have all that can be."""

NODE_TYPES = ("user", "item", "tag", "place")
NAMES = ("likes", "near", "about", "has", "follows", "in")
IDS = "_ID"
SHAPES = {"x": (2, 3), "y": (2, 3), "w": (2, 1), "e": (2, 3)}
"""Columns of a source, of a destination and two of an edge: heads of three numbers, or of one."""


class Stream:
    """Random numbers from raw bits, which numpy promises to keep; its Generator's may change."""

    def __init__(self, *entropy: int) -> None:
        self._bits = np.random.PCG64(entropy)

    def random(self, *shape: int) -> np.ndarray:
        """float64 in [0, 1)."""
        raw = self._bits.random_raw(math.prod(shape))
        return (np.asarray(raw) >> 11).reshape(shape) * 2.0**-53

    def below(self, bound: int, *shape: int) -> np.ndarray:
        """int64 in [0, bound)."""
        return (self.random(*shape) * bound).astype(np.int64)

    def number(self, least: int, bound: int) -> int:
        """One number in [least, bound)."""
        return least + int(self.below(bound - least, 1)[0])

    def chance(self, share: float) -> bool:
        """True in a share of the calls."""
        return bool(self.random(1)[0] < share)

    def order(self, count: int) -> np.ndarray:
        """The numbers below ``count`` in random order."""
        return self.random(count).argsort(kind="stable")

    def shuffled(self, items: Iterable[Any]) -> list[Any]:
        """The items in random order."""
        items = list(items)
        return [items[i] for i in self.order(len(items))]


@dataclass(frozen=True)
class World:
    """One typed graph, and the random numbers that go with it.

    Attributes
    ----------
    number : int
        The seed; see :func:`make_world` for what it decides.
    idtype : str
        "int32" or "int64".
    num_nodes : dict
        Node types, in no order, and how many nodes each has.
    edges : dict
        Relations, in no order: sources and destinations of every edge, ``[num_edges]`` each.
    """

    number: int
    idtype: str
    num_nodes: dict[str, int]
    edges: dict[Relation, tuple[np.ndarray, np.ndarray]]

    @property
    def relations(self) -> list[Relation]:
        """The relations by name, as both engines number them."""
        return sorted(self.edges)

    def into(self, ntype: str) -> list[Relation]:
        """The relations that enter a type."""
        return [r for r in self.relations if r[2] == ntype]

    @property
    def untouched(self) -> set[str]:
        """The types that no relation has at either end."""
        return {*self.num_nodes} - {t for source, _, target in self.edges for t in (source, target)}

    @property
    def has_name_twice(self) -> bool:
        """Whether one name stands for relations between several pairs of types."""
        return len({name for _, name, _ in self.edges}) < len(self.edges)

    def stream(self, *words: str) -> Stream:
        """The random numbers of one use, which no other use moves."""
        return Stream(self.number, zlib.crc32(" ".join(words).encode()))

    def floats(self, what: str, rows: int, shape: Iterable[int]) -> Tensor:
        """float64 ``[rows, *shape]`` of both signs, away from 0."""
        stream = self.stream("floats", what)
        size = stream.random(rows, *shape) + 0.5
        return torch.from_numpy(size * (stream.below(2, rows, *shape) * 2 - 1))

    def pick(self, what: str, count: int, least: int = 0) -> Tensor:
        """Some ids below ``count``, each once, in no order, of the graph's width."""
        stream = self.stream("pick", what)
        return self.ids(stream.order(count)[: max(least, stream.number(0, count + 1))])

    def ids(self, values: Any) -> Tensor:
        """Ids of the graph's width."""
        return torch.from_numpy(np.asarray(values, dtype=self.idtype))

    def shuffled(self, what: str, items: Iterable[Any]) -> list[Any]:
        """The items in no order."""
        return self.stream("order", what).shuffled(items)

    def node_picks(self, what: str) -> dict[str, Tensor]:
        """Some nodes of some types; every type now and then."""
        picks = {t: self.pick(f"{what} {t}", n, min(n, 1)) for t, n in self.num_nodes.items()}
        kept = [t for t in picks if self.stream("kept", what, t).chance(0.7)]
        return {t: picks[t] for t in kept or list(picks)[:1]}

    def edge_picks(self, what: str) -> dict[Relation, Tensor]:
        """Some edges of every relation."""
        return {r: self.pick(f"{what} {r}", len(self.edges[r][0])) for r in self.relations}

    def build(self, lib: Any) -> Any:
        """The graph, by ``dgl.heterograph`` or hopflow's."""
        data = {r: (torch.from_numpy(u), torch.from_numpy(v)) for r, (u, v) in self.edges.items()}
        idtype = getattr(torch, self.idtype)
        return lib.heterograph(data, num_nodes_dict=dict(self.num_nodes), idtype=idtype)

    def leaves(self) -> Tensors:
        """Columns of every node type and relation, with gradients."""
        made = {}
        for ntype, rows in self.num_nodes.items():
            for key in "xy":
                made[f"{key} {ntype}"] = self.floats(f"{key} {ntype}", rows, SHAPES[key])
        for relation, (src, _) in self.edges.items():
            for key in "we":
                made[f"{key} {relation}"] = self.floats(f"{key} {relation}", len(src), SHAPES[key])
        return {k: x.requires_grad_() for k, x in made.items()}

    def filled(self, lib: Any) -> tuple[Any, Tensors]:
        """The graph with its columns, and the columns."""
        g, leaves = self.build(lib), self.leaves()
        for ntype in self.num_nodes:
            for key in "xy":
                g.nodes[ntype].data[key] = leaves[f"{key} {ntype}"]
        for relation in self.edges:
            for key in "we":
                g.edges[relation].data[key] = leaves[f"{key} {relation}"]
        return g, leaves

    def checksum(self) -> int:
        """Of all edges: tells that the same graph was made again."""
        made = 0
        for relation in self.relations:
            for ids in self.edges[relation]:
                made = zlib.crc32(ids.astype("<i8").tobytes(), made)
        return made

    def entered(self, relations: Iterable[Relation], ntype: str) -> Tensor:
        """Which nodes of a type have an in-edge by each of the relations, bool ``[num_nodes]``."""
        every = np.ones(self.num_nodes[ntype], dtype=bool)
        for relation in relations:
            count = np.bincount(self.edges[relation][1], minlength=len(every))
            every &= count > 0
        return torch.from_numpy(every)


def make_world(number: int) -> World:
    """A random typed graph; 24 numbers in a row have every count of types and of relations.

    Among them are types without nodes, types that no relation touches, relations without edges,
    several relations between one pair, one name between several pairs, relations of a type with
    itself, graphs in which no type is both source and destination, parallel edges, self-loops and
    isolated nodes.
    """
    stream = Stream(20240229, number)
    kinds = stream.shuffled(NODE_TYPES)[: number % 4 + 1]
    num_nodes = {kind: stream.number(1, 9) for kind in kinds}
    if len(kinds) > 1 and stream.chance(0.3):
        num_nodes[kinds[-1]] = 0
    apart = len(kinds) > 1 and stream.chance(0.2)
    relations: set[Relation] = set()
    while len(relations) < number // 4 % 6 + 1:
        source = stream.shuffled(kinds[1:] if apart else kinds)[0]
        # Most relations enter the first type, so that there is something to reduce across.
        target = kinds[0] if apart or stream.chance(0.6) else stream.shuffled(kinds)[0]
        relations.add((source, stream.shuffled(NAMES)[0], target))
    edges = {r: _random_edges(stream, num_nodes, r) for r in stream.shuffled(sorted(relations))}
    return World(number, "int32" if stream.chance(0.4) else "int64", num_nodes, edges)


def _random_edges(
    stream: Stream, num_nodes: Mapping[str, int], relation: Relation
) -> tuple[np.ndarray, np.ndarray]:
    source, _, target = relation
    num_src, num_dst = num_nodes[source], num_nodes[target]
    if 0 in (num_src, num_dst) or stream.chance(0.12):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    count = stream.number(1, 2 * max(num_src, num_dst) + 3)
    src = stream.below(num_src, count)
    dst = stream.below(max(num_dst - stream.number(0, 3), 1), count)
    if count > 3:
        src[-2:], dst[-2:] = src[:2], dst[:2]
        if source == target:
            src[2] = dst[2]
    order = stream.order(count)
    return src[order], dst[order]


# --- what is compared ---


def typed_case(
    world: World, group: str, name: str, run: Callable[[Any, World], Tensors], **notes: str | None
) -> Case:
    """A case of ``compare.py``, from a function of the package and the world."""
    path = f"world {world.number}, {name}"
    return Case(group, world.idtype, path, partial(_with_module, run, world), **notes)


def _with_module(run: Callable[[Any, World], Tensors], world: World, engine: Engine) -> Tensors:
    return run(engine.module(), world)


def text(value: Any) -> Tensor:
    """Names and the like as a tensor: uint8, JSON; :func:`read_text` reads it."""
    return torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8)


def read_text(value: Tensor) -> Any:
    """What :func:`text` was given; tuples have become lists."""
    return json.loads(bytes(value.tolist()))


def columns_of(g: Any) -> Tensor:
    """The names of every type's columns, as a text."""
    nodes = {t: sorted(g.nodes[t].data.keys()) for t in sorted(g.ntypes)}
    edges = {str(r): sorted(g.edges[r].data.keys()) for r in sorted(g.canonical_etypes)}
    return text([nodes, edges])


def described(g: Any, columns: bool = True) -> Tensors:
    """A graph whatever its nodes and edges are numbered by: as ids of the graph it came from.

    Nodes and edges that have a column of such ids are sorted by them; those that have none are
    taken as they are numbered. A block's two sides are told apart.
    """
    sides = [(f"nodes {t}", g.nodes[t]) for t in sorted(set(g.ntypes))]
    if g.is_block:
        sides = [(f"src {t}", g.srcnodes[t]) for t in sorted(g.srctypes)]
        sides += [(f"dst {t}", g.dstnodes[t]) for t in sorted(g.dsttypes)]
    relations = sorted(g.canonical_etypes)
    found: Tensors = {"types": text([sorted(set(g.ntypes)), relations])}
    ids: Tensors = {}
    for name, side in sides:
        kind, ntype = name.split(" ")
        count = getattr(g, f"num_{kind}_nodes" if kind != "nodes" else "num_nodes")(ntype)
        ids[name] = side.data[IDS] if IDS in side.data else torch.arange(count)
        order = ids[name].argsort(stable=True)
        found[f"{name} ids"] = ids[name][order]
        if columns:
            found |= {f"{name} {k}": x[order] for k, x in side.data.items() if k != IDS}
    ends = ("src", "dst") if g.is_block else ("nodes", "nodes")
    for relation in relations:
        src, dst, eids = g.edges(form="all", order="eid", etype=relation)
        data = g.edges[relation].data
        eids = data.get(IDS, eids)
        order = eids.argsort(stable=True)
        found[f"{relation} ids"] = eids[order]
        found[f"{relation} src"] = ids[f"{ends[0]} {relation[0]}"][src.long()][order]
        found[f"{relation} dst"] = ids[f"{ends[1]} {relation[2]}"][dst.long()][order]
        if columns:
            found |= {f"{relation} {k}": x[order] for k, x in data.items() if k != IDS}
    return found
