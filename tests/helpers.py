"""Inputs that several operator tests share."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import hopflow as hf
from hopflow import ops

FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
IDS = [torch.int32, torch.int64]
# Numbers of threads, of which kernels for CUDA know nothing.
THREADS = [1, *(pytest.param(n, marks=pytest.mark.cpu_only) for n in (2, 5))]


class Csc(NamedTuple):
    """In-edges of a random bipartite graph and its size."""

    indptr: Tensor
    indices: Tensor
    eids: Tensor | None
    num_src: int
    num_dst: int

    @property
    def num_edges(self) -> int:
        return self.indices.shape[0]


def random_csc(
    num_src: int = 40,
    num_dst: int = 25,
    num_edges: int = 160,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.int32,
    hub: int = 0,
) -> Csc:
    """Random in-edges with duplicates; the last three destinations have none; node 0 is a hub."""
    generator = torch.Generator().manual_seed(seed)
    src = torch.randint(max(num_src, 1), (num_edges,), generator=generator)
    dst = torch.randint(max(num_dst - 3, 1), (num_edges,), generator=generator)
    if hub:
        src = torch.cat([src, torch.randint(num_src, (hub,), generator=generator)])
        dst = torch.cat([dst, torch.zeros(hub, dtype=torch.int64)])
    indptr, indices, eids = ops.coo_to_csc(src, dst, num_src, num_dst)
    eids = None if eids is None else eids.to(dtype)
    return Csc(indptr, indices.to(dtype), eids, num_src, num_dst)


FORMS = ("graph", "sorted", "block", "sampled", "shuffled", "no_edges", "empty")


def graph_form(form: str, idtype: torch.dtype = torch.int64, seed: int = 0) -> hf.Graph:
    """A small random graph with duplicate edges and isolated nodes, stored in one of ``FORMS``."""
    generator = torch.Generator().manual_seed(seed)
    src, dst = (torch.randint(9, (30,), generator=generator) for _ in range(2))
    if form == "empty":
        return hf.graph(([], []), num_nodes=0, idtype=idtype)
    if form == "no_edges":
        return hf.graph(([], []), num_nodes=4, idtype=idtype)
    if form == "block":
        return hf.create_block((src, dst.clamp(max=5)), 9, 7, idtype=idtype)
    if form == "sorted":
        dst = dst.sort().values
    graph = hf.graph((src, dst), num_nodes=11, idtype=idtype)
    if form == "sampled":  # names the rows that may have edges
        return hf.sample_neighbors(graph, torch.tensor([7, 10, 2, 3, 0]), 3)
    if form == "shuffled":  # edge ids that do not rise within a row
        adjacency = graph.adjacency
        eids = torch.randperm(30, generator=generator)
        arrays = (adjacency.indptr, adjacency.indices, eids)
        return hf.graph(("csc", arrays), idtype=idtype)
    return graph


def edge_list(graph: hf.Graph) -> list[tuple[int, int]]:
    """Source and destination of every edge, by id."""
    return list(zip(*(x.tolist() for x in graph.edges()), strict=True))


def native_threads() -> list[str]:
    """Names of the loader's native threads in this process; Linux only, elsewhere none is seen."""
    names = []
    for path in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # the thread ended just now
            names.append(path.read_text().strip())
    return [name for name in names if name == "hopflow-batch"]


def opcheck(op: Any, args: tuple[Any, ...]) -> None:
    """torch's own check of an operator's registration; newer than the oldest torch supported."""
    if not hasattr(torch.library, "opcheck"):
        pytest.skip("torch.library.opcheck came with torch 2.4")
    torch.library.opcheck(op, args)


# Every pair of different sides of an edge, and shapes of two operands' rows that broadcast.
PAIRS = [(a, b) for a in "uve" for b in "uve" if a != b]
ROW_SHAPES = {
    "numbers": ((), ()),
    "width 1": ((1,), (1,)),
    "width 5": ((5,), (5,)),
    "width 33": ((33,), (33,)),
    "heads": ((3, 4), (3, 4)),
    "one a head": ((3, 4), (3, 1)),
    "one for all": ((3, 4), (1,)),
    "one row for all heads": ((3, 4), (1, 4)),
    "number beside row": ((), (5,)),
    "both ways": ((3, 1), (1, 4)),
    "three kinds": ((2, 1, 3), (1, 4, 3)),
    "four dimensions": ((2, 3, 1, 5), (2, 3, 4, 5)),
    "empty": ((0,), (0,)),
}
DOT_SHAPES = {
    "width 1": ((1,), (1,)),
    "width 5": ((5,), (5,)),
    "width 33": ((33,), (33,)),
    "heads": ((3, 20), (3, 20)),
    "one row for all heads": ((3, 4), (1, 4)),
    "both ways": ((3, 1, 4), (1, 2, 4)),
    "empty": ((3, 0), (3, 0)),
}


def operands(
    csc: Csc, targets: tuple[str, str], shapes: Any, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """Rows for two sides of an edge: both signs, away from 0 so that they can divide."""
    generator = torch.Generator().manual_seed(7)
    rows = {"u": csc.num_src, "v": csc.num_dst, "e": csc.num_edges}
    made = []
    for target, shape in zip(targets, shapes):
        size = torch.rand(rows[target], *shape, generator=generator, dtype=torch.float64) + 0.5
        sign = torch.randint(2, size.shape, generator=generator) * 2 - 1
        made.append((size * sign).to(dtype))
    return made


def is_emulated() -> bool:
    """Whether the CUDA kernels of this process run on the CPU (tests/emulation/plugin.py)."""
    return ops.on_cuda(torch.empty(0))


def needs_gpu() -> None:
    """Skip a test of what the emulation leaves out."""
    if is_emulated():
        pytest.skip("needs a real GPU: streams, allocators and page-locked memory are not emulated")


def csc_on(device, *, dtype=torch.int32, **options):
    """``(indptr, indices, eids)`` of a random graph on a device, and the graph on the CPU."""
    csc = random_csc(dtype=dtype, **options)
    eids = None if csc.eids is None else csc.eids.to(device)
    return csc.indptr.to(device), csc.indices.to(device), eids, csc


def assert_same(got, expected):
    """Bits, but for the payload of a NaN."""
    assert got.dtype == expected.dtype
    torch.testing.assert_close(got.cpu(), expected.cpu(), rtol=0, atol=0, equal_nan=True)


def ten_edges(idtype):
    """Seven nodes, the last without edges; loops and two parallel edges among them."""
    src, dst = [5, 0, 3, 3, 1, 5, 2, 0, 4, 3], [0, 3, 0, 3, 5, 1, 2, 3, 4, 5]
    made = hf.graph((src, dst), num_nodes=7, idtype=idtype)
    made.ndata["x"] = torch.arange(7.0)
    made.edata["w"] = torch.arange(10.0)
    return made


def ends(g):
    """Sources and destinations of a graph's edges, as lists."""
    return [x.tolist() for x in g.edges()]


def typed_graph(idtype: torch.dtype = torch.int64, seed: int = 0, scale: int = 1) -> hf.Graph:
    """Users, games and studios with six relations: between two types, within one, and parallel.

    Duplicate edges, self-loops, isolated nodes; a relation without edges, a type without nodes.
    """
    generator = torch.Generator().manual_seed(seed)
    counts = {"game": 30 * scale, "ghost": 0, "studio": 4, "user": 50 * scale}
    edges = {
        ("user", "follows", "user"): 160 * scale,
        ("user", "knows", "user"): 60 * scale,
        ("user", "plays", "game"): 200 * scale,
        ("game", "played_by", "user"): 200 * scale,
        ("studio", "makes", "game"): 40 * scale,
        ("game", "like", "game"): 0,
    }

    def ends(src: str, dst: str, count: int) -> tuple[Tensor, Tensor]:
        # The last nodes of each type have no edges.
        most = (max(1, counts[src] - 3), max(1, counts[dst] - 3))
        u, v = (torch.randint(n, (count,), generator=generator) for n in most)
        return u.to(idtype), v.to(idtype)

    data = {(src, name, dst): ends(src, dst, n) for (src, name, dst), n in edges.items()}
    graph = hf.heterograph(data, counts, idtype=idtype)
    for ntype in ("user", "game", "studio"):
        graph.nodes[ntype].data["feat"] = torch.randn(counts[ntype], 5, generator=generator)
    graph.nodes["user"].data["label"] = torch.arange(counts["user"]) % 4
    for relation, one in graph.relations.items():
        if relation[1] in ("follows", "plays"):
            one.edata["weight"] = torch.rand(one.num_edges(), generator=generator)
    return graph


def ends_in(graph: hf.Graph, block: hf.Block, relation: Any) -> Tensor:
    """Source, destination and edge id in the parent graph of every edge of a block, [E, 3]."""
    one = block[relation]
    src, dst = one.edges()
    return torch.stack(
        [one.srcdata[hf.NID][src.long()], one.dstdata[hf.NID][dst.long()], one.edata[hf.EID]], 1
    )
