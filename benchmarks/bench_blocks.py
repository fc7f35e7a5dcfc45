"""Sampling and renumbering a whole batch: one pass over all hops against one operator at a time."""

from __future__ import annotations

from functools import partial

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.engines import graph
from hopbench.workloads import Workloads

SEEDS = 1024


def setup(name: str, workloads: Workloads) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The graph's in-edges and the seeds of one batch."""
    full = graph("hopflow", workloads, name).adjacency.full()
    order = torch.randperm(len(full.indptr) - 1, generator=torch.Generator().manual_seed(0))
    return full.indptr, full.indices, order[:SEEDS].to(full.indices.dtype)


def fused(name: str, fanouts: tuple[int, ...], workloads: Workloads) -> Task:
    """hopflow.ops.sample_blocks."""
    from hopflow import ops

    indptr, indices, seeds = setup(name, workloads)
    key = iter(range(1 << 62))

    def run() -> ops.SampledBlocks:
        keys = [next(key) for _ in fanouts]
        return ops.sample_blocks(indptr, indices, seeds, fanouts, keys=keys)

    return timed(run, {"edges": sum(hop.indices.shape[0] for hop in run().hops)})


def one_by_one(name: str, fanouts: tuple[int, ...], workloads: Workloads) -> Task:
    """hopflow.ops.sample_neighbors and compact_ids in turn."""
    from hopflow import ops

    indptr, indices, seeds = setup(name, workloads)
    key = iter(range(1 << 62))

    def run() -> int:
        nodes, edges = seeds, 0
        for fanout in fanouts:
            _, neighbors, _ = ops.sample_neighbors(indptr, indices, nodes, fanout, key=next(key))
            nodes, _, _ = ops.compact_ids(nodes, neighbors)
            edges += neighbors.shape[0]
        return edges

    return timed(run, {"edges": run()})


def case_of(name: str, fanouts: tuple[int, ...], heavy: bool) -> Case:
    """One batch; fanouts from the seeds outwards."""
    return Case(
        name=f"blocks.{name}.{'-'.join(map(str, fanouts))}",
        what=f"{SEEDS:,} seeds over the {name}-shaped graph, fanouts {list(fanouts)} from the"
        " seeds outwards, against hopflow's own operators in turn",
        entries=[
            Entry("hopflow", partial(fused, name, fanouts)),
            Entry("hopflow in turn", partial(one_by_one, name, fanouts), home="hopflow"),
        ],
        workloads=[name],
        heavy=heavy,
    )


CASES = [
    case_of("arxiv", (4, 4), heavy=False),
    case_of("products", (5, 10, 15), heavy=True),
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
