"""Outputs and scores over sampled neighbourhoods, which take no pass over a whole graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hopflow.dataloading import DataLoader

if TYPE_CHECKING:
    from hopflow.train.node_task import NodeTask


class Diverged(RuntimeError):
    """The loss or the outputs are no longer numbers; on all ranks alike."""


@torch.no_grad()
def sampled_rows(
    model: nn.Module,
    loader: DataLoader,
    keep: Callable[[Any], Tensor],
) -> list[Tensor]:
    """What is kept of each batch's outputs, with the model in evaluation mode meanwhile.

    Parameters
    ----------
    model : nn.Module
        The model; its mode is restored afterwards.
    loader : DataLoader
        The batches.
    keep : callable
        ``keep(batch)`` computes a batch's outputs and returns rows of them.
    """
    was_training = model.training
    model.eval()
    try:
        return [keep(batch) for batch in loader]
    finally:
        model.train(was_training)
        loader.close()


def finite(out: Tensor) -> Tensor:
    """The outputs, which must be finite.

    Raises
    ------
    Diverged
        One is not.
    """
    if not bool(out.isfinite().all()):
        raise Diverged("the model's outputs are no longer finite")
    return out


def sampled_scores(
    task: NodeTask, model: nn.Module, part: str, device: torch.device
) -> dict[str, float]:
    """Scores of the labelled nodes of a part of the split; NaN without any.

    Neighbourhoods are sampled as in training, the same in every epoch.

    Raises
    ------
    Diverged
        An output that is not finite.
    """
    config, nodes = task.config, task.labelled(part)
    if not nodes.numel():
        return task.target.nothing()
    loader = DataLoader(
        task.graph, task.seeds_of(nodes), task.sampler(), device=device,
        batch_size=config.batch_size, num_workers=config.num_workers, seed=config.seed,
    )  # fmt: skip

    def keep(batch: Any) -> Tensor:
        step = task.read(model, batch)
        out = finite(step.counted(model(step.blocks, step.x)))
        return task.target.kept(out).to(nodes.device)

    kept = torch.cat(sampled_rows(model, loader, keep))
    assert task.labels is not None
    return task.target.scores(kept, task.labels[nodes])


def sampled_accuracy(task: NodeTask, model: nn.Module, part: str, device: torch.device) -> float:
    """:func:`sampled_scores` of classes: the share of right predictions."""
    return sampled_scores(task, model, part, device)["accuracy"]
