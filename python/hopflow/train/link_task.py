"""Predicting which pairs of nodes have an edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hopflow.dataloading import DataLoader, as_edge_prediction_sampler, negative_sampler
from hopflow.functional import u_dot_v
from hopflow.graphs.graph import Graph
from hopflow.train.base_task import Step, Task
from hopflow.train.config import TrainConfig
from hopflow.train.data import feature_column, num_features, prepare_features, stays_in_folder
from hopflow.train.inference import DEFAULT_CHUNK_EDGES, layerwise_inference
from hopflow.train.link_data import NUM_NEGATIVES, HeldOut, LinkData, prepare_links
from hopflow.train.models import model_of
from hopflow.train.models.layered import LayeredModel
from hopflow.train.node_task import input_rows, refuse_other_sizes, refuse_typed
from hopflow.train.ranks import ALONE, Ranks
from hopflow.train.sampled import finite, sampled_rows
from hopflow.train.samplers import KINDS, Loading
from hopflow.train.targets import ROC_AUC, Metric, roc_auc

MRR = Metric("mrr", f"MRR among {NUM_NEGATIVES} sampled negatives")
HITS = Metric("hits@10", "hits@10", is_share=True)
_CHUNK = 1 << 12  # held-out edges scored at a time


class LinkTask(Task):
    """Rows of nodes whose dot products tell edges from pairs without one.

    In the loss they are divided by the root of their width, as in attention.

    Each edge of a batch is compared with pairs of its source and a node drawn from all. Blocks have
    neither the edges of the batch nor their reverses.

    Attributes
    ----------
    data : LinkData or None
        The edges, in training.
    """

    metrics = (MRR, HITS, ROC_AUC)
    sum_names = ()
    loss_name = "binary cross-entropy"
    unit = "edges"

    def __init__(self, config: TrainConfig, dataset: Any, *, for_training: bool = True) -> None:
        refuse_typed(config)
        self.config, self.is_stored = config, stays_in_folder(dataset)
        self.data: LinkData | None = None
        if for_training:
            self.data = prepare_links(config, dataset)
            self.graph = self.data.graph
            self.num_training = len(self.data.seeds)
        else:
            self.graph, self.num_training = prepare_features(config, dataset), 0
        self.num_nodes = self.graph.num_nodes()

    def sizes(self) -> dict[str, Any]:
        return {
            "num_nodes": self.graph.num_nodes(),
            "num_edges": self.graph.num_edges(),
            "num_features": num_features(self.graph),
            "num_classes": 0,
        }

    def model(self, sizes: Mapping[str, Any]) -> LayeredModel:
        refuse_other_sizes(self.config, self.graph, sizes)
        return model_of(self.config, sizes["num_features"], self.config.hidden)

    def _nodes_sampler(self) -> Any:
        return KINDS[self.config.sampler].make(self.config, self.config.fanout)

    def loading(self) -> Loading:
        assert self.data is not None
        sampler = as_edge_prediction_sampler(
            self._nodes_sampler(),
            exclude="reverse_id",
            reverse_eids=self.data.reverse,
            negative_sampler=negative_sampler.Uniform(self.config.negatives or 1),
        )
        return Loading(self.data.seeds, sampler, self.config.batch_size)

    def _open(self, made: Any) -> list[Graph]:
        """A graph for each layer, of what a sampler of nodes has made."""
        return made if isinstance(made, list) else [made] * self.config.num_layers

    def read(self, model: Any, batch: Any) -> Step:
        _, positive, negative, made = batch
        blocks = self._open(made)
        return Step(
            blocks, input_rows(blocks[0]), (positive, negative), None, positive.num_edges()
        )  # fmt: skip

    def loss(self, out: Tensor, step: Step) -> Tensor:
        positive, negative = step.target
        # Nodes of both graphs come first, also where more of a subgraph have rows.
        rows = out[: positive.num_nodes()]
        found = torch.cat([u_dot_v(graph, rows, rows) for graph in (positive, negative)])
        found = found / rows.shape[1] ** 0.5  # about 1, whatever the width
        wanted = torch.zeros_like(found)
        wanted[: step.count] = 1
        return functional.binary_cross_entropy_with_logits(found, wanted)

    def sums(self, out: Tensor, step: Step) -> list[float]:
        return []

    def training_scores(self, sums: Sequence[float], count: float) -> dict[str, float]:
        return {}

    def evaluate(self, model: Any, ranks: Ranks = ALONE) -> dict[str, float]:
        assert self.data is not None
        if self.config.evaluation == "sampled":
            rows = self._sampled(model)
        else:
            rows = finite(self.predict(model, ranks=ranks))
        return {
            f"{part}_{name}": value
            for part, held in self.data.held_out.items()
            for name, value in link_scores(rows, held).items()
        }

    def _sampled(self, model: Any) -> Tensor:
        """Rows of all nodes that held-out edges and their negatives have, others 0."""
        assert self.data is not None
        config, parts = self.config, self.data.held_out.values()
        ends = [x.flatten() for held in parts for x in (held.src, held.dst, held.others)]
        nodes = torch.unique(torch.cat(ends))
        loader = DataLoader(
            self.graph, nodes, self._nodes_sampler(), device=next(model.parameters()).device,
            batch_size=config.batch_size, num_workers=config.num_workers, seed=config.seed,
        )  # fmt: skip

        def keep(batch: Any) -> Tensor:
            _, seeds, made = batch
            blocks = self._open(made)
            return finite(model(blocks, input_rows(blocks[0]))[: len(seeds)]).cpu()

        rows = torch.zeros(self.num_nodes, config.hidden)
        rows[nodes] = torch.cat(sampled_rows(model, loader, keep))
        return rows

    def predict(
        self,
        model: Any,
        *,
        chunk_edges: int = DEFAULT_CHUNK_EDGES,
        scratch: Path | None = None,
        on_nodes: Callable[[int], None] | None = None,
        ranks: Ranks = ALONE,
    ) -> Tensor:
        return layerwise_inference(
            model, self.graph, feature_column(self.graph),
            chunk_edges=chunk_edges, scratch=scratch, on_nodes=on_nodes, ranks=ranks,
        )  # fmt: skip

    def work(self) -> int:
        return self.graph.num_nodes() * self.config.num_layers

    def describe(self) -> str:
        graph, data = self.graph, self.data
        assert data is not None
        valid, test = (len(data.held_out[part].src) for part in ("valid", "test"))
        return (
            f"{self.config.data}: {graph.num_nodes():,} nodes, {graph.num_edges():,} edges to pass"
            f" messages, {num_features(graph)} features; {valid:,} and {test:,} edges held out to"
            " validate and to test"
        )

    def notes(self, model: Any) -> list[str]:
        return []


def link_scores(rows: Tensor, held: HeldOut) -> dict[str, float]:
    """How the dot products of nodes' rows rank held-out edges.

    Parameters
    ----------
    rows : Tensor
        Of all nodes, shape [N, D].
    held : HeldOut
        The edges, and pairs to rank them among.

    Returns
    -------
    dict
        "mrr": mean of 1 / rank of an edge among the pairs of its source, where a tie counts half;
        "hits@10": share of edges of rank 10 or better; "roc_auc": how often an edge has a higher
        score than a pair, of all edges and pairs.
    """
    ranks, positives, negatives = [], [], []
    for part in torch.split(torch.arange(len(held.src)), _CHUNK):
        own = rows[held.src[part]]
        found = (own * rows[held.dst[part]]).sum(1)
        counts = held.counts[part]
        others = torch.bmm(rows[held.others[part]], own[:, :, None]).squeeze(2)
        above = (others > found[:, None]) & counts
        tied = (others == found[:, None]) & counts
        ranks.append(1 + above.sum(1).double() + tied.sum(1).double() / 2)
        positives.append(found)
        negatives.append(others[counts])
    rank, positive, negative = torch.cat(ranks), torch.cat(positives), torch.cat(negatives)
    labels = torch.zeros(len(positive) + len(negative), dtype=torch.bool)
    labels[: len(positive)] = True
    return {
        "mrr": float((1 / rank).mean()),
        "hits@10": float((rank <= 10).double().mean()),
        "roc_auc": roc_auc(torch.cat([positive, negative]), labels),
    }
