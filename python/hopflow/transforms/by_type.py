"""Graphs by type: some of the types of a graph, and one of its relations changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Columns, Frame
from hopflow.structure.graph_base import GraphT, require_graph, require_here
from hopflow.structure.types import Relation, Schema, told
from hopflow.transforms.homogeneous import merge_relations

# --- some of the types


def slice_types(g: GraphT, key: Any) -> GraphT:
    """``g["follows"]``, ``g["user", "follows", "user"]``: the graph of one relation.

    It shares the columns of ``g``: what is set on one is there on the other. ``:`` in place of a
    name stands for any. Where several relations are meant, they are merged into one between one
    type of nodes, or two, whose names are those merged, joined with "+"; ids and types before that
    are in ``ndata`` and ``edata`` under ``hopflow.NID``, ``NTYPE``, ``EID`` and ``ETYPE``, and of
    columns those that all types have alike.

    Raises
    ------
    ValueError
        There is no such relation.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.__getitem__.html
    """
    found = g.schema.select(key)
    if not found:
        raise ValueError(f"expected one of the edge types {told(g.schema.relations)}, got {key!r}")
    if len(found) > 1:
        return merge_relations(g, found)
    return g.slice(found[0])


def edge_type_subgraph(graph: GraphT, etypes: Iterable[Any], output_device: Any = None) -> GraphT:
    """The graph of some relations and the node types that they join; columns are shared.

    Parameters
    ----------
    graph : Graph
        A graph.
    etypes : iterable of str or tuple
        Relations, by name or as (source type, name, destination type).
    output_device : str or torch.device, optional
        The graph's; results are where the graph is.

    Raises
    ------
    ValueError
        A relation that the graph does not have, or none given.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.edge_type_subgraph.html
    """
    graph = require_graph(graph)
    require_here(graph, output_device)
    if isinstance(etypes, str):
        raise TypeError(f"etypes: expected a list of edge types, got {etypes!r}")
    kept = list(dict.fromkeys(graph.schema.relation(etype) for etype in etypes))
    if not kept:
        raise ValueError("etypes: expected at least one edge type, got none")
    ends = {end for src, _, dst in kept for end in (src, dst)}
    ntypes = [ntype for ntype in graph.schema.ntypes if ntype in ends]
    frames = graph.node_frames()
    made = type(graph).of_types(
        Schema(ntypes, kept),
        {ntype: frames[ntype] for ntype in ntypes},
        {relation: (graph.relation(relation).adjacency, None) for relation in kept},
        graph.idtype,
        like=graph,
    )
    for relation, one in made.relations.items():
        one._edge_frame = graph.relation(relation).edge_frame
    return made


def node_type_subgraph(graph: GraphT, ntypes: Iterable[str], output_device: Any = None) -> GraphT:
    """The graph of some node types and all relations between them; columns are shared.

    Parameters
    ----------
    graph : Graph
        A graph.
    ntypes : iterable of str
        Node types.
    output_device : str or torch.device, optional
        The graph's; results are where the graph is.

    Raises
    ------
    ValueError
        A type that the graph does not have, or no relation between those given.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.node_type_subgraph.html
    """
    graph = require_graph(graph)
    if isinstance(ntypes, str):
        raise TypeError(f"ntypes: expected a list of node types, got {ntypes!r}")
    kept = {graph.schema.ntype(ntype) for ntype in ntypes}
    relations = [r for r in graph.schema.relations if {r[0], r[2]} <= kept]
    if not relations:
        raise ValueError(
            f"ntypes: expected types with edges between them, got {told(sorted(kept))}"
        )
    return edge_type_subgraph(graph, relations, output_device)


# --- one relation changed


def change_relation(g: GraphT, etype: Any, change: Callable[[GraphT], GraphT]) -> GraphT:
    """The graph with one relation put through ``change``, which keeps the nodes; others stay."""
    relation = g.schema.relation(etype)
    return change_relations(g, lambda name, one: change(one) if name == relation else one)


def change_relations(
    g: GraphT, change: Callable[[Relation, GraphT], GraphT], *, copy_ndata: bool = True
) -> GraphT:
    """The graph with each relation put through ``change(name, graph)``, which keeps the nodes."""
    changed = {name: change(name, one) for name, one in g.relations.items()}
    if g._relations is None:
        return next(iter(changed.values()))
    frames: dict[str, Frame] = {
        ntype: frame.copy() if copy_ndata else frame.without_columns()
        for ntype, frame in g.node_frames().items()
    }
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {
        name: (one.adjacency, one.edge_frame.snapshot()) for name, one in changed.items()
    }
    return type(g).of_types(g.schema, frames, parts, g.idtype, like=g)
