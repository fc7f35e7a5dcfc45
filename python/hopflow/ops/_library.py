"""Registration of the native kernels as ``torch.library`` operators.

One path for eager mode, ``torch.compile`` and ``torch.func``: schema, kernel, shapes alone for a
compiler, autograd in both modes, and what a batch dimension means. The autograd kernel is a plain
``torch.autograd.Function`` on the operator's Autograd key, which every torch since 2.2 understands
(``torch.library.register_autograd`` came with 2.4).
"""

# torch.library's functions carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd import forward_ad

from hopflow.ops import _transforms
from hopflow.ops.pool import empty

_LIBRARY = torch.library.Library("hopflow", "DEF")

# Renamed in torch 2.4.
_register_fake: Callable[..., Any]
if hasattr(torch.library, "register_fake"):
    _register_fake = torch.library.register_fake
else:
    _register_fake = torch.library.impl_abstract

# Whether torch tells a kernel for which keys it was called; from 2.4 on.
_TELLS_KEYS = "with_keyset" in inspect.signature(torch.library.Library.impl).parameters

Spec: TypeAlias = tuple[Sequence[int], torch.dtype, torch.device]
"""What a result is: shape, dtype and device."""


def define(
    schema: str,
    *,
    shapes: Callable[..., Any],
    run: Callable[..., None],
    setup: Callable[[Any, tuple[Any, ...], Any], None] | None = None,
    backward: Callable[..., Any] | None = None,
    linear: Sequence[str] = (),
    jvp: Callable[[tuple[Any, ...], Any, tuple[Any, ...]], Any] | None = None,
    folds: Sequence[Mapping[str, int | None]] = (),
    batch: _transforms.Batch | None = None,
) -> Any:
    """Register ``hopflow::<schema>`` and return its overload, ready to call.

    Parameters
    ----------
    schema : str
        For example ``"gather_rows(Tensor x, Tensor ids) -> Tensor"``.
    shapes : callable
        ``shapes(*inputs)`` is the :data:`Spec` of the result, or a tuple of one for each. Results
        are allocated by it, real ones in the pool, and those that a compiler works with.
    run : callable
        ``run(*results, *inputs)`` fills them. It checks devices itself, so it serves every backend
        key.
    setup, backward : callable, optional
        ``setup(ctx, inputs, output)`` saves what ``backward(ctx, *grads)`` needs, by default all
        inputs; ``backward`` returns one gradient for each input. Without it the operator has no
        gradient.
    linear, jvp : optional
        Forward mode, which goes with ``backward``: the operands in each of which the result is
        linear, so that tangents take their place; or else ``jvp(inputs, output, tangents)``, the
        tangent of the output, or a tuple of one for each. An input without a tangent has None.
    folds, batch : optional
        What ``torch.vmap`` does: see :func:`hopflow.ops._transforms.batched`. Without them one call
        an element of the batch.
    """
    name, arguments = schema.split("(", 1)
    if schema.endswith("-> Tensor"):

        def kernel(*inputs: Any) -> Any:
            out = empty(*shapes(*inputs))
            run(out, *inputs)
            return out

        def fake(*inputs: Any) -> Any:
            return _fake(*shapes(*inputs))

    else:

        def kernel(*inputs: Any) -> Any:
            outs = tuple([empty(*spec) for spec in shapes(*inputs)])
            run(*outs, *inputs)
            return outs

        def fake(*inputs: Any) -> Any:
            return tuple([_fake(*spec) for spec in shapes(*inputs)])

    _LIBRARY.define(schema)
    _LIBRARY.impl(name, kernel, "CPU")
    _LIBRARY.impl(name, kernel, "CUDA")
    _register_fake(f"hopflow::{name}", fake, lib=_LIBRARY)
    op = getattr(torch.ops.hopflow, name).default
    operands = re.findall(r"(\w+)[,)]", arguments.split("->")[0])
    numbered = [{operands.index(x): axis for x, axis in fold.items()} for fold in folds]
    _LIBRARY.impl(name, _transforms.batched(op, numbered, batch), "FuncTorchBatched")
    if backward is not None:
        if jvp is None:
            jvp = _transforms.multilinear(op, [operands.index(x) for x in linear])
        _register_autograd(name, op, kernel, setup or _save_inputs, backward, jvp)
    return op


def _fake(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=device)


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _register_autograd(
    name: str,
    op: Any,
    kernel: Callable[..., Any],
    setup: Callable[[Any, tuple[Any, ...], Any], None],
    backward: Callable[..., Any],
    jvp: Callable[..., Any],
) -> None:
    def below(*inputs: Any) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return op(*inputs)

    def transformed(*inputs: Any) -> Any:
        with _transforms.other_transforms():
            return below(*inputs)

    def function(compute: Callable[..., Any]) -> Callable[..., Any]:
        class Function(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *inputs: Any) -> Any:
                output = compute(*inputs)
                setup(ctx, inputs, output)
                if forward_ad._current_level >= 0 or compute is transformed:
                    _transforms.keep_for_jvp(ctx, inputs, output)
                return output

        Function.backward = staticmethod(backward)  # type: ignore[method-assign]
        Function.jvp = staticmethod(_transforms.forward_mode(jvp))  # type: ignore[method-assign]
        Function.__name__ = Function.__qualname__ = f"hopflow_{name}"
        # Without the part of Function.apply that looks for torch.func's wrappers, one input at a
        # time, and wants to see it from outside of the dispatcher.
        apply: Callable[..., Any] = super(torch.autograd.Function, Function).apply
        return apply

    apply_kernel, apply_below, apply_transformed = map(function, (kernel, below, transformed))

    def needs_grad(inputs: tuple[Any, ...]) -> bool:
        if not torch.is_grad_enabled():
            return False
        for x in inputs:  # noqa: SIM110  any() over a generator takes twice as long
            if isinstance(x, Tensor) and x.requires_grad:
                return True
        return False

    def autograd(keys: Any, *inputs: Any) -> Any:
        is_next = _kernel_is_next.get(keys.raw_repr())
        if is_next is None:
            is_next = _learn(keys)
        # A tangent needs the Function as a gradient does.
        is_recorded = needs_grad(inputs) or forward_ad._current_level >= 0
        if is_next:
            return apply_kernel(*inputs) if is_recorded else kernel(*inputs)
        if torch._C._are_functorch_transforms_active():
            if is_recorded or _transforms.is_forward_mode():
                with _transforms.one_transform():
                    return apply_transformed(*inputs)
        elif is_recorded:
            return apply_below(*inputs)
        return below(*inputs)

    if _TELLS_KEYS:
        _LIBRARY.impl(name, autograd, "Autograd", with_keyset=True)
    else:
        _LIBRARY.impl(name, lambda *inputs: autograd(_UnknownKeys, *inputs), "Autograd")


# By the keys of a call, whether nothing stands between autograd and the kernel: no mode, no
# transform, no subclass. The kernel is called at once then, without a second way through the
# dispatcher.
_kernel_is_next: dict[int, bool] = {0: False}


class _UnknownKeys:
    @staticmethod
    def raw_repr() -> int:
        return 0


def _learn(keys: Any) -> bool:
    key = torch._C.DispatchKey
    rest = (keys & torch._C._after_autograd_keyset).remove(key.ADInplaceOrView)
    found = rest.remove(key.BackendSelect).highestPriorityTypeId() in (key.CPU, key.CUDA)
    _kernel_is_next[keys.raw_repr()] = found
    return found
