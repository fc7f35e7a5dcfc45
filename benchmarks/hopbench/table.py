"""The results as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hopbench.summary import COPIES, Row, limits, seconds, summaries


def _colour(ratio: float) -> str:
    return "green" if ratio > 1 else "red"


def rate(name: str, value: float) -> str:
    """A limit with its unit."""
    if name in COPIES:
        return f"{value / 1e9:.1f} GB/s"
    return f"{value / 1e6:.0f} M lines/s" if name == "lines" else f"{value / 1e9:.0f} GFLOP/s"


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    ours = row.ours
    ratios = "\n".join(
        f"{r.peer} [{_colour(r.value)}]{r.value:.2f}[/] ({r.low:.2f} to {r.high:.2f})"
        for r in row.ratios
    )
    shares = "\n".join(f"{100 * s.share:.0f} % of {s.what}" for s in row.shares)
    median = f"{seconds(ours['median'])} a {row.unit}" if ours else "-"
    return row.name, escape(ours["label"]) if ours else "-", median, ratios or "-", shares or "-"


def show(results: Mapping[str, Any], console: Console) -> None:
    """Print every case, then the growth bounds, then what gave no result."""
    if not console.is_terminal:  # a log has no edge to fold at
        console.width = max(console.width, 150)
    console.print(
        f"{results['machine']['cpu']}, {results['machine']['cores']} cores,"
        f" {results['settings']['threads']} threads"
    )
    for name, value in limits(results).items():
        console.print(f"limit {name}: {rate(name, value)}")
    rows = [
        row for row, case in zip(summaries(results), results["cases"])
        if "growth" not in case and not case["name"].startswith("limits.")
    ]  # fmt: skip
    table = Table(caption="ratio: the peer's time over hopflow's; above 1 hopflow is faster")
    for title in ("case", "ours", "median", "ratio (quartiles)", "of the limit"):
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    if rows:
        console.print(table)
    for case in results["cases"]:
        if growth := case.get("growth"):
            verdict = {True: "[green]kept[/]", False: "[red]broken[/]", None: "[red]no result[/]"}
            value = "" if growth["value"] is None else f" (measured {growth['value']:.3g})"
            console.print(f"{case['name']}: {growth['bound']}: {verdict[growth['passed']]}{value}")
    for row in summaries(results):
        for trouble in (*row.troubles, *row.unequal):
            console.print(f"[yellow]note:[/] {row.name}: {escape(trouble)}")
