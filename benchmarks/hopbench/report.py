"""The report of a run: ``report.md`` with its pictures, from ``results.json`` alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hopbench.orchestrate import FORMAT
from hopbench.plots import plot_growth, plot_ratios, plot_shares
from hopbench.summary import Row, limits, seconds, summaries
from hopbench.table import rate

HOW = """\
Every peer runs in a process of its own, in its own Python; plain torch shares hopflow's. All have
the same number of threads and read the same graphs, seeds and features from the same files. After a
warm-up that does not count, the engines of a case take turns, one timed run each, until every one
has had its repeats; what disturbs the machine thus disturbs all of them. Shown are medians.

- **Ratio**: the peer's median time divided by hopflow's. 2 means that hopflow needs half the time;
  below 1 the peer is faster. In parentheses stand the quartiles of the ratios of the single turns.
- **Best configuration**: loaders are timed without workers and with two; each engine's faster way
  counts, hopflow's as well, and the table names it.
- **Loaders** are timed from batch to batch in mid-stream: starting and ending workers does not
  count, for any engine.
- **Operators** shorter than 20 ms are repeated within a timed run; the time is that of one call.
- **Of the limit**: what the machine would need at the least, by limits measured in the same run,
  divided by the time taken. *copy, reuse* counts every source row once, *copy, no reuse* once an
  edge; what stays in a cache can pass 100 %. *random lines* counts one cache line for each sampled
  edge and each node whose edges are drawn. *GEMM* counts the dense products alone, at the speed of
  the fastest product of the models' shapes."""


def load(path: Path) -> dict[str, Any]:
    """Read ``results.json``; raises ValueError for anything else."""
    try:
        results: dict[str, Any] = json.loads(path.read_text())
        number = results.get("format")
    except (ValueError, AttributeError):
        raise ValueError(f"{path}: expected results of hopflow bench, which are JSON") from None
    if number != FORMAT:
        raise ValueError(f"{path}: expected results of format {FORMAT}, got {number!r}")
    return results


def write(results: Mapping[str, Any], folder: Path) -> Path:
    """Write ``report.md`` and its pictures into a folder; returns the report's path."""
    folder.mkdir(parents=True, exist_ok=True)
    all_rows = summaries(results)
    rows = [
        row for row, case in zip(all_rows, results["cases"])
        if "growth" not in case and not row.name.startswith("limits.")
    ]  # fmt: skip
    parts = [
        "# hopflow against its peers", *_intro(results), *_short(rows), "## How it was measured",
        HOW, *_ratio_part(rows, folder), *_limit_part(results, rows, folder),
        *_growth_part(results, folder), *_trouble_part(all_rows), *_versions(results),
    ]  # fmt: skip
    path = folder / "report.md"
    path.write_text("\n\n".join(parts) + "\n")
    return path


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _intro(results: Mapping[str, Any]) -> list[str]:
    machine, settings, commit = results["machine"], results["settings"], results["checkout"]
    text = (
        f"Run on {results['date']} in {results.get('wall_seconds', 0) / 60:.0f} minutes on"
        f" {machine['cpu']} with {machine['cores']} cores and {machine['memory_gib']} GiB of memory"
        f" (Linux {machine['kernel']}; load {machine['load_before']} before,"
        f" {machine.get('load_after', '?')} after), {settings['threads']} threads for every engine,"
        f" {settings['repeats']} repeats at most."
    )
    if commit:
        state = ", with uncommitted changes" if commit["dirty"] else ""
        text += f" Commit `{commit['commit'][:12]}`{state}."
    if not results["is_complete"]:
        text += " **The run was interrupted: cases are missing.**"
    return [text]


def _short(rows: Sequence[Row]) -> list[str]:
    pairs = [(row, ratio) for row in rows for ratio in row.ratios]
    if not pairs:
        return ["No peer gave a time: nothing is compared."]
    slower = sorted((p for p in pairs if p[1].value < 1), key=lambda pair: pair[1].value)
    lines = [
        "## In short",
        f"Of {len(pairs)} comparisons hopflow is faster in {len(pairs) - len(slower)} and slower in"
        f" {len(slower)}.",
    ]
    if slower:
        lines.append(
            "**Slower than a peer:**\n\n"
            + "\n".join(
                f"- `{row.name}`: {ratio.peer} needs {ratio.value:.2f} times hopflow's time"
                f" ({ratio.low:.2f} to {ratio.high:.2f})"
                for row, ratio in slower
            )
        )
    return lines


def _ratio_part(rows: Sequence[Row], folder: Path) -> list[str]:
    parts = ["## Against the peers"]
    if any(row.ratios for row in rows):
        plot_ratios(rows, folder / "ratios.png")
        parts.append("![Ratio of every peer's time to hopflow's, by case](ratios.png)")
    table = [
        [
            f"`{row.name}`", row.what,
            f"{row.ours['label']}: {seconds(row.ours['median'])} a {row.unit}" if row.ours else "-",
            "<br>".join(
                f"{r.peer_label} **{r.value:.2f}** ({r.low:.2f} to {r.high:.2f})"
                for r in row.ratios
            ) or "-",
        ]
        for row in rows
    ]  # fmt: skip
    parts.append(_table(("case", "what", "ours, median", "peer: ratio (quartiles)"), table))
    unequal = [f"- `{row.name}`: {note}." for row in rows for note in row.unequal]
    if unequal:
        parts.append("Not the same work:\n\n" + "\n".join(unequal))
    return parts


def _limit_part(results: Mapping[str, Any], rows: Sequence[Row], folder: Path) -> list[str]:
    found = limits(results)
    if not found:
        return []
    what = {case["name"]: case["what"] for case in results["cases"]}
    table = [[what[f"limits.{name}"], rate(name, value)] for name, value in found.items()]
    parts = ["## Against the machine", _table(("limit", "measured"), table)]
    reached = [row for row in rows if row.shares]
    if reached:
        plot_shares(reached, folder / "limits.png")
        parts.append("![Per cent of the machine's limit that each case reaches](limits.png)")
        parts.append(
            _table(
                ("case", "of the limit"),
                [
                    [
                        f"`{row.name}`",
                        ", ".join(f"{100 * s.share:.0f} % of {s.what}" for s in row.shares),
                    ]
                    for row in reached
                ],
            )
        )
    return parts


def _growth_part(results: Mapping[str, Any], folder: Path) -> list[str]:
    parts = []
    for case in results["cases"]:
        growth = case.get("growth")
        if not growth:
            continue
        verdict = {True: "kept", False: "**broken**", None: "no result"}[growth["passed"]]
        value = "" if growth["value"] is None else f", measured {growth['value']:.3g}"
        parts.append(f"- {case['what']}. Bound: {growth['bound']}: {verdict}{value}.")
        if growth["points"]:
            plot_growth(case, folder / f"{case['name']}.png")
            parts.append(f"![{case['what']}]({case['name']}.png)")
    return ["## How cost grows", *parts] if parts else []


def _trouble_part(rows: Sequence[Row]) -> list[str]:
    troubles = [f"- `{row.name}`: {trouble}" for row in rows for trouble in row.troubles]
    return ["## What gave no time, and why", "\n".join(troubles)] if troubles else []


def _versions(results: Mapping[str, Any]) -> list[str]:
    rows = [
        [name, ", ".join(f"{key} {value}" for key, value in versions.items()) or "not started"]
        for name, versions in results["engines"].items()
    ]
    return [
        "## Versions",
        _table(("engine", "versions"), rows),
        "All raw times are in `results.json`; `hopflow bench --report results.json` draws this"
        " report again.",
    ]
