"""Which rows of columns on disk a loader's batches are most likely to want."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.indices import Indices
from hopflow.dataloading.report import LargerCache
from hopflow.dataloading.samplers.neighbor_sampler import NeighborSampler
from hopflow.graphs.graph import Graph
from hopflow.sampling.hit_rates import ChanceBins
from hopflow.sampling.inclusion import expected_inclusion, most_likely
from hopflow.storage.disk_column import DiskColumn
from hopflow.storage.encoded_column import EncodedColumn


@dataclass(frozen=True)
class KeptRows:
    """What the cache of a column on disk was told to keep.

    Attributes
    ----------
    rows : int
        Rows kept.
    memory : int
        Bytes of the cache.
    expected_hit_rate : float
        Share of a batch's rows that are expected to be among them.
    """

    rows: int
    memory: int
    expected_hit_rate: float


def keep_expected_rows(
    graph: Graph,
    indices: Any,
    sampler: NeighborSampler,
    *,
    batch_size: int,
    fill: bool = True,
) -> dict[tuple[str, str], KeptRows]:
    """Fill the caches of columns on disk with the rows that batches are most likely to want.

    How likely a node is to be in a batch is computed from the graph (:func:`expected_inclusion`):
    one pass over the edges for each hop. From then on the caches keep these rows alone. For seeds
    that are visited again and again this has more hits than the rows used last.

    Parameters
    ----------
    graph : Graph
        With node columns that are a :class:`DiskColumn` with a cache.
    indices : Tensor, numpy array, sequence of int or dict
        The nodes that batches are made of, as the loader takes them.
    sampler : NeighborSampler
        What makes the batches.
    batch_size : int
        Seeds a batch.
    fill : bool
        Read the rows now, in the order of the file; otherwise each when it is first wanted.

    Returns
    -------
    dict
        By node type and name of the column.

    Raises
    ------
    TypeError
        Another sampler.
    ValueError
        The graph has no such column; no nodes to make batches of.
    """
    if not isinstance(sampler, NeighborSampler):
        raise TypeError(f"sampler: expected a NeighborSampler, got {type(sampler).__name__}")
    columns = {key: x for key, x in disk_columns(graph).items() if x.capacity}
    if not columns:
        raise ValueError("graph: expected a node column on disk that has a cache, got none")
    chances = node_chances(graph, indices, sampler, batch_size)
    bins = [ChanceBins(chance) for chance in chances]
    key = _note(graph, indices, sampler, batch_size, bins)
    found = {}
    for (ntype, name), column in columns.items():
        t = graph.schema.ntypes.index(ntype)
        ids = most_likely(chances[t], column.capacity)
        (rate,) = bins[t].fixed_hit_rates([column.capacity])
        found[ntype, name] = KeptRows(ids.shape[0], column.report().memory, rate)
        column.keep(ids, fill=False)
        column.kept_by = key
    del chances, ids  # the caches need the room
    if fill:
        for column in columns.values():
            column.fill()
    return found


def _key(graph: Graph, indices: Any, sampler: NeighborSampler, batch_size: int) -> object:
    """What the chances of nodes depend on: seeds, sampler, and the very arrays of the edges."""
    seeds = indices if isinstance(indices, Indices) else Indices.of(graph, indices, "node")
    edges = sampler.edges_of(graph).relations
    arrays = tuple(x.data_ptr() for relation in edges for x in relation[:2])
    return len(seeds), seeds.fingerprint, batch_size, repr(sampler), graph.num_edges(), arrays


def _note(
    graph: Graph, indices: Any, sampler: NeighborSampler, batch_size: int, bins: list[ChanceBins]
) -> object:
    key = _key(graph, indices, sampler, batch_size)
    for column in disk_columns(graph).values():
        column.chances = key, bins
    return key


def expected_hit_rate(column: DiskColumn, bins: ChanceBins) -> float | None:
    """Share of a batch's rows that a cache will have once it is full.

    None if somebody has named the rows that it keeps, whose chances are not known one by one.
    """
    if not column.keeps_fixed_rows:
        return bins.recent_hit_rates([column.capacity])[0]
    is_known = column.chances is not None and column.kept_by == column.chances[0]
    return bins.fixed_hit_rates([column.capacity])[0] if is_known else None


def noted_bins(
    graph: Graph, indices: Any, sampler: NeighborSampler, batch_size: int
) -> list[ChanceBins] | None:
    """What :func:`chance_bins` or :func:`keep_expected_rows` has computed for the same batches."""
    key = _key(graph, indices, sampler, batch_size)
    for column in disk_columns(graph).values():
        if column.chances is not None and column.chances[0] == key:
            return list(column.chances[1])
    return None


def chance_bins(
    graph: Graph, indices: Any, sampler: NeighborSampler, batch_size: int
) -> list[ChanceBins]:
    """How many nodes there are of each chance to be in a batch, by type.

    To compute them takes a pass over the edges for each hop: what is known already is used.
    """
    bins = noted_bins(graph, indices, sampler, batch_size)
    if bins is None:
        chances = node_chances(graph, indices, sampler, batch_size)
        bins = [ChanceBins(chance) for chance in chances]
        _note(graph, indices, sampler, batch_size, bins)
    return bins


def node_chances(
    graph: Graph, indices: Any, sampler: NeighborSampler, batch_size: int
) -> list[Tensor]:
    """How likely each node is to be in a batch, by type: float32, shape [N] each."""
    seeds = Indices.of(graph, indices, "node")
    if not len(seeds):
        raise ValueError("indices: expected at least one node, got none")
    edges = sampler.edges_of(graph)
    rate = ops.as_int("batch_size", batch_size) / len(seeds)
    return expected_inclusion(
        edges.relations, edges.num_nodes, [ids.cpu() for ids in seeds.by_number()], rate,
        edges.fanouts(sampler.fanouts),
    )  # fmt: skip


def disk_columns(graph: Graph) -> dict[tuple[str, str], DiskColumn]:
    """The node columns on disk, by type and name."""
    found = {}
    for ntype, frame in graph.node_frames().items():
        for name in frame:
            column = frame.column(name)
            if isinstance(column, EncodedColumn) and isinstance(column.table, DiskColumn):
                column = column.table
            if isinstance(column, DiskColumn):
                found[ntype, name] = column
    return found


def busiest_column(graph: Graph) -> tuple[tuple[str, str], DiskColumn] | None:
    """Of the node columns on disk the one that has read most, with its node type and name."""
    columns = disk_columns(graph).items()
    return max(columns, key=lambda item: item[1].report().bytes, default=None)


def larger_cache(
    graph: Graph,
    key: tuple[str, str],
    column: DiskColumn,
    indices: Indices,
    sampler: Any,
    batch_size: int,
    misses: float,
) -> LargerCache | None:
    """The smallest cache with which a column misses ``misses`` times as many rows as it does.

    With the rows most likely to be wanted. None where nothing is known of their chances
    (:func:`chance_bins`), or the column's cache is not full, so that it reads more than it will.
    """
    if not isinstance(sampler, NeighborSampler):
        return None
    ntype, name = key
    bins = None if column.is_filling else noted_bins(graph, indices, sampler, batch_size)
    if bins is None:
        return None
    own = bins[graph.schema.ntypes.index(ntype)]
    present = expected_hit_rate(column, own)
    is_best = column.keeps_fixed_rows and present is not None
    if present is None:
        present = column.report().hit_rate
    wanted = 1 - misses * (1 - present)
    fewest, most = 0, column.shape[0]
    while fewest < most:
        middle = (fewest + most) // 2
        if own.fixed_hit_rates([middle])[0] < wanted:
            fewest = middle + 1
        else:
            most = middle
    if is_best and most <= column.capacity:
        return None  # it has them
    sizes = [
        ops.cache_bytes(column.shape[0], column.row_bytes, rows) for rows in (most, column.capacity)
    ]
    (rate,) = own.fixed_hit_rates([most])
    told = name if graph.is_homogeneous else f"{ntype}.{name}"
    return LargerCache(told, sizes[0], rate, sizes[1], present)
