"""Loaders that sample and renumber, and do nothing else: batches of 1024 seeds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hopbench import Case, Entry, Task
from hopbench.engines import (
    BATCH,
    SKIP,
    TAIL,
    graph,
    graphbolt_loader,
    loader,
    nothing,
    pyg_loader,
    sampling_work,
    stream,
)
from hopbench.workloads import Workloads

WORKERS = (0, 2)


def cases_of(
    name: str, fanouts: Sequence[int], count: int, what: str, engines: Sequence[str], *,
    heavy: bool, most_repeats: int = 1000,
) -> Case:  # fmt: skip
    """Loaders of several engines over one graph, each without workers and with two."""

    def setup(engine: str, workloads: Workloads, num_workers: int) -> Task:
        seeds = torch.from_numpy(workloads.batches(name, BATCH, SKIP + count + TAIL))
        if engine == "graphbolt":
            batches = graphbolt_loader(workloads, name, seeds, fanouts, num_workers)
        elif engine == "pyg":
            batches = pyg_loader(workloads, name, seeds, fanouts, num_workers)
        else:
            made = graph(engine, workloads, name)
            batches = loader(engine, made, seeds, fanouts, num_workers)
        return stream(batches, count, nothing, sampling_work(engine, batches))

    def entry(engine: str, workers: int) -> Entry:
        return Entry(
            engine,
            lambda workloads, num_workers: setup(engine, workloads, num_workers),
            {"num_workers": workers},
        )

    return Case(
        name=f"loader.{name}.{'-'.join(map(str, fanouts))}",
        what=what,
        unit="batch",
        entries=[entry(engine, workers) for engine in engines for workers in WORKERS],
        workloads=[name],
        limit="lines",
        heavy=heavy,
        most_repeats=most_repeats,
    )


ALL = ("hopflow", "dgl", "graphbolt", "pyg")
CASES = [
    cases_of("arxiv", (4, 4), 170, "Sampling only, arxiv-shaped, fanout [4, 4]", ALL, heavy=False),
    cases_of("cornell5", (10, 10), 100, "Sampling only, the friendships of a university (real),"
             " fanout [10, 10]", ALL, heavy=False),
    cases_of("products", (4, 4), 100, "Sampling only, products-shaped, fanout [4, 4]", ALL,
             heavy=True),
    cases_of("products", (15, 10, 5), 40, "Sampling only, products-shaped, fanout [15, 10, 5]",
             ALL, heavy=True, most_repeats=5),
    cases_of("papers", (15, 10, 5), 40, "Sampling only, a graph of 30 million nodes and 300 million"
             " edges (the shape of papers100M, cut down to fit), fanout [15, 10, 5]",
             ("hopflow", "dgl"), heavy=True, most_repeats=5),
]  # fmt: skip

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
