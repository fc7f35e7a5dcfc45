"""What becomes of a node's results from several relations: the cross reducers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from hopflow.function import MessageFunction, ReduceFunction
from hopflow.structure.types import Schema, told

CrossReducer: TypeAlias = "str | Callable[[list[Tensor]], Tensor]"
CROSS_REDUCERS = ("sum", "min", "max", "mean", "stack")


class Result(NamedTuple):
    """What one relation gives the nodes that it enters.

    Attributes
    ----------
    columns : mapping
        [num_dst, ...] each, by name.
    absent : Tensor or None
        bool, [num_dst]: nodes for which there is no result, and 0 stands in its columns; None where
        that 0 counts as any other.
    """

    columns: Mapping[str, Tensor]
    absent: Tensor | None


def require_cross_reducer(value: Any) -> CrossReducer:
    """Return a cross reducer, or raise."""
    if callable(value) or (isinstance(value, str) and value in CROSS_REDUCERS):
        return value  # type: ignore[no-any-return]
    known = ", ".join(map(repr, CROSS_REDUCERS))
    raise ValueError(f"cross_reducer: expected one of {known} or a function, got {value!r}")


def reducer_of_all(schema: Schema, message_func: object, reduce_func: object) -> str:
    """The cross reducer of built-ins that run over all types of edges: the reduce function's.

    Raises
    ------
    ValueError
        A function for which the edges' type must be named.
    """
    is_built_in = isinstance(message_func, MessageFunction)
    if is_built_in and isinstance(reduce_func, ReduceFunction) and reduce_func.op != "mean":
        return reduce_func.op
    raise ValueError(
        f"etype: expected one of {told(schema.relations)}, got None; only built-ins with sum, max"
        " or min take all of them, multi_update_all any functions"
    )


def has_absent(reduce_func: object) -> bool:
    """Whether nodes without messages have no result: the max of nothing is not 0.

    The sum of nothing is, and a Python function's result counts as 0 as well.
    """
    return isinstance(reduce_func, ReduceFunction) and reduce_func.op in ("max", "min")


def merge(results: Sequence[Result], reducer: CrossReducer) -> dict[str, Tensor]:
    """One column of each name out of those of several relations, in the order given.

    Parameters
    ----------
    results : sequence of Result
        Of relations into one node type. A column that only some of them write is made of these.
    reducer : str or callable
        "stack" gives [num_dst, number of relations, ...]; a function gets a list of the columns.
        "max" and "min" leave out relations that have no result for a node.

    Raises
    ------
    ValueError, TypeError
        Columns of one name that do not go together, or a function that returns no tensor.
    """
    names = dict.fromkeys(name for result in results for name in result.columns)
    return {
        name: _merged(name, [r for r in results if name in r.columns], reducer) for name in names
    }


def _merged(name: str, results: Sequence[Result], reducer: CrossReducer) -> Tensor:
    columns = [result.columns[name] for result in results]
    if len(columns) == 1 and reducer != "stack":
        return columns[0]
    if not isinstance(reducer, str):
        made = reducer(columns)
        if not isinstance(made, Tensor):
            raise TypeError(
                f"cross reducer: {name!r}: expected a tensor, got {type(made).__name__}"
            )
        return made
    for column in columns[1:]:
        if column.shape != columns[0].shape or column.dtype != columns[0].dtype:
            raise ValueError(
                f"cross reducer {reducer!r}: column {name!r}: expected one shape and dtype of all"
                f" relations, got {_told(columns[0])} and {_told(column)}"
            )
    if reducer == "stack":
        return torch.stack(columns, 1)
    if reducer == "sum":
        return torch.stack(columns).sum(0).to(columns[0].dtype)
    if reducer == "mean":
        is_float = columns[0].is_floating_point() or columns[0].is_complex()
        dtype = columns[0].dtype if is_float else torch.get_default_dtype()
        return torch.stack(columns).mean(0, dtype=dtype)
    absent = [result.absent for result in results]
    filled = [
        column if mask is None else column.masked_fill(_rows(mask, column), _worst(column, reducer))
        for column, mask in zip(columns, absent)
    ]
    stacked = torch.stack(filled)
    best = (stacked.max(0) if reducer == "max" else stacked.min(0)).values
    masks = [mask for mask in absent if mask is not None]
    if len(masks) < len(columns):
        return best
    return best.masked_fill(_rows(torch.stack(masks).all(0), best), 0)


def _rows(mask: Tensor, column: Tensor) -> Tensor:
    return mask.view(-1, *[1] * (column.dim() - 1))


def _worst(column: Tensor, reducer: str) -> float | int:
    """What no value of a column loses against."""
    if column.is_floating_point():
        return float("-inf") if reducer == "max" else float("inf")
    limits = torch.iinfo(column.dtype)
    return limits.min if reducer == "max" else limits.max


def _told(column: Tensor) -> str:
    return f"{str(column.dtype).replace('torch.', '')} {list(column.shape)}"
