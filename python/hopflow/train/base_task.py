"""What differs between runs: data, model, how a batch is read, and what is reported."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hopflow.graphs.graph import Graph
from hopflow.train.config import TrainConfig
from hopflow.train.inference import DEFAULT_CHUNK_EDGES
from hopflow.train.ranks import ALONE, Ranks
from hopflow.train.samplers import Loading
from hopflow.train.targets import Metric


@dataclass(frozen=True)
class Step:
    """What a training step takes.

    Attributes
    ----------
    blocks : sequence of Graph
        A graph for each layer.
    x : Tensor, TableRows or dict
        What the model takes beside them.
    target : Any
        What its output is compared with.
    rows : Tensor or None
        Which rows of the output count, or None for all.
    count : int
        Nodes, or edges, that are learned from.
    """

    blocks: Sequence[Graph]
    x: Any
    target: Any
    rows: Tensor | None
    count: int

    def counted(self, out: Tensor) -> Tensor:
        """The rows of an output that count."""
        return out if self.rows is None else out[self.rows]


class Task(ABC):
    """A graph to train on, the model for it, and what a batch gives to the model.

    Attributes
    ----------
    config : TrainConfig
        What fixes the run.
    graph : Graph
        What is sampled, with the column "feat".
    num_nodes : int
        Nodes that the model has outputs for, N.
    is_stored : bool
        Whether the graph stays in a graph folder.
    metrics : tuple of Metric
        What is reported; the first chooses the best epoch.
    sum_names : tuple of str
        Of the sums that a step gives beside its loss.
    loss_name : str
        What is minimized, for people.
    unit : str
        What batches are made of: "nodes" or "edges".
    num_training : int
        How many of them there are.
    """

    config: TrainConfig
    graph: Graph
    num_nodes: int
    is_stored: bool
    metrics: tuple[Metric, ...]
    sum_names: tuple[str, ...]
    loss_name: str
    unit: str = "nodes"
    num_training: int

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

    def optimizers(self, model: Any) -> list[torch.optim.Optimizer]:
        """What trains all of a model's parameters."""
        lr, decay = self.config.lr, self.config.weight_decay
        return [torch.optim.Adam(model.parameters(), lr=lr, weight_decay=decay)]

    @abstractmethod
    def loading(self) -> Loading:
        """What the loader of training batches is made of."""

    @abstractmethod
    def read(self, model: Any, batch: Any) -> Step:
        """Gather what a step takes from a batch."""

    @abstractmethod
    def loss(self, out: Tensor, step: Step) -> Tensor:
        """Mean loss of a step from the model's output."""

    @abstractmethod
    def sums(self, out: Tensor, step: Step) -> list[float]:
        """What :meth:`training_scores` takes, of a step."""

    @abstractmethod
    def training_scores(self, sums: Sequence[float], count: float) -> dict[str, float]:
        """Scores of an epoch's batches by metric."""

    @abstractmethod
    def evaluate(self, model: Any, ranks: Ranks = ALONE) -> dict[str, float]:
        """Scores to validate and to test by, as "valid_accuracy".

        Raises
        ------
        Diverged
            An output that is not finite.
        """

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
        """Outputs [N, width] over full neighbourhoods, as :func:`layerwise_inference`."""

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
