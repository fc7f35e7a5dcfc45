"""Compare hopflow with DGL as it is installed, on more than ``fixtures.npz`` holds.

Run with an interpreter that has hopflow; DGL lives in another::

    python tests/oracle/programs/compare.py --dgl /path/to/python

Random inputs, made with numpy from a seed, go to a temporary file; this program runs itself under
DGL's interpreter, which never imports hopflow, then computes the same with hopflow and prints a
table. A result and each gradient is one comparison. The exit status is 1 if any differs. What
hopflow lacks, and what DGL refuses, is skipped and counted; README.md lists the differences that
are meant.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from compare_cases import function_cases, message_cases, pass_cases
from compare_convolutions import convolution_cases
from compare_edge_layers import edge_layer_cases
from compare_engine import Case, Engine, Tensors, load, make_inputs, run_all, save
from compare_layers import layer_cases
from torch import Tensor

# Relative and absolute. float64 must agree to far more digits, which shows what float32 would hide.
TOLERANCES = {torch.float32: 2e-4, torch.float64: 1e-9}


def all_cases(only: str) -> list[Case]:
    """Every case whose path holds a text."""
    made = [*message_cases(), *pass_cases(), *function_cases(), *layer_cases(),
            *convolution_cases()]  # fmt: skip
    made += edge_layer_cases()
    paths = Counter(case.path for case in made)
    assert len(paths) == len(made), [path for path, count in paths.items() if count > 1]
    return [case for case in made if only in case.path]


@dataclass
class Row:
    """One line of the table."""

    cases: int = 0
    compared: int = 0
    differ: int = 0
    skipped: int = 0
    worst: dict[torch.dtype, float] = field(default_factory=dict)


def difference(got: Tensor | None, want: Tensor | None) -> tuple[str, float]:
    """What is wrong, "" if nothing, and the largest absolute error."""
    if got is None or want is None:
        return f"{'hopflow' if got is None else 'DGL'} has none", 0.0
    if got.shape != want.shape:
        return f"shape {list(got.shape)}, DGL {list(want.shape)}", 0.0
    if got.dtype != want.dtype:
        return f"{got.dtype}, DGL {want.dtype}", 0.0
    bound = TOLERANCES.get(got.dtype, 0.0)
    # Equal infinities are equal, and a NaN is equal to a NaN only.
    error = torch.where(got == want, torch.zeros_like(got), (got - want).abs()).double()
    error[got.isnan() & want.isnan()] = 0
    size = want.double().abs()
    allowed = bound * (1 + torch.where(size.isfinite(), size, torch.zeros_like(size)))
    bad = int((~(error <= allowed)).sum())
    worst = float(error.max()) if error.numel() else 0.0
    return (f"{bad} of {got.numel()} numbers, by up to {worst:.3g}" if bad else ""), worst


class Report:
    """Rows of the table, and what is to be said below it."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self.wrong: list[str] = []
        self.skips: Counter[str] = Counter()
        self.partly: Counter[str] = Counter()

    def add(
        self,
        case: Case,
        got: Tensors | None,
        want: Tensors | None,
        our_error: str | None,
        dgl_error: str | None,
    ) -> None:
        """Take in one case: what each engine gave, or raised."""
        row = self.rows.setdefault((case.group, case.graph), Row())
        row.cases += 1
        reason = case.known and f"known difference: {case.known}"
        if our_error is not None and our_error.startswith("missing: "):
            reason = our_error.removeprefix("missing: ")
        elif dgl_error is not None:
            # Both refuse, or hopflow does more: either way there is nothing to compare with.
            both = "both refuse" if our_error is not None else "DGL alone refuses"
            reason = f"{both} ({dgl_error[:90]})"
        if reason is not None:
            row.skipped += 1
            self.skips[reason] += 1
            return
        if case.but is not None:
            self.partly[case.but] += 1
        if got is None or want is None:
            row.compared += 1
            row.differ += 1
            self.wrong.append(f"{case.path}: hopflow raises {our_error}")
            return
        for name in sorted(got.keys() | want.keys()):
            row.compared += 1
            what, worst = difference(got.get(name), want.get(name))
            if name in want:
                dtype = want[name].dtype
                row.worst[dtype] = max(row.worst.get(dtype, 0.0), worst)
            if what:
                row.differ += 1
                self.wrong.append(f"{case.path}: {name}: {what}")

    def print(self, most: int) -> bool:
        """Write the table; whether all is well."""
        head = f"{'what':28} {'on':15} {'cases':>6} {'compared':>9} {'differ':>7} {'skipped':>8}"
        print(f"{head}  {'float32':>8}  {'float64':>8}")
        for (group, graph), row in self.rows.items():
            worst = "  ".join(
                f"{row.worst[d]:8.1e}" if d in row.worst else f"{'-':>8}" for d in TOLERANCES
            )
            print(
                f"{group:28} {graph:15} {row.cases:6} {row.compared:9} {row.differ:7}"
                f" {row.skipped:8}  {worst}"
            )
        for title, counts in (("skipped", self.skips), ("not compared in full", self.partly)):
            if counts:
                print(f"\n{title}:")
            for reason, count in counts.most_common():
                print(f"  {count:5}  {reason}")
        if self.wrong:
            print("\ndiffer:")
            for line in self.wrong[:most]:
                print(f"  {line}")
            if len(self.wrong) > most:
                print(f"  ... and {len(self.wrong) - most} more")
        compared = sum(row.compared for row in self.rows.values())
        skipped = sum(self.skips.values())
        known = sum(n for reason, n in self.skips.items() if reason.startswith("known"))
        refused = sum(n for reason, n in self.skips.items() if "refuse" in reason)
        print(
            f"\n{compared} comparisons, {len(self.wrong)} differ; {skipped} cases skipped:"
            f" {known} for known differences, {refused} that DGL refuses,"
            f" {skipped - known - refused} that hopflow lacks"
        )
        return not self.wrong and compared > 0


def run_dgl(python: str, seed: int, only: str, folder: Path) -> tuple[Path, Path]:
    """This program under DGL's interpreter; where it left results and layers' parameters."""
    inputs, results, states = (folder / f"{name}.npz" for name in ("inputs", "results", "states"))
    save(inputs, {"": {k: torch.from_numpy(x) for k, x in make_inputs(seed).items()}}, {})
    # The path that leads here to hopflow must not lead there.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    command = [python, str(Path(__file__).resolve()), "--under-dgl", *map(str, (
        inputs, results, states)), "--only", only]  # fmt: skip
    done = subprocess.run(command, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{python}: DGL's side ended with status {done.returncode}")
    return results, states


def under_dgl(inputs: str, results: str, states: str, only: str) -> None:
    """DGL's side."""
    import dgl

    engine = Engine("dgl", {k: x.numpy() for k, x in load(Path(inputs))[0][""].items()})
    found, errors = run_all(all_cases(only), engine)
    assert "hopflow" not in sys.modules
    about = {"dgl": dgl.__version__, "torch": torch.__version__, "errors": errors}
    save(Path(results), found, about)
    save(Path(states), engine.made_states, {})


def compare(cases: Iterable[Case], results: Path, states: Path, seed: int) -> Report:
    """hopflow's side, beside DGL's results."""
    wanted, about = load(results)
    engine = Engine("hopflow", make_inputs(seed), states=load(states)[0])
    hopflow = engine.module()
    print(
        f"hopflow {hopflow.__version__} with torch {torch.__version__}, DGL {about['dgl']} with"
        f" torch {about['torch']}, seed {seed}\n"
    )
    report = Report()
    for case in cases:
        found, errors = run_all([case], engine)
        path = case.path
        report.add(case, found.get(path), wanted.get(path), errors.get(path),
                   about["errors"].get(path))  # fmt: skip
    return report


def main() -> None:
    """Compare, or be DGL's side of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dgl", metavar="PYTHON", help="the interpreter that has DGL")
    parser.add_argument("--seed", type=int, default=20260229, help="of the random inputs")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose path has a text")
    parser.add_argument("--most", type=int, default=60, help="differences to list")
    parser.add_argument("--under-dgl", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.under_dgl:
        inputs, results, states = options.under_dgl
        under_dgl(inputs, results, states, options.only)
        return
    if options.dgl is None:
        parser.error("--dgl: expected the path of a Python interpreter that has DGL")
    with tempfile.TemporaryDirectory() as folder:
        results, states = run_dgl(options.dgl, options.seed, options.only, Path(folder))
        report = compare(all_cases(options.only), results, states, options.seed)
    sys.exit(0 if report.print(options.most) else 1)


if __name__ == "__main__":
    main()
