"""Predicting nodes of one of several types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hopflow.graphs.graph import Graph
from hopflow.train.config import MODELS, TYPED_MODELS, TrainConfig
from hopflow.train.data import stays_in_folder
from hopflow.train.inference import DEFAULT_CHUNK_EDGES
from hopflow.train.node_task import NodeTask
from hopflow.train.ranks import ALONE, Ranks
from hopflow.train.samplers import KINDS
from hopflow.train.targets import TARGETS
from hopflow.train.typed_data import prepare_typed, resolve_fanouts
from hopflow.train.typed_inference import planned_nodes, typed_layerwise_inference
from hopflow.train.typed_model import Sizes, TypedModel


def _refuse_untyped(config: TrainConfig) -> None:
    """Raise a ValueError for what graphs of several types do not have."""
    data = config.data
    if config.task != "node":
        raise ValueError(
            f"task: {config.task} is for graphs of one type, {data} has several; expected node"
        )
    if config.model not in TYPED_MODELS:
        raise ValueError(
            f"model: {MODELS[config.model]} is for graphs of one type, {data} has several; expected"
            f" {', '.join(TYPED_MODELS)}"
        )
    if config.aggregator is not None:
        raise ValueError(
            f"aggregator: of several types it is the mean; expected none for {data}, got"
            f" {config.aggregator!r}"
        )
    if KINDS[config.sampler].is_subgraph:
        raise ValueError(
            f"sampler: {config.sampler} is for graphs of one type, {data} has several; expected"
            " neighbor or labor"
        )
    if config.target not in (None, "classes"):
        raise ValueError(
            f"target: of several types labels are classes; expected classes for {data}, got"
            f" {config.target!r}"
        )


class TypedTask(NodeTask):
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
        _refuse_untyped(config)
        self.config, self.is_stored = config, stays_in_folder(dataset)
        self.target = TARGETS["classes"]
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

    def sampler(self) -> Any:
        return KINDS[self.config.sampler].make(self.config, self._fanouts)

    def seeds_of(self, nodes: Tensor) -> dict[str, Tensor]:
        return {self.target_type: nodes}

    def inputs(self, model: Any, blocks: Sequence[Graph]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = model.encoder.inputs(blocks[0])
        return found

    def batch_labels(self, blocks: Sequence[Graph]) -> Tensor:
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
