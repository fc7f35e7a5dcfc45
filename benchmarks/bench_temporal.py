"""Sampling in time: one hop, and the blocks of a batch, beside the same without times."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from bench_sample import seeds_of
from hopbench import Case, Entry, Task, timed
from hopbench.engines import graph, tensors
from hopbench.shared import share
from hopbench.workloads import Workloads

SEEDS = 1024
MOST = 1_000_000


def times_of(num_edges: int) -> torch.Tensor:
    """A time an edge, int64."""
    return torch.randint(MOST, (num_edges,), generator=torch.Generator().manual_seed(3))


def seed_times_of(count: int) -> torch.Tensor:
    """A time a seed, from the latter half: most edges are early enough."""
    generator = torch.Generator().manual_seed(4)
    return torch.randint(MOST // 2, MOST, (count,), generator=generator)


def timed_graph(workloads: Workloads, name: str) -> Any:
    """hopflow's graph with the column ``t``, shared by the cases."""
    made = graph("hopflow", workloads, name)
    if "t" not in made.edata:
        made.edata["t"] = times_of(made.num_edges())
    return made


def graphbolt_graph(workloads: Workloads, name: str) -> Any:
    """GraphBolt's graph with times."""
    from dgl import graphbolt as gb

    def make() -> Any:
        indptr, indices = tensors(workloads, name)
        times = {"t": times_of(indices.shape[0])}
        return gb.fused_csc_sampling_graph(indptr, indices, edge_attributes=times)

    return share(("graphbolt in time", name), make)


def hop(name: str, count: int, fanout: int, workloads: Workloads, *, strategy: str) -> Task:
    """hopflow.ops.sample_temporal, a new key each call; the order of time was made before."""
    from hopflow.sampling.temporal_pools import temporal_pools

    (pool,) = temporal_pools(timed_graph(workloads, name), "t").timed_pools
    indptr = pool.adjacency.indptr
    seeds, at = seeds_of(indptr.shape[0] - 1, count), seed_times_of(count)
    key = iter(range(1 << 62))

    def run() -> Any:
        return pool.sample_at(
            seeds, at, fanout, key=next(key), strategy=strategy, strict=True, replace=False,
            excluded=None,
        )  # fmt: skip

    return timed(run, {"edges": run()[1].shape[0]})


def untimed_hop(name: str, count: int, fanout: int, workloads: Workloads) -> Task:
    """hopflow.ops.sample_neighbors of the same seeds."""
    from hopflow import ops

    full = graph("hopflow", workloads, name).adjacency.full()
    seeds = seeds_of(len(full.indptr) - 1, count).to(full.indices.dtype)
    key = iter(range(1 << 62))

    def run() -> Any:
        return ops.sample_neighbors(full.indptr, full.indices, seeds, fanout, key=next(key))

    return timed(run, {"edges": run()[1].shape[0]})


def graphbolt_hop(name: str, count: int, fanout: int, workloads: Workloads) -> Task:
    """GraphBolt's temporal_sample_neighbors, which looks at all edges of a seed."""
    made = graphbolt_graph(workloads, name)
    seeds, at = seeds_of(made.total_num_nodes, count), seed_times_of(count)
    fanouts = torch.tensor([fanout])

    def run() -> Any:
        return made.temporal_sample_neighbors(seeds, at, fanouts, edge_timestamp_attr_name="t")

    return timed(run, {"edges": len(run().sampled_csc.indices)})


def blocks(name: str, fanouts: tuple[int, ...], workloads: Workloads) -> Task:
    """TemporalNeighborSampler.sample_at."""
    from hopflow.dataloading import TemporalNeighborSampler

    made = timed_graph(workloads, name)
    seeds, at = seeds_of(made.num_nodes(), SEEDS), seed_times_of(SEEDS)
    sampler = TemporalNeighborSampler(fanouts, edge_time="t", strict=True)

    def run() -> Any:
        return sampler.sample_at(made, seeds, at)

    return timed(run, {"edges": sum(block.num_edges() for block in run()[2])})


def untimed_blocks(name: str, fanouts: tuple[int, ...], workloads: Workloads) -> Task:
    """NeighborSampler.sample of the same seeds: all edges are eligible, rows are nodes."""
    from hopflow.dataloading import NeighborSampler

    made = graph("hopflow", workloads, name)
    seeds = seeds_of(made.num_nodes(), SEEDS)
    sampler = NeighborSampler(fanouts)

    def run() -> Any:
        return sampler.sample(made, seeds)

    return timed(run, {"edges": sum(block.num_edges() for block in run()[2])})


def graphbolt_blocks(name: str, fanouts: tuple[int, ...], workloads: Workloads) -> Task:
    """GraphBolt's TemporalNeighborSampler, hop by hop."""
    from dgl import graphbolt as gb
    from torch.utils.data.datapipes.iter import IterableWrapper

    made = graphbolt_graph(workloads, name)
    seeds, at = seeds_of(made.total_num_nodes, SEEDS), seed_times_of(SEEDS)
    sampler = gb.TemporalNeighborSampler(
        IterableWrapper([]), made, list(fanouts), edge_timestamp_attr_name="t"
    )

    def run() -> Any:
        return sampler.sample_subgraphs(seeds, at)

    edges = sum(len(part.sampled_csc.indices) for part in run()[1])
    return timed(run, {"edges": edges})


def case_of_hop(name: str, count: int, fanout: int) -> Case:
    """One hop over one graph."""
    return Case(
        name=f"temporal.hop.{name}.{count}x{fanout}",
        what=f"One hop of {count:,} seeds over the {name}-shaped graph, fanout {fanout}, of the"
        " edges before each seed's time",
        entries=[
            Entry("hopflow", partial(hop, name, count, fanout, strategy="uniform")),
            Entry(
                "hopflow latest", partial(hop, name, count, fanout, strategy="last"), home="hopflow"
            ),
            Entry("hopflow untimed", partial(untimed_hop, name, count, fanout), home="hopflow"),
            Entry("graphbolt", partial(graphbolt_hop, name, count, fanout)),
        ],
        workloads=[name],
    )


def case_of_blocks(name: str, fanouts: tuple[int, ...], heavy: bool) -> Case:
    """One batch; fanouts from the input layer to the output layer."""
    return Case(
        name=f"temporal.blocks.{name}.{'-'.join(map(str, fanouts))}",
        what=f"Blocks of {SEEDS:,} seeds, each at a time of its own, over the {name}-shaped graph,"
        f" fanouts {list(fanouts)}",
        entries=[
            Entry("hopflow", partial(blocks, name, fanouts)),
            Entry("hopflow untimed", partial(untimed_blocks, name, fanouts), home="hopflow"),
            Entry("graphbolt", partial(graphbolt_blocks, name, fanouts)),
        ],
        workloads=[name],
        heavy=heavy,
    )


CASES = [
    case_of_hop("arxiv", 15_000, 10),
    case_of_blocks("arxiv", (4, 4), heavy=False),
    case_of_blocks("arxiv", (10, 10), heavy=False),
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
