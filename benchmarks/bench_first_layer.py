"""A first layer that only aggregates: rows read where they are, or gathered by the loader."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from bench_epoch import Loop, consumer
from hopbench import Case, Entry, Task
from hopbench.engines import features, loader, stream
from hopbench.models import Sage
from hopbench.workloads import Workloads

LOOP = Loop("products", (15, 10, 5), (100, 256, 256, 47), 10, is_tutorial=False, is_training=True)


def three_layers(workloads: Workloads, *, num_workers: int, rows: str) -> Task:
    """The training loop of ``epoch.three-layer.training`` in hopflow."""
    made = features("hopflow", workloads, LOOP.name)
    batches = loader("hopflow", made, LOOP.seeds(workloads), LOOP.fanouts, num_workers)
    model = Sage("hopflow", LOOP.widths)

    def logits(batch: Any) -> torch.Tensor:
        block = batch[2][0]
        x = block.src_rows("feat") if rows == "in place" else block.srcdata["feat"]
        out: torch.Tensor = model(batch[2], x)
        return out

    consume = consumer(LOOP, model, logits, lambda batch: batch[2][-1].dstdata["label"])
    return stream(batches, LOOP.count, consume, {})


CASES = [
    Case(
        name=f"first_layer.products.workers{num_workers}",
        what="Training of three layers, products-shaped, fanout [15, 10, 5]: input rows read in the"
        f" column, or gathered first; {num_workers} workers",
        unit="batch",
        entries=[
            Entry("hopflow", partial(three_layers, num_workers=num_workers, rows="in place")),
            Entry(
                "gathered", partial(three_layers, num_workers=num_workers, rows="gathered"),
                home="hopflow",
            ),
        ],
        workloads=["products", "products-features"],
        heavy=True,
        most_repeats=9,
    )
    for num_workers in (0, 2)
]  # fmt: skip

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
