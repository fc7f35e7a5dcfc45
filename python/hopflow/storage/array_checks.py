"""Reading all of arrays in files to say what is wrong with them, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hopflow.storage.array_files import CHUNK_BYTES, ArrayRecord, as_array, spans, whole_crc32

Array = NDArray[Any]


def csc_faults(
    where: str, indptr: Tensor, indices: Tensor, eids: Tensor | None, num_src: int, num_edges: int
) -> Iterator[str]:
    rows = as_array(indptr)
    if rows[0] != 0 or rows[-1] != len(indices) or not are_rising(rows, strictly=False):
        yield f"{where}: indptr does not rise from 0 to the number of edges, {len(indices)}"
    if not all(is_below(x, num_src) for x in pieces(as_array(indices))):
        yield f"{where}: sources that are not in [0, {num_src})"
    if eids is not None and not all(is_below(x, num_edges) for x in pieces(as_array(eids))):
        yield f"{where}: edge ids that are not in [0, {num_edges})"


def pieces(array: Array) -> Iterator[Array]:
    for first, last in spans(len(array), 16, CHUNK_BYTES):
        yield array[first:last]


def is_below(array: Array, count: int) -> bool:
    """Whether all are in [0, count)."""
    return not array.size or bool(array.min() >= 0 and array.max() < count)


def are_rising(array: Array, *, strictly: bool = True) -> bool:
    for first, last in spans(len(array), 16, CHUNK_BYTES):
        steps = np.diff(array[first : last + 1])  # with the first one behind the piece
        if not (steps > 0 if strictly else steps >= 0).all():
            return False
    return True


def changed_files(path: Path, files: Mapping[str, ArrayRecord]) -> Iterator[str]:
    for name, record in files.items():
        if whole_crc32(path / name) != record.crc32:
            yield f"{path / name}: its checksum is another; the file is damaged"
