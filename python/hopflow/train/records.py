"""What a run tells: of an epoch, of all, and while it goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopflow.train.targets import Metric

PARTS = ("train", "valid", "test")
_NAN = float("nan")  # one object, so that records without accuracies may be equal


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: mean training loss and accuracies in [0, 1], or else other scores.

    Of training nodes the scores are those of the batches, while the model learned.

    Attributes
    ----------
    train_accuracy, valid_accuracy, test_accuracy : float
        Where labels are classes; elsewhere NaN.
    scores : dict
        Elsewhere the scores by part and metric, such as "valid_rmse".
    """

    epoch: int
    loss: float
    train_accuracy: float
    valid_accuracy: float
    test_accuracy: float
    seconds: float
    scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, epoch: int, loss: float, scores: Mapping[str, float], seconds: float
    ) -> EpochRecord:
        """A record of scores by name, accuracies among them if labels are classes."""
        names = [f"{part}_accuracy" for part in PARTS]
        train, valid, test = (scores.get(name, _NAN) for name in names)
        others = {name: value for name, value in scores.items() if name not in names}
        return cls(epoch, loss, train, valid, test, seconds, others)

    def score(self, part: str, metric: str) -> float:
        """A score; NaN if it is not known of this part."""
        value: float = self.to_dict().get(f"{part}_{metric}", _NAN)
        return value

    def to_dict(self) -> dict[str, Any]:
        """Plain values, scores among them by name."""
        scores = self.scores or {f"{p}_accuracy": getattr(self, f"{p}_accuracy") for p in PARTS}
        return {"epoch": self.epoch, "loss": self.loss, **scores, "seconds": self.seconds}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EpochRecord:
        """Make a record of what :meth:`to_dict` gave."""
        rest = dict(values)
        own = {name: rest.pop(name) for name in ("epoch", "loss", "seconds")}
        return cls.of(scores=rest, **own)


@dataclass(frozen=True)
class TrainResult:
    """A finished run. Scores are those of the best epoch on validation, as in its record."""

    best_epoch: int
    valid_accuracy: float
    test_accuracy: float
    history: list[EpochRecord]
    seconds: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, best: EpochRecord, history: list[EpochRecord], seconds: dict[str, float]
    ) -> TrainResult:
        """The result of a run whose best epoch is known."""
        others = {k: x for k, x in best.scores.items() if not k.startswith("train_")}
        return cls(
            best.epoch, best.valid_accuracy, best.test_accuracy, history, seconds, others
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values, scores of the best epoch among them by name."""
        accuracies = {"valid_accuracy": self.valid_accuracy, "test_accuracy": self.test_accuracy}
        return {
            "best_epoch": self.best_epoch,
            **(self.scores or accuracies),
            "history": [record.to_dict() for record in self.history],
            "seconds": self.seconds,
        }


def best_of(history: Iterable[EpochRecord], metric: Metric) -> EpochRecord:
    """The first epoch with the best score on validation; without any score the last epoch."""

    def rank(record: EpochRecord) -> tuple[float, int]:
        value = record.score("valid", metric.key)
        is_known = value == value
        return (metric.better(value), -record.epoch) if is_known else (-float("inf"), record.epoch)

    return max(history, key=rank)


class Observer:
    """What a run tells while it goes on; every method does nothing unless overridden."""

    def start_epoch(self, epoch: int, num_batches: int, first_batch: int) -> None:
        """An epoch starts at a batch (not 0 after a resume)."""

    def batch(self, loss: float, num_nodes: int, nodes_per_second: float) -> None:
        """A batch of that many training nodes is done, or of edges where these are predicted."""

    def end_epoch(self, record: EpochRecord, is_best: bool) -> None:
        """An epoch is done and validated."""


class Interrupted(Exception):
    """The run was asked to stop (Ctrl-C); a checkpoint is at ``path``."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"interrupted; continue with --resume {path}")
        self.path = path
