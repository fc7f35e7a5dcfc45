"""What a result depends on: the machine, the versions and the checkout."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def examine() -> dict[str, Any]:
    """CPU, cores, memory and kernel of this machine."""
    model = re.search(r"^model name\s*:\s*(.*)$", _read("/proc/cpuinfo"), flags=re.M)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", _read("/proc/meminfo"), flags=re.M)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": model[1] if model else platform.processor() or platform.machine(),
        "cores": usable or 1,
        "memory_gib": round(int(memory[1]) / 2**20, 1) if memory else None,
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def checkout(folder: Path) -> dict[str, Any] | None:
    """Commit of the checkout that holds ``folder``, and whether tracked files differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        if not git("ls-files", "hopbench"):
            return None  # inside some other repository
        dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
        return {"commit": git("rev-parse", "HEAD"), "dirty": dirty}
    except (OSError, subprocess.CalledProcessError):
        return None
