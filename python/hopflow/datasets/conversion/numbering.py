"""Numbers for ids that are none: texts, or any whole numbers, more than fit the memory.

Ids come in pieces. Of each piece the different ones are kept, in buckets by their hash, with the
place where each came first. A bucket fits the memory: in it those that are the same are found. The
order of their first places numbers all of them, and the numbers go back to the pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hopflow.datasets.conversion.growing import GrowingArray, Spill
from hopflow.datasets.dataset import Array, Ids
from hopflow.storage.array_files import ArrayRecord, spans

NUM_BUCKETS = 64
"""Ids that are the same are looked for in one of so many buckets at a time."""


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

    def finish(self) -> Numbered:
        """Find ids that are the same, and number the different ones by their first places."""
        import pandas as pd

        self._stack.close()
        np.save(self._folder / "ids.counts.npy", np.array(self._counts).reshape(-1, NUM_BUCKETS))
        places = []
        for b in range(NUM_BUCKETS):
            values = _values(self._folder, b, self._kind)
            codes, different = pd.factorize(values)
            first = np.flatnonzero(np.diff(np.maximum.accumulate(codes), prepend=-1))
            codes.astype(np.int64).tofile(_file(self._folder, b, "which"))
            first.astype(np.int64).tofile(_file(self._folder, b, "first"))
            places.append(np.fromfile(_file(self._folder, b, "places"), np.int64)[first])
            del values, different
        sizes = np.array([len(x) for x in places])
        order = np.argsort(np.concatenate(places), kind="stable")
        numbers = np.empty(len(order), np.int64)
        numbers[order] = np.arange(len(order))
        for b, own in enumerate(np.split(numbers, np.cumsum(sizes)[:-1])):
            own.tofile(_file(self._folder, b, "numbers"))
        return Numbered(count=len(order), pieces=self.pieces)


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
        first = np.fromfile(_file(folder, b, "first"), np.int64)
        own = np.fromfile(_file(folder, b, "values"), np.int64)
        values.append(own[first])
        if kind == "text":
            ends.append(np.cumsum(own)[first])
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


def _values(folder: Path, bucket: int, kind: str) -> Array:
    values: Array = np.fromfile(_file(folder, bucket, "values"), np.int64)
    if kind == "number":
        return values
    data = _file(folder, bucket, "bytes").read_bytes()
    ends = np.cumsum(values).tolist()
    texts = np.empty(len(values), object)
    first = 0
    for at, last in enumerate(ends):
        texts[at] = data[first:last]
        first = last
    return texts
