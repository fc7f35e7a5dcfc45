"""Rows that come in segments, by the segments' lengths: reduced, normalised, multiplied."""

from __future__ import annotations

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.batch_sizes import offsets
from hopflow.structure.ids import as_ids, check_range


def _bounds(name: str, seglen: Tensor, value: Tensor) -> Tensor:
    """Where each of S segments begins and ends among the rows of ``value``, int64 [S + 1]."""
    lengths = as_ids(name, seglen, dtype=torch.int64)
    if lengths.numel() and int(lengths.min()) < 0:
        raise ValueError(f"{name}: expected lengths of at least 0, got {int(lengths.min())}")
    if int(lengths.sum()) != value.shape[0]:
        raise ValueError(
            f"{name}: expected lengths that add up to the {value.shape[0]} rows of value, got"
            f" {int(lengths.sum())}"
        )
    return offsets(lengths).to(value.device)


def _require_rows(name: str, value: object) -> None:
    if not isinstance(value, Tensor) or value.dim() == 0:
        got = "a scalar" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name}: expected a torch.Tensor with a row for each item, got {got}")


def segment_reduce(seglen: Tensor, value: Tensor, reducer: str = "sum") -> Tensor:
    """Reduce consecutive rows, ``seglen[i]`` of them for row ``i`` of the result.

    Parameters
    ----------
    seglen : Tensor
        Lengths of the segments, shape [S]; they add up to the number of rows.
    value : Tensor
        Shape [R, ...].
    reducer : {"sum", "mean", "max", "min"}
        How; 0 for a segment without rows.

    Returns
    -------
    Tensor
        Shape [S, ...].

    Raises
    ------
    ValueError, TypeError
        Lengths that are negative or do not add up, or an unknown reducer.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.ops.segment_reduce.html
    """
    _require_rows("value", value)
    if reducer not in ops.REDUCERS:
        raise ValueError(f"reducer: expected {', '.join(ops.REDUCERS)}, got {reducer!r}")
    indptr = _bounds("seglen", seglen, value)
    return ops.segment_reduce(indptr, value, reduce=reducer)


def segment_softmax(seglen: Tensor, value: Tensor) -> Tensor:
    """Softmax over the rows of each segment, each column by itself.

    Parameters
    ----------
    seglen : Tensor
        Lengths of the segments, shape [S]; they add up to the number of rows.
    value : Tensor
        Scores, floating-point, shape [R, ...].

    Returns
    -------
    Tensor
        Shape and dtype of ``value``.

    Raises
    ------
    ValueError, TypeError
        Lengths that are negative or do not add up.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.ops.segment_softmax.html
    """
    _require_rows("value", value)
    return ops.edge_softmax(_bounds("seglen", seglen, value), value)


def segment_mm(a: Tensor, b: Tensor, seglen_a: Tensor) -> Tensor:
    """Multiply the rows of each segment with the segment's matrix; :func:`hopflow.ops.segment_mm`.

    Parameters
    ----------
    a : Tensor
        Shape [N, I].
    b : Tensor
        A matrix for each segment, shape [S, I, O].
    seglen_a : Tensor
        Lengths of the segments, shape [S]; they add up to N.

    Returns
    -------
    Tensor
        Shape [N, O].

    Raises
    ------
    ValueError, TypeError
        Lengths that are negative or do not add up, or operands that do not go together.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.ops.segment_mm.html
    """
    _require_rows("a", a)
    return ops.segment_mm(_bounds("seglen_a", seglen_a, a), a, b)


def gather_mm(a: Tensor, b: Tensor, *, idx_b: Tensor) -> Tensor:
    """Multiply each row with the matrix that it names: ``out[i] = a[i] @ b[idx_b[i]]``.

    Rows are sorted by matrix, and those of one are one product: no copy of a matrix is made for
    each row.

    Parameters
    ----------
    a : Tensor
        Shape [N, I].
    b : Tensor
        Shape [T, I, O].
    idx_b : Tensor
        The matrix of each row, integers of shape [N].

    Returns
    -------
    Tensor
        Shape [N, O].

    Raises
    ------
    IndexError
        A matrix that is not there.
    ValueError, TypeError
        Operands that do not go together.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.ops.gather_mm.html
    """
    _require_rows("a", a)
    _require_rows("b", b)
    types = as_ids("idx_b", idx_b).to(a.device)
    if types.shape[0] != a.shape[0]:
        raise ValueError(
            f"idx_b: expected a matrix for each of the {a.shape[0]} rows of a, got {types.shape[0]}"
        )
    check_range("idx_b", types, b.shape[0], what="type")
    indptr, _, order = ops.made_to_last(
        lambda: ops.coo_to_csc(types, types, b.shape[0], b.shape[0])
    )
    return ops.segment_mm(indptr, a, b, rows=order)
