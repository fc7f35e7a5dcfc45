"""The edges of a graph or block: in-edges first (CSC), everything else made when asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import hopflow.ops as ops


class Adjacency:
    """In-edges of every destination, with the ids of the edges.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [R + 1], R being ``num_dst`` or the number of ``rows``.
    indices : Tensor
        Source of the edge at each position, shape [E], int32 or int64.
    eids : Tensor or None
        Edge at each position, shape [E]; None if edge ``e`` is at position ``e``.
    num_src, num_dst : int
        Numbers of source and destination nodes.
    rows : Tensor, optional
        Destinations that may have in-edges, shape [R], distinct. A sampled subgraph of a huge graph
        names the few that it has instead of paying for all of them.
    """

    indptr: Tensor
    indices: Tensor
    num_src: int

    __slots__ = (
        "__weakref__", "_by_source", "_full", "_positions", "_transpose", "eids", "indices",
        "indptr", "needs_transpose", "num_dst", "num_src", "rows",
    )  # fmt: skip

    def __init__(
        self,
        indptr: Tensor,
        indices: Tensor,
        eids: Tensor | None,
        num_src: int,
        num_dst: int,
        rows: Tensor | None = None,
    ) -> None:
        self.indptr, self.indices, self.eids = indptr, indices, eids
        self.num_src, self.num_dst, self.rows = num_src, num_dst, rows
        self._full: Adjacency | None = None
        self._by_source: tuple[Tensor, Tensor, Tensor | None] | None = None
        self._positions: Tensor | None = None
        self._transpose: ops.Transpose | None = None
        self.needs_transpose = False  # whether anything has asked for it
        if rows is None:
            ops.register_owner(self)

    def __setstate__(self, state: tuple[None, dict[str, object]]) -> None:
        # A pickle or a deep copy has arrays of its own, and passes over them share a transpose too.
        for name, value in state[1].items():
            setattr(self, name, value)
        if self.rows is None:
            ops.register_owner(self)

    @classmethod
    def from_coo(cls, src: Tensor, dst: Tensor, num_src: int, num_dst: int) -> Adjacency:
        """Build from an edge list; see :func:`hopflow.ops.coo_to_csc` for checks and errors."""
        # A graph outlives the mode that it is made in: it must serve a backward pass later.
        with torch.inference_mode(False):
            return cls(*ops.coo_to_csc(src, dst, num_src, num_dst), num_src, num_dst)

    @property
    def num_edges(self) -> int:
        """Number of edges."""
        return self.indices.shape[0]

    def fitting(self, idtype: torch.dtype) -> torch.dtype:
        """``idtype``, or int64 if that is int32 and cannot number the nodes and the edges."""
        if idtype == torch.int64:
            return idtype
        return idtype if ops.id_dtype(self.most()) == torch.int32 else torch.int64

    def most(self) -> int:
        """The largest of the numbers of nodes and edges."""
        return max(self.num_src, self.num_dst, self.num_edges)

    def full(self) -> Adjacency:
        """The same edges with one row for every destination: O(num_dst), kept."""
        if self.rows is None:
            return self
        if self._full is None:
            self._full = ops.made_to_last(partial(self._made_full, self.rows))
        return self._full

    def _made_full(self, rows: Tensor) -> Adjacency:
        device = self.indptr.device
        counts = torch.zeros(self.num_dst, dtype=torch.int64, device=device)
        counts[rows.long()] = self.indptr.diff()
        # Rows in rising order, and their edges with them.
        order = torch.argsort(rows)
        indptr = torch.zeros(self.num_dst + 1, dtype=torch.int64, device=device)
        torch.cumsum(counts, 0, out=indptr[1:])
        _, _, positions = ops.sample_neighbors(self.indptr, self.indices, order, -1, key=0)
        eids = positions if self.eids is None else self.eids[positions.long()]
        return Adjacency(indptr, self.indices[positions.long()], eids, self.num_src, self.num_dst)

    def transpose_for(self, *operands: Tensor) -> ops.Transpose | None:
        """:meth:`transpose`, if it is at hand and the operands will have a backward pass.

        An operator that gets None makes it when its backward pass runs. A compiled model always
        does: one that asked whether the transpose is here would be compiled for both answers.
        """
        if ops.is_compiling() or self._transpose is None or not torch.is_grad_enabled():
            return None
        if not any(x.requires_grad for x in operands):
            return None
        self.needs_transpose = True
        return self._transpose

    def keep_transpose(self, transpose: ops.Transpose) -> None:
        """Take over what :meth:`transpose` would make."""
        self._transpose = transpose

    def transpose(self) -> ops.Transpose:
        """Out-edges ``(t_indptr, t_rows, t_positions)`` by source; made once and kept."""
        if ops.is_compiling():
            full = self.full()
            return ops.transpose_csc(full.indptr, full.indices, self.num_src)
        self.needs_transpose = True
        if self._transpose is None:
            full = self.full()
            self._transpose = ops.made_to_last(
                partial(ops.transpose_csc, full.indptr, full.indices, self.num_src)
            )
        return self._transpose

    def destinations(self) -> Tensor:
        """Destination of the edge at each position, shape [E]; int32 or int64."""
        # The sources may fit int32 where the destinations do not.
        narrow = ops.is_compiling() or ops.id_dtype(self.num_dst) == torch.int32
        dtype = self.indices.dtype if narrow else torch.int64
        local = ops.destinations(self.indptr, self.num_edges, dtype)
        return local if self.rows is None else self.rows[local.long()]

    def positions(self, eids: Tensor) -> Tensor:
        """Position of each edge in ``eids``, int64.

        The inverse of ``self.eids`` is made once and kept: as much memory again, and none where
        edges came sorted.
        """
        if self.eids is None:
            return eids.long()
        if self._positions is None:
            self._positions = ops.made_to_last(self._made_positions)
        return self._positions[eids.long()].long()

    def _made_positions(self) -> Tensor:
        assert self.eids is not None
        every = torch.arange(self.num_edges, dtype=self.eids.dtype, device=self.indices.device)
        return self.in_edge_order(every)

    def ends(self, eids: Tensor) -> tuple[Tensor, Tensor]:
        """Source and destination of each edge in ``eids``, int64; O(their number x log rows)."""
        positions = self.positions(eids).contiguous()
        # The last row that begins at or before the position; empty rows before it begin there too.
        rows = torch.searchsorted(self.indptr, positions, right=True) - 1
        dst = rows if self.rows is None else self.rows[rows].long()
        return self.indices[positions].long(), dst

    def in_edges(self, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(indptr, sources, eids)`` of the in-edges of each node, in position order."""
        rows, indptr = self.row_numbers(nodes)
        return ops.sample_neighbors(indptr, self.indices, rows, -1, key=0, eids=self.eids)

    def out_edges(self, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(indptr, destinations, eids)`` of the out-edges of each node, in the order of edge ids.

        Reads :meth:`by_source`, which is made once and kept.
        """
        indptr, dst, eids = self.by_source()
        return ops.sample_neighbors(indptr, dst, nodes.long(), -1, key=0, eids=eids)

    def by_source(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """``(indptr, destinations, eids)``: of each source the out-edges, by rising edge id.

        Made once and kept. Where edges are stored in the order of their ids it is the transpose;
        elsewhere that has each source's edges by destination, and this is as much memory again.
        """
        if self.eids is None and self.rows is None:
            return self.transpose()
        if ops.is_compiling():
            return self._made_by_source()
        if self._by_source is None:
            self._by_source = ops.made_to_last(self._made_by_source)
        return self._by_source

    def _made_by_source(self) -> tuple[Tensor, Tensor, Tensor | None]:
        src, dst = self.coo()
        return ops.coo_to_csc(dst, src, self.num_dst, self.num_src)

    def in_edge_order(self, at_positions: Tensor) -> Tensor:
        """Reorder rows given by position, shape [E, ...], into the order of edge ids."""
        if self.eids is None:
            return at_positions
        return torch.empty_like(at_positions).index_copy_(0, self.eids.long(), at_positions)

    def coo(self) -> tuple[Tensor, Tensor]:
        """Source and destination of every edge in the order of edge ids, each shape [E]."""
        return self.in_edge_order(self.indices), self.in_edge_order(self.destinations())

    def in_degrees(self, nodes: Tensor | None = None) -> Tensor:
        """Number of in-edges of every destination, or of ``nodes`` in O(their number); int64."""
        if nodes is not None:
            # A node without a row has none: it reads the empty row appended to rows and indptr.
            rows, indptr = self.row_numbers(nodes)
            return indptr[rows + 1] - indptr[rows]
        if self.rows is None:
            return self.indptr.diff()
        degrees = torch.zeros(self.num_dst, dtype=torch.int64, device=self.indptr.device)
        degrees[self.rows.long()] = self.indptr.diff()
        return degrees

    def row_numbers(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """The row of each destination, and an ``indptr`` that has them all; O(rows + nodes)."""
        if self.rows is None:
            return nodes.long(), self.indptr
        # Number the rows that exist, in their order; a destination without a row comes after them
        # and is sent to an empty row appended at the end.
        _, _, numbers = ops.compact_ids(self.rows, nodes.to(self.rows.dtype))
        empty = self.rows.shape[0]
        return numbers.long().clamp(max=empty), torch.cat([self.indptr, self.indptr[-1:]])

    def out_degrees(self, nodes: Tensor | None = None) -> Tensor:
        """Number of out-edges of every source, or of ``nodes``; int64.

        Edges are stored by destination: this reads all edges, for a few nodes too.
        """
        if nodes is not None:
            # Numbers the nodes first, so that no array of all sources is needed.
            _, numbers, sources = ops.compact_ids(nodes.to(self.indices.dtype), self.indices)
            counts = torch.bincount(sources.long(), minlength=nodes.shape[0])
            return counts[numbers.long()]
        if not ops.is_compiling() and self._transpose is not None:
            return self._transpose[0].diff()
        return torch.bincount(self.indices.long(), minlength=self.num_src)

    def arrays(self) -> list[Tensor]:
        """Every array that there is."""
        return [x for x in (self.indptr, self.indices, self.eids, self.rows) if x is not None]

    def map(self, f: Callable[[Tensor], Tensor]) -> Adjacency:
        """The same edges with ``f`` applied to each array (a device move, pinning)."""

        def maybe(x: Tensor | None) -> Tensor | None:
            return None if x is None else f(x)

        mapped = Adjacency(
            f(self.indptr), f(self.indices), maybe(self.eids), self.num_src, self.num_dst,
            maybe(self.rows),
        )  # fmt: skip
        if ops.on_cuda(mapped.indices) and self.rows is None:
            ops.mark_csc(mapped.indptr, mapped.indices, mapped.eids, self.num_src)
        return mapped
