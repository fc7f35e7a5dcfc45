"""What a benchmark is: a case, its entries, and the task that an entry's setup returns."""

from __future__ import annotations

import importlib
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# A timed run shorter than this is repeated within the run: clocks and interrupts are this coarse.
LEAST_SECONDS = 0.02


class Unavailable(Exception):
    """An engine that cannot do a case here; the reason is shown in the table."""


@dataclass(frozen=True)
class Task:
    """One entry, set up: what is timed, and how much work that is.

    ``run`` does the work once. ``measure`` returns the seconds that one unit of it took (a call, a
    batch). ``work`` counts, for one unit, what the limits of the machine are counted in:
    ``edges``; ``bytes_reuse`` and ``bytes_none``, the least that must be moved when every source
    row is read once, or once an edge; ``lines``, independent random cache lines; ``flops``.
    """

    run: Callable[[], Any]
    measure: Callable[[], float]
    work: Mapping[str, float] = field(default_factory=dict)


def timed(run: Callable[[], Any], work: Mapping[str, float] | None = None) -> Task:
    """A task of one callable; what it returns is released before the next call."""
    calls = 0

    def measure() -> float:
        nonlocal calls
        if not calls:  # the first measurement is the warm-up, which also counts the calls
            run()
            start = time.perf_counter()
            run()
            calls = max(1, math.ceil(LEAST_SECONDS / max(time.perf_counter() - start, 1e-9)))
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return (time.perf_counter() - start) / calls

    return Task(run, measure, work or {})


Setup = Callable[..., Task]


@dataclass(frozen=True)
class Entry:
    """One engine's way to do a case.

    Several entries of one engine are its configurations (say, numbers of workers); the fastest one
    counts. ``home`` is the engine whose interpreter runs it, where that is not its own.
    """

    engine: str
    setup: Setup
    options: Mapping[str, Any] = field(default_factory=dict)
    home: str = ""

    @property
    def label(self) -> str:
        """The engine with its options, for people."""
        options = ", ".join(f"{key.replace('_', ' ')} {v}" for key, v in self.options.items())
        return f"{self.engine} ({options})" if options else self.engine


@dataclass(frozen=True, kw_only=True)
class Case:
    """Entries that do the same work and are timed in turn.

    ``ours`` is the engine that the others are held against. ``workloads`` are made before any entry
    is set up. ``limit`` names the machine's limit that the case is held against: ``copy``,
    ``lines``, ``gemm`` or none. A ``heavy`` case takes minutes or gigabytes and is left out of
    ``--quick``.
    """

    name: str
    what: str
    entries: Sequence[Entry]
    unit: str = "call"
    workloads: Sequence[str] = ()
    limit: str = ""
    ours: str = "hopflow"
    heavy: bool = False
    most_repeats: int = 1000


@dataclass(frozen=True)
class Point:
    """One point of a growth curve."""

    x: float
    seconds: float
    work: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Growth(Case):
    """A case whose entries are points of a curve, with a bound on how the cost grows.

    ``x`` is the option that is the abscissa. ``judge`` turns the points into the number that
    ``bound`` speaks of; ``passes`` says whether it is kept.
    """

    x: str
    x_label: str
    y_label: str
    bound: str
    judge: Callable[[Sequence[Point]], float]
    passes: Callable[[float], bool]
    per: str = ""  # divide the seconds by this count of the work


def here() -> Path:
    """The folder of the benchmarks."""
    return Path(__file__).resolve().parents[1]


def load_file(path: Path) -> list[Case]:
    """The cases of one ``bench_*.py``: its ``CASES``."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    return list(importlib.import_module(path.stem).CASES)


def discover(folder: Path) -> dict[str, tuple[Path, Case]]:
    """Every case in a folder by its name, with the file that declares it, limits first."""
    found: dict[str, tuple[Path, Case]] = {}
    paths = sorted(folder.glob("bench_*.py"), key=lambda p: (p.stem != "bench_limits", p.stem))
    for path in paths:
        for case in load_file(path):
            if case.name in found:
                raise ValueError(f"{path.name}: another file has a case {case.name}")
            found[case.name] = (path, case)
    return found
