"""Draws that the synthetic data sets share: orders, class sizes, numbers that add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .dataset import Array, Ids


@dataclass(frozen=True, eq=False)
class Groups:
    """Where each item belongs: a group, and the wider one that holds it.

    Parameters
    ----------
    narrow
        int64 ``[num_items]``.
    wide
        int64 ``[num_items]``.
    """

    narrow: Ids
    wide: Ids


def shuffled(rng: np.random.Generator, size: int) -> Ids:
    """A random order of ``range(size)``, int64 ``[size]``."""
    # argsort of random(): unlike permutation(), its stream is not numpy's to change.
    return np.argsort(rng.random(size), kind="stable")


def draw_classes(rng: np.random.Generator, shares: Array, num_items: int) -> Ids:
    """A class for each item, int64 ``[num_items]``, in sizes that the shares fix.

    Parameters
    ----------
    rng
        Source of randomness.
    shares
        float64 ``[num_classes]``, adding up to 1.
    num_items
        At least as many as classes: each class has at least one item.
    """
    # Exact class sizes, each at least 1, so that a small graph has all the classes it names.
    ends = np.floor(np.cumsum(shares) * (num_items - len(shares)) + 1e-6)
    sizes = 1 + np.diff(ends, prepend=0).astype(np.int64)
    sizes[sizes.argmax()] += num_items - sizes.sum()
    return np.repeat(np.arange(len(shares)), sizes)[shuffled(rng, num_items)]


def share_out(weight: Array, total: int, *, least: Ids, most: Ids | int) -> Ids:
    """Numbers in proportion to weights that add up to exactly `total`.

    Parameters
    ----------
    weight
        float64 ``[num_items]``, above 0.
    total
        Their sum; between the sums of `least` and `most`.
    least, most
        int64 ``[num_items]`` (or one number), bounds of each; ``least <= most``.

    Returns
    -------
    ndarray
        int64 ``[num_items]``; `least` plus a share of the rest.
    """
    counts = least.copy()
    bounds = np.broadcast_to(np.asarray(most, dtype=np.int64), counts.shape)
    while (missing := total - int(counts.sum())) > 0:
        open_ = np.flatnonzero(counts < bounds)
        share = weight[open_] / weight[open_].sum()
        # Rounding the running sum, not the terms, hands out exactly `missing`.
        ends = np.rint(np.cumsum(share) * missing).astype(np.int64)
        counts[open_] = np.minimum(counts[open_] + np.diff(ends, prepend=0), bounds[open_])
    return counts
