"""All hops of a mini-batch in one pass, on a graph of several node types and relations.

Node types and relations are known by their numbers here. Nodes of a type are numbered in order of
first appearance, relations taken in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._place import check_ids, mark, mark_csc, on_cuda
from hopflow.ops._shapes import (
    INT32_MAX,
    as_int,
    dtype_name,
    id_dtype,
    require_ids,
    require_same_device,
)
from hopflow.ops.blocks import BlockArrays
from hopflow.ops.compact import compact_ids, compact_ids_reference
from hopflow.ops.pinned import is_pinned
from hopflow.ops.sample import sample_neighbors, sample_neighbors_reference

_MASK64 = 2**64 - 1


class Relation(NamedTuple):
    """In-edges (CSC) of the nodes of one type, from nodes of one type, perhaps the same.

    Attributes
    ----------
    indptr : Tensor
        int64, shape [N + 1] with N nodes of ``dst_type``.
    indices : Tensor
        Source of the edge at each position, a node of ``src_type``, shape [E], int32 or int64.
    src_type, dst_type : int
        Numbers of the node types.
    """

    indptr: Tensor
    indices: Tensor
    src_type: int
    dst_type: int


class RelationHop(NamedTuple):
    """The edges of one relation in one hop: in-edges of the V nodes known at the hop's start.

    Attributes
    ----------
    indptr : Tensor
        int64, shape [V + 1].
    indices : Tensor
        Source of each edge as a number among the nodes of its type, int32, shape [E].
    positions : Tensor
        Where each edge is in the relation's CSC, shape [E]; int32 if the relation's edges allow.
    """

    indptr: Tensor
    indices: Tensor
    positions: Tensor


class TypedHop(NamedTuple):
    """One hop.

    Attributes
    ----------
    relations : list of RelationHop
        The edges of each relation.
    num_src : list of int
        Nodes of each type that are known at the end of the hop. The first of them, as many as were
        known at the end of the hop before (of the first hop: the distinct seeds), are its
        destinations.
    """

    relations: list[RelationHop]
    num_src: list[int]


class TypedNodes(NamedTuple):
    """The nodes of one type in a batch.

    Attributes
    ----------
    input_nodes : Tensor
        Ids of all of them, in order of first appearance.
    output_nodes : Tensor
        The distinct seeds of this type.
    seed_inverse : Tensor or None
        Row of each given seed, int64; None if the seeds were distinct.
    src_ids : Tensor
        ``input_nodes`` as the kernels take them: int32, but int64 for all types if some relation's
        ``indices`` are or some type has more nodes than int32 can number.
    """

    input_nodes: Tensor
    output_nodes: Tensor
    seed_inverse: Tensor | None
    src_ids: Tensor


class SampledTypedBlocks(NamedTuple):
    """The hops of one batch, over one numbering of the nodes of each type.

    Attributes
    ----------
    nodes : list of TypedNodes
        Of each type.
    hops : list of TypedHop
        From the seeds outwards.
    """

    nodes: list[TypedNodes]
    hops: list[TypedHop]

    def mark(self, relations: Sequence[Relation], num_nodes: Sequence[int]) -> SampledTypedBlocks:
        """Spare the arrays, sampled from this graph, checks on CUDA; returns itself."""
        for nodes, count in zip(self.nodes, num_nodes):
            for ids in (nodes.input_nodes, nodes.output_nodes, nodes.src_ids):
                mark(ids, "ids", count)
        for hop in self.hops:
            for relation, edges in zip(relations, hop.relations):
                mark_csc(edges.indptr, edges.indices, None, hop.num_src[relation.src_type])
                mark(edges.positions, "ids", relation.indices.shape[0])
        return self

    @classmethod
    def of(cls, arrays: BlockArrays) -> SampledTypedBlocks:
        """What the native module returns, with names."""
        nodes, hops = arrays
        return cls(
            [TypedNodes(*of_type) for of_type in nodes],
            [
                TypedHop([RelationHop(*edges) for edges in relations], num_src)
                for relations, num_src in hops
            ],
        )


def relation_key(key: int, relation: int) -> int:
    """The key of one relation in the hop with this key, for :func:`sample_typed_blocks`.

    That of relation 0 is ``key`` itself, so that a graph of one relation draws as if there were no
    relations. Both arguments count modulo 2**64.
    """
    return int(_native.relation_key(key & _MASK64, relation & _MASK64))


def require_relations(
    relations: Sequence[Relation], num_nodes: Sequence[int]
) -> tuple[list[Relation], list[int]]:
    """The relations with contiguous arrays, and the numbers of nodes; raises naming what is wrong.

    What the arrays hold is checked where it is read.
    """
    counts = [as_int(f"num_nodes[{t}]", count) for t, count in enumerate(num_nodes)]
    if not counts:
        raise ValueError("num_nodes: expected one for each node type, got none")
    for t, count in enumerate(counts):
        if count < 0:
            raise ValueError(f"num_nodes[{t}]: expected at least 0, got {count}")
    return [_require_relation(r, relation, counts) for r, relation in enumerate(relations)], counts


def _require_relation(r: int, relation: Relation, num_nodes: list[int]) -> Relation:
    indptr = require_ids(f"relation {r}: indptr", relation[0])
    indices = require_ids(f"relation {r}: indices", relation[1])
    if indptr.dtype != torch.int64:
        raise TypeError(f"relation {r}: indptr: expected int64, got {dtype_name(indptr.dtype)}")
    types = []
    for name, value in (("src_type", relation[2]), ("dst_type", relation[3])):
        number = as_int(f"relation {r}: {name}", value)
        if not 0 <= number < len(num_nodes):
            raise ValueError(
                f"relation {r}: {name}: expected 0 to {len(num_nodes) - 1}, got {number}"
            )
        types.append(number)
    src_type, dst_type = types
    if indptr.shape[0] != num_nodes[dst_type] + 1:
        raise ValueError(
            f"relation {r}: indptr: expected {num_nodes[dst_type] + 1} elements, one more than"
            f" nodes of type {dst_type}, got {indptr.shape[0]}"
        )
    return Relation(indptr, indices, src_type, dst_type)


def require_fanouts(
    fanouts: Sequence[Sequence[int]], num_relations: int, name: str = "fanouts"
) -> list[list[int]]:
    """Fanouts as lists of int, one for each relation in each hop."""
    checked = _for_each_relation(name, fanouts, num_relations)
    for h, of_hop in enumerate(checked):
        for r, fanout in enumerate(of_hop):
            if not -1 <= fanout <= INT32_MAX:
                raise ValueError(
                    f"{name}[{h}][{r}]: expected -1 (all) or a count from 0 to 2^31 - 1, got"
                    f" {fanout}"
                )
    return checked


def _for_each_relation(
    name: str, values: Sequence[Sequence[int]], num_relations: int
) -> list[list[int]]:
    checked = []
    for h, of_hop in enumerate(values):
        if len(of_hop) != num_relations:
            raise ValueError(
                f"{name}[{h}]: expected one for each of {num_relations} relations, got"
                f" {len(of_hop)}"
            )
        checked.append([as_int(f"{name}[{h}][{r}]", value) for r, value in enumerate(of_hop)])
    return checked


class _Request(NamedTuple):
    """What :func:`sample_typed_blocks` was asked for, checked."""

    relations: list[Relation]
    num_nodes: list[int]
    seeds: list[Tensor]
    fanouts: list[list[int]]
    keys: list[list[int]]
    replace: bool
    idtype: torch.dtype


def _checked(
    relations: Sequence[Relation],
    num_nodes: Sequence[int],
    seeds: Sequence[Tensor],
    fanouts: Sequence[Sequence[int]],
    keys: Sequence[Sequence[int]],
    replace: bool,
    idtype: torch.dtype,
) -> _Request:
    relations, counts = require_relations(relations, num_nodes)
    if len(seeds) != len(counts):
        raise ValueError(
            f"seeds: expected one tensor for each of {len(counts)} node types, got {len(seeds)}"
        )
    fanouts = require_fanouts(fanouts, len(relations))
    if len(keys) != len(fanouts):
        raise ValueError(f"keys: expected one for each of {len(fanouts)} hops, got {len(keys)}")
    keys = _for_each_relation("keys", keys, len(relations))
    if idtype not in (torch.int32, torch.int64):
        raise TypeError(f"idtype: expected torch.int32 or torch.int64, got {idtype}")
    seeds = [require_ids(_name_of_seeds(t, counts), ids) for t, ids in enumerate(seeds)]
    for t, ids in enumerate(seeds):
        name = _name_of_seeds(t, counts)
        require_same_device(name, ids, _name_of_seeds(0, counts), seeds[0])
        check_ids(name, ids, counts[t], f"nodes of type {t}", everywhere=True)
    for r, relation in enumerate(relations):
        for part, ids in (("indptr", relation.indptr), ("indices", relation.indices)):
            # A GPU also reads page-locked host memory, and nothing of what is empty.
            if on_cuda(seeds[0]) and (ids.numel() == 0 or is_pinned(ids)):
                continue
            require_same_device(f"relation {r}: {part}", ids, "seeds", seeds[0])
    return _Request(relations, counts, seeds, fanouts, keys, bool(replace), idtype)


def _name_of_seeds(t: int, num_nodes: list[int]) -> str:
    return "seeds" if len(num_nodes) == 1 else f"seeds of type {t}: seeds"


def sample_typed_blocks(
    relations: Sequence[Relation],
    num_nodes: Sequence[int],
    seeds: Sequence[Tensor],
    fanouts: Sequence[Sequence[int]],
    *,
    keys: Sequence[Sequence[int]],
    replace: bool = False,
    idtype: torch.dtype = torch.int64,
) -> SampledTypedBlocks:
    """Sample the neighbourhood of the seeds hop by hop, over all relations.

    In a hop every relation leads to the nodes of its destination type that are known at the hop's
    start. New sources are appended to the nodes of their type, one relation after the other. The
    result never depends on the number of threads. With one type and one relation it is that of
    :func:`sample_blocks`.

    Parameters
    ----------
    relations : sequence of Relation
        In-edges by relation.
    num_nodes : sequence of int
        Nodes of each type.
    seeds : sequence of Tensor
        Nodes of each type, shape [S], int32 or int64; may repeat, may be none.
    fanouts : sequence of sequence of int
        From the seeds outwards, of each hop one for each relation: in-edges kept a node; -1 keeps
        all, 0 none.
    keys : sequence of sequence of int
        Likewise, the randomness of each: :func:`relation_key`.
    replace : bool
        Draw with replacement.
    idtype : torch.dtype
        int32 or int64: dtype of ``input_nodes`` and ``output_nodes``.

    Raises
    ------
    IndexError
        A seed is not a node of its type.
    ValueError, TypeError
        A fanout below -1, arrays that are no CSC, wrong dtypes, dimensions, devices, numbers of
        types or lengths.

    Notes
    -----
    With ``seeds`` on CUDA the work is done there, relation by relation, with the same result;
    ``indptr`` and ``indices`` may then be in page-locked host memory.
    """
    asked = _checked(relations, num_nodes, seeds, fanouts, keys, replace, idtype)
    if on_cuda(asked.seeds[0]):
        sampled = _one_by_one(asked, sample_neighbors, compact_ids)
        return sampled.mark(asked.relations, asked.num_nodes)
    arrays = _native.sample_blocks(
        asked.relations, asked.num_nodes, asked.seeds, asked.fanouts,
        [[key & _MASK64 for key in of_hop] for of_hop in asked.keys], asked.replace,
        idtype == torch.int64,
    )  # fmt: skip
    return SampledTypedBlocks.of(arrays)


def sample_typed_blocks_reference(
    relations: Sequence[Relation],
    num_nodes: Sequence[int],
    seeds: Sequence[Tensor],
    fanouts: Sequence[Sequence[int]],
    *,
    keys: Sequence[Sequence[int]],
    replace: bool = False,
    idtype: torch.dtype = torch.int64,
) -> SampledTypedBlocks:
    """What :func:`sample_typed_blocks` computes, bit for bit: one hop, relation, draw at a time."""
    asked = _checked(relations, num_nodes, seeds, fanouts, keys, replace, idtype)
    return _one_by_one(asked, sample_neighbors_reference, compact_ids_reference)


def _one_by_one(
    asked: _Request, sample: Callable[..., Any], compact: Callable[..., Any]
) -> SampledTypedBlocks:
    """The hops from operators that do one relation in one hop."""
    wide = any(relation.indices.dtype == torch.int64 for relation in asked.relations)
    dtype = torch.int64 if wide else id_dtype(max(asked.num_nodes))
    known: list[Tensor] = []  # of each type
    inverses: list[Tensor | None] = []
    for given in asked.seeds:
        distinct, numbers, _ = compact(given.to(dtype), given[:0].to(dtype))
        known.append(distinct)
        inverses.append(None if distinct.shape == given.shape else numbers.long())
    distinct_seeds = list(known)
    hops = []
    for fanouts, keys in zip(asked.fanouts, asked.keys):
        at_start = list(known)
        edges = []
        for r, (relation, fanout, key) in enumerate(zip(asked.relations, fanouts, keys)):
            dst = at_start[relation.dst_type]
            positions_dtype = id_dtype(relation.indices.shape[0])
            if fanout == 0:
                indptr = torch.zeros(dst.shape[0] + 1, dtype=torch.int64, device=dst.device)
                none = dst.new_empty(0, dtype=torch.int32)
                edges.append(RelationHop(indptr, none, none.to(positions_dtype)))
                continue
            try:
                indptr, sources, positions = sample(
                    relation.indptr, relation.indices, dst, fanout, key=key, replace=asked.replace
                )
            except ValueError as error:
                raise ValueError(f"{_name_of_relation(r, asked)}{error}") from None
            _require_nodes(r, asked, sources, positions)
            known[relation.src_type], _, numbers = compact(
                known[relation.src_type], sources.to(dtype)
            )
            most = max(sources.shape[0], known[relation.src_type].shape[0])
            if most > INT32_MAX:
                raise ValueError(
                    f"{_name_of_relation(r, asked)}a hop of {sources.shape[0]} edges: a batch has"
                    " at most 2^31 - 1; take fewer seeds or smaller fanouts"
                )
            edges.append(RelationHop(indptr, numbers.int(), positions.to(positions_dtype)))
        hops.append(TypedHop(edges, [ids.shape[0] for ids in known]))
    nodes = [
        TypedNodes(ids.to(asked.idtype), own_seeds.to(asked.idtype), inverse, ids)
        for ids, own_seeds, inverse in zip(known, distinct_seeds, inverses)
    ]
    return SampledTypedBlocks(nodes, hops)


def _name_of_relation(r: int, asked: _Request) -> str:
    return f"relation {r}: " if len(asked.relations) > 1 else ""


def _require_nodes(r: int, asked: _Request, sources: Tensor, positions: Tensor) -> None:
    """Raise a ValueError unless what ``indices`` holds at these positions are nodes."""
    src_type = asked.relations[r].src_type
    num_nodes = asked.num_nodes[src_type]
    wrong = (sources < 0) | (sources >= num_nodes)
    if not bool(wrong.any()):
        return
    at = int(wrong.nonzero()[0])
    whose = f"type {src_type}" if len(asked.num_nodes) > 1 else "the graph"
    raise ValueError(
        f"{_name_of_relation(r, asked)}indices[{int(positions[at])}] is {int(sources[at])}, but"
        f" {whose} has {num_nodes} nodes"
    )
