"""Ranks in network namespaces of their own, with delay and loss between them."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from slow_network import SlowNetwork, why_not
from test_partitioned_graph import columns, loader_of, told, whole

HERE = Path(__file__).resolve().parent


@pytest.mark.parametrize(
    ("num", "options"),
    [
        (2, {"num_workers": 2}),
        (4, {"num_workers": 2, "cache": {"rows": 30}}),
        (2, {"num_workers": 1, "replicated": True}),
    ],
)
def test_batches_are_those_of_one_process(tmp_path, num, options):
    if why := why_not():
        pytest.skip(why)
    paths = [str(HERE), str(HERE.parent), *filter(None, sys.path)]
    with SlowNetwork(num, delay=0.002, loss=0.01) as net:
        env = {**os.environ, **net.env(), "PYTHONPATH": os.pathsep.join(paths)}
        running = []
        for rank in range(num):
            command = [
                sys.executable, str(HERE / "on_slow_network.py"), str(rank), str(num),
                net.address(0), str(tmp_path / str(rank)), json.dumps(options),
            ]  # fmt: skip
            running.append(
                subprocess.Popen(
                    net.command(rank, command), env=env, stderr=subprocess.PIPE, text=True
                )
            )
        try:
            for rank, process in enumerate(running):
                _, error = process.communicate(timeout=120)
                assert process.returncode == 0, f"rank {rank}: {error}"
        finally:
            for process in running:
                process.kill()
    of_ranks = [ast.literal_eval((tmp_path / str(rank)).read_text()) for rank in range(num)]
    alone = loader_of(whole(), "one", "plain")
    for epoch in range(2):
        steps = zip(*(found[epoch] for found in of_ranks), strict=True)
        every = [one[1:] for step in steps for one in step if not one[0]]
        assert every == [(told(b), columns(b[2], "one")) for b in alone]
