"""The edges of greatest weight around nodes."""

from __future__ import annotations

from typing import Any

import torch

import hopflow.ops as ops
from hopflow.sampling.drawn import DrawnEdges, graph_of_drawn
from hopflow.sampling.edge_pools import edge_pool, edge_values, fanouts_of
from hopflow.sampling.neighbors import check_edge_dir
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.graph_base import GraphT, require_graph, require_here
from hopflow.structure.lazy_column import LazyColumn
from hopflow.structure.types import Relation


def select_topk(
    g: GraphT,
    k: Any,
    weight: Any,
    nodes: Any = None,
    edge_dir: str = "in",
    ascending: bool = False,
    copy_ndata: bool = True,
    copy_edata: bool = True,
    output_device: Any = None,
) -> GraphT:
    """The graph's nodes with the ``k`` in-edges of greatest weight of each given node.

    Also ``g.select_topk(k, …)``. Nothing is random. O(n log n) in the edges of the nodes.

    Parameters
    ----------
    g : Graph
        A graph.
    k : int or dict
        Edges kept a node; -1 keeps all. Where there are several types of edges, of each of them, or
        a dict with a number for each.
    weight : str or Tensor
        Edge column, or its name, with one real number an edge; every type of edges must have it.
        Where there is one type a tensor will do. Of equal weights the edge with the smallest id
        comes first; NaN counts as the greatest.
    nodes : Tensor, numpy array, sequence of int, boolean mask or dict, optional
        Nodes to choose for; duplicates count once. Where there are several types a dict by type. By
        default all nodes.
    edge_dir : {"in", "out"}
        Whether the edges that enter or that leave a node are chosen.
    ascending : bool
        Keep the edges of least weight.
    copy_ndata, copy_edata : bool
        Whether columns of ``g`` are reachable on the result.
    output_device : None
        The result is where the graph is.

    Returns
    -------
    Graph
        All nodes of ``g``; edges grouped by node, those of a node by falling weight (with
        ``ascending`` by rising), their ids in ``g`` in ``edata[hopflow.EID]``.

    Raises
    ------
    KeyError
        A type of edges lacks the column.
    IndexError, TypeError, ValueError
        Nodes that are not in the graph, a bad ``k`` or option, or not one number an edge.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.sampling.select_topk.html
    """
    g = require_graph(g)
    edge_dir = check_edge_dir(edge_dir)
    require_here(g, output_device)
    counts = fanouts_of(g.schema, "k", k)
    if weight is None:
        raise TypeError("weight: expected the name of an edge column or a torch.Tensor, got None")
    if nodes is None:
        every = {t: torch.arange(g.num_nodes(t), device=g.device) for t in g.schema.ntypes}
        given = every
    else:
        given = nodes_by_type(g, "nodes", nodes)
    near = 2 if edge_dir == "in" else 0
    drawn: dict[Relation, DrawnEdges] = {}
    for relation, one in g.relations.items():
        what = "" if len(counts) == 1 else f" of {relation!r}"
        values = edge_values(one, f"weight{what}", weight)
        assert values is not None
        if relation[near] not in given:
            continue
        pool = edge_pool(one, edge_dir)
        seeds, _, _ = ops.compact_ids(given[relation[near]], given[relation[near]][:0])
        indptr, others, positions = pool.sample(seeds, -1, key=0)
        eids = pool.eids_at(positions)
        rows = ops.destinations(indptr, eids.shape[0], torch.int64)
        order = torch.argsort(eids)  # the order of edges of equal weight
        of_edges = values[eids[order].long()]
        order = order[torch.argsort(of_edges, stable=True, descending=not ascending)]
        order = order[torch.argsort(rows[order], stable=True)]
        most = counts[relation]
        if most >= 0:
            rank = torch.arange(eids.shape[0], device=g.device) - indptr[rows]
            order = order[rank < most]
            kept = indptr.diff().clamp(max=most)
            indptr = torch.cat([indptr[:1], torch.cumsum(kept, 0)])
        drawn[relation] = DrawnEdges(seeds, indptr, others[order], LazyColumn.of(eids[order]))
    return graph_of_drawn(g, drawn, edge_dir, copy_ndata=copy_ndata, copy_edata=copy_edata)
