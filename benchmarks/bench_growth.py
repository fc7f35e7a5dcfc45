"""How the cost of hopflow grows, with a bound for each curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from hopbench import Case, Entry, Growth, Point, Task, timed
from hopbench.engines import (
    BATCH,
    SKIP,
    TAIL,
    graph,
    loader,
    nothing,
    sampling_work,
    stream,
)
from hopbench.workloads import Workloads

HUB_SEEDS = 10_000
HUB_FANOUT = 10


def batches_of(
    workloads: Workloads, name: str, fanouts: Sequence[int], count: int, *, num_workers: int = 0,
    isolated: int = 0,
) -> Task:  # fmt: skip
    """hopflow's loader, sampling only."""
    made = graph("hopflow", workloads, name, isolated)
    seeds = torch.from_numpy(workloads.batches(name, BATCH, SKIP + count + TAIL))
    batches = loader("hopflow", made, seeds, fanouts, num_workers)
    return stream(batches, count, nothing, sampling_work("hopflow", batches))


def with_fanout(workloads: Workloads, fanout: int) -> Task:
    """Two hops of one fanout over products."""
    return batches_of(workloads, "products", (fanout, fanout), 10)


def with_isolated(workloads: Workloads, isolated_nodes: int) -> Task:
    """Arxiv with nodes appended that have no edges."""
    return batches_of(workloads, "arxiv", (4, 4), 160, isolated=isolated_nodes)


def with_workers(workloads: Workloads, num_workers: int) -> Task:
    """Three hops over products, by this many threads of the loader."""
    return batches_of(workloads, "products", (15, 10, 5), 40, num_workers=num_workers)


def of_degree(workloads: Workloads, degree: int) -> Task:
    """Sampling one node of this degree, many times in a call."""
    from hopflow import ops

    indptr, indices = torch.tensor([0, degree]), torch.arange(degree, dtype=torch.int32)
    seeds = torch.zeros(HUB_SEEDS, dtype=torch.int32)
    return timed(
        lambda: ops.sample_neighbors(indptr, indices, seeds, HUB_FANOUT, key=1),
        {"seeds": HUB_SEEDS, "edges": HUB_SEEDS * HUB_FANOUT},
    )


def slope(points: Sequence[Point]) -> float:
    """Exponent of the time in the edges: the slope of the line through their logarithms."""
    edges = np.log([point.work["edges"] for point in points])
    times = np.log([point.seconds for point in points])
    return float(np.polyfit(edges, times, 1)[0])


def worst_over_first(points: Sequence[Point]) -> float:
    """The slowest point's time over the first one's."""
    return max(point.seconds for point in points) / points[0].seconds


def first_over_last(points: Sequence[Point]) -> float:
    """The first point's time over the last one's."""
    return points[0].seconds / points[-1].seconds


CASES: list[Case] = [
    Growth(
        name="growth.fanout",
        what="A batch of two hops over the products-shaped graph, by fanout",
        unit="batch",
        entries=[Entry("hopflow", with_fanout, {"fanout": k}) for k in (2, 5, 10, 15, 20, 30)],
        workloads=["products"],
        heavy=True,
        most_repeats=5,
        x="fanout",
        x_label="fanout of both hops",
        y_label="ns a sampled edge",
        per="edges",
        bound="time grows no faster than sampled edges: exponent at most 1.1",
        judge=slope,
        passes=lambda value: value <= 1.1,
    ),
    Growth(
        name="growth.isolated",
        what="A batch over the arxiv-shaped graph with isolated nodes appended: no batch does work"
        " for nodes that it does not touch",
        unit="batch",
        entries=[
            Entry("hopflow", with_isolated, {"isolated_nodes": n})
            for n in (0, 300_000, 3_000_000, 30_000_000)
        ],
        workloads=["arxiv"],
        x="isolated_nodes",
        x_label="isolated nodes appended",
        y_label="ms a batch",
        bound="no size costs more than 1.1 times the graph without isolated nodes",
        judge=worst_over_first,
        passes=lambda value: value <= 1.1,
    ),
    Growth(
        name="growth.degree",
        what=f"Sampling {HUB_FANOUT} in-edges of a node, by its degree",
        entries=[
            Entry("hopflow", of_degree, {"degree": d}) for d in (100, 1_000, 40_000, 1_000_000)
        ],
        x="degree",
        x_label="degree of the node",
        y_label="ns a seed",
        per="seeds",
        bound="no degree costs more than 1.2 times degree 100",
        judge=worst_over_first,
        passes=lambda value: value <= 1.2,
    ),
    Growth(
        name="growth.workers",
        what="Sampling only, products-shaped, fanout [15, 10, 5], by the loader's threads",
        unit="batch",
        entries=[Entry("hopflow", with_workers, {"num_workers": n}) for n in (1, 2)],
        workloads=["products"],
        heavy=True,
        most_repeats=5,
        x="num_workers",
        x_label="threads of the loader",
        y_label="ms a batch",
        bound="two threads are at least 1.8 times as fast as one",
        judge=first_over_last,
        passes=lambda value: value >= 1.8,
    ),
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
