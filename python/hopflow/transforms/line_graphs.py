"""Graphs in which edges are nodes: line graphs and Levi graphs."""

from __future__ import annotations

import torch

from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Columns, Frame
from hopflow.structure.graph_base import GraphT, require_graph
from hopflow.structure.relations import node_name
from hopflow.structure.types import ONE_TYPE, Relation, Schema
from hopflow.transforms._matrices import ends_of, followers
from hopflow.transforms.modules import BaseTransform


def line_graph(g: GraphT, backtracking: bool = True, shared: bool = False) -> GraphT:
    """The graph whose nodes are the edges of ``g``, with an edge where one follows another.

    Edge ``(u, v)`` leads to every edge ``(v, w)`` but itself. There are about as many edges as the
    products of in- and out-degrees add up to.

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type.
    backtracking : bool
        Whether ``(u, v)`` leads to ``(v, u)``.
    shared : bool
        Take the edge columns of ``g`` as node columns; their memory is shared.

    Returns
    -------
    Graph
        With ``g.num_edges()`` nodes, of one unnamed type; its edges are sorted by source, then
        destination.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.line_graph.html
    """
    g = require_graph(g, one_type=True)
    src, dst = ends_of(g)
    first, second = followers(dst, src, g.num_nodes())
    onwards = first != second if backtracking else src[first] != dst[second]
    first, second = first[onwards], second[onwards]
    count = g.num_edges()
    adjacency = Adjacency.from_coo(first, second, count, count)
    ntype, relation = ONE_TYPE.ntypes[0], ONE_TYPE.relations[0]
    columns = g.edge_frame.snapshot() if shared else None
    nodes = {ntype: Frame(count, node_name(ntype), g.device, columns)}
    return type(g).of_types(ONE_TYPE, nodes, {relation: (adjacency, None)}, g.idtype, like=g)


class LineGraph(BaseTransform):
    """Make edges nodes, with their columns: :func:`hopflow.line_graph`.

    Parameters
    ----------
    backtracking : bool
        Whether an edge leads to its reverse.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.LineGraph.html
    """

    def __init__(self, backtracking: bool = True) -> None:
        self.backtracking = backtracking

    def __call__(self, g: GraphT) -> GraphT:
        """The line graph, whose node columns are the edge columns of ``g``."""
        return line_graph(g, self.backtracking, shared=True)


class ToLevi(BaseTransform):
    """Put a node in the middle of every edge.

    The result has the node types ``"node"`` and ``"edge"``, which are the nodes and the edges of
    the graph with their columns, and the relations ``("node", "n2e", "edge")``, from the source of
    an edge to it, and ``("edge", "e2n", "node")``, from an edge to its destination.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.ToLevi.html
    """

    def __call__(self, g: GraphT) -> GraphT:
        """The Levi graph.

        Parameters
        ----------
        g : Graph
            A graph of one node type and one edge type.
        """
        g = require_graph(g, one_type=True)
        src, dst = ends_of(g)
        num_nodes, num_edges = g.num_nodes(), g.num_edges()
        edges = torch.arange(num_edges, device=g.device)
        into, out = ("node", "n2e", "edge"), ("edge", "e2n", "node")
        parts: dict[Relation, tuple[Adjacency, Columns | None]] = {
            out: (Adjacency.from_coo(edges, dst, num_edges, num_nodes), None),
            into: (Adjacency.from_coo(src, edges, num_nodes, num_edges), None),
        }
        columns = {"edge": g.edge_frame, "node": g.node_frame()}
        nodes = {
            ntype: Frame(frame.num_rows, node_name(ntype), g.device, frame.snapshot())
            for ntype, frame in columns.items()
        }
        return type(g).of_types(
            Schema(sorted(nodes), sorted(parts)), nodes, parts, g.idtype, like=g
        )
