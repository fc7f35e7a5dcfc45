"""Message passing in an order: frontier after frontier of a traversal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hopflow.function import MessageFunction, ReduceFunction
from hopflow.messages.passing import MessagePassing
from hopflow.messages.udf import MessageUdf, NodeUdf
from hopflow.structure.traversal import (
    bfs_nodes_generator,
    dfs_labeled_edges_generator,
    topological_nodes_generator,
)


def prop_nodes(
    graph: MessagePassing,
    nodes_generator: Iterable[Any],
    message_func: MessageFunction | MessageUdf,
    reduce_func: ReduceFunction | NodeUdf,
    apply_node_func: NodeUdf | None = None,
    etype: Any = None,
) -> None:
    """``graph.pull`` on one frontier of nodes after the other. Also ``graph.prop_nodes(...)``.

    Parameters
    ----------
    graph : Graph
        A graph; its node columns are written.
    nodes_generator : iterable
        Frontiers: nodes as :meth:`hopflow.Graph.pull` takes them. What one frontier receives is
        there when the next one receives.
    message_func, reduce_func, apply_node_func, etype
        As in :meth:`hopflow.Graph.pull`.

    Raises
    ------
    KeyError, IndexError, TypeError, ValueError
        As :meth:`hopflow.Graph.pull`. Frontiers before the one that fails have received.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.prop_nodes.html
    """
    _require_able(graph)
    for nodes in nodes_generator:
        graph.pull(nodes, message_func, reduce_func, apply_node_func, etype)


def prop_edges(
    graph: MessagePassing,
    edges_generator: Iterable[Any],
    message_func: MessageFunction | MessageUdf,
    reduce_func: ReduceFunction | NodeUdf,
    apply_node_func: NodeUdf | None = None,
    etype: Any = None,
) -> None:
    """``graph.send_and_recv`` over one frontier of edges after the other. Also a method.

    Parameters
    ----------
    graph : Graph
        A graph; its node columns are written.
    edges_generator : iterable
        Frontiers: edges as :meth:`hopflow.Graph.send_and_recv` takes them.
    message_func, reduce_func, apply_node_func, etype
        As in :meth:`hopflow.Graph.send_and_recv`.

    Raises
    ------
    KeyError, IndexError, TypeError, ValueError
        As :meth:`hopflow.Graph.send_and_recv`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.prop_edges.html
    """
    _require_able(graph)
    for edges in edges_generator:
        graph.send_and_recv(edges, message_func, reduce_func, apply_node_func, etype)


def prop_nodes_bfs(
    graph: MessagePassing,
    source: Any,
    message_func: MessageFunction | MessageUdf,
    reduce_func: ReduceFunction | NodeUdf,
    reverse: bool = False,
    apply_node_func: NodeUdf | None = None,
) -> None:
    """:func:`prop_nodes` along :func:`hopflow.bfs_nodes_generator`.

    Parameters
    ----------
    graph : Graph
        A graph of one node type and one edge type.
    source, reverse
        As in :func:`hopflow.bfs_nodes_generator`; messages go along the edges either way.
    message_func, reduce_func, apply_node_func
        As in :meth:`hopflow.Graph.pull`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.prop_nodes_bfs.html
    """
    frontiers = bfs_nodes_generator(graph, source, reverse)
    prop_nodes(graph, frontiers, message_func, reduce_func, apply_node_func)


def prop_nodes_topo(
    graph: MessagePassing,
    message_func: MessageFunction | MessageUdf,
    reduce_func: ReduceFunction | NodeUdf,
    reverse: bool = False,
    apply_node_func: NodeUdf | None = None,
) -> None:
    """:func:`prop_nodes` along :func:`hopflow.topological_nodes_generator`.

    Parameters
    ----------
    graph : Graph
        A graph of one node type and one edge type, without cycles.
    reverse
        As in :func:`hopflow.topological_nodes_generator`.
    message_func, reduce_func, apply_node_func
        As in :meth:`hopflow.Graph.pull`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.prop_nodes_topo.html
    """
    frontiers = topological_nodes_generator(graph, reverse)
    prop_nodes(graph, frontiers, message_func, reduce_func, apply_node_func)


def prop_edges_dfs(
    graph: MessagePassing,
    source: Any,
    message_func: MessageFunction | MessageUdf,
    reduce_func: ReduceFunction | NodeUdf,
    reverse: bool = False,
    has_reverse_edge: bool = False,
    has_nontree_edge: bool = False,
    apply_node_func: NodeUdf | None = None,
) -> None:
    """:func:`prop_edges` along :func:`hopflow.dfs_labeled_edges_generator`.

    Parameters
    ----------
    graph : Graph
        A graph of one node type and one edge type.
    source, reverse, has_reverse_edge, has_nontree_edge
        As in :func:`hopflow.dfs_labeled_edges_generator`.
    message_func, reduce_func, apply_node_func
        As in :meth:`hopflow.Graph.send_and_recv`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.prop_edges_dfs.html
    """
    frontiers = dfs_labeled_edges_generator(
        graph, source, reverse, has_reverse_edge, has_nontree_edge, return_labels=False
    )
    prop_edges(graph, frontiers, message_func, reduce_func, apply_node_func)


def _require_able(graph: Any) -> None:
    """Raise a TypeError unless messages can pass on ``graph``, which may be a block."""
    if not isinstance(graph, MessagePassing):
        raise TypeError(f"graph: expected a hopflow.Graph, got {type(graph).__name__}")
