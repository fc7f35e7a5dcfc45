"""Changes of a graph in place: nodes and edges added to it and removed from it.

Each makes the graph that the function of the same name makes, and lets the one at hand become it
(:meth:`~hopflow.structure.graph_base.GraphBase.become`). What was taken from the graph before stays
as it was: blocks, slices and copies, ``ndata`` held in a variable, and the epoch of a loader that
is under way. Ask the graph anew for what it is now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hopflow.structure.graph_base import GraphBase
from hopflow.transforms import growing, subgraph


def add_nodes(
    g: GraphBase, num: int, data: Mapping[str, Any] | None = None, ntype: Any = None
) -> None:
    """Add nodes to this graph, as :func:`hopflow.add_nodes` does to a copy.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.add_nodes.html
    """
    g.become(growing.add_nodes(g, num, data, ntype))


def add_edges(
    g: GraphBase, u: Any, v: Any, data: Mapping[str, Any] | None = None, etype: Any = None
) -> None:
    """Add edges to this graph, and nodes that they need, as :func:`hopflow.add_edges` to a copy.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.add_edges.html
    """
    g.become(growing.add_edges(g, u, v, data, etype))


def remove_edges(g: GraphBase, eids: Any, etype: Any = None, store_ids: bool = False) -> None:
    """Remove edges from this graph, as :func:`hopflow.remove_edges` does from a copy.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.remove_edges.html
    """
    g.become(subgraph.remove_edges(g, eids, etype, store_ids))


def remove_nodes(g: GraphBase, nids: Any, ntype: Any = None, store_ids: bool = False) -> None:
    """Remove nodes and their edges from this graph, as :func:`hopflow.remove_nodes` from a copy.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.remove_nodes.html
    """
    g.become(subgraph.remove_nodes(g, nids, ntype, store_ids))
