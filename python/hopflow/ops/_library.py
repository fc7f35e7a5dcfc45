"""Registration of the native kernels as ``torch.library`` operators.

One path for eager mode and for ``torch.compile``: schema, CPU kernel, fake kernel (shapes alone)
and autograd. The autograd kernel is a plain ``torch.autograd.Function`` on the operator's Autograd
key, which every torch since 2.2 understands (``torch.library.register_autograd`` came with 2.4).
"""

# torch.library's functions carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd import forward_ad

from hopflow.ops.pool import empty

# torch 2.2 cannot be asked; a compiler's graph breaks there at checks of values.
is_compiling: Callable[[], bool] = getattr(torch.compiler, "is_compiling", lambda: False)

_LIBRARY = torch.library.Library("hopflow", "DEF")

# Renamed in torch 2.4.
_register_fake: Callable[..., Any]
if hasattr(torch.library, "register_fake"):
    _register_fake = torch.library.register_fake
else:
    _register_fake = torch.library.impl_abstract


def _fake(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=device)


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


Spec: TypeAlias = tuple[Sequence[int], torch.dtype, torch.device]
"""What a result is: shape, dtype and device."""


def define(
    schema: str,
    *,
    shapes: Callable[..., Any],
    run: Callable[..., None],
    setup: Callable[[Any, tuple[Any, ...], Any], None] | None = None,
    backward: Callable[..., Any] | None = None,
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
    """
    name = schema.split("(", 1)[0]
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
    if backward is None:
        return op
    save = setup or _save_inputs

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                output = op(*inputs)
            save(ctx, inputs, output)
            return output

    Function.backward = staticmethod(backward)  # type: ignore[method-assign]
    Function.__name__ = Function.__qualname__ = f"hopflow_{name}"
    # Without the part of Function.apply that looks for torch.func's wrappers, one input at a time.
    apply = super(torch.autograd.Function, Function).apply

    def needs_grad(inputs: tuple[Any, ...]) -> bool:
        if not torch.is_grad_enabled():
            return False
        for x in inputs:  # noqa: SIM110  any() over a generator takes twice as long
            if isinstance(x, torch.Tensor) and x.requires_grad:
                return True
        return False

    def autograd(*inputs: Any) -> Any:
        # There is no forward-mode derivative: the Function says so, where the kernel alone would
        # silently drop the tangent.
        if needs_grad(inputs) or forward_ad._current_level >= 0:
            if torch._C._are_functorch_transforms_active():
                return Function.apply(*inputs)
            return apply(*inputs)
        with torch._C._AutoDispatchBelowAutograd():
            return op(*inputs)

    _LIBRARY.impl(name, autograd, "Autograd")
    return op
