"""Layer-neighbour sampling: the blocks of a batch, and how many nodes they need."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.engines import dgl_like, graph
from hopbench.workloads import Workloads

SEEDS = 1024


def blocks(
    engine: str, sampler: str, name: str, fanouts: tuple[int, ...], importance: int,
    workloads: Workloads,
) -> Task:  # fmt: skip
    """LaborSampler.sample, or NeighborSampler's for the nodes that it needs."""
    made = graph(engine, workloads, name)
    order = torch.randperm(made.num_nodes(), generator=torch.Generator().manual_seed(0))
    seeds = order[:SEEDS].to(made.idtype)
    options = {"importance_sampling": importance} if importance else {}
    drawn = getattr(dgl_like(engine).dataloading, sampler)(list(fanouts), **options)

    def run() -> Any:
        return drawn.sample(made, seeds)

    inputs, _, found = run()
    return timed(run, {"edges": sum(b.num_edges() for b in found), "inputs": len(inputs)})


def case_of(name: str, fanouts: tuple[int, ...], importance: int = 0, heavy: bool = False) -> Case:
    """One batch; fanouts by layer, the input layer first."""
    suffix = f".importance-{importance}" if importance else ""
    entries = [
        Entry("hopflow", partial(blocks, "hopflow", "LaborSampler", name, fanouts, importance)),
        Entry("dgl", partial(blocks, "dgl", "LaborSampler", name, fanouts, importance)),
    ]
    if not importance:
        neighbors = partial(blocks, "hopflow", "NeighborSampler", name, fanouts, 0)
        entries.append(Entry("hopflow neighbors", neighbors, home="hopflow"))
    return Case(
        name=f"labor.{name}.{'-'.join(map(str, fanouts))}{suffix}",
        what=f"LABOR blocks of {SEEDS:,} seeds over the {name}-shaped graph, fanouts"
        f" {list(fanouts)}, {importance} steps of importance sampling, beside neighbour sampling",
        entries=entries,
        workloads=[name],
        heavy=heavy,
    )


CASES = [
    case_of("arxiv", (15, 10, 5)),
    case_of("arxiv", (10, 10, 10)),
    case_of("arxiv", (15, 10, 5), importance=1),
    case_of("products", (15, 10, 5), heavy=True),
    case_of("products", (10, 10, 10), heavy=True),
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
