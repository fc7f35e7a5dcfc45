"""Readouts: what the nodes or edges of each graph of a batch come to.

Functions of a graph read its columns by name, as DGL's of these names do; :func:`reduce_rows`,
:func:`softmax_rows`, :func:`repeat_rows` and :func:`topk_rows` take tensors and the graphs' sizes.
All are differentiable and the same for any number of threads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.batch_sizes import edge_sizes, node_sizes, offsets, owners
from hopflow.structure.graph_base import GraphBase

# --- on tensors


def reduce_rows(sizes: Tensor, x: Tensor, op: str = "sum") -> Tensor:
    """Reduce consecutive rows, ``sizes[i]`` of them for graph ``i``; 0 where there are none.

    Parameters
    ----------
    sizes : Tensor
        Rows of each graph, int64, shape [B]; they add up to R.
    x : Tensor
        Shape [R, ...].
    op : {"sum", "mean", "max", "min"}
        How.

    Returns
    -------
    Tensor
        Shape [B, ...].
    """
    if op not in ops.REDUCERS:
        raise ValueError(f"op: expected {', '.join(ops.REDUCERS)}, got {op!r}")
    return ops.segment_reduce(offsets(sizes), x, reduce=op)


def softmax_rows(sizes: Tensor, x: Tensor) -> Tensor:
    """Softmax over the rows of each graph, each column by itself; sizes as in reduce_rows."""
    return ops.edge_softmax(offsets(sizes), x)


def repeat_rows(sizes: Tensor, x: Tensor) -> Tensor:
    """Row ``i`` of ``x``, shape [B, ...], ``sizes[i]`` times: shape [R, ...]."""
    return ops.gather_rows(x, owners(sizes))


def topk_rows(
    sizes: Tensor, x: Tensor, k: int, *, descending: bool = True, sortby: int | None = None
) -> tuple[Tensor, Tensor]:
    """The ``k`` first rows of each graph in sorted order; see :func:`topk_nodes`."""
    k = ops.as_int("k", k)
    if k < 1:
        raise ValueError(f"k: expected at least 1, got {k}")
    if x.dim() != 2:
        raise ValueError(f"feat: expected a column of shape [rows, D], got {list(x.shape)}")
    width, num_graphs = x.shape[1], sizes.shape[0]
    if sortby is not None:
        sortby = ops.as_int("sortby", sortby)
        if not -width <= sortby < width:
            raise IndexError(f"sortby: expected a column of {width}, got {sortby}")
    starts, owner = offsets(sizes), owners(sizes)
    keys = x.detach() if sortby is None else x.detach()[:, sortby : sortby + 1 or None]
    # By value, then stably by graph: rows that are equal keep their order.
    order = torch.argsort(keys, dim=0, descending=descending, stable=True)
    order = order.gather(0, torch.argsort(owner[order], dim=0, stable=True))
    rank = torch.arange(k, device=x.device)
    is_there = rank < sizes.unsqueeze(1)  # [B, k]
    at = (starts[:-1].unsqueeze(1) + rank)[is_there]
    first = order[at]  # [M, D] or [M, 1]: rows of x
    rows = x.gather(0, first) if sortby is None else ops.gather_rows(x, first.squeeze(1))
    slots = is_there.reshape(-1).nonzero().squeeze(1)
    found = x.new_zeros(num_graphs * k, width).index_copy(0, slots, rows)
    # Where a graph has too few rows, the number of a row that it does not have.
    index = rank.repeat(num_graphs).unsqueeze(1).repeat(1, keys.shape[1])
    index[slots] = first - starts[slots // k].unsqueeze(1)
    index = index.view(num_graphs, k, -1)
    return found.view(num_graphs, k, width), index if sortby is None else index.squeeze(2)


# --- of a graph


def _weighted(x: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return x
    if weight.dim() != x.dim():
        raise ValueError(
            f"weight: expected a column of {x.dim()} dimensions, as feat of shape {list(x.shape)}"
            f" has, got shape {list(weight.shape)}"
        )
    return x * weight


def readout_nodes(
    graph: GraphBase, feat: str, weight: str | None = None, *, op: str = "sum", ntype: Any = None
) -> Tensor:
    """Reduce a node column to one row for each graph of a batch.

    Parameters
    ----------
    graph : Graph
        A batch, or a single graph.
    feat : str
        The column, shape [N, ...].
    weight : str, optional
        A column to multiply it with first, of as many dimensions, such as [N, 1].
    op : {"sum", "mean", "max", "min"}
        How; for a graph without nodes the result is 0. Infinities stay (DGL puts 0 for them under
        max and min).
    ntype : str, optional
        Of which nodes, where there are several types.

    Returns
    -------
    Tensor
        Shape [``graph.batch_size``, ...]. Differentiable, twice.

    Raises
    ------
    KeyError
        There is no such column.
    ValueError, TypeError
        An unknown ``op`` or type, or a weight that does not go with the column.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.readout_nodes.html
    """
    columns = graph.node_frame(ntype)
    x = _weighted(columns[feat], None if weight is None else columns[weight])
    return reduce_rows(node_sizes(graph, ntype), x, op)


def readout_edges(
    graph: GraphBase, feat: str, weight: str | None = None, *, op: str = "sum", etype: Any = None
) -> Tensor:
    """Reduce an edge column to one row for each graph of a batch; as :func:`readout_nodes`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.readout_edges.html
    """
    columns = graph.relation(etype).edge_frame
    x = _weighted(columns[feat], None if weight is None else columns[weight])
    return reduce_rows(edge_sizes(graph, etype), x, op)


def sum_nodes(
    graph: GraphBase, feat: str, weight: str | None = None, *, ntype: Any = None
) -> Tensor:
    """:func:`readout_nodes` with ``op="sum"``."""
    return readout_nodes(graph, feat, weight, ntype=ntype, op="sum")


def sum_edges(
    graph: GraphBase, feat: str, weight: str | None = None, *, etype: Any = None
) -> Tensor:
    """:func:`readout_edges` with ``op="sum"``."""
    return readout_edges(graph, feat, weight, etype=etype, op="sum")


def mean_nodes(
    graph: GraphBase, feat: str, weight: str | None = None, *, ntype: Any = None
) -> Tensor:
    """:func:`readout_nodes` with ``op="mean"``: of weighted rows the sum over their number."""
    return readout_nodes(graph, feat, weight, ntype=ntype, op="mean")


def mean_edges(
    graph: GraphBase, feat: str, weight: str | None = None, *, etype: Any = None
) -> Tensor:
    """:func:`readout_edges` with ``op="mean"``."""
    return readout_edges(graph, feat, weight, etype=etype, op="mean")


def max_nodes(
    graph: GraphBase, feat: str, weight: str | None = None, *, ntype: Any = None
) -> Tensor:
    """:func:`readout_nodes` with ``op="max"``."""
    return readout_nodes(graph, feat, weight, ntype=ntype, op="max")


def max_edges(
    graph: GraphBase, feat: str, weight: str | None = None, *, etype: Any = None
) -> Tensor:
    """:func:`readout_edges` with ``op="max"``."""
    return readout_edges(graph, feat, weight, etype=etype, op="max")


def softmax_nodes(graph: GraphBase, feat: str, *, ntype: Any = None) -> Tensor:
    """Softmax of a node column over the nodes of each graph of a batch.

    Parameters
    ----------
    graph : Graph
        A batch, or a single graph.
    feat : str
        The column, shape [N, ...], of floating point; each of its entries by itself.
    ntype : str, optional
        Of which nodes, where there are several types.

    Returns
    -------
    Tensor
        Shape and dtype of the column.

    Raises
    ------
    KeyError, ValueError, TypeError
        As :func:`readout_nodes`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.softmax_nodes.html
    """
    return softmax_rows(node_sizes(graph, ntype), graph.node_frame(ntype)[feat])


def softmax_edges(graph: GraphBase, feat: str, *, etype: Any = None) -> Tensor:
    """Softmax of an edge column over the edges of each graph; as :func:`softmax_nodes`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.softmax_edges.html
    """
    return softmax_rows(edge_sizes(graph, etype), graph.relation(etype).edge_frame[feat])


def broadcast_nodes(graph: GraphBase, graph_feat: Tensor, *, ntype: Any = None) -> Tensor:
    """Give every node the row of its graph.

    Parameters
    ----------
    graph : Graph
        A batch, or a single graph.
    graph_feat : Tensor
        Shape [``graph.batch_size``, ...]; of a single graph [...] will do.
    ntype : str, optional
        Of which nodes, where there are several types.

    Returns
    -------
    Tensor
        Shape [N, ...].

    Raises
    ------
    ValueError, TypeError
        Not one row for each graph, or an unknown type.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.broadcast_nodes.html
    """
    return _broadcast(node_sizes(graph, ntype), graph_feat)


def broadcast_edges(graph: GraphBase, graph_feat: Tensor, *, etype: Any = None) -> Tensor:
    """Give every edge the row of its graph; as :func:`broadcast_nodes`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.broadcast_edges.html
    """
    return _broadcast(edge_sizes(graph, etype), graph_feat)


def _broadcast(sizes: Tensor, graph_feat: Tensor) -> Tensor:
    if not isinstance(graph_feat, Tensor):
        raise TypeError(f"graph_feat: expected a torch.Tensor, got {type(graph_feat).__name__}")
    if sizes.shape[0] == 1 and (graph_feat.dim() == 0 or graph_feat.shape[0] != 1):
        graph_feat = graph_feat.unsqueeze(0)
    if graph_feat.dim() == 0 or graph_feat.shape[0] != sizes.shape[0]:
        raise ValueError(
            f"graph_feat: expected one row for each of the {sizes.shape[0]} graphs, got shape"
            f" {list(graph_feat.shape)}"
        )
    return repeat_rows(sizes, graph_feat)


def topk_nodes(
    graph: GraphBase,
    feat: str,
    k: int,
    *,
    descending: bool = True,
    sortby: int | None = None,
    ntype: Any = None,
) -> tuple[Tensor, Tensor]:
    """The ``k`` largest or smallest rows of a node column, for each graph of a batch.

    Parameters
    ----------
    graph : Graph
        A batch, or a single graph.
    feat : str
        The column, shape [N, D].
    k : int
        How many rows of each graph.
    descending : bool
        The largest, largest first; else the smallest. Of equal ones the first comes first (in DGL
        any).
    sortby : int, optional
        The entry by which rows are compared; None: each of the D is sorted by itself.
    ntype : str, optional
        Of which nodes, where there are several types.

    Returns
    -------
    values : Tensor
        Shape [B, k, D]; 0 where a graph has fewer than k nodes.
    index : Tensor
        Which of its graph's nodes each is, int64: shape [B, k], without ``sortby`` [B, k, D]. Where
        there are fewer, numbers of nodes that the graph does not have.

    Raises
    ------
    KeyError
        There is no such column.
    IndexError
        ``sortby`` is no entry of a row.
    ValueError
        A ``k`` below 1, a column of another shape, or an unknown type.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.topk_nodes.html
    """
    x = graph.node_frame(ntype)[feat]
    return topk_rows(node_sizes(graph, ntype), x, k, descending=descending, sortby=sortby)


def topk_edges(
    graph: GraphBase,
    feat: str,
    k: int,
    *,
    descending: bool = True,
    sortby: int | None = None,
    etype: Any = None,
) -> tuple[Tensor, Tensor]:
    """The ``k`` largest or smallest rows of an edge column; as :func:`topk_nodes`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.topk_edges.html
    """
    x = graph.relation(etype).edge_frame[feat]
    return topk_rows(edge_sizes(graph, etype), x, k, descending=descending, sortby=sortby)
