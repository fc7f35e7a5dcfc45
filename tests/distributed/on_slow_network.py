"""A rank in a network namespace: ``python on_slow_network.py RANK NUM ADDRESS OUT OPTIONS``."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from test_partitioned_graph import epochs_in_parts

if __name__ == "__main__":
    rank, num = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"tcp://{sys.argv[3]}:29511", rank=rank, world_size=num,
        timeout=timedelta(seconds=60),
    )  # fmt: skip
    options = json.loads(sys.argv[5])
    found = epochs_in_parts(rank, num, "one", "hash", "plain", torch.int64, options)
    Path(sys.argv[4]).write_text(repr(found))
    dist.destroy_process_group()
