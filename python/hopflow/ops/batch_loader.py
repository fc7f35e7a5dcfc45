"""Batches prepared ahead of their consumer by native threads, which never hold Python's lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._shapes import require_ids
from hopflow.ops.blocks import SampledBlocks
from hopflow.ops.csc import Transpose

ScratchCache = _native.ScratchCache
"""Memory that the workers of one graph's loaders keep from epoch to epoch (4 bytes a node each, up
to 2^26 nodes)."""


class LoadedBatch(NamedTuple):
    """A batch and what was requested with it.

    Attributes
    ----------
    blocks : SampledBlocks
        Its hops.
    request : int
        Number of the request that it answers.
    columns : list of Tensor
        Rows of each requested column.
    transposes : list of Transpose
        Out-edges of each requested hop.
    """

    blocks: SampledBlocks
    request: int
    columns: list[Tensor]
    transposes: list[Transpose]


class BatchLoader:
    """One epoch: batch ``b`` holds seeds ``b * batch_size`` and following, sampled.

    Parameters
    ----------
    indptr, indices : Tensor
        In-edges of the graph (CSC) on the CPU.
    seeds : Tensor
        Nodes in the order of the epoch, shape [S].
    fanouts : sequence of int
        In-edges kept a node, from the seeds outwards; -1 keeps all.
    replace : bool
        Draw with replacement.
    idtype : torch.dtype
        int32 or int64: dtype of ``input_nodes`` and ``output_nodes``.
    batch_size, first_batch, num_batches : int
        Seeds a batch, the batch to begin with, and batches of the whole epoch.
    seed, epoch : int
        With the batch's number and the hop, the key of every draw.
    num_workers : int
        Threads, one batch each; 0 makes each batch in the thread that asks for it.
    capacity : int
        Batches made ahead at most.
    cache : ScratchCache
        Shared by the loaders of this graph alone.

    Raises
    ------
    IndexError, TypeError, ValueError
        Seeds that are not nodes of the graph, and other bad arguments.
    """

    def __init__(
        self,
        indptr: Tensor,
        indices: Tensor,
        seeds: Tensor,
        fanouts: Sequence[int],
        *,
        replace: bool,
        idtype: torch.dtype,
        batch_size: int,
        first_batch: int,
        num_batches: int,
        seed: int,
        epoch: int,
        num_workers: int,
        capacity: int,
        cache: _native.ScratchCache,
    ) -> None:
        self._native = _native.BatchLoader(
            indptr, indices, require_ids("seeds", seeds).to(indices.dtype), list(fanouts),
            bool(replace), idtype == torch.int64, batch_size, first_batch, num_batches,
            seed % 2**64, epoch % 2**64, num_workers, capacity, cache,
        )  # fmt: skip
        # Batches under way may still read the columns of earlier requests.
        self._requested: dict[int, list[tuple[Tensor, int]]] = {0: []}

    def request(self, columns: Sequence[tuple[Tensor, int]], transposes: Sequence[int]) -> int:
        """Make the batches not yet begun bring these along.

        Parameters
        ----------
        columns : sequence of (Tensor, int)
            A node column [N, ...] with contiguous rows, and the level whose rows are wanted: 0 for
            the seeds, ``h`` for the nodes that ``h`` hops reach.
        transposes : sequence of int
            Hops, 0 being the seeds'.

        Returns
        -------
        int
            The request's number.
        """
        number = max(self._requested) + 1
        # Detached: what a column's owner puts in its place (``x.data = y``) must neither free the
        # memory that the workers read nor change the dtype and shape of rows gathered before.
        self._requested[number] = [(column.detach(), level) for column, level in columns]
        self._native.set_requests(number, self._requested[number], list(transposes))
        return number

    def next(self, timeout: float = 0.0) -> LoadedBatch | None:
        """The next batch in order, or None after the last.

        Parameters
        ----------
        timeout : float
            Seconds to wait for it; 0 waits for as long as it takes.

        Raises
        ------
        HopflowError
            The loader was closed, or belongs to the parent of this process.
        RuntimeError
            The batch took longer than ``timeout``.
        """
        loaded = self._native.next(timeout)
        if loaded is None:
            return None
        arrays, number, columns, transposes = loaded
        # Batches are begun in order: none that comes later answers an earlier request.
        for old in [n for n in self._requested if n < number]:
            del self._requested[old]
        blocks = SampledBlocks.of(arrays)
        rows = [
            _as_rows(flat, column, blocks, level)
            for flat, (column, level) in zip(columns, self._requested[number])
        ]
        return LoadedBatch(blocks, number, rows, [Transpose(*t) for t in transposes])

    def close(self) -> None:
        """End the threads; what they were doing is given up. Does nothing in a forked child."""
        self._native.close()


def _as_rows(flat: Tensor, column: Tensor, blocks: SampledBlocks, level: int) -> Tensor:
    """Gathered bytes as rows of ``column``."""
    nodes = blocks.output_nodes.shape[0] if level == 0 else blocks.hops[level - 1].num_src
    shape = (nodes, *column.shape[1:])
    return flat.view(column.dtype).view(shape) if flat.numel() else column.new_empty(shape)
