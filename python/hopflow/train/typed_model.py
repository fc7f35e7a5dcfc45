"""The models that the command trains on graphs of several types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from hopflow.graphs.block import Block
from hopflow.graphs.graph import Graph
from hopflow.structure.frame import NID, take_rows
from hopflow.structure.types import Relation, told
from hopflow.train.config import TrainConfig
from hopflow.train.data import num_features
from hopflow.train.typed_hgt import HGTLayer
from hopflow.train.typed_layers import RGCNLayer, Rows, SAGELayer, TypedLayer

_CHUNK = 1 << 16  # rows encoded at a time


def types_by_layer(
    relations: Iterable[Relation], num_layers: int, targets: Iterable[str]
) -> list[tuple[str, ...]]:
    """Node types whose rows matter before the first layer and after each.

    Returns
    -------
    list
        ``num_layers + 1`` tuples of names, sorted; the last are the targets.
    """
    relations, wanted = list(relations), set(targets)
    found = [tuple(sorted(wanted))]
    for _ in range(num_layers):
        wanted |= {src for src, _, dst in relations if dst in wanted}
        found.append(tuple(sorted(wanted)))
    return found[::-1]


@dataclass(frozen=True)
class Sizes:
    """What a model has parameters for; a checkpoint holds it as plain values.

    Attributes
    ----------
    target_type : str
        The type predicted for.
    num_nodes, num_features : dict
        Nodes of each type; width of the features of each type that has some.
    num_edges : dict
        Edges of each relation.
    num_classes : int
        Width of the output.
    """

    target_type: str
    num_nodes: dict[str, int]
    num_features: dict[str, int]
    num_edges: dict[Relation, int]
    num_classes: int

    @classmethod
    def of(cls, graph: Graph, target_type: str, num_classes: int) -> Sizes:
        """The sizes of a graph whose features are columns "feat"."""
        frames = graph.node_frames()
        return cls(
            target_type,
            {ntype: graph.num_nodes(ntype) for ntype in graph.ntypes},
            {ntype: num_features(graph, ntype) for ntype, own in frames.items() if "feat" in own},
            {relation: graph.num_edges(relation) for relation in graph.canonical_etypes},
            num_classes,
        )


class Encoder(nn.Module):
    """Rows of one width for nodes of every type: features transformed, or else learned.

    Learned rows have sparse gradients: a batch costs what it reads of them.

    Parameters
    ----------
    types : sequence of str
        Node types.
    sizes : Sizes
        How many nodes they have, and how wide their features are.
    width : int
        Width of the rows.
    """

    def __init__(self, types: Sequence[str], sizes: Sizes, width: int) -> None:
        super().__init__()
        self.featured = tuple(t for t in types if t in sizes.num_features)
        self.learned = tuple(t for t in types if t not in sizes.num_features)
        self.linears = nn.ModuleList(
            nn.Linear(sizes.num_features[ntype], width) for ntype in self.featured
        )
        self.tables = nn.ModuleList(
            nn.Embedding(sizes.num_nodes[ntype], width, sparse=True) for ntype in self.learned
        )
        for table in self._tables():
            nn.init.normal_(table.weight, std=0.1)

    def _tables(self) -> list[nn.Embedding]:
        return list(cast("Iterable[nn.Embedding]", self.tables))

    def inputs(self, block: Block) -> Rows:
        """What :meth:`forward` takes: features of the source nodes, or their ids."""
        columns = {**dict.fromkeys(self.featured, "feat"), **dict.fromkeys(self.learned, NID)}
        return {ntype: block.srcnodes[ntype].data[name] for ntype, name in columns.items()}

    def forward(self, inputs: Mapping[str, Tensor]) -> Rows:
        """Rows [U, width] by type."""
        modules = zip([*self.featured, *self.learned], [*self.linears, *self.tables])
        return {ntype: module(inputs[ntype]) for ntype, module in modules}

    def no_rows(self, like: Tensor) -> Tensor:
        """A zero that depends on every table, on none of its rows."""
        zero, none = like.new_zeros(()), torch.empty(0, dtype=torch.int64, device=like.device)
        for table in self._tables():
            zero = zero + table(none).sum()
        return zero

    @torch.no_grad()
    def all_rows(self, graph: Graph) -> Rows:
        """Rows of every node of a graph, on the CPU; learned ones share the parameters' memory."""
        rows = {ntype: table.weight.cpu() for ntype, table in zip(self.learned, self._tables())}
        for ntype, linear in zip(self.featured, self.linears):
            frame = graph.node_frames()[ntype]
            column = frame.column("feat")
            device = next(linear.parameters()).device
            every = torch.arange(frame.num_rows, device=graph.device)
            chunks = (take_rows("feat", column, ids) for ids in torch.split(every, _CHUNK))
            parts = [linear(chunk.to(device)).float().cpu() for chunk in chunks]
            rows[ntype] = torch.cat(parts)
        return rows


class TypedModel(nn.Module):
    """An :class:`Encoder` and layers on blocks of several types, of which the last gives logits.

    A layer has parameters for the types and relations that the target's logits depend on.

    Attributes
    ----------
    ties_tables : bool
        Whether every table gets a gradient, an empty one if need be, from every batch: what
        DistributedDataParallel needs of sparse gradients.
    encoder : Encoder
        Makes the rows that the first layer takes.
    layers : nn.ModuleList
        :class:`TypedLayer` each, as :func:`typed_layerwise_inference` takes them.
    """

    ties_tables = False

    def __init__(self, config: TrainConfig, sizes: Sizes) -> None:
        super().__init__()
        self.target_type = sizes.target_type
        types = types_by_layer(sizes.num_edges, len(config.fanout), [sizes.target_type])
        self.encoder = Encoder(types[0], sizes, config.hidden)
        self.layers = nn.ModuleList()
        for i, wanted in enumerate(types[1:]):
            is_last = i + 1 == len(config.fanout)
            relations = [relation for relation in sizes.num_edges if relation[2] in wanted]
            # As on one type: what comes in first is not dropped.
            rate = config.dropout if i else 0.0
            width = sizes.num_classes if is_last else config.hidden
            layer = _layer(config, width, wanted, relations, dropout=rate, is_last=is_last)
            self.layers.append(layer)

    def forward(self, blocks: Sequence[Block], inputs: Mapping[str, Tensor]) -> Tensor:
        """Logits of the last block's destinations of the target type, [V, num_classes]."""
        x = self.encoder(inputs)
        for layer, block in zip(self.layers, blocks):
            x = layer(block, x)
        logits: Tensor = x[self.target_type]
        if self.ties_tables:
            logits = logits + self.encoder.no_rows(logits)
        return logits

    def sparse_parameters(self) -> list[nn.Parameter]:
        """Those whose gradients are sparse."""
        return list(self.encoder.tables.parameters())

    def dense_parameters(self) -> list[nn.Parameter]:
        """All others."""
        sparse = set(map(id, self.sparse_parameters()))
        return [parameter for parameter in self.parameters() if id(parameter) not in sparse]

    def check(self, sizes: Sizes, trained_on: Sizes, data: str) -> None:
        """Raise a ValueError unless the model, made for ``trained_on``, can be run on ``data``."""
        if sizes.num_edges.keys() != trained_on.num_edges.keys():
            raise ValueError(
                f"{data}: expected the relations that the model was trained on,"
                f" {told(trained_on.num_edges)}, got {told(sizes.num_edges)}"
            )
        for ntype in self.encoder.featured:
            ours, theirs = sizes.num_features.get(ntype), trained_on.num_features[ntype]
            if ours != theirs:
                raise ValueError(
                    f"{data}: expected {theirs} features of {ntype!r}, as in training, got"
                    f" {ours or 'none'}"
                )
        for ntype in self.encoder.learned:
            counts = sizes.num_nodes[ntype], trained_on.num_nodes[ntype]
            if counts[0] != counts[1]:
                raise ValueError(
                    f"{data}: the model has learned a row for each of {counts[1]:,} nodes of"
                    f" {ntype!r}, which have no features; there are {counts[0]:,}"
                )


def _layer(
    config: TrainConfig,
    out_feats: int,
    types: Sequence[str],
    relations: Sequence[Relation],
    *,
    dropout: float,
    is_last: bool,
) -> TypedLayer:
    width = config.hidden
    common: dict[str, Any] = {"dropout": dropout, "is_last": is_last}
    if config.model == "rgcn":
        return RGCNLayer(width, out_feats, types, relations, bases=config.bases, **common)
    if config.model == "hgt":  # which drops some of what attention brings instead, in every layer
        common["dropout"] = config.dropout
        return HGTLayer(width, out_feats, types, relations, heads=config.heads, **common)
    return SAGELayer(width, out_feats, types, relations, **common)
