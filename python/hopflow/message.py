"""Message passing: from built-in functions to the kernels of :mod:`hopflow.ops`.

A pair (message, reducer) goes to a fused kernel where one exists, which never writes the messages
out: ``copy_u`` and ``copy_e`` with every reducer, ``u_mul_e`` with sum and mean where the edge has
one factor, or one a head. Every other pair gathers its operands, computes the messages with torch
and reduces them segment by segment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from hopflow import ops
from hopflow.adjacency import Adjacency
from hopflow.function import MessageFunction, ReduceFunction

Columns = Mapping[str, Tensor]


def _operand(data: Mapping[str, Columns], target: str, field: str) -> Tensor:
    return data[target][field]


def _broadcast(lhs: Tensor, rhs: Tensor) -> tuple[Tensor, Tensor]:
    """Right-align the trailing dimensions of [E, ...] operands, as numpy and DGL do."""
    ndim = max(lhs.dim(), rhs.dim())
    lhs, rhs = (x.view(x.shape[0], *[1] * (ndim - x.dim()), *x.shape[1:]) for x in (lhs, rhs))
    try:
        torch.broadcast_shapes(lhs.shape[1:], rhs.shape[1:])  # type: ignore[no-untyped-call]
    except RuntimeError:
        raise ValueError(
            f"cannot broadcast feature shapes {list(lhs.shape[1:])} and {list(rhs.shape[1:])}"
        ) from None
    return lhs, rhs


def _combine(op: str, lhs: Tensor, rhs: Tensor) -> Tensor:
    if lhs.dtype != rhs.dtype:
        raise TypeError(
            f"{op}: expected operands of one dtype, got {lhs.dtype} and {rhs.dtype}".replace(
                "torch.", ""
            )
        )
    if op == "dot":
        if lhs.dim() == rhs.dim() == 1:
            op = "mul"  # one feature a row, without a dimension of its own
        elif lhs.shape[-1] != rhs.shape[-1] or min(lhs.dim(), rhs.dim()) < 2:
            raise ValueError(
                f"dot: expected operands of one last dimension, got shapes"
                f" {list(lhs.shape[1:])} and {list(rhs.shape[1:])}"
            )
    lhs, rhs = _broadcast(lhs, rhs)
    if op == "add":
        return lhs + rhs
    if op == "sub":
        return lhs - rhs
    if op == "mul":
        return lhs * rhs
    if op == "div":
        return lhs / rhs
    wide = lhs.dtype
    if wide.is_floating_point:
        wide = torch.promote_types(wide, torch.float32)
    return (lhs.to(wide) * rhs.to(wide)).sum(-1, keepdim=True).to(lhs.dtype)


def _rows(target: str, x: Tensor, src: Tensor, dst: Tensor, eids: Tensor | None) -> Tensor:
    """Rows of a node or edge column for the edges listed."""
    if target == "u":
        return ops.gather_rows(x, src)
    if target == "v":
        return ops.gather_rows(x, dst)
    return x if eids is None else ops.gather_rows(x, eids)


def _edge_factor(message: MessageFunction, u: Tensor, e: Tensor) -> Tensor | None:
    """``e`` as ``ops.spmm``'s weight [E] or [E, H], or None where only broadcasting will do."""
    if message.op != "mul" or u.dtype != e.dtype or e.dim() > u.dim():
        return None
    trailing = e.shape[1:]
    if math.prod(trailing) == 1:
        return e.reshape(-1)
    per_head = (
        e.dim() == u.dim() >= 3 and trailing[0] == u.shape[1] and math.prod(trailing[1:]) == 1
    )
    return e.reshape(e.shape[0], trailing[0]) if per_head else None


def _require_message(message: object) -> MessageFunction:
    if isinstance(message, MessageFunction):
        return message
    what = "a Python function" if callable(message) else type(message).__name__
    raise TypeError(
        f"message function: expected a built-in of hopflow.function such as copy_u, got {what}"
    )


def _require_reduce(reduce: object) -> ReduceFunction:
    if isinstance(reduce, ReduceFunction):
        return reduce
    what = "a Python function" if callable(reduce) else type(reduce).__name__
    raise TypeError(
        f"reduce function: expected a built-in of hopflow.function such as mean, got {what}"
    )


def update_all(
    adjacency: Adjacency,
    data: Mapping[str, Columns],
    message: MessageFunction,
    reduce: ReduceFunction,
) -> Tensor:
    """Compute messages on every edge and reduce them at the destinations.

    Parameters
    ----------
    adjacency : Adjacency
        The edges.
    data : mapping
        Columns of sources ("u"), destinations ("v") and edges ("e").
    message, reduce : MessageFunction, ReduceFunction
        Built-ins of :mod:`hopflow.function`; the reducer must read what the message writes.

    Returns
    -------
    Tensor
        The new destination column, shape [num_dst, ...].
    """
    message, reduce = _require_message(message), _require_reduce(reduce)
    if reduce.msg_field != message.out_field:
        raise ValueError(
            f"the reduce function reads message {reduce.msg_field!r}, but the message function"
            f" writes {message.out_field!r}"
        )
    adjacency = adjacency.full()
    indptr, indices, eids = adjacency.indptr, adjacency.indices, adjacency.eids
    lhs = _operand(data, message.lhs, message.lhs_field)
    if message.rhs is None:
        if message.lhs == "e":
            return ops.segment_reduce(indptr, lhs, reduce=reduce.op, eids=eids)
        transpose = adjacency.transpose_for(lhs)
        return ops.spmm(indptr, indices, lhs, reduce=reduce.op, transpose=transpose)

    assert message.rhs_field is not None
    rhs = _operand(data, message.rhs, message.rhs_field)
    if {message.lhs, message.rhs} == {"u", "e"} and reduce.op in ("sum", "mean"):
        u, e = (lhs, rhs) if message.lhs == "u" else (rhs, lhs)
        weight = _edge_factor(message, u, e)
        if weight is not None:
            return ops.spmm(
                indptr, indices, u, reduce=reduce.op, weight=weight, eids=eids,
                transpose=adjacency.transpose_for(u),
            )  # fmt: skip
    dst = adjacency.destinations()
    messages = _combine(
        message.op,
        _rows(message.lhs, lhs, indices, dst, eids),
        _rows(message.rhs, rhs, indices, dst, eids),
    )
    return ops.segment_reduce(indptr, messages, reduce=reduce.op)


def apply_edges(
    adjacency: Adjacency, data: Mapping[str, Columns], message: MessageFunction
) -> Tensor:
    """Compute a message on every edge, in the order of edge ids, shape [E, ...].

    Parameters as in :func:`update_all`.
    """
    message = _require_message(message)
    lhs = _operand(data, message.lhs, message.lhs_field)
    if message.rhs is None:
        src, dst = adjacency.coo()
        return _rows(message.lhs, lhs, src, dst, None)
    assert message.rhs_field is not None
    rhs = _operand(data, message.rhs, message.rhs_field)
    if message.op == "dot" and {message.lhs, message.rhs} == {"u", "v"}:
        u, v = (lhs, rhs) if message.lhs == "u" else (rhs, lhs)
        if u.dtype == v.dtype and u.dim() >= 2 and u.shape[1:] == v.shape[1:]:
            full = adjacency.full()
            return ops.sddmm(
                full.indptr, full.indices, u, v, eids=full.eids, transpose=full.transpose_for(u)
            )
    src, dst = adjacency.coo()
    return _combine(
        message.op, _rows(message.lhs, lhs, src, dst, None), _rows(message.rhs, rhs, src, dst, None)
    )
