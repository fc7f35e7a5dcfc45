"""How a run is told of: a bar, a line an epoch, and where the time went."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from tqdm import tqdm

from hopflow.commands.shared import console, percent
from hopflow.train import EpochRecord, Observer, Task, TrainConfig, TrainResult
from hopflow.train.loop import STAGES
from hopflow.train.ranks import Ranks
from hopflow.train.records import PARTS
from hopflow.train.targets import ACCURACY, Metric


class Progress(Observer):
    """A bar for the batches of an epoch and a line for each finished epoch."""

    def __init__(self, config: TrainConfig, task: Task, ranks: Ranks) -> None:
        self._config, self._task, self._ranks = config, task, ranks
        self._bar: Any = None

    def start_epoch(self, epoch: int, num_batches: int, first_batch: int) -> None:
        self._bar = tqdm(
            total=num_batches,
            initial=first_batch,
            desc=f"epoch {epoch}/{self._config.epochs}",
            unit="batch",
            leave=False,
            disable=None if self._ranks.is_first else True,  # no bar where there is no terminal
            dynamic_ncols=True,
        )

    def batch(self, loss: float, num_nodes: int, nodes_per_second: float) -> None:
        self._bar.set_postfix_str(
            f"loss {loss:.3f}, {nodes_per_second:,.0f} {self._task.unit}/s", False
        )
        # A round has a batch of each rank, the last one perhaps of some.
        self._bar.update(min(self._ranks.count, self._bar.total - self._bar.n))

    def close(self) -> None:
        """Clear the bar's line, for what is printed next."""
        if self._bar is not None:
            self._bar.close()

    def end_epoch(self, record: EpochRecord, is_best: bool) -> None:
        self.close()
        console.print(
            f"epoch {record.epoch:>3}/{self._config.epochs}  loss {record.loss:.4f}"
            f"{self._scores(record)}  {record.seconds:.1f} s{'  [green]best[/]' if is_best else ''}"
        )

    def _scores(self, record: EpochRecord) -> str:
        """The first metric of each part, by name unless it is the accuracy."""
        metric = self._task.metrics[0]
        parts = [part for part in PARTS if f"{part}_{metric.key}" in record.to_dict()]
        told = "".join(
            f"  {part} {score_text(metric, record.score(part, metric.key))}" for part in parts
        )
        return told if metric is ACCURACY else f"  {short_title(metric)}{told}"


def time_table(result: TrainResult) -> Table:
    table = Table(title="where the time went", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("share", justify="right")
    total = sum(result.seconds.values())
    for stage in STAGES:
        seconds = result.seconds[stage]
        table.add_row(stage, f"{seconds:.2f}", f"{100 * seconds / max(total, 1e-12):.1f} %")
    table.add_section()
    table.add_row("total", f"{total:.2f}", "100.0 %")
    return table


def short_title(metric: Metric) -> str:
    """A metric's name without what it is measured against."""
    return metric.title.split(" among ")[0]


def score_text(metric: Metric, value: float) -> str:
    """A score, in seven columns."""
    if metric.is_share:
        return percent(value)
    return "     - " if math.isnan(value) else f"{value:7.4g}"


def scores_text(metrics: Sequence[Metric], scores: Mapping[str, float], part: str) -> str:
    """All scores of a part: "test MRR 0.41, hits@10 77.12 %"."""
    told = ", ".join(
        f"{metric.title} {score_text(metric, scores[f'{part}_{metric.key}']).strip()}"
        for metric in metrics
        if f"{part}_{metric.key}" in scores
    )
    return f"{part} {told}"
