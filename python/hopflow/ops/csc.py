"""Compressed in-edges (CSC): from an edge list, and the transpose."""

from __future__ import annotations

import torch
from torch import Tensor

from hopflow import _native
from hopflow.ops._library import define
from hopflow.ops._shapes import id_dtype, optional_ids, require_ids


def coo_to_csc(
    src: Tensor, dst: Tensor, num_src: int, num_dst: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Group an edge list by destination with a stable counting sort.

    Parameters
    ----------
    src, dst : Tensor
        Ids of each edge's ends, shape [E], int32 or int64, both of one dtype.
    num_src, num_dst : int
        Numbers of source and destination nodes.

    Returns
    -------
    indptr : Tensor
        int64, shape [num_dst + 1]; the in-edges of ``v`` are at ``indptr[v]:indptr[v + 1]``.
    indices : Tensor
        Source of the edge at each position, shape [E]; int32 where ``num_src`` allows.
    eids : Tensor or None
        Edge at each position, shape [E]; int32 where E allows. None if edges come sorted by
        destination, so that edge ``e`` is at position ``e``.

    Raises
    ------
    IndexError
        An id is negative or not below its bound.
    ValueError, TypeError
        Shapes or dtypes do not match.
    """
    src, dst = require_ids("src", src), require_ids("dst", dst)
    if src.shape != dst.shape:
        raise ValueError(f"dst: expected as many ids as src, {src.shape[0]}, got {dst.shape[0]}")
    if src.dtype != dst.dtype:
        src, dst = src.long(), dst.long()
    num_edges = src.shape[0]
    indptr = torch.empty(num_dst + 1, dtype=torch.int64)
    indices = torch.empty(num_edges, dtype=id_dtype(num_src))
    eids = None
    if not _native.is_sorted(dst):
        eids = torch.empty(num_edges, dtype=id_dtype(num_edges))
    _native.coo_to_csc(src, dst, num_src, indptr, indices, eids)
    return indptr, indices, eids


def coo_to_csc_reference(
    src: Tensor, dst: Tensor, num_src: int, num_dst: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`coo_to_csc` computes, in plain torch; ``eids`` is never None."""
    eids = torch.sort(dst, stable=True).indices
    counts = torch.bincount(dst.long(), minlength=num_dst)
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return indptr, src[eids], eids


def _transpose_outputs(
    indptr: Tensor, indices: Tensor, num_src: int
) -> tuple[Tensor, Tensor, Tensor]:
    # One dtype for rows and positions keeps the kernels that read both to two variants.
    narrow = id_dtype(max(indices.shape[0], indptr.shape[0])) == torch.int32
    dtype = indices.dtype if narrow else torch.int64
    return (
        indptr.new_empty(num_src + 1),
        torch.empty_like(indices, dtype=dtype),
        torch.empty_like(indices, dtype=dtype),
    )


def _transpose_kernel(
    indptr: Tensor, indices: Tensor, num_src: int
) -> tuple[Tensor, Tensor, Tensor]:
    outputs = _transpose_outputs(indptr, indices, num_src)
    _native.transpose_csc(indptr, indices.to(outputs[1].dtype), *outputs)
    return outputs


_transpose = define(
    "transpose_csc(Tensor indptr, Tensor indices, SymInt num_src) -> (Tensor, Tensor, Tensor)",
    kernel=_transpose_kernel,
    fake=_transpose_outputs,
)


def transpose_csc(indptr: Tensor, indices: Tensor, num_src: int) -> tuple[Tensor, Tensor, Tensor]:
    """Group the edges of a CSC by source, in position order within each.

    Parameters
    ----------
    indptr : Tensor
        int64, shape [num_dst + 1].
    indices : Tensor
        Source of the edge at each position, shape [E], int32 or int64.
    num_src : int
        Number of source nodes.

    Returns
    -------
    t_indptr : Tensor
        int64, shape [num_src + 1].
    t_rows : Tensor
        Destination of each edge, shape [E], dtype of ``indices``.
    t_positions : Tensor
        Its position in the CSC, shape [E], dtype of ``indices`` (int64 if E does not fit int32,
        and then ``t_rows`` too).

    Raises
    ------
    IndexError, ValueError, TypeError
        The arrays are no CSC over ``num_src`` nodes.
    """
    indptr, indices = require_ids("indptr", indptr).long(), require_ids("indices", indices)
    transposed: tuple[Tensor, Tensor, Tensor] = _transpose(indptr, indices, num_src)
    return transposed


def check_csc(indptr: Tensor, indices: Tensor, num_src: int, eids: Tensor | None = None) -> None:
    """Raise unless the arrays are a CSC over ``num_src`` source nodes.

    ``eids``, if given, must hold ids in [0, E); that they are distinct is not checked here.
    """
    _native.check_csc(
        require_ids("indptr", indptr),
        require_ids("indices", indices),
        num_src,
        optional_ids("eids", eids),
    )


def destinations(indptr: Tensor, num_edges: int, dtype: torch.dtype) -> Tensor:
    """The destination of each position of a CSC, shape [E]."""
    rows = torch.arange(indptr.shape[0] - 1, dtype=dtype, device=indptr.device)
    return torch.repeat_interleave(rows, indptr.diff(), output_size=num_edges)
