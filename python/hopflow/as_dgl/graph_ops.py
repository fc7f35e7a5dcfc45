"""``dgl.ops``: message passing on tensors, with the graph as the first argument."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hopflow import ops
from hopflow.function import BINARY_OPS, TARGETS, MessageFunction, ReduceFunction
from hopflow.graph import Graph
from hopflow.ids import as_ids

_COPIES = ("copy_lhs", "copy_rhs")


def gspmm(
    g: Graph, op: str, reduce_op: str, lhs_data: Tensor | None, rhs_data: Tensor | None
) -> Tensor:
    """Combine source and edge features into messages and reduce them at the destinations.

    Parameters
    ----------
    g : Graph or Block
        Where messages flow.
    op : {"add", "sub", "mul", "div", "copy_lhs", "copy_rhs"}
        What a message is.
    reduce_op : {"sum", "mean", "max", "min"}
        How a destination combines its messages; 0 where there are none.
    lhs_data : Tensor or None
        Source features, shape [U, ...]; None for "copy_rhs".
    rhs_data : Tensor or None
        Edge features in the order of edge ids, shape [E, ...]; None for "copy_lhs".

    Returns
    -------
    Tensor
        Shape [V, ...]. Differentiable, unlike DGL's function of this name.

    Raises
    ------
    ValueError, TypeError
        An unknown operation, or operands that do not fit the graph or each other.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.ops.gspmm.html
    """
    if reduce_op not in ops.REDUCERS:
        raise ValueError(f"reduce_op: expected {', '.join(ops.REDUCERS)}, got {reduce_op!r}")
    if op not in (*_COPIES, "add", "sub", "mul", "div"):
        raise ValueError(f"op: expected add, sub, mul, div, copy_lhs or copy_rhs, got {op!r}")
    with g.local_scope():
        g.update_all(
            _message(g, op, lhs_data, rhs_data, "u", "e"), ReduceFunction(reduce_op, "m", "out")
        )
        return g.dstdata["out"]


def gsddmm(
    g: Graph,
    op: str,
    lhs_data: Tensor | None,
    rhs_data: Tensor | None,
    lhs_target: str = "u",
    rhs_target: str = "v",
) -> Tensor:
    """Combine the features of every edge's ends, or its own.

    Parameters
    ----------
    g : Graph or Block
        Where the edges are.
    op : {"add", "sub", "mul", "div", "dot", "copy_lhs", "copy_rhs"}
        How.
    lhs_data, rhs_data : Tensor or None
        Features of sources, destinations or edges; None where a copy does not need them.
    lhs_target, rhs_target : {"u", "v", "e"}
        Whose they are: sources', destinations', edges'.

    Returns
    -------
    Tensor
        Shape [E, ...], in the order of edge ids.

    Raises
    ------
    ValueError, TypeError
        As :func:`gspmm`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.ops.gsddmm.html
    """
    if op not in (*_COPIES, *BINARY_OPS):
        raise ValueError(f"op: expected {', '.join(BINARY_OPS)}, copy_lhs or copy_rhs, got {op!r}")
    with g.local_scope():
        g.apply_edges(_message(g, op, lhs_data, rhs_data, lhs_target, rhs_target, "out"))
        return g.edata["out"]


def _message(
    g: Graph,
    op: str,
    lhs: Tensor | None,
    rhs: Tensor | None,
    lhs_target: str,
    rhs_target: str,
    out: str = "m",
) -> MessageFunction:
    """Set the operands as columns; the message function that reads them."""
    frames: dict[str, Any] = {"u": g.srcdata, "v": g.dstdata, "e": g.edata}
    used = []
    for name, other, target, value in (
        ("lhs", "copy_rhs", lhs_target, lhs),
        ("rhs", "copy_lhs", rhs_target, rhs),
    ):
        if op == other:
            continue
        if target not in TARGETS:
            raise ValueError(f'{name}_target: expected "u", "v" or "e", got {target!r}')
        if value is None:
            raise ValueError(f"{name}_data: expected a tensor for {op}, got None")
        frames[target][name] = value
        used.append((target, name))
    if len(used) == 1:
        return MessageFunction("copy", *used[0], None, None, out)
    return MessageFunction(op, *used[0], *used[1], out)


def segment_reduce(seglen: Tensor, value: Tensor, reducer: str = "sum") -> Tensor:
    """Reduce consecutive rows, ``seglen[i]`` of them for row ``i`` of the result.

    Parameters
    ----------
    seglen : Tensor
        Lengths of the segments, shape [S]; they add up to the number of rows.
    value : Tensor
        Shape [R, ...].
    reducer : {"sum", "mean", "max", "min"}
        How; 0 for a segment without rows.

    Returns
    -------
    Tensor
        Shape [S, ...].

    Raises
    ------
    ValueError, TypeError
        Lengths that are negative or do not add up, or an unknown reducer.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.ops.segment_reduce.html
    """
    lengths = as_ids("seglen", seglen, dtype=torch.int64)
    if lengths.numel() and int(lengths.min()) < 0:
        raise ValueError(f"seglen: expected lengths of at least 0, got {int(lengths.min())}")
    if int(lengths.sum()) != value.shape[0]:
        raise ValueError(
            f"seglen: expected lengths that add up to the {value.shape[0]} rows of value, got"
            f" {int(lengths.sum())}"
        )
    start = torch.zeros(1, dtype=torch.int64, device=lengths.device)
    return ops.segment_reduce(
        torch.cat([start, torch.cumsum(lengths, 0)]).to(value.device), value, reduce=reducer
    )


def _copy_reduce(target: str, reduce_op: str) -> Callable[[Graph, Tensor], Tensor]:
    def function(g: Graph, x: Tensor) -> Tensor:
        if target == "u":
            return gspmm(g, "copy_lhs", reduce_op, x, None)
        return gspmm(g, "copy_rhs", reduce_op, None, x)

    whose = "the sources'" if target == "u" else "the edges'"
    function.__doc__ = f"The {reduce_op} of {whose} rows at each destination."
    return function


def _spmm(op: str, reduce_op: str) -> Callable[[Graph, Tensor, Tensor], Tensor]:
    def function(g: Graph, x: Tensor, y: Tensor) -> Tensor:
        return gspmm(g, op, reduce_op, x, y)

    function.__doc__ = f"The {reduce_op} at each destination of source rows {op} edge rows."
    return function


def _copy(target: str) -> Callable[[Graph, Tensor], Tensor]:
    def function(g: Graph, x: Tensor) -> Tensor:
        return gsddmm(g, "copy_lhs", x, None, lhs_target=target)

    function.__doc__ = f"The row of {target} for each edge."
    return function


def _sddmm(op: str, lhs: str, rhs: str) -> Callable[[Graph, Tensor, Tensor], Tensor]:
    def function(g: Graph, x: Tensor, y: Tensor) -> Tensor:
        return gsddmm(g, op, x, y, lhs_target=lhs, rhs_target=rhs)

    function.__doc__ = f"For each edge the row of {lhs} {op} that of {rhs}."
    return function


_GENERATED: dict[str, Callable[..., Tensor]] = {
    **{f"copy_{t}_{r}": _copy_reduce(t, r) for t in ("u", "e") for r in ops.REDUCERS},
    **{f"u_{op}_e_{r}": _spmm(op, r) for op in ("add", "sub", "mul", "div") for r in ops.REDUCERS},
    **{f"copy_{t}": _copy(t) for t in TARGETS},
    **{
        f"{lhs}_{op}_{rhs}": _sddmm(op, lhs, rhs)
        for op in BINARY_OPS
        for lhs in TARGETS
        for rhs in TARGETS
        if lhs != rhs
    },
}
for _name, _function in _GENERATED.items():
    _function.__name__ = _function.__qualname__ = _name
    setattr(sys.modules[__name__], _name, _function)
