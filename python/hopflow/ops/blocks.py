"""All hops of a mini-batch in one pass: sampled, and renumbered in order of first appearance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._place import mark, mark_csc, on_cuda
from hopflow.ops._shapes import INT32_MAX, as_int, require_ids
from hopflow.ops.compact import compact_ids_reference
from hopflow.ops.sample import sample_neighbors_reference

BlockArrays: TypeAlias = tuple[
    list[tuple[Tensor, Tensor, "Tensor | None", Tensor]],
    list[tuple[list[tuple[Tensor, Tensor, Tensor]], list[int]]],
]
"""What the native module returns: the nodes of each type, and of each hop the edges of each
relation and the number of nodes of each type."""


class SampledHop(NamedTuple):
    """One hop: in-edges of V nodes from U nodes, the first V of which they are.

    Attributes
    ----------
    indptr : Tensor
        int64, shape [V + 1].
    indices : Tensor
        Source of each edge as a local number, int32, shape [E].
    positions : Tensor
        Where each edge is in the graph's CSC, shape [E]; int32 if the graph's edges allow.
    num_src : int
        U.
    """

    indptr: Tensor
    indices: Tensor
    positions: Tensor
    num_src: int


class SampledBlocks(NamedTuple):
    """The hops of one batch, over one numbering of its nodes.

    Attributes
    ----------
    input_nodes : Tensor
        Ids of all nodes, in order of first appearance, shape [U] with U of the last hop.
    output_nodes : Tensor
        The distinct seeds.
    seed_inverse : Tensor or None
        Row of each given seed, int64; None if the seeds were distinct.
    src_ids : Tensor
        ``input_nodes`` in the dtype of the graph's ``indices``. Hop ``h`` reaches the first
        ``hops[h].num_src`` of them.
    hops : list of SampledHop
        From the seeds outwards.
    """

    input_nodes: Tensor
    output_nodes: Tensor
    seed_inverse: Tensor | None
    src_ids: Tensor
    hops: list[SampledHop]

    def mark(self, num_nodes: int, num_edges: int) -> SampledBlocks:
        """Spare the arrays, sampled from a graph of this size, checks on CUDA; returns itself."""
        for ids in (self.input_nodes, self.output_nodes, self.src_ids):
            mark(ids, "ids", num_nodes)
        for hop in self.hops:
            mark_csc(hop.indptr, hop.indices, None, hop.num_src)
            mark(hop.positions, "ids", num_edges)
        return self

    @classmethod
    def of(cls, arrays: BlockArrays) -> SampledBlocks:
        """What the native module returns for one node type and one relation, with names."""
        (nodes,), hops = arrays
        return cls(*nodes, [SampledHop(*edges, num_src) for (edges,), (num_src,) in hops])


def sample_blocks(
    indptr: Tensor,
    indices: Tensor,
    seeds: Tensor,
    fanouts: Sequence[int],
    *,
    keys: Sequence[int],
    replace: bool = False,
    idtype: torch.dtype = torch.int64,
) -> SampledBlocks:
    """Sample the neighbourhood of the seeds hop by hop.

    The same as :func:`sample_neighbors` and :func:`compact_ids` in turn, in one pass that keeps ids
    in the processor's caches. The result never depends on the number of threads.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [N + 1]: the graph's in-edges.
    indices : Tensor
        Source of the edge at each position, shape [E], int32 or int64.
    seeds : Tensor
        Nodes, shape [S], int32 or int64; may repeat.
    fanouts : sequence of int
        In-edges kept a node, from the seeds outwards; -1 keeps all.
    keys : sequence of int
        Randomness of each hop: :func:`stream_key`.
    replace : bool
        Draw with replacement.
    idtype : torch.dtype
        int32 or int64: dtype of ``input_nodes`` and ``output_nodes``.

    Raises
    ------
    IndexError
        A seed is negative or not below N.
    ValueError, TypeError
        A fanout below -1, arrays that are no CSC, wrong dtypes or dimensions.

    Notes
    -----
    With ``seeds`` on CUDA the work is done there, with the same result; ``indptr`` and ``indices``
    may then be in page-locked host memory. :func:`start_blocks` does not wait for the device.
    """
    indptr, indices = require_ids("indptr", indptr), require_ids("indices", indices)
    seeds = require_ids("seeds", seeds)
    if on_cuda(seeds):
        return start_blocks(
            indptr, indices, seeds, fanouts, keys=keys, replace=replace, idtype=idtype
        ).finish()
    arrays = _native.sample_blocks(
        [(indptr, indices, 0, 0)], [indptr.shape[0] - 1], [seeds],
        [[as_int("fanouts", f)] for f in fanouts], [[key % 2**64] for key in keys], bool(replace),
        idtype == torch.int64,
    )  # fmt: skip
    return SampledBlocks.of(arrays)


# Shorter arrays are views of the memory that was set aside for them; longer ones that turned out
# less than a quarter full are copied, so that a block does not hold on to the rest.
_LEAST_COPIED = 1 << 16


def _fit(x: Tensor, count: int) -> Tensor:
    used = x[:count]
    return used.clone() if x.shape[0] > max(4 * count, _LEAST_COPIED) else used


class StartedBlocks:
    """Blocks that the device is still working on: see :func:`start_blocks`."""

    def __init__(
        self, indptr: Tensor, indices: Tensor, seeds: Tensor, idtype: torch.dtype, arrays: Any
    ) -> None:
        self._graph, self._seeds, self._idtype = (indptr, indices), seeds, idtype
        sizes, self._src_ids, self._inverse, self._hops, is_wide = arrays
        self._position_dtype = torch.int64 if is_wide else torch.int32
        self._sizes = sizes.view(torch.int64)
        self._event: torch.cuda.Event | None = None
        if self._sizes.device.type == "cuda":
            # Not the current device's stream: the seeds may be on another one.
            stream = torch.cuda.current_stream(self._sizes.device)
            on_host = torch.empty(self._sizes.shape, dtype=torch.int64, pin_memory=True)
            self._sizes = on_host.copy_(self._sizes, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record(stream)

    def finish(self) -> SampledBlocks:
        """Wait for the sizes, the one time that the host does, and cut the arrays to them.

        Raises
        ------
        IndexError, ValueError
            As :func:`sample_blocks`.
        """
        if self._event is not None:
            self._event.synchronize()
        num_seeds, *rest, failure = self._sizes.tolist()
        if failure != -1:
            self._fail(failure >> _FAILURE_BITS, failure & ((1 << _FAILURE_BITS) - 1))
        indptr, indices = self._graph
        hops, num_dst = [], num_seeds
        for (h_indptr, h_indices, positions), num_edges, num_src in zip(
            self._hops, rest[::2], rest[1::2]
        ):
            hop = SampledHop(
                _fit(h_indptr.view(torch.int64), num_dst + 1),
                _fit(h_indices.view(torch.int32), num_edges),
                _fit(positions.view(self._position_dtype), num_edges),
                num_src,
            )
            hops.append(hop)
            num_dst = num_src
        src_ids = _fit(self._src_ids.view(indices.dtype), num_dst)
        # Memory is set aside in whole elements of 16 bytes.
        inverse = self._inverse.view(torch.int64)[: self._seeds.shape[0]]
        sampled = SampledBlocks(
            src_ids.to(self._idtype),
            src_ids[:num_seeds].to(self._idtype),
            None if num_seeds == self._seeds.shape[0] else inverse,
            src_ids,
            hops,
        )
        return sampled.mark(indptr.shape[0] - 1, indices.shape[0])

    def _fail(self, what: int, at: int) -> None:
        indptr, indices = self._graph
        num_nodes = indptr.shape[0] - 1
        if what == 0:
            raise IndexError(
                f"seeds[{at}] is {int(self._seeds[at])}, but the graph has {num_nodes} nodes"
            )
        if what == 1:
            raise ValueError(
                f"indptr[{at}:{at + 2}] is {indptr[at : at + 2].tolist()}: no range of the"
                f" {indices.shape[0]} edges"
            )
        raise ValueError(
            f"indices[{at}] is {int(indices[at])}, but the graph has {num_nodes} nodes"
        )


_FAILURE_BITS = 60  # of a failure's word: which check, then the place; csrc/blocks/blocks.h


def start_blocks(
    indptr: Tensor,
    indices: Tensor,
    seeds: Tensor,
    fanouts: Sequence[int],
    *,
    keys: Sequence[int],
    replace: bool = False,
    idtype: torch.dtype = torch.int64,
) -> StartedBlocks:
    """:func:`sample_blocks` on CUDA, begun on the current stream: ``finish()`` has the result.

    The host does not wait for the device, except at a hop that keeps all edges (fanout -1), whose
    size only the device can tell. Memory is set aside for as many nodes and edges as fanouts allow.
    Parameters as in :func:`sample_blocks`; ``seeds`` on CUDA.
    """
    ids = seeds
    if seeds.dtype != indices.dtype:
        if indices.dtype == torch.int32 and indptr.shape[0] - 1 > INT32_MAX:
            raise TypeError("indices: expected int64 for more than 2^31 - 1 nodes, got int32")
        # What int32 does not hold is no node, and must not become one.
        ids = seeds.clamp(-1, INT32_MAX).to(indices.dtype)
    arrays = _native.sample_blocks_cuda(
        indptr,
        indices,
        ids,
        [as_int("fanouts", f) for f in fanouts],
        [key % 2**64 for key in keys],
        bool(replace),
    )
    return StartedBlocks(indptr, indices, seeds, idtype, arrays)


def sample_blocks_reference(
    indptr: Tensor,
    indices: Tensor,
    seeds: Tensor,
    fanouts: Sequence[int],
    *,
    keys: Sequence[int],
    replace: bool = False,
    idtype: torch.dtype = torch.int64,
) -> SampledBlocks:
    """What :func:`sample_blocks` computes, bit for bit, one hop and one draw at a time."""
    nodes, inverse, _ = compact_ids_reference(seeds, seeds[:0])
    output_nodes = nodes
    hops = []
    for fanout, key in zip(fanouts, keys, strict=True):
        hop_indptr, neighbors, positions = sample_neighbors_reference(
            indptr, indices, nodes, fanout, key=key, replace=replace
        )
        nodes, _, local = compact_ids_reference(nodes.to(neighbors.dtype), neighbors)
        hops.append(SampledHop(hop_indptr, local, positions, nodes.shape[0]))
    return SampledBlocks(
        nodes.to(idtype),
        output_nodes.to(idtype),
        None if output_nodes.shape == seeds.shape else inverse,
        nodes.to(indices.dtype),
        hops,
    )
