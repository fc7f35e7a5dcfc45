"""Records how often DGL's LABOR keeps each edge of a small graph: see README.md.

python tests/oracle/programs/record_labor.py tests/oracle/records/labor.npz
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

# Two seeds that share the sources 2 to 5 (as tests/ops/test_labor.py), and one with a single edge.
SRC = [10, 11, 2, 3, 4, 5, 2, 3, 4, 5, 6, 7, 8, 9, 5]
DST = [0] * 6 + [1] * 8 + [12]
WEIGHTS = [1.0, 2, 3, 4, 5, 6, 1, 1, 2, 2, 3, 3, 4, 8, 2]
TRIALS = 6_000
CASES: list[dict[str, Any]] = [
    {"fanout": fanout, "prob": prob, "importance_sampling": steps}
    for fanout in (2, 3, 7)
    for prob in (None, "w")
    for steps in (0, 1, 2, -1)
]


def name_of(case: dict[str, Any]) -> str:
    """A case's name in the record."""
    return "/".join(f"{key}={value}" for key, value in case.items())


def main(path: str) -> None:
    """Sample every case many times with DGL and count."""
    import dgl
    import torch

    dgl.seed(0)
    graph = dgl.graph((SRC, DST))
    graph.edata["w"] = torch.tensor(WEIGHTS)
    seeds = torch.tensor([0, 1, 12])
    found: dict[str, Any] = {"versions": np.array([dgl.__version__, torch.__version__])}
    for case in CASES:
        counts = torch.zeros(len(SRC), dtype=torch.int64)
        weights = torch.zeros(len(SRC), dtype=torch.float64)
        for _ in range(TRIALS):
            part, (importances,) = dgl.sampling.sample_labors(graph, seeds, **case)
            kept = part.edata[dgl.EID]
            counts[kept] += 1
            if len(importances):
                weights[kept] += importances
        found[f"counts/{name_of(case)}"] = counts.numpy()
        found[f"weights/{name_of(case)}"] = weights.numpy()
    np.savez_compressed(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])
