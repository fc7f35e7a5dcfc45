"""Neighbour sampling on graphs."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

import hopflow.ops as ops
from hopflow.sampling import random
from hopflow.sampling.drawn import DrawnEdges, graph_of_drawn
from hopflow.sampling.edge_pools import edge_pools, fanouts_of
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.graph_base import GraphT, require_graph, require_here
from hopflow.structure.lazy_column import LazyColumn
from hopflow.structure.types import Relation


def check_edge_dir(edge_dir: object) -> str:
    """Return "in" or "out", or raise a ValueError."""
    if edge_dir in ("in", "out"):
        return str(edge_dir)
    raise ValueError(f'edge_dir: expected "in" or "out", got {edge_dir!r}')


def sample_neighbors(
    g: GraphT,
    nodes: Any,
    fanout: Any,
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
    nodes : Tensor, numpy array, sequence of int, boolean mask or dict
        Nodes to sample for; duplicates count once. Where there are several types a dict by type.
    fanout : int or dict
        Edges kept a node; -1 keeps all. Where there are several types of edges, of each of them, or
        a dict with a number for each.
    edge_dir : {"in", "out"}
        Whether the edges that enter or that leave a node are drawn. Out-edges are made when first
        asked for, O(E), and kept.
    prob : str or Tensor, optional
        Edge column, or its name: the weight of each edge, any real dtype, not negative. Without
        replacement each draw takes one of the edges not taken yet, with a probability proportional
        to its weight; an edge of weight 0 is never taken, and a node with fewer others than
        ``fanout`` keeps all of these. A bool column is a mask: the edges that are True are alike.
        Types of edges that lack the column are drawn uniformly.
        What the weights need is prepared once, O(E), and again when they change.
    replace : bool
        Draw with replacement.
    copy_ndata, copy_edata : bool
        Whether columns of ``g`` are reachable on the result.
    exclude_edges : Tensor, numpy array, sequence of int or dict, optional
        Ids of edges that are not drawn, where there are several types a dict by type. They are left
        out before the draw, so a node still gets ``fanout`` edges if it has as many others.
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
    fanouts = fanouts_of(g.schema, "fanout", fanout)
    given = nodes_by_type(g, "nodes", nodes)
    near = 2 if edge_dir == "in" else 0
    asked = [r for r in g.schema.relations if r[near] in given and fanouts[r]]
    pools = edge_pools(g, edge_dir, prob, needed=asked)
    excluded = pools.excluded("exclude_edges", exclude_edges)
    key = random.next_key(max(fanouts.values()))
    none = torch.empty(0, dtype=torch.int64, device=g.device)
    drawn: dict[Relation, DrawnEdges] = {}
    for number, (relation, pool) in enumerate(pools.pools.items()):
        if relation not in asked and not g.is_homogeneous:
            continue
        seeds, _, _ = ops.compact_ids(given[relation[near]], none)
        indptr, others, positions = pool.sample(
            seeds, fanouts[relation], key=ops.relation_key(key, number), replace=replace,
            excluded=excluded[number],
        )  # fmt: skip
        eids = LazyColumn(partial(pool.eids_at, positions))
        drawn[relation] = DrawnEdges(seeds, indptr, others, eids)
    return graph_of_drawn(g, drawn, edge_dir, copy_ndata=copy_ndata, copy_edata=copy_edata)
