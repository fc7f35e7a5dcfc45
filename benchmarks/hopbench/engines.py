"""Graphs and loaders of every engine, built the way its own documentation does.

Each library is imported where it is used: the same file runs in interpreters that lack the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hopbench.case import Task, Unavailable
from hopbench.shared import share
from hopbench.workloads import Workloads

BATCH = 1024
# Batches that are not timed: workers start, buffers and caches fill.
SKIP = 6
# Batches after the last timed one, so that the time does not end while workers run dry.
TAIL = 6


def dgl_like(engine: str) -> Any:
    """The module that has DGL's surface: hopflow or dgl itself."""
    if engine == "hopflow":
        import hopflow

        return hopflow
    import dgl

    return dgl


def functions(engine: str) -> Any:
    """Its built-in message and reduce functions."""
    if engine == "hopflow":
        import hopflow.function

        return hopflow.function
    import dgl.function

    return dgl.function


def tensors(
    workloads: Workloads, name: str, isolated: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """A graph's in-edges as int64 tensors, the dtype in which data sets come."""
    indptr, indices = workloads.graph(name)
    if isolated:
        indptr = np.concatenate([indptr, np.full(isolated, indptr[-1])])
    return torch.from_numpy(indptr), torch.from_numpy(indices.astype(np.int64))


def graph(engine: str, workloads: Workloads, name: str, isolated: int = 0) -> Any:
    """The graph in hopflow or DGL, in CSC, shared by the entries of a case."""

    def make() -> Any:
        indptr, indices = tensors(workloads, name, isolated)
        made = dgl_like(engine).graph(("csc", (indptr, indices, [])))
        return made.formats(["csc"]) if engine == "dgl" else made

    return share((engine, name, isolated), make)


def features(engine: str, workloads: Workloads, name: str) -> Any:
    """The graph with its features and labels as node data."""
    made = graph(engine, workloads, name)
    if "feat" not in made.ndata:
        for key in ("feat", "label"):
            made.ndata[key] = torch.from_numpy(workloads.array(f"{name}-features", key))
    return made


def loader(
    engine: str, made: Any, seeds: torch.Tensor, fanouts: Sequence[int], num_workers: int,
    batch_size: int = BATCH,
) -> Any:  # fmt: skip
    """hopflow's or DGL's loader; the seeds are in random order already, so it does not shuffle."""
    data = dgl_like(engine).dataloading
    return data.DataLoader(
        made, seeds.to(made.idtype), data.NeighborSampler(list(fanouts)), device="cpu",
        batch_size=batch_size, shuffle=False, drop_last=False, num_workers=num_workers,
    )  # fmt: skip


def graphbolt_loader(
    workloads: Workloads, name: str, seeds: torch.Tensor, fanouts: Sequence[int], num_workers: int,
    batch_size: int = BATCH,
) -> Any:  # fmt: skip
    """GraphBolt's pipeline, up to the sampled and renumbered subgraphs."""
    from dgl import graphbolt as gb

    made = share(
        ("graphbolt", name), lambda: gb.fused_csc_sampling_graph(*tensors(workloads, name))
    )
    pipe = gb.ItemSampler(gb.ItemSet(seeds, names="seed_nodes"), batch_size=batch_size)
    pipe = pipe.sample_neighbor(made, list(fanouts))
    return gb.DataLoader(pipe, num_workers=num_workers, persistent_workers=False)


def pyg_loader(
    workloads: Workloads, name: str, seeds: torch.Tensor, fanouts: Sequence[int], num_workers: int,
    batch_size: int = BATCH, with_features: bool = False,
) -> Any:  # fmt: skip
    """PyG's NeighborLoader; it samples through pyg-lib or torch-sparse, whichever is there."""
    from torch_geometric import typing
    from torch_geometric.data import Data
    from torch_geometric.loader import NeighborLoader

    if not (typing.WITH_PYG_LIB or typing.WITH_TORCH_SPARSE):
        raise Unavailable(
            "torch-geometric samples only with pyg-lib or torch-sparse; neither is here"
        )

    def make() -> Any:
        indptr, indices = tensors(workloads, name)
        size = indptr.shape[0] - 1
        if typing.WITH_TORCH_SPARSE:
            from torch_sparse import SparseTensor

            return Data(
                adj_t=SparseTensor(
                    rowptr=indptr, col=indices, sparse_sizes=(size, size), is_sorted=True,
                    trust_data=True,
                ),
                num_nodes=size,
            )  # fmt: skip
        rows = torch.repeat_interleave(torch.arange(size), indptr.diff())
        return Data(edge_index=torch.stack([indices, rows]), num_nodes=size)

    data = share(("pyg", name), make)
    if with_features and "x" not in data:
        data.x = torch.from_numpy(workloads.array(f"{name}-features", "feat"))
        data.y = torch.from_numpy(workloads.array(f"{name}-features", "label"))
    return NeighborLoader(
        data, num_neighbors=list(reversed(fanouts)), input_nodes=seeds, batch_size=batch_size,
        shuffle=False, num_workers=num_workers,
    )  # fmt: skip


def edges_of(engine: str, batch: Any) -> tuple[int, int]:
    """Edges sampled in a batch, and nodes whose neighbours were drawn."""
    if engine == "graphbolt":
        subgraphs = [s.sampled_csc for s in batch.sampled_subgraphs]
        return sum(len(s.indices) for s in subgraphs), sum(len(s.indptr) - 1 for s in subgraphs)
    if engine == "pyg":
        edges = batch.adj_t.nnz() if "adj_t" in batch else batch.edge_index.shape[1]
        return edges, sum(batch.num_sampled_nodes[:-1]) if "num_sampled_nodes" in batch else 0
    blocks = batch[2]
    return sum(b.num_edges() for b in blocks), sum(b.num_dst_nodes() for b in blocks)


def sampling_work(engine: str, batches: Iterable[Any], count: int = 4) -> dict[str, float]:
    """Mean work of a batch. A line each: an edge's neighbour id, and a node's place in indptr."""
    iterator = iter(batches)
    counts = [edges_of(engine, next(iterator)) for _ in range(count)]
    edges, nodes = (sum(c) / count for c in zip(*counts))
    return {"edges": edges, "lines": edges + nodes}


def stream(
    batches: Iterable[Any], count: int, consume: Callable[[Any], Any], work: Mapping[str, float]
) -> Task:
    """A task over a loader: seconds a batch, between deliveries in mid-stream.

    Starting workers and ending them is not timed, for any engine; the loader holds ``SKIP`` batches
    before the timed ones and ``TAIL`` after.
    """

    def take(iterator: Iterator[Any], number: int) -> None:
        for _ in range(number):
            consume(next(iterator))

    def measure() -> float:
        iterator = iter(batches)
        take(iterator, SKIP)
        start = time.perf_counter()
        take(iterator, count)
        return (time.perf_counter() - start) / count

    def run() -> None:
        take(iter(batches), count)

    return Task(run, measure, work)


def nothing(batch: Any) -> None:
    """Consume a batch by dropping it."""
