"""Random changes of a graph: nodes and edges dropped, edges added, features masked or shuffled.

Draws are keyed as those of samplers are (:mod:`hopflow.ops.random_stream`): ``hopflow.seed`` or
``torch.manual_seed`` makes them reproducible, they are the same on every device, and within a
``DataLoader`` they depend on the batch alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

import hopflow.ops as ops
from hopflow.ops.random_stream import next_key, uniform
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.batch_sizes import keep_sizes
from hopflow.structure.frame import Column, Columns
from hopflow.structure.graph_base import GraphT, require_graph
from hopflow.structure.types import Relation
from hopflow.transforms.export import attribute_names
from hopflow.transforms.modules import BaseTransform
from hopflow.transforms.normalize import named_columns
from hopflow.transforms.subgraph import edge_subgraph, node_subgraph


def _chance(p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(f"p: expected a probability, 0 to 1, got {p}")
    return p


class DropNode(BaseTransform):
    """Drop every node, of every type, with some probability, and its edges with it.

    Parameters
    ----------
    p : float
        The probability.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.DropNode.html
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = _chance(p)

    def __call__(self, g: GraphT) -> GraphT:
        """The graph of the nodes left, renumbered in rising order, with the columns."""
        g = require_graph(g)
        if self.p == 0:
            return g.local_var()
        key = next_key()
        kept = {
            ntype: uniform(ops.relation_key(key, i), g.num_nodes(ntype), g.device) >= self.p
            for i, ntype in enumerate(g.schema.ntypes)
        }
        made = node_subgraph(g, kept, store_ids=False)
        keep_sizes(made, g, nodes={ntype: x.nonzero().squeeze(1) for ntype, x in kept.items()})
        return made


class DropEdge(BaseTransform):
    """Drop every edge, of every type, with some probability.

    Parameters
    ----------
    p : float
        The probability.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.DropEdge.html
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = _chance(p)

    def __call__(self, g: GraphT) -> GraphT:
        """The graph of the same nodes with the edges left, in their order, with the columns."""
        g = require_graph(g)
        if self.p == 0:
            return g.local_var()
        key = next_key()
        kept = {
            relation: uniform(ops.relation_key(key, i), g.num_edges(relation), g.device) >= self.p
            for i, relation in enumerate(g.schema.relations)
        }
        made = edge_subgraph(g, kept, relabel_nodes=False, store_ids=False)
        keep_sizes(made, g, edges={r: x.nonzero().squeeze(1) for r, x in kept.items()})
        return made


class AddEdge(BaseTransform):
    """Add edges between nodes drawn at random, to every relation.

    Parameters
    ----------
    ratio : float
        New edges for each that there is, rounded down. Sources and destinations are drawn with
        equal probability each, so that edges may become parallel or self-loops.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.AddEdge.html
    """

    def __init__(self, ratio: float = 0.2) -> None:
        if ratio < 0:
            raise ValueError(f"ratio: expected 0 or more, got {ratio}")
        self.ratio = ratio

    def __call__(self, g: GraphT) -> GraphT:
        """The graph with the new edges after the others; they have 0 in every column."""
        g = require_graph(g)
        if self.ratio == 0:
            return g.local_var()
        key = next_key()
        parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
        for i, (relation, one) in enumerate(g.relations.items()):
            more = int(one.num_edges() * self.ratio)
            counts = one.adjacency.num_src, one.adjacency.num_dst
            drawn = uniform(ops.relation_key(key, i), 2 * more, g.device).view(2, more)
            ends = []
            for old, numbers, count in zip(one.adjacency.coo(), drawn, counts):
                # Rounding may give the number of nodes itself where there are more than 2**52.
                new = (numbers * count).long().clamp(max=max(count - 1, 0))
                ends.append(torch.cat([old.long(), new]))
            columns: dict[str, Column] = {
                name: torch.cat([x, x.new_zeros(more, *x.shape[1:])])
                for name, x in one.edge_frame.items()
            }
            parts[relation] = (Adjacency.from_coo(ends[0], ends[1], *counts), columns)
        frames = {ntype: frame.copy() for ntype, frame in g.node_frames().items()}
        return type(g).of_types(g.schema, frames, parts, g.idtype, like=g)


class FeatMask(BaseTransform):
    """Set whole dimensions of features to 0, each with some probability, for all rows alike.

    Parameters
    ----------
    p : float
        The probability.
    node_feat_names, edge_feat_names : sequence of str, optional
        Columns of nodes and edges, shape [N, ..., D]: of their last dimension's D places some are
        masked. Of several types, of those that have them, drawn for each. None by default.

    References
    ----------
    You et al., "Graph contrastive learning with augmentations", https://arxiv.org/abs/2010.13902
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.FeatMask.html
    """

    def __init__(
        self,
        p: float = 0.5,
        node_feat_names: Iterable[str] | None = None,
        edge_feat_names: Iterable[str] | None = None,
    ) -> None:
        self.p = _chance(p)
        self.node_feat_names = attribute_names("node_feat_names", node_feat_names)
        self.edge_feat_names = attribute_names("edge_feat_names", edge_feat_names)

    def __call__(self, g: GraphT) -> GraphT:
        """The graph with masked columns; those of ``g`` stay as they are.

        Raises
        ------
        KeyError
            A column that no type has.
        ValueError
            A column of one number a row.
        """
        g = require_graph(g).local_var()
        columns = named_columns(g, self.node_feat_names, self.edge_feat_names)
        for frame, name in columns:
            if frame[name].dim() < 2:
                raise ValueError(
                    f"{frame.what} column {name!r}: expected features of shape [N, ..., D], got"
                    f" {list(frame[name].shape)}"
                )
        if self.p == 0:
            return g
        key = next_key()
        for i, (frame, name) in enumerate(columns):
            feat = frame[name]
            masked = uniform(ops.relation_key(key, i), feat.shape[-1], g.device) < self.p
            frame[name] = feat.masked_fill(masked, 0)
        return g


class NodeShuffle(BaseTransform):
    """Permute the rows of the node columns, those of one type all alike; edges stay.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.NodeShuffle.html
    """

    def __call__(self, g: GraphT) -> GraphT:
        """The graph with shuffled columns; those of ``g`` stay as they are."""
        g = require_graph(g).local_var()
        key = next_key()
        for i, frame in enumerate(g.node_frames().values()):
            drawn = uniform(ops.relation_key(key, i), frame.num_rows, g.device)
            order = torch.argsort(drawn, stable=True)
            for name in list(frame):
                frame[name] = ops.gather_rows(frame[name], order)
        return g
