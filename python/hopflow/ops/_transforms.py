"""What forward mode and ``torch.func``'s transforms ask of an operator.

Gradients of ``torch.func`` come through the operator's Autograd key, tangents through the ``jvp``
of its Function, and batches through its FuncTorchBatched key: the three nest as torch's own
operators do, in any order.
"""

# torch.autograd.forward_ad's functions carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch._C._functorch import TransformType
from torch._functorch.pyfunctorch import retrieve_current_functorch_interpreter
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad

_FUNCTORCH = torch._C._functorch
_BATCHED = torch._C.DispatchKeySet(torch._C.DispatchKey.FuncTorchBatched)

_Made = TypeVar("_Made")

# torch 2.2 cannot be asked; a compiler's graph breaks there at checks of values.
is_compiling: Callable[[], bool] = getattr(torch.compiler, "is_compiling", lambda: False)

_outside = threading.local()


@contextmanager
def one_transform() -> Iterator[None]:
    """Inside, a Function called from within the dispatcher records for the innermost transform."""
    before = getattr(_outside, "modes", None)
    _outside.modes = (torch.is_grad_enabled(), forward_ad._is_fwd_grad_enabled())
    try:
        with enable_single_level_autograd_function():
            yield
    finally:
        _outside.modes = before


@contextmanager
def other_transforms() -> Iterator[None]:
    """In a Function's forward, which turns gradients off: on again, for the transforms outside."""
    has_grad, has_tangents = _outside.modes
    with torch.set_grad_enabled(has_grad), forward_ad._set_fwd_grad_enabled(has_tangents):
        yield


def plain(x: Tensor) -> Tensor:
    """The tensor itself that transforms have wrapped to follow its gradient."""
    while _FUNCTORCH.is_gradtrackingtensor(x):
        x = _FUNCTORCH.get_unwrapped(x)
    return x


def made_to_last(make: Callable[[], _Made]) -> _Made:
    """What ``make`` makes of plain tensors, to be kept.

    It serves calls outside of the modes at hand: inference mode, and transforms, whose tensors end
    with them.
    """
    with torch.inference_mode(False):
        if not is_compiling() and torch._C._are_functorch_transforms_active():
            with torch._C._DisableFuncTorch():
                return make()
        return make()


def outlasting(x: Tensor) -> Tensor:
    """``x``, or if it was made in inference mode, where no backward pass may save it, the same
    memory as another tensor."""
    if is_compiling() or not x.is_inference():
        return x
    with torch.inference_mode(False):
        made = torch.empty(0, dtype=x.dtype, device=x.device)
        return made.set_(x.untyped_storage(), x.storage_offset(), x.shape, x.stride())


def is_a_transforms(x: Tensor) -> bool:
    """Whether a tensor belongs to a transform under way, and ends with it."""
    return not is_compiling() and _FUNCTORCH.is_functorch_wrapped_tensor(x)


# --- forward mode ---


def is_forward_mode() -> bool:
    """Whether the innermost transform is ``jvp``; a compiler does not tell ``forward_ad`` so."""
    return retrieve_current_functorch_interpreter().key() == TransformType.Jvp


def keep_for_jvp(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Keep what :func:`forward_mode` hands on; torch drops the tensors when it is through."""
    outputs = (output,) if isinstance(output, Tensor) else output
    values = (*inputs, *outputs)
    ctx.save_for_forward(*[x if isinstance(x, Tensor) else None for x in values])
    ctx.options = [None if isinstance(x, Tensor) else x for x in inputs]


def forward_mode(jvp: Callable[..., Any]) -> Callable[..., Any]:
    """A Function's ``jvp`` from an operator's: see :func:`hopflow.ops._library.define`."""

    def function(ctx: Any, *tangents: Tensor | None) -> Any:
        count = len(tangents)
        saved = ctx.saved_tensors
        # torch turns forward mode off here, which would end the tangents of the transforms outside
        # as well. On again, it must not see the tangents of this one twice.
        with forward_ad._set_fwd_grad_enabled(True):
            tensors = [x if x is None else _primal(x) for x in saved]
            inputs = [option if x is None else x for x, option in zip(tensors[:count], ctx.options)]
            outputs = tensors[count:]
            return jvp(tuple(inputs), outputs[0] if len(outputs) == 1 else outputs, tangents)

    return function


def _primal(x: Tensor) -> Tensor:
    return forward_ad.unpack_dual(x, level=0).primal if x.is_floating_point() else x


def added(*terms: Tensor | None) -> Tensor:
    """The sum of those terms that are there, one at least."""
    first, *rest = (term for term in terms if term is not None)
    for term in rest:
        first = first + term
    return first


def multilinear(op: Any, operands: Sequence[int]) -> Callable[..., Any]:
    """The ``jvp`` of an operator that is linear in each of some operands, given by number."""

    def jvp(inputs: tuple[Any, ...], output: Any, tangents: tuple[Any, ...]) -> Any:
        terms = [
            op(*inputs[:i], tangents[i], *inputs[i + 1 :])
            for i in operands
            if tangents[i] is not None
        ]
        if isinstance(output, Tensor):
            return added(*terms)
        # Which edge won, an integer, has no tangent.
        return tuple(
            [
                added(*term) if primal.is_floating_point() else None
                for primal, *term in zip(output, *terms)
            ]
        )

    return jvp


# --- batches ---

Batch: TypeAlias = Callable[
    [list[Any], list["int | None"]], tuple[list[Any], Callable[[Tensor], Tensor]] | None
]
"""``batch(inputs, dims)``: inputs of one call for a whole batch, and what makes its results'
batch dimension the first; None where one call cannot do it. ``dims`` says which dimension of each
input is the batch's, None where it has none."""


def batched(
    op: Any, folds: Sequence[Mapping[int, int | None]], batch: Batch | None
) -> Callable[..., Any]:
    """The kernel of ``op`` for a batch, on torch's FuncTorchBatched key.

    Parameters
    ----------
    op : OpOverload
        The operator.
    folds : sequence of mapping
        Operands that a batch may be folded into, by number, and the dimension of each that takes
        it: a call for columns [E, B * D] is one for a batch of B. Results take it in the dimension
        of the first operand; None stands for a new dimension after the rows. The first mapping
        that has all operands with a batch is used.
    batch : callable, optional
        Does it in another way.
    """

    def kernel(*inputs: Any) -> Any:
        level = retrieve_current_functorch_interpreter().level()
        # What is called inside is for the next transform.
        with torch._C._ExcludeDispatchKeyGuard(_BATCHED):
            values: list[Any] = []
            dims: list[int | None] = []
            size = 0
            for x in inputs:
                value, dim = x, None
                if isinstance(x, Tensor):
                    value, dim = _FUNCTORCH._unwrap_batched(x, level)
                    size = size if dim is None else value.shape[dim]
                values.append(value)
                dims.append(dim)
            if all(dim is None for dim in dims):
                return op(*values)
            outs = _one_call(op, folds, batch, values, dims, size)
        if isinstance(outs, Tensor):
            return _FUNCTORCH._add_batch_dim(outs, 0, level)
        # What an operator leaves out is of shape [0], for the whole batch.
        return tuple([x if x.dim() == 1 else _FUNCTORCH._add_batch_dim(x, 0, level) for x in outs])

    return kernel


def _one_call(
    op: Any,
    folds: Sequence[Mapping[int, int | None]],
    batch: Batch | None,
    values: list[Any],
    dims: list[int | None],
    size: int,
) -> Any:
    """The results for a whole batch, its dimension first; by one call where that can be."""
    if size == 0:  # shaped like the results for a batch of one
        ones = [
            x if dim is None else x.new_zeros((*x.shape[:dim], 1, *x.shape[dim + 1 :]))
            for x, dim in zip(values, dims)
        ]
        outs = _one_call(op, folds, batch, ones, dims, 1)
        return outs[:0] if isinstance(outs, Tensor) else [x[:0] for x in outs]
    with_batch = {number for number, dim in enumerate(dims) if dim is not None}
    made = batch(values, dims) if batch is not None else None
    for fold in folds:
        if made is None and with_batch <= fold.keys():
            arguments = list(values)
            for number, axis in fold.items():
                if values[number] is not None:
                    arguments[number] = _folded(values[number], dims[number], axis, size)
            axis = next(iter(fold.values()))
            made = arguments, lambda x, axis=axis: _unfolded(x, axis, size)
    if made is None:
        calls = [
            op(*[x if dim is None else x.select(dim, i) for x, dim in zip(values, dims)])
            for i in range(size)
        ]
        if isinstance(calls[0], Tensor):
            return torch.stack(calls)
        return [torch.stack(out) for out in zip(*calls)]
    arguments, restore = made
    outs = op(*arguments)
    if isinstance(outs, Tensor):
        return restore(outs)
    return [x if x.dim() == 1 else restore(x) for x in outs]


def _folded(x: Tensor, dim: int | None, axis: int | None, size: int) -> Tensor:
    """The batch as a part of dimension ``axis``, or as a new dimension 1."""
    x = x.unsqueeze(0).expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
    if axis is None:
        return x.movedim(0, 1)
    axis %= x.dim() - 1
    return x.movedim(0, axis).flatten(axis, axis + 1)


def _unfolded(x: Tensor, axis: int | None, size: int) -> Tensor:
    """A result of operands that were :func:`_folded`, the batch first."""
    if axis is None:
        return x.movedim(1, 0)
    axis %= x.dim()
    shape = (*x.shape[:axis], size, x.shape[axis] // size, *x.shape[axis + 1 :])
    return x.reshape(shape).movedim(axis, 0)
