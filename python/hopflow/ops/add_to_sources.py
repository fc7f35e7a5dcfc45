"""Sums over the out-edges of each node, of a graph that is stored by in-edges."""

from __future__ import annotations

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._shapes import require_ids, require_tensor
from hopflow.ops.csc import destinations


def add_to_sources(indptr: Tensor, indices: Tensor, values: Tensor, num_src: int) -> Tensor:
    """``out[indices[e]] += values[destination of e]`` for every edge ``e``; on the CPU.

    No transpose of the edges is made: memory is O(``num_src``), and edges may be mapped from a file
    larger than memory. Those of destinations whose value is 0 are read once, to be checked, others
    twice. Sums are taken in the order of the edges.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [R + 1].
    indices : Tensor
        Source of each edge, shape [E], int32 or int64.
    values : Tensor
        float32, shape [R].
    num_src : int
        Number of sources.

    Returns
    -------
    Tensor
        float32, shape [num_src].

    Raises
    ------
    IndexError
        A source that is not below ``num_src``.
    TypeError, ValueError
        Operands of other dtypes or shapes.
    """
    indices, values = require_ids("indices", indices), require_tensor("values", values)
    out = torch.zeros(num_src, dtype=torch.float32, device="cpu")
    _native.add_to_sources(
        require_tensor("indptr", indptr).contiguous(), indices.contiguous(),
        values.detach().contiguous(), out,
    )  # fmt: skip
    return out


def add_to_sources_reference(
    indptr: Tensor, indices: Tensor, values: Tensor, num_src: int
) -> Tensor:
    """What :func:`add_to_sources` computes, in plain torch."""
    rows = destinations(indptr, indices.shape[0], torch.int64)
    return torch.zeros(num_src, device=values.device).index_add_(0, indices.long(), values[rows])
