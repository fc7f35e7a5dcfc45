"""Ids of a graph in parts: which part owns each, and rows from several places put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._shapes import dense_rows, id_dtype, optional_ids, require_ids, require_tensor
from hopflow.ops.pool import empty


class SplitIds(NamedTuple):
    """Ids in groups: one for each part, in their order, and a last one for what a cache holds.

    Attributes
    ----------
    offsets : Tensor
        Where each group begins and the last one ends, int64, shape [groups + 1].
    rows : Tensor
        Of each id in the order of the groups its row at the owner, or in the cache; shape [S].
    slots : Tensor
        Where each given id is in that order, int32, shape [S].
    """

    offsets: Tensor
    rows: Tensor
    slots: Tensor


def split_by_owner(
    ids: Tensor, place: Tensor, starts: Tensor, cached: Tensor | None = None
) -> SplitIds:
    """Group ids by the part that owns them; O(S), on the CPU.

    Parameters
    ----------
    ids : Tensor
        Nodes, shape [S], int32 or int64; may repeat. Within a group they keep their order.
    place : Tensor
        Of each node its number in the order of the parts, shape [N], int32 or int64.
    starts : Tensor
        Part ``p`` owns the numbers from ``starts[p]`` to ``starts[p + 1]``; int64, shape [P + 1].
    cached : Tensor, optional
        Of each node its row in a cache, or -1; int32, shape [N].

    Raises
    ------
    IndexError
        An id is not a node.
    ValueError, TypeError
        ``starts`` does not rise from 0 to N, a place is none, wrong dtypes or shapes.
    """
    ids, place, starts = (
        require_ids(name, x) for name, x in (("ids", ids), ("place", place), ("starts", starts))
    )
    cached = optional_ids("cached", cached)
    most = int(starts.diff().max()) if starts.shape[0] > 1 else 0
    rows_dtype = id_dtype(most if cached is None else max(most, 1))
    offsets = torch.empty(
        starts.shape[0] + (cached is not None), dtype=torch.int64, device=ids.device
    )
    rows = empty((ids.shape[0],), rows_dtype, ids.device)
    slots = empty((ids.shape[0],), torch.int32, ids.device)
    _native.split_by_owner(ids, place, starts, cached, offsets, rows, slots)
    return SplitIds(offsets, rows, slots)


def split_by_owner_reference(
    ids: Tensor, place: Tensor, starts: Tensor, cached: Tensor | None = None
) -> SplitIds:
    """What :func:`split_by_owner` computes, in plain torch."""
    at = place[ids.long()].long()
    groups = torch.searchsorted(starts, at, right=True) - 1
    rows = at - starts[groups]
    num_groups = starts.shape[0] - 1
    if cached is not None:
        kept = cached[ids.long()].long()
        groups = torch.where(kept >= 0, num_groups, groups)
        rows = torch.where(kept >= 0, kept, rows)
        num_groups += 1
    order = torch.argsort(groups, stable=True)
    slots = torch.empty_like(order)
    slots[order] = torch.arange(order.shape[0])
    counts = torch.bincount(groups, minlength=num_groups)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    most = int(starts.diff().max()) if starts.shape[0] > 1 else 0
    return SplitIds(offsets, rows[order].to(id_dtype(most)), slots.int())


Piece = tuple[Tensor, "Tensor | None"]
"""``(x, ids)``: rows ``x[ids]``, or for None all rows of ``x``."""


def join_rows(pieces: Sequence[Piece], slots: Tensor) -> Tensor:
    """Rows of several tensors in one: ``torch.cat([x[ids], ...])[slots]``, copied once.

    Parameters
    ----------
    pieces : sequence of (Tensor, Tensor or None)
        At least one; ``x`` of shape [.., ...], all alike but for the first dimension, on the CPU;
        ``ids`` int32 or int64, of one dtype in all pieces.
    slots : Tensor
        Which of these rows, int32, shape [S].

    Returns
    -------
    Tensor
        Shape [S, ...], dtype of the pieces.

    Raises
    ------
    IndexError
        An id or a slot is no row.
    ValueError, TypeError
        Pieces that differ, wrong dtypes, or no piece.
    """
    if not pieces:
        raise ValueError("pieces: expected at least one, got none")
    first = require_tensor("x", pieces[0][0])
    slots = require_ids("slots", slots)
    given = []
    for x, ids in pieces:
        if x.dtype != first.dtype or x.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"pieces: expected rows of shape {list(first.shape[1:])} and {first.dtype}, got"
                f" {list(x.shape[1:])} and {x.dtype}"
            )
        ids = optional_ids("ids", ids)
        given.append((dense_rows(x), ids, x.shape[0] if ids is None else ids.shape[0]))
    out = empty((slots.shape[0], *first.shape[1:]), first.dtype, first.device)
    _native.join_rows(given, slots, out)
    return out


def join_rows_reference(pieces: Sequence[Piece], slots: Tensor) -> Tensor:
    """What :func:`join_rows` computes, in plain torch."""
    rows = [x if ids is None else x[ids.long()] for x, ids in pieces]
    return torch.cat(rows)[slots.long()]
