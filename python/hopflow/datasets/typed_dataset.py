"""Data sets of several node and edge types: plain arrays first, then a graph with labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from hopflow.structure.types import Relation

from .dataset import SPLIT_NAMES, Array, Ids, as_tensor

if TYPE_CHECKING:
    from hopflow.graphs.graph import Graph

REVERSE = "rev_"
"""Before the name of a relation: the one that leads back."""


@dataclass(frozen=True, eq=False)
class RawTypedDataset:
    """Checked arrays of one data set of several types, before a graph is made of them.

    Parameters
    ----------
    name
        What the data set is called in its `repr`.
    edges
        ``(source type, name, destination type)`` to ``(src, dst)``; int64, ``[num_edges]`` each,
        ids in the ranges of their types.
    num_nodes
        Node type to number of nodes; of every type that a relation names, and of any other.
    node_columns
        Node type to column name to array ``[num_nodes, ...]``; ``"feat"`` is the feature matrix.
    edge_columns
        Relation to column name to array ``[num_edges, ...]``.
    labels
        Node type to int64 ``[num_nodes, num_tasks]``, -1 where a node has no label.
    splits
        ``train``, ``valid`` and ``test`` to node type to int64 node ids; None where there is no
        split.
    num_classes
        Number of classes, the largest of any type; 0 without labels.
    class_names
        Node type to what its classes were called, where they were not numbers.
    node_ids
        Node type to the id of each node, ``[num_nodes]``, where they were not its numbers.
    """

    name: str
    edges: Mapping[Relation, tuple[Ids, Ids]]
    num_nodes: Mapping[str, int]
    node_columns: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    edge_columns: Mapping[Relation, Mapping[str, Array]] = field(default_factory=dict)
    labels: Mapping[str, Ids] = field(default_factory=dict)
    splits: Mapping[str, Mapping[str, Ids]] | None = None
    num_classes: int = 0
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    node_ids: Mapping[str, Array] = field(default_factory=dict)


def with_reverse(raw: RawTypedDataset) -> RawTypedDataset:
    """Add to each relation the one that leads back, as ``rev_NAME``, with the same edge columns.

    Raises
    ------
    ValueError
        There is a relation of such a name.
    """
    edges = dict(raw.edges)
    edge_columns = dict(raw.edge_columns)
    for (src, name, dst), (sources, destinations) in raw.edges.items():
        back = (dst, REVERSE + name, src)
        if back in edges:
            raise ValueError(f"{raw.name}: there is a relation {back!r} already, and one to add")
        edges[back] = destinations, sources
        if (src, name, dst) in edge_columns:
            edge_columns[back] = edge_columns[src, name, dst]
    return replace(raw, edges=edges, edge_columns=edge_columns)


class TypedNodePropDataset:
    """One graph of several types with node labels and a split; acts as OGB's DGL data sets do.

    ``dataset[0]`` is ``(graph, labels)``: a :class:`hopflow.Graph` whose
    ``nodes["paper"].data["feat"]`` holds the features of a type, and labels as a dict
    ``{"paper": tensor}`` of the types that have any, int64 ``[num_nodes, num_tasks]``, -1 where a
    node has no label.

    Edges are kept as they were stored, each relation one way.

    Parameters
    ----------
    raw
        The arrays. Tensors share memory with them wherever numpy allows it.

    Attributes
    ----------
    num_classes : int
        Number of classes; the largest, where several types have labels.
    class_names : dict
        ``{type: names}`` of classes that were not stored as numbers.
    node_ids : dict
        ``{type: array of texts}``, the id of each node, where tables have ids.

    Examples
    --------
    >>> dataset = hopflow.datasets.mag_like(scale=0.01)
    >>> graph, labels = dataset[0]
    >>> train_ids = dataset.get_idx_split()["train"]["paper"]
    """

    is_stored = False
    """Whether the graph stays in a graph folder, from which it is read where it is used."""

    def __init__(self, raw: RawTypedDataset) -> None:
        # Imported here so that the readers can be used (and tested) without the native module.
        from hopflow.graphs.create import heterograph

        self.name = raw.name
        self.num_classes = raw.num_classes
        self.class_names = dict(raw.class_names)
        self.node_ids: dict[str, Any] = dict(raw.node_ids)
        self._graph: Graph = heterograph(dict(raw.edges), dict(raw.num_nodes))
        for ntype, columns in raw.node_columns.items():
            for key, column in columns.items():
                self._graph.nodes[ntype].data[key] = as_tensor(column)
        for relation, columns in raw.edge_columns.items():
            for key, column in columns.items():
                self._graph.edges[relation].data[key] = as_tensor(column)
        self._labels = {ntype: as_tensor(rows) for ntype, rows in raw.labels.items()}
        self._splits = None
        if raw.splits is not None:
            self._splits = {
                key: {ntype: as_tensor(ids) for ntype, ids in raw.splits[key].items()}
                for key in SPLIT_NAMES
            }

    @classmethod
    def of_graph(
        cls,
        graph: Graph,
        *,
        name: str,
        labels: Mapping[str, torch.Tensor],
        splits: Mapping[str, Mapping[str, torch.Tensor]] | None,
        num_classes: int,
        class_names: Mapping[str, tuple[str, ...]],
        node_ids: Mapping[str, Any],
    ) -> TypedNodePropDataset:
        """A data set of a graph that is made, and of what is known of its nodes."""
        made = cls.__new__(cls)
        made.is_stored = True
        made.name, made.num_classes = name, num_classes
        made.class_names, made.node_ids = dict(class_names), dict(node_ids)
        made._graph, made._labels = graph, dict(labels)
        made._splits = None
        if splits is not None:
            made._splits = {key: dict(part) for key, part in splits.items()}
        return made

    @property
    def has_split(self) -> bool:
        """Whether there is a split."""
        return self._splits is not None

    @property
    def num_tasks(self) -> int:
        """Number of label columns, the largest of any type; 0 without labels."""
        return max((int(rows.shape[1]) for rows in self._labels.values()), default=0)

    def get_idx_split(self) -> dict[str, dict[str, torch.Tensor]]:
        """Node ids of the training, validation and test parts, by type.

        Returns
        -------
        dict
            ``train``, ``valid`` and ``test``, each ``{type: int64 tensor [num_ids]}``.

        Raises
        ------
        ValueError
            The data set came without labels and without a split.
        """
        if self._splits is None:
            raise ValueError(f"data set {self.name!r} has no split: give it labels or a split")
        return {key: dict(part) for key, part in self._splits.items()}

    def __getitem__(self, index: int) -> tuple[Graph, dict[str, torch.Tensor]]:
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
        return self._graph, dict(self._labels)

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        graph = self._graph
        parts = [
            repr(self.name),
            f"num_nodes={ {ntype: graph.num_nodes(ntype) for ntype in graph.ntypes} }",
            f"num_edges={ {r: graph.num_edges(r) for r in graph.canonical_etypes} }",
            f"num_classes={self.num_classes}",
            f"num_tasks={self.num_tasks}",
        ]
        for key, part in (self._splits or {}).items():
            parts.append(f"{key}={ {ntype: len(ids) for ntype, ids in part.items()} }")
        return f"{type(self).__name__}({', '.join(parts)})"
