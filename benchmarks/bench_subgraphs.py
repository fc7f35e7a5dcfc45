"""Samplers whose batches are subgraphs, and the subgraph of given nodes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.engines import BATCH, dgl_like, graph
from hopbench.workloads import Workloads

BATCHES = 20  # of seeds, taken in turn
# name: (what it draws, the sampler)
SAMPLERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "shadow.10-5": ("ShaDow, fanout [10, 5], batches of 1024",
                    lambda x: x.ShaDowKHopSampler([10, 5])),
    "shadow.10-10-10": ("ShaDow, fanout [10, 10, 10], batches of 1024",
                        lambda x: x.ShaDowKHopSampler([10, 10, 10])),
    "saint-node": ("GraphSAINT, 6,000 nodes", lambda x: x.SAINTSampler("node", 6000)),
    "saint-edge": ("GraphSAINT, 4,000 edges", lambda x: x.SAINTSampler("edge", 4000)),
    "saint-walk": ("GraphSAINT, 3,000 walks of 2 steps",
                   lambda x: x.SAINTSampler("walk", (3000, 2))),
}  # fmt: skip


def sampled(engine: str, make: Callable[[Any], Any], workloads: Workloads) -> Task:
    """One batch after the other, in the calling thread."""
    made = graph(engine, workloads, "arxiv")
    sampler = make(dgl_like(engine).dataloading)
    seeds = torch.from_numpy(workloads.batches("arxiv", BATCH, BATCHES)).split(BATCH)
    turns = itertools.cycle(seeds)
    # DGL makes the other form of the edges when it is first asked for, hopflow their transpose.
    if engine == "dgl":
        made = made.formats(["csr", "csc", "coo"])
        made.create_formats_()
    return timed(lambda: sampler.sample(made, next(turns)))


def of_nodes(engine: str, count: int, workloads: Workloads) -> Task:
    """The subgraph of random nodes."""
    made = graph(engine, workloads, "arxiv")
    if engine == "dgl":
        made = made.formats(["csr", "csc", "coo"])
        made.create_formats_()
    generator = torch.Generator().manual_seed(0)
    nodes = torch.randperm(made.num_nodes(), generator=generator)[:count]
    return timed(lambda: made.subgraph(nodes))


ENGINES = ("hopflow", "dgl")
CASES = [
    Case(
        name=f"subgraphs.{name}",
        what=f"{what}, arxiv-shaped",
        unit="batch",
        entries=[Entry(engine, partial(sampled, engine, make)) for engine in ENGINES],
        workloads=["arxiv"],
    )
    for name, (what, make) in SAMPLERS.items()
] + [
    Case(
        name=f"subgraphs.nodes.{count}",
        what=f"The subgraph of {count:,} random nodes, arxiv-shaped",
        unit="subgraph",
        entries=[Entry(engine, partial(of_nodes, engine, count)) for engine in ENGINES],
        workloads=["arxiv"],
    )
    for count in (2_000, 20_000)
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
