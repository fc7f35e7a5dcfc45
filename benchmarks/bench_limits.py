"""What the machine can do: the limits that the other cases are held against.

Each limit is the best of several ways to reach it, all measured in the same run.
"""

from __future__ import annotations

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.shared import share
from hopbench.workloads import Workloads

COPY_BYTES = 1 << 29
LINE = 64
LINES = 1 << 24  # 1 GiB: far more than any cache holds
READS = 1 << 20

# (rows, inner, columns): the products of the tutorial's model and of the three-layer model.
GEMMS = {
    "tutorial": ((4_030, 256, 128), (1_024, 256, 40)),
    "three-layer": ((50_000, 100, 256), (6_000, 256, 256), (1_024, 256, 47)),
}


def copy(workloads: Workloads) -> Task:
    """A memory copy between buffers already touched: reads and writes both count."""
    source = torch.ones(COPY_BYTES // 4)
    target = torch.zeros_like(source)
    return timed(lambda: target.copy_(source), {"bytes_none": 2 * COPY_BYTES})


def _table() -> torch.Tensor:
    return share("lines", lambda: torch.ones(LINES, LINE // 4))


def _ids(count: int = READS) -> torch.Tensor:
    return torch.randint(LINES, (count,), generator=torch.Generator().manual_seed(0))


def lines_gather(workloads: Workloads) -> Task:
    """hopflow.ops.gather_rows of rows of one line: reads at random, writes in order."""
    from hopflow import ops

    table, ids = _table(), _ids()
    return timed(lambda: ops.gather_rows(table, ids), {"lines": READS})


def lines_sum(workloads: Workloads) -> Task:
    """hopflow.ops.spmm, sums of 16 rows of one line: next to nothing is written."""
    from hopflow import ops

    table, indices = _table(), _ids().int()
    indptr = torch.arange(0, READS + 1, 16)
    return timed(lambda: ops.spmm(indptr, indices, table, reduce="sum"), {"lines": READS})


def lines_select(workloads: Workloads) -> Task:
    """torch.index_select into a buffer already touched."""
    table, ids = _table(), _ids()
    out = torch.zeros(READS, LINE // 4)
    return timed(lambda: torch.index_select(table, 0, ids, out=out), {"lines": READS})


def lines_bag(workloads: Workloads) -> Task:
    """torch's embedding_bag, sums of 16 rows of one line."""
    table, ids = _table(), _ids().view(-1, 16)
    bag = torch.nn.functional.embedding_bag
    return timed(lambda: bag(ids, table, mode="sum"), {"lines": READS})


def gemm(rows: int, inner: int, columns: int) -> Task:
    """One dense float32 product into a buffer already touched."""
    a, b, out = torch.randn(rows, inner), torch.randn(inner, columns), torch.zeros(rows, columns)
    return timed(lambda: torch.mm(a, b, out=out), {"flops": 2 * rows * inner * columns})


def _gemm_case(model: str, shape: tuple[int, int, int]) -> Case:
    text = " x ".join(map(str, shape))
    return Case(
        name=f"limits.gemm.{text.replace(' x ', 'x')}",
        what=f"Dense product {text} of the {model} model (torch)",
        entries=[Entry("torch", lambda workloads: gemm(*shape))],
        ours="torch",
    )


CASES = [
    Case(
        name="limits.copy",
        what="Memory copy of 512 MiB, read and written (torch)",
        entries=[Entry("torch", copy)],
        ours="torch",
    ),
    Case(
        name="limits.lines",
        what="Independent random reads of 64 bytes out of 1 GiB; the best of four ways: hopflow's"
        " gather and sum of rows, torch's index_select and embedding_bag",
        entries=[
            Entry("hopflow gather", lines_gather, home="hopflow"),
            Entry("hopflow sum", lines_sum, home="hopflow"),
            Entry("torch index_select", lines_select, home="hopflow"),
            Entry("torch embedding_bag", lines_bag, home="hopflow"),
        ],
        ours="hopflow sum",
    ),
    *(_gemm_case(model, shape) for model, shapes in GEMMS.items() for shape in shapes),
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
