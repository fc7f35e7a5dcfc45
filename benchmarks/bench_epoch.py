"""Whole loops: sampling, features, model and, in training, backward and optimiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from hopbench import Case, Entry, Task
from hopbench.engines import BATCH, SKIP, TAIL, features, loader, pyg_loader, stream
from hopbench.models import PygSage, Sage, TutorialModel, flops
from hopbench.workloads import Workloads
from torch.nn import functional

WORKERS = (0, 2)


@dataclass(frozen=True)
class Loop:
    """A data set, a sampler and a model."""

    name: str
    fanouts: tuple[int, ...]
    widths: tuple[int, ...]
    count: int  # batches timed at a time
    is_tutorial: bool
    is_training: bool

    def seeds(self, workloads: Workloads) -> torch.Tensor:
        """The seeds of all batches."""
        return torch.from_numpy(workloads.batches(self.name, BATCH, SKIP + self.count + TAIL))


def consumer(
    loop: Loop, model: torch.nn.Module, logits: Callable[[Any], Any], labels: Callable[[Any], Any]
) -> Callable[[Any], None]:
    """What is done with each batch."""
    optimizer = torch.optim.Adam(model.parameters())

    def consume(batch: Any) -> None:
        out = logits(batch)
        if loop.is_training:
            loss = functional.cross_entropy(out, labels(batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return consume


def with_blocks(engine: str, loop: Loop, workloads: Workloads, num_workers: int) -> Task:
    """The loop in hopflow or DGL, written as their documentation does."""
    made = features(engine, workloads, loop.name)
    batches = loader(engine, made, loop.seeds(workloads), loop.fanouts, num_workers)
    model: torch.nn.Module
    if loop.is_tutorial:
        in_feats, hidden, classes = loop.widths
        model = TutorialModel(engine, in_feats, hidden, classes)
    else:
        model = Sage(engine, loop.widths)
    consume = consumer(
        loop, model,
        lambda batch: model(batch[2], batch[2][0].srcdata["feat"]),
        lambda batch: batch[2][-1].dstdata["label"],
    )  # fmt: skip
    _, _, blocks = next(iter(batches))
    rows = [block.num_dst_nodes() for block in blocks]
    work = {
        "edges": sum(block.num_edges() for block in blocks),
        "flops": flops(rows, loop.widths, loop.is_training),
    }
    return stream(batches, loop.count, consume, work)


def with_pyg(loop: Loop, workloads: Workloads, num_workers: int) -> Task:
    """The loop in PyG, with its own loader and layers."""
    batches = pyg_loader(
        workloads, loop.name, loop.seeds(workloads), loop.fanouts, num_workers, with_features=True
    )
    model = PygSage(loop.widths)
    consume = consumer(loop, model, model, lambda batch: batch.y[: batch.batch_size])
    return stream(batches, loop.count, consume, {})


def case_of(
    name: str, what: str, loop: Loop, *, heavy: bool, engines: Sequence[str], most_repeats: int
) -> Case:
    """One loop in every engine, each without workers and with two."""
    setups = {
        "hopflow": partial(with_blocks, "hopflow", loop),
        "dgl": partial(with_blocks, "dgl", loop),
        "pyg": partial(with_pyg, loop),
    }
    return Case(
        name=name,
        what=what,
        unit="batch",
        entries=[
            Entry(engine, setups[engine], {"num_workers": workers})
            for engine in engines
            for workers in WORKERS
        ],
        workloads=[loop.name, f"{loop.name}-features"],
        limit="gemm",
        heavy=heavy,
        most_repeats=most_repeats,
    )


ALL = ("hopflow", "dgl", "pyg")
CASES = [
    case_of(
        "epoch.tutorial.forward",
        "The tutorial's loop, forward: arxiv-shaped, fanout [4, 4], its hand-written SAGEConv,"
        " 128 features, hidden 128",
        Loop("arxiv", (4, 4), (128, 128, 40), 80, is_tutorial=True, is_training=False),
        heavy=False, engines=ALL, most_repeats=1000,
    ),
    case_of(
        "epoch.tutorial.training",
        "The tutorial's loop, training: the same with cross entropy and Adam",
        Loop("arxiv", (4, 4), (128, 128, 40), 80, is_tutorial=True, is_training=True),
        heavy=False, engines=ALL, most_repeats=1000,
    ),
    case_of(
        "epoch.three-layer.training",
        "Training of three layers of each engine's own mean SAGEConv: products-shaped, fanout"
        " [15, 10, 5], 100 features, hidden 256",
        Loop("products", (15, 10, 5), (100, 256, 256, 47), 10, is_tutorial=False,
             is_training=True),
        heavy=True, engines=ALL, most_repeats=3,
    ),
]  # fmt: skip

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
