"""Several node and edge types: loaders and R-GCN training on a graph shaped like ogbn-mag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from hopbench import Case, Entry, Task
from hopbench.engines import BATCH, SKIP, TAIL, nothing, stream
from hopbench.typed import PygRgcn, Rgcn, pyg_typed_loader, typed_graph, typed_loader
from hopbench.typed_arrays import CLASSES
from hopbench.workloads import Workloads
from torch.nn import functional

WORKERS = (0, 2)
ENGINES = ("hopflow", "dgl", "pyg")


def batches_of(
    engine: str, name: str, fanouts: Sequence[int], count: int, workloads: Workloads,
    num_workers: int, *, features: bool,
) -> Any:  # fmt: skip
    seeds = workloads.batches(name, BATCH, SKIP + count + TAIL)
    if engine == "pyg":
        return pyg_typed_loader(workloads, name, seeds, fanouts, num_workers, features=features)
    made = typed_graph(engine, workloads, name, features=features)
    return typed_loader(engine, made, seeds, fanouts, num_workers)


def edges_in(engine: str, batch: Any) -> int:
    """Edges of a batch, of all relations."""
    if engine == "pyg":
        return sum(store.edge_index.shape[1] for store in batch.edge_stores)
    return sum(block.num_edges(r) for block in batch[2] for r in block.canonical_etypes)


def loader_task(
    engine: str, name: str, fanouts: Sequence[int], count: int, workloads: Workloads,
    num_workers: int,
) -> Task:  # fmt: skip
    batches = batches_of(engine, name, fanouts, count, workloads, num_workers, features=False)
    return stream(batches, count, nothing, {"edges": edges_in(engine, next(iter(batches)))})


def training_task(
    engine: str, name: str, fanouts: Sequence[int], hidden: int, count: int,
    workloads: Workloads, num_workers: int,
) -> Task:  # fmt: skip
    batches = batches_of(engine, name, fanouts, count, workloads, num_workers, features=True)
    torch.manual_seed(0)
    model = PygRgcn(hidden, CLASSES) if engine == "pyg" else Rgcn(engine, hidden, CLASSES)
    optimizer = torch.optim.Adam(model.parameters())

    def consume(batch: Any) -> None:
        if engine == "pyg":
            out, labels = model(batch), batch["paper"].y[: batch["paper"].batch_size]
        else:
            blocks = batch[2]
            out = model(blocks, blocks[0].srcdata["feat"])
            labels = blocks[-1].dstnodes["paper"].data["label"]
        loss = functional.cross_entropy(out, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return stream(batches, count, consume, {"edges": edges_in(engine, next(iter(batches)))})


def case_of(
    name: str, what: str, setup: Callable[..., Task], workload: str, *, features: bool
) -> Case:
    """One loop in every engine, each without workers and with two."""
    return Case(
        name=name,
        what=what,
        unit="batch",
        entries=[
            Entry(engine, partial(setup, engine), {"num_workers": workers})
            for engine in ENGINES
            for workers in WORKERS
        ],
        workloads=[workload, f"{workload}-features"] if features else [workload],
        heavy=True,
        most_repeats=5,
    )


def loader_case(name: str, fanouts: tuple[int, ...], count: int) -> Case:
    def setup(engine: str, workloads: Workloads, num_workers: int) -> Task:
        return loader_task(engine, name, fanouts, count, workloads, num_workers)

    told = ", ".join(map(str, fanouts))
    return case_of(
        f"loader.{name}.{'-'.join(map(str, fanouts))}",
        f"Sampling only, 4 node types and 8 relations shaped like ogbn-mag, fanout [{told}] a"
        " relation, 1024 papers a batch",
        setup, name, features=False,
    )  # fmt: skip


def training_case(name: str, fanouts: tuple[int, ...], hidden: int, count: int) -> Case:
    def setup(engine: str, workloads: Workloads, num_workers: int) -> Task:
        return training_task(engine, name, fanouts, hidden, count, workloads, num_workers)

    told = ", ".join(map(str, fanouts))
    return case_of(
        f"epoch.{name}.rgcn",
        f"R-GCN training of two layers, hidden {hidden}, 349 classes, on the same graph, fanout"
        f" [{told}] a relation",
        setup, name, features=True,
    )  # fmt: skip


CASES = [
    loader_case("mag", (10, 10), 30),
    loader_case("mag", (25, 20), 20),
    training_case("mag", (10, 10), 64, 10),
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
