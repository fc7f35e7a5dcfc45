"""Neighbourhoods by personalised PageRank: local push, beside all seeds at once in scipy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from bench_sample import seeds_of
from hopbench import Case, Entry, Growth, Point, Task, timed
from hopbench.engines import dgl_like, graph, tensors
from hopbench.workloads import Workloads
from numpy.typing import NDArray

SEEDS = 1024
ALPHA = 0.15


def native(name: str, k: int, epsilon: float, workloads: Workloads) -> Task:
    """hopflow.ops.ppr_neighbors."""
    from hopflow import ops

    indptr, indices = tensors(workloads, name)
    indices, seeds = indices.int(), seeds_of(len(indptr) - 1, SEEDS)

    def run() -> Any:
        return ops.ppr_neighbors(indptr, indices, seeds, k, alpha=ALPHA, epsilon=epsilon)

    return timed(run, {"nodes": float(run().counts.sum())})


def in_scipy(name: str, k: int, epsilon: float, workloads: Workloads) -> Task:
    """The same push for all seeds at once, as sparse matrices; its scores keep the same bounds."""
    import scipy.sparse as sp

    indptr, indices = workloads.graph(name)
    num_nodes, degrees = len(indptr) - 1, np.diff(indptr)
    share = np.repeat(1 / np.maximum(degrees, 1), degrees)
    step = sp.csr_matrix((share, indices, indptr), shape=(num_nodes, num_nodes))
    threshold, is_end = epsilon * np.maximum(degrees, 1), degrees == 0
    seeds = seeds_of(num_nodes, SEEDS).numpy()

    def run() -> list[NDArray[np.int32]]:
        ends, size = np.arange(len(seeds) + 1), (len(seeds), num_nodes)
        residual = sp.csr_matrix((np.ones(len(seeds)), seeds.copy(), ends), shape=size)
        scores = sp.csr_matrix(size)
        while True:
            pushed = residual.copy()
            pushed.data *= pushed.data >= threshold[pushed.indices]
            pushed.eliminate_zeros()
            if not pushed.nnz:
                break
            ended = pushed.copy()
            ended.data *= np.where(is_end[ended.indices], 1.0, ALPHA)
            scores = scores + ended
            residual = residual - pushed + (pushed - ended) @ step
        return [largest(row, scores) for row in range(len(seeds))]

    def largest(row: int, scores: Any) -> NDArray[np.int32]:
        begin, end = scores.indptr[row : row + 2]
        ids, values = scores.indices[begin:end], scores.data[begin:end]
        if len(ids) > k:
            kept = np.argpartition(-values, k)[:k]
            ids, values = ids[kept], values[kept]
        found: NDArray[np.int32] = ids[np.argsort(-values)]
        return found

    return timed(run)


def batch(sampler: str, options: Any, workloads: Workloads) -> Task:
    """A batch's subgraph, in the calling thread."""
    made = graph("hopflow", workloads, "arxiv")
    chosen = getattr(dgl_like("hopflow").dataloading, sampler)(options)
    seeds = seeds_of(made.num_nodes(), SEEDS)

    def run() -> Any:
        return chosen.sample(made, seeds)

    return timed(run, {"nodes": run()[2].num_nodes(), "edges": run()[2].num_edges()})


def among_others(workloads: Workloads, copies: int) -> Task:
    """The arxiv-shaped graph beside copies of itself that no walk reaches."""
    from hopflow import ops

    indptr, indices = tensors(workloads, "arxiv")
    num_nodes = len(indptr) - 1
    seeds = seeds_of(num_nodes, SEEDS)
    ends = [indptr[1:] + i * indptr[-1] for i in range(copies)]
    whole = torch.cat([indptr[:1], *ends])
    sources = torch.cat([indices.int() + i * num_nodes for i in range(copies)])
    return timed(lambda: ops.ppr_neighbors(whole, sources, seeds, 32, alpha=ALPHA))


def last_to_first(points: Sequence[Point]) -> float:
    """How much more the last point costs than the first."""
    return points[-1].seconds / points[0].seconds


def case_of(k: int, epsilon: float, *, beside_scipy: bool) -> Case:
    """The nodes of one batch; scipy does the same work whatever ``k``, and takes minutes in all."""
    entries = [Entry("hopflow", partial(native, "arxiv", k, epsilon))]
    if beside_scipy:
        entries.append(Entry("scipy", partial(in_scipy, "arxiv", k, epsilon), home="hopflow"))
    return Case(
        name=f"ppr.arxiv.{epsilon:g}.{k}",
        what=f"The {k} nodes of largest PageRank for {SEEDS:,} nodes of the arxiv-shaped graph,"
        f" epsilon {epsilon:g}",
        entries=entries,
        workloads=["arxiv"],
        heavy=beside_scipy,
        most_repeats=3 if beside_scipy else 1000,
    )


CASES = [
    case_of(32, 1e-3, beside_scipy=True),
    case_of(128, 1e-3, beside_scipy=False),
    case_of(32, 1e-4, beside_scipy=True),
    case_of(128, 1e-4, beside_scipy=False),
    Case(
        name="ppr.sampler",
        what=f"A subgraph around {SEEDS:,} nodes, arxiv-shaped: PPRSampler(32), and ShaDow with"
        " fanouts [10, 5]",
        unit="batch",
        entries=[
            Entry("hopflow", partial(batch, "PPRSampler", 32)),
            Entry(
                "hopflow shadow", partial(batch, "ShaDowKHopSampler", [10, 5]), home="hopflow"
            ),
        ],
        workloads=["arxiv"],
    ),
    Growth(
        name="ppr.growth.nodes",
        what="PageRank of the same nodes in a graph with more and more that they do not reach",
        entries=[Entry("hopflow", among_others, {"copies": n}) for n in (1, 4, 16)],
        x="copies",
        x_label="copies of the graph",
        y_label="seconds a call",
        bound="16 times the nodes cost at most 1.3 times as much",
        judge=last_to_first,
        passes=lambda ratio: ratio <= 1.3,
        workloads=["arxiv"],
    ),
]  # fmt: skip

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
