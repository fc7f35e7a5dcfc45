"""The picture of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hopflow.train.records import PARTS, TrainResult
from hopflow.train.targets import ACCURACY, Metric


def _new_figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("--plot needs matplotlib: pip install 'hopflow[plot]'") from None
    # A Figure of its own needs no backend and leaves matplotlib's global state alone.
    return Figure(figsize=(9, 4), layout="constrained")


def check_plot(path: Path) -> None:
    """Raise what :func:`plot_curves` would, before there is anything to draw."""
    known = _new_figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise ValueError(
            f"{path}: expected an image such as .png, .svg or .pdf, got"
            f" {path.suffix or 'no suffix'!r}"
        )


def plot_curves(
    result: TrainResult,
    path: Path,
    title: str,
    *,
    metric: Metric = ACCURACY,
    loss_name: str = "cross-entropy",
) -> None:
    """Draw loss and scores over the epochs into an image file.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        A file type that matplotlib does not write.
    """
    figure = _new_figure()
    from matplotlib.ticker import MaxNLocator

    epochs = [record.epoch for record in result.history]
    factor, unit = (100, " (%)") if metric.is_share else (1, "")
    loss, score = figure.subplots(1, 2)
    loss.plot(epochs, [r.loss for r in result.history], color="tab:gray", marker=".")
    loss.set(xlabel="epoch", ylabel=f"training loss ({loss_name})", title="Loss")
    for name, color in zip(PARTS, ("tab:gray", "tab:blue", "tab:orange")):
        values = [factor * record.score(name, metric.key) for record in result.history]
        if name != "train" or any(value == value for value in values):
            score.plot(epochs, values, color=color, marker=".", label=name)
    score.axvline(result.best_epoch, color="tab:blue", linestyle=":", linewidth=1)
    short = metric.title.split(" among ")[0]
    score.set(xlabel="epoch", ylabel=metric.title + unit, title=short[:1].upper() + short[1:])
    score.legend(loc="upper right" if metric.is_error else "lower right")
    for axes in (loss, score):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    # Over the whole width: over one panel it would be cut off.
    test = result.to_dict()[f"test_{metric.key}"]
    told = f"{100 * test:.1f} %" if metric.is_share else f"{test:.4g}"
    figure.suptitle(f"{title}: test {told} at the best validation (epoch {result.best_epoch})")
    figure.savefig(path, dpi=120)
