"""From raw times to what is shown: medians, ratios and shares of the machine's limits."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ratio:
    """A peer's time over ours: above 1 we are faster. Quartiles are of the turns' own ratios."""

    peer: str
    value: float
    low: float
    high: float
    peer_label: str
    our_label: str


@dataclass(frozen=True)
class Share:
    """How much of what the machine can do a case reaches, by one way of counting."""

    what: str
    share: float


@dataclass(frozen=True)
class Row:
    """One case, summed up."""

    name: str
    what: str
    unit: str
    ours: Mapping[str, Any] | None  # our best entry, with its "median"
    ratios: Sequence[Ratio]
    shares: Sequence[Share]
    troubles: Sequence[str]  # entries that gave no time, with the reason
    unequal: Sequence[str]  # engines that did another amount of work


# Limits that are counted in bytes, and what they are called.
COPIES = {"copy": "copy", "cuda-copy": "copy", "cuda-host": "copy from the host"}


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def best(entries: Sequence[Mapping[str, Any]], engine: str) -> dict[str, Any] | None:
    """The fastest configuration of an engine, with its median; None without any time."""
    timed = [
        {**e, "median": statistics.median(e["seconds"])}
        for e in entries
        if e["engine"] == engine and e["status"] == "ok" and e["seconds"]
    ]
    return min(timed, key=lambda e: e["median"], default=None)


def limits(results: Mapping[str, Any]) -> dict[str, float]:
    """The machine's limits as measured: bytes, lines or operations a second, by case name.

    Each is the best of its entries' medians.
    """
    unit = {**dict.fromkeys(COPIES, "bytes_none"), "lines": "lines", "gemm": "flops"}
    found = {}
    for case in results["cases"]:
        group, _, name = case["name"].partition(".")
        if group != "limits":
            continue
        key = unit[name.split(".")[0]]
        rates = [
            e["work"][key] / statistics.median(e["seconds"])
            for e in case["entries"]
            if e["status"] == "ok" and e["seconds"]
        ]
        if rates:
            found[name] = max(rates)
    return found


def _shares(kind: str, ours: Mapping[str, Any] | None, found: Mapping[str, float]) -> list[Share]:
    if ours is None:
        return []
    work, seconds = ours["work"], ours["median"]
    if kind in COPIES and kind in found:
        ways = (("reuse", "bytes_reuse"), ("no reuse", "bytes_none"))
        return [
            Share(f"{COPIES[kind]}, {way}", work[key] / found[kind] / seconds)
            for way, key in ways
            if key in work
        ]
    if kind == "lines" and "lines" in found and "lines" in work:
        return [Share("random lines", work["lines"] / found["lines"] / seconds)]
    rates = [rate for name, rate in found.items() if name.startswith("gemm")]
    if kind == "gemm" and rates and "flops" in work:
        return [Share("GEMM", work["flops"] / max(rates) / seconds)]
    return []


def _unequal(entries: Sequence[Mapping[str, Any]], ours: Mapping[str, Any] | None) -> list[str]:
    if ours is None or not ours["work"].get("edges"):
        return []
    edges = ours["work"]["edges"]
    notes = {}
    for entry in entries:
        theirs = entry["work"].get("edges") if entry["status"] == "ok" else None
        if entry["engine"] != ours["engine"] and theirs and abs(theirs / edges - 1) > 0.03:
            notes[entry["engine"]] = (
                f"{entry['engine']} did {theirs / edges:.2f} times the edges of ours: it samples"
                " by other rules"
            )
    return list(notes.values())


def summarise(case: Mapping[str, Any], found: Mapping[str, float]) -> Row:
    """Sum one case up."""
    entries = case["entries"]
    ours = best(entries, case["ours"])
    ratios = []
    if ours is not None and "growth" not in case:
        for peer in dict.fromkeys(e["engine"] for e in entries if e["engine"] != case["ours"]):
            theirs = best(entries, peer)
            if theirs is None:
                continue
            # Turns were taken one after the other: each pair saw the same weather.
            pairs = [t / o for t, o in zip(theirs["seconds"], ours["seconds"])]
            value = theirs["median"] / ours["median"]
            ratios.append(Ratio(peer, value, *_quartiles(pairs), theirs["label"], ours["label"]))
    return Row(
        case["name"], case["what"], case["unit"], ours, ratios,
        _shares(case["limit"], ours, found),
        [f"{e['label']}: {e['status']}: {e['reason']}" for e in entries
         if e["status"] != "ok" or not e["seconds"]],
        _unequal(entries, ours),
    )  # fmt: skip


def summaries(results: Mapping[str, Any]) -> list[Row]:
    """Sum every case up, in the order in which they ran."""
    found = limits(results)
    return [summarise(case, found) for case in results["cases"]]


def seconds(value: float) -> str:
    """A time with a fitting unit."""
    for scale, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * scale >= 1:
            return f"{value * scale:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"
