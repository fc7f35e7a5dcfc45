"""Nodes drawn by weight, as negative examples are."""

from __future__ import annotations

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.sampling import random


class WeightedNodes:
    """Draws ids with a probability proportional to their weights; prepared once, O(their number).

    Parameters
    ----------
    weights : Tensor
        Weight of each id, shape [N], float32 or float64, finite, not negative. Ids of weight 0 are
        never drawn.

    Raises
    ------
    ValueError
        No weight is positive, or one is negative, infinite or NaN.
    """

    def __init__(self, weights: Tensor) -> None:
        if bool((~(weights >= 0)).any()):
            raise ValueError("weights: expected finite weights >= 0")
        ids = (weights > 0).nonzero().squeeze(1)
        if not ids.shape[0]:
            raise ValueError(f"weights: expected a positive one among {weights.shape[0]}, got none")
        indptr = torch.tensor([0, ids.shape[0]], device=ids.device)
        ops.mark_csc(indptr, ids, None, weights.shape[0])
        self._edges = ops.WalkEdges(indptr, ids, None, ops.row_weights(indptr, weights[ids]))

    def draw(self, count: int) -> Tensor:
        """``count`` independent draws, int64; keyed as those of samplers are."""
        # Each draw is the first step of a walk from a node with an edge to every id.
        starts = torch.zeros(count, dtype=torch.int64, device=self._edges.indices.device)
        traces, _ = ops.random_walk([self._edges], [0], starts, key=random.next_key())
        return traces[:, 1]
