"""From a data set and a device's name to what a run works on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow as hf
from hopflow.frame import Frame
from hopflow.graph import Graph
from hopflow.train.config import TrainConfig


def check_device(name: str) -> torch.device:
    """The device of that name, once it is known to be there.

    Raises
    ------
    ValueError
        Neither the CPU nor CUDA.
    HopflowError
        A CUDA device that torch does not find.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # refused below, with what is expected
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device: expected cpu, cuda or cuda:N, got {name!r}")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= count:
        raise hf.HopflowError(
            f"device: torch finds {count} CUDA devices, got {name!r}; `hopflow doctor` says what is"
            " missing"
        )
    return device


def accuracy(logits: Tensor, labels: Tensor, nodes: Tensor) -> float:
    """Share of right predictions among the labelled ones of ``nodes``; NaN without any."""
    nodes = nodes[labels[nodes] >= 0]
    if nodes.numel() == 0:
        return float("nan")
    return float((logits[nodes].argmax(1) == labels[nodes]).double().mean())


def prepare(
    config: TrainConfig, dataset: Any, *, for_training: bool = True
) -> tuple[Graph, dict[str, Tensor]]:
    """The graph to train on, with columns "feat" and "label", and the split.

    Without ``for_training`` labels and split may be missing. The data set stays as it is.

    Raises
    ------
    ValueError
        The data set has no features, no labels or no training nodes.
    """
    graph, labels = dataset[0]
    if labels is None and for_training:
        raise ValueError(f"{config.data}: expected labels to train on, got none")
    if "feat" not in graph.ndata:
        raise ValueError(f"{config.data}: expected node features, got none")
    split = {}
    if labels is not None and labels.shape[1] != 1:
        if for_training:
            raise ValueError(
                f"{config.data}: expected one label a node, got {labels.shape[1]} tasks"
            )
        labels = None
    if labels is not None:
        split = dataset.get_idx_split()
    if for_training and split["train"].numel() == 0:
        raise ValueError(f"{config.data}: expected training nodes, got none")
    if config.undirected:
        graph = hf.add_reverse_edges(graph)
    else:
        # Frames of its own: the columns set below are not the data set's.
        graph = graph._with(graph.adjacency, Frame.copy)
    x = graph.ndata["feat"].float()
    if config.normalize_features:
        x = x / x.abs().sum(1, keepdim=True).clamp(min=1e-12)
    graph.ndata["feat"] = x
    if labels is not None:
        graph.ndata["label"] = labels[:, 0]
    return graph, split
