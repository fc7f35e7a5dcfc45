"""Neighbour sampling in time on graphs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.sampling import random
from hopflow.sampling.edge_pools import fanouts_of
from hopflow.sampling.temporal_pools import temporal_pools
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.graph_base import GraphT, require_graph
from hopflow.structure.lazy_column import LazyColumn
from hopflow.structure.types import Relation
from hopflow.transforms.around import graph_of_rows, without_edges
from hopflow.transforms.by_type import change_relations


def temporal_sample_neighbors(
    g: GraphT,
    nodes: Any,
    seed_times: Any,
    fanout: Any,
    *,
    edge_time: Any = None,
    node_time: Any = None,
    temporal_strategy: str = "uniform",
    strict: bool = False,
    prob: Any = None,
    replace: bool = False,
    exclude_edges: Any = None,
) -> GraphT:
    """The graph's nodes with at most ``fanout`` in-edges of each given node, none later than it.

    :class:`hopflow.dataloading.TemporalNeighborSampler` does it over several hops, and takes a node
    at several times at once.

    Parameters
    ----------
    g : Graph
        A graph.
    nodes : Tensor, numpy array, sequence of int, boolean mask or dict
        Nodes to sample for. Where there are several types a dict by type.
    seed_times : Tensor, sequence of numbers or dict
        The time of each of them, integers or floats as the graph's times are.
    fanout : int or dict
        Edges kept a node; -1 keeps all that are early enough. Where there are several types of
        edges, of each of them, or a dict with a number for each.
    edge_time, node_time, temporal_strategy, strict
        As in :class:`hopflow.dataloading.TemporalNeighborSampler`.
    prob, replace, exclude_edges
        As in :func:`hopflow.sampling.sample_neighbors`, of the edges that are early enough.

    Returns
    -------
    Graph
        All nodes of ``g``; edges grouped by node in the order given, their ids in ``g`` in
        ``edata[hopflow.EID]``.

    Raises
    ------
    IndexError, TypeError, ValueError
        Nodes or edges that are not in the graph, a node at two times, bad times, weights, fanouts
        or options.
    KeyError
        A column that the graph lacks.

    References
    ----------
    ``FusedCSCSamplingGraph.temporal_sample_neighbors`` of DGL's GraphBolt, whose edges are always
    strictly earlier than the node: ``strict=True`` here.
    """
    g = require_graph(g)
    fanouts = fanouts_of(g.schema, "fanout", fanout)
    pools = temporal_pools(g, edge_time, node_time, prob)
    given = nodes_by_type(g, "nodes", nodes)
    times = times_of(given, "seed_times", seed_times, pools.dtype, isinstance(nodes, Mapping))
    excluded = pools.excluded("exclude_edges", exclude_edges)
    key = random.next_key(max(fanouts.values()))
    seeds = {
        ntype: _at_one_time(ids, times[ntype], g.schema.ntypes, ntype)
        for ntype, ids in given.items()
    }
    made: dict[Relation, GraphT] = {}
    for number, (relation, one) in enumerate(g.relations.items()):
        if not g.is_homogeneous and (relation[2] not in seeds or not fanouts[relation]):
            made[relation] = without_edges(one)
            continue
        pool = pools.timed_pools[number]
        ids, at = seeds[relation[2]]
        indptr, others, positions = pool.sample_at(
            ids, at, fanouts[relation], key=ops.relation_key(key, number),
            strategy=temporal_strategy, strict=strict, replace=replace, excluded=excluded[number],
        )  # fmt: skip
        eids = LazyColumn(partial(pool.eids_at, positions))
        made[relation] = graph_of_rows(one, ids, indptr, others, eids, "in")
    return change_relations(g, lambda relation, _: made[relation], copy_ndata=True)


def _at_one_time(ids: Tensor, times: Tensor, ntypes: Any, ntype: str) -> tuple[Tensor, Tensor]:
    """Distinct nodes in order of first appearance, and the time of each."""
    distinct, local, _ = ops.compact_ids(ids, ids[:0])
    if distinct.shape == ids.shape:
        return distinct, times
    found = times.new_zeros(distinct.shape).index_copy_(0, local.long(), times)
    is_other = found[local.long()] != times
    if bool(is_other.any()):
        node = int(ids[int(is_other.nonzero()[0])])
        where = "" if len(ntypes) == 1 else f" of type {ntype!r}"
        raise ValueError(
            f"seed_times: node {node}{where} is there at two times; expected one, as the graph"
            " that is returned has it once (a TemporalNeighborSampler takes several)"
        )
    return distinct, found


def exact_times(name: str, value: Any) -> Tensor:
    """Times as a tensor; of floats in Python float64, which alone holds them as they are.

    torch would round them to float32, in which times of today are two minutes apart.

    Parameters
    ----------
    name : str
        The operand, for messages.
    value : Tensor, numpy array or sequence of numbers
        The times; a tensor is returned as it is.

    Raises
    ------
    TypeError
        No numbers.
    """
    if isinstance(value, Tensor):
        return value
    try:
        return torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{name}: expected times, got {error}") from None


def times_of(
    given: Mapping[str, Tensor], name: str, value: Any, dtype: torch.dtype, is_by_type: bool
) -> dict[str, Tensor]:
    """A time of each seed of each type, in ``dtype``, on the seeds' device; checked.

    Parameters
    ----------
    given : mapping
        Seeds of each type that some are given of.
    name : str
        The operand, for messages.
    value : Tensor, sequence of numbers or mapping
        The times, by type where the seeds are.
    dtype : torch.dtype
        int64 or float64: what the graph's times are.
    is_by_type : bool
        Whether the seeds are given by type.
    """
    if is_by_type != isinstance(value, Mapping):
        wanted = "a dict by type, as the seeds are" if is_by_type else "one time a seed"
        raise TypeError(f"{name}: expected {wanted}, got {type(value).__name__}")
    values = value if is_by_type else dict.fromkeys(given, value)
    if set(values) != set(given):
        raise ValueError(f"{name}: expected times of {sorted(given)}, got {sorted(values)}")
    found = {}
    for ntype, ids in given.items():
        what = f"{name}[{ntype!r}]" if is_by_type else name
        as_given = exact_times(what, values[ntype])
        if not isinstance(values[ntype], Tensor):
            as_given = as_given.to(ids.device)
            if as_given.numel() == 0:
                as_given = as_given.to(dtype)
        times = ops.as_times(what, as_given)
        if times.dtype != dtype:
            raise TypeError(
                f"{what}: expected {'floats' if dtype.is_floating_point else 'integers'}, as the"
                f" graph's times are, got {as_given.dtype}"
            )
        if times.shape != ids.shape:
            raise ValueError(
                f"{what}: expected one time for each of {ids.shape[0]} seeds, got {times.shape[0]}"
            )
        if times.device != ids.device:
            raise ValueError(f"{what} is on {times.device}, the seeds on {ids.device}")
        found[ntype] = times
    return found
