"""The ranks that measure_distributed.py starts, and what each of them measures."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import hopflow as hf
import hopflow.distributed as hfd
from hopflow.dataloading import DataLoader, NeighborSampler


def start_ranks(
    num: int, task: dict[str, Any], folder: Path, net: Any = None
) -> list[subprocess.Popen[str]]:
    """Start this script as so many ranks."""
    address = "127.0.0.1" if net is None else net.address(0)
    port = random.randint(20000, 40000)
    started = []
    for rank in range(num):
        command = [
            sys.executable, __file__, "--rank", str(rank), "--num", str(num),
            "--address", f"tcp://{address}:{port}", "--task", json.dumps(task),
            "--out", str(folder / f"{rank}.json"),
        ]  # fmt: skip
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        if net is not None:
            command, env = net.command(rank, command), {**env, **net.env()}
        started.append(subprocess.Popen(command, env=env, text=True))
    return started


def run_ranks(num: int, task: dict[str, Any], net: Any = None) -> list[dict[str, Any]]:
    """What each rank finds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = start_ranks(num, task, folder, net)
        codes = [process.wait() for process in started]
        if any(codes):
            raise RuntimeError(f"ranks ended with {codes}")
        return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(num)]


def bytes_of_rank(
    rank: int,
    out: Path,
    folder: str,
    fanouts: list[int],
    batches: int,
    cache: int,
    by_part: bool,
    topology: str,
) -> dict[str, Any]:
    """What a rank sends for a batch."""
    graph = hfd.load(folder, topology=topology, timeout=120)
    sampler = NeighborSampler(fanouts, prefetch_node_feats=["feat"], prefetch_labels=["label"])
    train = graph.get_idx_split()["train"]
    if cache:
        graph.cache_rows(sampler, train, size=cache, batch_size=1024, by_part=by_part)
    before = graph.traffic()
    loader = DataLoader(
        graph, train, sampler, batch_size=1024, shuffle=True, use_ddp=True, seed=3,
        seeds_by_part=by_part,
    )  # fmt: skip
    begin = time.perf_counter()
    for step, _ in enumerate(loader, 1):
        if step == batches:
            break
    seconds = (time.perf_counter() - begin) / step
    now = graph.traffic()
    found = {name: (getattr(now, name) - getattr(before, name)) / step for name in vars(now)}
    graph.close()
    return {**found, "seconds": seconds}


class Sage(torch.nn.Module):
    """GraphSAGE."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        pairs = itertools.pairwise(widths)
        self.layers = torch.nn.ModuleList(hf.nn.SAGEConv(a, b, "mean") for a, b in pairs)

    def forward(self, blocks: Any, x: torch.Tensor) -> torch.Tensor:
        for i, (block, layer) in enumerate(zip(blocks, self.layers)):
            x = layer(block, x if i == 0 else functional.relu(x))
        return x


def overlap_of_rank(
    rank: int,
    out: Path,
    folder: str,
    fanouts: list[int],
    hidden: int,
    batch_size: int,
    batches: int,
    workers: int,
    topology: str,
) -> dict[str, Any]:
    """Seconds a batch: exchanged alone, trained alone, both; the rank's CPU time with both."""
    graph = hfd.load(folder, topology=topology, timeout=120)
    sampler = NeighborSampler(fanouts, prefetch_node_feats=["feat"], prefetch_labels=["label"])
    width = graph.columns()["feat"].shape[1]
    model = DistributedDataParallel(Sage([width, *[hidden] * (len(fanouts) - 1), 47]))
    optimizer = torch.optim.Adam(model.parameters())

    def train(batch: Any) -> None:
        blocks = batch[2]
        loss = functional.cross_entropy(
            model(blocks, blocks[0].srcdata["feat"]), blocks[-1].dstdata["label"]
        )
        optimizer.zero_grad()
        (loss * blocks[-1].loss_weight).backward()
        optimizer.step()

    def epoch(step: Any) -> float:
        loader = DataLoader(
            graph, graph.get_idx_split()["train"], sampler, batch_size=batch_size, shuffle=True,
            use_ddp=True, seed=3, num_workers=workers,
        )  # fmt: skip
        found = []
        dist.barrier()
        begin = time.perf_counter()
        for i, batch in enumerate(loader):
            step(batch)
            found.append(time.perf_counter())
            if i + 1 == batches:
                break
        # Without the first batches: what was made ahead before anybody trained.
        warm = batches // 3
        return (found[-1] - found[warm - 1]) / (len(found) - warm) if warm else found[-1] - begin

    kept: list[Any] = []
    epoch(lambda batch: kept.append(batch) if len(kept) < 4 else None)
    exchanged = epoch(lambda batch: None)
    for batch in kept:
        train(batch)
    dist.barrier()
    begin = time.perf_counter()
    for i in range(batches):
        train(kept[i % len(kept)])
    trained = (time.perf_counter() - begin) / batches
    before = time.process_time()
    both = epoch(train)
    cpu = (time.process_time() - before) / batches
    graph.close()
    return {"exchange": exchanged, "train": trained, "both": both, "cpu": cpu}


def endless_of_rank(rank: int, out: Path, folder: str, workers: int, limit: float) -> Any:
    """Load and train until something fails."""
    error: dict[str, Any] = {}
    graph = hfd.load(folder, topology="parts", timeout=limit)
    sampler = NeighborSampler([10, 5])
    loader = DataLoader(
        graph, graph.get_idx_split()["train"], sampler, batch_size=64, shuffle=True, use_ddp=True,
        seed=3, num_workers=workers,
    )  # fmt: skip
    out.with_suffix(".ready").write_text("")
    try:
        while True:
            for _ in loader:
                pass
    except Exception as caught:
        error = {"error": f"{type(caught).__name__}: {caught}", "time": time.time()}
    out.write_text(json.dumps(error))
    os._exit(0)


def memory_of_rank(rank: int, out: Path, folder: str, batches: int, workers: int) -> Any:
    """Memory of the process after so many batches."""
    graph = hfd.load(folder, topology="parts", timeout=120)
    sampler = NeighborSampler([4, 4])
    loader = DataLoader(
        graph, graph.get_idx_split()["train"], sampler, batch_size=32, shuffle=True, use_ddp=True,
        seed=3, num_workers=workers,
    )  # fmt: skip
    found, count = [], 0
    while count < batches:
        for _ in loader:
            count += 1
            if count % (batches // 10) == 0:
                found.append([count, _resident(), len(os.listdir("/proc/self/fd"))])
            if count == batches:
                break
    graph.close()
    return {"resident": found, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


TASKS = {
    "bytes": bytes_of_rank,
    "overlap": overlap_of_rank,
    "endless": endless_of_rank,
    "memory": memory_of_rank,
}


def main() -> None:
    """A rank's work, named by the task."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in (("rank", int), ("num", int), ("address", str), ("task", str), ("out", str)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    arguments = parser.parse_args()
    task = json.loads(arguments.task)
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=arguments.address, rank=arguments.rank, world_size=arguments.num,
        timeout=timedelta(seconds=300),
    )  # fmt: skip
    found = TASKS[task.pop("name")](arguments.rank, Path(arguments.out), **task)
    Path(arguments.out).write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
