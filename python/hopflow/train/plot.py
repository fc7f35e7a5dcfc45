"""The picture of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hopflow.train.loop import TrainResult


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


def plot_curves(result: TrainResult, path: Path, title: str) -> None:
    """Draw loss and accuracies over the epochs into an image file.

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
    loss, accuracy = figure.subplots(1, 2)
    loss.plot(epochs, [r.loss for r in result.history], color="tab:gray", marker=".")
    loss.set(xlabel="epoch", ylabel="training loss (cross-entropy)", title="Loss")
    for name, color in (("train", "tab:gray"), ("valid", "tab:blue"), ("test", "tab:orange")):
        values = [100 * getattr(r, f"{name}_accuracy") for r in result.history]
        accuracy.plot(epochs, values, color=color, marker=".", label=name)
    accuracy.axvline(result.best_epoch, color="tab:blue", linestyle=":", linewidth=1)
    accuracy.set(xlabel="epoch", ylabel="accuracy (%)", title="Accuracy")
    accuracy.legend(loc="lower right")
    for axes in (loss, accuracy):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    # Over the whole width: over one panel it would be cut off.
    figure.suptitle(
        f"{title}: test {100 * result.test_accuracy:.1f} % at the best validation"
        f" (epoch {result.best_epoch})"
    )
    figure.savefig(path, dpi=120)
