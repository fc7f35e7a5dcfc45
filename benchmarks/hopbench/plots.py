"""The pictures of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hopbench.summary import Row

# Colours that stay apart for colour-blind readers (Okabe and Ito), and in grey by their markers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P")


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _horizontal(pyplot: Any, count: int) -> tuple[Any, Any]:
    figure, axes = pyplot.subplots(figsize=(9, 1.6 + 0.3 * count), layout="constrained")
    axes.set_ylim(count - 0.5, -0.5)  # first case on top
    axes.grid(axis="x", which="both", alpha=0.25)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _plain_numbers(axis: Any, values: Sequence[float]) -> None:
    """Write 0.5, 1, 20 on a logarithmic axis and not powers of ten; few enough not to touch."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    wide = max(values) / min(values) > 300
    axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def plot_ratios(rows: Sequence[Row], path: Path) -> None:
    """Each peer's time over ours, by case, with the quartiles of the turns."""
    pyplot = _pyplot()
    rows = [row for row in rows if row.ratios]
    peers = list(dict.fromkeys(ratio.peer for row in rows for ratio in row.ratios))
    figure, axes = _horizontal(pyplot, len(rows))
    values = [x for row in rows for r in row.ratios for x in (r.value, r.low, r.high)] + [1.0]
    axes.axvspan(min(values) / 1.3, 1, color="#D55E00", alpha=0.07, linewidth=0)
    axes.axvline(1, color="black", linewidth=1)
    for number, peer in enumerate(peers):
        shift = 0.5 * ((number + 1) / (len(peers) + 1) - 0.5)
        for y, row in enumerate(rows):
            for ratio in (r for r in row.ratios if r.peer == peer):
                colour = COLOURS[number % len(COLOURS)]
                axes.plot([ratio.low, ratio.high], [y + shift] * 2, color=colour, linewidth=1)
                axes.plot(
                    ratio.value, y + shift, MARKERS[number % len(MARKERS)], color=colour,
                    markersize=5.5, label=peer,
                )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 1.3, max(values) * 1.3)
    _plain_numbers(axes.xaxis, values)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_xlabel("time of the peer / time of hopflow (log scale; right of 1 hopflow is faster)")
    handles = {text: handle for handle, text in zip(*axes.get_legend_handles_labels())}
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", ncols=6, frameon=False
    )
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def plot_shares(rows: Sequence[Row], path: Path) -> None:
    """How much of the machine's limit each case reaches."""
    pyplot = _pyplot()
    rows = [row for row in rows if row.shares]
    figure, axes = _horizontal(pyplot, len(rows))
    kinds = list(dict.fromkeys(share.what for row in rows for share in row.shares))
    for y, row in enumerate(rows):
        height = 0.7 / len(row.shares)
        for number, share in enumerate(row.shares):
            place = y + (number - (len(row.shares) - 1) / 2) * height
            colour = COLOURS[kinds.index(share.what) % len(COLOURS)]
            axes.barh(place, 100 * share.share, height, color=colour, label=share.what)
    axes.axvline(100, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_xlabel("per cent of the limit that was measured in the same run")
    handles = {text: handle for handle, text in zip(*axes.get_legend_handles_labels())}
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", ncols=4, frameon=False
    )
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def plot_growth(case: Mapping[str, Any], path: Path) -> None:
    """One growth curve, with its bound in words."""
    pyplot = _pyplot()
    growth = case["growth"]
    figure, axes = pyplot.subplots(figsize=(6, 3.8), layout="constrained")
    xs = [point["x"] for point in growth["points"]]
    scale = 1e9 if growth["y_label"].startswith("ns") else 1e3
    ys = [
        scale * point["seconds"] / (point["work"][growth["per"]] if growth["per"] else 1)
        for point in growth["points"]
    ]
    axes.plot(xs, ys, "o-", color=COLOURS[0])
    if max(xs) > 100 * max(1, min(xs)):
        # Zero has a place on this scale, apart from the rest.
        least = min(x for x in xs if x > 0)
        axes.set_xscale("symlog", linthresh=least, linscale=0.5)
        axes.set_xlim(left=0 if min(xs) == 0 else least * 0.7)
        axes.minorticks_off()
    axes.set_xticks(xs, [f"{x:,}" for x in xs])
    axes.set_ylim(0, 1.25 * max(ys))
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel(growth["x_label"])
    axes.set_ylabel(growth["y_label"])
    verdict = {True: "kept", False: "broken", None: "no result"}[growth["passed"]]
    measured = "" if growth["value"] is None else f" (measured {growth['value']:.3g})"
    axes.set_title(f"{growth['bound']}\n{verdict}{measured}", fontsize=9)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
