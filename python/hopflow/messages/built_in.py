"""Message passing: from built-in functions to the kernels of :mod:`hopflow.ops`.

Every pair (message, reducer) is one fused kernel that never writes the messages out: ``copy_u``
and ``copy_e`` have one of their own, and so has every message of two operands.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.function import MessageFunction, ReduceFunction
from hopflow.structure.adjacency import Adjacency

Columns = Mapping[str, Tensor]


def _plain_op(op: str, lhs: Tensor, rhs: Tensor) -> str:
    """A dot product of rows of one number, without a dimension of their own, is their product."""
    return "mul" if op == "dot" and lhs.dim() == rhs.dim() == 1 else op


def _autocasts(device: str) -> bool:
    """Whether ``torch.autocast`` is on for a type of device."""
    try:
        return torch.is_autocast_enabled(device)
    except TypeError:  # before torch 2.4 there was one question a device
        return torch.is_autocast_cpu_enabled() if device == "cpu" else torch.is_autocast_enabled()


def _one_dtype(lhs: Tensor, rhs: Tensor) -> tuple[Tensor, Tensor]:
    """Under autocast the operands in the wider of their dtypes, as in torch's own product.

    There one of them may come from a narrower matrix product. Elsewhere the operators refuse.
    """
    if lhs.dtype == rhs.dtype or not (lhs.is_floating_point() and rhs.is_floating_point()):
        return lhs, rhs
    if not _autocasts(lhs.device.type):
        return lhs, rhs
    dtype = torch.promote_types(lhs.dtype, rhs.dtype)
    return lhs.to(dtype), rhs.to(dtype)


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
    lhs = data[message.lhs][message.lhs_field]
    if message.rhs is None or message.rhs_field is None:
        if message.lhs == "e":
            return ops.segment_reduce(indptr, lhs, reduce=reduce.op, eids=eids)
        transpose = adjacency.transpose_for(lhs)
        return ops.spmm(indptr, indices, lhs, reduce=reduce.op, transpose=transpose)
    lhs, rhs = _one_dtype(lhs, data[message.rhs][message.rhs_field])
    return ops.spmm_binary(
        indptr, indices, _plain_op(message.op, lhs, rhs), lhs, rhs, lhs_target=message.lhs,
        rhs_target=message.rhs, reduce=reduce.op, eids=eids,
        transpose=adjacency.transpose_for(lhs, rhs),
    )  # fmt: skip


def apply_edges(
    adjacency: Adjacency, data: Mapping[str, Columns], message: MessageFunction
) -> Tensor:
    """Compute a message on every edge, in the order of edge ids, shape [E, ...].

    Parameters as in :func:`update_all`.
    """
    message = _require_message(message)
    lhs = data[message.lhs][message.lhs_field]
    if message.rhs is None or message.rhs_field is None:
        if message.lhs == "e":
            return lhs
        return ops.gather_rows(lhs, adjacency.coo()[message.lhs == "v"])
    lhs, rhs = _one_dtype(lhs, data[message.rhs][message.rhs_field])
    full = adjacency.full()
    return ops.sddmm_binary(
        full.indptr, full.indices, _plain_op(message.op, lhs, rhs), lhs, rhs,
        lhs_target=message.lhs, rhs_target=message.rhs, eids=full.eids,
        transpose=full.transpose_for(lhs, rhs),
    )  # fmt: skip
