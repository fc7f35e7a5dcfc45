"""Train on features in few bits and compare the accuracy with that of float32.

    python scripts/measure_encodings.py ../shared/data/facebook-page-page --seeds 5

GraphSAGE of two layers with the mean, neighbour-sampled. Runs of one seed begin with the same
weights and see the same batches and edges, whatever the encoding: what differs is the features. The
accuracy is that on the test nodes in the epoch with the best validation, with all edges.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

import hopflow as hf
from hopflow import ops
from hopflow.dataloading import DataLoader, NeighborSampler
from hopflow.train import GraphSAGE

BATCH, FANOUTS, HIDDEN, RATE, DROPOUT = 1024, [10, 10], 128, 0.003, 0.3

Lookup = Callable[["Tensor | None"], Tensor]


@dataclass(frozen=True)
class Table:
    """Features in an encoding: their bytes, and rows of them in float32 (all for None)."""

    num_bytes: int
    rows: Lookup


def tables(x: Tensor) -> dict[str, Table]:
    """The features in every encoding."""
    q, scale, offset = ops.quantize_by_column(x)
    by_row = ops.quantize_by_row(x)
    made = {
        "float32": Table(x.nbytes, lambda ids: ops.gather_decoded(x, ids)),
        "int8 by column": Table(
            q.nbytes + scale.nbytes + offset.nbytes,
            lambda ids: ops.gather_decoded(q, ids, scale=scale, offset=offset),
        ),
        "uint8 by row": Table(
            by_row.nbytes, lambda ids: ops.gather_decoded(by_row, ids, by_row=True)
        ),
    }
    for dtype in (torch.float16, torch.bfloat16):
        halves = x.to(dtype)
        made[str(dtype).removeprefix("torch.")] = Table(
            halves.nbytes, lambda ids, halves=halves: ops.gather_decoded(halves, ids)
        )
    return made


def accuracy(
    graph: hf.Graph,
    labels: Tensor,
    split: dict[str, Tensor],
    rows: Lookup,
    *,
    seed: int,
    epochs: int,
) -> float:
    """Test accuracy, in percent, of one run."""
    torch.manual_seed(seed)
    hf.seed(seed)
    everything = rows(None)
    classes = int(labels.max()) + 1
    model = GraphSAGE(everything.shape[1], HIDDEN, classes, num_layers=2, dropout=DROPOUT)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    loader = DataLoader(
        graph, split["train"], NeighborSampler(FANOUTS), batch_size=BATCH, shuffle=True
    )
    best, found = -1.0, 0.0
    for _ in range(epochs):
        model.train()
        for input_nodes, seeds, blocks in loader:
            logits = model(blocks, rows(input_nodes))
            loss = functional.cross_entropy(logits, labels[seeds.long()])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            right = (model([graph, graph], everything).argmax(1) == labels).double()
        valid, test = (float(right[split[name]].mean()) for name in ("valid", "test"))
        if valid > best:
            best, found = valid, test
    return 100 * found


def main() -> int:
    """Measure, and say whether the encodings of 8 bits stay within the bound."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", help="a data set, as hopflow.datasets.load takes it")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--within", type=float, default=0.3, help="points below float32 allowed")
    parser.add_argument("--only", nargs="*", help="encodings beside float32; by default all")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    dataset = hf.datasets.load(options.data)
    graph, labels = dataset[0]
    x, labels = graph.ndata["feat"].float(), labels.view(-1).long()
    split = dataset.get_idx_split()
    graph = hf.add_reverse_edges(graph)
    figures = {}
    for name, table in tables(x).items():
        if options.only is not None and name not in ("float32", *options.only):
            continue
        runs = [
            accuracy(graph, labels, split, table.rows, seed=seed, epochs=options.epochs)
            for seed in range(options.seeds)
        ]
        mean = statistics.mean(runs)
        figures[name] = {"bytes": table.num_bytes, "mean": mean, "runs": runs}
        if not options.json:
            spread = statistics.stdev(runs) if len(runs) > 1 else 0.0
            behind = mean - figures["float32"]["mean"]
            print(
                f"{name:15} {table.num_bytes / 1e6:7.2f} MB  test {mean:.2f} % ± {spread:.2f}"
                f" ({behind:+.2f})",
                flush=True,
            )
    if options.json:
        print(json.dumps(figures))
    least = figures["float32"]["mean"] - options.within
    return int(any(figure["mean"] < least for figure in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
