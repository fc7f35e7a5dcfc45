"""Renumbering a hop's nodes: seeds first, then what is new among their neighbours."""

from __future__ import annotations

from functools import partial

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.workloads import Workloads

# (seeds, neighbours a seed, nodes of the graph): hops of the arxiv and products loaders.
SHAPES = ((1_024, 4, 169_343), (6_000, 10, 2_449_029), (60_000, 15, 2_449_029))


def inputs(num_seeds: int, degree: int, num_nodes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Distinct seeds and neighbours with repetitions, int64."""
    generator = torch.Generator().manual_seed(0)
    seeds = torch.randperm(num_nodes, generator=generator)[:num_seeds]
    neighbors = torch.rand(num_seeds * degree, generator=generator, dtype=torch.float64)
    return seeds, (neighbors.square() * num_nodes).long()


def hopflow_compact(shape: tuple[int, int, int], workloads: Workloads) -> Task:
    """hopflow.ops.compact_ids."""
    from hopflow import ops

    seeds, neighbors = inputs(*shape)
    return timed(lambda: ops.compact_ids(seeds, neighbors))


def graphbolt_compact(shape: tuple[int, int, int], workloads: Workloads) -> Task:
    """GraphBolt's unique_and_compact_csc_formats."""
    from dgl import graphbolt as gb

    seeds, neighbors = inputs(*shape)
    indptr = torch.arange(0, neighbors.shape[0] + 1, shape[1])
    formats = gb.CSCFormatBase(indptr=indptr, indices=neighbors)
    return timed(lambda: gb.unique_and_compact_csc_formats(formats, seeds))


def torch_unique(shape: tuple[int, int, int], workloads: Workloads) -> Task:
    """torch.unique, which sorts instead."""
    both = torch.cat(inputs(*shape))
    return timed(lambda: torch.unique(both, return_inverse=True))


CASES = [
    Case(
        name=f"compact.{shape[0]}x{shape[1]}",
        what=f"Renumbering {shape[0]:,} seeds and {shape[0] * shape[1]:,} neighbours out of"
        f" {shape[2]:,} nodes",
        entries=[
            Entry("hopflow", partial(hopflow_compact, shape)),
            Entry("graphbolt", partial(graphbolt_compact, shape)),
            Entry("torch", partial(torch_unique, shape)),
        ],
    )
    for shape in SHAPES
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
