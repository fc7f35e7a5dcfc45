"""Mean of the in-neighbours' features over sampled blocks: ``update_all(copy_u, mean)``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.blocks import BLOCKS, Block
from hopbench.engines import functions
from hopbench.workloads import Workloads


def update_all(engine: str, block: Block, workloads: Workloads) -> Task:
    """As users call it, in hopflow and DGL."""
    made, fn = block.make(engine), functions(engine)
    made.srcdata["h"] = block.sources()
    return timed(lambda: made.update_all(fn.copy_u("h", "m"), fn.mean("m", "o")), block.work())


def torch_mm(block: Block, workloads: Workloads) -> Task:
    """torch.sparse.mm with weights that make it a mean."""
    x = block.sources()
    weight = torch.full((block.num_edges,), 1 / block.degree)
    size = (block.num_dst, block.num_src)
    matrix = torch.sparse_csr_tensor(block.indptr(), block.indices(), weight, size)
    return timed(lambda: torch.sparse.mm(matrix, x), block.work())


def pyg_spmm(block: Block, workloads: Workloads) -> Task:
    """PyG's spmm: through torch-sparse where it is installed, else through torch.sparse."""
    from torch_geometric import typing, utils

    x, size = block.sources(), (block.num_dst, block.num_src)
    if typing.WITH_TORCH_SPARSE:
        from torch_sparse import SparseTensor

        matrix = SparseTensor(rowptr=block.indptr(), col=block.indices(), sparse_sizes=size)
        return timed(lambda: matrix.spmm(x, "mean"), block.work())
    ones = torch.ones(block.num_edges)
    matrix = torch.sparse_csr_tensor(block.indptr(), block.indices(), ones, size)
    return timed(lambda: utils.spmm(matrix, x, "mean"), block.work())


def of_dtype(dtype: str, block: Block, workloads: Workloads) -> Task:
    """hopflow's mean of features of one floating-point type."""
    import hopflow.function as fn

    made, kind = block.make("hopflow"), getattr(torch, dtype)
    made.srcdata["h"] = block.sources().to(kind)
    work = block.work(size=kind.itemsize)
    return timed(lambda: made.update_all(fn.copy_u("h", "m"), fn.mean("m", "o")), work)


def forward_backward(engine: str, is_fresh: bool, block: Block, workloads: Workloads) -> Task:
    """Forward and backward with a gradient of the sources."""
    fn, x = functions(engine), block.sources().requires_grad_()
    upstream = torch.randn(block.num_dst, block.width)
    kept = block.make(engine)

    def run() -> None:
        x.grad = None
        made = block.make(engine) if is_fresh else kept
        made.srcdata["h"] = x
        made.update_all(fn.copy_u("h", "m"), fn.mean("m", "o"))
        made.dstdata["o"].backward(upstream)

    # Backward moves as much again, with the two sides exchanged.
    return timed(run, {key: 2 * value for key, value in block.work().items()})


def forward(block: Block) -> Case:
    """The forward pass in every engine."""
    entries: list[tuple[str, Callable[..., Task]]] = [
        ("hopflow", partial(update_all, "hopflow", block)),
        ("dgl", partial(update_all, "dgl", block)),
        ("pyg", partial(pyg_spmm, block)),
        ("torch", partial(torch_mm, block)),
    ]
    return Case(
        name=f"spmm.mean.{block}",
        what=f"Mean of neighbours, {block.num_dst:,} nodes of in-degree {block.degree},"
        f" {block.width} float32 features",
        entries=[Entry(engine, setup) for engine, setup in entries],
        limit="copy",
    )


def half(block: Block) -> Case:
    """bfloat16 features against float32 ones."""
    return Case(
        name=f"spmm.bfloat16.{block}",
        what=f"The same mean of bfloat16 features, {block}, against hopflow's own float32",
        entries=[
            Entry("hopflow", partial(of_dtype, "bfloat16", block)),
            Entry("hopflow float32", partial(of_dtype, "float32", block), home="hopflow"),
        ],
        limit="copy",
    )


def backward(block: Block, is_fresh: bool) -> Case:
    """Forward and backward, on a new block each time as in training, or on one that is kept."""
    name = "fresh" if is_fresh else "kept"
    return Case(
        name=f"spmm.backward.{name}.{block}",
        what=f"Forward and backward of the mean, {block}, on a"
        f" {'new block each time, as in training' if is_fresh else 'block that is kept'}",
        entries=[
            Entry(engine, partial(forward_backward, engine, is_fresh, block))
            for engine in ("hopflow", "dgl")
        ],
        limit="copy",
    )


CASES = [
    *map(forward, BLOCKS),
    *map(half, BLOCKS),
    backward(BLOCKS[1], is_fresh=True),
    backward(BLOCKS[1], is_fresh=False),
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
