"""Layer-neighbour sampling on graphs: nodes that tend to keep the same neighbours."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.sampling import random
from hopflow.sampling.drawn import DrawnEdges, graph_of_drawn
from hopflow.sampling.edge_pool import EdgePool
from hopflow.sampling.edge_pools import edge_pools, fanouts_of
from hopflow.sampling.neighbors import check_edge_dir
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph, require_here
from hopflow.structure.ids import as_ids
from hopflow.structure.lazy_column import LazyColumn
from hopflow.structure.types import Relation


def check_importance_sampling(value: object) -> int:
    """Return a number of steps, -1 for any below 0, or raise a TypeError."""
    return max(-1, ops.as_int("importance_sampling", value))


def labor_edges(
    pool: EdgePool,
    seeds: Tensor,
    fanout: int,
    *,
    keys: tuple[int, int],
    share: float,
    importance_sampling: int,
    excluded: Tensor | None,
) -> ops.LaborEdges:
    """In-edges of seeds from a pool, with weights that sum to their number for each seed.

    Parameters
    ----------
    pool : EdgePool
        The edges of one relation.
    seeds : Tensor
        Nodes, shape [S].
    fanout, importance_sampling
        As :func:`hopflow.ops.sample_labor` takes them.
    keys : tuple of int
        Its ``key`` and ``second_key``.
    share : float
        Of the second key.
    excluded : Tensor, optional
        As :meth:`EdgePool.excluded` gives it.
    """
    edges = pool.adjacency
    return ops.sample_labor(
        edges.indptr, edges.indices, seeds, fanout, key=keys[0], second_key=keys[1], share=share,
        weights=pool.weights, importance_sampling=importance_sampling, normalize=True,
        excluded=excluded, num_src=edges.num_src,
    )  # fmt: skip


def source_keys(
    g: GraphBase, keys: tuple[int, int], edge_dir: str
) -> dict[Relation, tuple[int, int]]:
    """The keys of each relation: nodes of one type have the same random numbers in all of them."""
    far = 0 if edge_dir == "in" else 2
    number = {ntype: i for i, ntype in enumerate(g.schema.ntypes)}
    return {
        relation: (
            ops.relation_key(keys[0], number[relation[far]]),
            ops.relation_key(keys[1], number[relation[far]]),
        )
        for relation in g.schema.relations
    }


def _keys_of(random_seed: Any, share: float, is_drawn: bool) -> tuple[int, int]:
    """One key, or two where both have a share, from what the user gives."""
    if random_seed is None:
        if not is_drawn:
            return 0, 0
        return random.next_key(), random.next_key() if share > 0 else 0
    values = as_ids("random_seed", [random_seed] if isinstance(random_seed, int) else random_seed)
    if values.shape[0] not in (1, 2) or (share > 0 and values.shape[0] == 1):
        raise ValueError(
            f"random_seed: expected {'two seeds' if share > 0 else 'one seed, or two'}, got"
            f" {values.shape[0]}"
        )
    first, second = int(values[0]), int(values[-1])
    return ops.stream_key(first, 0, 0, 0), ops.stream_key(second, 0, 0, 0)


def sample_labors(
    g: GraphT,
    nodes: Any,
    fanout: Any,
    edge_dir: str = "in",
    prob: Any = None,
    importance_sampling: int = 0,
    random_seed: Any = None,
    seed2_contribution: float = 0,
    copy_ndata: bool = True,
    copy_edata: bool = True,
    exclude_edges: Any = None,
    output_device: Any = None,
) -> tuple[GraphT, list[Tensor]]:
    """The graph's nodes with about ``fanout`` in-edges of each given node, from shared neighbours.

    Every neighbour t has one random number r_t for all nodes that it is a neighbour of, and node s
    keeps the edge from t if r_t < c_s pi_t: so nodes keep the same neighbours where they can, and
    fewer distinct nodes are reached than by :func:`sample_neighbors`. A node keeps *about*
    ``fanout`` edges, each independently of its others (parallel ones together); one that has no
    more than ``fanout`` keeps them all. The law is told at :func:`hopflow.ops.sample_labor`. Also
    ``g.sample_labors(nodes, …)``.

    Parameters
    ----------
    g : Graph
        A graph.
    nodes : Tensor, numpy array, sequence of int, boolean mask or dict
        Nodes to sample for; duplicates count once. Where there are several types a dict by type.
    fanout : int or dict
        Edges expected a node; -1 keeps all. Where there are several types of edges, of each of
        them, or a dict with a number for each.
    edge_dir : {"in", "out"}
        Whether the edges that enter or that leave a node are drawn.
    prob : str or Tensor, optional
        Edge column, or its name: the weight of each edge, as in :func:`sample_neighbors`; an edge
        of weight 0 is as if it were not there. A bool column is a mask.
    importance_sampling : int
        0: all neighbours of a node are as likely, or as ``prob`` says; i > 0: i steps that shift
        chances towards neighbours that many nodes share; below 0: as many steps as help.
    random_seed : int or Tensor, optional
        One or two seeds: calls with the same ones use the same r_t. By default hopflow's stream.
    seed2_contribution : float
        From 0 to 1: the share of nodes whose r_t comes from the second seed. (DGL 2.1 blends each
        number instead; either way each is uniform.)
    copy_ndata, copy_edata : bool
        Whether columns of ``g`` are reachable on the result.
    exclude_edges : Tensor, numpy array, sequence of int or dict, optional
        Ids of edges that are not drawn, where there are several types a dict by type. They are left
        out before the draw; DGL drops them after it.
    output_device : None
        The result is where the graph is.

    Returns
    -------
    sampled : Graph
        All nodes of ``g``; edges grouped by node in the order given, their ids in ``g`` in
        ``edata[hopflow.EID]``.
    importances : list of Tensor
        For each type of edges the weight of each sampled edge, float32 or that of ``prob``; empty
        where there is neither ``prob`` nor importance sampling. A node's weights are proportional
        to (weight by ``prob``) / (probability of the edge) and sum to the number of its edges, so
        that the mean over them, so weighted, estimates the weighted mean over all neighbours.

    Raises
    ------
    IndexError, TypeError, ValueError
        Nodes or edges that are not in the graph, bad weights, or a bad fanout or option.
    KeyError
        A column that the graph lacks.
    HopflowError
        Importance sampling on CUDA.

    References
    ----------
    Balin, Çatalyürek, "Layer-Neighbor Sampling - Defusing Neighborhood Explosion in GNNs", NeurIPS
    2023; https://www.dgl.ai/dgl_docs/generated/dgl.sampling.sample_labors.html
    """
    g = require_graph(g)
    edge_dir = check_edge_dir(edge_dir)
    require_here(g, output_device)
    steps = check_importance_sampling(importance_sampling)
    if not 0 <= seed2_contribution <= 1:
        raise ValueError(
            f"seed2_contribution: expected a number from 0 to 1, got {seed2_contribution}"
        )
    fanouts = fanouts_of(g.schema, "fanout", fanout)
    given = nodes_by_type(g, "nodes", nodes)
    near = 2 if edge_dir == "in" else 0
    asked = [r for r in g.schema.relations if r[near] in given and fanouts[r]]
    pools = edge_pools(g, edge_dir, prob, needed=asked)
    excluded = pools.excluded("exclude_edges", exclude_edges)
    pair = _keys_of(random_seed, seed2_contribution, max(fanouts.values()) >= 0)
    keys = source_keys(g, pair, edge_dir)
    none = torch.empty(0, dtype=torch.int64, device=g.device)
    no_weights = torch.empty(0, dtype=torch.float32, device=g.device)
    drawn: dict[Relation, DrawnEdges] = {}
    importances: list[Tensor] = []
    for number, (relation, pool) in enumerate(pools.pools.items()):
        if relation not in asked and not g.is_homogeneous:
            importances.append(no_weights)
            continue
        seeds, _, _ = ops.compact_ids(given[relation[near]], none)
        edges = labor_edges(
            pool, seeds, fanouts[relation], keys=keys[relation], share=seed2_contribution,
            importance_sampling=steps, excluded=excluded[number],
        )  # fmt: skip
        eids = LazyColumn(partial(pool.eids_at, edges.positions))
        drawn[relation] = DrawnEdges(seeds, edges.indptr, edges.neighbors, eids)
        importances.append(no_weights if edges.weights is None else edges.weights)
    sampled = graph_of_drawn(g, drawn, edge_dir, copy_ndata=copy_ndata, copy_edata=copy_edata)
    return sampled, importances
