"""Edges from every node to itself, for layers that see neighbours alone."""

from __future__ import annotations

import torch

import hopflow as hf
import hopflow.ops as ops
from hopflow.graphs.block import Block
from hopflow.graphs.graph import Graph


@torch.no_grad()
def with_self_edges(graph: Graph) -> Block:
    """The edges of a block or graph, and one from each destination to itself; O(nodes + edges).

    Added to what was sampled, not to the graph: so no draw leaves a node itself out, and the graph
    may be one that stays in its files. Self-loops that are there are not doubled.

    Parameters
    ----------
    graph : Graph or Block
        Of one type; the first sources are the destinations.

    Returns
    -------
    Block
        Without columns. Each destination's own edge is the last of its in-edges.
    """
    full = graph.adjacency.full()
    num_dst, num_edges = graph.num_dst_nodes(), full.indices.shape[0]
    src, dst = full.indices.long(), ops.destinations(full.indptr, num_edges, torch.int64)
    others = src != dst
    src, dst = src[others], dst[others]
    indptr = torch.zeros(num_dst + 1, dtype=torch.int64, device=src.device)
    torch.cumsum(torch.bincount(dst, minlength=num_dst) + 1, 0, out=indptr[1:])
    indices = torch.empty(src.shape[0] + num_dst, dtype=torch.int64, device=src.device)
    indices[torch.arange(src.shape[0], device=src.device) + dst] = src
    indices[indptr[1:] - 1] = torch.arange(num_dst, device=src.device)
    return hf.create_block(
        ("csc", (indptr, indices, [])), graph.num_src_nodes(), num_dst, idtype=graph.idtype
    )
