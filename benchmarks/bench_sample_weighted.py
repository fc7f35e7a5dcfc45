"""Sampling by weight, and beside excluded edges: one hop from many seeds."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from bench_sample import seeds_of
from hopbench import Case, Entry, Task, timed
from hopbench.engines import graph, tensors
from hopbench.shared import share
from hopbench.workloads import Workloads


def weights_of(num_edges: int) -> torch.Tensor:
    """A positive weight an edge, float32."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(num_edges, generator=generator) + 0.01


def excluded_of(num_edges: int, count: int) -> torch.Tensor:
    """Distinct edges."""
    return torch.randperm(num_edges, generator=torch.Generator().manual_seed(2))[:count]


def weighted_graph(engine: str, workloads: Workloads, name: str) -> Any:
    """The graph with the column ``w``, shared by the cases."""
    made = graph(engine, workloads, name)
    if "w" not in made.edata:
        made.edata["w"] = weights_of(made.num_edges())
    return made


def hopflow_sample(name: str, count: int, fanout: int, workloads: Workloads) -> Task:
    """hopflow.sample_neighbors by weight; the weights were prepared before."""
    import hopflow

    made = weighted_graph("hopflow", workloads, name)
    seeds = seeds_of(made.num_nodes(), count)

    def run() -> Any:
        return hopflow.sample_neighbors(made, seeds, fanout, prob="w")

    return timed(run, {"edges": run().num_edges()})


def dgl_sample(name: str, count: int, fanout: int, workloads: Workloads) -> Task:
    """dgl.sampling.sample_neighbors by weight."""
    import dgl

    made = weighted_graph("dgl", workloads, name)
    seeds = seeds_of(made.num_nodes(), count)

    def run() -> Any:
        return dgl.sampling.sample_neighbors(made, seeds, fanout, prob="w")

    return timed(run, {"edges": run().num_edges()})


def graphbolt_sample(name: str, count: int, fanout: int, workloads: Workloads) -> Task:
    """GraphBolt's FusedCSCSamplingGraph.sample_neighbors with probs_name."""
    from dgl import graphbolt as gb

    def make() -> Any:
        indptr, indices = tensors(workloads, name)
        weights = {"w": weights_of(len(indices))}
        return gb.fused_csc_sampling_graph(indptr, indices, edge_attributes=weights)

    made = share(("graphbolt-weighted", name), make)
    seeds, fanouts = seeds_of(made.total_num_nodes, count), torch.tensor([fanout])

    def run() -> Any:
        return made.sample_neighbors(seeds, fanouts, probs_name="w")

    return timed(run, {"edges": len(run().sampled_csc.indices)})


def exclude(engine: str, name: str, count: int, fanout: int, workloads: Workloads) -> Task:
    """sample_neighbors beside 1,000 excluded edges. DGL drops them after the draw."""
    made = graph(engine, workloads, name)
    seeds = seeds_of(made.num_nodes(), count)
    excluded = excluded_of(made.num_edges(), 1_000)
    if engine == "hopflow":
        from hopflow import sample_neighbors
    else:
        from dgl.sampling import sample_neighbors

    def run() -> Any:
        return sample_neighbors(made, seeds, fanout, exclude_edges=excluded)

    return timed(run, {"edges": run().num_edges()})


def weighted_case(name: str, count: int, fanout: int, heavy: bool) -> Case:
    """One hop over one graph, by weight."""
    return Case(
        name=f"sample_weighted.{name}.{count}x{fanout}",
        what=f"One weighted hop of {count:,} seeds over the {name}-shaped graph, fanout {fanout}",
        entries=[
            Entry("hopflow", partial(hopflow_sample, name, count, fanout)),
            Entry("dgl", partial(dgl_sample, name, count, fanout)),
            Entry("graphbolt", partial(graphbolt_sample, name, count, fanout)),
        ],
        workloads=[name],
        heavy=heavy,
    )


def exclude_case(name: str, count: int, fanout: int, heavy: bool) -> Case:
    """One hop over one graph, beside excluded edges."""
    return Case(
        name=f"sample_weighted.{name}.{count}x{fanout}.excluding",
        what=f"One hop of {count:,} seeds over the {name}-shaped graph, fanout {fanout}, beside"
        " 1,000 excluded edges",
        entries=[
            Entry("hopflow", partial(exclude, "hopflow", name, count, fanout)),
            Entry("dgl", partial(exclude, "dgl", name, count, fanout)),
        ],
        workloads=[name],
        heavy=heavy,
    )


CASES = [
    weighted_case("arxiv", 1_024, 4, heavy=False),
    weighted_case("arxiv", 15_000, 10, heavy=False),
    weighted_case("products", 60_000, 15, heavy=True),
    exclude_case("arxiv", 15_000, 10, heavy=False),
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
