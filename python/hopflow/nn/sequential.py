"""Layers one after the other, on one graph or on a graph each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from hopflow.graphs.graph import Graph


class Sequential(nn.Sequential):
    """Layers that take a graph, one after the other.

    A layer gets what the one before it has given; a tuple counts as several arguments. Given a list
    of graphs, such as the blocks of a batch, each layer has its own.

    Parameters
    ----------
    *args : nn.Module
        The layers; or one OrderedDict of them.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.utils.Sequential.html
    """

    def forward(self, graph: Graph | Sequence[Graph], *feats: Any) -> Any:
        """Apply the layers.

        Parameters
        ----------
        graph : Graph, Block or sequence of them
            For all layers, or one for each.
        *feats
            What the first layer takes after the graph.

        Returns
        -------
        any
            What the last layer gives.

        Raises
        ------
        TypeError, ValueError
            Something else than graphs, or another number of them than of layers.
        """
        if isinstance(graph, Graph):
            graphs: list[Graph] = [graph] * len(self)
        elif isinstance(graph, (list, tuple)) and all(isinstance(g, Graph) for g in graph):
            graphs = list(graph)
        else:
            raise TypeError(
                f"graph: expected a hopflow.Graph or a list of them, got {type(graph).__name__}"
            )
        if len(graphs) != len(self):
            raise ValueError(
                f"graph: expected one for each of the {len(self)} layers, got {len(graphs)}"
            )
        given: Any = feats
        for layer, own in zip(self, graphs):
            given = layer(own, *(given if isinstance(given, tuple) else (given,)))
        return given
