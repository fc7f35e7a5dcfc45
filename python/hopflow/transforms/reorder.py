"""The same graph with its nodes and edges in another order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.partitioning.metis import metis_partition_assignment
from hopflow.structure.frame import Frame
from hopflow.structure.graph_base import GraphT, require_graph
from hopflow.structure.ids import as_ids, check_range
from hopflow.transforms.subgraph import parts_of

_NODE_ORDERS = (None, "rcmk", "metis", "custom")
_EDGE_ORDERS = ("src", "dst", "custom")


def reorder_graph(
    g: GraphT,
    node_permute_algo: str | None = None,
    edge_permute_algo: str = "src",
    store_ids: bool = True,
    permute_config: Mapping[str, Any] | None = None,
) -> GraphT:
    """Renumber the nodes, and then the edges, of a graph. Also ``graph.reorder_graph(...)``.

    Neighbours with near numbers lie near each other in memory.

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type.
    node_permute_algo : {None, "rcmk", "metis", "custom"}
        None keeps the nodes' order. "rcmk" is the reverse Cuthill-McKee order, by scipy. "metis"
        puts nodes of one part of :func:`hopflow.metis_partition_assignment` together, in the order
        that they had. "custom" is ``permute_config["nodes_perm"]``. The first two are computed on
        the CPU.
    edge_permute_algo : {"src", "dst", "custom"}
        Edges by source or by destination, in the new order of nodes, or as
        ``permute_config["edges_perm"]`` says. Edges of one node come by their other end and then by
        their old ids, where nodes have a new order and edges are by destination, else by their old
        ids.
    store_ids : bool
        Note the old ids in ``ndata[hopflow.NID]`` and ``edata[hopflow.EID]``.
    permute_config : mapping, optional
        ``k``: parts, for "metis". ``nodes_perm``, ``edges_perm``: old ids in the new order, each
        once.

    Returns
    -------
    Graph
        With the same columns, in the new order.

    Raises
    ------
    ValueError, TypeError, IndexError
        An order that there is none of, something missing in ``permute_config``, ids that are no
        permutation, or a graph of several types.

    References
    ----------
    Cuthill and McKee, "Reducing the bandwidth of sparse symmetric matrices", 1969;
    https://www.dgl.ai/dgl_docs/generated/dgl.reorder_graph.html
    """
    g = require_graph(g, one_type=True)
    if node_permute_algo not in _NODE_ORDERS:
        raise ValueError(
            'node_permute_algo: expected None, "rcmk", "metis" or "custom", got'
            f" {node_permute_algo!r}"
        )
    if edge_permute_algo not in _EDGE_ORDERS:
        raise ValueError(
            f'edge_permute_algo: expected "src", "dst" or "custom", got {edge_permute_algo!r}'
        )
    config = {} if permute_config is None else permute_config
    edges: Tensor | None = None
    if edge_permute_algo == "custom":
        edges = _permutation(config, "edges_perm", g.num_edges(), "edge", g.device)
    nodes = _node_order(g, node_permute_algo, config)
    numbers = torch.empty_like(nodes)
    numbers[nodes] = torch.arange(nodes.shape[0], device=g.device)
    src, dst = (numbers[x.long()] for x in g.adjacency.coo())
    if edges is None:
        edges = torch.arange(g.num_edges(), device=g.device)
        if node_permute_algo is not None or edge_permute_algo == "src":
            edges = torch.argsort(src, stable=True)
        if edge_permute_algo == "dst":
            edges = edges[torch.argsort(dst[edges], stable=True)]
    (relation,), (ntype,) = g.schema.relations, g.schema.ntypes
    return parts_of(g, {relation: (src[edges], dst[edges], edges)}, {ntype: nodes}, store_ids)


def _node_order(g: GraphT, order: str | None, config: Mapping[str, Any]) -> Tensor:
    """Old ids in the new order, int64."""
    if order is None or g.num_nodes() == 0:
        return torch.arange(g.num_nodes(), device=g.device)
    if order == "custom":
        return _permutation(config, "nodes_perm", g.num_nodes(), "node", g.device)
    if order == "metis":
        if "k" not in config:
            raise ValueError('permute_config: expected the number of parts under "k"')
        cpu = torch.device("cpu")
        frame = Frame(g.num_nodes(), g.node_frame().what, cpu)
        here = g.derived(g.adjacency.map(lambda x: x.to(cpu)), nodes=frame)
        parts = metis_partition_assignment(here, config["k"])
        return torch.argsort(parts, stable=True).to(g.device)
    import numpy as np
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    # A repeated edge is there repeatedly, as in DGL: it counts in a node's degree.
    every = torch.arange(g.num_nodes(), device=g.device)
    indptr, others, _ = (x.cpu().numpy() for x in g.adjacency.out_edges(every))
    shape = (g.num_nodes(), g.num_nodes())
    matrix = csr_array((np.ones(len(others), np.int8), others, indptr), shape=shape)
    found = np.array(reverse_cuthill_mckee(matrix), dtype=np.int64)
    return torch.from_numpy(found).to(g.device)


def _permutation(
    config: Mapping[str, Any], name: str, count: int, what: str, device: torch.device
) -> Tensor:
    """Ids of all nodes or edges, each once, int64."""
    if name not in config:
        raise ValueError(f'permute_config: expected the ids of all {what}s under "{name}"')
    ids = as_ids(name, config[name], dtype=torch.int64).to(device)
    if ids.shape[0] != count:
        raise ValueError(f"{name}: expected each of the {count} {what}s once, got {len(ids)} ids")
    check_range(name, ids, count, what=what)
    if ops.compact_ids(ids, ids[:0])[0].shape[0] != count:
        raise ValueError(f"{name}: expected each of the {count} {what}s once, got some twice")
    return ids.clone()
