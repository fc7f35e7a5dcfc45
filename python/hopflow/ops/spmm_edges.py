"""Segment reduction: ``copy_e`` with every reducer, on the native kernel of ``spmm.py``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._integers import reduce_integers
from hopflow.ops._library import Spec, define
from hopflow.ops._place import check_indptr, check_permutation
from hopflow.ops._shapes import (
    INTEGERS,
    as_heads,
    dense_rows,
    in_shape,
    optional_ids,
    require_numbers,
    require_same_device,
)
from hopflow.ops.csc import destinations
from hopflow.ops.spmm import (
    at_winners,
    has_arg,
    reduce_reference,
    reduced_shapes,
    require_indptr,
    require_reduce,
)


def _segment_shapes(
    x: Tensor, indptr: Tensor, eids: Tensor | None, reduce: str
) -> tuple[Spec, Spec]:
    return reduced_shapes((indptr.shape[0] - 1, *x.shape[1:]), x, reduce)


def run_segments(
    out: Tensor, arg: Tensor, x: Tensor, indptr: Tensor, eids: Tensor | None, reduce: str
) -> None:
    check_permutation("eids", eids, everywhere=True)
    check_indptr("indptr", indptr, x.shape[0])
    _native.spmm(
        dense_rows(x).unsqueeze(1), indptr, eids, x.shape[0], None, None, None, reduce,
        out.unsqueeze(1), arg.unsqueeze(1) if has_arg(reduce) else None,
    )  # fmt: skip


def _segment_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, indptr, eids, reduce = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(indptr, eids, output[1])
    ctx.reduce, ctx.num_edges = reduce, x.shape[0]


def _segment_backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    indptr, eids, arg = ctx.saved_tensors
    arg = arg if has_arg(ctx.reduce) else None
    return _edge_backward(grad, arg, indptr, eids, ctx.num_edges, ctx.reduce), None, None, None


def _segment_jvp(
    inputs: tuple[Any, ...], output: Sequence[Tensor], tangents: tuple[Any, ...]
) -> tuple[Tensor, None]:
    _, indptr, eids, reduce = inputs
    if has_arg(reduce):
        return at_winners(tangents[0], output[1], indptr, eids), None
    return _segment_reduce(tangents[0], indptr, eids, reduce)[0], None


_segment_reduce = define(
    "segment_reduce(Tensor x, Tensor indptr, Tensor? eids, str reduce) -> (Tensor, Tensor)",
    shapes=_segment_shapes,
    run=run_segments,
    setup=_segment_setup,
    backward=_segment_backward,
    jvp=_segment_jvp,
    folds=[{"x": -1}],
)


def _edge_backward_shapes(
    grad: Tensor,
    arg: Tensor | None,
    indptr: Tensor,
    eids: Tensor | None,
    num_edges: int,
    reduce: str,
) -> Spec:
    return (num_edges, grad.shape[1]), grad.dtype, grad.device


def _edge_backward_run(
    out: Tensor,
    grad: Tensor,
    arg: Tensor | None,
    indptr: Tensor,
    eids: Tensor | None,
    num_edges: int,
    reduce: str,
) -> None:
    check_indptr("indptr", indptr, num_edges)
    check_permutation("eids", eids)
    _native.spmm_edge_backward(grad.contiguous(), arg, indptr, eids, reduce, out)


def _edge_backward_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, arg, indptr, eids, _num_edges, ctx.reduce = inputs
    ctx.save_for_backward(arg, indptr, eids)


def _edge_backward_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    arg, indptr, eids = ctx.saved_tensors
    if arg is None:
        return (_segment_reduce(grad, indptr, eids, ctx.reduce)[0], *[None] * 5)
    return (at_winners(grad, arg, indptr, eids), *[None] * 5)


_edge_backward = define(
    "segment_reduce_backward(Tensor grad, Tensor? arg, Tensor indptr, Tensor? eids,"
    " SymInt num_edges, str reduce) -> Tensor",
    shapes=_edge_backward_shapes,
    run=_edge_backward_run,
    setup=_edge_backward_setup,
    backward=_edge_backward_backward,
    linear=["grad"],
    folds=[{"grad": -1, "arg": -1}],
)


def segment_reduce(
    indptr: Tensor, x: Tensor, *, reduce: str = "sum", eids: Tensor | None = None
) -> Tensor:
    """Reduce the edges' own rows at each destination (``copy_e``).

    Rules as in :func:`spmm`. With ``eids`` None it reduces consecutive segments, as DGL's
    ``dgl.ops.segment_reduce`` does (there the segments are given by their lengths).

    Parameters
    ----------
    indptr : Tensor
        Shape [V + 1].
    x : Tensor
        Edge features, shape [E, ...], of the dtypes that :func:`spmm` takes.
    reduce : {"sum", "mean", "max", "min"}
        How a destination combines its messages.
    eids : Tensor, optional
        Edge at each position, a permutation of the edges, shape [E]; None if edge ``e`` is at
        position ``e``.

    Returns
    -------
    Tensor
        Shape [V, ...], dtype as that of :func:`spmm`.

    Raises
    ------
    IndexError, ValueError, TypeError
        Ids, shapes, dtypes or devices do not match.
    """
    require_reduce(reduce)
    x, indptr = require_numbers("x", x), require_indptr(indptr)
    eids = optional_ids("eids", eids)
    require_same_device("x", x, "indptr", indptr)
    if x.dtype in INTEGERS:
        whole = reduce_integers(
            "copy", as_heads(x), "e", None, "e", indptr, None, eids, x.shape[0], reduce
        )
        return in_shape(whole, whole.shape[0], *x.shape[1:])
    out, _ = _segment_reduce(as_heads(x).squeeze(1), indptr, eids, reduce)
    return in_shape(out, out.shape[0], *x.shape[1:])


def segment_reduce_reference(
    indptr: Tensor, x: Tensor, *, reduce: str = "sum", eids: Tensor | None = None
) -> Tensor:
    """What :func:`segment_reduce` computes, in plain torch."""
    messages = x if eids is None else x[eids.long()]
    dst = destinations(indptr.long(), messages.shape[0], torch.int64)
    return reduce_reference(messages, dst, indptr.shape[0] - 1, reduce)
