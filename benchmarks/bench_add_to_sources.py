"""Sums over the out-edges of each node, of a graph that is stored by in-edges."""

from __future__ import annotations

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.workloads import Workloads


def inputs(workloads: Workloads) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The graph of arxiv's shape, and a value for each node."""
    indptr, indices = (torch.from_numpy(x) for x in workloads.graph("arxiv"))
    return indptr, indices, torch.rand(indptr.shape[0] - 1)


def hopflow_sums(workloads: Workloads) -> Task:
    """hopflow.ops.add_to_sources."""
    from hopflow import ops

    indptr, indices, values = inputs(workloads)
    return timed(lambda: ops.add_to_sources(indptr, indices, values, values.shape[0]))


def torch_sums(workloads: Workloads) -> Task:
    """index_add_, with the value of each edge at hand."""
    indptr, indices, values = inputs(workloads)
    per_edge, sources = values.repeat_interleave(indptr.diff()), indices.long()
    return timed(lambda: torch.zeros_like(values).index_add_(0, sources, per_edge))


CASES = [
    Case(
        name="add_to_sources.arxiv",
        what="Sums over out-edges of a graph of arxiv's shape",
        entries=[Entry("hopflow", hopflow_sums), Entry("torch", torch_sums)],
        workloads=["arxiv"],
    )
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
