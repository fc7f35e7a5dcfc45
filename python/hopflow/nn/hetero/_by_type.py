"""Rows and edges grouped by their type, so that a type's are one matrix product."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.nn._checks import assert_compiled, autocast_state, is_compiling

_Arguments = ParamSpec("_Arguments")
_Made = TypeVar("_Made")


def outside_transforms(function: Callable[_Arguments, _Made]) -> Callable[_Arguments, _Made]:
    """A function of index arrays, which ``torch.func``'s transforms have no part in.

    Arrays made under one of them would be its tensors, which the sorting kernels cannot read.
    """

    @wraps(function)
    def made(*args: _Arguments.args, **options: _Arguments.kwargs) -> _Made:
        if is_compiling():
            return function(*args, **options)
        return ops.made_to_last(partial(function, *args, **options))

    return made


def require_types(name: str, types: object, num_rows: int, num_types: int, like: Tensor) -> Tensor:
    """Return one type a row as int32 or int64, or raise an error that names the first wrong one.

    In a compiled model the check of values is part of the model and raises torch's RuntimeError.

    Parameters
    ----------
    name : str
        What to call them in messages.
    types : Tensor
        Shape [num_rows], of integers in [0, num_types).
    num_rows, num_types : int
        How many there are.
    like : Tensor
        The rows, whose device they must share.

    Raises
    ------
    IndexError
        A type that is negative or not below ``num_types``.
    TypeError, ValueError
        No integers, another number of them, or another device.
    """
    if not isinstance(types, Tensor):
        raise TypeError(f"{name}: expected a tensor of integers, got {type(types).__name__}")
    if types.is_floating_point() or types.is_complex() or types.dtype == torch.bool:
        raise TypeError(f"{name}: expected integers, got {str(types.dtype)[6:]}")
    if types.dim() != 1 or types.shape[0] != num_rows:
        raise ValueError(
            f"{name}: expected one type for each of the {num_rows} rows, got shape"
            f" {list(types.shape)}"
        )
    if types.device != like.device:
        raise ValueError(f"{name} is on {types.device}, x on {like.device}; expected one device")
    if not is_compiling():
        while torch._C._functorch.is_gradtrackingtensor(types):
            types = torch._C._functorch.get_unwrapped(types)
    assert isinstance(types, Tensor)
    if types.dtype not in (torch.int32, torch.int64):
        types = outside_transforms(types.long)()
    is_wrong = (types < 0) | (types >= num_types)
    if is_compiling():
        assert_compiled(is_wrong.logical_not().all(), f"{name}: a type is not in 0..{num_types}")
    elif bool(is_wrong.any()):
        first = int(is_wrong.nonzero()[0])
        raise IndexError(
            f"{name}[{first}]: expected a type from 0 to {num_types - 1}, got {int(types[first])}"
        )
    return types


class Groups(NamedTuple):
    """Rows grouped by a number each has, in their order within a group.

    Attributes
    ----------
    numbers : Tensor
        The number of each row, sorted, shape [N].
    order : Tensor or None
        The row at each place, shape [N]; None if rows came sorted.
    indptr : Tensor
        Group ``t`` is at places ``indptr[t]:indptr[t + 1]``; int64, shape [T + 1].
    """

    numbers: Tensor
    order: Tensor | None
    indptr: Tensor

    def places(self) -> Tensor:
        """The order, also where rows came sorted."""
        if self.order is not None:
            return self.order
        count = self.numbers.shape[0]
        return torch.arange(count, dtype=ops.id_dtype(count), device=self.numbers.device)

    def ranks(self) -> Tensor:
        """The place of each row."""
        return inverse(self.places())


@outside_transforms
def group(numbers: Tensor, count: int) -> Groups:
    """Group rows by numbers in [0, ``count``): a stable counting sort."""
    if is_compiling():  # whether rows came sorted is not for a compiled model to ask
        in_order, order = torch.sort(numbers, stable=True)
        return Groups(in_order, order, bounds(in_order, count))
    indptr, in_order, given = ops.coo_to_csc(numbers, numbers, count, count)
    return Groups(in_order, given, indptr)


@outside_transforms
def bounds(numbers: Tensor, count: int) -> Tensor:
    """``indptr`` of sorted numbers, int64 [count + 1]."""
    every = torch.arange(count + 1, dtype=numbers.dtype, device=numbers.device)
    return torch.searchsorted(numbers, every)


@outside_transforms
def inverse(order: Tensor) -> Tensor:
    """Of a permutation: ``inverse(order)[order[i]] == i``."""
    rising = torch.arange(order.shape[0], dtype=order.dtype, device=order.device)
    return torch.empty_like(order).index_copy_(0, order.long(), rising)


def take(x: Tensor, ids: Tensor | None) -> Tensor:
    """Elements of an index array; all of them in their order for None."""
    return x if ids is None else x.index_select(0, ids)


class Pairs(NamedTuple):
    """Edges grouped by type and then by the node at one end.

    All edges of one type at one node are a pair's: what is linear and the same for a type is
    computed once a pair, of which there are never more than edges. A compiled model, for which no
    size may depend on values, takes each edge for a pair.

    Attributes
    ----------
    order : Tensor
        Which of the edges given is at each place, shape [E].
    indptr : Tensor
        Pair ``q`` has the edges at places ``indptr[q]:indptr[q + 1]``; int64, shape [Q + 1].
    nodes, types : Tensor
        Of each pair, shape [Q]; types rise.
    """

    order: Tensor
    indptr: Tensor
    nodes: Tensor
    types: Tensor

    @property
    def num_pairs(self) -> int:
        """How many there are."""
        return self.nodes.shape[0]


def pair_up(types: Tensor, nodes: Tensor, num_types: int) -> Pairs:
    """Pairs of edges that come sorted by node."""
    groups = group(types, num_types)
    order = groups.places()
    nodes = take(nodes, order)
    num_edges = nodes.shape[0]
    if is_compiling():
        every = torch.arange(num_edges + 1, device=nodes.device)
        return Pairs(order, every, nodes, groups.numbers)
    is_first = torch.ones(num_edges, dtype=torch.bool, device=nodes.device)
    is_first[1:] = (nodes[1:] != nodes[:-1]) | (groups.numbers[1:] != groups.numbers[:-1])
    starts = is_first.nonzero().squeeze(1)
    indptr = torch.cat([starts, starts.new_full((1,), num_edges)])
    return Pairs(order, indptr, nodes[starts], groups.numbers[starts])


class InEdges(NamedTuple):
    """A graph's edges by type and destination: the in-edges of pairs.

    Attributes
    ----------
    pairs : Pairs
        Of a type and a destination.
    indices, eids : Tensor
        Source and id of the edge at each place, shape [E].
    """

    pairs: Pairs
    indices: Tensor
    eids: Tensor


@outside_transforms
def in_edges_by_type(graph: Graph, types: Tensor, num_types: int) -> InEdges:
    """Group a graph's edges, whose types come in the order of edge ids."""
    full = graph.adjacency.full()
    pairs = pair_up(take(types, full.eids), full.destinations(), num_types)
    indices = take(full.indices, pairs.order)
    eids = pairs.order if full.eids is None else take(full.eids, pairs.order)
    ops.mark_csc(pairs.indptr, indices, eids, full.num_src)
    return InEdges(pairs, indices, eids)


@outside_transforms
def renumbered(
    edges: InEdges, sources: Tensor | None, destinations: Tensor | None, num_src: int
) -> InEdges:
    """The edges where nodes have other numbers; None where they keep them."""
    pairs, indices = edges.pairs, edges.indices
    if sources is not None:
        indices = ops.mark_ids(take(sources, indices), num_src)
    if destinations is not None:
        pairs = pairs._replace(nodes=take(destinations, pairs.nodes))
    return InEdges(pairs, indices, edges.eids)


def sum_pairs(x: Tensor, nodes: Tensor, num_nodes: int) -> Tensor:
    """Add up the rows of pairs [Q, ...] at their nodes, shape [num_nodes, ...]."""
    groups = group(nodes, num_nodes)
    return ops.spmm(groups.indptr, groups.places(), x)


@outside_transforms
def out_edges_by_type(graph: Graph, types: Tensor, num_types: int) -> tuple[Pairs, Tensor]:
    """Pairs of a type and a source, and the pair of the edge at each position, shape [E]."""
    full = graph.adjacency.full()
    t_indptr, t_rows, t_positions = graph.adjacency.transpose()
    eids = t_positions if full.eids is None else take(full.eids, t_positions)
    num_edges = full.num_edges
    nodes = ops.destinations(t_indptr, num_edges, t_rows.dtype)
    pairs = pair_up(take(types, eids), nodes, num_types)
    numbers = ops.destinations(pairs.indptr, num_edges, t_rows.dtype)
    positions = take(t_positions, pairs.order).long()
    at_positions = torch.empty_like(numbers).index_copy_(0, positions, numbers)
    return pairs, ops.mark_ids(at_positions, pairs.num_pairs)


def autocast(*xs: Tensor) -> tuple[Tensor, ...]:
    """Operands of a matrix product as ``torch.autocast`` would have them."""
    is_on, dtype = autocast_state(xs[0].device.type)
    if not is_on:
        return xs
    return tuple(x if x.dtype == torch.float64 else x.to(dtype) for x in xs)
