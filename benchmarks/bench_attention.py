"""Attention layers over a sampled block: ``GATConv`` and ``GATv2Conv``, forward and backward."""

from __future__ import annotations

import importlib
from functools import partial

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.blocks import Block
from hopbench.workloads import Workloads

BLOCK = Block(27_500, 10, 100)
HEADS, OUT = 4, 64
# As a layer behind another meets it: as wide as that one's output, with a gradient to the inputs.
HIDDEN = Block(27_500, 10, HEADS * OUT)


def work_of(block: Block) -> dict[str, float]:
    """What the weighted sum alone moves: a projected row of each source read, one written."""
    return Block(block.num_dst, block.degree, HEADS * OUT).work()


def layer(engine: str, name: str, with_backward: bool, size: Block, workloads: Workloads) -> Task:
    """The layer as users call it, in hopflow and DGL, on a new block each time."""
    nn = importlib.import_module("hopflow.nn" if engine == "hopflow" else "dgl.nn.pytorch")
    torch.manual_seed(0)
    made = getattr(nn, name)(size.width, OUT, HEADS, allow_zero_in_degree=True)
    x = size.sources().requires_grad_(size is HIDDEN)
    upstream = torch.randn(size.num_dst, HEADS, OUT)

    def run() -> None:
        block = size.make(engine)
        if with_backward:
            made.zero_grad()
            x.grad = None
            made(block, x).backward(upstream)
        else:
            with torch.no_grad():
                made(block, x)

    times = 2 if with_backward else 1
    return timed(run, {key: times * value for key, value in work_of(size).items()})


def case_of(name: str, with_backward: bool, size: Block = BLOCK) -> Case:
    """One layer."""
    way = "training" if with_backward else "forward"
    place = ".hidden" if size is HIDDEN else ""
    from_where = f" from {size.width} inputs with a gradient" if size is HIDDEN else ""
    return Case(
        name=f"attention.{way}.{name.lower()}{place}",
        what=f"{name}, {HEADS} heads x {OUT}{from_where}, {size.num_edges:,} edges,"
        f" {'forward and backward' if with_backward else 'forward'}",
        entries=[
            Entry(engine, partial(layer, engine, name, with_backward, size))
            for engine in ("hopflow", "dgl")
        ],
        limit="copy",
    )


CASES = [
    case_of(name, with_backward, size)
    for name in ("GATConv", "GATv2Conv")
    for with_backward, size in ((False, BLOCK), (True, BLOCK), (True, HIDDEN))
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
