"""What of this process's memory is its own, and what is mapped from files."""

from __future__ import annotations

import re
from bisect import bisect_right
from pathlib import Path

from torch import Tensor

_MAPS = Path("/proc/self/maps")
_STATUS = Path("/proc/self/status")
_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ (\d+) *(.*)")


class MappedFiles:
    """Where files are mapped into this process's memory, as it was when this was made.

    On systems without ``/proc`` nothing is known to be mapped.
    """

    def __init__(self) -> None:
        found = []
        if _MAPS.is_file():
            for line in _MAPS.read_text().splitlines():
                parts = _LINE.match(line)
                if parts is not None and parts[3] != "0" and _is_file(parts[4]):
                    found.append((int(parts[1], 16), int(parts[2], 16)))
        self._begins = [begin for begin, _ in found]
        self._ends = [end for _, end in found]

    def holds(self, x: Tensor) -> bool:
        """Whether a tensor's memory is a mapped file's."""
        at = bisect_right(self._begins, x.data_ptr()) - 1
        return at >= 0 and x.data_ptr() < self._ends[at]


def own_memory() -> int | None:
    """Bytes of memory that this process has for itself, mapped files not counted; None where the
    system does not tell."""
    if not _STATUS.is_file():
        return None
    found = re.search(r"^RssAnon:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return None if found is None else int(found[1]) * 1024


def available_memory() -> int | None:
    """Bytes of memory that the machine, or this process's control group, could still give; None
    where the system does not tell."""
    file = Path("/proc/meminfo")
    if not file.is_file():
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    limits = [] if found is None else [int(found[1]) * 1024]
    for folder in _control_groups():
        most, now = _number(folder / "memory.max"), _number(folder / "memory.current")
        if most is not None and now is not None:
            limits.append(max(most - now, 0))
    return min(limits, default=None)


def _control_groups() -> list[Path]:
    """Folders of this process's control group and those above it (version 2)."""
    try:
        own = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2].lstrip("/")
    except OSError:
        return []
    root = Path("/sys/fs/cgroup")
    group = root / own
    return [folder for folder in (group, *group.parents) if root in (folder, *folder.parents)]


def _number(file: Path) -> int | None:
    """The number in a file, if it has one; "max" is none."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _is_file(name: str) -> bool:
    """Whether what is mapped is a file that memory could be given back to, not memory itself."""
    is_memory = name.startswith(("/dev/shm/", "/memfd:", "/SYSV")) or name.endswith("(deleted)")
    return name.startswith("/") and not is_memory
