"""Nodes and edges for which a Python function says True."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hopflow.messages.passing import MessagePassing
from hopflow.messages.udf import EdgeBatch, NodeBatch, require_function
from hopflow.structure.row_view import RowView
from hopflow.structure.types import ALL, is_all


def filter_nodes(
    g: MessagePassing,
    predicate: Callable[[NodeBatch], Tensor],
    nodes: Any = ALL,
    ntype: Any = None,
) -> Tensor:
    """The nodes for which a function says True; on a block, of the destination nodes.

    Parameters
    ----------
    g : Graph
        A graph or block.
    predicate : callable
        A function of the nodes, a :class:`hopflow.udf.NodeBatch`, that returns a bool tensor, shape
        [n].
    nodes : optional
        Of which nodes: ids or a boolean mask; all by default. The function is called with these
        alone.
    ntype : str, optional
        Which nodes, where there are several types.

    Returns
    -------
    Tensor
        Their ids in the order of ``nodes``, dtype ``idtype``.

    Raises
    ------
    IndexError
        An id that is not there.
    TypeError, ValueError
        No function, or one that returns something else.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.filter_nodes.html
    """
    require_function("predicate", predicate, None, "")
    frame = g.node_frame(ntype)
    ids = None if is_all(nodes) else g._node_ids("nodes", nodes, frame.num_rows)
    side, name = g.schema.side(ntype) if g.is_block else ("node", ntype)
    passing = g._without_edges(frame, ids, g.schema.ntype(name, side))
    columns = RowView(passing.destinations, None)
    batch = NodeBatch(passing.nodes(), columns, ntype=passing.relation[2])
    return passing.nodes()[_mask(predicate(batch), len(batch), "node", g.device)]


def filter_edges(
    g: MessagePassing,
    predicate: Callable[[EdgeBatch], Tensor],
    edges: Any = ALL,
    etype: Any = None,
) -> Tensor:
    """The edges for which a function says True.

    Parameters
    ----------
    g : Graph
        A graph or block.
    predicate : callable
        A function of the edges, a :class:`hopflow.udf.EdgeBatch`, that returns a bool tensor, shape
        [n].
    edges : optional
        Of which edges: ids, a boolean mask, or a pair (sources, destinations); all by default. The
        function is called with these alone.
    etype : str or tuple, optional
        Which edges, where there are several types.

    Returns
    -------
    Tensor
        Their ids in the order of ``edges``, dtype ``idtype``.

    Raises
    ------
    IndexError, TypeError, ValueError
        As :func:`filter_nodes`; a pair of nodes without an edge.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.filter_edges.html
    """
    require_function("predicate", predicate, None, "")
    one = g.relation(etype)
    some = one._all_edges() if is_all(edges) else one._some_edges(one._edges(edges))
    batch = EdgeBatch(some)
    kept = _mask(predicate(batch), len(batch), "edge", g.device).nonzero().squeeze(1)
    return (kept if some.eids is None else some.eids[kept]).to(g.idtype)


def _mask(made: object, count: int, what: str, device: torch.device) -> Tensor:
    wanted = f"predicate: expected a bool tensor with one element for each {what}"
    if not isinstance(made, Tensor) or made.dtype != torch.bool:
        got = str(made.dtype) if isinstance(made, Tensor) else type(made).__name__
        raise TypeError(f"{wanted}, got {got}")
    if made.shape != (count,):
        raise ValueError(f"{wanted}, shape [{count}], got shape {list(made.shape)}")
    if made.device != device:
        raise ValueError(f"{wanted} on {device}, got one on {made.device}")
    return made
