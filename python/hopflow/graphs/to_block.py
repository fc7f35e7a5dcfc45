"""From a graph to a block."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.graphs.block import Block, Parent
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.graph_base import require_graph
from hopflow.structure.types import Relation


# A block may serve a backward pass later, wherever it is made.
@torch.inference_mode(False)
def to_block(
    g: Graph, dst_nodes: Any = None, include_dst_in_src: bool = True, src_nodes: Any = None
) -> Block:
    """Turn a graph into a block: its edges between renumbered sources and destinations.

    Parameters
    ----------
    g : Graph
        Usually what :func:`hopflow.sample_neighbors` or :func:`hopflow.in_subgraph` returned.
    dst_nodes : Tensor, numpy array, sequence of int or dict, optional
        Destination nodes, in this order; every edge must enter one of them. By default the nodes
        with in-edges, in rising order. Where there are several node types a dict by type; types
        left out have no destination nodes.
    include_dst_in_src : bool
        Whether the destination nodes are the first source nodes, in their order, as in the blocks
        of a sampler. With False the sources are those that edges leave and no others; a layer that
        reads a destination's own row needs a pair of tensors then.
    src_nodes : None
        Source nodes follow from the edges.

    Returns
    -------
    Block
        Its edges keep the ids that they have in ``g``. Source nodes, after the destinations where
        these come first, are numbered in order of first appearance, destination by destination.

    Raises
    ------
    ValueError
        An edge enters a node outside ``dst_nodes``, or one of these is given twice.
    IndexError
        An id is not in the graph.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.to_block.html
    """
    g = require_graph(g)
    if src_nodes is not None:
        raise ValueError(f"src_nodes: expected None, got {src_nodes!r}; not supported yet")
    if not isinstance(include_dst_in_src, bool):
        raise TypeError(
            f"include_dst_in_src: expected True or False, got {type(include_dst_in_src).__name__}"
        )
    with_edges = {} if dst_nodes is not None else _with_in_edges(g)
    given = with_edges if dst_nodes is None else nodes_by_type(g, "dst_nodes", dst_nodes)
    none = torch.empty(0, dtype=torch.int64, device=g.device)
    seeds = {ntype: given.get(ntype, none) for ntype in g.ntypes}
    for ntype, nodes in seeds.items():
        unique, _, _ = ops.compact_ids(nodes, none)
        if unique.shape != nodes.shape:
            where = "" if g.is_homogeneous else f"[{ntype!r}]"
            raise ValueError(
                f"dst_nodes{where}: expected distinct nodes, got"
                f" {nodes.shape[0] - unique.shape[0]} duplicates"
            )
    numbered = dict(seeds) if include_dst_in_src else dict.fromkeys(seeds, none)
    found: dict[Relation, tuple[Tensor, Tensor, Tensor]] = {}
    for relation, one in g.relations.items():
        src, _, dst = relation
        adjacency = one.adjacency
        indptr, neighbors, eids = adjacency.in_edges(seeds[dst])
        if neighbors.shape[0] != adjacency.num_edges:
            what = "edges" if g.is_homogeneous else f"{relation!r} edges"
            raise ValueError(
                f"dst_nodes: {adjacency.num_edges - neighbors.shape[0]} of {adjacency.num_edges}"
                f" {what} enter a node that is not among them"
            )
        numbered[src], _, local = ops.compact_ids(numbered[src], neighbors.to(torch.int64))
        found[relation] = indptr, local, eids
    adjacencies = [
        Adjacency(*arrays, numbered[src].shape[0], seeds[dst].shape[0])
        for (src, _, dst), arrays in found.items()
    ]
    dst_ids = list(seeds.values())
    if include_dst_in_src:
        dst_ids = [ops.first_ids(numbered[t], nodes.shape[0]) for t, nodes in seeds.items()]
    as_they_are = [None] * len(adjacencies)
    return Block.from_parent(
        Parent.of(g), adjacencies, list(numbered.values()), dst_ids, as_they_are
    )


def _with_in_edges(g: Graph) -> dict[str, Tensor]:
    """The nodes of each type that any relation enters, in rising order; int64."""
    found: dict[str, list[Tensor]] = {}
    for relation, one in g.relations.items():
        found.setdefault(relation[2], []).append(one.adjacency.destinations().long())
    return {ntype: torch.unique(torch.cat(nodes)) for ntype, nodes in found.items()}
