"""The edges among some nodes."""

from __future__ import annotations

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._place import on_cuda
from hopflow.ops._shapes import INT32_MAX, require_ids
from hopflow.ops.pool import empty


def induced_edges(
    indptr: Tensor, indices: Tensor, dst: Tensor, src: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of the in-edges of some destinations those that come from some sources.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [N + 1]: the graph's in-edges.
    indices : Tensor
        Source of the edge at each position, shape [E], int32 or int64.
    dst : Tensor
        Destinations, shape [V], int32 or int64; one given twice has its edges twice.
    src : Tensor
        Sources, shape [U], int32 or int64, distinct.

    Returns
    -------
    out_indptr : Tensor
        Where the edges of each destination begin, int64, shape [V + 1].
    sources : Tensor
        Place in ``src`` of each edge's source, shape [out_indptr[V]], dtype of ``indices``. A
        destination's edges are in the graph's order.
    positions : Tensor
        Position of each edge in ``indices``, int64, same shape.

    Raises
    ------
    IndexError
        A destination is not a node, or a source negative or too large for ``indices``' dtype.
    ValueError
        A source is given twice (on CUDA the last one counts), or ``indptr`` is no CSC index at a
        destination.
    TypeError
        Not int32 or int64 ids.
    """
    indptr, indices = require_ids("indptr", indptr), require_ids("indices", indices)
    dst, src = require_ids("dst", dst).long(), _narrow(require_ids("src", src), indices)
    device = dst.device
    out_indptr = torch.empty(dst.shape[0] + 1, dtype=torch.int64, device=device)
    rows = kept = None
    if on_cuda(dst):
        rows = torch.empty_like(out_indptr)
        in_rows = _native.count_sampled_neighbors(indptr, indices.shape[0], dst, -1, False, rows)
        kept = empty((in_rows + 1,), torch.int64, device)
    total = _native.count_induced_edges(indptr, indices, dst, src, rows, kept, out_indptr)
    sources = empty((total,), indices.dtype, device)
    positions = empty((total,), torch.int64, device)
    _native.induced_edges(indptr, indices, dst, src, rows, kept, out_indptr, sources, positions)
    return out_indptr, sources, positions


def _narrow(src: Tensor, indices: Tensor) -> Tensor:
    """Sources in the dtype of ``indices``, which may be too narrow for ids that no edge has."""
    if src.dtype == torch.int64 and indices.dtype == torch.int32:
        # Cut to 32 bits they could be those of other nodes.
        is_wrong = (src < 0) | (src > INT32_MAX)
        if bool(is_wrong.any()):
            at = int(is_wrong.nonzero()[0])
            raise IndexError(f"src[{at}] is {int(src[at])}, expected 0 <= id <= {INT32_MAX}")
    return src.to(indices.dtype)


def induced_edges_reference(
    indptr: Tensor, indices: Tensor, dst: Tensor, src: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`induced_edges` computes, with a dict."""
    places = {node: place for place, node in enumerate(src.tolist())}
    begins, found = [0], []
    for node in dst.tolist():
        first, last = int(indptr[node]), int(indptr[node + 1])
        found += [(places[u], first + i)
                  for i, u in enumerate(indices[first:last].tolist()) if u in places]  # fmt: skip
        begins.append(len(found))
    kept = torch.tensor(found, dtype=torch.int64, device=dst.device).reshape(-1, 2)
    out_indptr = torch.tensor(begins, dtype=torch.int64, device=dst.device)
    return out_indptr, kept[:, 0].to(indices.dtype), kept[:, 1]
