"""The exchange between ranks: one process group, used by one thread in the order of its batches."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

import hopflow.ops as ops
from hopflow.distributed.watch import Watch

_WORD = 8  # bytes; tensors in a message begin at a multiple
_HEAD = 3  # words of a message ahead of its numbers
_MOST_ROOM = 1 << 16  # bytes, an eighth to spare; for more an exchange of its own costs little


@dataclass
class Traffic:
    """What one rank sent to others, in bytes, and where its batches' rows came from.

    Attributes
    ----------
    headers, ids, edges, rows : int
        Bytes sent: sizes told ahead and room that was not filled, ids asked for, edges drawn for
        others, column rows for others.
    local_rows, cached_rows, remote_rows : int
        Rows of columns that this rank's batches took from its part, its cache, other parts.
    """

    headers: int = 0
    ids: int = 0
    edges: int = 0
    rows: int = 0
    local_rows: int = 0
    cached_rows: int = 0
    remote_rows: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def count(self, kind: str, num_bytes: int) -> None:
        """Add bytes of a kind."""
        setattr(self, kind, getattr(self, kind) + num_bytes)

    @property
    def bytes(self) -> int:
        """All bytes sent."""
        return self.headers + self.ids + self.edges + self.rows


class Body:
    """The tensors that a rank sent with some numbers, in their order."""

    def __init__(self, data: Tensor) -> None:
        self._data, self._at = data, 0

    def take(self, count: int, dtype: torch.dtype) -> Tensor:
        """The next tensor, of ``count`` numbers.

        Raises
        ------
        HopflowError
            Less was sent.
        """
        begin, size = self._at, count * dtype.itemsize
        self._at += _round_up(size, _WORD)
        if self._at > self._data.shape[0]:
            raise ops.HopflowError(
                f"a rank sent {self._data.shape[0]} bytes where {self._at} or more were to come"
            )
        return self._data[begin : begin + size].view(dtype)


class Exchange:
    """An ``all_to_all`` under way: :meth:`wait` has what came, rank by rank."""

    def __init__(self, lane: Lane, work: Any, received: Tensor, kept: Any, what: str) -> None:
        self._lane, self._work, self._received, self._kept = lane, work, received, kept
        self._what = what

    def wait(self) -> Tensor:
        """What the ranks sent, in their order.

        Raises
        ------
        HopflowError
            A rank does not answer within the limit; names it.
        """
        if self._work is not None:
            self._lane.finish(self._work, self._what)
            self._work = self._kept = None
        return self._received


class Lane:
    """A process group of its own for the batches of one thread.

    Parameters
    ----------
    group : ProcessGroup or None
        None where there is one rank.
    rank, num_ranks : int
        Of this process in the group.
    watch : Watch
        What tells which rank is to blame.
    width : int
        Numbers that a header has room for, the same on every rank.
    """

    def __init__(self, group: Any, rank: int, num_ranks: int, watch: Watch, width: int) -> None:
        self._width = width
        self.group, self.rank, self.num_ranks, self._watch = group, rank, num_ranks, watch
        self.traffic = Traffic()
        self.is_broken = False
        # Room for bodies, in bytes, in the message that follows the one with a tag; and that tag.
        self._rooms: dict[int, int] = {}
        self._last = 0

    def exchange(
        self, sent: Tensor, counts: Sequence[int], expected: Sequence[int], kind: str
    ) -> Exchange:
        """Send each rank some rows and get some of each; begun, not waited for.

        Parameters
        ----------
        sent : Tensor
            Rows for rank 0, then for rank 1 and so on; contiguous, on the CPU.
        counts, expected : sequence of int
            Rows for each rank, and from each rank.
        kind : str
            What is counted in :attr:`traffic`.
        """
        if self.is_broken or (self.group is None and self.num_ranks > 1):
            raise ops.HopflowError(
                f"the exchange of rank {self.rank} is closed, by close() or an earlier failure; a"
                " new loop, cache_rows() or open_lanes(1) on every rank opens it again"
            )
        received = ops.empty((sum(expected), *sent.shape[1:]), sent.dtype, sent.device)
        if self.num_ranks == 1:
            received.copy_(sent)
            return Exchange(self, None, received, sent, kind)
        width = _row_bytes(sent)
        self.traffic.count(kind, (sum(counts) - counts[self.rank]) * width)
        # As bytes: Gloo does not know every dtype.
        to, of = _bytes(received), _bytes(sent)
        try:
            work = dist.all_to_all_single(
                to, of, [n * width for n in expected], [n * width for n in counts],
                group=self.group, async_op=True,
            )  # fmt: skip
        except RuntimeError as error:
            raise self._failed(error, kind) from error
        return Exchange(self, work, received, (to, of, sent), kind)

    def finish(self, work: Any, kind: str) -> None:
        """Wait for an exchange."""
        try:
            work.wait()
        except RuntimeError as error:
            raise self._failed(error, kind) from error

    def gather(self, value: Any) -> list[Any]:
        """A value of every rank's, pickled."""
        every: list[Any] = [None] * self.num_ranks
        if self.num_ranks == 1:
            return [value]
        try:
            dist.all_gather_object(every, value, group=self.group)
        except RuntimeError as error:
            raise self._failed(error, "what ranks agree on") from error
        return every

    def reduced(self, values: Tensor, how: Any) -> Tensor:
        """Sums or maxima over the ranks; ``values`` is changed in place and returned."""
        if self.num_ranks > 1:
            try:
                dist.all_reduce(values, how, group=self.group)
            except RuntimeError as error:
                raise self._failed(error, "sums over ranks") from error
        return values

    def tell(
        self, tag: int, numbers: Tensor, bodies: Sequence[Sequence[Tensor]], kind: str
    ) -> tuple[Tensor, list[Body]]:
        """Send each rank some numbers and tensors; check that all ranks are at the same place.

        A message has room for small tensors, so that they arrive with the numbers that say how
        large they are; how much, ranks know from the message that followed the same one before.
        If those for any rank are larger, all take an exchange of their own.

        Parameters
        ----------
        tag : int
            What is being done, the same on every rank.
        numbers : Tensor
            int64, shape [P, K]: row ``p`` for rank ``p``; K up to the lane's width.
        bodies : sequence of sequences of Tensor
            For each rank its tensors, contiguous, on the CPU.
        kind : str
            What the tensors count as in :attr:`traffic`.

        Returns
        -------
        numbers : Tensor
            What the ranks told this one, int64, shape [P, K].
        bodies : list of Body
            What each of them sent; its size and dtypes follow from the numbers.

        Raises
        ------
        HopflowError
            A rank does something else, or does not answer.
        """
        if numbers.shape[1] > self._width:
            raise ValueError(
                f"numbers: expected up to {self._width} a rank, got {numbers.shape[1]}"
            )
        try:
            return self._tell(tag, numbers, bodies, kind)
        except BaseException:
            # What the next message has room for follows from this one, which may not be through.
            self.is_broken = True
            raise

    def _tell(
        self, tag: int, numbers: Tensor, bodies: Sequence[Sequence[Tensor]], kind: str
    ) -> tuple[Tensor, list[Body]]:
        count, sizes = numbers.shape[1], [sum(map(_padded, body)) for body in bodies]
        head, room = _HEAD + self._width, self._rooms.get(self._last, 0)
        # As large for every rank, whatever it does: Gloo ends a process that gets more than it
        # expects.
        sent = torch.zeros((self.num_ranks, head + room // _WORD), dtype=torch.int64)
        sent[:, 0], sent[:, 1], sent[:, 2] = tag, max(sizes), torch.tensor(sizes)
        sent[:, _HEAD : _HEAD + count] = numbers
        if max(sizes) <= room:
            for row, body in zip(sent, bodies):
                _pack(body, _bytes(row[head:]))
        ones = [1] * self.num_ranks
        received = self.exchange(sent, ones, ones, "headers").wait()
        wrong = (received[:, 0] != tag).nonzero()
        if wrong.shape[0]:
            raise ops.HopflowError(
                f"rank {int(wrong[0])} is at another step than rank {self.rank}: every rank must"
                " sample with the same sampler, as many batches, in the same order"
            )
        most, coming = int(received[:, 1].max()), received[:, 2].tolist()
        if most <= room:
            found = [_bytes(row[head:])[:size] for row, size in zip(received, coming)]
            others = sum(sizes) - sizes[self.rank]
            self.traffic.count(kind, others)
            self.traffic.count("headers", -others)
        else:
            packed = ops.empty((sum(sizes),), torch.uint8, sent.device)
            for body, into in zip(bodies, torch.split(packed, sizes)):
                _pack(body, into)
            received_bodies = self.exchange(packed, sizes, coming, kind).wait()
            found = list(torch.split(received_bodies, coming))
        # An eighth to spare; it shrinks slowly, as batches differ.
        wanted = _round_up(most + most // 8)
        shrunk = room - room // 16 // _WORD * _WORD
        self._rooms[self._last] = 0 if wanted > _MOST_ROOM else max(wanted, shrunk)
        self._last = tag
        return received[:, _HEAD : _HEAD + count], [Body(x) for x in found]

    def header(self, tag: int, numbers: Tensor) -> Tensor:
        """Tell every rank some numbers alone, as :meth:`tell` does."""
        return self.tell(tag, numbers, [[] for _ in range(self.num_ranks)], "headers")[0]

    def _failed(self, error: RuntimeError, kind: str) -> Exception:
        self.is_broken = True
        return self._watch.explain(error, f"exchange of {kind}")

    def close(self) -> None:
        """Give the group back; other ranks that wait for this one get an error."""
        group, self.group = self.group, None
        if group is not None and dist.is_initialized():
            dist.destroy_process_group(group)


def tag_of(*what: object) -> int:
    """A number for what a rank does, the same on ranks that do the same."""
    return zlib.crc32(repr(what).encode())


def new_lane(rank: int, num_ranks: int, watch: Watch, limit: float, width: int) -> Lane:
    """Make a lane; every rank of the default group calls this."""
    if num_ranks == 1:
        return Lane(None, rank, num_ranks, watch, width)
    try:
        group = dist.new_group(backend="gloo", timeout=timedelta(seconds=limit))
        # Or a rank that closes at once is gone before the others have found it.
        dist.barrier(group)
    except RuntimeError as error:
        raise watch.explain(error, "opening a process group") from error
    return Lane(group, rank, num_ranks, watch, width)


def _row_bytes(x: Tensor) -> int:
    width = x.element_size()
    for size in x.shape[1:]:
        width *= size
    return width


def _bytes(x: Tensor) -> Tensor:
    """The memory of a contiguous tensor, as bytes."""
    return x.view(-1).view(torch.uint8)


def _pack(tensors: Sequence[Tensor], into: Tensor) -> None:
    """Lay contiguous tensors into bytes, one behind the other."""
    begin = 0
    for x in tensors:
        size = x.numel() * x.element_size()
        into[begin : begin + size] = _bytes(x)
        begin += _round_up(size, _WORD)


def _padded(x: Tensor) -> int:
    return _round_up(x.numel() * x.element_size(), _WORD)


def _round_up(value: int, step: int = 8 * _WORD) -> int:
    return -(-value // step) * step
