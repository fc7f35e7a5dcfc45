"""What a run will cost."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hopflow.dataloading import TrainingPlan, plan
from hopflow.train.loop import Trainer


def plan_run(trainer: Trainer, *, num_batches: int = 5) -> TrainingPlan:
    """What an epoch of a run will cost, from steps of training with a copy of its model.

    The run stays as it is: its model, its random stream and its batches.
    """
    task, model = trainer.task, deepcopy(trainer.model)
    optimizers = task.optimizers(model)
    model.train()

    def step(batch: Any) -> None:
        read = task.read(model, batch)
        loss = task.loss(model(read.blocks, read.x), read)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        loss.item()  # waits for a GPU

    return plan(trainer.loader, step, num_batches=num_batches)
