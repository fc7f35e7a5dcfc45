"""The picture of a run."""

from __future__ import annotations

from pathlib import Path

from hopflow.train.loop import TrainResult


def plot_curves(result: TrainResult, path: Path, title: str) -> None:
    """Draw loss and accuracies over the epochs into an image file.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        A file type that matplotlib does not write.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        raise ImportError("--plot needs matplotlib: pip install 'hopflow[plot]'") from None
    epochs = [record.epoch for record in result.history]
    # A Figure of its own needs no backend and leaves matplotlib's global state alone.
    figure = Figure(figsize=(9, 4), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    loss.plot(epochs, [r.loss for r in result.history], color="tab:gray", marker=".")
    loss.set(xlabel="epoch", ylabel="training loss (cross-entropy)", title="Loss")
    for name, color in (("train", "tab:gray"), ("valid", "tab:blue"), ("test", "tab:orange")):
        values = [100 * getattr(r, f"{name}_accuracy") for r in result.history]
        accuracy.plot(epochs, values, color=color, marker=".", label=name)
    accuracy.axvline(result.best_epoch, color="tab:blue", linestyle=":", linewidth=1)
    accuracy.set(
        xlabel="epoch",
        ylabel="accuracy (%)",
        title=f"Accuracy: test {100 * result.test_accuracy:.1f} % at the best validation"
        f" (epoch {result.best_epoch})",
    )
    accuracy.legend(loc="lower right")
    for axes in (loss, accuracy):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
