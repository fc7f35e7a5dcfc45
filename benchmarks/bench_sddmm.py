"""Dot products of edges' ends over sampled blocks: ``apply_edges(u_dot_v)``."""

from __future__ import annotations

from functools import partial

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.blocks import BLOCKS, Block
from hopbench.engines import functions
from hopbench.workloads import Workloads


def work_of(block: Block) -> dict[str, float]:
    """A row of each end read, one number an edge written."""
    row, out = block.width * 4, block.num_edges * 4
    return {
        "bytes_reuse": (block.num_src + block.num_dst) * row + out,
        "bytes_none": (block.num_edges + block.num_dst) * row + out,
        "edges": block.num_edges,
    }


def apply_edges(engine: str, block: Block, workloads: Workloads) -> Task:
    """As users call it, in hopflow and DGL."""
    made, fn = block.make(engine), functions(engine)
    made.srcdata["u"] = block.sources()
    made.dstdata["v"] = block.sources()[: block.num_dst]
    return timed(lambda: made.apply_edges(fn.u_dot_v("u", "v", "s")), work_of(block))


def gather_both(block: Block, workloads: Workloads) -> Task:
    """Plain torch: gather the rows of both ends, multiply, add up."""
    u, indices = block.sources(), block.indices()
    v = u[: block.num_dst].clone()
    dst = torch.arange(block.num_dst).repeat_interleave(block.degree)
    return timed(lambda: (u[indices] * v[dst]).sum(-1, keepdim=True), work_of(block))


def case_of(block: Block) -> Case:
    """One size of block."""
    return Case(
        name=f"sddmm.dot.{block}",
        what=f"Dot product of each edge's ends, {block.num_edges:,} edges,"
        f" {block.width} float32 features",
        entries=[
            Entry("hopflow", partial(apply_edges, "hopflow", block)),
            Entry("dgl", partial(apply_edges, "dgl", block)),
            Entry("torch", partial(gather_both, block)),
        ],
        limit="copy",
    )


CASES = [case_of(block) for block in BLOCKS]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
