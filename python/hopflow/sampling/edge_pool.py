"""The edges that a sampler may draw, prepared once: in-edges or out-edges, masked, by weight."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TypeAlias, TypeVar, cast

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import take_rows
from hopflow.structure.ids import as_ids


class EdgePool:
    """Edges to draw from, as the in-edges of the nodes that are sampled for.

    Parameters
    ----------
    adjacency : Adjacency
        The edges; ``eids`` lead to the graph's, which may be more. For out-edges it is turned
        around: ``indices`` are their destinations.
    num_edges : int
        Edges of the graph.
    weights : RowWeights, optional
        Of the edge at each position; by default all are alike.
    """

    def __init__(
        self, adjacency: Adjacency, num_edges: int, weights: ops.RowWeights | None = None
    ) -> None:
        self.adjacency, self.num_edges, self.weights = adjacency, num_edges, weights

    def excluded(self, name: str, eids: object) -> Tensor | None:
        """Rising positions of edges that must not be drawn, int64, from their ids; O(their number).

        Parameters
        ----------
        name : str
            The operand, for messages.
        eids : Tensor, numpy array, sequence of int or None
            Edges of the graph; duplicates count once. None excludes nothing.

        Raises
        ------
        IndexError
            An id is no edge.
        TypeError, ValueError
            No ids.
        """
        if eids is None:
            return None
        ids = as_ids(name, eids)
        outside = (ids < 0) | (ids >= self.num_edges)
        if bool(outside.any()):
            at = int(outside.nonzero()[0])
            raise IndexError(
                f"{name}[{at}] is {int(ids[at])}, expected 0 <= id < {self.num_edges}"
                " (number of edges)"
            )
        ids = ids.to(device=self.adjacency.indices.device, dtype=torch.int64)
        if self.adjacency.eids is not None:
            ids = _positions(self.adjacency, self.num_edges)[ids].long()
            ids = ids[ids >= 0]  # the others are not in the pool
        rising: Tensor = torch.unique(ids)
        return rising

    def sample(
        self,
        seeds: Tensor,
        fanout: int,
        *,
        key: int,
        replace: bool = False,
        excluded: Tensor | None = None,
        node_ids: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """At most ``fanout`` edges of each seed: ``(indptr, neighbors, positions)``.

        ``excluded`` as :meth:`excluded` gives it, ``node_ids`` as :func:`ops.sample_neighbors`
        takes them.
        """
        edges = self.adjacency
        if self.weights is None and excluded is None:
            return ops.sample_neighbors(
                edges.indptr, edges.indices, seeds, fanout, key=key, replace=replace,
                node_ids=node_ids,
            )  # fmt: skip
        indptr, positions = ops.sample_weighted(
            edges.indptr, edges.num_edges, seeds, fanout, key=key, replace=replace,
            weights=self.weights, excluded=excluded, node_ids=node_ids,
        )  # fmt: skip
        return indptr, ops.gather_rows(edges.indices, positions), positions

    def eids_at(self, positions: Tensor) -> Tensor:
        """The graph's ids of the edges at these positions."""
        if self.adjacency.eids is None:
            return positions
        eids = self.adjacency.eids.index_select(0, positions)
        return ops.mark_ids(eids, self.num_edges)


def edge_ids(eids: Tensor | None, positions: Tensor, num_edges: int) -> Tensor:
    """A graph's ids of the edges at some positions, of which there are ``num_edges`` in all."""
    if eids is None:
        return positions
    return ops.mark_ids(take_rows("eids", eids, positions), num_edges)


# Made once for a graph's edges and kept as long as these: the latest pools, and the position of
# each edge in an adjacency's order.
_MOST_POOLS = 4
_lock = threading.Lock()
_State: TypeAlias = "tuple[object, ...]"
_Key: TypeAlias = "tuple[str, tuple[_State, ...]]"
_pools: weakref.WeakKeyDictionary[Adjacency, dict[_Key, _Kept]] = weakref.WeakKeyDictionary()
_inverses: weakref.WeakKeyDictionary[Adjacency, Tensor] = weakref.WeakKeyDictionary()


class _Kept:
    """A pool and the columns that it was made of: alive, their ``id`` is theirs alone."""

    def __init__(self, pool: EdgePool, columns: tuple[Tensor | None, ...]) -> None:
        self.pool, self.columns = pool, columns


@torch.inference_mode(False)
def _positions(adjacency: Adjacency, num_edges: int) -> Tensor:
    """Position of each edge of the graph, shape [num_edges]; -1 for those that are not there."""
    with _lock:
        found = _inverses.get(adjacency)
        if found is None:
            eids = adjacency.eids
            assert eids is not None
            dtype, device = ops.id_dtype(num_edges), eids.device
            found = torch.full((num_edges,), -1, dtype=dtype, device=device)
            found[eids.long()] = torch.arange(eids.shape[0], dtype=dtype, device=device)
            _inverses[adjacency] = found
        return found


def _state(column: Tensor | None) -> _State:
    if column is None:
        return ()
    return id(column), column._version, column.data_ptr()


def _same_columns(key: _Key, other: _Key) -> bool:
    """Whether two keys are of the same columns, perhaps before and after a change."""
    return key[0] == other[0] and all(a[:1] == b[:1] for a, b in zip(key[1], other[1]))


def pool_of(
    adjacency: Adjacency,
    *,
    edge_dir: str = "in",
    prob: Tensor | None = None,
    mask: Tensor | None = None,
    what: str = "",
) -> EdgePool:
    """The edges to draw from; O(E) the first time, then kept while the columns do not change.

    Parameters
    ----------
    adjacency : Adjacency
        A graph's edges.
    edge_dir : {"in", "out"}
        Which edges of a node are drawn.
    prob : Tensor, optional
        Weight of each edge, shape [E], any real dtype. Edges of weight 0 are left out.
    mask : Tensor, optional
        bool or uint8, shape [E]: edges that may be drawn.
    what : str
        After names of operands, in messages.

    Raises
    ------
    ValueError
        A weight that is negative, infinite or NaN.
    """
    if edge_dir == "in" and prob is None and mask is None:
        return EdgePool(adjacency.full(), adjacency.num_edges)
    return kept_pool(
        adjacency, edge_dir, (prob, mask), lambda: make_pool(adjacency, edge_dir, prob, mask, what)
    )


_Pool = TypeVar("_Pool", bound=EdgePool)


def kept_pool(
    adjacency: Adjacency,
    kind: str,
    columns: tuple[Tensor | None, ...],
    make: Callable[[], _Pool],
) -> _Pool:
    """What ``make`` makes of a graph's edges and these columns, kept while they do not change.

    Parameters
    ----------
    adjacency : Adjacency
        A graph's edges.
    kind : str
        What is made: one kind always comes from as many columns.
    columns : tuple
        All columns that it is made of.
    make : callable
        Makes it, O(E).
    """
    if any(column is not None and column.is_inference() for column in columns):
        # Its changes leave no trace: it is read each time.
        return make()
    key = (kind, tuple(map(_state, columns)))
    with _lock:
        kept = _pools.setdefault(adjacency, {})
        found = kept.get(key)
        if found is None:
            found = _Kept(make(), columns)
            # What these columns were before cannot come back.
            for old in [k for k in kept if _same_columns(k, key)]:
                del kept[old]
            kept[key] = found
            while len(kept) > _MOST_POOLS:
                del kept[next(iter(kept))]
        kept[key] = kept.pop(key)  # the latest comes last
        return cast(_Pool, found.pool)


# What is kept serves calls with gradients too, even if the first was made without.
@torch.inference_mode(False)
def make_pool(
    adjacency: Adjacency, edge_dir: str, prob: Tensor | None, mask: Tensor | None, what: str
) -> EdgePool:
    """What :func:`pool_of` returns, made now."""
    full = adjacency.full()
    num_edges, ends = full.num_edges, (full.num_src, full.num_dst)
    indptr, indices, eids = full.indptr, full.indices, full.eids
    if edge_dir == "out":
        indptr, indices, positions = full.transpose()
        eids = positions if eids is None else eids[positions.long()]
        ends = ends[::-1]
    weights, mask = None, None if mask is None else mask.bool()
    if prob is not None:
        values = as_weights(prob, name=f"prob{what}", what="edge")
        weights = values if eids is None else values[eids.long()]
        mask = values > 0 if mask is None else mask & (values > 0)
    if mask is not None:
        is_kept = mask if eids is None else mask[eids.long()]
        if not bool(is_kept.all()):
            at = is_kept.nonzero().squeeze(1)
            before = torch.zeros(num_edges + 1, dtype=torch.int64, device=at.device)
            torch.cumsum(is_kept, 0, out=before[1:])
            indptr, indices = before[indptr], indices[at]
            eids = at.to(ops.id_dtype(num_edges)) if eids is None else eids[at]
            weights = None if weights is None else weights[at]
    if indices is full.indices:
        chosen = full.map(lambda x: x.view_as(x))  # not the graph's own: it would be kept by itself
    else:
        chosen = Adjacency(indptr, indices, eids, *ends)
    prepared = None if weights is None else ops.row_weights(indptr, weights)
    return EdgePool(chosen, num_edges, prepared)


def as_weights(values: Tensor, *, name: str, what: str) -> Tensor:
    """Weights in float32 if that holds them, else float64; a bad one raises a ValueError.

    ``name`` and ``what`` (of what each is) are for the message.
    """
    is_narrow = values.dtype in (torch.float32, torch.float16, torch.bfloat16)
    weights = values.detach().to(torch.float32 if is_narrow else torch.float64)
    is_bad = ~(weights >= 0) | torch.isinf(weights)
    if bool(is_bad.any()):
        at = int(is_bad.nonzero()[0, 0])
        raise ValueError(
            f"{name}: expected finite weights >= 0, got {float(weights[at])} for {what} {at}"
        )
    return weights
