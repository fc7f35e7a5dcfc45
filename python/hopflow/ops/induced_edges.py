"""The edges among some nodes, and numbers for them."""

from __future__ import annotations

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._place import on_cuda
from hopflow.ops._shapes import INT32_MAX, require_ids
from hopflow.ops.csc import coo_to_csc, destinations, require_count
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
    dst, src = require_ids("dst", dst).long(), require_ids("src", src)
    if not on_cuda(dst):
        return _native.induced_edges(indptr, indices, dst, src.long())
    src, device = _narrow(src, indices), dst.device
    out_indptr = torch.empty(dst.shape[0] + 1, dtype=torch.int64, device=device)
    rows = torch.empty_like(out_indptr)
    in_rows = _native.count_sampled_neighbors(indptr, indices.shape[0], dst, -1, False, rows)
    kept = empty((in_rows + 1,), torch.int64, device)
    total = _native.count_induced_on_cuda(indptr, indices, dst, src, rows, kept, out_indptr)
    sources = empty((total,), indices.dtype, device)
    positions = empty((total,), torch.int64, device)
    _native.induced_on_cuda(indptr, indices, dst, src, rows, kept, sources, positions)
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


def number_by_source(
    indptr: Tensor, indices: Tensor, eids: Tensor, num_src: int
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Number the edges of a CSC anew: by source and, of one source, by rising id.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [V + 1].
    indices : Tensor
        Source of the edge at each position, shape [E], int32 or int64.
    eids : Tensor
        Id of the edge at each position, shape [E], int32 or int64, distinct.
    num_src : int
        Number of sources.

    Returns
    -------
    sources : Tensor
        ``indices`` with each destination's edges by rising number, as a graph keeps them.
    numbers : Tensor or None
        Number of the edge at each position then, shape [E]; int32 where E allows. None if edge
        ``e`` is at position ``e``.
    old_ids : Tensor
        For each number the id that it had, int64, shape [E].

    Raises
    ------
    IndexError, ValueError, TypeError
        The arrays are no CSC over ``num_src`` nodes.
    """
    indptr, indices = require_ids("indptr", indptr), require_ids("indices", indices)
    eids = require_ids("eids", eids).long()
    if not on_cuda(indices):
        return _native.number_by_source(indptr, indices, eids, require_count("num_src", num_src))
    dst = destinations(indptr, indices.shape[0], indices.dtype)
    order = torch.argsort(eids)
    order = order[torch.argsort(indices[order], stable=True)]
    _, sources, numbers = coo_to_csc(indices[order], dst[order], num_src, indptr.shape[0] - 1)
    return sources.to(indices.dtype), numbers, eids[order]


def number_by_source_reference(
    indptr: Tensor, indices: Tensor, eids: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`number_by_source` computes, with lists; ``numbers`` is never None."""
    dst = torch.arange(indptr.shape[0] - 1).repeat_interleave(indptr.diff()).tolist()
    edges = sorted(zip(indices.tolist(), eids.tolist(), dst))
    rows = sorted((v, number, u) for number, (u, _, v) in enumerate(edges))
    made = torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)
    return made[:, 2], made[:, 1], torch.tensor([eid for _, eid, _ in edges], dtype=torch.int64)
