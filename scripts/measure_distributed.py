"""Measure graphs in parts: bytes against the plan, overlap on a slow network, kills, memory.

    python scripts/measure_distributed.py bytes --out FILE.json
    python scripts/measure_distributed.py overlap --delay 5 --out FILE.json
    python scripts/measure_distributed.py kills --times 20 --out FILE.json
    python scripts/measure_distributed.py memory --batches 10000 --out FILE.json

Ranks are processes of this machine, which share its cores: ratios and bytes count here, not rates.
`overlap` joins them through network namespaces (Linux, root). The figures of record are in
benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ranks_to_measure import run_ranks, start_ranks

import hopflow as hf
import hopflow.distributed as hfd
from hopflow.dataloading import NeighborSampler

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "benchmarks"), str(ROOT / "tests")]


# --- graphs ---


def graph_of(shape_name: str, scale: float, communities: int) -> tuple[hf.Graph, torch.Tensor]:
    """A graph of a shape of the benchmarks', scaled; with communities 85 % of edges stay inside."""
    from hopbench.degrees import degrees
    from hopbench.workloads import SHAPES, Shape

    full = SHAPES[shape_name]
    shape = Shape(
        num_nodes=int(full.num_nodes * scale),
        num_edges=int(full.num_edges * scale) // 2 * 2,
        sigma=full.sigma,
        max_degree=int(full.max_degree * scale**0.5),
        num_train=int(full.num_train * scale),
        num_feats=full.num_feats,
    )
    rng = np.random.default_rng(1)
    degree = degrees(shape, rng)
    owner = np.repeat(np.arange(shape.num_nodes, dtype=np.int32), degree)
    if communities:
        # Ends are paired within shuffled communities, 15 of 100 with any other.
        home = rng.permutation(shape.num_nodes) % communities
        key = home[owner].astype(np.float64) + rng.random(owner.shape[0]) * 0.999
        away = rng.random(owner.shape[0]) < 0.15
        key[away] = rng.random(int(away.sum())) * communities
        matched = np.argsort(key, kind="stable")
    else:
        matched = rng.permutation(owner.shape[0])
    left, right = owner[matched[0::2]], owner[matched[1::2]]
    src = torch.from_numpy(np.concatenate([left, right]))
    dst = torch.from_numpy(np.concatenate([right, left]))
    graph = hf.graph((src, dst), num_nodes=shape.num_nodes)
    graph.ndata["feat"] = torch.randn(shape.num_nodes, shape.num_feats)
    graph.ndata["label"] = torch.randint(47, (shape.num_nodes,))
    train = torch.from_numpy(rng.permutation(shape.num_nodes)[: shape.num_train])
    return graph, train


# --- commands ---


def write_folder(graph: hf.Graph, train: Any, num: int, method: str, folder: Path) -> Any:
    """Partition a graph; the assignment."""
    begin = time.perf_counter()
    parts = hfd.assign_parts(graph, num, method=method, train=train)
    seconds = time.perf_counter() - begin
    report = hfd.report_on(graph, parts, num, train=train)
    hfd.write_parts(
        graph, parts, folder, num_parts=num, splits={"train": train}, num_classes=47, report=report
    )
    return parts, report.to_dict(), seconds


def measure_bytes(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Bytes a rank and batch by P, partitioner and cache, beside what the plan says."""
    rows = []
    for communities in arguments.communities:
        graph, train = graph_of(arguments.shape, arguments.scale, communities)
        sampler = NeighborSampler(
            arguments.fanouts, prefetch_node_feats=["feat"], prefetch_labels=["label"]
        )
        width = graph.ndata["feat"].shape[1] * 4
        for num in arguments.parts:
            for method in arguments.methods:
                with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
                    folder = Path(name) / "parts"
                    parts, report, seconds = write_folder(graph, train, num, method, folder)
                    for share in arguments.cache:
                        cache = int(share * graph.num_nodes() / num * width)
                        for by_part in (False, True):
                            task = {
                                "name": "bytes", "folder": str(folder), "cache": cache,
                                "fanouts": arguments.fanouts, "batches": arguments.batches,
                                "by_part": by_part, "topology": "parts",
                            }  # fmt: skip
                            found = run_ranks(num, task)
                            mean = {k: statistics.mean(one[k] for one in found) for k in found[0]}
                            plan = hfd.plan_exchange(
                                graph, train, sampler, num, batch_size=1024, parts=parts,
                                row_bytes=width, cache_size=cache, seeds_by_part=by_part,
                                num_batches=4 * num,
                            )  # fmt: skip
                            sent = mean["headers"] + mean["ids"] + mean["edges"] + mean["rows"]
                            row = {
                                "shape": arguments.shape, "scale": arguments.scale,
                                "communities": communities, "parts": num, "method": method,
                                "cache_of_a_part": share, "seeds_by_part": by_part,
                                "bytes": sent, "planned": plan.bytes, "ratio": sent / plan.bytes,
                                **mean, "plan": plan.to_dict(), "cut": report,
                                "partition_seconds": seconds,
                            }  # fmt: skip
                            rows.append(row)
                            print(
                                f"P={num} {method:9} communities={communities} cache={share:<4}"
                                f" by_part={by_part!s:5} {sent / 1e6:8.2f} MB, planned"
                                f" {plan.bytes / 1e6:8.2f}, ratio {row['ratio']:.3f}",
                                flush=True,
                            )
                            save(arguments, rows)
    return rows


def measure_overlap(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds a batch with delay: exchange alone, training alone, both."""
    from slow_network import SlowNetwork, why_not

    if why := why_not():
        sys.exit(why)
    rows = []
    graph, train = graph_of(arguments.shape, arguments.scale, 0)
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(dir=arguments.scratch))
        folder = Path(name) / "parts"
        write_folder(graph, train, 2, "hash", folder)
        del graph
        for topology in ("parts", "replicated"):
            for workers in arguments.workers:
                net = SlowNetwork(2, delay=arguments.delay / 1e3, loss=arguments.loss)
                with net if arguments.delay or arguments.loss else nullcontext() as joined:
                    task = {
                        "name": "overlap", "folder": str(folder), "fanouts": arguments.fanouts,
                        "hidden": arguments.hidden, "batch_size": arguments.batch_size,
                        "batches": arguments.batches, "workers": workers, "topology": topology,
                    }  # fmt: skip
                    found = run_ranks(2, task, joined)
                mean = {k: statistics.mean(one[k] for one in found) for k in found[0]}
                ratio = mean["both"] / max(mean["exchange"], mean["train"])
                rows.append({
                    "delay_ms": arguments.delay, "loss": arguments.loss, "topology": topology,
                    "workers": workers, **mean, "ratio": ratio,
                })  # fmt: skip
                print(f"{topology:10} workers={workers} {mean} ratio {ratio:.3f}", flush=True)
                save(arguments, rows)
    return rows


def measure_kills(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Kill ranks at random moments; how the others end."""
    rows: list[dict[str, Any]] = []
    limit, draw = 5.0, random.Random(arguments.seed)
    graph, train = graph_of("arxiv", 0.05, 0)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        folder = Path(name) / "parts"
        write_folder(graph, train, 4, "hash", folder)
        for time_ in range(arguments.times):
            out = Path(name) / f"run-{time_}"
            out.mkdir()
            workers = draw.choice([0, 1, 2])
            task = {"name": "endless", "folder": str(folder), "workers": workers, "limit": limit}
            started = start_ranks(4, task, out)
            while not all((out / f"{rank}.ready").exists() for rank in range(4)):
                time.sleep(0.05)
            time.sleep(draw.uniform(0, 2))
            victim = draw.randrange(4)
            at = time.time()
            started[victim].send_signal(signal.SIGKILL)
            codes = [process.wait(60) for process in started]
            errors = {
                rank: json.loads((out / f"{rank}.json").read_text())
                for rank in range(4)
                if rank != victim
            }
            named = f"rank {victim} (", f"rank {victim}, which keeps the store"
            row = {
                "victim": victim,
                "workers": workers,
                "codes": codes,
                "named": [any(text in e["error"] for text in named) for e in errors.values()],
                "seconds": [e["time"] - at for e in errors.values()],
                "errors": [e["error"] for e in errors.values()],
            }
            rows.append(row)
            print(
                f"{time_ + 1}: rank {victim} killed, {workers} workers: named by"
                f" {sum(row['named'])} of 3, after {max(row['seconds']):.1f} s at most",
                flush=True,
            )
            save(arguments, rows)
    return rows


def measure_memory(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Memory of ranks over many batches."""
    graph, train = graph_of("arxiv", 0.05, 0)
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        folder = Path(name) / "parts"
        write_folder(graph, train, 2, "hash", folder)
        for workers in arguments.workers:
            task = {
                "name": "memory", "folder": str(folder), "batches": arguments.batches,
                "workers": workers,
            }  # fmt: skip
            found = run_ranks(2, task)
            rows.append({"workers": workers, "ranks": found})
            for rank, one in enumerate(found):
                told = ", ".join(f"{n}: {size / 1e6:.1f} MB" for n, size, _ in one["resident"])
                print(f"workers={workers} rank {rank}: {told}", flush=True)
            save(arguments, rows)
    return rows


def save(arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Write what is known so far."""
    if arguments.out is None:
        return
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    about = {
        "torch": torch.__version__, "python": platform.python_version(), "commit": commit,
        "cores": os.cpu_count(), "command": sys.argv[1:],
    }  # fmt: skip
    Path(arguments.out).write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)

    def add(name: str, run: Any, **defaults: Any) -> argparse.ArgumentParser:
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--out")
        command.add_argument("--scratch", help="folder for graphs, some GB")
        command.add_argument("--shape", default=defaults.get("shape", "products"))
        command.add_argument("--scale", type=float, default=defaults.get("scale", 1.0))
        fanouts = defaults.get("fanouts", [15, 10, 5])
        command.add_argument("--fanouts", type=int, nargs="+", default=fanouts)
        command.add_argument("--batches", type=int, default=defaults.get("batches", 4))
        command.add_argument("--workers", type=int, nargs="+", default=[2])
        return command

    one = add("bytes", measure_bytes)
    one.add_argument("--parts", type=int, nargs="+", default=[2, 4])
    one.add_argument("--methods", nargs="+", default=["hash", "stream", "kaminpar"])
    one.add_argument("--cache", type=float, nargs="+", default=[0, 0.3])
    one.add_argument("--communities", type=int, nargs="+", default=[0])
    one = add("overlap", measure_overlap, batches=40)
    one.add_argument("--delay", type=float, default=5.0, help="milliseconds one way")
    one.add_argument("--loss", type=float, default=0.0)
    one.add_argument("--hidden", type=int, default=256)
    one.add_argument("--batch-size", type=int, default=256)
    one = add("kills", measure_kills)
    one.add_argument("--times", type=int, default=20)
    one.add_argument("--seed", type=int, default=1)
    add("memory", measure_memory, batches=10_000)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
