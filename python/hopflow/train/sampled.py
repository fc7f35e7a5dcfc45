"""Accuracies over sampled neighbourhoods, and the plan of a run: no pass over a whole graph."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from hopflow.dataloading import DataLoader, TrainingPlan, plan

if TYPE_CHECKING:
    from hopflow.train.loop import Trainer
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


def plan_run(trainer: Trainer, *, num_batches: int = 5) -> TrainingPlan:
    """What an epoch of a run will cost, from steps of training with a copy of its model.

    The run stays as it is: its model, its random stream and its batches.
    """
    task, model = trainer.task, deepcopy(trainer.model)
    optimizers = task.optimizers(model)
    model.train()

    def step(batch: Any) -> None:
        _, _, blocks = batch
        logits = model(blocks, task.inputs(model, blocks))
        loss = functional.cross_entropy(logits, task.batch_labels(blocks))
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        loss.item()  # waits for a GPU

    return plan(trainer.loader, step, num_batches=num_batches)
