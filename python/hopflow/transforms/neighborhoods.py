"""Everything within some hops of some nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.graph_base import GraphT, require_graph, require_here
from hopflow.transforms.subgraph import node_subgraph


def khop_in_subgraph(
    graph: GraphT,
    nodes: Any,
    k: int,
    *,
    relabel_nodes: bool = True,
    store_ids: bool = True,
    output_device: Any = None,
) -> GraphT | tuple[GraphT, Tensor | dict[str, Tensor]]:
    """The graph of all nodes from which some nodes are reached in at most ``k`` steps.

    All edges among these nodes are in it, not only those of the shortest ways. Work grows with
    the in-edges of these nodes.

    Parameters
    ----------
    graph : Graph
        A graph.
    nodes : Tensor, numpy array, sequence of int, int, boolean mask or dict
        Where to start; a node given twice is there once. Where there are several types a dict by
        type.
    k : int
        Steps, 0 or more. With 0 there are only the edges among ``nodes``.
    relabel_nodes : bool
        Number the nodes found from 0, in the order of their ids; otherwise the result has all nodes
        of ``graph``.
    store_ids : bool
        Note the old ids in ``edata[hopflow.EID]`` and, where nodes have new ones, in
        ``ndata[hopflow.NID]``.
    output_device : str or torch.device, optional
        The graph's; results are where the graph is.

    Returns
    -------
    graph : Graph
        As :func:`hopflow.node_subgraph` makes it.
    new_ids : Tensor or dict of Tensor
        Only with ``relabel_nodes``: for each of ``nodes`` as given its number in the result, int64;
        a dict if ``nodes`` is one.

    Raises
    ------
    IndexError
        A node that the graph does not have.
    ValueError, TypeError
        A negative ``k``, or one that is no int.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.khop_in_subgraph.html
    """
    return _khop_subgraph(graph, nodes, k, "in", relabel_nodes, store_ids, output_device)


def khop_out_subgraph(
    graph: GraphT,
    nodes: Any,
    k: int,
    *,
    relabel_nodes: bool = True,
    store_ids: bool = True,
    output_device: Any = None,
) -> GraphT | tuple[GraphT, Tensor | dict[str, Tensor]]:
    """The graph of all nodes that are reached from some nodes in at most ``k`` steps.

    Parameters
    ----------
    graph : Graph
        A graph. Its out-edges are made when first asked for, O(E), and kept.
    nodes, k, relabel_nodes, store_ids, output_device
        As in :func:`khop_in_subgraph`.

    Returns
    -------
    graph : Graph
        As in :func:`khop_in_subgraph`.
    new_ids : Tensor or dict of Tensor
        Likewise.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.khop_out_subgraph.html
    """
    return _khop_subgraph(graph, nodes, k, "out", relabel_nodes, store_ids, output_device)


def _khop_subgraph(
    graph: GraphT,
    nodes: Any,
    k: int,
    edge_dir: str,
    relabel_nodes: bool,
    store_ids: bool,
    device: Any,
) -> GraphT | tuple[GraphT, Tensor | dict[str, Tensor]]:
    graph = require_graph(graph)
    require_here(graph, device)
    k = ops.as_int("k", k)
    if k < 0:
        raise ValueError(f"k: expected 0 or more, got {k}")
    given = nodes_by_type(graph, "nodes", nodes)
    found = _within(graph, given, k, edge_dir)
    made = node_subgraph(graph, found, relabel_nodes=relabel_nodes, store_ids=store_ids)
    if not relabel_nodes:
        return made
    new_ids = {ntype: torch.searchsorted(found[ntype], ids) for ntype, ids in given.items()}
    return made, new_ids if isinstance(nodes, Mapping) else next(iter(new_ids.values()))


def _within(graph: GraphT, given: Mapping[str, Tensor], k: int, edge_dir: str) -> dict[str, Tensor]:
    """Nodes of each type within ``k`` steps, in rising order."""
    none = torch.empty(0, dtype=torch.int64, device=graph.device)
    found = {ntype: given.get(ntype, none) for ntype in graph.schema.ntypes}
    found = {ntype: ops.compact_ids(ids, none)[0] for ntype, ids in found.items()}
    latest = found
    near, far = (2, 0) if edge_dir == "in" else (0, 2)
    for _ in range(k):
        reached: dict[str, list[Tensor]] = {ntype: [none] for ntype in found}
        for relation, one in graph.relations.items():
            if latest[relation[near]].shape[0]:
                edges = one.adjacency.in_edges if edge_dir == "in" else one.adjacency.out_edges
                reached[relation[far]].append(edges(latest[relation[near]])[1].long())
        grown = {t: ops.compact_ids(found[t], torch.cat(ids))[0] for t, ids in reached.items()}
        # Nodes found before come first; their neighbours have been found already.
        latest = {ntype: ids[found[ntype].shape[0] :] for ntype, ids in grown.items()}
        found = grown
        if not any(ids.shape[0] for ids in latest.values()):
            break
    return {ntype: ids.sort().values for ntype, ids in found.items()}
