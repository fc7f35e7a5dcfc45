"""Train on a graph larger than memory, and measure it beside the disk that it is on.

    python scripts/measure_larger_than_memory.py make SOURCE            # papers100M's shape, 41 GB
    hopflow convert SOURCE FOLDER --link --memory 4GiB
    python scripts/measure_larger_than_memory.py train FOLDER --out results.json

``--scale 0.1`` makes a smaller one, of which ``train --in-memory`` shows what the disk costs, and
``plans`` holds five plans against what then happens.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hopflow.storage.memory import own_memory

NUM_NODES, NUM_EDGES = 111_059_956, 1_615_685_872
NUM_FEATURES, NUM_CLASSES = 128, 172
NUM_TRAIN, NUM_VALID, NUM_TEST = 1_207_179, 125_265, 214_338

CHUNK = 1 << 24


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    maker = commands.add_parser("make", help="write a source for hopflow convert")
    maker.add_argument("source", type=Path)
    maker.add_argument("--scale", type=float, default=1.0)
    maker.set_defaults(run=lambda given: make(given.source, given.scale))
    trainer = commands.add_parser("train", help="train on a folder and measure")
    trainer.add_argument("folder", type=Path)
    trainer.add_argument("--memory", default="8GiB", help="of the cache of feature rows")
    trainer.add_argument("--in-memory", action="store_true", help="all of it, in place of a cache")
    trainer.add_argument("--recent", action="store_true", help="cache what was used last")
    trainer.add_argument("--mapped-edges", action="store_true")
    trainer.add_argument("--fanouts", default="10,10,10 15,10,5")
    trainer.add_argument("--batches", type=int, default=200)
    trainer.add_argument("--workers", type=int, default=2)
    trainer.add_argument("--hidden", type=int, default=256)
    trainer.add_argument("--out", type=Path)
    trainer.set_defaults(run=train)
    planner = commands.add_parser("plans", help="five plans of a folder beside what then happens")
    planner.add_argument("folder", type=Path)
    planner.add_argument("--fanout", default="10,10,10")
    planner.add_argument("--batches", type=int, default=100)
    planner.add_argument("--hidden", type=int, default=128)
    planner.add_argument("--out", type=Path)
    planner.set_defaults(run=plans)
    given = parser.parse_args()
    found = given.run(given)
    if found is not None:
        print(json.dumps(found, indent=1))


def make(source: Path, scale: float) -> None:
    """Write arrays of the shape of ogbn-papers100M: random, with its sizes and a heavy tail.

    The node of rank ``r`` of ``N`` has a degree in proportion to ``(r / N) ** -0.5``: the tail of a
    citation graph. Ranks are spread over the ids, as in the real graph. Labels are noise.
    """
    num_nodes, num_edges = int(NUM_NODES * scale), int(NUM_EDGES * scale)
    source.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, factor in (("src", 0.618), ("dst", 0.414)):
        step = spread(num_nodes, factor)
        with RowFile(source / f"{name}.npy", np.int32, (num_edges,)) as file:
            for count in chunks(num_edges, CHUNK):
                ranks = (rng.random(count) ** 2 * num_nodes).astype(np.int64)
                file.write((ranks * step % num_nodes).astype(np.int32).data)
    rows = CHUNK // NUM_FEATURES
    noise = rng.standard_normal((rows, NUM_FEATURES), dtype=np.float32).astype(np.float16)
    with RowFile(source / "feat.npy", np.float16, (num_nodes, NUM_FEATURES)) as file:
        for number, count in enumerate(chunks(num_nodes, rows)):
            # Other rows in every chunk, at the speed of the disk.
            file.write(np.roll(noise, number * 977, axis=0)[:count].data)
    sizes = [int(x * scale) for x in (NUM_TRAIN, NUM_VALID, NUM_TEST)]
    labelled = rng.choice(num_nodes, sum(sizes), replace=False)
    labels = np.full(num_nodes, -1, dtype=np.int64)
    labels[labelled] = rng.integers(0, NUM_CLASSES, len(labelled))
    np.save(source / "label.npy", labels)
    ends = np.cumsum(sizes)[:-1]
    for name, ids in zip(("train", "valid", "test"), np.split(labelled, ends)):
        np.save(source / f"{name}_idx.npy", np.sort(ids))


def spread(num_nodes: int, factor: float) -> int:
    """A step that leads through all nodes in an order that looks like none."""
    step = int(num_nodes * factor) | 1
    while math.gcd(step, num_nodes) != 1:
        step += 2
    return step


def chunks(total: int, most: int) -> Iterator[int]:
    """Sizes of pieces."""
    for begin in range(0, total, most):
        yield min(most, total - begin)


def train(given: argparse.Namespace) -> dict[str, Any]:
    """Train on the first batches of an epoch at each of the fanouts; measure the disk alone."""
    import hopflow as hf
    from hopflow.storage import DiskColumn

    begin = time.perf_counter()
    edges = "mapped" if given.mapped_edges else "memory"
    memory = "1TiB" if given.in_memory else given.memory
    dataset = hf.datasets.load(given.folder, memory=memory, edges=edges)
    graph, labels = dataset[0]
    graph.ndata["label"] = labels[:, 0]
    train_ids = dataset.get_idx_split()["train"].clone()
    column = graph.node_frames()["_N"].column("feat")
    found: dict[str, Any] = {
        "machine": machine(), "folder": str(given.folder.name), "nodes": graph.num_nodes(),
        "edges": graph.num_edges(), "feature_bytes": 2 * NUM_FEATURES * graph.num_nodes(),
        "edges_in": edges, "batches": given.batches, "workers": given.workers,
        "open_seconds": time.perf_counter() - begin, "runs": [],
    }  # fmt: skip
    if isinstance(column, DiskColumn):
        found["disk"] = disk_rates(column, graph.num_nodes())
        found["cache"] = {"bytes": column.report().memory, "rows": column.capacity}
    for fanout in given.fanouts.split():
        fanouts = [int(x) for x in fanout.split(",")]
        found["runs"].append(train_run(given, graph, train_ids, column, fanouts))
        if given.out:
            given.out.write_text(json.dumps(found, indent=1) + "\n")
    return found


def plans(given: argparse.Namespace) -> dict[str, Any]:
    """Plan five configurations; train on some batches of each, and compare."""
    import hopflow as hf
    from hopflow.storage import DiskColumn

    fanouts = [int(x) for x in given.fanout.split(",")]
    found: dict[str, Any] = {"machine": machine(), "fanouts": fanouts, "runs": []}
    whole = 2 * NUM_FEATURES * hf.datasets.load(given.folder)[0][0].num_nodes()
    for name, memory, edges, workers, recent in (
        ("all in memory, no workers", "1TiB", "memory", 0, False),
        ("all in memory, 2 workers", "1TiB", "memory", 2, False),
        ("a quarter cached, most likely rows", whole // 4, "memory", 2, False),
        ("a quarter cached, rows used last", whole // 4, "memory", 2, True),
        ("an eighth cached, edges mapped, 1 worker", whole // 8, "mapped", 1, False),
    ):
        dataset = hf.datasets.load(given.folder, memory=memory, edges=edges)
        graph, labels = dataset[0]
        graph.ndata["label"] = labels[:, 0]
        column = graph.node_frames()["_N"].column("feat")
        options = argparse.Namespace(**{**vars(given), "workers": workers, "recent": recent})
        train_ids = dataset.get_idx_split()["train"].clone()
        if recent and isinstance(column, DiskColumn):  # full, as it will be
            fill_by_use(graph, train_ids, fanouts, column)
        run = train_run(options, graph, train_ids, column, fanouts)
        run["name"] = name
        run["ratios"] = {
            "nodes": run["plan"]["input_nodes"] / run["input_nodes_a_batch"],
            "edges": run["plan"]["edges"] / run["edges_a_batch"],
            "seconds": run["plan"]["seconds_a_batch"] / (run["seconds"] / run["count"]),
            "memory": run["plan"]["memory_bytes"] / run["own_bytes"],
        }
        if "disk" in run:
            run["ratios"]["hit_rate"] = run["plan"]["hit_rate"] / run["disk"]["hit_rate"]
        print(name, run["ratios"], flush=True)
        found["runs"].append(run)
        if given.out:
            given.out.write_text(json.dumps(found, indent=1) + "\n")
    return found


def fill_by_use(graph: Any, train_ids: Any, fanouts: list[int], column: Any) -> None:
    """Go through batches until the cache of the rows used last is full."""
    import hopflow as hf

    loader = hf.dataloading.DataLoader(
        graph, train_ids, hf.dataloading.NeighborSampler(fanouts), batch_size=1024, shuffle=True,
        num_workers=2, seed=1,
    )  # fmt: skip
    while column.report().cached_rows < column.capacity:
        for _, _, blocks in loader:
            _ = blocks[0].srcdata["feat"]
            if column.report().cached_rows >= column.capacity:
                break
    loader.close()


def train_run(given: Any, graph: Any, train_ids: Any, column: Any, fanouts: list[int]) -> Any:
    """One fanout: the plan, then the batches."""
    import torch
    from torch.nn import functional

    import hopflow as hf
    from hopflow.storage import DiskColumn

    torch.manual_seed(0)
    widths = [NUM_FEATURES, *[given.hidden] * (len(fanouts) - 1), NUM_CLASSES]
    model = torch.nn.ModuleList(hf.nn.SAGEConv(a, b, "mean") for a, b in pairwise(widths))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(batch: Any) -> None:
        _, _, blocks = batch
        x = blocks[0].srcdata["feat"].float()
        for i, (layer, block) in enumerate(zip(model, blocks)):
            x = layer(block, x)
            x = functional.relu(x) if i + 1 < len(model) else x
        loss = functional.cross_entropy(x, blocks[-1].dstdata["label"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    loader = hf.dataloading.DataLoader(
        graph, train_ids, hf.dataloading.NeighborSampler(fanouts), batch_size=1024, shuffle=True,
        num_workers=given.workers, seed=0,
    )  # fmt: skip
    is_on_disk = isinstance(column, DiskColumn)
    run: dict[str, Any] = {"fanouts": fanouts}
    if is_on_disk and not given.recent:
        begin = time.perf_counter()
        (kept,) = loader.keep_expected_rows().values()
        run["kept"] = {**asdict(kept), "seconds": time.perf_counter() - begin}
    plan = hf.plan(loader, step)
    run["plan"] = {**plan.to_dict(), "text": str(plan)}
    print(plan, flush=True)
    before = column.report() if is_on_disk else None
    seconds, nodes, edges = [], 0, 0
    last = begin = time.perf_counter()
    for batch in islice(loader, given.batches):
        step(batch)
        nodes += batch[0].shape[0]
        edges += sum(block.num_edges() for block in batch[2])
        now = time.perf_counter()
        seconds.append(now - last)
        last = now
        if len(seconds) % 20 == 0:
            print(f"{len(seconds)} batches, {statistics.mean(seconds):.3f} s each", flush=True)
    total, report = last - begin, loader.report()
    loader.close()
    count = len(seconds)
    run |= {
        "count": count, "seconds": total, "median_seconds": statistics.median(seconds),
        "input_nodes_a_batch": nodes / count, "edges_a_batch": edges / count,
        "rows_per_second": nodes / total, "edges_per_second": edges / total,
        "report": {**report.to_dict(), "text": str(report)},
        "peak_bytes": peak_bytes(), "own_bytes": own_memory(),
    }  # fmt: skip
    if before is not None:
        after = column.report()
        rows, hits = after.rows - before.rows, after.hits - before.hits
        # A loader that is left early has read some batches more than were taken.
        run["disk"] = {
            "hit_rate": hits / rows, "rows_read": rows - hits,
            "requests": after.requests - before.requests, "bytes": after.bytes - before.bytes,
            "rows_read_per_second": (rows - hits) / total,
            "requests_per_second": (after.requests - before.requests) / total,
            "bytes_per_second": (after.bytes - before.bytes) / total,
        }  # fmt: skip
    print(json.dumps(run, indent=1), flush=True)
    return run


def disk_rates(column: Any, num_rows: int) -> dict[str, float]:
    """What the disk can do with this file: random reads of a row, 128 in flight for each thread."""
    import torch

    from hopflow.storage import DiskColumn

    bare = DiskColumn(column.file)
    generator = torch.Generator().manual_seed(1)
    rates = []
    with ThreadPoolExecutor(2) as pool:  # as many as the loader's threads
        for _ in range(5):
            before, begin = bare.report(), time.perf_counter()
            # Few enough that hardly two lie within what one read takes.
            ids = torch.randint(num_rows, (2, 100_000), generator=generator)
            list(pool.map(bare.gather, ids))
            seconds, after = time.perf_counter() - begin, bare.report()
            requests, nbytes = after.requests - before.requests, after.bytes - before.bytes
            rates.append((requests / seconds, nbytes / seconds))
    reads, byte_rates = zip(*rates)
    return {
        "reads_per_second": statistics.median(reads),
        "bytes_per_second": statistics.median(byte_rates),
        "least_reads_per_second": min(reads), "most_reads_per_second": max(reads),
    }  # fmt: skip


def peak_bytes() -> int:
    """The most memory that this process had, mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine() -> dict[str, Any]:
    """Where this was measured."""
    import torch

    import hopflow

    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.processor(),
    )  # fmt: skip
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parent,
    )  # fmt: skip
    return {
        "cpu": model, "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "torch": torch.__version__, "hopflow": hopflow.__version__, "commit": head.stdout.strip(),
        "kernel": platform.release(), "reads_by": hopflow.ops.best_reader(),
    }  # fmt: skip


class RowFile:
    """An `.npy` file of which the rows are written one after the other."""

    def __init__(self, path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
        self._file = path.open("wb")
        fields = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, fields)

    def __enter__(self) -> Any:
        return self._file

    def __exit__(self, *_: object) -> None:
        self._file.close()


if __name__ == "__main__":
    main()
