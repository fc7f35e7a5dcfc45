"""Results in reused memory: a fresh tensor of tens of megabytes costs more in page faults than the
operator that fills it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._shapes import as_int

# Below this the system's allocator reuses memory by itself.
_LEAST_BYTES = 1 << 16


class PoolUsage(NamedTuple):
    """Bytes of the pool handed out, kept for reuse, and kept at most."""

    used: int
    cached: int
    limit: int


def empty(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised tensor, from the pool if it is large and on the CPU.

    Its memory goes back to the pool when the last tensor that views it is gone.
    """
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    num_bytes = math.prod(shape) * dtype.itemsize
    if num_bytes < _LEAST_BYTES:
        return torch.empty(shape, dtype=dtype)
    storage = _native.pool_allocate(num_bytes).untyped_storage()
    # Not a view of the bytes: autograd lets nobody change the views that an operator returns.
    made: Tensor = torch.empty(0, dtype=dtype, device="cpu")
    return made.set_(storage, 0, shape)  # type: ignore[call-overload, no-any-return]


def pooled(x: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy of ``x`` in the pool's memory: its huge pages suit arrays that are read at random."""
    return empty(x.shape, dtype, x.device).copy_(x)


def pool_usage() -> PoolUsage:
    """How much memory the pool of results holds."""
    return PoolUsage(*_native.pool_usage())


def set_pool_limit(num_bytes: int) -> None:
    """Keep at most so many bytes for reuse (1 GiB by default); 0 keeps none.

    Raises
    ------
    ValueError
        Below 0.
    """
    _native.pool_set_limit(as_int("num_bytes", num_bytes))


def set_pool_pinned(pinned: bool) -> None:
    """Page-lock the buffers handed out from now on, so that copies to a GPU run beside other work.

    Needs CUDA. Where the system does not lock so much memory the buffers are ordinary ones.
    """
    _native.pool_set_pinned(pinned)
