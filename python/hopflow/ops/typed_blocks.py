"""All hops of a mini-batch in one pass, on a graph of several node types and relations.

Node types and relations are known by their numbers here. Nodes of a type are numbered in order of
first appearance, relations taken in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._place import check_ids, on_cuda
from hopflow.ops._shapes import (
    INT32_MAX,
    as_wide_int,
    id_dtype,
    require_ids,
    require_same_device,
)
from hopflow.ops.compact import compact_ids, compact_ids_reference
from hopflow.ops.pinned import is_pinned
from hopflow.ops.relations import (
    Relation,
    RelationHop,
    SampledTypedBlocks,
    TypedHop,
    TypedNodes,
    require_fanouts,
    require_for_each_relation,
    require_relations,
)
from hopflow.ops.sample import sample_neighbors, sample_neighbors_reference

Drawn: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""In-edges by ``indptr``, their sources and positions, as :func:`sample_neighbors` returns them."""
Draw: TypeAlias = Callable[[int, Tensor, int, int], Drawn]
"""``draw(relation, nodes, fanout, key)``: in-edges of these nodes."""


class _Request(NamedTuple):
    """What to sample, checked."""

    relations: list[Relation]
    num_nodes: list[int]
    seeds: list[Tensor]
    fanouts: list[list[int]]
    keys: list[list[int]]
    idtype: torch.dtype


def _checked(
    relations: Sequence[Relation],
    num_nodes: Sequence[int],
    seeds: Sequence[Tensor],
    fanouts: Sequence[Sequence[int]],
    keys: Sequence[Sequence[int]],
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
    keys = require_for_each_relation("keys", keys, len(relations), as_wide_int)
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
    return _Request(relations, counts, seeds, fanouts, keys, idtype)


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
    asked = _checked(relations, num_nodes, seeds, fanouts, keys, idtype)
    if on_cuda(asked.seeds[0]):
        draw = _checked_draw(asked, sample_neighbors, replace)
        return _in_turn(draw, compact_ids, asked).mark(asked.relations, asked.num_nodes)
    arrays = _native.sample_blocks(
        asked.relations, asked.num_nodes, asked.seeds, asked.fanouts,
        [[key % 2**64 for key in of_hop] for of_hop in asked.keys], bool(replace),
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
    asked = _checked(relations, num_nodes, seeds, fanouts, keys, idtype)
    draw = _checked_draw(asked, sample_neighbors_reference, replace)
    return _in_turn(draw, compact_ids_reference, asked)


def sample_typed_blocks_with(
    draw: Draw,
    relations: Sequence[Relation],
    num_nodes: Sequence[int],
    seeds: Sequence[Tensor],
    fanouts: Sequence[Sequence[int]],
    *,
    keys: Sequence[Sequence[int]],
    idtype: torch.dtype = torch.int64,
) -> SampledTypedBlocks:
    """:func:`sample_typed_blocks` with edges that ``draw`` chooses, relation by relation.

    Parameters
    ----------
    draw : callable
        ``draw(relation, nodes, fanout, key)`` with the relation's number returns ``(indptr,
        sources, positions)`` as :func:`sample_neighbors` does. Not asked where the fanout is 0.
    relations, num_nodes, seeds, fanouts, keys, idtype
        As of :func:`sample_typed_blocks`; the sources that ``relations`` hold must be nodes.

    Raises
    ------
    IndexError, ValueError, TypeError
        As :func:`sample_typed_blocks`, and what ``draw`` raises.
    """
    asked = _checked(relations, num_nodes, seeds, fanouts, keys, idtype)
    return _in_turn(draw, compact_ids, asked).mark(asked.relations, asked.num_nodes)


def _in_turn(draw: Draw, compact: Callable[..., Any], asked: _Request) -> SampledTypedBlocks:
    """The hops from operators that do one relation in one hop."""
    wide = any(relation.indices.dtype == torch.int64 for relation in asked.relations)
    dtype = torch.int64 if wide else id_dtype(max(asked.num_nodes))

    def draw_hop(hop: int, at_start: Sequence[Tensor]) -> list[Drawn]:
        drawn: list[Drawn] = []
        for r, relation in enumerate(asked.relations):
            dst, fanout = at_start[relation.dst_type], asked.fanouts[hop][r]
            positions_dtype = id_dtype(relation.indices.shape[0])
            if fanout == 0:
                indptr = torch.zeros(dst.shape[0] + 1, dtype=torch.int64, device=dst.device)
                none = dst.new_empty(0)
                drawn.append((indptr, none, none.to(positions_dtype)))
                continue
            indptr, sources, positions = draw(r, dst, fanout, asked.keys[hop][r])
            drawn.append((indptr, sources.to(dtype), positions.to(positions_dtype)))
        return drawn

    ends = [(relation.src_type, relation.dst_type) for relation in asked.relations]
    return number_hops(
        draw_hop, ends, asked.seeds, len(asked.fanouts), dtype=dtype, idtype=asked.idtype,
        compact=compact,
    )  # fmt: skip


def number_hops(
    draw_hop: Callable[[int, Sequence[Tensor]], Sequence[Drawn]],
    ends: Sequence[tuple[int, int]],
    seeds: Sequence[Tensor],
    num_hops: int,
    *,
    dtype: torch.dtype,
    idtype: torch.dtype,
    compact: Callable[..., Any] = compact_ids,
) -> SampledTypedBlocks:
    """Blocks from edges that are chosen hop by hop, numbered as :func:`sample_typed_blocks` does.

    Parameters
    ----------
    draw_hop : callable
        ``draw_hop(hop, nodes)`` with the nodes of each type that are known at the hop's start
        returns of each relation ``(indptr, sources, positions)`` as :func:`sample_neighbors` does.
    ends : sequence of (int, int)
        Source type and destination type of each relation.
    seeds : sequence of Tensor
        Nodes of each type; may repeat.
    num_hops : int
        Hops to draw.
    dtype : torch.dtype
        Of sources, in which nodes are numbered.
    idtype : torch.dtype
        Of ``input_nodes`` and ``output_nodes``.
    compact : callable
        :func:`compact_ids`, or its reference.

    Raises
    ------
    ValueError
        A hop of more than 2^31 - 1 edges or nodes.
    """
    numbered = [compact(ids.to(dtype), ids[:0].to(dtype)) for ids in seeds]
    known: list[Tensor] = [distinct for distinct, _, _ in numbered]  # of each type
    distinct_seeds, hops = list(known), []
    for hop in range(num_hops):
        edges = []
        for r, (indptr, sources, positions) in enumerate(draw_hop(hop, list(known))):
            src_type = ends[r][0]
            if sources.shape[0]:
                known[src_type], _, numbers = compact(known[src_type], sources)
            else:
                numbers = sources
            most = max(sources.shape[0], known[src_type].shape[0])
            if most > INT32_MAX:
                name = f"relation {r}: " if len(ends) > 1 else ""
                raise ValueError(
                    f"{name}a hop of {sources.shape[0]} edges: a batch has at most 2^31 - 1; take"
                    " fewer seeds or smaller fanouts"
                )
            edges.append(RelationHop(indptr, numbers.int(), positions))
        hops.append(TypedHop(edges, [ids.shape[0] for ids in known]))
    nodes = [
        TypedNodes(
            ids.to(idtype), own.to(idtype),
            None if own.shape == given.shape else inverse.long(), ids,
        )
        for ids, own, given, (_, inverse, _) in zip(known, distinct_seeds, seeds, numbered)
    ]  # fmt: skip
    return SampledTypedBlocks(nodes, hops)


def _checked_draw(asked: _Request, sample: Callable[..., Any], replace: bool) -> Draw:
    """Draw by :func:`sample_neighbors`; errors name the relation, sources are looked at."""

    def draw(r: int, nodes: Tensor, fanout: int, key: int) -> tuple[Tensor, Tensor, Tensor]:
        relation = asked.relations[r]
        try:
            drawn: tuple[Tensor, Tensor, Tensor] = sample(
                relation.indptr, relation.indices, nodes, fanout, key=key, replace=replace
            )
        except ValueError as error:
            raise ValueError(f"{_name_of_relation(r, asked)}{error}") from None
        _require_nodes(r, asked, drawn[1], drawn[2])
        return drawn

    return draw


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
