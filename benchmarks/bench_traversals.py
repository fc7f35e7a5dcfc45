"""Traversals: the frontiers of breadth-first and depth-first searches and of topological orders."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.engines import dgl_like, graph
from hopbench.shared import share
from hopbench.workloads import Workloads

CHAIN = 20_000  # nodes
SIDE = 200  # of the grid
TREE = 50_000  # nodes
Edges = tuple[torch.Tensor, torch.Tensor]


def chain() -> Edges:
    """One node after the other."""
    return torch.arange(CHAIN - 1), torch.arange(1, CHAIN)


def grid() -> Edges:
    """Right and down from each node."""
    number = torch.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    pairs = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    src, dst = (torch.cat([x.reshape(-1) for x in ends]) for ends in zip(*pairs))
    return src, dst


def tree() -> Edges:
    """From each node to children in the ids after it, in random order."""
    generator = torch.Generator().manual_seed(0)
    child = torch.randperm(TREE - 1, generator=generator) + 1
    return (torch.rand(TREE - 1, generator=generator) * child).long(), child


SHAPES: dict[str, Callable[[], Edges]] = {"chain": chain, "grid": grid, "tree": tree}
WALKS: dict[str, Callable[[Any, Any], Any]] = {
    "bfs": lambda x, g: x.bfs_nodes_generator(g, 0),
    "bfs-edges": lambda x, g: x.bfs_edges_generator(g, 0),
    "dfs": lambda x, g: x.dfs_edges_generator(g, 0),
    "dfs-labeled": lambda x, g: x.dfs_labeled_edges_generator(g, 0, has_reverse_edge=True),
    "topological": lambda x, g: x.topological_nodes_generator(g),
}


def made(engine: str, shape: str, workloads: Workloads) -> Any:
    """The graph, shared by the cases."""
    if shape == "arxiv":
        return graph(engine, workloads, "arxiv")
    return share((engine, shape), lambda: dgl_like(engine).graph(SHAPES[shape]()))


def walked(engine: str, walk: str, shape: str, workloads: Workloads) -> Task:
    """Whole traversals of a graph whose edges are at hand in both directions."""
    g, module = made(engine, shape, workloads), dgl_like(engine)
    if engine == "dgl":
        g = g.formats(["coo", "csr", "csc"])
        g.create_formats_()
    return timed(lambda: WALKS[walk](module, g))


CASES = [
    Case(
        name=f"traversals.{walk}.{shape}",
        what=f"{walk} from node 0, {shape}" + ("-shaped" if shape == "arxiv" else ""),
        unit="traversal",
        entries=[
            Entry(engine, partial(walked, engine, walk, shape)) for engine in ("hopflow", "dgl")
        ],
        workloads=["arxiv"] if shape == "arxiv" else [],
    )
    for shape in ("arxiv", *SHAPES)
    for walk in WALKS
    if walk != "topological" or shape != "arxiv"  # which has cycles
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
