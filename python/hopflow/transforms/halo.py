"""A graph cut into parts, each with what lies around it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.partitioning.metis import metis_partition_assignment
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import EID, ETYPE, NID, NTYPE, Column, Frame
from hopflow.structure.graph_base import GraphT, require_graph
from hopflow.structure.ids import as_ids


def metis_partition(
    g: GraphT,
    k: int,
    extra_cached_hops: int = 0,
    reshuffle: bool = False,
    balance_ntypes: Any = None,
    balance_edges: bool = False,
    mode: str = "k-way",
) -> dict[int, GraphT]:
    """Cut a graph into ``k`` parts with few edges between them.

    Parameters
    ----------
    g : Graph
        A graph on the CPU of one node type and one edge type.
    k, balance_ntypes, balance_edges, mode
        As in :func:`hopflow.metis_partition_assignment`, which chooses the parts.
    extra_cached_hops, reshuffle
        As in :func:`partition_graph_with_halo`, which makes the graphs.

    Returns
    -------
    dict of Graph
        By part.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.metis_partition.html
    """
    parts = metis_partition_assignment(g, k, balance_ntypes, balance_edges, mode)
    return partition_graph_with_halo(g, parts, extra_cached_hops, reshuffle)[0]


def partition_graph_with_halo(
    g: GraphT, node_part: Any, extra_cached_hops: int, reshuffle: bool = False
) -> tuple[dict[int, GraphT], Tensor | None, Tensor | None]:
    """The graph of each part: its nodes, its in-edges, and the *halo*, what lies around it.

    An edge belongs to the part of its destination.

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type.
    node_part : Tensor, numpy array or sequence of int
        The part of each node, shape [N], 0 or more.
    extra_cached_hops : int
        How many steps against the edges the halo goes; with 0 or more. With 0 there is none, and
        edges from other parts are left out. Else each part has the other ends of its nodes' edges,
        in both directions, and what is that many steps before its nodes.
    reshuffle : bool
        Renumber the graph's nodes and edges first, so that those of a part are consecutive, and
        within a part those of a type, if ``g`` has ``ndata[hopflow.NTYPE]`` and
        ``edata[hopflow.ETYPE]`` as :func:`hopflow.to_homogeneous` makes them.

    Returns
    -------
    parts : dict of Graph
        For each part from 0 to the last that a node is in. Its own nodes come first. Node columns:
        ``_ID``, ids in the graph (the renumbered one); ``inner_node``, int32, 1 for its own;
        ``part_id``, int64. Edge columns: ``_ID``; ``inner_edge``, int8, 1 for its own. If
        renumbered, ``orig_id`` has ids in ``g``, and its own edges come first. It has no columns of
        ``g``.
    orig_nids, orig_eids : Tensor or None
        If renumbered: ids in ``g`` of the nodes and edges in their new order.

    Raises
    ------
    ValueError, TypeError
        Not one part for each node, a negative one or number of hops, or a graph of several types.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.partition_graph_with_halo.html
    """
    g = require_graph(g, one_type=True)
    parts = as_ids("node_part", node_part, dtype=torch.int64).to(g.device)
    hops = ops.as_int("extra_cached_hops", extra_cached_hops)
    if parts.shape[0] != g.num_nodes():
        raise ValueError(
            f"node_part: expected the part of each of the {g.num_nodes()} nodes, got"
            f" {parts.shape[0]}"
        )
    if parts.shape[0] and int(parts.min()) < 0:
        raise ValueError(f"node_part: expected parts of 0 or more, got {int(parts.min())}")
    if hops < 0:
        raise ValueError(f"extra_cached_hops: expected 0 or more, got {hops}")
    nids = eids = None
    adjacency = g.adjacency
    if reshuffle:
        adjacency, nids, eids = _reshuffled(g, parts)
        parts = parts[nids]
    made: dict[int, GraphT] = {}
    last = int(parts.max()) if parts.shape[0] else -1
    by_part = torch.argsort(parts, stable=True)
    counts = torch.bincount(parts, minlength=last + 1).tolist()
    for part, own in enumerate(torch.split(by_part, counts)):
        nodes, src, dst, ids = _with_halo(adjacency, own, parts, part, hops)
        is_own = parts[nodes[dst]] == part
        if reshuffle:
            order = torch.argsort(ids)
            order = order[torch.argsort(~is_own[order], stable=True)]
            src, dst, ids, is_own = src[order], dst[order], ids[order], is_own[order]
        ndata: dict[str, Column] = {
            NID: nodes.to(g.idtype),
            "inner_node": (parts[nodes] == part).int(),
            "part_id": parts[nodes],
        }
        edata: dict[str, Column] = {EID: ids.to(g.idtype), "inner_edge": is_own.to(torch.int8)}
        if nids is not None and eids is not None:
            ndata["orig_id"], edata["orig_id"] = nids[nodes].to(g.idtype), eids[ids].to(g.idtype)
        count = nodes.shape[0]
        frame = Frame(count, g.node_frame().what, g.device, ndata)
        edges = Adjacency.from_coo(src, dst, count, count)
        made[part] = g.derived(edges, nodes=frame, edge_columns=edata)
    if nids is None or eids is None:
        return made, None, None
    return made, nids.to(g.idtype), eids.to(g.idtype)


def _with_halo(
    adjacency: Adjacency, own: Tensor, parts: Tensor, part: int, hops: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``(nodes, sources, destinations, edges)``; ends are numbers among the nodes."""

    def edges_of(nodes: Tensor, edge_dir: str) -> tuple[Tensor, Tensor, Tensor]:
        """``(nodes, other ends, edges)``, one for each edge."""
        find = adjacency.in_edges if edge_dir == "in" else adjacency.out_edges
        indptr, others, eids = find(nodes)
        count = others.shape[0]
        return nodes[ops.destinations(indptr, count, torch.int64)], others.long(), eids.long()

    dst, src, eids = edges_of(own, "in")
    if hops == 0:
        inside = parts[src] == part
        src, dst, eids = src[inside], dst[inside], eids[inside]
    found, nodes, latest = [(src, dst, eids)], own, own
    for hop in range(hops):
        if hop:
            dst, src, eids = edges_of(latest, "in")
            outside = parts[src] != part  # the others leave the part, and come below
            found.append((src[outside], dst[outside], eids[outside]))
        grown = ops.compact_ids(nodes, src)[0]
        latest, nodes = grown[nodes.shape[0] :], grown
    if hops:
        src, dst, eids = edges_of(own, "out")
        outside = parts[dst] != part
        found.append((src[outside], dst[outside], eids[outside]))
        nodes = ops.compact_ids(nodes, dst)[0]
    src, dst, eids = (torch.cat(x) for x in zip(*found))
    numbers = ops.compact_ids(nodes, torch.cat([src, dst]))[2].long()
    return nodes, numbers[: src.shape[0]], numbers[src.shape[0] :], eids


def _reshuffled(g: GraphT, parts: Tensor) -> tuple[Adjacency, Tensor, Tensor]:
    """``(edges, nids, eids)``: the graph renumbered, and old ids in the new order."""
    order = torch.arange(g.num_nodes(), device=g.device)
    if NTYPE in g.node_frame():
        order = torch.argsort(g.node_frame()[NTYPE], stable=True)
    nids = order[torch.argsort(parts[order], stable=True)]
    # Edges by destination, and of each destination in the order that they have there.
    indptr, others, positions = g.adjacency.in_edges(nids)
    eids = positions.long()
    dst = ops.destinations(indptr, eids.shape[0], torch.int64)
    numbers = torch.empty_like(nids)
    numbers[nids] = torch.arange(nids.shape[0], device=g.device)
    src = numbers[others.long()]
    if ETYPE in g.edge_frame:
        order = torch.argsort(g.edge_frame[ETYPE][eids], stable=True)
        order = order[torch.argsort(parts[nids][dst[order]], stable=True)]
        src, dst, eids = src[order], dst[order], eids[order]
    return Adjacency.from_coo(src, dst, g.num_nodes(), g.num_nodes()), nids, eids
