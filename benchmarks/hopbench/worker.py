"""The process that times an engine: JSON lines in on stdin, JSON lines out on stdout.

Started as ``python worker.py --folder F --cache C --threads N`` by the interpreter that has the
engine. Requests are ``{"do": "hello" | "load" | "run" | "free", ...}``; each gets one answer with
``ok``, and where that is false a ``status`` and a ``reason``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any, TextIO

PACKAGES = {"hopflow": "hopflow", "dgl": "dgl", "graphbolt": "dgl", "pyg": "torch_geometric"}


def private_stdout() -> TextIO:
    """Keep stdout for answers: what libraries print, in C too, goes to stderr from now on."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return channel


def versions(engine: str) -> dict[str, str]:
    """Versions of Python, torch and the engine, as installed here."""
    from importlib import import_module
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in ("torch", "numpy", PACKAGES.get(engine, engine)):
        name = package.replace("_", "-")
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            try:
                found[name] = str(import_module(package).__version__)
            except (ImportError, AttributeError):
                found[name] = "not installed"
    return found


class Worker:
    """Holds the tasks that are set up, by key."""

    def __init__(self, folder: Path, cache: Path, threads: int) -> None:
        self._folder, self._cache, self._threads = folder, cache, threads
        self._tasks: dict[str, Any] = {}

    def hello(self, engine: str) -> dict[str, Any]:
        """Import torch, set its threads, and tell versions."""
        import torch

        torch.set_num_threads(self._threads)
        return {"versions": versions(engine), "pid": os.getpid()}

    def load(self, key: str, file: str, case: str, entry: int) -> dict[str, Any]:
        """Set an entry up and warm it up with one measurement that does not count."""
        from hopbench.case import load_file
        from hopbench.workloads import Workloads

        found = next(c for c in load_file(Path(file)) if c.name == case)
        chosen = found.entries[entry]
        task = chosen.setup(Workloads(self._cache), **chosen.options)
        task.measure()
        self._tasks[key] = task
        return {"work": dict(task.work)}

    def run(self, key: str) -> dict[str, Any]:
        """One measurement."""
        return {"seconds": self._tasks[key].measure()}

    def free(self) -> dict[str, Any]:
        """Let go of every task and what it shares with others."""
        from hopbench.shared import forget

        self._tasks.clear()
        forget()
        gc.collect()
        return {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request; whatever goes wrong becomes an answer."""
        from hopbench.case import Unavailable

        try:
            return {"ok": True, **getattr(self, request.pop("do"))(**request)}
        except (Unavailable, ImportError, FileNotFoundError) as error:
            return {"ok": False, "status": "missing", "reason": str(error)}
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            trace = traceback.format_exc()
        return {"ok": False, "status": "failed", "reason": reason, "traceback": trace}


def main() -> None:
    """Serve until stdin closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    channel = private_stdout()
    warnings.filterwarnings("ignore")
    # Run as a script, Python has put this file's own folder first.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.insert(0, str(options.folder))
    worker = Worker(options.folder, options.cache, options.threads)
    for line in sys.stdin:
        answer = worker.answer(json.loads(line))
        channel.write(json.dumps(answer) + "\n")
        channel.flush()


if __name__ == "__main__":
    main()
