"""Id compaction: renumber the ids of a batch in order of first appearance."""

from __future__ import annotations

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._shapes import id_dtype, require_ids
from hopflow.ops.pool import empty


def compact_ids(seeds: Tensor, neighbors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number the distinct ids, seeds first, then what is new among the neighbours.

    Parameters
    ----------
    seeds : Tensor
        Ids, shape [S], int32 or int64; may repeat.
    neighbors : Tensor
        Ids, shape [M], same dtype; may repeat.

    Returns
    -------
    unique_ids : Tensor
        Distinct ids in order of first appearance, shape [U], dtype of ``seeds``. If the seeds are
        distinct they are its first S elements.
    local_seeds : Tensor
        Number of each seed, shape [S]: ``unique_ids[local_seeds] == seeds``. int32 where S + M
        fits.
    local_neighbors : Tensor
        Number of each neighbour, shape [M]: ``unique_ids[local_neighbors] == neighbors``.

    Raises
    ------
    IndexError
        An id is negative.
    TypeError, ValueError
        Not 1-D int32 or int64 tensors of one dtype.
    """
    seeds, neighbors = require_ids("seeds", seeds), require_ids("neighbors", neighbors)
    num_ids = seeds.shape[0] + neighbors.shape[0]
    local, device = id_dtype(num_ids), seeds.device
    unique_ids = empty((num_ids,), seeds.dtype, device)
    local_seeds = empty((seeds.shape[0],), local, device)
    local_neighbors = empty((neighbors.shape[0],), local, device)
    num_unique, _ = _native.compact_ids(seeds, neighbors, unique_ids, local_seeds, local_neighbors)
    if 2 * num_unique < num_ids:
        # A narrow view would keep the whole upper bound alive for as long as the batch lives.
        return unique_ids[:num_unique].clone(), local_seeds, local_neighbors
    return unique_ids[:num_unique], local_seeds, local_neighbors


def compact_ids_reference(seeds: Tensor, neighbors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`compact_ids` computes, with a dict."""
    numbers: dict[int, int] = {}
    local = [numbers.setdefault(i, len(numbers)) for i in [*seeds.tolist(), *neighbors.tolist()]]
    ids = torch.tensor(list(numbers), dtype=seeds.dtype)
    numbered = torch.tensor(local, dtype=torch.int64)
    return ids, numbered[: seeds.shape[0]], numbered[seeds.shape[0] :]
