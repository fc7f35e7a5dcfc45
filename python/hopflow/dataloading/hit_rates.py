"""How many rows a cache has, of the rows that batches want, for any size of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def fixed_hit_rates(chances: Tensor, sizes: Sequence[int]) -> list[float]:
    """Share of the wanted rows that the most wanted ones are, for caches of so many rows.

    Parameters
    ----------
    chances : Tensor
        How likely each row is wanted by a batch, shape [N].
    sizes : sequence of int
        Rows of each cache.
    """
    sums = chances.sort(descending=True).values.double().cumsum(0)
    total = float(sums[-1]) if sums.shape[0] else 0.0
    if not total:
        return [0.0] * len(sizes)
    most = sums.shape[0]
    return [float(sums[min(size, most) - 1]) / total if size else 0.0 for size in sizes]


def recent_hit_rates(chances: Tensor, sizes: Sequence[int]) -> list[float]:
    """The same for caches that keep the rows used last, once they are full.

    A row that is wanted with probability ``p`` a batch is there if it was wanted within the last
    ``t`` batches, where ``t`` is such that as many rows as fit were.

    References
    ----------
    Che, Tung and Wang, "Hierarchical Web caching systems: modeling, design and experimental
    results", IEEE JSAC 20(7), 2002.
    """
    # Equal chances are one bin: 4,096 of them, by logarithm, instead of a hundred million rows.
    wanted = chances[chances > 0].double()
    if not wanted.shape[0]:
        return [0.0] * len(sizes)
    logs = wanted.log()
    low, high = float(logs.min()), float(logs.max())
    bins = ((logs - low) / max(high - low, 1e-9) * 4095).long()
    counts = torch.bincount(bins, minlength=4096).double()
    sums = torch.zeros(4096, dtype=torch.float64, device="cpu").index_add_(0, bins, wanted)
    rates = (sums / counts.clamp(min=1))[counts > 0]
    counts = counts[counts > 0]
    # In a batch a row is wanted once at most: not wanted in t batches with probability (1 - p)^t.
    misses = torch.log1p(-rates.clamp(max=1 - 1e-12))
    found = []
    for size in sizes:
        if size >= wanted.shape[0]:
            found.append(1.0)
            continue
        shortest, longest = 0.0, 1.0
        while _held(counts, misses, longest) < size:
            longest *= 2
        for _ in range(60):
            middle = (shortest + longest) / 2
            if _held(counts, misses, middle) < size:
                shortest = middle
            else:
                longest = middle
        hits = float((counts * rates * -torch.expm1(misses * longest)).sum())
        found.append(hits / float((counts * rates).sum()))
    return found


def _held(counts: Tensor, misses: Tensor, batches: float) -> float:
    """Rows that were wanted within so many batches."""
    return float((counts * -torch.expm1(misses * batches)).sum())
