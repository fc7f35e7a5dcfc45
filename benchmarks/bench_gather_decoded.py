"""Gathering feature rows kept in 8 bits at random, decoded on the way, beside plain rows.

The tables have a million rows of 128 features: 512 MB in float32, 128 MB in 8 bits. All engines of
a case give rows of one dtype: ``hopflow`` decodes them inside the gather, ``plain`` is hopflow's
gather of a table in that dtype, and torch gathers bytes and decodes the copy.
"""

from __future__ import annotations

from functools import partial

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.shared import share
from hopbench.workloads import Workloads
from torch import Tensor

NUM_ROWS, WIDTH = 1_000_000, 128
ROW_BYTES = {"by_column": WIDTH, "by_row": WIDTH + 8}


def inputs(num_ids: int) -> tuple[Tensor, Tensor]:
    """The table in float32, and row numbers in int64."""
    from hopflow import ops

    def make() -> Tensor:
        x = torch.randn(NUM_ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
        return ops.pooled(x, torch.float32)

    generator = torch.Generator().manual_seed(1)
    return share("table", make), torch.randint(NUM_ROWS, (num_ids,), generator=generator)


def encoded(kind: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The table in 8 bits, scales and offsets; the last two are empty if the rows have them."""
    from hopflow import ops

    def make() -> tuple[Tensor, Tensor, Tensor]:
        if kind == "by_row":
            return ops.pooled(ops.quantize_by_row(x), torch.uint8), torch.empty(0), torch.empty(0)
        q, scale, offset = ops.quantize_by_column(x)
        return ops.pooled(q, torch.int8), scale, offset

    return share(kind, make)


def work(num_ids: int, row_bytes: int, dtype: torch.dtype) -> dict[str, float]:
    """What one call reads and writes at least."""
    return {"bytes_none": num_ids * (row_bytes + WIDTH * dtype.itemsize + 8)}


def decoded(kind: str, dtype: torch.dtype, num_ids: int, workloads: Workloads) -> Task:
    """hopflow.ops.gather_decoded."""
    from hopflow import ops

    x, ids = inputs(num_ids)
    q, scale, offset = encoded(kind, x)
    done = work(num_ids, ROW_BYTES[kind], dtype)
    if kind == "by_row":
        return timed(lambda: ops.gather_decoded(q, ids, by_row=True, dtype=dtype), done)
    factors = {"scale": scale, "offset": offset}
    return timed(lambda: ops.gather_decoded(q, ids, **factors, dtype=dtype), done)


def plain(dtype: torch.dtype, num_ids: int, workloads: Workloads) -> Task:
    """hopflow.ops.gather_rows of a table that is of this dtype already."""
    from hopflow import ops

    x, ids = inputs(num_ids)
    if dtype != x.dtype:
        x = share(dtype, lambda: ops.pooled(inputs(num_ids)[0], dtype))
    return timed(lambda: ops.gather_rows(x, ids), work(num_ids, dtype.itemsize * WIDTH, dtype))


def torch_decoded(kind: str, dtype: torch.dtype, num_ids: int, workloads: Workloads) -> Task:
    """torch: bytes gathered, then decoded."""
    x, ids = inputs(num_ids)
    q, scale, offset = encoded(kind, x)

    def run() -> Tensor:
        rows = torch.index_select(q, 0, ids)
        if kind == "by_row":
            unpacked: Tensor = torch.ops.quantized.embedding_bag_byte_unpack(rows)
            return unpacked.to(dtype)
        return torch.addcmul(offset, rows.float(), scale).to(dtype)

    return timed(run, work(num_ids, ROW_BYTES[kind], dtype))


CASES = [
    Case(
        name=f"gather_decoded.{kind}.{str(dtype).removeprefix('torch.')}.{num_ids}",
        what=f"{num_ids:,} random rows of {WIDTH} features in 8 bits {kind.replace('_', ' ')},"
        f" as {str(dtype).removeprefix('torch.')}",
        entries=[
            Entry("hopflow", partial(decoded, kind, dtype, num_ids)),
            Entry("plain", partial(plain, dtype, num_ids), home="hopflow"),
            Entry("torch", partial(torch_decoded, kind, dtype, num_ids), home="hopflow"),
        ],
        limit="copy",
    )
    for kind in ("by_column", "by_row")
    for dtype, num_ids in [
        (torch.float32, 20_000),
        (torch.float32, 100_000),
        (torch.bfloat16, 100_000),
        (torch.float16, 100_000),
    ]
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
