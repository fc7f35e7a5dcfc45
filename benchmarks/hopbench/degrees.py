"""Degrees of synthetic graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Shape:
    """The size of a synthetic data set."""

    num_nodes: int
    num_edges: int
    sigma: float  # of the logarithm of the degrees
    max_degree: int
    num_train: int
    num_feats: int = 0
    num_classes: int = 0
    is_symmetric: bool = True


def degrees(shape: Shape, rng: np.random.Generator) -> NDArray[np.int64]:
    """Degrees with a log-normal tail that sum to ``num_edges`` exactly."""
    raw = rng.lognormal(0.0, shape.sigma, shape.num_nodes)
    low, high = 0.0, 16.0 * shape.num_edges / raw.sum()
    for _ in range(50):  # the scale at which the clipped degrees have the right sum
        scale = (low + high) / 2
        total = np.clip(np.rint(raw * scale), 1, shape.max_degree).sum()
        low, high = (scale, high) if total < shape.num_edges else (low, scale)
    result = np.clip(np.rint(raw * low), 1, shape.max_degree).astype(np.int64)
    missing = shape.num_edges - int(result.sum())
    # Nodes of middling degree take the rest, one edge each, so that the ends of the law stay.
    order = np.argsort(np.abs(result - result.mean()), kind="stable")
    np.add.at(result, order[np.arange(abs(missing)) % len(order)], int(np.sign(missing)))
    return result
