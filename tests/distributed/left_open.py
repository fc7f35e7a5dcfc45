"""A rank that ends without closing anything: ``python left_open.py RANK FILE HOW``."""

from __future__ import annotations

import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from test_partitioned_graph import assignment, loader_of, whole

from hopflow.distributed import PartitionedGraph, part_of

if __name__ == "__main__":
    rank, file, how = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{file}", rank=rank, world_size=2, timeout=timedelta(seconds=30)
    )
    graph = whole()
    parts = PartitionedGraph(part_of(graph, assignment(graph, 2, "hash"), rank, 2), timeout=10)
    batches = iter(loader_of(parts, "one", "plain", use_ddp=True, num_workers=2))
    next(batches)
    if how != "open":
        del batches
    if how == "destroy":
        dist.destroy_process_group()
    if how == "raise":
        raise SystemExit(3)
    print("end")
