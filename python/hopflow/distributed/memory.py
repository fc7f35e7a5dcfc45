"""How much memory the system has left."""

from __future__ import annotations

from pathlib import Path


def free_memory() -> int | None:
    """Bytes that are free for programs; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = {line.split(":")[0]: line.split()[1] for line in lines if len(line.split()) > 1}
    return int(found["MemAvailable"]) * 1024 if "MemAvailable" in found else None
