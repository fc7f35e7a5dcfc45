"""Edges cut by ranges of destinations, a chunk at a time: the runs of an external sort."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hopflow.datasets.conversion.edges import Chunk, EdgeRows, column_dtype, read_chunks
from hopflow.datasets.conversion.growing import Spill
from hopflow.datasets.conversion.journal import Journal
from hopflow.datasets.conversion.options import Options
from hopflow.datasets.conversion.rows import bytes_of, row_bytes
from hopflow.datasets.dataset import Array
from hopflow.storage.manifests import ids_dtype

_MOST_BUCKETS = 1 << 16
"""Numbers of buckets fit uint16, which numpy sorts in two passes over the digits."""


@dataclass(frozen=True)
class Stream:
    """What is kept of every edge beside its destination.

    Attributes
    ----------
    name : str
        Of its files.
    dtype : dtype
        Of its elements.
    shape : tuple of int
        Of a row.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How edges are sorted.

    Attributes
    ----------
    num_nodes : int
        Number of nodes.
    shift : int
        Destinations with the same bits above these are of one bucket.
    streams : tuple of Stream
        The source, then the edge id if it is kept, then columns unless it is.
    names : tuple of str
        The source's columns that are carried along.
    chunk, group : int
        Edges that are cut at a time, and sorted at a time.
    """

    num_nodes: int
    shift: int
    streams: tuple[Stream, ...]
    names: tuple[str, ...]
    chunk: int
    group: int

    @property
    def num_buckets(self) -> int:
        """Number of ranges of destinations."""
        return max((self.num_nodes - 1 >> self.shift) + 1, 1)

    @property
    def key(self) -> Stream:
        """The destination."""
        return Stream("dst", np.dtype(ids_dtype(self.num_nodes)))


@dataclass(frozen=True, eq=False)
class Run:
    """Edges of a chunk, ordered by bucket, and within a bucket as they came.

    Attributes
    ----------
    stem : Path
        What the files of its streams begin with.
    first : int
        Where in them it begins.
    offsets : array
        int64 [buckets + 1], of its buckets.
    is_back : bool
        Whether its edges are the reverse of others.
    """

    stem: Path
    first: int
    offsets: Array
    is_back: bool


def planned(edges: EdgeRows, num_nodes: int, options: Options) -> Plan:
    """How to sort these edges in the memory that there is."""
    ends = Stream("src", np.dtype(ids_dtype(num_nodes)))
    most = edges.count * (2 if options.undirected else 1)
    most += num_nodes if options.add_self_loops else 0
    streams, names = [ends], []
    if options.keep_edge_ids:
        streams.append(Stream("eid", np.dtype(ids_dtype(most))))
    else:
        for k, (name, rows) in enumerate(edges.columns.items()):
            names.append(name)
            streams.append(Stream(f"col-{k}", column_dtype(rows), rows.shape[1:]))
    widths = [stream.width for stream in streams]
    came = row_bytes(edges.src) + row_bytes(edges.dst) + sum(widths)
    group = options.group_edges(ends.width + sum(widths), max(widths))
    # Some buckets to a group, so that groups fill the memory; but each run has an offset for each
    # bucket, and all offsets are in memory. Groups that become too large are split again.
    chunk = options.chunk_edges(came)
    affordable = options.memory // 8 // (8 * (most // chunk + 1))
    wanted = min(64 * (most // group + 1), affordable)
    wanted = min(_MOST_BUCKETS, max(256, wanted), num_nodes)
    shift = 0
    while (num_nodes - 1 >> shift) + 1 > wanted:
        shift += 1
    return Plan(
        num_nodes=num_nodes, shift=shift, streams=tuple(streams), names=tuple(names),
        chunk=chunk, group=group,
    )  # fmt: skip


class RunWriter:
    """Writes runs one after another into a file for each stream.

    Parameters
    ----------
    stem : Path
        What names of the files begin with.
    plan : Plan
        Its streams.
    sizes : dict
        Bytes of each file that finished steps wrote.
    """

    def __init__(self, stem: Path, streams: tuple[Stream, ...], sizes: dict[str, int]) -> None:
        self.names = [*(stream.name for stream in streams), "offsets"]
        self._files = {
            name: Spill(file_of(stem, name), sizes.get(file_of(stem, name).name, 0))
            for name in self.names
        }
        self.paths = [file.path for file in self._files.values()]

    def write(self, streams: list[Array], bucket: Array, num_buckets: int) -> None:
        """Append a run: rows of each stream, of which these are the buckets."""
        order = np.argsort(bucket, kind="stable")
        offsets = np.zeros(num_buckets + 1, np.int64)
        np.cumsum(np.bincount(bucket, minlength=num_buckets), out=offsets[1:])
        for name, values in zip(self.names, streams):
            self._files[name].write(values[order])
        self._files["offsets"].write(offsets)

    def flush(self) -> None:
        """Make the files have all that was written."""
        for file in self._files.values():
            file.flush()

    def sizes(self) -> dict[str, int]:
        """Bytes of each file now."""
        self.flush()
        return {path.name: path.stat().st_size for path in self.paths}

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


def file_of(stem: Path, name: str) -> Path:
    """The file of a stream."""
    return stem.with_name(f"{stem.name}.{name}")


def read_runs(stem: Path, num_buckets: int, *, is_back: bool) -> list[Run]:
    """The runs that a writer has left."""
    file = file_of(stem, "offsets")
    if not file.exists():
        return []
    offsets = np.fromfile(file, np.int64).reshape(-1, num_buckets + 1)
    firsts = np.concatenate([[0], np.cumsum(offsets[:, -1])])
    return [Run(stem, int(first), row, is_back) for first, row in zip(firsts, offsets)]


def write_runs(
    journal: Journal, edges: EdgeRows, plan: Plan, options: Options, on_edges: Any
) -> tuple[list[Run], int, int]:
    """Cut all edges into runs, a step for each chunk.

    Returns
    -------
    runs : list of Run
        In the order in which their edges come.
    num_forward, num_back : int
        How many edges are left of the source's, and how many reverse ones there are.
    """
    stems = [journal.folder / "forward"] + [journal.folder / "back"] * options.undirected
    streams = (plan.key, *plan.streams)
    state: dict[str, Any] = {"counts": [0, 0], "sizes": {}}
    first = number = 0
    while (done := journal.result(f"run-{number}")) is not None:
        state, first, number = done, first + plan.chunk, number + 1
    on_edges(min(first, edges.count))
    if first < edges.count:
        writers = [RunWriter(stem, streams, state["sizes"]) for stem in stems]
        try:
            names = list(plan.names)
            for chunk in read_chunks(edges, names, plan.num_nodes, plan.chunk, first):
                counts = _cut(chunk, plan, options, writers, state["counts"])

                def finished(counts: list[int] = counts) -> tuple[Any, list[Path]]:
                    sizes = {k: v for writer in writers for k, v in writer.sizes().items()}
                    paths = [path for writer in writers for path in writer.paths]
                    return {"counts": counts, "sizes": sizes}, paths

                state = journal.step(f"run-{number}", finished)
                number += 1
                first += len(chunk)
                on_edges(first)
        finally:
            for writer in writers:
                writer.close()
    if first < edges.count:
        raise ValueError(f"{edges.src.what}: expected {edges.count} edges, got {first}")
    runs = []
    for stem in stems:
        runs += read_runs(stem, plan.num_buckets, is_back=stem.name == "back")
    return runs, *state["counts"]


def _cut(
    chunk: Chunk, plan: Plan, options: Options, writers: list[RunWriter], counts: list[int]
) -> list[int]:
    """Write the runs of a chunk; returns how many edges there are with it."""
    if options.remove_self_loops:
        chunk = chunk.at(np.flatnonzero(chunk.src != chunk.dst))
    _write(chunk, plan, writers[0], counts[0])
    num_forward, num_back = counts[0] + len(chunk), counts[1]
    if options.undirected:
        back = chunk.at(np.flatnonzero(chunk.src != chunk.dst))
        _write(Chunk(back.dst, back.src, back.columns), plan, writers[1], counts[1])
        num_back += len(back)
    return [num_forward, num_back]


def _write(chunk: Chunk, plan: Plan, writer: RunWriter, before: int) -> None:
    streams = [chunk.dst, chunk.src, *chunk.columns]
    if len(plan.streams) > 1 and plan.streams[1].name == "eid":
        streams.append(np.arange(before, before + len(chunk), dtype=plan.streams[1].dtype))
    bucket = (chunk.dst >> plan.shift).astype(np.uint16)
    writer.write(streams, bucket, plan.num_buckets)


@dataclass(frozen=True, eq=False)
class Slice:
    """Rows of a run that follow one another."""

    run: Run
    first: int
    last: int

    def read(self, stream: Stream, out: Array) -> None:
        """Read a stream of them into an array of as many rows."""
        path = file_of(self.run.stem, stream.name)
        view = bytes_of(out)
        with path.open("rb", buffering=0) as file:
            file.seek((self.run.first + self.first) * stream.width)
            done = 0
            while done < len(view):
                got = file.readinto(view[done:])
                if not got:
                    raise OSError(f"{path}: ends too early")
                done += got

    def parts(self, count: int) -> Iterator[Slice]:
        """The same rows, at most so many at a time."""
        for first in range(self.first, self.last, count):
            yield Slice(self.run, first, min(first + count, self.last))

    def __len__(self) -> int:
        return self.last - self.first
