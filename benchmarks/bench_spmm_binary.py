"""Messages of two operands reduced at the destinations: ``update_all(u_op_e, ...)``."""

from __future__ import annotations

from functools import partial

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.blocks import BLOCKS, Block
from hopbench.engines import functions
from hopbench.workloads import Workloads


def work_of(block: Block) -> dict[str, float]:
    """A row of each source and edge read, one a destination written."""
    row, edges = block.width * 4, block.num_edges
    return {
        "bytes_reuse": (block.num_src + edges + block.num_dst) * row,
        "bytes_none": (2 * edges + block.num_dst) * row,
        "edges": edges,
    }


def edge_rows(block: Block) -> torch.Tensor:
    """Feature rows of the edges, float32."""
    generator = torch.Generator().manual_seed(2)
    return torch.randn(block.num_edges, block.width, generator=generator)


def update_all(
    engine: str, message: str, reduce: str, with_backward: bool, block: Block, workloads: Workloads
) -> Task:
    """As users call it, in hopflow and DGL, on a new block each time where it trains."""
    fn, kept = functions(engine), block.make(engine)
    u, e = block.sources(), edge_rows(block)
    upstream = torch.randn(block.num_dst, block.width)
    if with_backward:
        u.requires_grad_()
        e.requires_grad_()

    def run() -> None:
        made = block.make(engine) if with_backward else kept
        made.srcdata["u"], made.edata["e"] = u, e
        made.update_all(getattr(fn, message)("u", "e", "m"), getattr(fn, reduce)("m", "o"))
        if with_backward:
            u.grad = e.grad = None
            made.dstdata["o"].backward(upstream)

    times = 3 if with_backward else 1  # a gradient each moves as much again
    return timed(run, {key: times * value for key, value in work_of(block).items()})


def case_of(block: Block, message: str, reduce: str, with_backward: bool) -> Case:
    """One message, reducer and size of block."""
    way = "backward" if with_backward else "forward"
    return Case(
        name=f"spmm_binary.{way}.{message}.{reduce}.{block}",
        what=f"{message} with {reduce}, {block}, both operands whole rows"
        f"{', forward and backward on a new block' if with_backward else ''}",
        entries=[
            Entry(engine, partial(update_all, engine, message, reduce, with_backward, block))
            for engine in ("hopflow", "dgl")
        ],
        limit="copy",
    )


CASES = [
    case_of(BLOCKS[1], message, reduce, with_backward)
    for message, reduce in (("u_mul_e", "sum"), ("u_add_e", "mean"), ("u_mul_e", "max"))
    for with_backward in (False, True)
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
