"""Predicting labels of nodes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hopflow.graphs.block import Block
from hopflow.graphs.graph import Graph
from hopflow.structure.table_rows import TableRows
from hopflow.train.base_task import Step, Task
from hopflow.train.config import MODELS, ONE_TYPE_MODELS, TrainConfig
from hopflow.train.data import feature_column, num_features, prepare_labelled, stays_in_folder
from hopflow.train.inference import DEFAULT_CHUNK_EDGES, layerwise_inference
from hopflow.train.models import model_of
from hopflow.train.models.layered import LayeredModel
from hopflow.train.ranks import ALONE, Ranks
from hopflow.train.sampled import Diverged, sampled_scores
from hopflow.train.samplers import KINDS, TRAINS, Loading, opened
from hopflow.train.targets import TARGETS, Metric, Target


class NodeTask(Task):
    """Predicting labels of the nodes of a type.

    Attributes
    ----------
    split : dict
        Ids of the nodes of each part.
    labels : Tensor or None
        One for each node, shape [N], or a row, shape [N, C]; also the column "label".
    target : Target
        What they are.
    """

    split: dict[str, Tensor]
    labels: Tensor | None
    target: Target

    @property
    def metrics(self) -> tuple[Metric, ...]:  # type: ignore[override]
        return self.target.metrics

    @property
    def sum_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.target.sum_names

    @property
    def loss_name(self) -> str:  # type: ignore[override]
        return self.target.loss_name

    @property
    def num_training(self) -> int:  # type: ignore[override]
        return len(self.split["train"])

    @abstractmethod
    def sampler(self) -> Any:
        """What makes the batches of given seeds."""

    @abstractmethod
    def seeds_of(self, nodes: Tensor) -> Any:
        """Nodes of the type predicted for, as a loader takes them."""

    def seeds(self) -> Any:
        """The training nodes, as a loader takes them."""
        return self.seeds_of(self.split["train"])

    def loading(self) -> Loading:
        return Loading(self.seeds(), self.sampler(), self.config.batch_size)

    @abstractmethod
    def inputs(self, model: Any, blocks: Sequence[Graph]) -> Any:
        """What a model takes beside the blocks."""

    @abstractmethod
    def batch_labels(self, blocks: Sequence[Graph]) -> Tensor:
        """Labels of the nodes that the last block, or the one subgraph, has outputs for."""

    def read(self, model: Any, batch: Any) -> Step:
        blocks, rows = opened(self.config, batch)
        x, labels = self.inputs(model, blocks), self.batch_labels(blocks)
        if rows is not None:
            labels = labels[rows]
        return Step(blocks, x, labels, rows, labels.shape[0])

    def loss(self, out: Tensor, step: Step) -> Tensor:
        return self.target.loss(step.counted(out), step.target)

    def sums(self, out: Tensor, step: Step) -> list[float]:
        return self.target.sums(step.counted(out), step.target)

    def training_scores(self, sums: Sequence[float], count: float) -> dict[str, float]:
        return self.target.training_scores(sums, count)

    def evaluate(self, model: Any, ranks: Ranks = ALONE) -> dict[str, float]:
        if self.config.evaluation == "sampled":
            device = next(model.parameters()).device
            found = {part: sampled_scores(self, model, part, device) for part in ("valid", "test")}
        else:
            out = self.predict(model, ranks=ranks)
            if not bool(out.isfinite().all()):
                raise Diverged("the model's outputs are no longer finite")
            found = {part: self.scores(out, part) for part in ("valid", "test")}
        return {
            f"{part}_{name}": value
            for part, scores in found.items()
            for name, value in scores.items()
        }  # fmt: skip

    def labelled(self, part: str) -> Tensor:
        """The nodes of a part of the split that have a label."""
        assert self.labels is not None
        nodes = self.split[part]
        return nodes[self.target.is_labelled(self.labels[nodes])]

    def scores(self, out: Tensor, part: str) -> dict[str, float]:
        """Scores of a part of the split from outputs of all nodes."""
        assert self.labels is not None
        nodes = self.labelled(part)
        return self.target.scores(self.target.kept(out[nodes]), self.labels[nodes])


def refuse_typed(config: TrainConfig) -> None:
    """Raise a ValueError for what graphs of one type do not have."""
    if config.model not in ONE_TYPE_MODELS:
        raise ValueError(
            f"model: {MODELS[config.model]} is for graphs of several types, {config.data} has"
            f" one; expected {', '.join(ONE_TYPE_MODELS)}"
        )
    if config.bases is not None:
        raise ValueError(
            f"bases: they are for rgcn on graphs of several types, {config.data} has one type;"
            f" expected none, got {config.bases}"
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


def refuse_other_sizes(config: TrainConfig, graph: Graph, sizes: Mapping[str, Any]) -> None:
    """Raise a ValueError if a checkpoint's sizes are of several types, or of other features."""
    if isinstance(sizes["num_nodes"], Mapping):
        raise ValueError(
            f"{config.data} has one type of nodes, the model was trained on"
            f" {', '.join(sizes['num_nodes'])}"
        )
    if num_features(graph) != sizes["num_features"]:
        raise ValueError(
            f"{config.data}: expected {sizes['num_features']} features, as in training, got"
            f" {num_features(graph)}"
        )


def input_rows(graph: Graph) -> Tensor | TableRows:
    """Features of a block's sources, or of a subgraph's nodes."""
    if isinstance(graph, Block):
        return graph.src_rows("feat")
    rows: Tensor = graph.ndata["feat"]
    return rows


class OneTypeTask(NodeTask):
    """A :class:`LayeredModel` on a graph of one type."""

    def __init__(self, config: TrainConfig, dataset: Any, *, for_training: bool = True) -> None:
        refuse_typed(config)
        self.config, self.is_stored = config, stays_in_folder(dataset)
        self.graph, self.split, self.target = prepare_labelled(
            config, dataset, for_training=for_training
        )
        self.labels = self.graph.ndata.get("label")
        self.num_nodes = self.graph.num_nodes()
        self._width = dataset.num_classes
        if self.target.name != "classes":
            self._width = 0 if self.labels is None else self.labels.shape[1]

    def sizes(self) -> dict[str, Any]:
        return {
            "num_nodes": self.graph.num_nodes(),
            "num_edges": self.graph.num_edges(),
            "num_features": num_features(self.graph),
            "num_classes": self._width,
            **({} if self.target.name == "classes" else {"target": self.target.name}),
        }

    def model(self, sizes: Mapping[str, Any]) -> LayeredModel:
        refuse_other_sizes(self.config, self.graph, sizes)
        target = TARGETS[sizes.get("target", "classes")]
        width, train = sizes["num_classes"], self.split.get("train")
        has_labels = self.labels is not None and train is not None
        known = self.labels[train] if has_labels and target is self.target else None  # type: ignore[index]
        if known is not None and known.dim() == 2 and known.shape[1] != width:
            known = None  # of other data: the checkpoint has what is learned of the labels
        output = target.output(known, width)
        return model_of(self.config, sizes["num_features"], width, output)

    def sampler(self) -> Any:
        return KINDS[self.config.sampler].make(self.config, self.config.fanout)

    def loading(self) -> Loading:
        if KINDS[self.config.sampler].has_seeds:
            return super().loading()
        train = self.split["train"]
        is_training = torch.zeros(self.num_nodes, dtype=torch.bool)
        is_training[train] = True
        self.graph.ndata[TRAINS] = is_training.to(self.graph.device)
        loading: Loading = KINDS[self.config.sampler].make(self.config, self.graph, train)
        return loading

    def seeds_of(self, nodes: Tensor) -> Tensor:
        return nodes

    def inputs(self, model: Any, blocks: Sequence[Graph]) -> Tensor | TableRows:
        return input_rows(blocks[0])

    def batch_labels(self, blocks: Sequence[Graph]) -> Tensor:
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
            model, self.graph, feature_column(self.graph),
            chunk_edges=chunk_edges, scratch=scratch, on_nodes=on_nodes, ranks=ranks,
        )  # fmt: skip

    def work(self) -> int:
        return self.graph.num_nodes() * self.config.num_layers

    def describe(self) -> str:
        graph = self.graph
        return (
            f"{self.config.data}: {graph.num_nodes():,} nodes, {graph.num_edges():,} edges,"
            f" {num_features(graph)} features, {self.target.counted(self._width)}"
        )
