"""Measuring one function against another in one process.

Machines are shared and noisy: candidates take turns, and medians and ratios are what counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import hopflow as hf


def medians(candidates: dict[str, Callable[[], Any]], repeats: int = 15) -> dict[str, float]:
    """Median seconds of each candidate, run in turn ``repeats`` times after one warm-up each."""
    for run in candidates.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def report(what: str, candidates: dict[str, Callable[[], Any]], repeats: int = 15) -> None:
    """Print the median of each candidate, and how many times faster the first one is."""
    result = medians(candidates, repeats)
    first = next(iter(result.values()))
    parts = [f"{name} {s * 1e3:.3f} ms ({s / first:.2f}x)" for name, s in result.items()]
    print(f"{what}: " + ", ".join(parts), flush=True)


def header() -> None:
    """Print what the figures below depend on."""
    print(
        f"hopflow {hf.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads,"
        f" {hf.ops.instruction_set()}"
    )


def random_graph(num_nodes: int, num_edges: int, seed: int = 0) -> hf.Graph:
    """A graph with a heavy-tailed in-degree: destinations follow a power law."""
    generator = torch.Generator().manual_seed(seed)
    src = torch.randint(num_nodes, (num_edges,), generator=generator)
    dst = (torch.rand(num_edges, generator=generator).pow(3) * num_nodes).long()
    shuffled = torch.randperm(num_nodes, generator=generator)
    return hf.graph((src, shuffled[dst]), num_nodes=num_nodes)
