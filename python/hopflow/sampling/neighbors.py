"""Neighbour sampling on graphs."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.sampling import random
from hopflow.sampling.edge_pool import EdgePool, pool_of
from hopflow.structure.frame import EID, Frame, LazyColumn
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph, require_here
from hopflow.structure.ids import as_node_ids, require_dense
from hopflow.transforms.subgraph import graph_of_rows


def check_fanout(name: str, fanout: object) -> int:
    """Return a fanout, or raise a ValueError or TypeError that names the operand."""
    value = ops.as_int(name, fanout)
    if value < -1:
        raise ValueError(f"{name}: expected -1 (all) or a count >= 0, got {value}")
    if value > ops.INT32_MAX:
        raise ValueError(f"{name}: expected at most 2^31 - 1, got {value}")
    return value


def check_edge_dir(edge_dir: object) -> str:
    """Return "in" or "out", or raise a ValueError."""
    if edge_dir in ("in", "out"):
        return str(edge_dir)
    raise ValueError(f'edge_dir: expected "in" or "out", got {edge_dir!r}')


def _edge_values(g: GraphBase, name: str, value: object) -> Tensor | None:
    """What says of each edge whether, or how likely, it is drawn: a column, or its name."""
    if value is None:
        return None
    if isinstance(value, str):
        column = g.edata[value]
    elif isinstance(value, Tensor):
        require_dense(name, value)
        column = value
    else:
        raise TypeError(
            f"{name}: expected the name of an edge column or a torch.Tensor, got"
            f" {type(value).__name__}"
        )
    if column.shape == (g.num_edges(), 1) and isinstance(value, str):
        raise ValueError(
            f"{name}: column {value!r} has shape {list(column.shape)}, expected one number an edge;"
            " squeeze(1) it"
        )
    if column.shape != (g.num_edges(),):
        raise ValueError(
            f"{name}: expected one number for each of the {g.num_edges()} edges, got shape"
            f" {list(column.shape)}"
        )
    if column.device != g.device:
        raise ValueError(
            f"{name} is on {column.device}, the graph on {g.device}; expected one device"
        )
    if column.is_complex() or column.is_quantized:
        raise TypeError(f"{name}: expected real numbers, got {column.dtype}")
    return column


def edge_pool(g: GraphBase, edge_dir: str = "in", prob: Any = None, mask: Any = None) -> EdgePool:
    """The edges of a graph that a sampler may draw; prepared once and kept.

    Parameters
    ----------
    g : Graph
        A graph.
    edge_dir : {"in", "out"}
        Which edges of a node are drawn.
    prob, mask : str or Tensor, optional
        As in :func:`sample_neighbors` and :class:`hopflow.dataloading.NeighborSampler`.

    Raises
    ------
    KeyError
        A column that the graph lacks.
    TypeError, ValueError
        Not one number an edge, or a weight that is negative, infinite or NaN.
    """
    weights, kept = _edge_values(g, "prob", prob), _edge_values(g, "mask", mask)
    if weights is not None and weights.dtype == torch.bool:
        weights, kept = None, weights
    if kept is not None and kept.dtype not in (torch.bool, torch.uint8):
        raise TypeError(f"mask: expected bool, got {str(kept.dtype).replace('torch.', '')}")
    return pool_of(g.adjacency, edge_dir=edge_dir, prob=weights, mask=kept)


def sample_neighbors(
    g: GraphT,
    nodes: Any,
    fanout: int,
    edge_dir: str = "in",
    prob: Any = None,
    replace: bool = False,
    copy_ndata: bool = True,
    copy_edata: bool = True,
    exclude_edges: Any = None,
    output_device: Any = None,
) -> GraphT:
    """The graph's nodes with at most ``fanout`` in-edges of each given node.

    They are drawn uniformly or, with ``prob``, by weight. Also ``g.sample_neighbors(nodes, …)``.

    Parameters
    ----------
    g : Graph
        A graph.
    nodes : Tensor, numpy array, sequence of int or boolean mask
        Nodes to sample for; duplicates count once.
    fanout : int
        Edges kept a node; -1 keeps all.
    edge_dir : {"in", "out"}
        Whether the edges that enter or that leave a node are drawn. Out-edges are made when first
        asked for, O(E), and kept.
    prob : str or Tensor, optional
        Edge column, or its name: the weight of each edge, any real dtype, not negative. Without
        replacement each draw takes one of the edges not taken yet, with a probability proportional
        to its weight; an edge of weight 0 is never taken, and a node with fewer others than
        ``fanout`` keeps all of these. A bool column is a mask: the edges that are True are alike.
        What the weights need is prepared once, O(E), and again when they change.
    replace : bool
        Draw with replacement.
    copy_ndata, copy_edata : bool
        Whether columns of ``g`` are reachable on the result.
    exclude_edges : Tensor, numpy array or sequence of int, optional
        Ids of edges that are not drawn. They are left out before the draw, so a node still gets
        ``fanout`` edges if it has as many others.
    output_device : None
        The result is where the graph is.

    Returns
    -------
    Graph
        All nodes of ``g``; edges grouped by node in the order given, their ids in ``g`` in
        ``edata[hopflow.EID]``. Each edge runs as it does in ``g``. Costs O(edges kept), not
        O(nodes of ``g``).

    Raises
    ------
    IndexError, TypeError, ValueError
        Nodes or edges that are not in the graph, bad weights, or a bad fanout or option.
    KeyError
        A column that the graph lacks.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.sampling.sample_neighbors.html
    """
    g = require_graph(g)
    edge_dir = check_edge_dir(edge_dir)
    require_here(g, output_device)
    fanout = check_fanout("fanout", fanout)
    seeds = as_node_ids("nodes", nodes, g.num_nodes(), device=g.device)
    pool = edge_pool(g, edge_dir, prob)
    excluded = pool.excluded("exclude_edges", exclude_edges)
    seeds, _, _ = ops.compact_ids(seeds, seeds.new_empty(0))
    indptr, others, positions = pool.sample(
        seeds, fanout, key=random.next_key(fanout), replace=replace, excluded=excluded
    )
    eids = LazyColumn(partial(pool.eids_at, positions))
    made = graph_of_rows(g, seeds, indptr, others, eids, edge_dir)
    if not copy_ndata:
        made._src_frame = made._dst_frame = Frame(made.num_nodes(), "node", made.device)
    if not copy_edata:
        for key in [key for key in made.edata if key != EID]:
            del made.edata[key]
    return made
