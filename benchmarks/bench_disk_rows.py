"""Rows of a column that stays on disk: many reads in flight, against a mapped file."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.workloads import Workloads

# Rows of the file, bytes of a row, rows wanted at a time. 128 float16 features, and a page.
SHAPES = ((8_000_000, 256, 50_000), (500_000, 4096, 20_000))


def file_of(num_rows: int, row_bytes: int) -> Path:
    """A file on disk, not in the system's cache; who opens it removes its name at once."""
    handle, name = tempfile.mkstemp(suffix=".rows", dir=os.environ.get("TMPDIR", "/var/tmp"))
    chunk = torch.randint(256, (1 << 24,), dtype=torch.uint8).numpy().tobytes()
    with os.fdopen(handle, "wb") as file:
        for begin in range(0, num_rows * row_bytes, len(chunk)):
            file.write(chunk[: num_rows * row_bytes - begin])
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return Path(name)


def ids_of(num_rows: int, count: int) -> list[torch.Tensor]:
    """Different ones for each call: the system must not have them at hand."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(num_rows, (count,), generator=generator) for _ in range(64)]


def disk(shape: tuple[int, int, int], workloads: Workloads, *, reader: str) -> Task:
    """hopflow.ops.DiskRows."""
    from hopflow import ops

    num_rows, row_bytes, count = shape
    file = file_of(num_rows, row_bytes)
    rows = ops.DiskRows(file, torch.uint8, (num_rows, row_bytes), reader=reader)
    file.unlink()
    ids = ids_of(num_rows, count)
    calls = 0

    def run() -> None:
        nonlocal calls
        rows.read(ids[calls % len(ids)])
        calls += 1

    return timed(run)


def mapped(shape: tuple[int, int, int], workloads: Workloads) -> Task:
    """numpy's memory map and its page faults; the file is dropped from memory before each call."""
    import numpy as np

    num_rows, row_bytes, count = shape
    path = file_of(num_rows, row_bytes)
    file = path.open("rb")
    path.unlink()
    ids = [one.numpy() for one in ids_of(num_rows, count)]
    calls = 0

    def run() -> None:
        nonlocal calls
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        array = np.memmap(file, dtype=np.uint8, mode="r", shape=(num_rows, row_bytes))
        _ = array[ids[calls % len(ids)]]
        calls += 1

    return timed(run)


CASES = [
    Case(
        name=f"disk_rows.{count}x{row_bytes}",
        what=f"{count:,} rows of {row_bytes} B out of {num_rows:,} on disk",
        entries=[
            *(
                Entry(
                    "hopflow",
                    partial(disk, (num_rows, row_bytes, count)),
                    options={"reader": reader},
                )
                for reader in ("io_uring", "threads")
            ),
            Entry("numpy", partial(mapped, (num_rows, row_bytes, count)), home="hopflow"),
        ],
        heavy=True,
        most_repeats=9,
    )
    for num_rows, row_bytes, count in SHAPES
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
