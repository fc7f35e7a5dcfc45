"""The edges that a sampler may draw, of each relation, and the blocks drawn from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.sampling.edge_pool import EdgePool, edge_ids, pool_of
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.by_type import ids_by_relation
from hopflow.structure.graph_base import GraphBase
from hopflow.structure.ids import require_dense
from hopflow.structure.lazy_column import LazyColumn
from hopflow.structure.types import Relation, Schema, told


def check_fanout(name: str, fanout: object) -> int:
    """Return a fanout, or raise a ValueError or TypeError that names the operand."""
    value = ops.as_wide_int(name, fanout)
    if value < -1:
        raise ValueError(f"{name}: expected -1 (all) or a count >= 0, got {value}")
    if value > ops.INT32_MAX:
        raise ValueError(f"{name}: expected at most 2^31 - 1, got {value}")
    return value


def fanouts_of(schema: Schema, name: str, fanout: object) -> dict[Relation, int]:
    """A fanout for each relation, from one for all or a dict with all of them; checked.

    Raises
    ------
    ValueError, TypeError
        Numbers that are no fanouts, relations that are not there or that are missing.
    """
    if not isinstance(fanout, Mapping):
        return dict.fromkeys(schema.relations, check_fanout(name, fanout))
    given: dict[Relation, int] = {}
    for etype, value in fanout.items():
        try:
            relation = schema.relation(etype)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if relation in given:
            raise ValueError(f"{name}: {relation!r} is there twice")
        given[relation] = check_fanout(f"{name}[{etype!r}]", value)
    missing = [relation for relation in schema.relations if relation not in given]
    if missing:
        raise ValueError(
            f"{name}: expected a number for every edge type, 0 for none of its edges; missing are"
            f" {told(missing)}"
        )
    return {relation: given[relation] for relation in schema.relations}


class EdgePools:
    """The edges of a graph that a sampler may draw.

    Parameters
    ----------
    g : Graph
        The graph; only its types and numbers of nodes are kept.
    pools : mapping
        The edges of each relation, in the graph's order.
    edge_dir : {"in", "out"}
        With "out" the pools hold the edges of the reversed graph.

    Attributes
    ----------
    schema : Schema
        The graph's types.
    num_nodes : list of int
        Nodes of each type.
    """

    def __init__(self, g: GraphBase, pools: Mapping[Relation, EdgePool], edge_dir: str) -> None:
        self.schema, self.pools, self.edge_dir = g.schema, dict(pools), edge_dir
        self.num_nodes = [frame.num_rows for frame in g.node_frames().values()]

    @property
    def is_one_type(self) -> bool:
        """Whether there is one type of nodes and one of edges."""
        return len(self.num_nodes) == 1 and len(self.pools) == 1

    @property
    def is_plain(self) -> bool:
        """Whether all edges of a relation are as likely."""
        return all(pool.weights is None for pool in self.pools.values())

    @cached_property
    def relations(self) -> list[ops.Relation]:
        """The edges as :func:`hopflow.ops.sample_typed_blocks` takes them."""
        number = {ntype: i for i, ntype in enumerate(self.schema.ntypes)}
        made = []
        for name, pool in self.pools.items():
            src, dst = (name[0], name[2]) if self.edge_dir == "in" else (name[2], name[0])
            edges = pool.adjacency
            made.append(ops.Relation(edges.indptr, edges.indices, number[src], number[dst]))
        return made

    def edge_ids(self, number: int, positions: Tensor, num_edges: int) -> LazyColumn:
        """A relation's edge ids at some positions, of which there are ``num_edges`` in all."""
        eids = list(self.pools.values())[number].adjacency.eids
        return LazyColumn(partial(edge_ids, eids, positions, num_edges))

    def arrays(self) -> list[Tensor]:
        """Every array that there is, each once."""
        found = [x for pool in self.pools.values() for x in pool.adjacency.arrays()]
        return list({id(x): x for x in found}.values())

    def fanouts(self, fanouts: Sequence[Any]) -> list[list[int]]:
        """Of each hop, from the seeds outwards, the fanout of each relation.

        Given by layer, each a number that :func:`check_fanout` has seen or a dict of such.
        """
        found = []
        for layer in reversed(range(len(fanouts))):
            if isinstance(fanouts[layer], Mapping):
                given = fanouts_of(self.schema, f"fanouts[{layer}]", fanouts[layer])
                found.append(list(given.values()))
            else:
                found.append([fanouts[layer]] * len(self.pools))
        return found

    def excluded(self, name: str, edges: Any) -> list[Tensor | None]:
        """What :meth:`EdgePool.excluded` gives for each relation, from edge ids, also by type."""
        if edges is None:
            return [None] * len(self.pools)
        if not isinstance(edges, Mapping) and len(self.pools) == 1:
            return [pool.excluded(name, edges) for pool in self.pools.values()]
        by_type = ids_by_relation(self.schema, name, edges)
        return [
            pool.excluded(f"{name}[{relation!r}]", by_type.get(relation))
            for relation, pool in self.pools.items()
        ]

    def sample_blocks(
        self,
        seeds: Sequence[Tensor],
        fanouts: Sequence[Sequence[int]],
        *,
        keys: Sequence[int],
        replace: bool,
        idtype: torch.dtype,
        excluded: Sequence[Tensor | None],
    ) -> ops.SampledTypedBlocks:
        """All hops of a batch, in one pass if they are drawn without weights.

        Parameters
        ----------
        seeds : sequence of Tensor
            Seeds of each type; they may repeat.
        fanouts : sequence of sequence of int
            As :meth:`fanouts` gives them.
        keys : sequence of int
            Randomness of each hop: :func:`hopflow.ops.stream_key`.
        replace, idtype
            As :func:`hopflow.ops.sample_typed_blocks`.
        excluded : sequence
            As :meth:`excluded` gives it.
        """
        if self.is_plain and self.is_one_type and excluded[0] is None:
            # On CUDA this waits for the device once.
            ((relation, ids),) = zip(self.relations, seeds)
            return in_typed_form(
                ops.sample_blocks(
                    relation.indptr, relation.indices, ids, [hop[0] for hop in fanouts], keys=keys,
                    replace=replace, idtype=idtype,
                )
            )  # fmt: skip
        by_relation = [
            [ops.relation_key(key, number) for number in range(len(self.pools))] for key in keys
        ]
        if self.is_plain and all(found is None for found in excluded):
            return ops.sample_typed_blocks(
                self.relations, self.num_nodes, seeds, fanouts, keys=by_relation, replace=replace,
                idtype=idtype,
            )  # fmt: skip
        pools = list(self.pools.values())

        def draw(r: int, nodes: Tensor, fanout: int, key: int) -> tuple[Tensor, Tensor, Tensor]:
            nodes = nodes.to(pools[r].adjacency.indices.dtype)
            return pools[r].sample(nodes, fanout, key=key, replace=replace, excluded=excluded[r])

        return ops.sample_typed_blocks_with(
            draw, self.relations, self.num_nodes, seeds, fanouts, keys=by_relation, idtype=idtype
        )


def in_typed_form(sampled: ops.SampledBlocks) -> ops.SampledTypedBlocks:
    """Blocks of one type as those of several types come."""
    input_nodes, output_nodes, inverse, src_ids, hops = sampled
    return ops.SampledTypedBlocks(
        [ops.TypedNodes(input_nodes, output_nodes, inverse, src_ids)],
        [ops.TypedHop([ops.RelationHop(*hop[:3])], [hop.num_src]) for hop in hops],
    )


def edge_pool(
    g: GraphBase, edge_dir: str = "in", prob: Any = None, mask: Any = None, *, what: str = ""
) -> EdgePool:
    """The edges of a graph of one relation that a sampler may draw; prepared once and kept.

    Parameters
    ----------
    g : Graph
        A graph.
    edge_dir : {"in", "out"}
        Which edges of a node are drawn.
    prob, mask : str or Tensor, optional
        As in :func:`sample_neighbors` and :class:`hopflow.dataloading.NeighborSampler`.
    what : str
        After names of operands, in messages.

    Raises
    ------
    KeyError
        A column that the graph lacks.
    TypeError, ValueError
        Not one number an edge, or a weight that is negative, infinite or NaN.
    """
    weights, kept = drawn_by(g, prob, mask, what)
    return pool_of(g.adjacency, edge_dir=edge_dir, prob=weights, mask=kept, what=what)


def drawn_by(
    g: GraphBase, prob: Any, mask: Any, what: str = ""
) -> tuple[Tensor | None, Tensor | None]:
    """The weights and the mask that :func:`edge_pool` is given, checked."""
    weights = edge_values(g, f"prob{what}", prob)
    kept = edge_values(g, f"mask{what}", mask)
    if weights is not None and weights.dtype == torch.bool:
        weights, kept = None, weights
    if kept is not None and kept.dtype not in (torch.bool, torch.uint8):
        raise TypeError(f"mask{what}: expected bool, got {str(kept.dtype).replace('torch.', '')}")
    return weights, kept


def edge_pools(
    g: GraphBase,
    edge_dir: str = "in",
    prob: Any = None,
    mask: Any = None,
    *,
    needed: Collection[Relation] | None = None,
) -> EdgePools:
    """:func:`edge_pool` of each relation; those that lack the column named have no weights or mask.

    The pools of relations that are not ``needed`` have no edges: nothing is prepared for these.

    Raises
    ------
    KeyError
        No relation has the column.
    ValueError
        A tensor for several relations, and as :func:`edge_pool`.
    """
    relations = g.relations
    if len(relations) == 1:
        ((relation, one),) = relations.items()
        return EdgePools(g, {relation: edge_pool(one, edge_dir, prob, mask)}, edge_dir)
    for name, value in (("prob", prob), ("mask", mask)):
        if isinstance(value, Tensor):
            raise ValueError(
                f"{name}: expected the name of an edge column, got a tensor; there are"
                f" {len(relations)} types of edges"
            )
        if value is not None and not any(value in one.edge_frame for one in relations.values()):
            raise KeyError(f"{name}: no type of edges has a column {value!r}")
    pools = {}
    for relation, one in relations.items():
        if needed is not None and relation not in needed:
            pools[relation] = _no_edges(one, edge_dir)
            continue
        columns = [x if x in one.edge_frame else None for x in (prob, mask)]
        pools[relation] = edge_pool(one, edge_dir, *columns, what=f" of {relation!r}")
    return EdgePools(g, pools, edge_dir)


def _no_edges(g: GraphBase, edge_dir: str) -> EdgePool:
    """A pool without edges, for a relation that nothing is drawn of."""
    ends = g.num_src_nodes(), g.num_dst_nodes()
    num_src, num_dst = ends if edge_dir == "in" else ends[::-1]
    none = g.adjacency.indices[:0]
    indptr = torch.zeros(1, dtype=torch.int64, device=g.device)
    return EdgePool(Adjacency(indptr, none, None, num_src, num_dst, none), g.num_edges())


def edge_values(g: GraphBase, name: str, value: object) -> Tensor | None:
    """One number for each edge, from an edge column or its name; checked."""
    if value is None:
        return None
    if isinstance(value, str):
        column = g.edge_frame[value]
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
