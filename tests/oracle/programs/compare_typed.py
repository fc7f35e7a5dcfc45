"""Compare hopflow with DGL as it is installed, on random graphs of several types.

Run with an interpreter that has hopflow; DGL lives in another::

    python tests/oracle/programs/compare_typed.py --dgl /path/to/python --worlds 48

This program runs itself under DGL's interpreter, which never imports hopflow; both make the same
graphs from the same numbers. What is printed, and the exit status, are as in ``compare.py``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from compare import Report
from compare_engine import Case, Engine, Tensors, load, run_all, save
from typed_cases import all_cases
from typed_worlds import read_text


class TypedReport(Report):
    """A report that tells texts as well."""

    def add(
        self,
        case: Case,
        got: Tensors | None,
        want: Tensors | None,
        our_error: str | None,
        dgl_error: str | None,
    ) -> None:
        """Take in one case: what each engine gave, or raised."""
        super().add(case, got, want, our_error, dgl_error)
        for name in sorted((got or {}).keys() & (want or {}).keys()):
            ours, theirs = (got or {})[name], (want or {})[name]
            if theirs.dtype == torch.uint8 and not torch.equal(ours, theirs):
                told = f"{read_text(ours)}, DGL {read_text(theirs)}"
                self.wrong[-1] = f"{self.wrong[-1]}\n    {name}: {told}"


def under_dgl(results: str, cases: list[Case]) -> None:
    """DGL's side."""
    import dgl

    found, errors = run_all(cases, Engine("dgl", {}))
    assert "hopflow" not in sys.modules
    save(Path(results), found, {"dgl": dgl.__version__, "torch": torch.__version__,
                                "errors": errors})  # fmt: skip


def run_dgl(
    python: str, arguments: list[str], results: Path, program: str | Path = __file__
) -> None:
    """Let DGL's interpreter compute every case of a program."""
    # The path that leads here to hopflow must not lead there.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    environment["OMP_NUM_THREADS"] = "1"  # as in record_typed.py
    command = [
        python,
        "-W",
        "ignore",
        str(Path(program).resolve()),
        "--under-dgl",
        str(results),
        *arguments,
    ]
    done = subprocess.run(command, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{python}: DGL's side ended with status {done.returncode}")


def compare(cases: Iterable[Case], wanted: dict[str, Tensors], about: dict[str, Any]) -> Report:
    """hopflow's side, beside DGL's results."""
    engine = Engine("hopflow", {})
    report = TypedReport()
    for case in cases:
        found, errors = run_all([case], engine)
        path = case.path
        report.add(case, found.get(path), wanted.get(path), errors.get(path),
                   about["errors"].get(path))  # fmt: skip
    return report


def main(
    all_cases: Callable[[Iterable[int], str], list[Case]] = all_cases,
    program: str = __file__,
    about: str = __doc__.splitlines()[0],
) -> None:
    """Compare, or be DGL's side of it: these cases, or those of another program."""
    parser = argparse.ArgumentParser(description=about)
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
    arguments = ["--worlds", str(options.worlds), "--first", str(options.first)]
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.npz"
        run_dgl(options.dgl, [*arguments, "--only", options.only], results, program)
        wanted, dgl = load(results)
    report = compare(cases, wanted, dgl)
    print(f"DGL {dgl['dgl']} with torch {dgl['torch']}, here torch {torch.__version__}\n")
    sys.exit(0 if report.print(options.most) else 1)


if __name__ == "__main__":
    main()
