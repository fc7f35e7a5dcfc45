"""Programs under ``python -m hopflow.as_dgl``, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import hopflow as hf


def run(*arguments, cwd, **options):
    """``python -m hopflow.as_dgl`` with this hopflow; nothing is asked of a terminal."""
    path = os.pathsep.join([str(Path(hf.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "hopflow.as_dgl", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "2"}, **options,
    )  # fmt: skip
