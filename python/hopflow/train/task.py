"""The task that a configuration and a data set are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hopflow.train.base_task import Task
from hopflow.train.config import TrainConfig
from hopflow.train.link_task import LinkTask
from hopflow.train.node_task import OneTypeTask
from hopflow.train.typed_task import TypedTask

__all__ = ["Task", "task_of"]


def task_of(
    config: TrainConfig,
    dataset: Any,
    *,
    target_type: str | None = None,
    for_training: bool = True,
) -> LinkTask | OneTypeTask | TypedTask:
    """The task that a data set is for: labels by type are those of a graph of several types.

    Parameters
    ----------
    config : TrainConfig
        What fixes the run.
    dataset : NodePropDataset or TypedNodePropDataset
        The data.
    target_type : str, optional
        The type to predict for where several types may be and ``config`` does not say it.
    for_training : bool
        Whether there must be labels and training nodes, or for links edges to hold out.

    Raises
    ------
    ValueError
        The data does not fit the configuration.
    """
    if isinstance(dataset[0][1], Mapping):
        return TypedTask(config, dataset, target_type=target_type, for_training=for_training)
    if config.task == "link":
        return LinkTask(config, dataset, for_training=for_training)
    return OneTypeTask(config, dataset, for_training=for_training)
