"""Gathering feature rows at random, as a user calls it: a fresh result, released before the next.

The table has 2.5 million rows of 400 bytes, 1 GB: rows come from memory, not from a cache.
"""

from __future__ import annotations

from functools import partial

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.shared import share
from hopbench.workloads import Workloads

TABLE = (2_500_000, 100)


def inputs(num_rows: int) -> tuple[torch.Tensor, torch.Tensor, dict[str, float]]:
    """The table, the row numbers in int64, and the work of one call."""
    table = share("table", lambda: torch.randn(TABLE, generator=torch.Generator().manual_seed(0)))
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(TABLE[0], (num_rows,), generator=generator)
    return table, ids, {"bytes_none": num_rows * (2 * TABLE[1] * 4 + 8)}


def hopflow_gather(num_rows: int, workloads: Workloads) -> Task:
    """hopflow.ops.gather_rows."""
    from hopflow import ops

    table, ids, work = inputs(num_rows)
    return timed(lambda: ops.gather_rows(table, ids), work)


def torch_select(num_rows: int, workloads: Workloads) -> Task:
    """torch.index_select."""
    table, ids, work = inputs(num_rows)
    return timed(lambda: torch.index_select(table, 0, ids), work)


CASES = [
    Case(
        name=f"gather.{num_rows}",
        what=f"{num_rows:,} random rows of 400 bytes out of 1 GB, both engines in one process",
        entries=[
            Entry("hopflow", partial(hopflow_gather, num_rows)),
            Entry("torch", partial(torch_select, num_rows)),
        ],
        limit="copy",
    )
    for num_rows in (13_500, 100_000, 600_000)
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
