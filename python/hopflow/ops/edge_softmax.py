"""Softmax over the in-edges of every destination."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._library import Spec, define
from hopflow.ops._messages import in_edge_order
from hopflow.ops._place import check_indptr, check_permutation
from hopflow.ops._shapes import (
    accumulator_dtype,
    in_shape,
    optional_ids,
    require_features,
    require_same_device,
)
from hopflow.ops._transforms import added
from hopflow.ops.csc import destinations
from hopflow.ops.spmm import require_indptr


def _shapes(x: Tensor, indptr: Tensor, eids: Tensor | None) -> Spec:
    return x.shape, x.dtype, x.device


def _run(out: Tensor, x: Tensor, indptr: Tensor, eids: Tensor | None) -> None:
    check_indptr("indptr", indptr, x.shape[0])
    check_permutation("eids", eids)
    _native.edge_softmax(x.contiguous(), None, indptr, eids, out)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, indptr, eids = inputs
    ctx.save_for_backward(output, indptr, eids)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    out, indptr, eids = ctx.saved_tensors
    return _edge_softmax_backward(out, grad, indptr, eids), None, None


def _jvp(inputs: tuple[Any, ...], output: Tensor, tangents: tuple[Any, ...]) -> Tensor:
    # The Jacobian is symmetric.
    return _edge_softmax_backward(output, tangents[0], *inputs[1:])  # type: ignore[no-any-return]


_edge_softmax = define(
    "edge_softmax(Tensor x, Tensor indptr, Tensor? eids) -> Tensor",
    shapes=_shapes,
    run=_run,
    setup=_setup,
    backward=_backward,
    jvp=_jvp,
    folds=[{"x": -1}],
)


def _backward_shapes(out: Tensor, grad: Tensor, indptr: Tensor, eids: Tensor | None) -> Spec:
    return out.shape, out.dtype, out.device


def _backward_run(
    result: Tensor, out: Tensor, grad: Tensor, indptr: Tensor, eids: Tensor | None
) -> None:
    check_indptr("indptr", indptr, out.shape[0])
    check_permutation("eids", eids)
    _native.edge_softmax(out.contiguous(), grad.contiguous(), indptr, eids, result)


def _sums_at_edges(x: Tensor, indptr: Tensor, eids: Tensor | None) -> Tensor:
    """The sum of ``x`` over all in-edges of an edge's destination, at each edge."""
    total, _ = torch.ops.hopflow.segment_reduce(x, indptr, eids, "sum")
    return torch.ops.hopflow.segment_reduce_backward(  # type: ignore[no-any-return]
        total, None, indptr, eids, x.shape[0], "sum"
    )


def _backward_backward(ctx: Any, grad_result: Tensor) -> tuple[Tensor | None, ...]:
    # result = out * (grad - sum of out * grad), the sum over a destination's in-edges.
    out, grad, *edges = ctx.saved_tensors
    grad_out = grad_result * (grad - _sums_at_edges(out * grad, *edges))
    grad_out = grad_out - grad * _sums_at_edges(grad_result * out, *edges)
    return grad_out, _edge_softmax_backward(out, grad_result, *edges), None, None


def _backward_jvp(inputs: tuple[Any, ...], output: Tensor, tangents: tuple[Any, ...]) -> Tensor:
    (out, grad, *edges), (t_out, t_grad, *_) = inputs, tangents
    direct = None if t_grad is None else _edge_softmax_backward(out, t_grad, *edges)
    if t_out is None:
        return added(direct)
    rest = grad - _sums_at_edges(out * grad, *edges)
    return added(direct, t_out * rest, -out * _sums_at_edges(t_out * grad, *edges))


_edge_softmax_backward = define(
    "edge_softmax_backward(Tensor out, Tensor grad, Tensor indptr, Tensor? eids) -> Tensor",
    shapes=_backward_shapes,
    run=_backward_run,
    backward=_backward_backward,
    jvp=_backward_jvp,
    folds=[{"out": -1, "grad": -1}],
)


def edge_softmax(indptr: Tensor, x: Tensor, *, eids: Tensor | None = None) -> Tensor:
    """Softmax of edge scores over the in-edges of each destination, each column by itself.

    ``out[e] = exp(x[e] - m) / sum(exp(x[f] - m) for every in-edge f of e's destination)`` with
    ``m`` the largest of them. Computed in float32 or wider, in edge order; differentiable, twice.
    Same as ``dgl.nn.functional.edge_softmax``.

    Parameters
    ----------
    indptr : Tensor
        Shape [V + 1]; the in-edges of ``v`` are at positions ``indptr[v]:indptr[v + 1]``.
    x : Tensor
        Scores, shape [E, ...]; float32, float64, float16 or bfloat16.
    eids : Tensor, optional
        Edge at each position, a permutation, shape [E]; None if edge ``e`` is at position ``e``.

    Returns
    -------
    Tensor
        Shape and dtype of ``x``.

    Raises
    ------
    IndexError, ValueError, TypeError
        Ids, shapes, dtypes or devices do not match.

    References
    ----------
    Veličković et al., "Graph attention networks", ICLR 2018;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.functional.edge_softmax.html
    """
    x, indptr = require_features("x", x), require_indptr(indptr)
    eids = optional_ids("eids", eids)
    require_same_device("x", x, "indptr", indptr)
    num_edges = x.shape[0]
    width = x.shape[1:].numel()
    return in_shape(_edge_softmax(x.reshape(num_edges, width), indptr, eids), *x.shape)


def edge_softmax_reference(indptr: Tensor, x: Tensor, *, eids: Tensor | None = None) -> Tensor:
    """What :func:`edge_softmax` computes, in plain torch."""
    num_dst = indptr.shape[0] - 1
    at = x if eids is None else x[eids.long()]
    at = at.to(accumulator_dtype(x.dtype)).flatten(1) if x.dim() > 1 else at.unsqueeze(1)
    dst = destinations(indptr.long(), x.shape[0], torch.int64).unsqueeze(1).expand_as(at)
    most = torch.zeros(num_dst, at.shape[1], dtype=at.dtype)
    most = most.scatter_reduce(0, dst, at, "amax", include_self=False)
    power = (at - most.gather(0, dst)).exp()
    total = torch.zeros_like(most).scatter_add(0, dst, power)
    return in_edge_order((power / total.gather(0, dst)).to(x.dtype).view(x.shape), eids)
