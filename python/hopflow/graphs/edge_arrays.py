"""Edges as users give them: edge lists, compressed arrays, scipy matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.ids import as_ids, require_dense


class SparseMatrix(Protocol):
    """A sparse matrix or array of scipy."""

    @property
    def shape(self) -> Any:
        """Rows and columns."""

    def tocoo(self, copy: bool = ...) -> Any:
        """The row and column of every entry."""


Device: TypeAlias = "str | torch.device"
Ids: TypeAlias = "Tensor | npt.NDArray[Any] | Sequence[int]"
EdgeIndex: TypeAlias = "Tensor | npt.NDArray[Any]"
GraphData: TypeAlias = (
    "tuple[Ids, Ids] | tuple[str, EdgeIndex | Sequence[Ids | None]] | EdgeIndex | SparseMatrix"
    " | Sequence[tuple[int, int]] | Sequence[Ids]"
)


class Edges(NamedTuple):
    """Edges, and the dtype in which their ids came."""

    adjacency: Adjacency
    idtype: torch.dtype


def as_device(data: Any, asked: Any) -> torch.device:
    """Where a graph is to be: as asked, else where its tensors are, else on the CPU."""
    if asked is None:
        return _device_of(data) or torch.device("cpu")
    try:
        device = torch.device(asked)
    except (RuntimeError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"device: expected one of torch's devices, got {asked!r}") from None
    if device.type == "meta":
        raise ValueError("device: expected one that holds data, got meta")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ops.HopflowError(
            f"device: got {str(device)!r}, but torch finds no CUDA device; `hopflow doctor` says"
            " what is missing"
        )
    return device


def _device_of(data: Any) -> torch.device | None:
    if isinstance(data, Tensor):
        return data.device
    if isinstance(data, (tuple, list)):
        found = (_device_of(item) for item in data[:3])
        return next((device for device in found if device is not None), None)
    return None


def as_count(name: str, value: int | None) -> int | None:
    if value is None:
        return None
    count = ops.as_int(name, value)
    if count < 0:
        raise ValueError(f"{name}: expected at least 0, got {count}")
    return count


def _bound(ids: Tensor) -> int:
    """One more than the largest id."""
    return max(int(ids.max()) + 1, 0) if ids.numel() else 0


def make_edges(
    data: Any, num_src: int | None, num_dst: int | None, *, bipartite: bool, copy: bool
) -> Edges:
    num_src = as_count("num_src_nodes" if bipartite else "num_nodes", num_src)
    num_dst = as_count("num_dst_nodes" if bipartite else "num_nodes", num_dst)
    kind, arrays = _kind(data, bipartite)
    # A graph outlives the mode that it is made in: it must serve a backward pass later.
    with torch.inference_mode(False):
        if kind != "coo":
            return _from_compressed(kind, arrays, num_src, num_dst, bipartite=bipartite, copy=copy)
        is_scipy = hasattr(data, "tocoo")
        if is_scipy:
            num_src = data.shape[0] if num_src is None else num_src
            num_dst = data.shape[1] if num_dst is None else num_dst
        src, dst = arrays
        made = _from_ends(src, dst, num_src, num_dst, bipartite=bipartite)
        # scipy's int32 is no choice of the user's.
        return Edges(made.adjacency, torch.int64) if is_scipy else made


def _from_ends(
    src: Any, dst: Any, num_src: int | None, num_dst: int | None, *, bipartite: bool
) -> Edges:
    src, dst = as_ids("src", src, shared=True), as_ids("dst", dst, shared=True)
    if src.shape != dst.shape:
        raise ValueError(f"dst: expected as many ids as src, {src.shape[0]}, got {dst.shape[0]}")
    idtype = src.dtype if src.dtype == dst.dtype else torch.int64
    src, dst = src.to(idtype).cpu(), dst.to(idtype).cpu()
    src_bound = _bound(src) if num_src is None else 0
    dst_bound = _bound(dst) if num_dst is None else 0
    num_src, num_dst = _sizes(num_src, num_dst, src_bound, dst_bound, bipartite)
    return Edges(Adjacency.from_coo(src, dst, num_src, num_dst), idtype)


def _from_compressed(
    kind: str,
    arrays: Sequence[Any],
    num_src: int | None,
    num_dst: int | None,
    *,
    bipartite: bool,
    copy: bool,
) -> Edges:
    indptr = as_ids("indptr", arrays[0], shared=True).cpu()
    indices = as_ids("indices", arrays[1], shared=True).cpu()
    idtype = indices.dtype
    if indptr.shape[0] == 0:
        raise ValueError("indptr: expected at least one element, got none")
    eids = None
    if len(arrays) == 3 and arrays[2] is not None:
        eids = as_ids("eids", arrays[2], shared=True).cpu()
        eids = eids if eids.shape[0] else None
    num_rows = indptr.shape[0] - 1
    # Of a graph, which is square, the rows give the number of nodes, and ids must be below it.
    is_square = not bipartite and num_src is None
    unknown = bipartite and (num_src if kind == "csc" else num_dst) is None
    num_columns = _bound(indices) if unknown else 0
    bounds = (num_columns, num_rows) if kind == "csc" else (num_rows, num_columns)
    num_src, num_dst = _sizes(num_src, num_dst, *bounds, bipartite)
    rows_asked, other = (num_dst, num_src) if kind == "csc" else (num_src, num_dst)
    if rows_asked < num_rows:
        raise ValueError(f"indptr: expected at most {rows_asked} rows, got {num_rows}")
    if rows_asked > num_rows:
        indptr = torch.cat([indptr, indptr[-1:].expand(rows_asked - num_rows)])
    indptr, indices = indptr.long().contiguous(), indices.contiguous()
    try:
        ops.check_csc(indptr, indices, other, eids)
    except IndexError as error:
        if not is_square or not str(error).startswith("indices") or " is -" in str(error):
            raise
        raise IndexError(
            f"{error}; without num_nodes there are as many nodes as rows in indptr"
        ) from None
    if kind == "csc":
        # Narrowed only now that they are known to fit.
        indptr, indices = (
            _kept(indptr, torch.int64, copy),
            _kept(indices, ops.id_dtype(other), copy),
        )
        eids = None if eids is None else _kept(eids, ops.id_dtype(eids.shape[0]), copy)
        return Edges(Adjacency(indptr, indices, eids, num_src, num_dst), idtype)
    # Out-edges: their transpose has the in-edges.
    indices = indices.to(ops.id_dtype(other))
    t_indptr, t_rows, t_positions = ops.transpose_csc(indptr, indices, num_dst)
    eids = t_positions if eids is None else eids[t_positions.long()]
    eids = _kept(eids, ops.id_dtype(eids.shape[0]), False)
    # Of one dtype with the positions, which may be wider than the rows need.
    t_rows = _kept(t_rows, ops.id_dtype(num_src), False)
    return Edges(Adjacency(t_indptr, t_rows, eids, num_src, num_dst), idtype)


def _kept(x: Tensor, dtype: torch.dtype, copy: bool) -> Tensor:
    """An array that a graph keeps: the same memory if that will do, else a copy of its own."""
    is_plain = type(x) in (Tensor, torch.nn.Parameter) and not x.is_neg()
    is_aligned = x.data_ptr() % x.element_size() == 0
    if copy or x.dtype != dtype or not x.is_contiguous() or not is_plain or not is_aligned:
        return ops.pooled(x.as_subclass(Tensor), dtype)
    return ops.outlasting(x) if x.is_inference() else x.detach()


def _sizes(
    num_src: int | None, num_dst: int | None, src_bound: int, dst_bound: int, bipartite: bool
) -> tuple[int, int]:
    if not bipartite:
        num_src = num_dst = max(src_bound, dst_bound) if num_src is None else num_src
    else:
        num_src = src_bound if num_src is None else num_src
        num_dst = dst_bound if num_dst is None else num_dst
    for name, count in (("num_src_nodes", num_src), ("num_dst_nodes", num_dst)):
        if count > ops.MOST_NODES:
            raise ValueError(
                f"{name if bipartite else 'num_nodes'}: {count} nodes would need"
                f" {8 * count / 2**30:.0f} GiB of index; is an id wrong?"
            )
    return num_src, num_dst


_FORM = (
    'expected (src, dst), ("coo", (src, dst)), ("csc", (indptr, indices, eids)),'
    ' ("csr", (indptr, indices, eids)), an edge_index of shape [2, E], a list of edges (u, v) or a'
    " scipy sparse matrix"
)


def _kind(data: Any, bipartite: bool) -> tuple[str, Sequence[Any]]:
    """Which of the forms `data` has, and its arrays."""
    if hasattr(data, "tocoo") and hasattr(data, "shape"):  # scipy, without importing it
        return "coo", _scipy_ends(data, bipartite)
    if isinstance(data, (Tensor, np.ndarray)):
        return "coo", _rows_of_edge_index(data)
    if isinstance(data, dict):
        raise TypeError(f"data: {_FORM}, got a dict; hopflow.heterograph takes one")
    if not isinstance(data, (tuple, list)):
        raise TypeError(f"data: {_FORM}, got {type(data).__name__}")
    if isinstance(data, list) and _are_pairs(data):
        return "coo", tuple(zip(*data)) or ([], [])
    if len(data) != 2:
        raise ValueError(f"data: {_FORM}, got a {type(data).__name__} of {len(data)} elements")
    if not isinstance(data[0], str):
        if isinstance(data, list) and any(isinstance(item, int) for item in data):
            raise ValueError(f"data: {_FORM}, got a list of {type(data[0]).__name__}")
        return "coo", data
    kind, arrays = data
    if kind not in ("coo", "csc", "csr"):
        raise ValueError(f'data: expected "coo", "csc" or "csr", got {kind!r}')
    if kind == "coo" and isinstance(arrays, (Tensor, np.ndarray)):
        return kind, _rows_of_edge_index(arrays)
    wanted = (2,) if kind == "coo" else (2, 3)
    if not isinstance(arrays, (tuple, list)) or len(arrays) not in wanted:
        raise ValueError(f"data: {_FORM}")
    return kind, arrays


def _scipy_ends(matrix: Any, bipartite: bool) -> tuple[Any, Any]:
    shape = tuple(map(int, matrix.shape))
    if len(shape) != 2:
        raise ValueError(f"data: expected a matrix of two dimensions, got shape {shape}")
    if shape[0] != shape[1] and not bipartite:
        raise ValueError(
            f"data: expected a square matrix, got shape {shape}; for a bipartite graph give"
            " (src, dst) to create_block"
        )
    # Not tocsr(), which would merge duplicate edges.
    coo = matrix.tocoo(copy=False)
    return coo.row, coo.col


def _rows_of_edge_index(edge_index: Any) -> tuple[Any, Any]:
    if isinstance(edge_index, Tensor):
        require_dense("data", edge_index)
    elif not isinstance(edge_index, np.ma.MaskedArray):
        edge_index = np.asarray(edge_index)  # each row of a numpy.matrix is a matrix
    shape = list(edge_index.shape)
    if len(shape) != 2 or shape[0] != 2:
        hint = "; transpose it (data.T)" if len(shape) == 2 and shape[1] == 2 else ""
        raise ValueError(f"data: expected an edge_index of shape [2, E], got shape {shape}{hint}")
    return edge_index[0], edge_index[1]


def _are_pairs(data: list[Any]) -> bool:
    """Whether a list is one of edges (u, v), rather than of sources and destinations."""
    if not all(isinstance(item, (tuple, list)) and len(item) == 2 for item in data):
        return False
    if len(data) == 2 and any(isinstance(item, list) for item in data):
        raise ValueError(
            "data: a list of two lists of two ids may be two edges or two sources and two"
            " destinations; give a tuple (src, dst), or a list of tuples (u, v)"
        )
    return True
