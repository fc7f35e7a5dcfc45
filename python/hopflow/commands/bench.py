"""``hopflow bench``: finds the benchmarks, runs them and writes their report.

The benchmarks are a folder of their own, because their files also run in interpreters that have no
hopflow: ``benchmarks/`` in a checkout, ``hopflow/benchmarks`` in an installation.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console
from rich.markup import escape

from hopflow.commands.shared import Debug, console, readable_errors, results


def bench(
    cases: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(help="Cases, or how their names begin: loader, spmm.mean …  [default: all]"),
    ] = None,
    peer: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="An engine to compare with, dgl, graphbolt or pyg, as name=/its/python."),
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of every engine.")] = 2,
    repeats: Annotated[int, typer.Option(help="Timed runs of each case, at most.")] = 7,
    timeout: Annotated[float, typer.Option(help="Seconds for one step of one engine.")] = 900,
    out: Annotated[Path, typer.Option(help="Folder for results and report.")] = Path(
        "bench-results"
    ),
    cache: Annotated[
        Optional[Path], typer.Option(help="Folder that keeps the synthetic graphs.")  # noqa: UP045
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what takes minutes.")] = False,
    names: Annotated[bool, typer.Option("--list", help="Print the cases and leave.")] = False,
    report: Annotated[
        Optional[Path], typer.Option(help="Draw the report of a results.json again.")  # noqa: UP045
    ] = None,
    debug: Debug = False,
) -> None:
    """Time hopflow beside plain torch and other engines, and write a report with plots."""
    with readable_errors(debug):
        if names:
            list_cases(results(False))
            return
        if report is not None:
            written = redraw(report, results(False))
        else:
            options = BenchOptions(
                cases=cases or (), peers=peer or (), threads=threads, repeats=repeats,
                timeout=timeout, out=out, cache=cache, quick=quick,
            )  # fmt: skip

            def say(text: str) -> None:
                console.print(text, markup=False)

            written = run(options, say, results(False))
        console.print(f"report: {escape(str(written))}")


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What the command was asked for; ``folder`` replaces the benchmarks that hopflow ships."""

    cases: Sequence[str] = ()
    peers: Sequence[str] = ()
    threads: int = 2
    repeats: int = 7
    timeout: float = 900.0
    out: Path = Path("bench-results")
    cache: Path | None = None
    quick: bool = False
    folder: Path | None = None


def find() -> Path:
    """The folder of the benchmarks, a checkout's own before an installed one."""
    here = Path(__file__).resolve()
    places = (here.parents[3] / "benchmarks", here.parents[1] / "benchmarks")
    for folder in places:
        if (folder / "hopbench").is_dir():
            return folder
    raise FileNotFoundError(f"no benchmarks in {' or '.join(map(str, places))}")


def _harness(name: str, folder: Path) -> Any:
    for path in (str(find()), str(folder)):
        if path not in sys.path:
            sys.path.insert(0, path)
    return importlib.import_module(f"hopbench.{name}")


def parse_peers(peers: Sequence[str]) -> dict[str, str]:
    """``name=/path/to/python`` for each peer, as a dict."""
    parsed = {}
    for peer in peers:
        name, equals, python = peer.partition("=")
        if not equals or not python:
            raise ValueError(f"--peer: expected name=/path/to/python, got {peer!r}")
        if name in parsed:
            raise ValueError(f"--peer {name}: given twice")
        parsed[name] = python
    return parsed


def _require_matplotlib() -> None:
    try:
        importlib.import_module("matplotlib")
    except ImportError:
        raise ImportError(
            "the report's plots need matplotlib: pip install 'hopflow[bench]'"
        ) from None


def run(options: BenchOptions, say: Callable[[str], None], out: Console) -> Path:
    """Run the cases, print the table and write ``results.json`` and the report.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    ValueError
        Cases or peers that do not exist, numbers below 1, nothing left to run.
    ImportError
        matplotlib is missing; told before anything runs.
    """
    for name in ("threads", "repeats", "timeout"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name}: expected at least 1, got {getattr(options, name)}")
    _require_matplotlib()
    folder = (options.folder or find()).resolve()
    orchestrate = _harness("orchestrate", folder)
    given = {} if options.cache is None else {"cache": options.cache.resolve()}
    settings = orchestrate.Settings(
        cases=options.cases, peers=parse_peers(options.peers), threads=options.threads,
        repeats=options.repeats, timeout=options.timeout, quick=options.quick, **given,
    )  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)

    def keep(results: dict[str, Any]) -> None:
        (options.out / "results.json").write_text(json.dumps(results, indent=1))

    results = orchestrate.run(folder, settings, say, keep=keep)
    keep(results)
    return _show(results, options.out, out)


def list_cases(out: Console) -> None:
    """Print every case's name and what it does."""
    folder = find()
    for name, (_, case) in _harness("case", folder).discover(folder).items():
        out.print(f"{name}  {case.what}", markup=False)


def redraw(path: Path, out: Console) -> Path:
    """Print and draw results of an earlier run; the report is written beside them."""
    if not path.is_file():
        raise FileNotFoundError(f"--report {path}: no such file")
    _require_matplotlib()
    return _show(_harness("report", find()).load(path), path.resolve().parent, out)


def _show(results: dict[str, Any], folder: Path, out: Console) -> Path:
    _harness("table", find()).show(results, out)
    report: Path = _harness("report", find()).write(results, folder)
    return report
