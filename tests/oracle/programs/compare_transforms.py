"""Compare hopflow's transforms with those of DGL as it is installed, on random graphs.

Run with an interpreter that has hopflow; DGL lives in another::

    python tests/oracle/programs/compare_transforms.py --dgl /path/to/python --worlds 24

This program runs itself under DGL's interpreter, which never imports hopflow; both make the same
graphs from the same numbers. What is printed, and the exit status, are as in ``compare.py``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from compare_engine import load
from compare_typed import compare, under_dgl
from transform_cases import all_cases


def main() -> None:
    """Compare, or be DGL's side of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dgl", metavar="PYTHON", help="the interpreter that has DGL")
    parser.add_argument("--worlds", type=int, default=24, help="how many random graphs")
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
    # The path that leads here to hopflow must not lead there.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    environment["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.npz"
        command = [options.dgl, "-W", "ignore", str(Path(__file__).resolve())]
        command += ["--under-dgl", str(results), "--worlds", str(options.worlds)]
        command += ["--first", str(options.first), "--only", options.only]
        done = subprocess.run(command, env=environment, check=False)
        if done.returncode:
            sys.exit(f"{options.dgl}: DGL's side ended with status {done.returncode}")
        wanted, about = load(results)
    report = compare(cases, wanted, about)
    print(f"DGL {about['dgl']} with torch {about['torch']}, here torch {torch.__version__}\n")
    sys.exit(0 if report.print(options.most) else 1)


if __name__ == "__main__":
    main()
