"""All hops of a mini-batch in one pass: sampled, and renumbered in order of first appearance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from hopflow import _native
from hopflow.ops._shapes import require_ids
from hopflow.ops.compact import compact_ids_reference
from hopflow.ops.sample import sample_neighbors_reference

_Arrays: TypeAlias = tuple[
    Tensor, Tensor, "Tensor | None", Tensor, list[tuple[Tensor, Tensor, Tensor, int]]
]


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

    @classmethod
    def of(cls, arrays: _Arrays) -> SampledBlocks:
        """What the native module returns, with names."""
        input_nodes, output_nodes, seed_inverse, src_ids, hops = arrays
        named = [SampledHop(*hop) for hop in hops]
        return cls(input_nodes, output_nodes, seed_inverse, src_ids, named)


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
    """
    indptr, indices = require_ids("indptr", indptr), require_ids("indices", indices)
    seeds = require_ids("seeds", seeds).to(indices.dtype)
    arrays = _native.sample_blocks(
        indptr, indices, seeds, list(fanouts), [key % 2**64 for key in keys], bool(replace),
        idtype == torch.int64,
    )  # fmt: skip
    return SampledBlocks.of(arrays)


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
