"""Numbers for ids that are none: texts, or any whole numbers, more than fit the memory.

Ids come in pieces. Of each piece the different ones are kept, in buckets by their hash, with the
place where each came first. The different ones of a bucket fit the memory: those that are the same
are found in it, some at a time. The order of their first places numbers all of them, and the
numbers go back to the pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from hopflow.datasets.conversion.growing import GrowingArray, Spill
from hopflow.datasets.dataset import Array, Ids
from hopflow.storage.array_files import ArrayRecord, spans

NUM_BUCKETS = 64
"""Ids that are the same are looked for in one of so many buckets at a time."""
_ID_BYTES = 128  # of an id that is looked at: an object, and its place in tables


@dataclass(frozen=True, kw_only=True)
class Numbered:
    """What numbers there are.

    Attributes
    ----------
    count : int
        Of different ids.
    pieces : list of int
        Ids of each piece.
    """

    count: int
    pieces: list[int]


class IdCollector:
    """Takes ids piece by piece, and lays them out in buckets.

    Parameters
    ----------
    folder : Path
        Where its files are.
    kind : {"number", "text"}
        What the ids are.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder, kind
        self._stack = ExitStack()
        self._files = {
            (b, name): self._stack.enter_context(Spill(_file(folder, b, name), 0))
            for b in range(NUM_BUCKETS)
            for name in ("codes", "places", "values", "bytes")
        }
        self._codes = self._stack.enter_context(Spill(folder / "ids.codes", 0))
        self._counts: list[Array] = []
        self.pieces: list[int] = []
        self._place = 0

    def add(self, ids: Array) -> None:
        """Take a piece: int64, or texts."""
        import pandas as pd

        codes, different = pd.factorize(ids)
        first = np.flatnonzero(np.diff(np.maximum.accumulate(codes), prepend=-1))
        hashed = pd.util.hash_array(different, categorize=False)
        bucket = (hashed % np.uint64(NUM_BUCKETS)).astype(np.uint8)
        order = np.argsort(bucket, kind="stable")
        counts = np.bincount(bucket, minlength=NUM_BUCKETS)
        at = 0
        for b, count in enumerate(counts.tolist()):
            here = order[at : at + count]
            at += count
            self._files[b, "codes"].write(here.astype(np.int32))
            self._files[b, "places"].write(self._place + first[here])
            values = different[here]
            if self._kind == "text":
                data = [str(text).encode() for text in values]
                self._files[b, "bytes"].write_bytes(b"".join(data))
                values = np.fromiter(map(len, data), np.int64, len(data))
            self._files[b, "values"].write(values)
        self._codes.write(codes.astype(np.int32))
        self._counts.append(counts)
        self.pieces.append(len(ids))
        self._place += len(ids)

    def finish(self, most_bytes: int) -> Numbered:
        """Find ids that are the same, and number the different ones by their first places.

        Parameters
        ----------
        most_bytes : int
            Memory for ids that are looked at together. The different ones of a bucket and some
            integers for each of all come on top.
        """
        self._stack.close()
        np.save(self._folder / "ids.counts.npy", np.array(self._counts).reshape(-1, NUM_BUCKETS))
        places = [_merge(self._folder, b, self._kind, most_bytes) for b in range(NUM_BUCKETS)]
        sizes = np.array([len(x) for x in places])
        order = np.argsort(np.concatenate(places), kind="stable")
        numbers = np.empty(len(order), np.int64)
        numbers[order] = np.arange(len(order))
        for b, own in enumerate(np.split(numbers, np.cumsum(sizes)[:-1])):
            own.tofile(_file(self._folder, b, "numbers"))
        return Numbered(count=len(order), pieces=self.pieces)


def _merge(folder: Path, bucket: int, kind: str, most_bytes: int) -> Ids:
    """Find the different ids of a bucket; returns the places where they first came.

    Writes which of the different ones each id is, and of these the values, or the lengths of their
    texts and where they end among the bytes of the bucket.
    """
    import pandas as pd

    different = pd.Index([], dtype="int64" if kind == "number" else object)
    firsts: list[Ids] = []
    begin = 0
    with ExitStack() as stack:
        which, values, ends = (
            stack.enter_context(Spill(_file(folder, bucket, name), 0))
            for name in ("which", "first-values", "first-ends")
        )
        for ids, numbers, upto in _bucket_pieces(folder, bucket, kind, most_bytes):
            codes, own = pd.factorize(ids)
            at = np.flatnonzero(np.diff(np.maximum.accumulate(codes), prepend=-1))
            known = different.get_indexer(pd.Index(own, dtype=different.dtype))
            is_new = known < 0
            known[is_new] = len(different) + np.arange(np.count_nonzero(is_new))
            different = different.append(pd.Index(own[is_new], dtype=different.dtype))
            which.write(known[codes].astype(np.int64, copy=False))
            values.write(numbers[at[is_new]])
            if kind == "text":
                ends.write(upto[at[is_new]])
            firsts.append(begin + at[is_new])
            begin += len(ids)
    if not begin:
        return np.empty(0, np.int64)
    places = np.memmap(_file(folder, bucket, "places"), np.int64, "r")
    return np.array(places[np.concatenate(firsts)])


def _bucket_pieces(
    folder: Path, bucket: int, kind: str, most_bytes: int
) -> Iterator[tuple[Array, Ids, Ids]]:
    """The ids of a bucket: themselves, their values or the lengths of their texts, and where the
    texts end."""
    most = max(1, most_bytes // _ID_BYTES)
    with (
        _file(folder, bucket, "values").open("rb") as file,
        _file(folder, bucket, "bytes").open("rb") as texts,
    ):
        end = 0
        while len(values := np.fromfile(file, np.int64, most)):
            if kind == "number":
                yield values, values, values
                continue
            upto = np.cumsum(values)
            first = 0
            while first < len(values):  # as many texts as fit, one at least
                before = int(upto[first - 1]) if first else 0
                last = int(np.searchsorted(upto, before + most_bytes, side="right"))
                last = max(first + 1, last)
                lengths = values[first:last]
                yield _texts(texts, lengths), lengths, end + upto[first:last]
                first = last
            end += int(upto[-1])


def _texts(file: IO[bytes], lengths: Ids) -> Array:
    """Texts of these lengths, as bytes objects, that come next in a file."""
    data = file.read(int(lengths.sum()))
    texts = np.empty(len(lengths), object)
    first = 0
    for at, length in enumerate(lengths.tolist()):
        texts[at] = data[first : first + length]
        first += length
    return texts


def numbers_of_pieces(folder: Path, pieces: list[int]) -> Iterator[Ids]:
    """The number of each id, int64, piece by piece as they came."""
    counts = np.load(folder / "ids.counts.npy")
    begins = np.zeros_like(counts)
    np.cumsum(counts[:-1], axis=0, out=begins[1:])
    numbers = [np.fromfile(_file(folder, b, "numbers"), np.int64) for b in range(NUM_BUCKETS)]
    with (folder / "ids.codes").open("rb") as file:
        for piece, count in enumerate(pieces):
            table = np.empty(int(counts[piece].sum()), np.int64)
            for b in range(NUM_BUCKETS):
                width, begin = int(counts[piece, b]), int(begins[piece, b])
                codes = np.fromfile(_file(folder, b, "codes"), np.int32, width, offset=4 * begin)
                which = np.fromfile(_file(folder, b, "which"), np.int64, width, offset=8 * begin)
                table[codes] = numbers[b][which]
            yield table[np.fromfile(file, np.int32, count)]


def write_ids(
    folder: Path, made: Path, kind: str, count: int, piece_bytes: int
) -> tuple[dict[str, ArrayRecord], int]:
    """Write the ids in the order of their numbers, as a graph folder has them.

    Returns
    -------
    records : dict
        Of the files by name.
    num_bytes : int
        Of all texts together.
    """
    numbers, values, ends = [], [], []
    for b in range(NUM_BUCKETS):
        numbers.append(np.fromfile(_file(folder, b, "numbers"), np.int64))
        values.append(np.fromfile(_file(folder, b, "first-values"), np.int64))
        if kind == "text":
            ends.append(np.fromfile(_file(folder, b, "first-ends"), np.int64))
    of_all = np.empty(count, np.int64)
    for mine, own in zip(numbers, values):
        of_all[mine] = own
    if kind == "number":
        return {"node-0.ids.npy": _written(made / "node-0.ids.npy", of_all)}, 0
    upto = np.cumsum(of_all)
    total = int(upto[-1])
    records = {"node-0.id-ends.npy": _written(made / "node-0.id-ends.npy", upto)}
    with ExitStack() as stack:
        out = stack.enter_context(GrowingArray(made / "node-0.id-bytes.npy", "uint8", (total,)))
        files = [
            stack.enter_context(_file(folder, b, "bytes").open("rb")) for b in range(NUM_BUCKETS)
        ]
        # Numbers rise within a bucket: of a range of numbers each bucket has those that follow.
        for a, z in spans(count, 256, piece_bytes):
            texts: list[bytes] = [b""] * (z - a)
            for b, file in enumerate(files):
                low, high = np.searchsorted(numbers[b], [a, z])
                for k in range(int(low), int(high)):
                    width = int(values[b][k])
                    file.seek(int(ends[b][k]) - width)
                    texts[int(numbers[b][k]) - a] = file.read(width)
            out.write(np.frombuffer(b"".join(texts), np.uint8))
        records["node-0.id-bytes.npy"] = out.record()
    return records, total


def _written(file: Path, array: Array) -> ArrayRecord:
    with GrowingArray(file, array.dtype.name, array.shape) as out:
        out.write(array)
        return out.record()


def _file(folder: Path, bucket: int, name: str) -> Path:
    return folder / f"ids-{bucket}.{name}"
