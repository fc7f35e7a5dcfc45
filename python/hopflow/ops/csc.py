"""Compressed in-edges (CSC): from an edge list, and the transpose."""

from __future__ import annotations

import weakref
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._library import Spec, define
from hopflow.ops._place import check_ids, check_indptr, mark_csc
from hopflow.ops._shapes import MOST_NODES, as_int, id_dtype, optional_ids, require_ids
from hopflow.ops._transforms import plain
from hopflow.ops.pool import empty


class Transpose(NamedTuple):
    """The edges of a CSC grouped by source, as :func:`transpose_csc` returns them.

    Attributes
    ----------
    t_indptr : Tensor
        int64, shape [num_src + 1].
    t_rows : Tensor
        Destination of each edge, shape [E].
    t_positions : Tensor
        Its position in the CSC, shape [E].
    """

    t_indptr: Tensor
    t_rows: Tensor
    t_positions: Tensor


def require_transpose(transpose: Transpose | None, indices: Tensor, num_src: int) -> None:
    """Raise unless a transpose is one, and of edges and sources of these numbers."""
    if transpose is None:
        return
    if not isinstance(transpose, Transpose):
        raise TypeError(
            f"transpose: expected what transpose_csc returns, got {type(transpose).__name__}"
        )
    got = (transpose.t_indptr.shape[0] - 1, transpose.t_rows.shape[0])
    if got != (num_src, indices.shape[0]):
        raise ValueError(
            f"transpose: expected that of {indices.shape[0]} edges from {num_src} sources, got"
            f" {got[1]} edges from {got[0]}"
        )


class TransposeOwner(Protocol):
    """Who holds the arrays of a CSC and can make and keep its transpose."""

    indptr: Tensor
    indices: Tensor
    num_src: int

    def transpose(self) -> Transpose:
        """The transpose, made once."""


# By the identity of `indices`, which an owner keeps alive: no other tensor can have it meanwhile.
_owners: weakref.WeakValueDictionary[int, TransposeOwner] = weakref.WeakValueDictionary()


def register_owner(owner: TransposeOwner) -> None:
    """Let backward passes over these edges share one transpose, made when the first needs it.

    A forward pass need not make it, and a second layer over the same edges finds it.
    """
    _owners[id(owner.indices)] = owner


def transpose_for_backward(indptr: Tensor, indices: Tensor, num_src: int) -> Transpose:
    """The transpose that the owner of these very arrays keeps, or a new one."""
    if torch._C._are_functorch_transforms_active():
        indptr, indices = plain(indptr), plain(indices)
    owner = _owners.get(id(indices))
    if (
        owner is not None
        and owner.indices is indices
        and owner.indptr is indptr
        and owner.num_src == num_src
    ):
        return owner.transpose()
    return transpose_csc(indptr, indices, num_src)


def require_count(name: str, value: object) -> int:
    """Return a number of nodes, or raise an error that names it."""
    count = as_int(name, value)
    if not 0 <= count <= MOST_NODES:
        raise ValueError(f"{name}: expected 0 to 2^38, got {count}")
    return count


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
    num_src, num_dst = require_count("num_src", num_src), require_count("num_dst", num_dst)
    if src.shape != dst.shape:
        raise ValueError(f"dst: expected as many ids as src, {src.shape[0]}, got {dst.shape[0]}")
    if src.dtype != dst.dtype:
        src, dst = src.long(), dst.long()
    num_edges = src.shape[0]
    # From the pool, whose memory has huge pages: graphs are read at random.
    indptr = empty((num_dst + 1,), torch.int64, src.device)
    indices = empty((num_edges,), id_dtype(num_src), src.device)
    eids = None
    check_ids("src", src, num_src, "number of source nodes")
    check_ids("dst", dst, num_dst, "number of destination nodes")
    if not _native.is_sorted(dst):
        eids = empty((num_edges,), id_dtype(num_edges), src.device)
    _native.coo_to_csc(src, dst, num_src, indptr, indices, eids)
    mark_csc(indptr, indices, eids, num_src)
    return indptr, indices, eids


def coo_to_csc_reference(
    src: Tensor, dst: Tensor, num_src: int, num_dst: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`coo_to_csc` computes, in plain torch; ``eids`` is never None."""
    eids = torch.sort(dst, stable=True).indices
    counts = torch.bincount(dst.long(), minlength=num_dst)
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return indptr, src[eids], eids


def _transpose_shapes(indptr: Tensor, indices: Tensor, num_src: int) -> tuple[Spec, Spec, Spec]:
    # One dtype for rows and positions keeps the kernels that read both to two variants.
    narrow = id_dtype(max(indices.shape[0], indptr.shape[0])) == torch.int32
    rows = indices.shape, indices.dtype if narrow else torch.int64, indices.device
    return ((num_src + 1,), torch.int64, indices.device), rows, rows


def _transpose_run(
    t_indptr: Tensor,
    t_rows: Tensor,
    t_positions: Tensor,
    indptr: Tensor,
    indices: Tensor,
    num_src: int,
) -> None:
    check_indptr("indptr", indptr, indices.shape[0])
    check_ids("indices", indices, num_src, "number of source nodes")
    _native.transpose_csc(indptr, indices.to(t_rows.dtype), t_indptr, t_rows, t_positions)
    mark_csc(t_indptr, t_rows, t_positions, indptr.shape[0] - 1)


_transpose = define(
    "transpose_csc(Tensor indptr, Tensor indices, SymInt num_src) -> (Tensor, Tensor, Tensor)",
    shapes=_transpose_shapes,
    run=_transpose_run,
)


def transpose_csc(indptr: Tensor, indices: Tensor, num_src: int) -> Transpose:
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
    return Transpose(*_transpose(indptr, indices, require_count("num_src", num_src)))


def check_csc(indptr: Tensor, indices: Tensor, num_src: int, eids: Tensor | None = None) -> None:
    """Raise unless the arrays are a CSC over ``num_src`` source nodes.

    ``eids``, if given, must hold each of [0, E) once.
    """
    indptr, indices = require_ids("indptr", indptr), require_ids("indices", indices)
    _native.check_indptr(indptr, "indptr", indices.shape[0])
    _native.check_ids(indices, "indices", num_src, "number of source nodes")
    eids = optional_ids("eids", eids)
    if eids is not None:
        if eids.shape != indices.shape:
            raise ValueError(f"eids: expected {indices.shape[0]} elements, got {eids.shape[0]}")
        _native.check_permutation(eids, "eids")


def destinations(indptr: Tensor, num_edges: int, dtype: torch.dtype) -> Tensor:
    """The destination of each position of a CSC with ``num_edges`` edges, shape [E]."""
    rows = torch.arange(indptr.shape[0] - 1, dtype=dtype, device=indptr.device)
    return torch.repeat_interleave(rows, indptr.diff(), output_size=num_edges)
