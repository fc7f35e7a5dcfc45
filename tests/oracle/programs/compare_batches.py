"""Compare hopflow with DGL as it is installed, on batches of random small graphs.

Run with an interpreter that has hopflow; DGL lives in another::

    python tests/oracle/programs/compare_batches.py --dgl /path/to/python --worlds 40

This program runs itself under DGL's interpreter, which never imports hopflow; both make the same
graphs from the same numbers. What is printed, and the exit status, are as in ``compare.py``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from batch_cases import all_cases
from compare import Report
from compare_engine import Case, Engine, Tensors, load, run_all, save


def under_dgl(results: str, cases: list[Case]) -> None:
    """DGL's side."""
    import dgl

    found, errors = run_all(cases, Engine("dgl", {}))
    assert "hopflow" not in sys.modules
    about = {"dgl": dgl.__version__, "torch": torch.__version__, "errors": errors}
    save(Path(results), found, about)


def compare(cases: Iterable[Case], wanted: dict[str, Tensors], about: dict[str, Any]) -> Report:
    """hopflow's side, beside DGL's results."""
    engine, report = Engine("hopflow", {}), Report()
    for case in cases:
        found, errors = run_all([case], engine)
        path = case.path
        refused = about["errors"].get(path)
        report.add(case, found.get(path), wanted.get(path), errors.get(path), refused)
    return report


def main() -> None:
    """Compare, or be DGL's side of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dgl", metavar="PYTHON", help="the interpreter that has DGL")
    parser.add_argument("--worlds", type=int, default=12, help="how many batches")
    parser.add_argument("--first", type=int, default=1000, help="the number of the first of them")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose path has a text")
    parser.add_argument("--most", type=int, default=60, help="differences to list")
    parser.add_argument("--under-dgl", metavar="RESULTS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases = all_cases(range(options.first, options.first + options.worlds), options.only)
    if options.under_dgl:
        under_dgl(options.under_dgl, cases)
        return
    if options.dgl is None:
        parser.error("--dgl: expected the path of a Python interpreter that has DGL")
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.npz"
        # The path that leads here to hopflow must not lead there.
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        command = [
            options.dgl, "-W", "ignore", str(Path(__file__).resolve()), "--under-dgl", str(results),
            "--worlds", str(options.worlds), "--first", str(options.first), "--only", options.only,
        ]  # fmt: skip
        done = subprocess.run(command, env=environment, check=False)
        if done.returncode:
            sys.exit(f"{options.dgl}: DGL's side ended with status {done.returncode}")
        wanted, about = load(results)
    report = compare(cases, wanted, about)
    print(f"DGL {about['dgl']} with torch {about['torch']}, here torch {torch.__version__}\n")
    sys.exit(0 if report.print(options.most) else 1)


if __name__ == "__main__":
    main()
