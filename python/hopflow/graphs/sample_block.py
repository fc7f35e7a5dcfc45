"""Neighbours drawn and renumbered at once."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

import hopflow.ops as ops
from hopflow.graphs.block import Block, Parent
from hopflow.graphs.graph import Graph
from hopflow.sampling import random
from hopflow.sampling.edge_pools import edge_pools, fanouts_of
from hopflow.sampling.neighbors import check_edge_dir
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.graph_base import require_graph


# A block may serve a backward pass later, wherever it is made.
@torch.inference_mode(False)
def sample_neighbors_fused(
    g: Graph,
    nodes: Any,
    fanout: Any,
    edge_dir: str = "in",
    prob: Any = None,
    replace: bool = False,
    copy_ndata: bool = True,
    copy_edata: bool = True,
    exclude_edges: Any = None,
    mapping: Any = None,
) -> Block:
    """A block of at most ``fanout`` in-edges of each given node: drawn and renumbered in one pass.

    The block that ``to_block(sample_neighbors(g, nodes, …), nodes)`` would give. Also
    ``g.sample_neighbors_fused(nodes, …)``.

    Parameters
    ----------
    g : Graph
        A graph.
    nodes, fanout, edge_dir, prob, replace, copy_ndata, copy_edata, exclude_edges
        As in :func:`hopflow.sample_neighbors`. With ``edge_dir="out"`` the block is one of the
        reversed graph: its edges lead from the ends of out-edges to ``nodes``.
    mapping : dict, optional
        Accepted for DGL's sake and without effect: no memory of the graph's size is needed.

    Returns
    -------
    Block
        Its destination nodes are the distinct ``nodes``, which are also its first source nodes. Ids
        in ``g`` are in ``srcdata[hopflow.NID]``, ``dstdata[hopflow.NID]`` and
        ``edata[hopflow.EID]``.

    Raises
    ------
    IndexError, KeyError, TypeError, ValueError
        As :func:`hopflow.sample_neighbors`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.sampling.sample_neighbors_fused.html
    """
    g = require_graph(g)
    edge_dir = check_edge_dir(edge_dir)
    fanouts = list(fanouts_of(g.schema, "fanout", fanout).values())
    given = nodes_by_type(g, "nodes", nodes, dtype=g.idtype)
    pools = edge_pools(g, edge_dir, prob)
    none = torch.empty(0, dtype=g.idtype, device=g.device)
    sampled = pools.sample_blocks(
        [given.get(ntype, none) for ntype in g.schema.ntypes], [fanouts],
        keys=[random.next_key(max(fanouts))], replace=bool(replace), idtype=g.idtype,
        excluded=pools.excluded("exclude_edges", exclude_edges),
    )  # fmt: skip
    parent = Parent.of(g, is_reversed=edge_dir == "out")
    if not copy_ndata:
        parent = dataclasses.replace(parent, nodes=[{} for _ in parent.nodes])
    if not copy_edata:
        parent = dataclasses.replace(parent, edges=[{} for _ in parent.edges])
    (hop,) = sampled.hops
    num_dst = [of_type.output_nodes.shape[0] for of_type in sampled.nodes]
    adjacencies, eids = [], []
    for number, (relation, part) in enumerate(zip(pools.relations, hop.relations)):
        ends = hop.num_src[relation.src_type], num_dst[relation.dst_type]
        adjacencies.append(Adjacency(part.indptr, part.indices, None, *ends))
        eids.append(pools.edge_ids(number, part.positions, parent.num_edges[number]))
    src_ids = [of_type.src_ids for of_type in sampled.nodes]
    dst_ids = [ops.first_ids(ids, count) for ids, count in zip(src_ids, num_dst)]
    return Block.from_parent(parent, adjacencies, src_ids, dst_ids, eids)
