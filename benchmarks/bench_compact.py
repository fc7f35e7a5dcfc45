"""Renumbering ids in order of first appearance, against torch.unique (which sorts them)."""

import torch
from measure import header, report

from hopflow import ops


def main() -> None:
    header()
    for num_seeds, num_neighbors, num_nodes in (
        (1024, 10_000, 169_343),
        (15_000, 150_000, 2_450_000),
        (100_000, 500_000, 2_450_000),
    ):
        seeds = torch.randperm(num_nodes)[:num_seeds].int()
        neighbors = torch.randint(num_nodes, (num_neighbors,), dtype=torch.int32)
        both = torch.cat([seeds, neighbors])
        report(
            f"{num_seeds} + {num_neighbors} ids",
            {
                "hopflow": lambda s=seeds, n=neighbors: ops.compact_ids(s, n),
                "torch.unique": lambda b=both: torch.unique(b, return_inverse=True),
            },
        )


if __name__ == "__main__":
    main()
