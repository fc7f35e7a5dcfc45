"""Graphs between two types of nodes, from matrices of scipy and graphs of networkx."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from hopflow.graphs.create import create_block
from hopflow.graphs.edge_arrays import Device
from hopflow.graphs.graph import Graph
from hopflow.graphs.interop import by_edge_id, column_of
from hopflow.structure.frame import Frame
from hopflow.structure.relations import node_name
from hopflow.structure.types import Schema, require_relation
from hopflow.transforms.export import attribute_names, require_library


def bipartite_from_scipy(
    sp_mat: Any,
    utype: str,
    etype: str,
    vtype: str,
    eweight_name: str | None = None,
    idtype: torch.dtype | None = None,
    device: Device | None = None,
) -> Graph:
    """Make a graph of a scipy sparse matrix: rows are nodes of one type, columns of another.

    Parameters
    ----------
    sp_mat : scipy sparse matrix or array
        In any format; an edge from row to column for each stored entry, as in
        :func:`hopflow.from_scipy`.
    utype, etype, vtype : str
        Types of the rows, of the edges and of the columns. One type of nodes may be both where the
        matrix is square.
    eweight_name, idtype, device
        As in :func:`hopflow.from_scipy`.

    Raises
    ------
    TypeError
        Not a sparse matrix, or types that are no str.
    ValueError
        A matrix that is not square for nodes of one type.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.bipartite_from_scipy.html
    """
    if not hasattr(sp_mat, "tocoo") or not hasattr(sp_mat, "shape"):
        raise TypeError(f"sp_mat: expected a scipy sparse matrix, got {type(sp_mat).__name__}")
    coo = sp_mat.tocoo(copy=False)
    made = _between(coo, None, (utype, etype, vtype), idtype, device)
    if eweight_name is not None:
        made.edata[eweight_name] = torch.from_numpy(np.array(coo.data)).to(made.device)
    return made


def bipartite_from_networkx(
    nx_graph: Any,
    utype: str,
    etype: str,
    vtype: str,
    u_attrs: Iterable[str] | None = None,
    e_attrs: Iterable[str] | None = None,
    v_attrs: Iterable[str] | None = None,
    edge_id_attr_name: str | None = None,
    idtype: torch.dtype | None = None,
    device: Device | None = None,
) -> Graph:
    """Make a graph of a networkx graph whose nodes say by their attribute ``bipartite`` which side
    they are of.

    Parameters
    ----------
    nx_graph : networkx.DiGraph or MultiDiGraph
        Its nodes have ``bipartite`` 0 or 1, and its edges run from the former to the latter. Nodes
        of each side are numbered in sorted order.
    utype, etype, vtype : str
        Types of the nodes of side 0, of the edges, and of the nodes of side 1.
    u_attrs, e_attrs, v_attrs : iterable of str, optional
        Attributes of each to keep as columns; numbers, sequences, arrays or tensors of one shape
        each.
    edge_id_attr_name, idtype, device
        As in :func:`hopflow.from_networkx`.

    Raises
    ------
    ImportError
        networkx is not installed.
    TypeError
        No networkx graph, nodes that cannot be sorted, or types that are no str.
    ValueError
        An undirected graph, a node without a side, an edge that does not run from side 0 to side
        1; and as :func:`hopflow.from_networkx`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.bipartite_from_networkx.html
    """
    nx = require_library("networkx", "networkx", "bipartite_from_networkx")
    if not isinstance(nx_graph, nx.Graph):
        raise TypeError(f"nx_graph: expected a networkx graph, got {type(nx_graph).__name__}")
    if not nx_graph.is_directed():
        raise ValueError("nx_graph: expected a directed graph, got an undirected one")
    sides: tuple[list[Any], list[Any]] = [], []
    for node, attributes in nx_graph.nodes(data=True):
        side = attributes.get("bipartite")
        if side not in (0, 1):
            raise ValueError(
                f"node {node!r}: expected the attribute 'bipartite', 0 or 1, got {side!r}"
            )
        sides[side].append(node)
    try:
        nodes = [sorted(side) for side in sides]
    except TypeError as error:
        raise TypeError(f"nx_graph: expected nodes that can be sorted ({error})") from None
    numbers = [{node: i for i, node in enumerate(side)} for side in nodes]
    listed = list(nx_graph.edges(data=True))
    for u, v, _ in listed:
        if u not in numbers[0] or v not in numbers[1]:
            raise ValueError(f"edge {(u, v)!r}: expected one from 'bipartite' 0 to 1")
    if edge_id_attr_name is not None:
        listed = by_edge_id(listed, edge_id_attr_name)
    ends = [[numbers[0][u] for u, _, _ in listed], [numbers[1][v] for _, v, _ in listed]]
    counts = len(nodes[0]), len(nodes[1])
    made = _between(np.asarray(ends, dtype=np.int64), counts, (utype, etype, vtype), idtype, device)
    for what, names, rows, frame in (
        ("node", u_attrs, [nx_graph.nodes[node] for node in nodes[0]], made.srcdata),
        ("node", v_attrs, [nx_graph.nodes[node] for node in nodes[1]], made.dstdata),
        ("edge", e_attrs, [edge[2] for edge in listed], made.edata),
    ):
        for name in attribute_names(f"{what} attributes", names):
            frame[name] = column_of(what, name, rows).to(made.device)
    return made


def _between(
    edges: Any,
    counts: tuple[int, int] | None,
    relation: tuple[str, str, str],
    idtype: torch.dtype | None,
    device: Device | None,
) -> Graph:
    """A graph of one relation; its types are in the order of its ends, not of their names."""
    src, _, dst = require_relation(relation)
    num_src, num_dst = (None, None) if counts is None else counts
    block = create_block(edges, num_src, num_dst, idtype=idtype, device=device)
    adjacency = block.adjacency
    if src == dst and adjacency.num_src != adjacency.num_dst:
        raise ValueError(
            f"expected as many sources as destinations, which are both of type {src!r}, got"
            f" {adjacency.num_src} and {adjacency.num_dst}"
        )
    frames = {
        ntype: Frame(count, node_name(ntype), block.device)
        for ntype, count in ((src, adjacency.num_src), (dst, adjacency.num_dst))
    }
    schema = Schema(list(frames), [relation])
    return Graph.of_types(schema, frames, {relation: (adjacency, None)}, block.idtype)
