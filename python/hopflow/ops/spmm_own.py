"""SpMM beside the destinations' own rows: one operator, hence one gradient, for both."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hopflow.ops._library import Spec, define
from hopflow.ops._shapes import (
    as_heads,
    in_shape,
    require_features,
    require_ids,
    require_same_device,
)
from hopflow.ops.csc import transpose_for_backward
from hopflow.ops.spmm import inverse_degrees, require_indptr, run_spmm, spmm_reference


def _own_shapes(x: Tensor, indptr: Tensor, indices: Tensor, reduce: str) -> tuple[Spec, Spec]:
    spec = (indptr.shape[0] - 1, *x.shape[1:]), x.dtype, x.device
    return spec, spec


def _own_run(
    own: Tensor, out: Tensor, x: Tensor, indptr: Tensor, indices: Tensor, reduce: str
) -> None:
    own.copy_(x[: own.shape[0]])
    run_spmm(out, out, x, indptr, indices, None, None, None, reduce)


def _own_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, indptr, indices, ctx.reduce = inputs
    ctx.save_for_backward(indptr, indices)
    ctx.num_src = x.shape[0]


def _own_backward(ctx: Any, grad_own: Tensor, grad: Tensor) -> tuple[Tensor | None, ...]:
    indptr, indices = ctx.saved_tensors
    t_indptr, t_rows, _ = transpose_for_backward(indptr, indices, ctx.num_src)
    grad_scale = inverse_degrees(indptr, grad.dtype) if ctx.reduce == "mean" else None
    grad_x, _arg = torch.ops.hopflow.spmm.default(
        grad, t_indptr, t_rows, None, None, grad_scale, "sum", None, None, None
    )
    if torch._C._are_functorch_transforms_active():
        # One of them may have a batch dimension that the other has not.
        rest = grad_own.new_zeros((ctx.num_src - grad_own.shape[0], *grad_own.shape[1:]))
        return grad_x + torch.cat([grad_own, rest]), None, None, None
    # The result is new, so the other gradient is added in place: autograd, given a slice and a
    # product, would write a third array of all sources, mostly zeros, and a fourth for the sum.
    grad_x[: grad_own.shape[0]] += grad_own
    return grad_x, None, None, None


_spmm_with_own = define(
    "spmm_with_own(Tensor x, Tensor indptr, Tensor indices, str reduce) -> (Tensor, Tensor)",
    shapes=_own_shapes,
    run=_own_run,
    setup=_own_setup,
    backward=_own_backward,
    linear=["x"],
    folds=[{"x": -1}],
)


def spmm_with_own(
    indptr: Tensor, indices: Tensor, x: Tensor, *, reduce: str = "mean"
) -> tuple[Tensor, Tensor]:
    """The destinations' own rows and :func:`spmm` of their neighbours', for layers that use both.

    Same as ``(x[:V].clone(), spmm(indptr, indices, x, reduce=reduce))``, but the backward pass
    writes one gradient of ``x`` instead of two and their sum.

    Parameters
    ----------
    indptr : Tensor
        Shape [V + 1]; the in-edges of ``v`` are at positions ``indptr[v]:indptr[v + 1]``.
    indices : Tensor
        Source of the edge at each position, shape [E], int32 or int64.
    x : Tensor
        Source features, shape [U, ...] with U at least V: the first V sources are the
        destinations.
    reduce : {"mean", "sum"}
        How a destination combines its messages.

    Returns
    -------
    own, neighbor : Tensor
        Shape [V, ...] each, dtype of ``x``.

    Raises
    ------
    IndexError
        A source id is negative or not below U.
    ValueError, TypeError
        Shapes, dtypes or devices do not match.
    """
    x, indptr = require_features("x", x), require_indptr(indptr)
    indices = require_ids("indices", indices)
    require_same_device("x", x, "indices", indices)
    if reduce not in ("mean", "sum"):
        raise ValueError(f'reduce: expected "mean" or "sum", got {reduce!r}')
    num_dst = indptr.shape[0] - 1
    if x.shape[0] < num_dst:
        raise ValueError(f"x: expected at least {num_dst} rows, got {x.shape[0]}")
    if x.dim() == 2:
        result: tuple[Tensor, Tensor] = _spmm_with_own(x, indptr, indices, reduce)
        return result
    own, out = _spmm_with_own(as_heads(x), indptr, indices, reduce)
    shape = (num_dst, *x.shape[1:])
    return in_shape(own, *shape), in_shape(out, *shape)


def spmm_with_own_reference(
    indptr: Tensor, indices: Tensor, x: Tensor, *, reduce: str = "mean"
) -> tuple[Tensor, Tensor]:
    """What :func:`spmm_with_own` computes, in plain torch."""
    return x[: indptr.shape[0] - 1].clone(), spmm_reference(indptr, indices, x, reduce=reduce)
