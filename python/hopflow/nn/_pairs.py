"""Features of an edge's two sides, however a layer was given them."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

from hopflow.graphs.graph import Graph
from hopflow.nn._checks import require_rows

Features: TypeAlias = "Tensor | tuple[Tensor, Tensor]"
"""Rows of the source nodes, whose first are the destinations'; or of each side, apart."""


def as_pair(graph: Graph, feat: Features, name: str = "feat") -> tuple[Tensor, Tensor]:
    """Rows of the sources and of the destinations.

    Parameters
    ----------
    graph : Graph or Block
        The first ``num_dst_nodes()`` sources are its destinations.
    feat : Tensor or (Tensor, Tensor)
        Shape [U, ...]; or [U, ...] and [V, ...].
    name : str
        What to call it in messages.

    Raises
    ------
    TypeError, ValueError
        No tensor and no pair of them, or not one row a node.
    """
    if isinstance(feat, tuple):
        if len(feat) != 2:
            raise ValueError(
                f"{name}: expected rows of sources and destinations, a pair, got {len(feat)}"
                " tensors"
            )
        source, own = feat
    else:
        source = own = feat
    for x in (source, own):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected a tensor or a pair of them, got {type(x).__name__}")
    require_rows(f"{name} of sources", source, graph.num_src_nodes())
    if own is source:
        own = source[: graph.num_dst_nodes()]
    require_rows(f"{name} of destinations", own, graph.num_dst_nodes())
    return source, own
