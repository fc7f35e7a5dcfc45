"""Transforms as objects: made once with their options, called with a graph, put in a row.

Names, options and results are those of ``dgl.transforms``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Column, Columns
from hopflow.structure.graph_base import GraphT, require_graph
from hopflow.structure.types import Relation, Schema
from hopflow.transforms.edges import add_self_loop, remove_self_loop
from hopflow.transforms.simple import to_simple

__all__ = ["AddReverse", "AddSelfLoop", "BaseTransform", "Compose", "RemoveSelfLoop", "ToSimple"]


class BaseTransform:
    """What a transform is: an object that is called with a graph and returns another.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.BaseTransform.html
    """

    def __call__(self, g: Any) -> Any:
        """The graph that is made of ``g``, which stays as it is.

        Raises
        ------
        NotImplementedError
            Always; a transform says here what it does.
        """
        raise NotImplementedError(f"{type(self).__name__} has no __call__ of its own")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Compose(BaseTransform):
    """Several transforms, one after another.

    Parameters
    ----------
    transforms : iterable of callable
        Each is called with the graph that the one before it has returned.

    Raises
    ------
    TypeError
        One of them cannot be called.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.Compose.html
    """

    def __init__(self, transforms: Iterable[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)
        for i, transform in enumerate(self.transforms):
            if not callable(transform):
                raise TypeError(
                    f"transforms[{i}]: expected a function of a graph, got"
                    f" {type(transform).__name__}"
                )

    def __call__(self, g: Any) -> Any:
        """What the last transform returns; ``g`` itself if there is none."""
        for transform in self.transforms:
            g = transform(g)
        return g

    def __repr__(self) -> str:
        told = ",\n".join(f"  {transform}" for transform in self.transforms)
        return f"{type(self).__name__}([\n{told}\n])"


class AddReverse(BaseTransform):
    """Add the reverse of every edge.

    A relation ``(a, name, b)`` gets its reverse ``(b, "rev_name", a)`` beside it, in which edge
    ``e`` is edge ``e`` turned around. One between nodes of one type gets the reverse edges
    themselves, after its own; self-loops are doubled too.

    Parameters
    ----------
    copy_edata : bool
        Reverse edges get the columns of the edges that they are of. Otherwise a reverse relation
        has no columns, and edges added to a relation have 0 in its columns.
    sym_new_etype : bool
        Make a reverse relation of those between nodes of one type as well.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.AddReverse.html
    """

    def __init__(self, copy_edata: bool = False, sym_new_etype: bool = False) -> None:
        self.copy_edata, self.sym_new_etype = copy_edata, sym_new_etype

    def __call__(self, g: GraphT) -> GraphT:
        """The graph with the reverse edges, of the same nodes and node columns.

        Parameters
        ----------
        g : Graph
            A graph.

        Raises
        ------
        ValueError
            ``rev_name`` is a relation already, and its edges are others. (DGL drops one of them.)
        """
        g = require_graph(g)
        edges: dict[Relation, Adjacency] = {}
        columns: dict[Relation, dict[str, Column]] = {name: {} for name in g.schema.relations}
        for relation, one in g.relations.items():
            src, dst = one.adjacency.coo()
            own = one.edge_frame.snapshot()
            num_src, num_dst = one.adjacency.num_src, one.adjacency.num_dst
            if relation[0] == relation[2] and not self.sym_new_etype:
                both = torch.cat([src, dst]), torch.cat([dst, src])
                edges[relation] = Adjacency.from_coo(*both, num_src, num_dst)
                columns[relation] = {key: self._twice(x) for key, x in one.edge_frame.items()}
                continue
            reverse = (relation[2], f"rev_{relation[1]}", relation[0])
            if reverse in g.schema.relations:
                _require_edges(g, reverse, dst, src)
            else:
                edges[reverse] = Adjacency.from_coo(dst, src, num_dst, num_src)
            edges[relation] = one.adjacency
            columns[relation].update(own)
            if self.copy_edata:
                columns.setdefault(reverse, {}).update(own)
        return with_relations(g, {name: (edges[name], columns.get(name)) for name in edges})

    def _twice(self, column: Tensor) -> Tensor:
        return torch.cat([column, column if self.copy_edata else torch.zeros_like(column)])


class ToSimple(BaseTransform):
    """Merge edges of the same ends into one, relation by relation.

    Parameters
    ----------
    return_counts : str, optional
        Edge column for the number of edges merged; one that is there already gives way. None: leave
        it out.
    aggregator : {"arbitrary", "sum", "mean"}
        How the edge columns are combined: :func:`hopflow.to_simple`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.ToSimple.html
    """

    def __init__(self, return_counts: str | None = "count", aggregator: str = "arbitrary") -> None:
        self.return_counts, self.aggregator = return_counts, aggregator

    def __call__(self, g: GraphT) -> GraphT:
        """The graph without parallel edges, with the columns of nodes and edges.

        Parameters
        ----------
        g : Graph
            A graph.

        Raises
        ------
        ValueError, TypeError
            As :func:`hopflow.to_simple`.
        """
        g = require_graph(g).local_var()
        for one in g.relations.values():
            if self.return_counts is not None and self.return_counts in one.edge_frame:
                del one.edge_frame[self.return_counts]
        made: GraphT = to_simple(
            g, return_counts=self.return_counts, copy_edata=True, aggregator=self.aggregator
        )
        return made


class AddSelfLoop(BaseTransform):
    """Give every node a self-loop in each relation between nodes of one type.

    Parameters
    ----------
    allow_duplicate : bool
        Keep the self-loops that there are. Otherwise they go first.
    new_etypes : bool
        Add to each node type ``a`` a relation ``(a, "self", a)`` as well, of its self-loops alone;
        one of that name that is there already stays as it is.
    edge_feat_names : sequence of str, optional
        Edge columns that ``fill_data`` is for; the new edges have 0 in others. All by default.
    fill_data : float or {"sum", "mean", "max", "min"}
        What the new edges get: a number, or what becomes of the node's other in-edges.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.AddSelfLoop.html
    """

    def __init__(
        self,
        allow_duplicate: bool = False,
        new_etypes: bool = False,
        edge_feat_names: Sequence[str] | None = None,
        fill_data: float | str = 1.0,
    ) -> None:
        self.allow_duplicate, self.new_etypes = allow_duplicate, new_etypes
        self.edge_feat_names, self.fill_data = edge_feat_names, fill_data

    def __call__(self, g: GraphT) -> GraphT:
        """The graph with self-loops, with the columns of nodes and edges.

        Parameters
        ----------
        g : Graph
            A graph.

        Raises
        ------
        ValueError
            Another ``fill_data``.
        KeyError
            A relation between nodes of one type lacks a column named in ``edge_feat_names``.
        """
        g = require_graph(g)
        for etype in _within_one_type(g):
            if not self.allow_duplicate:
                g = remove_self_loop(g, etype)
            before = g.relation(etype).edge_frame
            g = add_self_loop(g, self.edge_feat_names, self.fill_data, etype)
            after = g.relation(etype).edge_frame
            for key in before:
                if key not in after:
                    column = before[key]
                    more = after.num_rows - before.num_rows
                    zeros = column.new_zeros((more, *column.shape[1:]))
                    after[key] = torch.cat([column, zeros])
        if not self.new_etypes:
            return g
        parts: dict[Relation, tuple[Adjacency, Columns | None]] = {
            name: (one.adjacency, one.edge_frame.snapshot()) for name, one in g.relations.items()
        }
        for ntype in g.schema.ntypes:
            count = g.num_nodes(ntype)
            nodes = torch.arange(count, device=g.device)
            loops = Adjacency.from_coo(nodes, nodes, count, count)
            parts.setdefault((ntype, "self", ntype), (loops, None))
        return with_relations(g, parts)


class RemoveSelfLoop(BaseTransform):
    """Drop the self-loops of every relation between nodes of one type.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.RemoveSelfLoop.html
    """

    def __call__(self, g: GraphT) -> GraphT:
        """The graph without self-loops, with the columns of nodes and edges.

        Parameters
        ----------
        g : Graph
            A graph.
        """
        g = require_graph(g)
        for etype in _within_one_type(g):
            g = remove_self_loop(g, etype)
        return g


def _within_one_type(g: GraphT) -> list[Any]:
    """The relations between nodes of one type."""
    return [relation for relation in g.schema.relations if relation[0] == relation[2]]


def _require_edges(g: GraphT, relation: Relation, src: Tensor, dst: Tensor) -> None:
    """Raise unless the edges of a relation are these."""
    there = g.relation(relation).adjacency.coo()
    if not all(torch.equal(a.long(), b.long()) for a, b in zip(there, (src, dst))):
        raise ValueError(
            f"AddReverse: {relation!r} is a relation of the graph already, with other edges than"
            f" those of {relation[1].removeprefix('rev_')!r} turned around; expected it to have no"
            " such relation"
        )


def with_relations(g: GraphT, parts: dict[Relation, tuple[Adjacency, Columns | None]]) -> GraphT:
    """The graph of these relations, in the order of their names, between the nodes of ``g``."""
    schema = Schema(sorted(g.schema.ntypes), sorted(parts))
    frames = {ntype: frame.copy() for ntype, frame in g.node_frames().items()}
    nodes = {ntype: frames[ntype] for ntype in schema.ntypes}
    return type(g).of_types(schema, nodes, parts, g.idtype, like=g)
