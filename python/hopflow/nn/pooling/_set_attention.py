"""Attention of the rows of sets to the rows of as many other sets, of any sizes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

import hopflow.ops as ops

# Sets up to this size are padded to one: they are small, and one product of many is faster.
_SMALL = 16


class _Rows(NamedTuple):
    """The rows of some sets, and where they are in their padded form."""

    at: Tensor | None  # which of all rows, int64, shape [R]; None for all
    slots: Tensor | None  # which of the padded ones; None where nothing is padded
    sizes: Tensor  # of the sets, shape [S]
    longest: int

    def padded(self, rows: Tensor) -> Tensor:
        """Of all rows [N, heads, width] the sets' own, shape [S, longest, heads, width]."""
        own = rows if self.at is None else ops.gather_rows(rows, self.at)
        shape = self.sizes.shape[0], self.longest, *rows.shape[1:]
        if self.slots is not None:
            wide = own.new_zeros(shape[0] * self.longest, *rows.shape[1:])
            own = wide.index_copy(0, self.slots, own)
        return own.view(shape)

    def unpadded(self, padded: Tensor) -> Tensor:
        """The other way, shape [R, heads, width]."""
        rows = padded.flatten(0, 1)
        return rows if self.slots is None else ops.gather_rows(rows, self.slots)


def _rows_of(chosen: list[int], counts: list[int], lengths: Tensor, starts: Tensor) -> _Rows:
    """The rows of the chosen sets, whose sizes are ``counts``."""
    longest, total, device = max(counts), sum(counts), lengths.device
    numbers = torch.tensor(chosen, device=device)
    sizes = lengths[numbers]
    # As the number of rows is known, nobody waits for the device to find it.
    owner = torch.repeat_interleave(sizes, output_size=total)
    within = torch.arange(total, device=device) - (torch.cumsum(sizes, 0) - sizes)[owner]
    at = None if len(chosen) == lengths.shape[0] else starts[numbers][owner] + within
    slots = None if total == longest * len(chosen) else owner * longest + within
    return _Rows(at, slots, sizes, longest)


def _size_class(size: int) -> int:
    return (max(size, _SMALL) - 1).bit_length() if size else 0


def uncompiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, for a compiler one to leave alone.

    As a decorator ``torch.compiler.disable`` would load the compiler with the package, which takes
    seconds.
    """
    if not torch.compiler.is_compiling():
        return function
    alone: Callable[..., Tensor]
    alone = torch.compiler.disable(function)  # type: ignore[no-untyped-call, unused-ignore]
    return alone


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    lengths: Tensor,
    lengths_mem: Tensor,
    dropout: Callable[[Tensor], Tensor],
) -> Tensor:
    """Sums of the values of each set, weighted by a softmax of scaled products with the queries.

    Sets of sizes alike are computed together, each padded to the largest of them, which is less
    than twice as large (or small): memory grows with the sum of the products of both sizes, and
    not with the product of the largest times the number of sets.

    Parameters
    ----------
    queries, keys, values : Tensor
        Rows of all sets in their order, shape [R, H, D] and [M, H, D].
    lengths, lengths_mem : Tensor
        Rows of each set in both, int64, shape [B]; they add up to R and M.
    dropout : callable
        Applied to the weights.

    Returns
    -------
    Tensor
        Shape [R, H, D]; 0 for rows with nothing to attend to.
    """
    both = torch.stack([lengths, lengths_mem])
    counts, counts_mem = both.tolist()
    starts, starts_mem = torch.cumsum(both, 1) - both
    classes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, pair in enumerate(zip(counts, counts_mem)):
        if pair[0]:
            classes[_size_class(pair[0]), _size_class(pair[1])].append(i)
    found = []
    for chosen in classes.values():
        rows = _rows_of(chosen, [counts[i] for i in chosen], lengths, starts)
        mem = _rows_of(chosen, [counts_mem[i] for i in chosen], lengths_mem, starts_mem)
        scores = torch.einsum("bxhd,byhd->bhxy", rows.padded(queries), mem.padded(keys))
        scores = scores / math.sqrt(queries.shape[-1])
        if mem.slots is not None:
            is_there = torch.arange(mem.longest, device=scores.device) < mem.sizes.unsqueeze(1)
            hidden = is_there.logical_not().view(len(chosen), 1, 1, -1)
            scores = scores.masked_fill(hidden, -math.inf)
        weights = dropout(torch.softmax(scores, dim=-1))
        made = torch.einsum("bhxy,byhd->bxhd", weights, mem.padded(values))
        found.append((rows, rows.unpadded(made)))
    if not found:
        return queries  # none
    if found[0][0].at is None:
        return found[0][1]
    out = torch.cat([made for _, made in found])
    return out.index_copy(0, torch.cat([rows.at for rows, _ in found if rows.at is not None]), out)
