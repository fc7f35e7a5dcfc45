"""Row gather."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._library import Spec, define
from hopflow.ops._place import check_ids, on_cuda
from hopflow.ops._shapes import (
    as_heads,
    dense_rows,
    require_ids,
    require_same_device,
    require_tensor,
)
from hopflow.ops.csc import coo_to_csc
from hopflow.ops.spmm_edges import run_segments


def _shapes(x: Tensor, ids: Tensor) -> Spec:
    return (ids.shape[0], *x.shape[1:]), x.dtype, ids.device


def _run(out: Tensor, x: Tensor, ids: Tensor) -> None:
    check_ids("ids", ids, x.shape[0], "rows of x")
    _native.gather_rows(dense_rows(x) if x.device == ids.device else x, ids, out)
    if x.device.type == "cpu" and ids.device.type == "cuda":
        hold(x, ids.device)


# Host memory that kernels may be reading, with an event behind each. torch gives pinned memory back
# as soon as its last tensor is gone, not knowing of readers but its own.
_being_read: deque[tuple[torch.cuda.Event, Tensor]] = deque()


def hold(x: Tensor, device: torch.device) -> None:
    """Keep ``x``, in host memory, until the kernels on the device's current stream are through."""
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    _being_read.append((event, x.detach()))
    try:
        while _being_read[0][0].query():  # type: ignore[no-untyped-call]
            _being_read.popleft()
    except IndexError:  # empty, or emptied by another thread meanwhile
        pass


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, ids = inputs
    ctx.save_for_backward(ids)
    ctx.num_rows = x.shape[0]


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
    (ids,) = ctx.saved_tensors
    return _scatter(grad, ids, ctx.num_rows), None


def _scatter_shapes(grad: Tensor, ids: Tensor, num_rows: int) -> Spec:
    return (num_rows, *grad.shape[1:]), grad.dtype, grad.device


def _scatter_run(out: Tensor, grad: Tensor, ids: Tensor, num_rows: int) -> None:
    # Sorting by row makes the sum deterministic: each row adds its gradients in the order of ids.
    positions = torch.arange(ids.shape[0], dtype=ids.dtype, device=ids.device)
    indptr, _, order = coo_to_csc(positions, ids, max(ids.shape[0], 1), num_rows)
    flat = as_heads(out).squeeze(1)
    run_segments(flat, flat, as_heads(grad).squeeze(1), indptr, order, "sum")


def _scatter_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _scatter_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    (ids,) = ctx.saved_tensors
    return _gather(grad, ids), None, None


_scatter = define(
    "scatter_rows(Tensor grad, Tensor ids, SymInt num_rows) -> Tensor",
    shapes=_scatter_shapes,
    run=_scatter_run,
    setup=_scatter_setup,
    backward=_scatter_backward,
    linear=["grad"],
    folds=[{"grad": None}],
)
_gather = define(
    "gather_rows(Tensor x, Tensor ids) -> Tensor",
    shapes=_shapes,
    run=_run,
    setup=_setup,
    backward=_backward,
    linear=["x"],
    folds=[{"x": None}],
)


def gather_rows(x: Tensor, ids: Tensor) -> Tensor:
    """Copy rows: ``out[i] = x[ids[i]]``. Differentiable in ``x``, deterministically.

    Parameters
    ----------
    x : Tensor
        Shape [N, ...], any dtype; rows may lie apart in memory. With ``ids`` on CUDA it may also be
        in page-locked host memory (``pin_memory()``), which the device then reads in place.
    ids : Tensor
        Row numbers, shape [M], int32 or int64.

    Returns
    -------
    Tensor
        Shape [M, ...], dtype of ``x``, where ``ids`` are.

    Raises
    ------
    IndexError
        An id is negative or not below N.
    HopflowError
        ``ids`` are on CUDA and ``x`` in host memory that is not page-locked.
    TypeError, ValueError
        ``ids`` is no 1-D int32 or int64 tensor, or ``x`` a scalar, or they are on two devices.
    """
    x, ids = require_tensor("x", x), require_ids("ids", ids)
    if x.dim() == 0:
        raise ValueError("x: expected at least 1 dimension, got a scalar")
    # Otherwise x must be page-locked: the kernel sees to that. A gradient has to be where x is.
    if not (on_cuda(ids) and x.device.type == "cpu") or x.requires_grad:
        require_same_device("x", x, "ids", ids)
    result: Tensor = _gather(x, ids)
    return result


def gather_rows_reference(x: Tensor, ids: Tensor) -> Tensor:
    """What :func:`gather_rows` computes, in plain torch."""
    return x[ids.long()]
