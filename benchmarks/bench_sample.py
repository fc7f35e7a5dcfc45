"""The sampling operator: one hop from many seeds."""

from __future__ import annotations

from functools import partial

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.engines import graph, tensors
from hopbench.shared import share
from hopbench.workloads import Workloads


def seeds_of(num_nodes: int, count: int) -> torch.Tensor:
    """Distinct nodes, int64."""
    return torch.randperm(num_nodes, generator=torch.Generator().manual_seed(0))[:count]


def hopflow_sample(name: str, count: int, fanout: int, workloads: Workloads) -> Task:
    """hopflow.ops.sample_neighbors, a new key each call."""
    from hopflow import ops

    full = graph("hopflow", workloads, name).adjacency.full()
    seeds = seeds_of(len(full.indptr) - 1, count).to(full.indices.dtype)
    key = iter(range(1 << 62))

    def run() -> tuple[torch.Tensor, ...]:
        return ops.sample_neighbors(full.indptr, full.indices, seeds, fanout, key=next(key))

    edges = run()[1].shape[0]
    return timed(run, {"edges": edges, "lines": edges + count})


def dgl_sample(name: str, count: int, fanout: int, workloads: Workloads) -> Task:
    """dgl.sampling.sample_neighbors, without copying features or types."""
    import dgl

    made = graph("dgl", workloads, name)
    seeds = seeds_of(made.num_nodes(), count)

    def run() -> dgl.DGLGraph:
        return dgl.sampling.sample_neighbors(made, seeds, fanout)

    return timed(run, {"edges": run().num_edges()})


def graphbolt_sample(name: str, count: int, fanout: int, workloads: Workloads) -> Task:
    """GraphBolt's FusedCSCSamplingGraph.sample_neighbors, which renumbers nothing."""
    from dgl import graphbolt as gb

    made = share(
        ("graphbolt", name), lambda: gb.fused_csc_sampling_graph(*tensors(workloads, name))
    )
    seeds, fanouts = seeds_of(made.total_num_nodes, count), torch.tensor([fanout])
    edges = len(made.sample_neighbors(seeds, fanouts).sampled_csc.indices)
    return timed(lambda: made.sample_neighbors(seeds, fanouts), {"edges": edges})


def case_of(name: str, count: int, fanout: int, heavy: bool) -> Case:
    """One hop over one graph."""
    return Case(
        name=f"sample.{name}.{count}x{fanout}",
        what=f"One hop of {count:,} seeds over the {name}-shaped graph, fanout {fanout}",
        entries=[
            Entry("hopflow", partial(hopflow_sample, name, count, fanout)),
            Entry("dgl", partial(dgl_sample, name, count, fanout)),
            Entry("graphbolt", partial(graphbolt_sample, name, count, fanout)),
        ],
        workloads=[name],
        limit="lines",
        heavy=heavy,
    )


CASES = [
    case_of("arxiv", 1_024, 4, heavy=False),
    case_of("arxiv", 15_000, 10, heavy=False),
    case_of("products", 60_000, 15, heavy=True),
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
