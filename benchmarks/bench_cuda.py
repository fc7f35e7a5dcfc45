"""Every operator, the loader and training on a CUDA device.

Limits are measured in the same run: a copy within the device's memory, and one from pinned host
memory to it. Byte counts are those of the CPU's cases: what must be moved at the least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from hopbench import Case, Entry, Task
from hopbench.blocks import Block
from hopbench.cuda import device, stream_cuda, timed_cuda
from hopbench.engines import BATCH, SKIP, TAIL, nothing, sampling_work, tensors
from hopbench.models import Sage
from hopbench.shared import share
from hopbench.workloads import Workloads

COPY_BYTES = 1 << 30
TABLE = (8_000_000, 128)  # 4 GB: many times the L2 cache
HIDDEN = 256
BLOCKS = (Block(27_500, 10, 100), Block(100_000, 5, 100), Block(600_000, 15, 128))


# --- limits ---


def device_copy(workloads: Workloads) -> Task:
    """A copy within the device's memory: reads and writes both count."""
    where = device()
    source = torch.rand(COPY_BYTES // 4, device=where)
    target = torch.zeros_like(source)
    return timed_cuda(lambda: target.copy_(source), {"bytes_none": 2 * COPY_BYTES}, where)


def host_copy(workloads: Workloads) -> Task:
    """A copy from pinned host memory to the device; what crosses counts."""
    where = device()
    source = torch.rand(COPY_BYTES // 4)
    source = source.pin_memory() if where.type == "cuda" else source
    target = torch.zeros(COPY_BYTES // 4, device=where)
    return timed_cuda(
        lambda: target.copy_(source, non_blocking=True), {"bytes_none": COPY_BYTES}, where
    )


# --- operators ---


def _table(where: torch.device, *, pinned: bool = False) -> torch.Tensor:
    def make() -> torch.Tensor:
        if not pinned:
            return torch.rand(TABLE, device=where)
        made = torch.rand(TABLE)
        return made.pin_memory() if where.type == "cuda" else made

    return share(("cuda table", pinned), make)


def _ids(num_rows: int, where: torch.device) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(TABLE[0], (num_rows,), generator=generator).to(where)


def hopflow_gather(num_rows: int, workloads: Workloads, *, pinned: bool = False) -> Task:
    """hopflow.ops.gather_rows, out of the device's memory or out of pinned host memory."""
    from hopflow import ops

    where = device()
    x, ids = _table(where, pinned=pinned), _ids(num_rows, where)
    row = TABLE[1] * 4
    work = {"bytes_none": num_rows * (row if pinned else 2 * row + 8)}
    return timed_cuda(lambda: ops.gather_rows(x, ids), work, where)


def torch_gather(num_rows: int, workloads: Workloads) -> Task:
    """torch.index_select."""
    where = device()
    x, ids = _table(where), _ids(num_rows, where)
    return timed_cuda(lambda: torch.index_select(x, 0, ids), None, where)


def torch_gather_and_copy(num_rows: int, workloads: Workloads) -> Task:
    """torch.index_select on the CPU into pinned memory, then a copy to the device."""
    where = device()
    x, ids = _table(where, pinned=True), _ids(num_rows, torch.device("cpu"))
    staged = torch.empty(num_rows, TABLE[1])
    staged = staged.pin_memory() if where.type == "cuda" else staged

    def run() -> torch.Tensor:
        torch.index_select(x, 0, ids, out=staged)
        return staged.to(where, non_blocking=True)

    return timed_cuda(run, None, where)


def _block(block: Block, where: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    return block.indptr().to(where), block.indices().int().to(where)


def hopflow_spmm(
    block: Block, workloads: Workloads, *, backward: bool = False, dtype: str = "float32"
) -> Task:
    """hopflow.ops.spmm, mean; with backward the transpose is made anew each time."""
    from hopflow import ops

    where = device()
    indptr, indices = _block(block, where)
    x = block.sources().to(where, getattr(torch, dtype))
    work = block.work(x.element_size())
    if not backward:
        return timed_cuda(lambda: ops.spmm(indptr, indices, x, reduce="mean"), work, where)
    x.requires_grad_()
    up = torch.rand(block.num_dst, block.width, device=where).to(x.dtype)

    def run() -> None:
        ops.spmm(indptr, indices, x, reduce="mean").backward(up)
        x.grad = None

    return timed_cuda(run, {key: 2 * value for key, value in work.items()}, where)


def torch_spmm(block: Block, workloads: Workloads, *, backward: bool = False) -> Task:
    """torch.sparse.mm, which is cuSPARSE's SpMM, with values of one over the degree."""
    where = device()
    indptr, indices = _block(block, where)
    values = torch.full((block.num_edges,), 1 / block.degree, device=where)
    size = (block.num_dst, block.num_src)
    matrix = torch.sparse_csr_tensor(indptr.int(), indices, values, size)
    x = block.sources().to(where)
    if not backward:
        return timed_cuda(lambda: torch.sparse.mm(matrix, x), None, where)
    x.requires_grad_()
    up = torch.rand(block.num_dst, block.width, device=where)

    def run() -> None:
        torch.sparse.mm(matrix, x).backward(up)
        x.grad = None

    return timed_cuda(run, None, where)


def hopflow_sddmm(block: Block, workloads: Workloads) -> Task:
    """hopflow.ops.sddmm: a dot product an edge."""
    from hopflow import ops

    where = device()
    indptr, indices = _block(block, where)
    u = block.sources().to(where)
    v = torch.rand(block.num_dst, block.width, device=where)
    row = 4 * block.width
    work = {
        "bytes_reuse": (block.num_src + block.num_dst) * row + 4 * block.num_edges,
        "bytes_none": (block.num_edges + block.num_dst) * row + 4 * block.num_edges,
    }
    return timed_cuda(lambda: ops.sddmm(indptr, indices, u, v), work, where)


def torch_sddmm(block: Block, workloads: Workloads) -> Task:
    """The rows of both ends gathered, multiplied and summed, by torch."""
    where = device()
    indptr, indices = _block(block, where)
    u = block.sources().to(where)
    v = torch.rand(block.num_dst, block.width, device=where)
    dst = torch.repeat_interleave(indptr.diff())
    return timed_cuda(lambda: (u[indices.long()] * v[dst]).sum(-1), None, where)


def hopflow_messages(block: Block, workloads: Workloads) -> Task:
    """hopflow.ops.spmm_binary: u_mul_e of whole rows, summed."""
    from hopflow import ops

    where = device()
    indptr, indices = _block(block, where)
    u = block.sources().to(where)
    e = torch.rand(block.num_edges, block.width, device=where)
    row = 4 * block.width
    work = {
        "bytes_reuse": (block.num_src + block.num_edges + block.num_dst) * row,
        "bytes_none": (2 * block.num_edges + block.num_dst) * row,
    }
    return timed_cuda(lambda: ops.spmm_binary(indptr, indices, "mul", u, e), work, where)


def torch_messages(block: Block, workloads: Workloads) -> Task:
    """The messages written out by torch and added up by segment."""
    where = device()
    indptr, indices = _block(block, where)
    u = block.sources().to(where)
    e = torch.rand(block.num_edges, block.width, device=where)
    index = indices.long()
    return timed_cuda(
        lambda: torch.segment_reduce(u[index] * e, "sum", offsets=indptr, axis=0), None, where
    )


HEADS = 4


def hopflow_softmax(block: Block, workloads: Workloads) -> Task:
    """hopflow.ops.edge_softmax of four heads."""
    from hopflow import ops

    where = device()
    indptr, _ = _block(block, where)
    scores = torch.rand(block.num_edges, HEADS, device=where)
    work = {"bytes_reuse": 8 * scores.numel(), "bytes_none": 16 * scores.numel()}
    return timed_cuda(lambda: ops.edge_softmax(indptr, scores), work, where)


def torch_softmax(block: Block, workloads: Workloads) -> Task:
    """torch's softmax over a regular grid: every destination has as many edges here."""
    where = device()
    scores = torch.rand(block.num_dst, block.degree, HEADS, device=where)
    return timed_cuda(lambda: scores.softmax(1), None, where)


def hopflow_transpose(block: Block, workloads: Workloads) -> Task:
    """hopflow.ops.transpose_csc."""
    from hopflow import ops

    where = device()
    indptr, indices = _block(block, where)
    return timed_cuda(lambda: ops.transpose_csc(indptr, indices, block.num_src), None, where)


def torch_sort(block: Block, workloads: Workloads) -> Task:
    """torch's stable sort of the sources, the larger part of a transpose."""
    where = device()
    _, indices = _block(block, where)
    return timed_cuda(lambda: torch.sort(indices, stable=True), None, where)


def hopflow_compact(num_seeds: int, num_neighbors: int, workloads: Workloads) -> Task:
    """hopflow.ops.compact_ids; the host waits for the sizes."""
    from hopflow import ops

    where = device()
    ids = _ids(num_seeds + num_neighbors, where) // 4
    return timed_cuda(lambda: ops.compact_ids(ids[:num_seeds], ids[num_seeds:]), None, where)


def torch_unique(num_seeds: int, num_neighbors: int, workloads: Workloads) -> Task:
    """torch.unique with the inverse: sorted, not in order of appearance."""
    where = device()
    ids = _ids(num_seeds + num_neighbors, where) // 4
    return timed_cuda(lambda: torch.unique(ids, return_inverse=True), None, where)


# --- the loader and training ---


def _graph(workloads: Workloads, name: str) -> Any:
    import hopflow as hf

    def make() -> Any:
        made = hf.graph(("csc", (*tensors(workloads, name), [])))
        for key in ("feat", "label"):
            made.ndata[key] = torch.from_numpy(workloads.array(f"{name}-features", key))
        return made

    return share(("hopflow", name), make)


def _loader(
    name: str, fanouts: Sequence[int], workloads: Workloads, count: int, graph: str
) -> tuple[Any, torch.device]:
    """A loader with the graph on the device, in pinned host memory, or sampled on the CPU."""
    import hopflow as hf

    where = device()
    made = _graph(workloads, name)
    options: dict[str, Any] = {}
    if graph == "gpu":
        made = share(("hopflow on the device", name), lambda: made.to(where))
    elif where.type == "cuda":
        options = {"use_uva": True} if graph == "pinned" else {"num_workers": 4}
    seeds = torch.from_numpy(workloads.batches(name, BATCH, count + SKIP + TAIL))
    sampler = hf.dataloading.NeighborSampler(list(fanouts))
    return hf.dataloading.DataLoader(
        made, seeds, sampler, device=where, batch_size=BATCH, **options
    ), where


def hopflow_loader(
    name: str, fanouts: Sequence[int], count: int, workloads: Workloads, *, graph: str
) -> Task:
    """hopflow's DataLoader, sampling and renumbering only."""
    loader, where = _loader(name, fanouts, workloads, count, graph)
    return stream_cuda(loader, count, nothing, sampling_work("hopflow", loader), where)


def hopflow_training(
    name: str, fanouts: Sequence[int], count: int, workloads: Workloads, *, graph: str
) -> Task:
    """Three layers of mean SAGEConv, cross entropy and Adam."""
    loader, where = _loader(name, fanouts, workloads, count, graph)
    feat, label = loader.graph.ndata["feat"], loader.graph.ndata["label"]
    widths = (feat.shape[1], *[HIDDEN] * (len(fanouts) - 1), int(label.max()) + 1)
    model = Sage("hopflow", widths).to(where)
    optimizer = torch.optim.Adam(model.parameters(), fused=where.type == "cuda")

    def step(batch: Any) -> None:
        blocks = batch[2]
        logits = model(blocks, blocks[0].srcdata["feat"])
        loss = torch.nn.functional.cross_entropy(logits, blocks[-1].dstdata["label"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return stream_cuda(loader, count, step, {}, where)


def _cases() -> list[Case]:
    def entries(*pairs: tuple[str, Callable[..., Task], dict[str, Any]]) -> list[Entry]:
        return [Entry(engine, setup, options, home="hopflow") for engine, setup, options in pairs]

    cases = [
        Case(
            name="limits.cuda-copy",
            what="Copy of 1 GiB within the device's memory, read and written (torch)",
            entries=entries(("torch", device_copy, {})),
            ours="torch",
        ),
        Case(
            name="limits.cuda-host",
            what="Copy of 1 GiB from pinned host memory to the device (torch)",
            entries=entries(("torch", host_copy, {})),
            ours="torch",
        ),
    ]
    for rows in (13_500, 100_000, 600_000):
        ours, torchs = partial(hopflow_gather, rows), partial(torch_gather, rows)
        cases.append(
            Case(
                name=f"cuda.gather.{rows}",
                what=f"{rows:,} random rows of 512 bytes out of 4 GB in the device's memory",
                entries=entries(("hopflow", ours, {}), ("torch", torchs, {})),
                limit="cuda-copy",
            )
        )
    rows = 600_000
    cases.append(
        Case(
            name=f"cuda.gather-pinned.{rows}",
            what=f"{rows:,} random rows of 512 bytes out of 4 GB in pinned host memory",
            entries=entries(
                ("hopflow", partial(hopflow_gather, rows), {"pinned": True}),
                ("torch", partial(torch_gather_and_copy, rows), {}),
            ),
            limit="cuda-host",
        )
    )
    for block in BLOCKS:
        pairs = {
            "mean": (hopflow_spmm, torch_spmm, {}, {}),
            "mean.backward": (hopflow_spmm, torch_spmm, {"backward": True}, {"backward": True}),
            "dot": (hopflow_sddmm, torch_sddmm, {}, {}),
            "mul-sum": (hopflow_messages, torch_messages, {}, {}),
            "softmax": (hopflow_softmax, torch_softmax, {}, {}),
            "transpose": (hopflow_transpose, torch_sort, {}, {}),
        }
        for kind, (ours, torchs, options, theirs) in pairs.items():
            cases.append(
                Case(
                    name=f"cuda.block.{kind}.{block}",
                    what=f"{kind.replace('.', ' with ')} over a block of {block.num_dst:,}"
                    f" destinations, {block.degree} edges each, width {block.width}",
                    entries=entries(
                        ("hopflow", partial(ours, block), options),
                        ("torch", partial(torchs, block), theirs),
                    ),
                    limit="" if kind == "transpose" else "cuda-copy",
                )
            )
        cases.append(
            Case(
                name=f"cuda.block.mean.bfloat16.{block}",
                what=f"mean in bfloat16 beside float32, {block}",
                entries=entries(
                    ("hopflow", partial(hopflow_spmm, block), {"dtype": "bfloat16"}),
                    ("hopflow float32", partial(hopflow_spmm, block), {}),
                ),
                limit="cuda-copy",
            )
        )
    for seeds, neighbors in ((1_024, 4_096), (60_000, 900_000)):
        cases.append(
            Case(
                name=f"cuda.compact.{seeds}x{neighbors // seeds}",
                what=f"Renumbering {seeds:,} seeds and {neighbors:,} neighbours",
                entries=entries(
                    ("hopflow", partial(hopflow_compact, seeds, neighbors), {}),
                    ("torch", partial(torch_unique, seeds, neighbors), {}),
                ),
            )
        )
    for name, fanouts, count in (("arxiv", (4, 4), 60), ("products", (15, 10, 5), 60)):
        shape = f"{name}.{'-'.join(map(str, fanouts))}"
        for kind, setup in (("loader", hopflow_loader), ("training", hopflow_training)):
            ways = ("gpu", "pinned", "cpu")
            cases.append(
                Case(
                    name=f"cuda.{kind}.{shape}",
                    what=f"{'Sampling only' if kind == 'loader' else 'Training, hidden 256'},"
                    f" {name}-shaped, fanout {list(fanouts)}, the graph on the GPU",
                    entries=entries(
                        *(
                            (
                                "hopflow" if way == "gpu" else f"hopflow, graph {way}",
                                partial(setup, name, fanouts, count),
                                {"graph": way},
                            )
                            for way in ways
                        )
                    ),
                    unit="batch",
                    workloads=(name, f"{name}-features"),
                    heavy=name == "products",
                )
            )
    return cases


CASES = _cases()

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
