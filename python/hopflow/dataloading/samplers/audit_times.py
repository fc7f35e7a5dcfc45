"""Proof, batch by batch, that a temporal sampler has looked at nothing later than its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.graphs.block import Block
from hopflow.structure.frame import EID, NID, SEED_TIME, Frame
from hopflow.structure.types import Relation


def audit_times(
    blocks: Sequence[Block],
    *,
    edge_time: Any = None,
    node_time: Any = None,
    strict: bool = False,
    seeds: bool = True,
) -> int:
    """Check every edge of a batch, and every node that one leads to, against its seed's time.

    It knows nothing of how the batch was sampled: it reads the blocks' edges, their times in the
    graph and ``seed_time`` of their rows, and compares. A row must also have the time of the row
    that it is a neighbour of, so that the time is the seed's own over all hops.

    Parameters
    ----------
    blocks : sequence of Block
        The blocks of one batch of a :class:`TemporalNeighborSampler`.
    edge_time : str, Tensor or dict, optional
        The name of the graph's edge column of times, or the column itself, one time an edge of the
        *graph*; by type ``{edge type: name, tensor or None}``.
    node_time : str, Tensor or dict, optional
        Likewise of nodes.
    strict : bool
        What has the seed's own time is too late.
    seeds : bool
        Check the seeds' own node times too, which may be equal to theirs under ``strict``. False
        where seeds may be asked about before they exist, such as the ends of negative pairs.

    Returns
    -------
    int
        The number of edges looked at.

    Raises
    ------
    ValueError
        An edge, a source node or a seed is later than it may be; the message names it and the
        times. Or blocks that have no times, or whose rows do not follow from each other.
    KeyError
        A column that the graph lacks.
    """
    if edge_time is None and node_time is None:
        raise ValueError("edge_time, node_time: expected one of them at least, got neither")
    if not blocks:
        raise ValueError("blocks: expected one at least, got none")
    looked_at = 0
    for layer, block in enumerate(blocks):
        for relation, one in block.relations.items():
            looked_at += _audit_edges(layer, block, relation, one, edge_time, node_time, strict)
        if layer:
            _audit_rows(layer, blocks[layer - 1], block)
    if seeds and node_time is not None:
        _audit_seeds(blocks[-1], node_time)
    return looked_at


def _audit_edges(
    layer: int,
    block: Block,
    relation: Relation,
    one: Any,
    edge_time: Any,
    node_time: Any,
    strict: bool,
) -> int:
    """The edges of one relation of a block."""
    sources = block.node_frame(relation[0], side="src")
    destinations = block.node_frame(relation[2], side="dst")
    u, v = one.adjacency.coo()
    eids = one.edge_frame[EID]
    limits = _times_of_rows(destinations, layer)[v.long()]
    u = u.long()

    def named(at: int) -> str:
        of_type = "" if len(block.relations) == 1 else f" of {relation!r}"
        nodes = int(sources[NID][u[at]]), int(destinations[NID][int(v[at])])
        return (
            f"block {layer}: edge {int(eids[at])}{of_type} from node {nodes[0]} to node {nodes[1]}"
        )

    is_other = _times_of_rows(sources, layer)[u] != limits
    if bool(is_other.any()):
        at = int(is_other.nonzero()[0])
        raise ValueError(f"{named(at)} leads from one seed's time to another's")
    for what, times in (
        ("", _values(one.edge_frame, EID, edge_time, relation)),
        ("'s source node", _values(sources, NID, node_time, relation[0], u)),
    ):
        if times is None:
            continue
        is_late = ~(times < limits) if strict else ~(times <= limits)
        if bool(is_late.any()):
            at = int(is_late.nonzero()[0])
            rule = "before" if strict else "not after"
            raise ValueError(
                f"{named(at)}{what} has time {times[at].item()}; expected one {rule} its seed's,"
                f" {limits[at].item()}"
            )
    return int(eids.shape[0])


def _audit_rows(layer: int, before: Block, block: Block) -> None:
    """Source rows are the destination rows of the block before, and begin with the block's own."""
    for ntype in block.srctypes:
        here = block.node_frame(ntype, side="src")
        for frame, what in (
            (before.node_frame(ntype, side="dst"), f"destinations of block {layer - 1}"),
            (block.node_frame(ntype, side="dst"), f"destinations of block {layer}"),
        ):
            count = frame.num_rows
            for name in (NID, SEED_TIME):
                if not torch.equal(frame[name], here[name][:count]):
                    raise ValueError(f"block {layer}: source rows do not begin with the {what}")
        if before.node_frame(ntype, side="dst").num_rows != here.num_rows:
            raise ValueError(
                f"block {layer}: expected its {here.num_rows} source rows as destinations of block"
                f" {layer - 1}, got {before.node_frame(ntype, side='dst').num_rows}"
            )


def _audit_seeds(block: Block, node_time: Any) -> None:
    for ntype in block.dsttypes:
        frame = block.node_frame(ntype, side="dst")
        times = _values(frame, NID, node_time, ntype)
        limits = _times_of_rows(frame, -1)
        if times is None:
            continue
        is_late = ~(times <= limits)
        if bool(is_late.any()):
            at = int(is_late.nonzero()[0])
            raise ValueError(
                f"seed {int(frame[NID][at])} has time {times[at].item()}; expected one not after"
                f" {limits[at].item()}, at which it is asked about"
            )


def _times_of_rows(frame: Frame, layer: int) -> Tensor:
    if SEED_TIME not in frame:
        raise ValueError(
            f"block {layer}: expected a column {SEED_TIME!r} of each {frame.what}, as blocks of a"
            " TemporalNeighborSampler have, got none"
        )
    return frame[SEED_TIME]


def _values(
    frame: Frame, id_name: str, value: Any, of_type: Any, rows: Tensor | None = None
) -> Tensor | None:
    """Times of the rows of a frame, from the graph's column."""
    if isinstance(value, Mapping):
        if of_type not in value and isinstance(of_type, tuple) and of_type[1] in value:
            of_type = of_type[1]
        value = value.get(of_type)
    if value is None:
        return None
    times = frame[value] if isinstance(value, str) else ops.gather_rows(value, frame[id_name])
    return times if rows is None else times[rows]
