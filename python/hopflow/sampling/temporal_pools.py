"""The edges that a sampler may draw in time: every node's in order of time, and blocks of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.sampling.edge_pool import EdgePool, kept_pool, make_pool
from hopflow.sampling.edge_pools import EdgePools, drawn_by, edge_values
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.by_type import ids_by_relation
from hopflow.structure.graph_base import GraphBase
from hopflow.structure.ids import require_dense
from hopflow.structure.types import Relation, told


class TemporalPool(EdgePool):
    """Edges to draw from, those of a node in the order of their times.

    Parameters
    ----------
    adjacency : Adjacency
        The edges; ``eids`` lead to the graph's.
    num_edges : int
        Edges of the graph.
    times : Tensor
        Time of the edge at each position, int64 or float64, rising within each row.
    weights : RowWeights, optional
        Of the edge at each position; by default all are alike.
    """

    def __init__(
        self,
        adjacency: Adjacency,
        num_edges: int,
        times: Tensor,
        weights: ops.RowWeights | None = None,
    ) -> None:
        super().__init__(adjacency, num_edges, weights)
        self.times = times

    def sample_at(
        self,
        seeds: Tensor,
        seed_times: Tensor,
        fanout: int,
        *,
        key: int,
        strategy: str,
        strict: bool,
        replace: bool,
        excluded: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """At most ``fanout`` edges of each seed that are not later than it: ``(indptr, neighbors,
        positions)``; :func:`ops.sample_temporal`."""
        indptr, positions = ops.sample_temporal(
            self.adjacency.indptr, self.times, seeds, seed_times, fanout, key=key,
            strategy=strategy, strict=strict, replace=replace, weights=self.weights,
            excluded=excluded,
        )  # fmt: skip
        return indptr, ops.gather_rows(self.adjacency.indices, positions), positions


class TimedBlocks(NamedTuple):
    """Blocks whose rows are nodes at a time.

    Attributes
    ----------
    sampled : SampledTypedBlocks
        The blocks; what they call ids of nodes are these, and may repeat.
    times : list of Tensor
        Time of each input row of each type, those of the seeds first, dtype of the graph's times.
    """

    sampled: ops.SampledTypedBlocks
    times: list[Tensor]


class TemporalPools(EdgePools):
    """The edges of a graph that a sampler may draw in time.

    Parameters
    ----------
    g : Graph
        The graph; only its types and numbers of nodes are kept.
    pools : mapping
        The edges of each relation, in the graph's order.
    dtype : torch.dtype
        Of times: int64 or float64.
    """

    def __init__(
        self, g: GraphBase, pools: Mapping[Relation, TemporalPool], dtype: torch.dtype
    ) -> None:
        super().__init__(g, pools, "in")
        self.timed_pools, self.dtype = list(pools.values()), dtype

    def sample_timed_blocks(
        self,
        seeds: Sequence[Tensor],
        times: Sequence[Tensor],
        fanouts: Sequence[Sequence[int]],
        *,
        keys: Sequence[int],
        strategy: str,
        strict: bool,
        replace: bool,
        idtype: torch.dtype,
        excluded: Sequence[Tensor | None],
    ) -> TimedBlocks:
        """All hops of a batch. What is reached from a row has the row's time.

        Parameters
        ----------
        seeds, times : sequence of Tensor
            Seeds of each type, nodes of the graph, and their times, dtype ``dtype``; may repeat.
        fanouts : sequence of sequence of int
            As :meth:`fanouts` gives them.
        keys : sequence of int
            Randomness of each hop: :func:`hopflow.ops.stream_key`.
        strategy, strict, replace
            As :func:`hopflow.ops.sample_temporal`.
        idtype : torch.dtype
            Of ``input_nodes`` and ``output_nodes``.
        excluded : sequence
            As :meth:`excluded` gives it.

        Notes
        -----
        Rows never have a time that no seed has. So a row is a number: the rank of its time among
        the seeds' in the upper bits, its node in the lower ones.
        """
        bits = max(1, *(count.bit_length() for count in self.num_nodes))
        distinct, ranks = torch.unique(torch.cat(list(times)), return_inverse=True)
        if bits + int(distinct.shape[0]).bit_length() > 63:
            raise ValueError(
                f"seed times: {distinct.shape[0]} distinct ones and {max(self.num_nodes)} nodes are"
                " more than 2^63 pairs; take fewer seeds"
            )
        of_types = ranks.split([ids.shape[0] for ids in seeds])
        rows = [(rank << bits) | ids.long() for rank, ids in zip(of_types, seeds)]
        nodes_mask = (1 << bits) - 1

        def draw_hop(hop: int, at_start: Sequence[Tensor]) -> list[ops.Drawn]:
            found = []
            for r, (pool, relation) in enumerate(zip(self.timed_pools, self.relations)):
                of_type, fanout = at_start[relation.dst_type], fanouts[hop][r]
                if fanout == 0 or of_type.shape[0] == 0:
                    size = of_type.shape[0] + 1
                    indptr = torch.zeros(size, dtype=torch.int64, device=of_type.device)
                    found.append((indptr, of_type[:0], of_type[:0]))
                    continue
                rank = of_type >> bits
                indptr, neighbors, positions = pool.sample_at(
                    of_type & nodes_mask, distinct[rank], fanout,
                    key=ops.relation_key(keys[hop], r), strategy=strategy, strict=strict,
                    replace=replace, excluded=excluded[r],
                )  # fmt: skip
                # A neighbour has the time of the row that it was found for.
                upper = torch.repeat_interleave(
                    rank << bits, indptr.diff(), output_size=neighbors.shape[0]
                )
                found.append((indptr, upper | neighbors, positions))
            return found

        ends = [(relation.src_type, relation.dst_type) for relation in self.relations]
        numbered = ops.number_hops(
            draw_hop, ends, rows, len(fanouts), dtype=torch.int64, idtype=torch.int64
        )
        src_dtype = ops.id_dtype(max(self.num_nodes))
        nodes = []
        for of_type in numbered.nodes:
            ids = of_type.src_ids & nodes_mask
            own = (of_type.output_nodes & nodes_mask).to(idtype)
            nodes.append(
                ops.TypedNodes(ids.to(idtype), own, of_type.seed_inverse, ids.to(src_dtype))
            )
        sampled = ops.SampledTypedBlocks(nodes, numbered.hops)
        row_times = [distinct[of_type.src_ids >> bits] for of_type in numbered.nodes]
        return TimedBlocks(sampled.mark(self.relations, self.num_nodes), row_times)


def node_values(g: GraphBase, name: str, value: object, ntype: Any = None) -> Tensor | None:
    """One number for each node of a type, from a node column or its name; checked."""
    if value is None:
        return None
    frame = g.node_frame(ntype)
    if isinstance(value, str):
        value = frame[value]
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name}: expected the name of a node column or a torch.Tensor, got"
            f" {type(value).__name__}"
        )
    require_dense(name, value)
    if value.shape != (frame.num_rows,):
        raise ValueError(
            f"{name}: expected one number for each of the {frame.num_rows} nodes, got shape"
            f" {list(value.shape)}"
        )
    if value.device != g.device:
        raise ValueError(
            f"{name} is on {value.device}, the graph on {g.device}; expected one device"
        )
    return value


def edge_times(g: GraphBase, name: str, value: Any) -> dict[Relation, Tensor | None]:
    """The time column of each relation, as it is, from a column, its name, or a dict by type.

    A name is one of every type's columns; a dict has an entry for each, None for one whose edges
    have no time.

    Raises
    ------
    KeyError
        A type of edges lacks the column.
    TypeError, ValueError
        Not one time an edge, or a type without an entry.
    """
    relations = g.relations
    if value is None:
        return dict.fromkeys(relations)
    given = _for_each(name, value, list(relations), lambda v: ids_by_relation(g.schema, name, v))
    return {
        relation: edge_values(one, _of(name, relation, relations), given[relation])
        for relation, one in relations.items()
    }


def node_times(g: GraphBase, name: str, value: Any) -> dict[str, Tensor | None]:
    """The time column of each type of nodes; as :func:`edge_times`."""
    ntypes = list(g.schema.ntypes)
    if value is None:
        return dict.fromkeys(ntypes)
    given = _for_each(name, value, ntypes, dict)
    return {ntype: node_values(g, _of(name, ntype, ntypes), given[ntype], ntype) for ntype in given}


def _of(name: str, of_type: Any, types: Any) -> str:
    return name if len(types) == 1 else f"{name} of {of_type!r}"


def _for_each(name: str, value: Any, types: list[Any], by_type: Any) -> dict[Any, Any]:
    """What is given for each type; raises unless something is."""
    if isinstance(value, Tensor) and len(types) > 1:
        raise ValueError(
            f"{name}: expected the name of a column or a dict by type, of {told(types)}, got a"
            " tensor"
        )
    if not isinstance(value, Mapping):
        return dict.fromkeys(types, value)
    given = by_type(value)
    unknown = [key for key in given if key not in types]
    if unknown:
        raise ValueError(f"{name}: expected types of {told(types)}, got {unknown[0]!r}")
    missing = [key for key in types if key not in given]
    if missing:
        raise ValueError(
            f"{name}: expected an entry for every type, None for one without times; missing are"
            f" {told(missing)}"
        )
    return {key: given[key] for key in types}


def common_dtype(columns: Mapping[str, Tensor | None]) -> torch.dtype:
    """int64 for times that are all integers, float64 for times that are all floats.

    Parameters
    ----------
    columns : mapping
        Times by what they are called in messages; None for none.

    Raises
    ------
    TypeError
        Some are integers and some floats.
    """
    given = {name: x for name, x in columns.items() if x is not None}
    kinds = {name: x.is_floating_point() for name, x in given.items()}
    if len(set(kinds.values())) > 1:
        told_types = ", ".join(f"{name} is {x.dtype}" for name, x in given.items())
        raise TypeError(f"expected times that are all integers or all floats, but {told_types}")
    return torch.float64 if any(kinds.values()) else torch.int64


def temporal_pools(
    g: GraphBase,
    edge_time: Any = None,
    node_time: Any = None,
    prob: Any = None,
    mask: Any = None,
) -> TemporalPools:
    """The edges of a graph in the order of time; prepared once, O(E log E), and kept.

    An edge counts from when it and its source node are there: from the later of their times.

    Parameters
    ----------
    g : Graph
        A graph.
    edge_time, node_time : str, Tensor or dict, optional
        As in :class:`hopflow.dataloading.TemporalNeighborSampler`.
    prob, mask : str or Tensor, optional
        As in :class:`hopflow.dataloading.NeighborSampler`.

    Raises
    ------
    KeyError
        A column that a type lacks.
    TypeError, ValueError
        No time at all, not one time an edge or node, a time that is NaN, or bad weights.
    """
    if edge_time is None and node_time is None:
        raise ValueError("edge_time, node_time: expected one of them at least, got neither")
    of_edges = edge_times(g, "edge_time", edge_time)
    of_nodes = node_times(g, "node_time", node_time)
    named: dict[str, Tensor | None] = {}
    for relation, column in of_edges.items():
        named[_of("edge_time", relation, of_edges)] = column
    for ntype, column in of_nodes.items():
        named[_of("node_time", ntype, of_nodes)] = column
    if all(column is None for column in named.values()):
        raise ValueError("edge_time, node_time: expected times of one type at least, got none")
    dtype = common_dtype(named)
    _check_names(g, prob, mask)
    pools = {}
    for relation, one in g.relations.items():
        what = "" if len(of_edges) == 1 else f" of {relation!r}"
        here = [x if not what or x in one.edge_frame else None for x in (prob, mask)]
        weights, kept = drawn_by(one, here[0], here[1], what)
        times = of_edges[relation], of_nodes[relation[0]]

        def make(
            edges: Adjacency = one.adjacency,
            drawn: tuple[Tensor | None, Tensor | None] = (weights, kept),
            times: tuple[Tensor | None, Tensor | None] = times,
            what: str = what,
        ) -> TemporalPool:
            return _make(edges, *drawn, *times, dtype, what)

        kind = f"in time, {dtype}"
        pools[relation] = kept_pool(one.adjacency, kind, (weights, kept, *times), make)
    return TemporalPools(g, pools, dtype)


def _check_names(g: GraphBase, prob: Any, mask: Any) -> None:
    """Raise for weights and masks that no type of edges has, as :func:`edge_pools` does."""
    if len(g.relations) == 1:
        return
    for name, value in (("prob", prob), ("mask", mask)):
        if isinstance(value, Tensor):
            raise ValueError(
                f"{name}: expected the name of an edge column, got a tensor; there are"
                f" {len(g.relations)} types of edges"
            )
        if value is not None and not any(value in one.edge_frame for one in g.relations.values()):
            raise KeyError(f"{name}: no type of edges has a column {value!r}")


# What is kept serves calls with gradients too, even if the first was made without.
@torch.inference_mode(False)
def _make(
    adjacency: Adjacency,
    prob: Tensor | None,
    mask: Tensor | None,
    edge_time: Tensor | None,
    node_time: Tensor | None,
    dtype: torch.dtype,
    what: str,
) -> TemporalPool:
    """A relation's edges in the order of time, made now."""
    pool = make_pool(adjacency, "in", prob, mask, what)
    edges = pool.adjacency
    times = None
    if edge_time is not None:
        of_edges = ops.as_times(f"edge_time{what}", edge_time)
        times = of_edges if edges.eids is None else of_edges[edges.eids.long()]
    if node_time is not None:
        of_sources = ops.as_times(f"node_time{what}", node_time)[edges.indices.long()]
        times = of_sources if times is None else torch.maximum(times, of_sources)
    if times is None:  # there from the beginning
        first = -float("inf") if dtype == torch.float64 else torch.iinfo(dtype).min
        times = edges.indptr.new_full((edges.num_edges,), first, dtype=dtype)
    sorted_times, order = ops.sort_row_times(edges.indptr, times)
    eids = order.to(ops.id_dtype(pool.num_edges)) if edges.eids is None else edges.eids[order]
    chosen = Adjacency(edges.indptr, edges.indices[order], eids, edges.num_src, edges.num_dst)
    weights = None
    if pool.weights is not None:
        weights = ops.row_weights(edges.indptr, pool.weights.weights[order])
    return TemporalPool(chosen, pool.num_edges, sorted_times, weights)
