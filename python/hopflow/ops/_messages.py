"""What the binary SpMM and SDDMM share: shapes that broadcast, checks, references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hopflow.ops._shapes import (
    accumulator_dtype,
    as_dtype_of,
    beside_eids,
    dtype_name,
    optional_ids,
    promoted,
    require_ids,
    require_numbers,
    require_same_device,
)
from hopflow.ops.csc import Transpose, destinations, require_transpose

MESSAGE_OPS = ("add", "sub", "mul", "div", "dot")
TARGETS = ("u", "v", "e")


# --- shapes ---


def broadcast_rows(op: str, lhs: Tensor, rhs: Tensor) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Operands as [rows, outer, inner], 1 where they broadcast, and the shape of a message.

    Trailing dimensions are aligned at the right, as in numpy and DGL. Neighbouring dimensions that
    broadcast alike are one; where more than two kinds alternate the operands are expanded.

    Raises
    ------
    ValueError
        The shapes do not go together.
    """
    left, right = tuple(lhs.shape[1:]), tuple(rhs.shape[1:])
    ndim = max(len(left), len(right))
    if op != "dot" and len(left) == len(right) == 1 and (left == right or right[0] == 1):
        # The usual ones, at once: rows of one width, and rows beside a number each.
        return lhs.unsqueeze(1), rhs.unsqueeze(1), left
    left, right = ((1,) * (ndim - len(s)) + s for s in (left, right))
    if op == "dot" and (ndim == 0 or left[-1] != right[-1]):
        raise ValueError(
            f"dot: expected operands of one last dimension, got shapes {list(lhs.shape[1:])} and"
            f" {list(rhs.shape[1:])}"
        )
    for a, b in zip(left, right):
        if a != b and a != 1 and b != 1:
            raise ValueError(
                f"cannot broadcast feature shapes {list(lhs.shape[1:])} and {list(rhs.shape[1:])}"
            )
    whole = tuple(b if a == 1 else a for a, b in zip(left, right))
    num_merged = ndim - 1 if op == "dot" else ndim
    groups: list[tuple[bool, bool, int]] = []  # whether it varies left and right, and its size
    for a, b in zip(left[:num_merged], right[:num_merged]):
        if a == b == 1:
            continue
        kind, size = (a != 1, b != 1), b if a == 1 else a
        if groups and groups[-1][:2] == kind:
            groups[-1] = (*kind, groups[-1][2] * size)
        else:
            groups.append((*kind, size))
    most = 1 if op == "dot" else 2
    if len(groups) > most:
        # Rare: say [H, 1, D] beside [1, K, D]. The smaller shapes are written out.
        lhs = lhs.reshape(lhs.shape[0], *left).expand(-1, *whole)
        rhs = rhs.reshape(rhs.shape[0], *right).expand(-1, *whole)
        size = 1
        for n in whole[:num_merged]:
            size *= n
        groups = [(True, True, size)]
    if op == "dot":
        outer = groups[0] if groups else (False, False, 1)
        inner = (True, True, whole[-1])
        out_shape = (*whole[:-1], 1)
    else:
        inner = groups[-1] if groups else (False, False, 1)
        outer = groups[0] if len(groups) == 2 else (False, False, 1)
        out_shape = whole
    return (
        lhs.reshape(lhs.shape[0], outer[2] if outer[0] else 1, inner[2] if inner[0] else 1),
        rhs.reshape(rhs.shape[0], outer[2] if outer[1] else 1, inner[2] if inner[1] else 1),
        out_shape,
    )


def message_shape(op: str, lhs: Tensor, rhs: Tensor) -> tuple[int, int]:
    """``(outer, inner)`` of the messages of operands [rows, outer or 1, inner or 1]."""
    outer, inner = (a if a != 1 else b for a, b in zip(lhs.shape[1:], rhs.shape[1:]))
    return outer, 1 if op == "dot" else inner


def sum_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Sum the dimensions after the first along which an operand of ``shape`` broadcasts."""
    dims = [d for d in (1, 2) if shape[d] == 1 and x.shape[d] != 1]
    return x.sum(dims, keepdim=True) if dims else x


# --- checks ---


def source_counts(lhs: Tensor, lhs_target: str, rhs: Tensor, rhs_target: str) -> list[int]:
    """How many rows each operand of the sources has."""
    return [x.shape[0] for x, t in ((lhs, lhs_target), (rhs, rhs_target)) if t == "u"]


@dataclass(frozen=True)
class Operands:
    """Checked operands of a message, as the operators take them."""

    lhs: Tensor  # [rows, outer or 1, inner or 1]
    rhs: Tensor
    indptr: Tensor
    indices: Tensor
    eids: Tensor | None
    out_shape: tuple[int, ...]
    transpose: tuple[Tensor | None, Tensor | None, Tensor | None]


def require_operands(
    indptr: Tensor,
    indices: Tensor,
    op: str,
    lhs: Tensor,
    rhs: Tensor,
    lhs_target: str,
    rhs_target: str,
    eids: Tensor | None,
    transpose: Transpose | None,
) -> Operands:
    """Check what both public functions take, or raise naming the operand."""
    if op not in MESSAGE_OPS:
        raise ValueError(f"op: expected one of {', '.join(MESSAGE_OPS)}, got {op!r}")
    indptr, indices = require_ids("indptr", indptr), require_ids("indices", indices)
    if indptr.shape[0] == 0:
        raise ValueError("indptr: expected at least one element, got none")
    eids = optional_ids("eids", eids)
    num_dst, num_edges = indptr.shape[0] - 1, indices.shape[0]
    for name, x, target in (("lhs", lhs, lhs_target), ("rhs", rhs, rhs_target)):
        if target not in TARGETS:
            raise ValueError(f"{name}_target: expected one of u, v, e, got {target!r}")
        require_numbers(name, x)
        require_same_device(name, x, "indices", indices)
        expected = num_dst if target == "v" else num_edges
        if target != "u" and x.shape[0] != expected:
            what = "destinations" if target == "v" else "edges"
            raise ValueError(
                f"{name}: expected one row for each of the {expected} {what}, got {x.shape[0]}"
            )
    lhs, rhs = promoted(op, lhs, rhs)
    if lhs.dtype != rhs.dtype:
        raise TypeError(
            f"{op}: expected operands of one dtype, got {dtype_name(lhs.dtype)} and"
            f" {dtype_name(rhs.dtype)}"
        )
    left, right, out_shape = broadcast_rows(op, lhs, rhs)
    indices = beside_eids(indices, eids)
    eids = as_dtype_of("eids", eids, indices)
    sources = source_counts(lhs, lhs_target, rhs, rhs_target)
    if sources:
        require_transpose(transpose, indices, max(sources))
    # Without operands of sources nothing goes back to them.
    given = (transpose if sources else None) or (None, None, None)
    return Operands(left, right, indptr.long(), indices, eids, out_shape, given)


# --- batches ---


def fold_batch(
    inputs: list[Any], dims: list[int | None]
) -> tuple[list[Any], Callable[[Tensor], Tensor]] | None:
    """A batch of operands as one more dimension of their rows: both operators' ``batch``."""
    if any(dim is not None for number, dim in enumerate(dims) if number not in (1, 3)):
        return None
    op, lhs, _, rhs, *_ = inputs
    lhs, rhs = (
        x.unsqueeze(1) if dim is None else x.movedim(dim, 1)
        for x, dim in ((lhs, dims[1]), (rhs, dims[3]))
    )
    left, right, shape = broadcast_rows(op, lhs, rhs)
    folded = [*inputs[:1], left, inputs[2], right, *inputs[4:]]
    return folded, lambda x: x.reshape(x.shape[0], *shape).movedim(1, 0)


# --- references ---


def in_edge_order(x: Tensor, eids: Tensor | None) -> Tensor:
    """Rows of the positions of a CSC, in the order of edge ids."""
    return x if eids is None else torch.empty_like(x).index_copy(0, eids.long(), x)


def messages_reference(
    indptr: Tensor,
    indices: Tensor,
    op: str,
    lhs: Tensor,
    rhs: Tensor,
    lhs_target: str,
    rhs_target: str,
    eids: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The message at each position in the wider dtype, and its destination; in plain torch."""
    num_edges = indices.shape[0]
    dst = destinations(indptr.long(), num_edges, torch.int64)
    ids = {
        "u": indices.long(),
        "v": dst,
        "e": torch.arange(num_edges) if eids is None else eids.long(),
    }
    left, right = (
        x[ids[t]].to(accumulator_dtype(x.dtype)) for x, t in ((lhs, lhs_target), (rhs, rhs_target))
    )
    ndim = max(left.dim(), right.dim())
    left, right = (x.view(x.shape[0], *[1] * (ndim - x.dim()), *x.shape[1:]) for x in (left, right))
    if op == "dot":
        return (left * right).sum(-1, keepdim=True), dst
    combined: Tensor = getattr(torch, op)(left, right)
    return combined, dst
