"""The columns of a batch: rows of the own part, of the cache, and of other parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.read_history import explicit_columns
from hopflow.distributed.lane import Lane, tag_of
from hopflow.structure.frame import Column, Take

if TYPE_CHECKING:
    from hopflow.distributed.graph import PartitionedGraph


_CHUNK_ROWS = 1 << 16  # rows fetched at a time


@dataclass(frozen=True)
class Wanted:
    """Columns of one node type, of the nodes that ``level`` hops reach, from the same places."""

    type: int
    level: int
    names: tuple[str, ...]
    is_cached: bool


def fetch_rows(
    graph: PartitionedGraph,
    lane: Lane,
    ids: Tensor,
    type_: int,
    columns: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Rows of columns that every rank holds for the nodes that it owns; every rank calls this.

    Parameters
    ----------
    graph : PartitionedGraph
        Whose nodes they are.
    lane : Lane
        What to exchange through.
    ids : Tensor
        Nodes of the whole graph, shape [S]; they may differ from rank to rank.
    type_ : int
        Their type.
    columns : dict of Tensor
        The part's rows, alike on every rank but for their number.

    Returns
    -------
    dict of Tensor
        Rows of ``ids``, shape [S, ...].
    """
    one = Wanted(type_, 0, tuple(columns), False)
    return _exchange(graph, lane, [one], [ids], lambda _, name: columns[name])[0]


def fetch_in_chunks(
    graph: PartitionedGraph,
    lane: Lane,
    ids: Tensor,
    type_: int,
    columns: dict[str, Tensor],
) -> dict[str, Tensor]:
    """:func:`fetch_rows` of many rows, so many at a time that buffers stay small."""
    most = torch.tensor([ids.shape[0]])
    most = lane.reduced(most, dist.ReduceOp.MAX)
    found = {name: x.new_empty((ids.shape[0], *x.shape[1:])) for name, x in columns.items()}
    for begin in range(0, int(most), _CHUNK_ROWS):
        rows = fetch_rows(graph, lane, ids[begin : begin + _CHUNK_ROWS], type_, columns)
        for name, value in rows.items():
            found[name][begin : begin + _CHUNK_ROWS] = value
    return found


def bring_columns(
    graph: PartitionedGraph, lane: Lane, sampler: Any, sampled: ops.SampledTypedBlocks
) -> Callable[[int, str], Take]:
    """Get the columns that a sampler asks for, or all; what blocks read them with.

    Raises
    ------
    KeyError
        A column that the graph lacks.
    ValueError
        Edge columns are asked for.
    """
    wanted = wanted_columns(graph, sampler, len(sampled.hops))
    ids = [_nodes_at(sampled, one) for one in wanted]
    columns = graph.part.columns
    found = _exchange(graph, lane, wanted, ids, lambda t, name: columns[t][name])
    rows: dict[tuple[str, str], Tensor] = {}
    for one, of_group in zip(wanted, found):
        for name, value in of_group.items():
            rows[graph.schema.ntypes[one.type], name] = value
    is_taken: set[tuple[str, str]] = set()

    def take(level: int, ntype: str) -> Take:
        def rows_of(name: str, column: Column, ids: Tensor) -> Tensor:
            key = (ntype, name)
            value = rows.get(key)
            if value is None or value.shape[0] < ids.shape[0]:
                return column.read() if not isinstance(column, Tensor) else column  # says why not
            if value.shape[0] == ids.shape[0] and key not in is_taken:
                is_taken.add(key)
                return value
            # Two columns of one batch must not share their memory.
            return value[: ids.shape[0]].clone()

        return rows_of

    return take


def wanted_columns(graph: PartitionedGraph, sampler: Any, num_hops: int) -> list[Wanted]:
    """What to get, the same on every rank."""
    columns, ntypes = graph.part.columns, graph.schema.ntypes
    if sampler.prefetch_edge_feats:
        raise ValueError(
            "prefetch_edge_feats: expected none for a graph in parts, whose edge columns do not"
            f" come with batches yet, got {sampler.prefetch_edge_feats!r}"
        )
    keys = [(t, level, name) for level, t, name in explicit_columns(sampler, graph.schema.ntypes)]
    if not keys:
        keys = [(t, num_hops, name) for t, of in zip(ntypes, columns) for name in of]
    # A column is got once, for the nodes that most hops reach.
    deepest: dict[tuple[str, str], int] = {}
    for ntype, level, name in keys:
        deepest[ntype, name] = max(level, deepest.get((ntype, name), 0))
    keys = [(ntype, level, name) for (ntype, name), level in deepest.items()]
    groups: dict[tuple[int, int, bool], list[str]] = {}
    every = len(ntypes) > 1 and not isinstance(sampler.prefetch_node_feats, dict)
    for ntype, level, name in keys:
        t = ntypes.index(ntype)
        if name not in columns[t]:
            if every and any(name in of for of in columns):
                continue  # a name alone means the types that have it
            known = ", ".join(map(repr, columns[t])) or "none"
            raise KeyError(f"no node column {name!r}; there is {known}")
        is_cached = name in graph.caches.columns(t)
        names = groups.setdefault((t, level, is_cached), [])
        if name not in names:
            names.append(name)
    return [Wanted(t, level, tuple(names), c) for (t, level, c), names in groups.items()]


def _nodes_at(sampled: ops.SampledTypedBlocks, one: Wanted) -> Tensor:
    nodes = sampled.nodes[one.type]
    if one.level == 0:
        count = nodes.output_nodes.shape[0]
    else:
        count = sampled.hops[one.level - 1].num_src[one.type]
    return nodes.src_ids[:count]


def _exchange(
    graph: PartitionedGraph,
    lane: Lane,
    wanted: list[Wanted],
    ids: list[Tensor],
    column_of: Callable[[int, str], Tensor],
) -> list[dict[str, Tensor]]:
    """Rows of each group; ids in one message, then the exchanges of rows side by side."""
    part, me, ranks = graph.part, lane.rank, range(lane.num_ranks)
    splits = []
    for one, nodes in zip(wanted, ids):
        slots = graph.caches.slots(one.type) if one.is_cached else None
        split = ops.split_by_owner(nodes, part.place[one.type], part.starts[one.type], slots)
        splits.append((split, split.offsets.tolist()))
        sizes = split.offsets.diff()[: lane.num_ranks]
        own = int(sizes[me])
        cached = split.offsets.tolist()[-1] - split.offsets.tolist()[lane.num_ranks]
        lane.traffic.local_rows += own
        lane.traffic.cached_rows += cached
        lane.traffic.remote_rows += nodes.shape[0] - own - cached
    counts = torch.tensor(
        [[at[p + 1] - at[p] if p != me else 0 for _, at in splits] for p in ranks],
        dtype=torch.int64,
    ).view(lane.num_ranks, len(wanted))
    kinds = [
        (one.type, one.level, name, str(x.dtype), tuple(x.shape[1:]))
        for one in wanted
        for name, x in ((name, column_of(one.type, name)) for name in one.names)
    ]
    tag = tag_of("columns", kinds)
    told, bodies = lane.tell(
        tag, counts,
        [[split.rows[at[p] : at[p + 1]] for split, at in splits] if p != me else [] for p in ranks],
        "ids",
    )  # fmt: skip
    asked = told.tolist()
    exchanges = []
    for g, (split, _) in enumerate(splits):
        rows = torch.cat([bodies[p].take(asked[p][g], split.rows.dtype) for p in ranks])
        for name in wanted[g].names:
            answer = ops.gather_rows(column_of(wanted[g].type, name), rows)
            exchanges.append(
                lane.exchange(
                    answer, [of_rank[g] for of_rank in asked], counts[:, g].tolist(), "rows"
                )
            )
    found: list[dict[str, Tensor]] = []
    arrived = iter(exchanges)
    for g, one in enumerate(wanted):
        split, at = splits[g]
        of_group = {}
        for name in one.names:
            came = next(arrived).wait()
            pieces: list[tuple[Tensor, Tensor | None]] = [
                (came[: at[me]], None),
                (column_of(one.type, name), split.rows[at[me] : at[me + 1]]),
                (came[at[me] :], None),
            ]
            if one.is_cached:
                pieces.append((graph.caches.rows(one.type, name), split.rows[at[lane.num_ranks] :]))
            of_group[name] = ops.join_rows(pieces, split.slots)
        found.append(of_group)
    return found
