"""Neighbour sampling: edges a second, and cost against the degree of the nodes."""

from functools import partial

import torch
from measure import header, medians, random_graph

from hopflow import ops


def main() -> None:
    header()
    full = random_graph(1_000_000, 20_000_000).adjacency
    for num_seeds, fanout in ((1024, 10), (15_000, 10), (150_000, 5)):
        seeds = torch.randperm(1_000_000)[:num_seeds]

        run = partial(
            ops.sample_neighbors, full.indptr, full.indices, seeds, fanout, key=1, eids=full.eids
        )
        edges = run()[1].shape[0]
        seconds = medians({"hopflow": run})["hopflow"]
        print(f"{num_seeds} seeds, fanout {fanout}: {edges / seconds / 1e6:.1f} M edges/s")
    for degree in (100, 10_000, 1_000_000):
        indptr, indices = torch.tensor([0, degree]), torch.arange(degree, dtype=torch.int32)
        seeds = torch.zeros(10_000, dtype=torch.int64)
        hub = partial(ops.sample_neighbors, indptr, indices, seeds, 10, key=1)
        print(f"degree {degree}: {medians({'hub': hub})['hub'] / 1e4 * 1e9:.0f} ns a seed")


if __name__ == "__main__":
    main()
