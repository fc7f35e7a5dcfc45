"""Adjacency matrices: entries that are multiplied and added, sparse ones for scipy, dense ones.

Rows are sources and columns destinations, as in DGL. Parallel edges are added.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.graph_base import GraphBase
from hopflow.transforms.export import require_library
from hopflow.transforms.simple import group_pairs

MOST_DENSE_BYTES = 4 << 30
"""What the dense matrices of one call may take together."""


class Entries(NamedTuple):
    """A sparse matrix, one entry for each pair of row and column.

    Attributes
    ----------
    rows, columns : Tensor
        int64, shape [M].
    values : Tensor or None
        Shape [M]; None for the matrix of which only the places of the entries matter.
    """

    rows: Tensor
    columns: Tensor
    values: Tensor | None


def summed(rows: Tensor, columns: Tensor, values: Tensor | None) -> Entries:
    """The matrix of these entries, those of one place added; sorted by row, then column.

    Differentiable in ``values``; sums are kept in float32 or wider, integers exactly.
    """
    order, first = group_pairs(rows, columns)
    rows, columns = rows[order[first]], columns[order[first]]
    if values is None:
        return Entries(rows, columns, None)
    end = torch.full((1,), order.shape[0], dtype=torch.int64, device=order.device)
    indptr = torch.cat([first, end])
    return Entries(rows, columns, ops.segment_reduce(indptr, values, eids=order))


def product(a: Entries, b: Entries, inner: int) -> Entries:
    """The matrix product, in O(number of products of two entries) time and memory.

    Parameters
    ----------
    a, b : Entries
        Both with values, or both without.
    inner : int
        Number of columns of ``a`` and of rows of ``b``.
    """
    left, right = followers(a.columns, b.rows, inner)
    values = None
    if a.values is not None and b.values is not None:
        values = a.values[left] * b.values[right]
    return summed(a.rows[left], b.columns[right], values)


def followers(ends: Tensor, starts: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """Every pair of an edge and another that starts where it ends.

    Parameters
    ----------
    ends : Tensor
        Node at which each edge of the first kind ends, int64, shape [E].
    starts : Tensor
        Node at which each edge of the second kind starts, int64, shape [F].
    num_nodes : int
        Number of nodes that these are.

    Returns
    -------
    first, second : Tensor
        Edges, int64, sorted by the first, then the second.
    """
    device = ends.device
    by_start = torch.argsort(starts, stable=True)
    counts = torch.bincount(starts, minlength=num_nodes)
    begins = counts.cumsum(0) - counts
    many = counts[ends]
    first = torch.repeat_interleave(torch.arange(ends.shape[0], device=device), many)
    own_begin = many.cumsum(0) - many
    at = torch.arange(first.shape[0], device=device) - own_begin[first]
    return first, by_start[begins[ends[first]] + at]


def ends_of(g: GraphBase) -> tuple[Tensor, Tensor]:
    """Sources and destinations of a graph of one relation, int64, in the order of edge ids."""
    src, dst = g.adjacency.coo()
    return src.long(), dst.long()


def edge_weight(g: GraphBase, name: str) -> Tensor:
    """An edge column of one number an edge, shape [E].

    Raises
    ------
    KeyError
        There is no such column.
    ValueError, TypeError
        More than one number an edge, or none of floating point.
    """
    weight = g.edge_frame[name]
    if weight.numel() != weight.shape[0] or weight.dim() > 2:
        raise ValueError(
            f"edge column {name!r}: expected one weight an edge, shape [E] or [E, 1], got"
            f" {list(weight.shape)}"
        )
    if not weight.is_floating_point():
        raise TypeError(
            f"edge column {name!r}: expected weights of floating point, got"
            f" {str(weight.dtype).replace('torch.', '')}"
        )
    return weight.reshape(-1)


def to_csr(g: GraphBase, what: str) -> Any:
    """The adjacency matrix, float64, as ``scipy.sparse.csr_matrix`` on the CPU, without duplicates.

    Raises
    ------
    ImportError
        scipy is not installed; says that ``what`` needs it.
    """
    sparse = require_library("scipy.sparse", "scipy", what)
    src, dst = (x.cpu().numpy() for x in ends_of(g))
    values = torch.ones(src.shape[0], dtype=torch.float64, device="cpu").numpy()
    return sparse.csr_matrix((values, (src, dst)), shape=(g.num_src_nodes(), g.num_dst_nodes()))


def require_dense(what: str, *shape: int, dtype: torch.dtype, copies: int = 1) -> None:
    """Raise unless dense arrays of a shape may be made.

    Parameters
    ----------
    what : str
        Who needs them, for the message.
    *shape : int
        Of each.
    dtype : torch.dtype
        Of each.
    copies : int
        How many there are at a time.

    Raises
    ------
    ValueError
        Together they take more than :data:`MOST_DENSE_BYTES`.
    """
    size = copies * dtype.itemsize
    for length in shape:
        size *= length
    if size > MOST_DENSE_BYTES:
        raise ValueError(
            f"{what}: dense arrays of shape {list(shape)} would take {size / 2**30:.1f} GiB, more"
            f" than the {MOST_DENSE_BYTES >> 30} GiB that hopflow makes for it; expected a smaller"
            " graph"
        )
