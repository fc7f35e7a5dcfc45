"""Sorted edges of runs, a range of destinations at a time, appended to the arrays of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hopflow.ops as ops
from hopflow.datasets.conversion.growing import GrowingArray
from hopflow.datasets.conversion.journal import Journal
from hopflow.datasets.conversion.runs import Plan, Run, RunWriter, Slice, Stream, file_of, read_runs
from hopflow.datasets.dataset import Array
from hopflow.storage.array_files import ArrayRecord
from hopflow.storage.manifests import ids_dtype


@dataclass(frozen=True, kw_only=True)
class Loops:
    """Self-loops to add, and what numbers edges that are not the source's.

    Attributes
    ----------
    is_wanted : bool
        Whether every node gets one.
    first_back, first_loop : int
        Edge ids of the first reverse edge and of the first self-loop.
    """

    is_wanted: bool
    first_back: int
    first_loop: int


@dataclass(frozen=True)
class _Range:
    """Destinations in [first, last), and the rows of runs that lead to them."""

    first: int
    last: int
    slices: list[Slice]

    def __len__(self) -> int:
        return sum(map(len, self.slices))


class Merger:
    """Appends the in-edges of one range of destinations after another.

    Parameters
    ----------
    plan : Plan
        How edges were cut.
    loops : Loops
        What to add to them.
    outputs : dict
        The array of each stream, and ``indptr``.
    folder : Path
        For files that are there for a while.
    """

    def __init__(
        self, plan: Plan, loops: Loops, outputs: dict[str, GrowingArray], folder: Path
    ) -> None:
        self._plan, self._loops, self._outputs, self._folder = plan, loops, outputs, folder

    def append(self, wanted: _Range, written: int) -> int:
        """Append a range; returns how many edges are written then."""
        if len(wanted) + self._num_loops(wanted) <= self._plan.group:
            return self._sorted(wanted, written)
        if wanted.last - wanted.first == 1:
            return self._streamed(wanted, written)
        return self._split(wanted, written)

    def _num_loops(self, wanted: _Range) -> int:
        return wanted.last - wanted.first if self._loops.is_wanted else 0

    def _sorted(self, wanted: _Range, written: int) -> int:
        """Read all edges of a range and sort them in memory."""
        width = wanted.last - wanted.first
        dst = self._read(self._plan.key, wanted)
        dst -= wanted.first
        src = self._read(self._plan.streams[0], wanted)
        indptr, indices, order = ops.coo_to_csc(
            torch.from_numpy(src), torch.from_numpy(dst), self._plan.num_nodes, width
        )
        del src, dst
        self._outputs["src"].write(indices.numpy())
        for stream in self._plan.streams[1:]:
            values = self._read(stream, wanted)
            if order is not None:
                values = values[order.numpy()]
            self._outputs[stream.name].write(values)
        self._outputs["indptr"].write(indptr.numpy()[1:] + written)
        return written + int(indptr[-1])

    def _read(self, stream: Stream, wanted: _Range) -> Array:
        """A stream of all edges of a range, self-loops last."""
        num_loops = self._num_loops(wanted)
        out = np.empty((len(wanted) + num_loops, *stream.shape), stream.dtype)
        at = 0
        for one in wanted.slices:
            self._fill(stream, one, out[at : at + len(one)])
            at += len(one)
        if num_loops:
            out[at:] = self._loop_values(stream, wanted)
        return out

    def _fill(self, stream: Stream, one: Slice, out: Array) -> None:
        one.read(stream, out)
        if stream.name == "eid" and one.run.is_back:
            out += self._loops.first_back

    def _loop_values(self, stream: Stream, wanted: _Range) -> Any:
        if stream.name in ("src", "dst"):
            return np.arange(wanted.first, wanted.last)
        if stream.name == "eid":
            first = self._loops.first_loop
            return np.arange(first + wanted.first, first + wanted.last)
        return 1

    def _streamed(self, wanted: _Range, written: int) -> int:
        """Append the in-edges of one node, however many, as they come."""
        for stream in self._plan.streams:
            for one in wanted.slices:
                for part in one.parts(self._plan.group):
                    out = np.empty((len(part), *stream.shape), stream.dtype)
                    self._fill(stream, part, out)
                    self._outputs[stream.name].write(out)
            if self._loops.is_wanted:
                out = np.empty((1, *stream.shape), stream.dtype)
                out[:] = self._loop_values(stream, wanted)
                self._outputs[stream.name].write(out)
        written += len(wanted) + self._num_loops(wanted)
        self._outputs["indptr"].write(np.array([written]))
        return written

    def _split(self, wanted: _Range, written: int) -> int:
        """Cut a range that does not fit into finer ones, and append these."""
        width = wanted.last - wanted.first
        shift = max((width - 1).bit_length() - 16, 0)
        num_buckets = (width - 1 >> shift) + 1
        streams = (self._plan.key, *self._plan.streams)
        stems = [self._folder / f"split-{wanted.first}-{width}.{x}" for x in ("forward", "back")]
        runs: list[Run] = []
        try:
            for stem in stems:
                is_back = stem.name.endswith("back")
                writer = RunWriter(stem, streams, {})
                try:
                    for one in wanted.slices:
                        if one.run.is_back != is_back:
                            continue
                        for part in one.parts(self._plan.chunk):
                            values = [np.empty((len(part), *s.shape), s.dtype) for s in streams]
                            for stream, out in zip(streams, values):
                                part.read(stream, out)
                            bucket = ((values[0] - wanted.first) >> shift).astype(np.uint16)
                            writer.write(values, bucket, num_buckets)
                    writer.flush()
                finally:
                    writer.close()
                runs += read_runs(stem, num_buckets, is_back=is_back)
            plan = replace(self._plan, shift=shift)
            for group in ranges(runs, plan, self._loops, wanted.first, wanted.last):
                written = self.append(group, written)
        finally:
            for stem in stems:
                for name in (*(stream.name for stream in streams), "offsets"):
                    file_of(stem, name).unlink(missing_ok=True)
        return written


def ranges(runs: list[Run], plan: Plan, loops: Loops, first: int, last: int) -> Iterator[_Range]:
    """Buckets put together so that each lot fits the memory, or is of one bucket."""
    num_buckets = (last - first - 1 >> plan.shift) + 1
    counts = np.zeros(num_buckets, np.int64)
    for run in runs:
        counts += np.diff(run.offsets)
    if loops.is_wanted:
        begins = np.minimum(np.arange(num_buckets + 1) << plan.shift, last - first)
        counts += np.diff(begins)
    upto = np.cumsum(counts)
    a = 0
    while a < num_buckets:
        before = int(upto[a - 1]) if a else 0
        b = max(int(np.searchsorted(upto, before + plan.group, side="right")), a + 1)
        slices = [
            Slice(run, int(run.offsets[a]), int(run.offsets[b]))
            for run in runs
            if run.offsets[b] > run.offsets[a]
        ]
        yield _Range(first + (a << plan.shift), min(first + (b << plan.shift), last), slices)
        a = b


def merge(
    journal: Journal,
    made: Path,
    runs: list[Run],
    plan: Plan,
    counts: tuple[int, int],
    with_loops: bool,
    on_edges: Callable[[int], None],
) -> tuple[dict[str, ArrayRecord], int]:
    """Write ``indptr``, the sources and the other streams of all edges, a step for each range.

    Returns
    -------
    records : dict
        Of each stream, and of ``indptr``.
    num_edges : int
        How many edges there are.
    """
    total = sum(counts) + (plan.num_nodes if with_loops else 0)
    loops = Loops(is_wanted=with_loops, first_back=counts[0], first_loop=sum(counts))
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {"indptr": ("int64", (plan.num_nodes + 1,))}
    for stream in plan.streams:
        # The edge id was as wide as the most edges that there might have been.
        dtype = ids_dtype(total) if stream.name == "eid" else stream.dtype.name
        shapes[stream.name] = dtype, (total, *stream.shape)
    names = {"src": "indices", "eid": "eids"}
    files = {name: made / f"edge-0.{names.get(name, name)}.npy" for name in shapes}
    state: dict[str, Any] = {"written": 0, "files": {}}
    number = 0
    while (done := journal.result(f"merge-{number}")) is not None:
        state, number = done, number + 1
    on_edges(state["written"])
    outputs = {
        name: GrowingArray(files[name], dtype, shape, state["files"].get(name))
        for name, (dtype, shape) in shapes.items()
    }
    try:
        if not number:
            outputs["indptr"].write(np.zeros(1, np.int64))
        merger = Merger(plan, loops, outputs, journal.folder)
        for k, group in enumerate(ranges(runs, plan, loops, 0, plan.num_nodes)):
            if k < number:
                continue
            written = merger.append(group, state["written"])

            def finished(written: int = written) -> tuple[Any, list[Path]]:
                states = {name: out.state() for name, out in outputs.items()}
                return {"written": written, "files": states}, list(files.values())

            state = journal.step(f"merge-{k}", finished)
            on_edges(written)
        assert state["written"] == total, (state["written"], total)
        return {files[name].name: out.record() for name, out in outputs.items()}, total
    finally:
        for out in outputs.values():
            out.close()
