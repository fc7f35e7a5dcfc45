"""Splits and labels as a run can use them, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hopflow.structure.ids import as_node_ids
from hopflow.train.targets import Target

PARTS = ("train", "valid", "test")

_MANY_CLASSES = 1 << 20


def checked_split(
    data: str,
    split: Mapping[str, Any],
    labels: Tensor,
    target: Target,
    num_classes: int,
    *,
    for_training: bool = True,
) -> dict[str, Tensor]:
    """The nodes of each part, int64; those to train on have labels that can be learned.

    Parameters
    ----------
    data : str
        What to call the data in messages.
    split : mapping
        Node ids or a boolean mask by part: "train", "valid" and "test", which may be empty but for
        the first.
    labels : Tensor
        Of all nodes, as the target takes them, shape [N] or [N, C].
    target : Target
        What they are.
    num_classes : int
        How many classes there are, where they are classes.
    for_training : bool
        Whether there must be all parts, and labels of the first.

    Raises
    ------
    ValueError
        A part is missing; no node to train on, or one without a label or with one that is no
        class; many more classes than nodes.
    IndexError, TypeError
        A part holds ids that are no node's, or no ids.
    """
    if for_training and (missing := [part for part in PARTS if part not in split]):
        raise ValueError(
            f"{data}: expected a split with the parts {', '.join(PARTS)}, got none called"
            f" {missing[0]}"
        )
    num_nodes = labels.shape[0]
    found = {
        part: as_node_ids(f"{data}: split[{part!r}]", ids, num_nodes) for part, ids in split.items()
    }
    if not for_training:
        return found
    train = found["train"]
    if not train.numel():
        raise ValueError(f"{data}: expected training nodes, got none")
    own = labels[train]
    _refuse(data, train, ~target.is_labelled(own), "have no label")
    if target.name == "classes":
        # Numbers of other things, such as ids: a model of so many outputs would fill the memory.
        if num_classes > max(num_nodes, _MANY_CLASSES):
            raise ValueError(
                f"{data}: expected classes that are numbered from 0, got {num_classes:,} of them,"
                f" as the greatest label says, for {num_nodes:,} nodes"
            )
        _refuse(data, train, own >= num_classes, f"have no class below {num_classes}")
    else:
        _refuse(data, train, own.isinf().any(1), "have a label that is infinite")
    return found


def _refuse(data: str, nodes: Tensor, is_wrong: Tensor, what: str) -> None:
    """Raise a ValueError about the training nodes for which something is wrong, if there are."""
    if bool(is_wrong.any()):
        first = int(nodes[torch.argmax(is_wrong.to(torch.int8))])
        raise ValueError(
            f"{data}: {int(is_wrong.sum())} training nodes {what}, the first is node {first}"
        )
