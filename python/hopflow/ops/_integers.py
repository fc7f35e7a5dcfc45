"""Message passing of integers and booleans, exactly: the native kernels compute in floating point.

In plain torch, a bounded number of edges at a time, on both devices. Integers add up to the same
sum in any order, so the results are deterministic. They have no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hopflow.ops._library import Spec, define
from hopflow.ops._messages import message_shape
from hopflow.ops._place import check_edges, check_indptr, check_permutation

# Elements of messages that are written out at once: on the CPU 2 MB of int64, which stay in the
# caches; on a device, where each step costs launches, more of them.
_MOST_ELEMENTS = 1 << 18
_DEVICE_FACTOR = 64


def _shapes(
    op: str,
    lhs: Tensor,
    lhs_target: str,
    rhs: Tensor | None,
    rhs_target: str,
    indptr: Tensor,
    indices: Tensor | None,
    eids: Tensor | None,
    num_edges: int,
    reduce: str | None,
) -> Spec:
    shape = tuple(lhs.shape[1:]) if rhs is None else message_shape(op, lhs, rhs)
    dtype = lhs.dtype
    if reduce == "sum":
        dtype = torch.int64
    elif reduce == "mean":
        dtype = torch.get_default_dtype()
    return (num_edges if reduce is None else indptr.shape[0] - 1, *shape), dtype, lhs.device


def _run(
    out: Tensor,
    op: str,
    lhs: Tensor,
    lhs_target: str,
    rhs: Tensor | None,
    rhs_target: str,
    indptr: Tensor,
    indices: Tensor | None,
    eids: Tensor | None,
    num_edges: int,
    reduce: str | None,
) -> None:
    if eids is not None and eids.shape[0] != num_edges:
        raise ValueError(f"eids: expected shape [{num_edges}], got [{eids.shape[0]}]")
    operands = [(x, t) for x, t in ((lhs, lhs_target), (rhs, rhs_target)) if x is not None]
    num_src = min((x.shape[0] for x, target in operands if target == "u"), default=None)
    if indices is not None:
        check_edges(indptr, indices, eids, num_src, everywhere=True)
    else:
        check_indptr("indptr", indptr, num_edges, everywhere=True)
        check_permutation("eids", eids, everywhere=True)
    total = _start(out, lhs.dtype, reduce)

    def rows(x: Tensor, target: str, dst: Tensor, at: slice) -> Tensor:
        if target == "v":
            return x[dst]
        ids = indices if target == "u" else eids
        return x[at] if ids is None else x[ids[at].long()]

    most = _MOST_ELEMENTS * (1 if out.device.type == "cpu" else _DEVICE_FACTOR)
    step = max(1, most // max(1, out.shape[1:].numel()))
    for begin in range(0, num_edges, step):
        at = slice(begin, min(begin + step, num_edges))
        positions = torch.arange(at.start, at.stop, device=indptr.device)
        dst = torch.searchsorted(indptr, positions, right=True) - 1
        message = rows(lhs, lhs_target, dst, at)
        if rhs is not None:
            message = _combine(op, message, rows(rhs, rhs_target, dst, at))
        if reduce is None:
            out[at if eids is None else eids[at].long()] = message
            continue
        message = message.flatten(1).to(total.dtype)
        index = dst.unsqueeze(1).expand_as(message)
        if reduce in ("sum", "mean"):
            total.scatter_add_(0, index, message)
        else:
            total.scatter_reduce_(0, index, message, f"a{reduce}")
    if reduce is not None:
        _finish(out, total, indptr.diff(), reduce)


def _start(out: Tensor, dtype: torch.dtype, reduce: str | None) -> Tensor:
    """Where messages of ``dtype`` are reduced to, [V, F]; the result itself where that can be."""
    flat = out.flatten(1)
    if reduce is None:
        return flat
    start = 0
    if reduce in ("sum", "mean"):
        dtype = torch.int64
    else:
        dtype = torch.uint8 if dtype == torch.bool else dtype  # torch reduces no booleans
        limits = torch.iinfo(dtype)
        start = limits.min if reduce == "max" else limits.max
    return (flat if flat.dtype == dtype else torch.empty_like(flat, dtype=dtype)).fill_(start)


def _finish(out: Tensor, total: Tensor, degrees: Tensor, reduce: str) -> None:
    degrees = degrees.unsqueeze(1)
    if reduce == "mean":
        # The sum is exact; it is divided in float64.
        total = total.double() / degrees.clamp(min=1)
    elif reduce != "sum":
        total.masked_fill_(degrees == 0, 0)
    if total.dtype != out.dtype or reduce == "mean":
        out.copy_(total.view(out.shape))


def _combine(op: str, left: Tensor, right: Tensor) -> Tensor:
    if op == "dot":
        return (left * right).sum(-1, keepdim=True)
    combined: Tensor = getattr(torch, op)(left, right)
    return combined


reduce_integers = define(
    "reduce_integers(str op, Tensor lhs, str lhs_target, Tensor? rhs, str rhs_target,"
    " Tensor indptr, Tensor? indices, Tensor? eids, SymInt num_edges, str? reduce) -> Tensor",
    shapes=_shapes,
    run=_run,
)
"""The messages of integer operands, [rows, A or 1, B or 1] each, reduced at each destination.

``op`` is that of :func:`hopflow.ops.spmm_binary`, or "copy" with ``rhs`` None. Without ``reduce``
the messages themselves, in order of edge ids.
"""
