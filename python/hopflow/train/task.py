"""What differs between runs on one type and on several: data, model, and how a batch is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hopflow.dataloading import NeighborSampler
from hopflow.graphs.block import Block
from hopflow.graphs.graph import Graph
from hopflow.structure.frame import read
from hopflow.structure.stored_column import StoredColumn
from hopflow.structure.table_rows import TableRows
from hopflow.train.config import MODELS, TrainConfig
from hopflow.train.data import num_features, prepare, stays_in_folder
from hopflow.train.inference import DEFAULT_CHUNK_EDGES, layerwise_inference
from hopflow.train.model import GraphSAGE
from hopflow.train.ranks import ALONE, Ranks
from hopflow.train.typed_data import prepare_typed, resolve_fanouts
from hopflow.train.typed_inference import planned_nodes, typed_layerwise_inference
from hopflow.train.typed_model import Sizes, TypedModel


class Task(ABC):
    """A graph to train on, the model for it, and what a batch gives to the model.

    Attributes
    ----------
    config : TrainConfig
        What fixes the run.
    graph : Graph
        What is sampled, with the columns "feat" and, if there are labels, "label".
    split : dict
        Ids of the nodes of each part, of the type predicted for.
    labels : Tensor or None
        One for each node of that type, shape [N].
    num_nodes : int
        Nodes of that type, N.
    is_stored : bool
        Whether the graph stays in a graph folder.
    """

    config: TrainConfig
    graph: Graph
    split: dict[str, Tensor]
    labels: Tensor | None
    num_nodes: int
    is_stored: bool

    @abstractmethod
    def sizes(self) -> dict[str, Any]:
        """What fixes the shapes of a model's parameters, as a checkpoint holds it."""

    @abstractmethod
    def model(self, sizes: Mapping[str, Any]) -> nn.Module:
        """A model of these sizes, which are this task's or a checkpoint's.

        Raises
        ------
        ValueError
            They are of a graph that the model cannot do without.
        """

    @abstractmethod
    def optimizers(self, model: Any) -> list[torch.optim.Optimizer]:
        """What trains all of a model's parameters."""

    @abstractmethod
    def sampler(self) -> NeighborSampler:
        """What makes the blocks of a batch."""

    @abstractmethod
    def seeds_of(self, nodes: Tensor) -> Any:
        """Nodes of the type predicted for, as a loader takes them."""

    def seeds(self) -> Any:
        """The training nodes, as a loader takes them."""
        return self.seeds_of(self.split["train"])

    @abstractmethod
    def inputs(self, model: Any, blocks: Sequence[Block]) -> Any:
        """What a model takes beside the blocks."""

    @abstractmethod
    def batch_labels(self, blocks: Sequence[Block]) -> Tensor:
        """Labels of the nodes that a batch is of."""

    @abstractmethod
    def predict(
        self,
        model: Any,
        *,
        chunk_edges: int = DEFAULT_CHUNK_EDGES,
        scratch: Path | None = None,
        on_nodes: Callable[[int], None] | None = None,
        ranks: Ranks = ALONE,
    ) -> Tensor:
        """Logits [N, num_classes], as :func:`layerwise_inference`."""

    @abstractmethod
    def work(self) -> int:
        """How many nodes :meth:`predict` tells of, those of every layer counted."""

    @abstractmethod
    def describe(self) -> str:
        """The data in a line."""

    def notes(self, model: Any) -> list[str]:
        """What a user should know of a run before it begins, a line each."""
        if not (self.is_stored and self.config.undirected):
            return []
        return [
            f"{self.config.data} is trained on as it is stored; reverse edges are added by hopflow"
            " convert --undirected"
        ]


class OneTypeTask(Task):
    """:class:`GraphSAGE` on a graph of one type."""

    def __init__(self, config: TrainConfig, dataset: Any, *, for_training: bool = True) -> None:
        if config.model != "sage":
            raise ValueError(
                f"model: {MODELS[config.model]} is for graphs of several types, {config.data} has"
                " one; expected sage"
            )
        if config.target_type is not None:
            raise ValueError(
                f"target_type: {config.data} has one type, without a name; expected none, got"
                f" {config.target_type!r}"
            )
        if not all(isinstance(fanout, int) for fanout in config.fanout):
            raise ValueError(
                f"fanout: {config.data} has one relation, without a name; expected an int a layer"
            )
        self.config, self.is_stored = config, stays_in_folder(dataset)
        self.graph, self.split = prepare(config, dataset, for_training=for_training)
        self.labels = self.graph.ndata.get("label")
        self.num_nodes = self.graph.num_nodes()
        self._num_classes = dataset.num_classes

    def sizes(self) -> dict[str, Any]:
        return {
            "num_nodes": self.graph.num_nodes(),
            "num_edges": self.graph.num_edges(),
            "num_features": num_features(self.graph),
            "num_classes": self._num_classes,
        }

    def model(self, sizes: Mapping[str, Any]) -> GraphSAGE:
        if isinstance(sizes["num_nodes"], Mapping):
            raise ValueError(
                f"{self.config.data} has one type of nodes, the model was trained on"
                f" {', '.join(sizes['num_nodes'])}"
            )
        return GraphSAGE(
            sizes["num_features"],
            self.config.hidden,
            sizes["num_classes"],
            num_layers=len(self.config.fanout),
            dropout=self.config.dropout,
        )

    def optimizers(self, model: Any) -> list[torch.optim.Optimizer]:
        lr, decay = self.config.lr, self.config.weight_decay
        return [torch.optim.Adam(model.parameters(), lr=lr, weight_decay=decay)]

    def sampler(self) -> NeighborSampler:
        return NeighborSampler(self.config.fanout)

    def seeds_of(self, nodes: Tensor) -> Tensor:
        return nodes

    def inputs(self, model: Any, blocks: Sequence[Block]) -> Tensor | TableRows:
        return blocks[0].src_rows("feat")

    def batch_labels(self, blocks: Sequence[Block]) -> Tensor:
        labels: Tensor = blocks[-1].dstdata["label"]
        return labels

    def predict(
        self,
        model: Any,
        *,
        chunk_edges: int = DEFAULT_CHUNK_EDGES,
        scratch: Path | None = None,
        on_nodes: Callable[[int], None] | None = None,
        ranks: Ranks = ALONE,
    ) -> Tensor:
        # The features as the loader leaves them: on the graph's device.
        return layerwise_inference(
            model, self.graph, self._features(),
            chunk_edges=chunk_edges, scratch=scratch, on_nodes=on_nodes, ranks=ranks,
        )  # fmt: skip

    def _features(self) -> Tensor | StoredColumn:
        column = self.graph.node_frames()[self.graph.ntypes[0]].column("feat")
        return column if isinstance(column, StoredColumn) else read(column)

    def work(self) -> int:
        return self.graph.num_nodes() * len(self.config.fanout)

    def describe(self) -> str:
        graph = self.graph
        return (
            f"{self.config.data}: {graph.num_nodes():,} nodes, {graph.num_edges():,} edges,"
            f" {num_features(graph)} features, {self._num_classes} classes"
        )


class TypedTask(Task):
    """:class:`TypedModel` on a graph of several types.

    Attributes
    ----------
    target_type : str
        Of which split, labels and logits are.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: Any,
        *,
        target_type: str | None = None,
        for_training: bool = True,
    ) -> None:
        self.config, self.is_stored = config, stays_in_folder(dataset)
        self.graph, self.target_type, self.split = prepare_typed(
            config, dataset, target_type=target_type, for_training=for_training
        )
        self._fanouts = resolve_fanouts(config.fanout, self.graph.canonical_etypes)
        columns = self.graph.nodes[self.target_type].data
        self.labels = columns.get("label")
        self.num_nodes = self.graph.num_nodes(self.target_type)
        self._sizes = Sizes.of(self.graph, self.target_type, dataset.num_classes)

    def sizes(self) -> dict[str, Any]:
        return asdict(self._sizes)

    def model(self, sizes: Mapping[str, Any]) -> TypedModel:
        if not isinstance(sizes["num_nodes"], Mapping):
            raise ValueError(
                f"{self.config.data} has nodes of several types, the model was trained on a graph"
                " of one"
            )
        trained_on = Sizes(**{field.name: sizes[field.name] for field in fields(Sizes)})
        model = TypedModel(self.config, trained_on)
        model.check(self._sizes, trained_on, self.config.data)
        return model

    def optimizers(self, model: Any) -> list[torch.optim.Optimizer]:
        lr, decay = self.config.lr, self.config.weight_decay
        made: list[torch.optim.Optimizer] = [
            torch.optim.Adam(model.dense_parameters(), lr=lr, weight_decay=decay)
        ]
        if sparse := model.sparse_parameters():
            made.append(torch.optim.SparseAdam(sparse, lr=lr))
        return made

    def sampler(self) -> NeighborSampler:
        return NeighborSampler(self._fanouts)

    def seeds_of(self, nodes: Tensor) -> dict[str, Tensor]:
        return {self.target_type: nodes}

    def inputs(self, model: Any, blocks: Sequence[Block]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = model.encoder.inputs(blocks[0])
        return found

    def batch_labels(self, blocks: Sequence[Block]) -> Tensor:
        return blocks[-1].dstnodes[self.target_type].data["label"]

    def predict(
        self,
        model: Any,
        *,
        chunk_edges: int = DEFAULT_CHUNK_EDGES,
        scratch: Path | None = None,
        on_nodes: Callable[[int], None] | None = None,
        ranks: Ranks = ALONE,
    ) -> Tensor:
        found = typed_layerwise_inference(
            list(model.layers), self.graph, model.encoder.all_rows(self.graph),
            targets=[self.target_type], device=next(model.parameters()).device,
            chunk_edges=chunk_edges, scratch=scratch, on_nodes=on_nodes, ranks=ranks,
        )  # fmt: skip
        return found[self.target_type]

    def work(self) -> int:
        return planned_nodes(self.graph, len(self.config.fanout), [self.target_type])

    def describe(self) -> str:
        graph, sizes = self.graph, self._sizes
        nodes = ", ".join(
            f"{count:,} of {ntype} ({sizes.num_features.get(ntype) or 'no'} features)"
            for ntype, count in sizes.num_nodes.items()
        )
        return (
            f"{self.config.data}: {graph.num_nodes():,} nodes: {nodes}; {graph.num_edges():,} edges"
            f" of {len(sizes.num_edges)} relations; {sizes.num_classes} classes of"
            f" {self.target_type}"
        )

    def notes(self, model: Any) -> list[str]:
        known = super().notes(model)
        learned = {ntype: self._sizes.num_nodes[ntype] for ntype in model.encoder.learned}
        if not learned:
            return known
        size = sum(learned.values()) * self.config.hidden * 4
        rows = ", ".join(f"{count:,} of {ntype}" for ntype, count in learned.items())
        # Adam keeps two moments of each number, and the best model is kept beside the last.
        return [
            *known,
            f"types without features have rows that are learned: {rows}; {size / 1e6:,.0f} MB at"
            f" width {self.config.hidden}, {4 * size / 1e6:,.0f} MB with all that training keeps",
        ]


def task_of(
    config: TrainConfig,
    dataset: Any,
    *,
    target_type: str | None = None,
    for_training: bool = True,
) -> Task:
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
        Whether there must be labels and training nodes.

    Raises
    ------
    ValueError
        The data does not fit the configuration.
    """
    if isinstance(dataset[0][1], Mapping):
        return TypedTask(config, dataset, target_type=target_type, for_training=for_training)
    return OneTypeTask(config, dataset, for_training=for_training)
