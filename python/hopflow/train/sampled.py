"""Accuracies over sampled neighbourhoods, which take no pass over a whole graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from hopflow.dataloading import DataLoader

if TYPE_CHECKING:
    from hopflow.train.task import Task


class Diverged(RuntimeError):
    """The loss or the outputs are no longer numbers; on all ranks alike."""


@torch.no_grad()
def sampled_accuracy(task: Task, model: nn.Module, part: str, device: torch.device) -> float:
    """Share of right predictions among the labelled nodes of a part of the split; NaN without any.

    Neighbourhoods are sampled as in training, the same in every epoch.

    Raises
    ------
    Diverged
        An output that is not finite.
    """
    config, nodes = task.config, task.split[part]
    assert task.labels is not None
    nodes = nodes[task.labels[nodes] >= 0]
    if not nodes.numel():
        return float("nan")
    loader = DataLoader(
        task.graph, task.seeds_of(nodes), task.sampler(), device=device,
        batch_size=config.batch_size, num_workers=config.num_workers, seed=config.seed,
    )  # fmt: skip
    was_training = model.training
    model.eval()
    right = 0
    try:
        for _, _, blocks in loader:
            logits = model(blocks, task.inputs(model, blocks))
            if not bool(logits.isfinite().all()):
                raise Diverged("the model's outputs are no longer finite")
            right += int((logits.argmax(1) == task.batch_labels(blocks)).sum())
    finally:
        model.train(was_training)
        loader.close()
    return right / nodes.numel()
