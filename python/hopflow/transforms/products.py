"""Products and sums of weighted graphs, differentiable in the weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Column, Frame
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph
from hopflow.structure.relations import node_name
from hopflow.structure.types import Relation, Schema, told
from hopflow.transforms._matrices import Entries, edge_weight, ends_of, product, summed


def adj_product_graph(A: GraphT, B: GraphBase, weight_name: str, etype: str = "_E") -> GraphT:
    """The graph whose weighted adjacency matrix is the product of those of two graphs.

    Its edges are the pairs of nodes that an edge of ``A`` followed by one of ``B`` joins, also
    where the weights cancel; the weight is ``sum w_A[u, x] * w_B[x, v]`` over the nodes between.
    Time and memory grow with the number of such paths.

    Parameters
    ----------
    A, B : Graph
        Graphs of one relation each, the second of which starts at as many nodes as the first ends
        at. Parallel edges count as one with their weights added.
    weight_name : str
        Edge column of the weights, of one floating-point dtype, shape [E] or [E, 1].
    etype : str
        Name of the result's relation.

    Returns
    -------
    Graph
        From the sources of ``A`` to the destinations of ``B``, sorted by source, then destination,
        with the weights in the column ``weight_name``, shape [E']. It has no node columns.

    Raises
    ------
    ValueError
        Several relations, numbers of nodes or devices that do not match.
    TypeError
        Weights that are not of one floating-point dtype.
    KeyError
        A graph lacks the column.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.adj_product_graph.html
    """
    first, second = _weighted("A", A, weight_name), _weighted("B", B, weight_name)
    _require_alike("B", B, A, weight_name)
    (srctype, _, _), (_, _, dsttype) = A.schema.relations[0], B.schema.relations[0]
    inner = A.adjacency.num_dst
    if B.adjacency.num_src != inner:
        raise ValueError(
            f"B: expected edges from as many nodes as those of A lead to, {inner}, got"
            f" {B.adjacency.num_src}"
        )
    num_src, num_dst = A.adjacency.num_src, B.adjacency.num_dst
    if srctype == dsttype and num_src != num_dst:
        raise ValueError(
            f"B: expected as many nodes of type {dsttype!r} as A has, {num_src}, got {num_dst}"
        )
    relation = (srctype, etype, dsttype)
    counts = {srctype: num_src, dsttype: num_dst}
    return _made(A, relation, counts, product(first, second, inner), weight_name)


def adj_sum_graph(graphs: Sequence[GraphT], weight_name: str) -> GraphT:
    """The graph whose weighted adjacency matrix is the sum of those of some graphs.

    Its edges are the pairs of nodes that an edge of any of them joins, also where the weights
    cancel.

    Parameters
    ----------
    graphs : sequence of Graph
        At least one, each of one relation, of the same types and numbers of nodes. Parallel edges
        count as one with their weights added.
    weight_name : str
        Edge column of the weights, of one floating-point dtype, shape [E] or [E, 1].

    Returns
    -------
    Graph
        Sorted by source, then destination, with the weights in the column ``weight_name``, shape
        [E']. It has no node columns.

    Raises
    ------
    ValueError
        No graphs, several relations, types, numbers of nodes or devices that do not match.
    TypeError
        Weights that are not of one floating-point dtype.
    KeyError
        A graph lacks the column.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.adj_sum_graph.html
    """
    if isinstance(graphs, GraphBase) or not graphs:
        raise ValueError("graphs: expected a list of at least one graph")
    names = [f"graphs[{i}]" for i in range(len(graphs))]
    terms = [_weighted(name, g, weight_name) for name, g in zip(names, graphs)]
    first = graphs[0]
    counts = {ntype: frame.num_rows for ntype, frame in first.node_frames().items()}
    for name, g in zip(names, graphs):
        _require_alike(name, g, first, weight_name)
        if g.schema != first.schema:
            raise ValueError(
                f"{name}: expected the types of graphs[0], {told(first.schema.relations)}, got"
                f" {told(g.schema.relations)}"
            )
        own = {ntype: frame.num_rows for ntype, frame in g.node_frames().items()}
        if own != counts:
            raise ValueError(f"{name}: expected as many nodes as graphs[0], {counts}, got {own}")
    rows = torch.cat([term.rows for term in terms])
    columns = torch.cat([term.columns for term in terms])
    values = torch.cat([term.values for term in terms if term.values is not None])
    total = summed(rows, columns, values)
    return _made(first, first.schema.relations[0], counts, total, weight_name)


def _weighted(name: str, g: GraphBase, weight_name: str) -> Entries:
    """A graph's edges and their weights."""
    require_graph(g)
    if len(g.schema.relations) != 1:
        raise ValueError(
            f"{name}: expected a graph of one edge type, got {told(g.schema.relations)}"
        )
    return Entries(*ends_of(g), edge_weight(g, weight_name))


def _require_alike(name: str, g: GraphBase, first: GraphBase, weight_name: str) -> None:
    if g.device != first.device:
        raise ValueError(f"{name}: expected a graph on {first.device}, got one on {g.device}")
    dtype, got = first.edge_frame[weight_name].dtype, g.edge_frame[weight_name].dtype
    if got != dtype:
        raise TypeError(f"{name}: expected weights of {dtype}, as before it, got {got}")


def _made(
    g: GraphT, relation: Relation, counts: dict[str, int], entries: Entries, weight_name: str
) -> GraphT:
    srctype, _, dsttype = relation
    adjacency = Adjacency.from_coo(entries.rows, entries.columns, counts[srctype], counts[dsttype])
    nodes = {ntype: Frame(counts[ntype], node_name(ntype), g.device) for ntype in sorted(counts)}
    assert entries.values is not None
    weights: dict[str, Column] = {weight_name: entries.values}
    parts = {relation: (adjacency, weights)}
    return type(g).of_types(Schema(sorted(counts), [relation]), nodes, parts, g.idtype, like=g)
