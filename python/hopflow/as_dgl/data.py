"""What ``dgl.data`` has for node prediction."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hopflow.graphs.graph import Graph
from hopflow.sampling import random as rng
from hopflow.structure.types import told

_MASKS = ("train_mask", "val_mask", "test_mask")


class Subset:
    """Some items of a data set.

    Parameters
    ----------
    dataset : sequence
        ``dataset[i]`` is its item ``i``.
    indices : sequence of int
        Which of them, in this order.
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, item: int) -> Any:
        return self.dataset[self.indices[item]]

    def __len__(self) -> int:
        return len(self.indices)


class AsNodePredDataset:
    """A data set whose graph carries its labels and split: ``dataset[0]`` is that graph.

    Its columns are ``label``, ``train_mask``, ``val_mask`` and ``test_mask``. Nothing is written to
    disk, unlike in DGL.

    Parameters
    ----------
    dataset : data set
        One of OGB's or :mod:`hopflow.datasets`', with ``get_idx_split()``; or one whose first item
        is a graph with the column ``label`` and, without ``split_ratio``, the masks.
    split_ratio : (float, float, float), optional
        Draw a new split of these shares, which add up to at most 1, from torch's random stream.
    target_ntype : str, optional
        Of which nodes, where there are several types: those have the columns then. Labels and split
        of ``dataset`` may be dicts by type.
    **kwargs
        DGL's options of its cache, without effect.

    Attributes
    ----------
    num_classes : int
        That of ``dataset``, or the number of different labels.
    train_idx, val_idx, test_idx : Tensor
        Ids of the nodes of each part, rising, int64.

    Raises
    ------
    ValueError
        No labels or masks, several labels a node, or shares that are no split.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.data.AsNodePredDataset.html
    """

    def __init__(
        self,
        dataset: Any,
        split_ratio: Sequence[float] | None = None,
        target_ntype: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.dataset, self.split_ratio = dataset, split_ratio
        self.name = f"{getattr(dataset, 'name', type(dataset).__name__)}-as-nodepred"
        has_split = hasattr(dataset, "get_idx_split")
        item = dataset[0]
        given = item[0] if isinstance(item, tuple) else item
        if not isinstance(given, Graph):
            raise TypeError(f"dataset[0]: expected a hopflow.Graph, got {type(given).__name__}")
        self.g = given.clone()
        try:
            self.target_ntype = given.schema.ntype(target_ntype)
        except ValueError as error:
            raise ValueError(f"target_{error}") from None
        columns = self.g.nodes[self.target_ntype].data
        num_nodes = given.num_nodes(self.target_ntype)
        if isinstance(item, tuple):
            columns["label"] = _one_label_a_node(self._of_target(item[1]), num_nodes)
        if "label" not in columns:
            raise ValueError("dataset: expected a graph with the node column 'label'")
        if split_ratio is not None:
            _mark(columns, _draw_split(split_ratio, num_nodes), num_nodes)
        elif has_split:
            split = dataset.get_idx_split()
            parts = [self._of_target(split[part]) for part in ("train", "valid", "test")]
            _mark(columns, parts, num_nodes)
        for name in _MASKS:
            if name not in columns:
                raise ValueError(
                    f"dataset: expected a graph with the node column {name!r}, or split_ratio"
                )
        self.train_idx, self.val_idx, self.test_idx = (
            columns[name].nonzero().squeeze(1) for name in _MASKS
        )
        num_classes = getattr(dataset, "num_classes", None)
        if num_classes is None:
            num_classes = len(torch.unique(columns["label"]))
        self.num_classes = int(num_classes)

    def _of_target(self, by_type: Any) -> Any:
        if not isinstance(by_type, dict):
            return by_type
        if self.target_ntype not in by_type:
            raise ValueError(
                f"target_ntype: expected a type with labels and split, of {told(by_type)}, got"
                f" {self.target_ntype!r}"
            )
        return by_type[self.target_ntype]

    def __getitem__(self, idx: int) -> Graph:
        if idx != 0:
            raise IndexError(f"{self.name} holds one graph: expected index 0, got {idx}")
        return self.g

    def __len__(self) -> int:
        return 1


def _mark(columns: MutableMapping[str, Tensor], parts: Sequence[Any], num_nodes: int) -> None:
    """Make the masks of the parts, given by ids, columns of the nodes that have labels."""
    device = columns["label"].device
    for name, ids in zip(_MASKS, parts):
        mask = torch.zeros(num_nodes, dtype=torch.bool, device=device)
        mask[torch.as_tensor(ids, device=device).long()] = True
        columns[name] = mask


def _one_label_a_node(labels: Tensor | None, num_nodes: int) -> Tensor:
    if labels is None or labels.numel() != num_nodes:
        got = "none" if labels is None else f"shape {list(labels.shape)}"
        raise ValueError(f"dataset: expected one label for each of {num_nodes} nodes, got {got}")
    return labels.reshape(num_nodes)


def _draw_split(ratio: Sequence[float], num_nodes: int) -> list[Tensor]:
    shares = [float(share) for share in ratio]
    if len(shares) != 3 or min(shares) < 0 or sum(shares) > 1 + 1e-6:
        raise ValueError(
            f"split_ratio: expected three shares that add up to at most 1, got {ratio!r}"
        )
    generator = torch.Generator().manual_seed(rng.draw_seed())
    order = torch.randperm(num_nodes, generator=generator, device="cpu")
    train, valid = (int(num_nodes * share) for share in shares[:2])
    # As in DGL the test part is all that is left.
    return [order[:train], order[train : train + valid], order[train + valid :]]
