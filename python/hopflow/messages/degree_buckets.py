"""Destinations grouped by how many in-edges they have: dense batches for what no kernel reduces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency


@dataclass(frozen=True)
class Bucket:
    """Destinations of one in-degree ``L > 0`` and their in-edges, in the order of edge ids.

    Attributes
    ----------
    nodes : Tensor
        The destinations, rising, int64, shape [B].
    src : Tensor
        Source of each in-edge, shape [B, L], dtype of the adjacency's ``indices``.
    eids : Tensor
        Id of each in-edge, rising along a row, int64, shape [B, L].
    """

    nodes: Tensor
    src: Tensor
    eids: Tensor

    def mailbox(self, rows: Tensor, *, of: str) -> Tensor:
        """Rows of a source column (``of="u"``) or edge column (``of="e"``), shape [B, L, ...]."""
        if of not in ("u", "e"):
            raise ValueError(f'of: expected "u" or "e", got {of!r}')
        ids = (self.src if of == "u" else self.eids).reshape(-1)
        # By construction every id has a row; unmarked ids would make the host wait on CUDA.
        taken = ops.gather_rows(rows, ops.mark_ids(ids, rows.shape[0]))
        return taken.view(*self.src.shape, *rows.shape[1:])


def in_edge_buckets(adjacency: Adjacency) -> Iterator[Bucket]:
    """The destinations that have in-edges, bucket by bucket, by rising in-degree.

    Each destination with in-edges is in one bucket and each edge too, so memory is that of one
    bucket at a time. The host waits for the device once.

    References
    ----------
    https://www.dgl.ai/dgl_docs/guide/message-api.html ("degree bucketing")
    """
    full = adjacency.full()
    degrees = full.in_degrees()
    # Stable: nodes of one degree stay in rising order.
    nodes_by_degree = torch.argsort(degrees, stable=True)
    lengths, sizes = torch.unique_consecutive(degrees[nodes_by_degree], return_counts=True)
    first = 0
    for length, size in torch.stack([lengths, sizes], 1).tolist():
        nodes = nodes_by_degree[first : first + size]
        first += size
        if length == 0:
            continue
        offsets = torch.arange(length, device=degrees.device)
        positions = full.indptr[nodes].unsqueeze(1) + offsets
        eids = positions
        if full.eids is not None:
            # Positions follow edge ids where hopflow sorted the edges, not where a CSC was given.
            eids, order = torch.sort(full.eids[positions].long(), dim=1)
            positions = positions.gather(1, order)
        yield Bucket(nodes, full.indices[positions], eids)
