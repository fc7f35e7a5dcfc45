"""What an epoch will cost, from a sample of its exact batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import torch

import hopflow.ops as ops
from hopflow.dataloading.kept_rows import chance_bins, disk_columns, expected_hit_rate
from hopflow.dataloading.loader import DataLoader
from hopflow.dataloading.parts import GraphInParts
from hopflow.dataloading.report import STAGES, LoaderReport
from hopflow.dataloading.samplers.neighbor_sampler import NeighborSampler
from hopflow.graphs.graph import Graph
from hopflow.storage.disk_column import DiskColumn, DiskReport
from hopflow.storage.encoded_column import EncodedColumn
from hopflow.storage.memory import MappedFiles, available_memory, own_memory
from hopflow.storage.sizes import size_text
from hopflow.structure.frame import Column, InheritedRows, read
from hopflow.structure.stored_column import StoredColumn

_SIZES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of caches, in shares of the column
_LITTLE = 0.05  # share of the time that nobody minds to wait


@dataclass(frozen=True)
class CacheSize:
    """What a cache of some size in front of a column on disk would bring.

    Attributes
    ----------
    memory : int
        Its bytes.
    hit_rate : float
        Share of the rows that it would have, if it kept those most likely to be wanted
        (:meth:`DataLoader.keep_expected_rows`).
    hit_rate_recent : float
        The same if it kept those used last, once it is full.
    """

    memory: int
    hit_rate: float
    hit_rate_recent: float


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What an epoch will cost. Numbers "a batch" are means.

    Attributes
    ----------
    num_batches : int
        Batches of an epoch (of this rank).
    sampled_batches : int
        Batches that the other numbers were measured on.
    input_nodes, edges : float
        Nodes of the first block and edges of all, a batch.
    gathered_bytes : float
        Of columns in memory, a batch: rows gathered, and rows that a layer reads in place.
    disk_rows, disk_bytes : float
        Rows of columns on disk that a batch asks for, and bytes that it reads from disk.
    hit_rate : float
        Share of ``disk_rows`` that the caches will have once they are filled.
    memory : dict
        Bytes of memory: "graph", "columns" and "cache" (when filled) as far as they are in memory,
        and "rest": the program, its libraries, the model, and batches made ahead.
    mapped_bytes : int
        Bytes of the graph and its columns that are mapped from files: memory holds of them what it
        has room for.
    available : int or None
        Bytes of memory that the machine can give this process in all, as far as it tells.
    caches : dict
        ``{"column" or "type.column": [CacheSize, ...]}`` for columns on disk.
    seconds_a_batch : float
        Seconds, with everything that ``step`` does.
    waiting_share : float
        Share of the time in which the consumer will wait.
    bound : str
        What takes the time: "model", "sampling", "gathering", "reading", "transposing" or
        "copying"; "batches" where a GPU makes them.
    """

    num_batches: int
    sampled_batches: int
    input_nodes: float
    edges: float
    gathered_bytes: float
    disk_rows: float
    disk_bytes: float
    hit_rate: float
    memory: Mapping[str, int]
    mapped_bytes: int
    available: int | None
    caches: Mapping[str, Sequence[CacheSize]]
    seconds_a_batch: float
    waiting_share: float
    bound: str

    @property
    def memory_bytes(self) -> int:
        """Memory that the process will have for itself, in bytes."""
        return sum(self.memory.values())

    @property
    def seconds(self) -> float:
        """Seconds an epoch."""
        return self.num_batches * self.seconds_a_batch

    @property
    def fits(self) -> bool:
        """Whether memory will do, as far as the machine tells."""
        return self.available is None or self.memory_bytes <= self.available

    def to_dict(self) -> dict[str, Any]:
        """The attributes as plain values."""
        return {
            **asdict(self), "memory_bytes": self.memory_bytes, "seconds": self.seconds,
            "fits": self.fits,
        }  # fmt: skip

    def __str__(self) -> str:
        parts = [
            f"{self.num_batches:,} batches an epoch, each of {self.input_nodes:,.0f} input nodes"
            f" and {self.edges:,.0f} edges"
        ]
        if self.gathered_bytes:
            parts.append(f"{size_text(self.gathered_bytes)} gathered")
        if self.disk_rows:
            parts.append(
                f"{size_text(self.disk_bytes)} read from disk ({100 * self.hit_rate:.0f} % cached)"
            )
        limit = "" if self.available is None else f" of {size_text(self.available)}"
        memory = f"memory {size_text(self.memory_bytes)}{limit}"
        if self.mapped_bytes:
            memory += f" and {size_text(self.mapped_bytes)} mapped"
        took = f"{_time(self.seconds_a_batch)} a batch, {_time(self.seconds)} an epoch"
        return f"{', '.join(parts)}; {memory}; {took}, bounded by {self.bound}"


def plan(
    loader: DataLoader,
    step: Callable[[Any], object] | None = None,
    *,
    num_batches: int = 10,
) -> TrainingPlan:
    """Say what an epoch of a loader will cost, from a sample of its exact batches.

    The batches are made as the loader makes them, with its workers and by its sampler, and given to
    ``step``. The loader itself stays as it is: it will yield the same batches as if it had not been
    asked, and so does torch's random generator. Columns on disk fill their caches with the rows of
    the sampled batches.

    Parameters
    ----------
    loader : DataLoader
        With a :class:`NeighborSampler` and a graph in one piece.
    step : callable, optional
        What is done with a batch, such as a step of training on a copy of the model. By default the
        node columns of the first block are read, and nothing else takes time.
    num_batches : int
        Batches to measure, beside some to warm up; fewer where an epoch has not so many.

    Returns
    -------
    TrainingPlan
        ``print`` shows it in a line.

    Raises
    ------
    TypeError
        Another sampler, or a graph in parts (see :func:`hopflow.distributed.plan_exchange`).
    ValueError
        No batches.
    """
    if not isinstance(loader, DataLoader):
        raise TypeError(f"loader: expected a DataLoader, got {type(loader).__name__}")
    if isinstance(loader.graph, GraphInParts):
        raise TypeError("loader: expected one of a graph in one piece, got one of a graph in parts")
    sampler = loader.graph_sampler
    if not isinstance(sampler, NeighborSampler):
        raise TypeError(f"loader: expected a NeighborSampler, got {type(sampler).__name__}")
    if loader.use_ddp:
        raise ValueError("loader: expected one of one process, got use_ddp=True")
    if not len(loader):
        raise ValueError("loader: expected at least one batch, got none")
    if ops.as_int("num_batches", num_batches) < 1:
        raise ValueError(f"num_batches: expected at least 1, got {num_batches}")
    graph = loader.graph
    measured = _measure(loader, step or _read_columns, num_batches)
    columns = disk_columns(graph)
    caches, hit_rate = _caches(loader, sampler, columns, measured.asked)
    memory, mapped = _memory(graph, columns)
    report, seconds, waiting = measured.report, measured.seconds, measured.waiting
    if measured.disk_rows:
        # The caches fill up beyond what they held while this was measured.
        now, then = measured.hit_rate, max(hit_rate, measured.hit_rate)
        left = (1 - then) / (1 - now) if now < 1 else 1.0
        spared = measured.reading * (1 - left)
        if loader.num_workers:
            model = seconds - waiting
            seconds = max(model, seconds - spared / loader.num_workers)
            waiting = seconds - model
        else:
            seconds -= spared
            waiting = min(waiting, seconds)
        measured.disk_bytes *= left
        hit_rate = then
    share = waiting / seconds if seconds else 0.0
    return TrainingPlan(
        num_batches=len(loader),
        sampled_batches=measured.count,
        input_nodes=measured.input_nodes,
        edges=measured.edges,
        gathered_bytes=measured.gathered_bytes,
        disk_rows=measured.disk_rows,
        disk_bytes=measured.disk_bytes,
        hit_rate=hit_rate,
        memory=memory,
        mapped_bytes=mapped,
        available=_limit(memory),
        caches=caches,
        seconds_a_batch=seconds,
        waiting_share=share,
        bound="model" if share < _LITTLE else _bound(report),
    )


def _bound(report: LoaderReport) -> str:
    """What batches take most of their time for; those that a GPU makes do not tell."""
    stage = report.slowest_stage
    return stage if getattr(report, stage) else "batches"


@dataclass
class _Measured:
    """Means a batch, of so many batches."""

    count: int
    report: LoaderReport
    seconds: float
    waiting: float
    reading: float  # seconds spent waiting for disks, of all threads together
    input_nodes: float
    edges: float
    gathered_bytes: float
    asked: Mapping[tuple[str, str], float]  # rows of each column on disk
    disk_bytes: float
    hit_rate: float

    @property
    def disk_rows(self) -> float:
        return sum(self.asked.values())


def _measure(loader: DataLoader, step: Callable[[Any], object], num_batches: int) -> _Measured:
    """Go through some batches of a copy of the loader."""
    # The first batches are made before it is known which columns are read, and those behind them
    # while these are read: the latter are all there, and would go as if they cost nothing.
    most = loader.num_workers * loader.prefetch_factor
    columns = disk_columns(loader.graph)
    sizes: list[tuple[float, float, float]] = []
    asked = dict.fromkeys(columns, 0)
    # Every CUDA device has a generator too.
    devices = [loader.device] if loader.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        probe = copy.copy(loader)
        probe._rewind()
        warm_up = max(0, min(2 * most + 2, len(probe) - num_batches))
        epoch = iter(probe)
        try:
            for batch in islice(epoch, warm_up):
                step(batch)
            before, use_before = probe.report(), _use(columns)
            for batch in islice(epoch, num_batches):
                step(batch)
                sizes.append(_sizes(batch, loader.graph, asked))
            after, use = probe.report(), _use(columns)
        finally:
            probe.close()
    count = len(sizes)
    hits = sum(use[key].hits - use_before[key].hits for key in columns)
    num_bytes = sum(use[key].bytes - use_before[key].bytes for key in columns)
    # Workers have read for other batches than those that were delivered meanwhile.
    rows = sum(use[key].rows - use_before[key].rows for key in columns)
    wanted = sum(asked.values())
    nodes, edges, gathered = (sum(of_batch) / count for of_batch in zip(*sizes))
    # The report ends where the last batch was delivered: as many steps as batches lie between.
    seconds = (after.seconds - before.seconds) / count
    model = seconds - (after.waiting - before.waiting) / count
    if loader.num_workers:
        # Some were there when this began, as if they cost nothing: what making one takes counts.
        seconds = max(seconds, _making(before, after) / loader.num_workers)
    reading = after.reading - before.reading
    if not loader.num_workers:  # columns are read where the consumer asks for them
        reading = sum(use[key].wait_seconds - use_before[key].wait_seconds for key in columns)
    return _Measured(
        count, after, seconds, seconds - model, reading / count, nodes, edges, gathered,
        {key: own / count for key, own in asked.items()},
        num_bytes / rows * wanted / count if rows else 0.0,
        hits / rows if rows else 0.0,
    )  # fmt: skip


def _making(before: LoaderReport, after: LoaderReport) -> float:
    """Seconds that a thread takes to make a batch."""

    def spent(report: LoaderReport) -> float:
        return sum(float(getattr(report, stage)) for stage in STAGES)

    made = after.made - before.made
    if made:  # those before may have lacked columns that were not known to be read
        return (spent(after) - spent(before)) / made
    return spent(after) / after.made if after.made else 0.0


def _read_columns(batch: Any) -> None:
    for frame in batch[2][0].node_frames("src").values():
        for name in frame:
            _ = frame[name]


def _use(columns: Mapping[tuple[str, str], DiskColumn]) -> dict[tuple[str, str], DiskReport]:
    return {key: column.report() for key, column in columns.items()}


def _row_bytes(column: Column) -> int:
    """Bytes of a row of a column, as it is kept."""
    if isinstance(column, EncodedColumn):
        return column.nbytes // max(column.shape[0], 1)
    x = column if isinstance(column, StoredColumn) else read(column)
    return x.shape[1:].numel() * x.dtype.itemsize


def _sizes(
    batch: Any, graph: Graph, asked: dict[tuple[str, str], int]
) -> tuple[float, float, float]:
    """Input nodes, edges, and bytes read of columns in memory; rows of those on disk are added to
    ``asked``."""
    is_batch = isinstance(batch, tuple) and len(batch) == 3 and isinstance(batch[2], list)
    if not is_batch:
        raise TypeError(
            "loader: expected batches (input_nodes, output_nodes, blocks), got"
            f" {type(batch).__name__}"
        )
    blocks, num_bytes = batch[2], 0
    for block, side in ((blocks[0], "src"), (blocks[-1], "dst")):
        for ntype, frame in block.node_frames(side).items():
            parent = graph.node_frames()[ntype]
            for name in frame:
                if name not in parent:
                    continue
                column = frame.column(name)
                if (ntype, name) in asked:
                    asked[ntype, name] += frame.num_rows * frame.is_read(name)
                elif frame.is_read(name):
                    num_bytes += _row_bytes(parent.column(name)) * frame.num_rows
                elif isinstance(column, InheritedRows) and column.is_in_place:
                    # Read through the ids of sources: a row an edge, and destinations' own.
                    rows = block.num_edges() + block.num_dst_nodes()
                    num_bytes += _row_bytes(parent.column(name)) * rows
    nodes = sum(frame.num_rows for frame in blocks[0].node_frames("src").values())
    edges = sum(one.num_edges() for block in blocks for one in block.relations.values())
    return nodes, edges, num_bytes


def _caches(
    loader: DataLoader,
    sampler: NeighborSampler,
    columns: Mapping[tuple[str, str], DiskColumn],
    asked: Mapping[tuple[str, str], float],
) -> tuple[dict[str, list[CacheSize]], float]:
    """What caches of several sizes would bring, and the hit rate of those that there are."""
    if not columns:
        return {}, 0.0
    graph = loader.graph
    assert isinstance(graph, Graph)
    bins = chance_bins(graph, loader.indices, sampler, loader.batch_size)
    found: dict[str, list[CacheSize]] = {}
    hits = wanted = 0.0
    for (ntype, name), column in columns.items():
        own = bins[graph.schema.ntypes.index(ntype)]
        num_rows = column.shape[0]
        rows = [int(share * num_rows) for share in _SIZES]
        fixed, recent = own.fixed_hit_rates(rows), own.recent_hit_rates(rows)
        key = name if len(graph.schema.ntypes) == 1 else f"{ntype}.{name}"
        found[key] = [
            CacheSize(ops.cache_bytes(num_rows, column.row_bytes, count), f, r)
            for count, f, r in zip(rows, fixed, recent)
        ]
        # As much as it was read: a column of labels is read at the seeds, another not at all.
        rate = expected_hit_rate(column, own)
        hits += asked[ntype, name] * (column.report().hit_rate if rate is None else rate)
        wanted += asked[ntype, name]
    return found, hits / wanted if wanted else 0.0


def _memory(graph: Graph, columns: Mapping[Any, DiskColumn]) -> tuple[dict[str, int], int]:
    """Bytes by what they are for, and bytes mapped from files."""
    files = MappedFiles()
    arrays = [x for one in graph.relations.values() for x in one.adjacency.full().arrays()]
    frames = [*graph.node_frames().values(), *(one.edge_frame for one in graph.relations.values())]
    every = [column for frame in frames for column in map(frame.column, frame)]
    every = [column.table if isinstance(column, EncodedColumn) else column for column in every]
    kept = [column for column in every if isinstance(column, torch.Tensor)]
    edges = sum(x.nbytes for x in arrays if not files.holds(x))
    tensors = sum(x.nbytes for x in kept if not files.holds(x))
    mapped = sum(x.nbytes for x in [*arrays, *kept] if files.holds(x))
    reports = [column.report() for column in columns.values()]
    cache = sum(one.memory for one in reports)
    # Of a cache that is not full yet the rest will come.
    held = sum(
        ops.cache_bytes(column.shape[0], column.row_bytes, one.cached_rows)
        for column, one in zip(columns.values(), reports)
    )
    own = own_memory()
    rest = 0 if own is None else max(0, own - edges - tensors - min(held, cache))
    return {"graph": edges, "columns": tensors, "cache": cache, "rest": rest}, mapped


def _limit(memory: Mapping[str, int]) -> int | None:
    """Memory that this process can have in all."""
    own, more = own_memory(), available_memory()
    return None if own is None or more is None else own + more


def _time(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.3g} h"
    if seconds >= 90:
        return f"{seconds / 60:.3g} min"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"
