"""What labels are: classes, several labels at once, or numbers. Of each the loss and the scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Metric:
    """A number that is reported.

    Attributes
    ----------
    key : str
        Its name in results, after the part of the split: ``valid_rmse``.
    title : str
        Its name for people.
    is_share : bool
        Whether it is told as a percentage.
    is_error : bool
        Whether less is better.
    """

    key: str
    title: str
    is_share: bool = False
    is_error: bool = False

    def better(self, value: float) -> float:
        """What the best epoch has most of."""
        return -value if self.is_error else value


ACCURACY = Metric("accuracy", "accuracy", is_share=True)
ROC_AUC = Metric("roc_auc", "ROC-AUC")
MICRO_F1 = Metric("micro_f1", "micro-F1")
RMSE = Metric("rmse", "RMSE", is_error=True)
MAE = Metric("mae", "MAE", is_error=True)
R2 = Metric("r2", "R²")


def roc_auc(scores: Tensor, labels: Tensor) -> float:
    """Area under the ROC curve: how often a positive has the higher score, ties counting half.

    Parameters
    ----------
    scores : Tensor
        Shape [n].
    labels : Tensor
        True for positives, shape [n].

    Returns
    -------
    float
        NaN without a positive or without a negative.
    """
    _, number, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    counts = counts.double()
    ranks = counts.cumsum(0) - (counts - 1) / 2  # from 1; the mean of those that are tied
    positive = labels.bool()
    num_positive = int(positive.sum())
    pairs = num_positive * (labels.shape[0] - num_positive)
    if pairs == 0:
        return float("nan")
    above = float(ranks[number[positive]].sum()) - num_positive * (num_positive + 1) / 2
    return above / pairs


class Target(ABC):
    """What labels are.

    Attributes
    ----------
    name : str
        Its name in options.
    title, title_of_one, loss_name : str
        For people: what a node has, several and one of them, and the loss.
    metrics : tuple of Metric
        What is reported of nodes to validate and to test; the first chooses the best epoch.
    sum_names : tuple of str
        Of what :meth:`sums` returns.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    title_of_one: ClassVar[str]
    loss_name: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    sum_names: ClassVar[tuple[str, ...]]

    @abstractmethod
    def labels(self, given: Tensor) -> Tensor:
        """Labels [N] or [N, C], as the other methods take them."""

    @abstractmethod
    def is_labelled(self, labels: Tensor) -> Tensor:
        """Which rows have a label, bool, shape [n]."""

    @abstractmethod
    def loss(self, out: Tensor, labels: Tensor) -> Tensor:
        """Mean loss."""

    @abstractmethod
    def sums(self, out: Tensor, labels: Tensor) -> list[float]:
        """What scores of the training nodes are made of, added up over batches."""

    @abstractmethod
    def training_scores(self, sums: Sequence[float], num_nodes: float) -> dict[str, float]:
        """Scores of the training nodes."""

    def kept(self, out: Tensor) -> Tensor:
        """What :meth:`scores` needs of a model's outputs."""
        return out

    @abstractmethod
    def scores(self, kept: Tensor, labels: Tensor) -> dict[str, float]:
        """All metrics of labelled nodes, from what was kept of their outputs; NaN without any."""

    def predictions(self, out: Tensor) -> Tensor:
        """What is written of a model's outputs."""
        return out

    def output(self, labels: Tensor | None, width: int) -> nn.Module | None:
        """What a model ends with, made for these training labels; None without labels gives one
        whose values a checkpoint has."""
        return None

    def counted(self, width: int) -> str:
        """What a node has, for people: "40 classes"."""
        return f"{width} {self.title if width != 1 else self.title_of_one}"

    def nothing(self) -> dict[str, float]:
        """The scores of no nodes."""
        return dict.fromkeys((metric.key for metric in self.metrics), float("nan"))


class Classes(Target):
    """One of several classes a node, int64; -1 for none."""

    name, title, title_of_one = "classes", "classes", "classes"
    loss_name = "cross-entropy"
    metrics = (ACCURACY,)
    sum_names = ("correct",)

    def labels(self, given: Tensor) -> Tensor:
        return (given if given.dim() == 1 else given[:, 0]).long()

    def is_labelled(self, labels: Tensor) -> Tensor:
        return labels >= 0

    def loss(self, out: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(out, labels)

    def sums(self, out: Tensor, labels: Tensor) -> list[float]:
        return [int((out.argmax(1) == labels).sum())]

    def training_scores(self, sums: Sequence[float], num_nodes: float) -> dict[str, float]:
        return {"accuracy": sums[0] / max(num_nodes, 1)}

    def kept(self, out: Tensor) -> Tensor:
        return out.argmax(1)

    def scores(self, kept: Tensor, labels: Tensor) -> dict[str, float]:
        if not labels.numel():
            return self.nothing()
        return {"accuracy": float((kept == labels).double().mean())}

    def predictions(self, out: Tensor) -> Tensor:
        return out.argmax(1)


class MultiLabel(Target):
    """Any of C labels a node, float32 [N, C]: 1, 0, or NaN where it is not known."""

    name, title, title_of_one = "multilabel", "labels", "label"
    loss_name = "binary cross-entropy"
    metrics = (ROC_AUC, MICRO_F1)
    sum_names = ("true_positives", "false_positives", "false_negatives")

    def labels(self, given: Tensor) -> Tensor:
        rows = given if given.dim() == 2 else given[:, None]
        if rows.is_floating_point():
            return rows.float()
        found = rows.float()
        return found if rows.dtype == torch.bool else found.masked_fill(rows < 0, float("nan"))

    def is_labelled(self, labels: Tensor) -> Tensor:
        return ~labels.isnan().all(1)

    def loss(self, out: Tensor, labels: Tensor) -> Tensor:
        known = ~labels.isnan()
        return functional.binary_cross_entropy_with_logits(out[known], labels[known])

    def sums(self, out: Tensor, labels: Tensor) -> list[float]:
        found, right, wrong = out > 0, labels == 1, labels == 0
        parts = (found & right, found & wrong, ~found & right)
        return torch.stack([part.sum() for part in parts]).double().tolist()

    def training_scores(self, sums: Sequence[float], num_nodes: float) -> dict[str, float]:
        return {"micro_f1": _f1(sums)}

    def scores(self, kept: Tensor, labels: Tensor) -> dict[str, float]:
        if not labels.numel():
            return self.nothing()
        areas = []
        for column in range(labels.shape[1]):
            known = ~labels[:, column].isnan()
            areas.append(roc_auc(kept[known, column], labels[known, column] == 1))
        found = [area for area in areas if area == area]
        mean = sum(found) / len(found) if found else float("nan")
        return {"roc_auc": mean, "micro_f1": _f1(self.sums(kept, labels))}

    def predictions(self, out: Tensor) -> Tensor:
        return (out > 0).to(torch.int8)


def _f1(sums: Sequence[float]) -> float:
    true, false, missed = sums
    return 2 * true / (2 * true + false + missed) if true + false + missed else float("nan")


class Rescaling(nn.Module):
    """``x * scale + shift``, by column; neither is learned."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class Regression(Target):
    """C numbers a node, float32 [N, C]; NaN where one is not known.

    A model ends with the mean and the standard deviation of the training labels, so that it learns
    numbers about 1 whatever their unit; losses and errors are in the labels' own.
    """

    name, title, title_of_one = "regression", "numbers", "number"
    loss_name = "mean squared error"
    metrics = (RMSE, MAE, R2)
    sum_names = ("squares", "numbers")

    def labels(self, given: Tensor) -> Tensor:
        rows = given if given.dim() == 2 else given[:, None]
        if rows.is_floating_point():
            return rows.float()
        return rows.float().masked_fill(rows == -1, float("nan"))

    def is_labelled(self, labels: Tensor) -> Tensor:
        return ~labels.isnan().all(1)

    def loss(self, out: Tensor, labels: Tensor) -> Tensor:
        known = ~labels.isnan()
        return functional.mse_loss(out[known], labels[known])

    def sums(self, out: Tensor, labels: Tensor) -> list[float]:
        known = ~labels.isnan()
        errors = (out[known] - labels[known]).double()
        return [float(errors.square().sum()), int(known.sum())]

    def training_scores(self, sums: Sequence[float], num_nodes: float) -> dict[str, float]:
        return {"rmse": float((sums[0] / sums[1]) ** 0.5) if sums[1] else float("nan")}

    def scores(self, kept: Tensor, labels: Tensor) -> dict[str, float]:
        known = ~labels.isnan()
        if not bool(known.any()):
            return self.nothing()
        errors = (kept[known] - labels[known]).double()
        # R² of several columns is that of all their variance together.
        columns = labels.double()
        around = (columns - columns.nanmean(0))[known].square().sum()
        left = errors.square()
        return {
            "rmse": float(left.mean().sqrt()),
            "mae": float(errors.abs().mean()),
            "r2": float(1 - left.sum() / around) if float(around) else float("nan"),
        }

    def output(self, labels: Tensor | None, width: int) -> nn.Module:
        if labels is None:
            return Rescaling(torch.ones(width), torch.zeros(width))
        rows = labels.double()
        shift = rows.nanmean(0).nan_to_num()
        scale = (rows - shift).square().nanmean(0).sqrt().nan_to_num()
        return Rescaling(torch.where(scale > 0, scale, 1.0).float(), shift.float())


TARGETS: dict[str, Target] = {one.name: one for one in (Classes(), MultiLabel(), Regression())}
"""What labels may be, by the names that options have for it."""


def target_of(data: str, labels: Tensor, wanted: str | None) -> Target:
    """What labels are: what is wanted, or what their dtype and shape say.

    Integers or truth values [N] or [N, 1] are classes, floats of one column are numbers. Several
    columns of truth values, or of nothing but 0, 1 and "none" (-1 or NaN), are labels of which any
    may apply; of other floats they are numbers.

    Parameters
    ----------
    data : str
        What to call the data in messages.
    labels : Tensor
        Shape [N] or [N, C].
    wanted : str, optional
        The name of a target.

    Raises
    ------
    ValueError
        Labels that are none of these, or not what is wanted.
    """
    if labels.dim() not in (1, 2) or (labels.dim() == 2 and labels.shape[1] == 0):
        raise ValueError(f"{data}: expected labels [N] or [N, C], got {list(labels.shape)}")
    columns = 1 if labels.dim() == 1 else labels.shape[1]
    is_float = labels.is_floating_point()
    if wanted is None:
        if columns == 1:
            return TARGETS["regression" if is_float else "classes"]
        if _is_zero_one(labels):
            return TARGETS["multilabel"]
        if is_float:
            return TARGETS["regression"]
        raise ValueError(
            f"{data}: expected one label a node, or several of 0 and 1, got {columns} columns with"
            f" classes up to {int(labels.max())}; --target regression takes them as numbers"
        )
    if wanted == "classes" and (columns > 1 or is_float):
        got = f"{columns} columns" if columns > 1 else str(labels.dtype).removeprefix("torch.")
        raise ValueError(f"target: expected one column of integers for classes, {data} has {got}")
    if wanted == "multilabel" and not _is_zero_one(labels):
        raise ValueError(
            f"target: expected 0, 1 or none (-1, NaN) for multilabel, {data} has other labels"
        )
    return TARGETS[wanted]


def _is_zero_one(labels: Tensor) -> bool:
    if labels.dtype == torch.bool:
        return True
    known = (labels == 0) | (labels == 1)
    missing = labels.isnan() if labels.is_floating_point() else labels == -1
    return bool((known | missing).all())
