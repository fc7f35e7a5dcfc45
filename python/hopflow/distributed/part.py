"""One part of a graph: the nodes that a rank owns, their in-edges and their columns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.structure.types import Schema


class PartEdges(NamedTuple):
    """In-edges of the nodes of one type that a part owns.

    Attributes
    ----------
    indptr : Tensor
        int64, shape [owned + 1].
    indices : Tensor
        Source of the edge at each position, the whole graph's id; int32 or int64. The edges of a
        node come in the order that they have in the whole graph: it fixes what draws mean.
    eids : Tensor
        The whole graph's id of the edge at each position.
    """

    indptr: Tensor
    indices: Tensor
    eids: Tensor


@dataclass(frozen=True)
class Part:
    """A part of a graph. Lists are by node type and by relation, in the order of ``schema``.

    Attributes
    ----------
    number, num_parts : int
        Which part this is, of how many.
    partition_id : str
        What all parts of one partitioning share.
    schema : Schema
        The types of the whole graph.
    idtype : torch.dtype
        Of the ids handed out.
    num_edges : list of int
        Edges of each relation in the whole graph.
    place : list of Tensor
        Of each node of a type its number in the order of the parts, shape [N].
    starts : list of Tensor
        Part ``p`` owns the numbers from ``starts[p]`` to ``starts[p + 1]``; shape [P + 1].
    ids : list of Tensor
        Nodes that the part owns, rising. What follows has a row for each of them.
    columns : list of dict
        Node columns.
    edges : list of PartEdges
        In-edges.
    edge_columns : list of dict
        Edge columns, a row for each of these edges.
    splits : dict
        ``{name: {ntype: ids}}`` of the whole graph.
    num_classes : int or None
        Of the labels.
    """

    number: int
    num_parts: int
    partition_id: str
    schema: Schema
    idtype: torch.dtype
    num_edges: list[int]
    place: list[Tensor]
    starts: list[Tensor]
    ids: list[Tensor]
    columns: list[dict[str, Tensor]]
    edges: list[PartEdges]
    edge_columns: list[dict[str, Tensor]]
    splits: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    num_classes: int | None = None

    def num_nodes(self, type_: int) -> int:
        """Nodes of a type in the whole graph."""
        return self.place[type_].shape[0]


def only_part(graph: Graph) -> Part:
    """A graph in memory as the only part of itself, without columns; nothing is copied."""
    schema, relations = graph.schema, list(graph.relations.values())
    counts = [graph.num_nodes(ntype) for ntype in schema.ntypes]
    every = [torch.arange(count, dtype=ops.id_dtype(count)) for count in counts]
    edges = []
    for one in relations:
        full = one.adjacency.full()
        eids = full.eids
        if eids is None:
            eids = torch.arange(full.num_edges, dtype=ops.id_dtype(full.num_edges))
        edges.append(PartEdges(full.indptr, full.indices, eids))
    return Part(
        0, 1, "in memory", schema, graph.idtype, [one.num_edges() for one in relations], every,
        [torch.tensor([0, count]) for count in counts], every, [{} for _ in counts], edges,
        [{} for _ in relations],
    )  # fmt: skip


def part_of(
    graph: Graph,
    assigned: Mapping[str, Tensor],
    number: int,
    num_parts: int,
    *,
    splits: Mapping[str, Any] | None = None,
    num_classes: int | None = None,
) -> Part:
    """Cut one part out of a graph that is in memory.

    Parameters
    ----------
    graph : Graph
        The whole graph.
    assigned : mapping
        Part of each node, ``{ntype: Tensor [N]}``.
    number, num_parts : int
        Which part, of how many.
    splits : mapping, optional
        ``{name: ids}``, or ``{name: {ntype: ids}}``.
    num_classes : int, optional
        Of the labels.
    """
    schema = graph.schema
    place, starts, owned = [], [], []
    for ntype in schema.ntypes:
        parts = assigned[ntype].long()
        order = torch.argsort(parts, stable=True)
        found = torch.empty_like(order)
        found[order] = torch.arange(order.shape[0])
        counts = torch.bincount(parts, minlength=num_parts)
        first = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        place.append(found.to(ops.id_dtype(order.shape[0])))
        starts.append(first)
        owned.append(order[first[number] : first[number + 1]].to(graph.idtype))
    of_type = dict(zip(schema.ntypes, owned))
    columns = [
        {name: frame[name][of_type[ntype].long()] for name in frame}
        for ntype, frame in graph.node_frames().items()
    ]
    edges, edge_columns = [], []
    for (_, _, dst), one in graph.relations.items():
        full = one.adjacency.full()
        indptr, indices, at = ops.sample_neighbors(
            full.indptr, full.indices, of_type[dst], -1, key=0
        )
        eids = at if full.eids is None else full.eids[at.long()]
        edges.append(PartEdges(indptr, indices, eids))
        edge_columns.append({name: one.edge_frame[name][eids.long()] for name in one.edge_frame})
    named = {
        name: dict(ids) if isinstance(ids, Mapping) else {schema.ntypes[0]: ids}
        for name, ids in (splits or {}).items()
    }
    kinds = [
        [(name, str(x.dtype), tuple(x.shape[1:])) for name, x in of.items()]
        for of in [*columns, *edge_columns]
    ]
    num_edges = [one.num_edges() for one in graph.relations.values()]
    # Lists alone: the order of a set differs from process to process.
    types = [*schema.ntypes], [*schema.relations]
    digest = hashlib.sha256(repr((types, str(graph.idtype), num_edges, kinds)).encode())
    for x in place:
        digest.update(x.numpy().tobytes())
    return Part(
        number, num_parts, f"in memory {digest.hexdigest()[:32]}", schema, graph.idtype,
        num_edges, place, starts, owned, columns,
        edges, edge_columns, named, num_classes,
    )  # fmt: skip


def order_by_part(owner: Tensor, order: Tensor, num_parts: int, batch_size: int) -> Tensor:
    """Seeds sorted so that full batches are of one part each, part after part in turn.

    Parameters
    ----------
    owner : Tensor
        Part of each seed of ``order``, shape [S].
    order : Tensor
        Seeds, shape [S]; those of a part keep their order.
    num_parts, batch_size : int
        Parts; seeds a batch.

    Returns
    -------
    Tensor
        Shape [S]. Batch ``b`` is of part ``b % num_parts`` while that has full batches left, else
        of the part that has most. What fills no batch comes last, part by part.
    """
    of_part = [order[owner == p] for p in range(num_parts)]
    left = [seeds.shape[0] // batch_size for seeds in of_part]
    taken = [0] * num_parts
    batches = []
    for turn in range(sum(left)):
        part = turn % num_parts
        if not left[part]:
            part = max(range(num_parts), key=lambda p: left[p])
        batches.append(of_part[part][taken[part] : taken[part] + batch_size])
        taken[part] += batch_size
        left[part] -= 1
    rests = [seeds[done:] for seeds, done in zip(of_part, taken)]
    return torch.cat([*batches, *rests]) if order.shape[0] else order


def ranks_of(part: Part) -> tuple[int, int]:
    """This rank and their number, which must be that of the parts.

    Raises
    ------
    HopflowError
        No process group, or another number of ranks.
    """
    if part.num_parts == 1 and not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    if not (dist.is_available() and dist.is_initialized()):
        raise ops.HopflowError(
            f"a graph in {part.num_parts} parts: expected a process group, got none; call"
            " torch.distributed.init_process_group() first (torchrun sets what it needs)"
        )
    if dist.get_world_size() != part.num_parts:
        raise ops.HopflowError(
            f"a graph in {part.num_parts} parts: expected as many ranks, got"
            f" {dist.get_world_size()}; partition it anew or start {part.num_parts} processes"
        )
    return dist.get_rank(), part.num_parts


def check_parts(part: Part, num_ranks: int, name: str) -> str:
    """All ranks together: every part once, of one partitioning; returns rank 0's ``name``.

    Ranks may have made other numbers of graphs before, and so have other names for this one.
    """
    if num_ranks == 1:
        return name
    every: list[Any] = [None] * num_ranks
    dist.all_gather_object(every, (part.number, part.partition_id, name))
    for rank, (number, partition_id, _) in enumerate(every):
        if partition_id != every[0][1]:
            raise ValueError(
                f"rank {rank} has a part of another partitioning than rank 0: {partition_id}, not"
                f" {every[0][1]}"
            )
        if number != rank:
            raise ValueError(f"rank {rank} has part {number}, expected part {rank}")
    return str(every[0][2])
