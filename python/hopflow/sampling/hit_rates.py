"""How many of the rows that batches want a cache has, for any size of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_BINS = 1 << 13
_LOWEST = -90.0  # logarithm of the least chance that is told from another: float32 has none below
_CHUNK = 1 << 22


class ChanceBins:
    """How many rows there are of each chance to be wanted: bins by logarithm, of a few kilobytes.

    Parameters
    ----------
    chances : Tensor
        How likely each row is wanted by a batch, float32, shape [N].
    """

    def __init__(self, chances: Tensor) -> None:
        counts = torch.zeros(_BINS, dtype=torch.float64, device="cpu")
        sums = torch.zeros(_BINS, dtype=torch.float64, device="cpu")
        for chunk in torch.split(chances, _CHUNK):
            wanted = chunk[chunk > 0].double()
            bins = ((wanted.log() / _LOWEST).clamp(0, 1) * (_BINS - 1)).long()
            counts += torch.bincount(bins, minlength=_BINS)
            sums.index_add_(0, bins, wanted)
        used = counts > 0
        # The most likely first.
        self.counts, self.sums = counts[used], sums[used]
        self.rates = (self.sums / self.counts).clamp(max=1.0)
        self.num_wanted = float(self.counts.sum())
        self.total = float(self.sums.sum())

    def fixed_hit_rates(self, sizes: Sequence[int]) -> list[float]:
        """Share of the wanted rows that the most likely ones are, for caches of so many rows."""
        if not self.total:
            return [0.0] * len(sizes)
        rows, hits = self.counts.cumsum(0), self.sums.cumsum(0)
        found = []
        for size in sizes:
            if size >= self.num_wanted:
                found.append(1.0)
                continue
            at = int(torch.searchsorted(rows, float(size), right=True))
            before = float(rows[at - 1]) if at else 0.0
            own = float(hits[at - 1]) if at else 0.0
            found.append((own + (size - before) * float(self.rates[at])) / self.total)
        return found

    def recent_hit_rates(self, sizes: Sequence[int]) -> list[float]:
        """The same for caches that keep the rows used last, once full, of several batches' rows.

        A row that is wanted with probability ``p`` a batch is there if it was wanted within the
        last ``t`` batches, where ``t`` is such that as many rows as fit were.

        References
        ----------
        Che, Tung and Wang, "Hierarchical Web caching systems: modeling, design and experimental
        results", IEEE JSAC 20(7), 2002.
        """
        if not self.total:
            return [0.0] * len(sizes)
        # In a batch a row is wanted once at most: not within t of them with probability (1 - p)^t.
        misses = torch.log1p(-self.rates.clamp(max=1 - 1e-12))
        found = []
        for size in sizes:
            if size >= self.num_wanted:
                found.append(1.0)
                continue
            shortest, longest = 0.0, 1.0
            while self._held(misses, longest) < size:
                longest *= 2
            for _ in range(60):
                middle = (shortest + longest) / 2
                if self._held(misses, middle) < size:
                    shortest = middle
                else:
                    longest = middle
            hits = float((self.sums * -torch.expm1(misses * longest)).sum())
            found.append(hits / self.total)
        return found

    def _held(self, misses: Tensor, batches: float) -> float:
        """Rows that were wanted within so many batches."""
        return float((self.counts * -torch.expm1(misses * batches)).sum())
