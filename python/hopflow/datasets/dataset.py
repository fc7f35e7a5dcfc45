"""What every loader returns: plain arrays first, then a graph with labels and a split."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hopflow.graphs.graph import Graph

Array = NDArray[Any]
Ids = NDArray[np.int64]

SPLIT_NAMES = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class RawDataset:
    """Checked arrays of one node-property data set, before a graph is made of them.

    Parameters
    ----------
    name
        What the data set is called in its `repr`.
    src, dst
        Edges ``src[i] -> dst[i]``; int64, ``[num_edges]``, ids in ``[0, num_nodes)``.
    num_nodes
        Number of nodes.
    node_columns
        Column name to array ``[num_nodes, ...]``; ``"feat"`` is the feature matrix.
    edge_columns
        Column name to array ``[num_edges, ...]``.
    labels
        int64 ``[num_nodes, num_tasks]``, -1 where a node has no label; or numbers to predict,
        float32, NaN where there is none; None without labels.
    splits
        ``train``, ``valid`` and ``test`` to int64 node ids; None where there is no split.
    num_classes
        Number of classes, 0 without labels.
    """

    name: str
    src: Ids
    dst: Ids
    num_nodes: int
    node_columns: Mapping[str, Array] = field(default_factory=dict)
    edge_columns: Mapping[str, Array] = field(default_factory=dict)
    labels: Array | None = None
    splits: Mapping[str, Ids] | None = None
    num_classes: int = 0


class NodePropDataset:
    """One graph with node labels and a split; acts as OGB's DGL data sets do.

    ``dataset[0]`` is ``(graph, labels)``: a :class:`hopflow.Graph` whose ``ndata["feat"]`` holds
    the features (and ``ndata["year"]`` the years, where there are any), and labels as an int64
    tensor ``[num_nodes, num_tasks]``, -1 where a node has no label; where they are numbers to
    predict float32, NaN for none. Without labels it is ``(graph, None)``. `num_classes` is 0
    without classes.

    Edges are kept as they were stored: apply :func:`hopflow.add_reverse_edges` to pass messages
    both ways.

    Parameters
    ----------
    raw
        The arrays. Tensors share memory with them wherever numpy allows it.

    Attributes
    ----------
    node_ids : sequence or None
        The id that each node had where the graph comes from; None if it was its number.

    Examples
    --------
    >>> dataset = hopflow.datasets.load("arxiv-like")
    >>> graph, labels = dataset[0]
    >>> train_ids = dataset.get_idx_split()["train"]
    """

    is_stored = False
    """Whether the graph stays in a graph folder, from which it is read where it is used."""

    def __init__(self, raw: RawDataset) -> None:
        # Imported here so that the readers can be used (and tested) without the native module.
        from hopflow.graphs.create import graph

        self.name = raw.name
        self.num_classes = raw.num_classes
        self._graph: Graph = graph((raw.src, raw.dst), num_nodes=raw.num_nodes)
        for key, column in raw.node_columns.items():
            self._graph.ndata[key] = as_tensor(column)
        for key, column in raw.edge_columns.items():
            self._graph.edata[key] = as_tensor(column)
        self._labels = None if raw.labels is None else as_tensor(raw.labels)
        self._splits = (
            None if raw.splits is None else {key: as_tensor(raw.splits[key]) for key in SPLIT_NAMES}
        )
        self.node_ids: Sequence[Any] | None = None

    @classmethod
    def of_graph(
        cls,
        graph: Graph,
        *,
        name: str,
        labels: torch.Tensor | None,
        splits: Mapping[str, torch.Tensor] | None,
        num_classes: int,
        node_ids: Sequence[Any] | None = None,
    ) -> NodePropDataset:
        """A data set of a graph that is made, and of what is known of its nodes."""
        made = cls.__new__(cls)
        made.is_stored = True
        made.name, made.num_classes, made.node_ids = name, num_classes, node_ids
        made._graph, made._labels = graph, labels
        made._splits = None if splits is None else dict(splits)
        return made

    @property
    def has_split(self) -> bool:
        """Whether there is a split."""
        return self._splits is not None

    @property
    def num_tasks(self) -> int:
        """Number of label columns; 0 without labels."""
        return 0 if self._labels is None else int(self._labels.shape[1])

    def get_idx_split(self) -> dict[str, torch.Tensor]:
        """Node ids of the training, validation and test parts.

        Returns
        -------
        dict
            ``train``, ``valid`` and ``test``, each an int64 tensor ``[num_ids]``.

        Raises
        ------
        ValueError
            The data set came without labels and without a split.
        """
        if self._splits is None:
            raise ValueError(
                f"data set {self.name!r} has no split: give one with split=, or labels to split"
            )
        return dict(self._splits)

    def __getitem__(self, index: int) -> tuple[Graph, torch.Tensor | None]:
        """Return ``(graph, labels)``; 0 is the only index.

        Raises
        ------
        IndexError
            Any other index.
        """
        if index != 0:
            raise IndexError(
                f"data set {self.name!r} holds one graph: expected index 0, got {index}"
            )
        return self._graph, self._labels

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        parts = [
            repr(self.name),
            f"num_nodes={self._graph.num_nodes()}",
            f"num_edges={self._graph.num_edges()}",
            f"num_classes={self.num_classes}",
            f"num_tasks={self.num_tasks}",
        ]
        if self._splits is not None:
            parts += [f"{key}={len(ids)}" for key, ids in self._splits.items()]
        return f"{type(self).__name__}({', '.join(parts)})"


def as_tensor(array: Array) -> torch.Tensor:
    """The array as a tensor that shares its memory, unless it is read-only."""
    # A read-only array (a memory map, an Arrow buffer) is copied: torch tensors are writable.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(np.require(array, requirements=["C", "W"]))
