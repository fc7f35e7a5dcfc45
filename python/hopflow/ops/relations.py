"""Relations of a graph of several node types, and the hops sampled from them, as arrays.

Node types and relations are known by their numbers here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._place import mark, mark_csc
from hopflow.ops._shapes import INT32_MAX, as_int, dtype_name, require_ids
from hopflow.ops.blocks import BlockArrays


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
    return int(_native.relation_key(key % 2**64, relation % 2**64))


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
    checked = require_for_each_relation(name, fanouts, num_relations)
    for h, of_hop in enumerate(checked):
        for r, fanout in enumerate(of_hop):
            if not -1 <= fanout <= INT32_MAX:
                raise ValueError(
                    f"{name}[{h}][{r}]: expected -1 (all) or a count from 0 to 2^31 - 1, got"
                    f" {fanout}"
                )
    return checked


def require_for_each_relation(
    name: str,
    values: Sequence[Sequence[int]],
    num_relations: int,
    as_number: Callable[[str, object], int] = as_int,
) -> list[list[int]]:
    """Numbers as lists of int, one for each relation in each hop."""
    checked = []
    for h, of_hop in enumerate(values):
        if len(of_hop) != num_relations:
            raise ValueError(
                f"{name}[{h}]: expected one for each of {num_relations} relations, got"
                f" {len(of_hop)}"
            )
        checked.append([as_number(f"{name}[{h}][{r}]", value) for r, value in enumerate(of_hop)])
    return checked
