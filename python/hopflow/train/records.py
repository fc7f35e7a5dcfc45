"""What a run tells: of an epoch, of all, and while it goes on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopflow.train.targets import Metric

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: mean training loss, and scores by part and metric, such as "valid_accuracy".

    Of training nodes the scores are those of the batches, while the model learned.
    """

    epoch: int
    loss: float
    scores: dict[str, float]
    seconds: float

    def score(self, part: str, metric: str) -> float:
        """A score; NaN if it is not known of this part."""
        return self.scores.get(f"{part}_{metric}", float("nan"))

    @property
    def train_accuracy(self) -> float:
        """Share of right predictions in the batches, where labels are classes."""
        return self.score("train", "accuracy")

    @property
    def valid_accuracy(self) -> float:
        """Share of right predictions among nodes to validate."""
        return self.score("valid", "accuracy")

    @property
    def test_accuracy(self) -> float:
        """Share of right predictions among nodes to test."""
        return self.score("test", "accuracy")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, scores among them by name."""
        return {"epoch": self.epoch, "loss": self.loss, **self.scores, "seconds": self.seconds}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EpochRecord:
        """Make a record of what :meth:`to_dict` gave."""
        rest = dict(values)
        own = {name: rest.pop(name) for name in ("epoch", "loss", "seconds")}
        return cls(scores=rest, **own)


@dataclass(frozen=True)
class TrainResult:
    """A finished run. Scores are those of the best epoch on validation."""

    best_epoch: int
    scores: dict[str, float]
    history: list[EpochRecord]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def valid_accuracy(self) -> float:
        """Share of right predictions among nodes to validate, where labels are classes."""
        return self.scores.get("valid_accuracy", float("nan"))

    @property
    def test_accuracy(self) -> float:
        """Share of right predictions among nodes to test, where labels are classes."""
        return self.scores.get("test_accuracy", float("nan"))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, scores of the best epoch among them by name."""
        return {
            "best_epoch": self.best_epoch,
            **self.scores,
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
