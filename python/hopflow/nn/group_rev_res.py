"""Reversible residual connections: layers whose inputs are computed again from their outputs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hopflow.graphs.graph import Graph
from hopflow.nn._checks import autocast_state, is_compiling
from hopflow.ops import is_a_transforms


class GroupRevRes(nn.Module):
    r"""Grouped reversible residual connection around a layer: a depth that costs no memory.

    The features x are split into groups :math:`x_1 \Vert \ldots \Vert x_G` and

    .. math::
        y_0 = \sum_{i=2}^G x_i, \quad y_i = x_i + f_i(g, y_{i-1}), \quad
        y = y_1 \Vert \ldots \Vert y_G

    As x can be computed from y, the backward pass does so, group by group, and computes each
    layer's activations once more; between the passes nothing is kept but y. Where such modules
    follow each other only the last one's output is kept: the output of one is released as soon as
    the next has read it and nobody else holds it.

    Where a layer draws (dropout), it draws the same numbers again, and a buffer that it changes
    (statistics of a batch normalisation) changes once; in DGL's module neither is so, and dropout
    makes its gradients wrong. Rounding errors of the computed inputs add up with depth; they are
    those of the features' dtype. In a model under ``torch.compile`` or ``torch.func`` activations
    are kept as anywhere else.

    Parameters
    ----------
    gnn_module : nn.Module
        Called as ``gnn_module(graph, x, *args)``, must give the width it is given, which is that of
        a group. Group 1 has it, the others have copies.
    groups : int
        Number of groups G, at least 2.

    References
    ----------
    Li, Müller, Ghanem, Koltun, "Training graph neural networks with 1000 layers", ICML 2021;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.GroupRevRes.html
    """

    def __init__(self, gnn_module: nn.Module, groups: int = 2) -> None:
        super().__init__()
        if groups < 2:
            raise ValueError(f"groups: expected at least 2, got {groups}")
        self.gnn_modules = nn.ModuleList(
            [gnn_module, *(deepcopy(gnn_module) for _ in range(groups - 1))]
        )
        self.groups = groups

    def forward(self, g: Graph, x: Tensor, *args: Tensor) -> Tensor:
        """Apply the layers.

        Parameters
        ----------
        g : Graph
            Where messages flow.
        x : Tensor
            Shape [N, ..., D]; the groups share D.
        *args : Tensor
            More arguments of the layers, such as edge features; their last dimensions are shared
            too.

        Returns
        -------
        Tensor
            Shape of ``x``.

        Raises
        ------
        RuntimeError
            In the backward pass, if the output or an argument has been changed in place.
        TypeError, ValueError
            Widths that the groups cannot share, or a layer that changes the shape.
        """
        for name, value in (("x", x), *((f"args[{i}]", a) for i, a in enumerate(args))):
            if not isinstance(value, Tensor):
                raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")
            if value.dim() < 1 or value.shape[-1] % self.groups:
                raise ValueError(
                    f"{name}: expected a last dimension that {self.groups} groups can share, got"
                    f" shape {list(value.shape)}"
                )
        leaves = [x, *args, *(p for p in self.parameters() if p.requires_grad)]
        is_recorded = torch.is_grad_enabled() and any(leaf.requires_grad for leaf in leaves)
        # Asked in this order: a compiler does not know what a transform's tensor is.
        if not is_recorded or is_compiling() or any(is_a_transforms(leaf) for leaf in leaves):
            return _apply(self._calls(g), x, args)
        # By a graph of its own: the one given may change before the backward pass.
        step = _Step(self._calls(g.local_var()), x, args)
        before = getattr(x.grad_fn, "step", None)
        parameters = step.parameters()
        out: Tensor = _Reversible.apply(step, x, len(args), *args, *parameters)  # type: ignore[no-untyped-call]
        if isinstance(before, _Step):
            before.let_go(x, step)
        return out

    def _calls(self, graph: Graph) -> list[_Call]:
        return [_Call(layer, graph) for layer in self.gnn_modules]

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of it."""
        return f"groups={self.groups}"


class _Call:
    """A group's layer, which can be run again as it ran first."""

    def __init__(self, layer: nn.Module, graph: Graph) -> None:
        self.layer, self._graph = layer, graph
        self.parameters = [p for p in layer.parameters() if p.requires_grad]
        self._state: tuple[Tensor, Tensor | None] | None = None

    def __call__(self, x: Tensor, args: Sequence[Tensor]) -> Tensor:
        out: Tensor = self.layer(self._graph, x, *args)
        if out.shape != x.shape:
            raise ValueError(
                f"gnn_module: expected a result of its input's shape, {list(x.shape)}, got"
                f" {list(out.shape)}"
            )
        return out

    def first(self, x: Tensor, args: Sequence[Tensor]) -> Tensor:
        """Run it, and remember where the random streams stood."""
        if any(module.training for module in self.layer.modules()):
            on_device = torch.cuda.get_rng_state(x.device) if x.is_cuda else None
            self._state = torch.get_rng_state(), on_device
        return self(x, args)

    @contextmanager
    def again(self, device: torch.device) -> Iterator[None]:
        """Inside, the layer draws what it drew; afterwards its buffers are as they were."""
        kept = [(x, x.clone()) for x in self.layer.buffers()]
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            if self._state is not None:
                torch.set_rng_state(self._state[0])
                if self._state[1] is not None:
                    torch.cuda.set_rng_state(self._state[1], device)
            yield
        with torch.no_grad():
            for x, before in kept:
                x.copy_(before)


class _Kept:
    """A tensor to read again, if nobody has changed it meanwhile."""

    def __init__(self, x: Tensor) -> None:
        self._x = x.detach()  # the tensor itself may hold the record that holds this
        self._version = self._x._version

    def is_still(self, x: Tensor) -> bool:
        """Whether ``x``, which is the tensor, is as it was."""
        return x._version == self._version

    def get(self, what: str) -> Tensor:
        """The tensor."""
        if self._x._version != self._version:
            raise RuntimeError(
                f"GroupRevRes: {what} was changed in place before the backward pass, which computes"
                " from it; expected it to be left as it was"
            )
        return self._x


def _shares(args: Sequence[Tensor], groups: int) -> list[tuple[Tensor, ...]]:
    """What each group gets of every argument."""
    by_argument = [a.chunk(groups, -1) for a in args]
    return [tuple(chunks[i] for chunks in by_argument) for i in range(groups)]


def _sum(xs: Sequence[Tensor]) -> Tensor:
    total = xs[0]
    for x in xs[1:]:
        total = total + x
    return total


def _apply(calls: Sequence[_Call], x: Tensor, args: Sequence[Tensor]) -> Tensor:
    """The formula, for torch's own record."""
    xs, shares = x.chunk(len(calls), -1), _shares(args, len(calls))
    y, ys = _sum(xs[1:]), []
    for part, call, mine in zip(xs, calls, shares):
        y = part + call(y, mine)
        ys.append(y)
    return torch.cat(ys, -1)


class _Step:
    """One module's place in a chain of them, between its two passes.

    It holds its output until a module that follows has read it: from then on it is computed from
    what that one holds. A step is held by the record of its pass, and holds those that follow;
    to those before it there are no strong references, so that all ends with the record.
    """

    def __init__(self, calls: list[_Call], x: Tensor, args: Sequence[Tensor]) -> None:
        self._calls, self._dtype, self._device = calls, x.dtype, x.device
        self._autocast = autocast_state(x.device.type)
        # By other tensors over the same memory, which no record holds.
        self._args = [_Kept(a) for a in args]
        self._out: _Kept | None = None
        self._following: _Step | None = None
        self._before: Callable[[], _Step | None] = lambda: None

    def parameters(self) -> list[Tensor]:
        """Those of the layers that have gradients, group by group."""
        return [p for call in self._calls for p in call.parameters]

    @contextmanager
    def _as_before(self) -> Iterator[None]:
        """Inside, autocast is as it was; without its cache, which forgets gradients."""
        is_on, dtype = self._autocast
        with torch.autocast(self._device.type, dtype, enabled=is_on, cache_enabled=False):
            yield

    def run(self, x: Tensor, args: Sequence[Tensor]) -> Tensor:
        """The first pass."""
        xs, shares = x.chunk(len(self._calls), -1), _shares(args, len(self._calls))
        y, ys = _sum(xs[1:]), []
        with self._as_before():
            for part, call, mine in zip(xs, self._calls, shares):
                y = part + call.first(y, mine)
                ys.append(y)
        return torch.cat(ys, -1)

    def keep(self, out: Tensor) -> None:
        """Hold the output."""
        self._out = _Kept(out)

    def let_go(self, out: Tensor, following: _Step) -> None:
        """Release the output, which ``following`` has read as it is."""
        if self._following is None and self._out is not None and self._out.is_still(out):
            self._following, self._out = following, None
            following._before = weakref.ref(self)

    def _output(self) -> Tensor:
        """The output, held or computed."""
        chain = [self]
        while chain[-1]._out is None:
            following = chain[-1]._following
            assert following is not None
            chain.append(following)
        step = chain.pop()
        assert step._out is not None
        found = step._out.get("its output")
        while chain:
            found, step = step._invert(found), chain.pop()
        return found

    def _arguments(self) -> list[Tensor]:
        return [a.get("an argument") for a in self._args]

    def _invert(self, y: Tensor) -> Tensor:
        """The input that gave an output."""
        groups = len(self._calls)
        ys, shares = y.chunk(groups, -1), _shares(self._arguments(), groups)
        xs: list[Tensor] = list(ys)
        with torch.no_grad(), self._as_before():
            for i in reversed(range(groups)):
                given = ys[i - 1] if i else _sum(xs[1:])
                with self._calls[i].again(self._device):
                    xs[i] = (ys[i] - self._calls[i](given, shares[i])).to(self._dtype)
        return torch.cat(xs, -1)

    def backward(
        self, grad: Tensor, needs: Sequence[bool]
    ) -> tuple[Tensor, list[Tensor | None], list[Tensor | None]]:
        """Gradients of x, of the arguments (``needs`` says of which) and of the parameters.

        Each layer runs once: what it gives is taken from y for the input, and differentiated.
        """
        groups, args = len(self._calls), self._arguments()
        ys, shares = self._output().chunk(groups, -1), _shares(args, groups)
        grads: list[Tensor] = list(grad.chunk(groups, -1))
        xs: list[Tensor] = list(ys)
        of_args: list[list[Tensor | None]] = [[None] * groups for _ in args]
        of_parameters: list[list[Tensor | None]] = [[] for _ in range(groups)]
        shared: Tensor | None = None
        for i in reversed(range(groups)):
            call = self._calls[i]
            given = (ys[i - 1] if i else _sum(xs[1:])).detach().requires_grad_()
            mine = [a.detach().requires_grad_(need) for a, need in zip(shares[i], needs)]
            wanted = [given, *(a for a in mine if a.requires_grad), *call.parameters]
            with call.again(self._device):
                with torch.enable_grad(), self._as_before():
                    out = call(given, mine)
                xs[i] = (ys[i] - out.detach()).to(self._dtype)
                found: Sequence[Tensor | None] = [None] * len(wanted)
                if out.requires_grad:
                    found = torch.autograd.grad(
                        out, wanted, grads[i].to(out.dtype), allow_unused=True
                    )
            rest = iter(found)
            below = next(rest)
            for a, parts in zip(mine, of_args):
                if a.requires_grad:
                    parts[i] = next(rest)
            of_parameters[i] = list(rest)
            if i == 0:
                shared = below
            elif below is not None:
                grads[i - 1] = grads[i - 1] + below
        if shared is not None:
            grads[1:] = [g + shared for g in grads[1:]]
        before = self._before()
        if before is not None and before._out is None:
            before.keep(torch.cat(xs, -1))
        if self._following is not None:
            self._out = None  # as it was: what follows can tell it again
        joined = [
            None if all(part is None for part in parts) else torch.cat(
                [a.new_zeros(a.shape) if part is None else part
                 for a, part in zip(a_shares, parts)], -1
            )
            for parts, a_shares in zip(of_args, (a.chunk(groups, -1) for a in args))
        ]  # fmt: skip
        return (
            torch.cat(grads, -1).to(self._dtype),
            joined,
            [g for group in of_parameters for g in group],
        )


class _Reversible(torch.autograd.Function):
    """The step as torch's record has it, with nothing saved in the record itself."""

    @staticmethod
    def forward(ctx: Any, step: _Step, x: Tensor, num_args: int, *rest: Tensor) -> Tensor:
        out = step.run(x, rest[:num_args])
        ctx.step, ctx.num_args = step, num_args
        step.keep(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        needs = ctx.needs_input_grad[3 : 3 + ctx.num_args]
        of_x, of_args, of_parameters = ctx.step.backward(grad, needs)
        return (None, of_x, None, *of_args, *of_parameters)
