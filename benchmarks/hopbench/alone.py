"""``python benchmarks/bench_X.py``: the cases of one file, hopflow against torch alone."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from hopbench.case import load_file
from hopbench.orchestrate import Settings, run
from hopbench.table import show


def main(file: str) -> None:
    """Run the cases of a file, those of ``bench_limits.py`` that they need included."""
    path = Path(file).resolve()
    limits = path.with_name("bench_limits.py")
    found = {case.name: (p, case) for p in (limits, path) for case in load_file(p)}
    console = Console(highlight=False, soft_wrap=True)
    names = [case.name for case in load_file(path)]
    show(run(path.parent, Settings(cases=names), console.print, found), console)
