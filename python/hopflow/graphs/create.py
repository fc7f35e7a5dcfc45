"""Graphs and blocks from edge lists, compressed arrays and scipy matrices."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor

from hopflow import ops
from hopflow.graphs.block import Block
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.ids import as_ids

Device: TypeAlias = "str | torch.device"


def graph(
    data: Any,
    *,
    num_nodes: int | None = None,
    idtype: torch.dtype | None = None,
    device: Device | None = None,
    row_sorted: bool = False,
    col_sorted: bool = False,
) -> Graph:
    """Make a graph. Duplicate edges and self-loops are kept as given.

    Parameters
    ----------
    data : tuple or scipy sparse matrix
        One of

        - ``(src, dst)`` or ``("coo", (src, dst))``: the ends of each edge, shape [E] each; tensors,
          numpy arrays or lists of integers;
        - ``("csc", (indptr, indices, eids))``: in-edges of each node, with the edge at each
          position; empty ``eids`` if edge ``e`` is at position ``e``;
        - ``("csr", (indptr, indices, eids))``: the same for out-edges;
        - a scipy sparse matrix: an edge from row to column for each stored entry.
    num_nodes : int, optional
        Number of nodes; by default one more than the largest id.
    idtype : torch.dtype, optional
        int32 or int64, the dtype of ids handed out; by default that of ``data``, or int64.
    device : str or torch.device, optional
        Where to put it; by default where its tensors are, else the CPU.
    row_sorted, col_sorted : bool
        Accepted for DGL's sake; hopflow sees for itself whether edges are sorted.

    Returns
    -------
    Graph

    Raises
    ------
    IndexError
        An id is negative or not below ``num_nodes``.
    TypeError
        Ids that are no integers, or ``data`` of another form.
    ValueError
        Arrays whose lengths do not match or that are no compressed form.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.graph.html
    """
    adjacency, data_idtype = _adjacency(data, num_nodes, num_nodes, bipartite=False)
    made = Graph(adjacency, idtype=_idtype(idtype, data_idtype, adjacency))
    device = _device(data) if device is None else device
    return made if device is None else made.to(device)


def create_block(
    data_dict: Any,
    num_src_nodes: int | None = None,
    num_dst_nodes: int | None = None,
    idtype: torch.dtype | None = None,
    device: Device | None = None,
) -> Block:
    """Make a block from edges between local ids, without a parent graph.

    Parameters
    ----------
    data_dict : tuple or scipy sparse matrix
        As ``data`` of :func:`graph`; sources and destinations are numbered apart.
    num_src_nodes, num_dst_nodes : int, optional
        Numbers of nodes; by default one more than the largest id of the side.
    idtype, device
        As in :func:`graph`.

    Raises
    ------
    IndexError, TypeError, ValueError
        As :func:`graph`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.create_block.html
    """
    adjacency, data_idtype = _adjacency(data_dict, num_src_nodes, num_dst_nodes, bipartite=True)
    block = Block(adjacency, idtype=_idtype(idtype, data_idtype, adjacency))
    device = _device(data_dict) if device is None else device
    if device is None:
        return block
    moved = block.to(device)
    assert isinstance(moved, Block)
    return moved


def _idtype(asked: torch.dtype | None, given: torch.dtype, adjacency: Adjacency) -> torch.dtype:
    if asked is None:
        asked = given
    if asked not in (torch.int32, torch.int64):
        raise TypeError(f"idtype: expected torch.int32 or torch.int64, got {asked}")
    most = max(adjacency.num_src, adjacency.num_dst, adjacency.num_edges)
    if asked == torch.int32 and ops.id_dtype(most) != torch.int32:
        raise ValueError(f"idtype: {most} nodes or edges do not fit int32")
    return asked


def _device(data: Any) -> torch.device | None:
    """Where the tensors that a graph is made of are, if there are any."""
    if isinstance(data, Tensor):
        return data.device
    if isinstance(data, (tuple, list)):
        found = (_device(item) for item in data[:3])
        return next((device for device in found if device is not None), None)
    return None


def _count(name: str, value: int | None) -> int | None:
    if value is None:
        return None
    count = ops.as_int(name, value)
    if count < 0:
        raise ValueError(f"{name}: expected at least 0, got {count}")
    return count


def _bound(ids: Tensor) -> int:
    """One more than the largest id."""
    return int(ids.max()) + 1 if ids.numel() else 0


def _adjacency(
    data: Any, num_src: int | None, num_dst: int | None, *, bipartite: bool
) -> tuple[Adjacency, torch.dtype]:
    num_src = _count("num_src_nodes" if bipartite else "num_nodes", num_src)
    num_dst = _count("num_dst_nodes" if bipartite else "num_nodes", num_dst)
    kind, arrays = _kind(data, bipartite)
    if hasattr(data, "tocoo"):
        num_src = data.shape[0] if num_src is None else num_src
        num_dst = data.shape[1] if num_dst is None else num_dst
    if kind == "coo":
        src, dst = as_ids("src", arrays[0]), as_ids("dst", arrays[1])
        if src.shape != dst.shape:
            raise ValueError(
                f"dst: expected as many ids as src, {src.shape[0]}, got {dst.shape[0]}"
            )
        idtype = src.dtype if src.dtype == dst.dtype else torch.int64
        src, dst = src.to(idtype).cpu(), dst.to(idtype).cpu()
        num_src, num_dst = _sizes(num_src, num_dst, _bound(src), _bound(dst), bipartite)
        return Adjacency.from_coo(src, dst, num_src, num_dst), idtype

    indptr, indices = as_ids("indptr", arrays[0]).cpu(), as_ids("indices", arrays[1]).cpu()
    idtype = indices.dtype
    if indptr.shape[0] == 0:
        raise ValueError("indptr: expected at least one element, got none")
    eids = None
    if len(arrays) == 3 and arrays[2] is not None:
        eids = as_ids("eids", arrays[2]).cpu()
        eids = eids if eids.shape[0] else None
    num_rows, num_columns = indptr.shape[0] - 1, _bound(indices)
    if kind == "csc":
        num_src, num_dst = _sizes(num_src, num_dst, num_columns, num_rows, bipartite)
        rows_asked = num_dst
    else:
        num_src, num_dst = _sizes(num_src, num_dst, num_rows, num_columns, bipartite)
        rows_asked = num_src
    if rows_asked < num_rows:
        raise ValueError(f"indptr: expected at most {rows_asked} rows, got {num_rows}")
    if rows_asked > num_rows:
        indptr = torch.cat([indptr, indptr[-1:].expand(rows_asked - num_rows)])
    other = num_src if kind == "csc" else num_dst
    ops.check_csc(indptr.long(), indices, other, eids)
    # Copies: what the user does with these arrays later must not change the graph. Narrowed only
    # now that they are known to fit.
    indptr, indices = ops.pooled(indptr, torch.int64), ops.pooled(indices, ops.id_dtype(other))
    eids = None if eids is None else ops.pooled(eids, ops.id_dtype(eids.shape[0]))
    if kind == "csc":
        return Adjacency(indptr, indices, eids, num_src, num_dst), idtype
    # Out-edges: their transpose has the in-edges.
    t_indptr, t_rows, t_positions = ops.transpose_csc(indptr, indices, num_dst)
    eids = t_positions if eids is None else eids[t_positions.long()]
    return Adjacency(t_indptr, t_rows, eids, num_src, num_dst), idtype


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


def _kind(data: Any, bipartite: bool) -> tuple[str, Any]:
    """Which of the forms `data` has, and its arrays."""
    if hasattr(data, "tocoo") and hasattr(data, "shape"):  # scipy, without importing it
        if data.shape[0] != data.shape[1] and not bipartite:
            raise ValueError(
                f"data: expected a square matrix, got shape {tuple(data.shape)}; for a bipartite"
                " graph give (src, dst) to create_block"
            )
        # Not tocsr(), which would merge duplicate edges; scipy's int32 is no choice of the user's.
        matrix = data.tocoo()
        return "coo", (matrix.row.astype("int64"), matrix.col.astype("int64"))
    form = (
        'expected (src, dst), ("coo", (src, dst)), ("csc", (indptr, indices, eids)),'
        ' ("csr", (indptr, indices, eids)) or a scipy sparse matrix'
    )
    if isinstance(data, dict):
        raise TypeError(f"data: {form}, got a dict; graphs of several types are not supported")
    if not isinstance(data, (tuple, list)):
        raise TypeError(f"data: {form}, got {type(data).__name__}")
    if len(data) != 2:
        raise ValueError(f"data: {form}, got {len(data)} elements")
    if not isinstance(data[0], str):
        return "coo", data
    kind, arrays = data
    if kind not in ("coo", "csc", "csr"):
        raise ValueError(f'data: expected "coo", "csc" or "csr", got {kind!r}')
    wanted = (2,) if kind == "coo" else (2, 3)
    if not isinstance(arrays, (tuple, list)) or len(arrays) not in wanted:
        raise ValueError(f"data: {form}")
    return kind, arrays
