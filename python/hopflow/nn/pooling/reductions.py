"""Pooling without parameters: sums, means and maxima of nodes, and the first nodes in order."""

from __future__ import annotations

from torch import Tensor, nn

import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.messages.readout import reduce_rows, topk_rows
from hopflow.nn.pooling._sizes import node_rows


class _Pooling(nn.Module):
    """One reducer over the nodes of each graph."""

    _op: str

    def forward(self, graph: Graph, feat: Tensor) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph
            A batch of graphs, or one, of one node type.
        feat : Tensor
            Node features, shape [N, ...].

        Returns
        -------
        Tensor
            Shape [B, ...]; 0 for a graph without nodes.

        Raises
        ------
        ValueError, TypeError
            Features that are not one row a node, or a graph of several node types.
        """
        return reduce_rows(node_rows(graph, feat), feat, self._op)


class SumPooling(_Pooling):
    """The sum of the nodes of each graph.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.glob.SumPooling.html
    """

    _op = "sum"


class AvgPooling(_Pooling):
    """The mean of the nodes of each graph.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.glob.AvgPooling.html
    """

    _op = "mean"


class MaxPooling(_Pooling):
    """The maximum over the nodes of each graph, of every feature by itself.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.glob.MaxPooling.html
    """

    _op = "max"


class SortPooling(nn.Module):
    """The ``k`` nodes of each graph that have the largest features, one after the other.

    The features of each node are sorted, rising, and nodes compared by the last. Of equal nodes the
    first comes first.

    Parameters
    ----------
    k : int
        How many nodes; a graph that has fewer is filled up with 0.

    References
    ----------
    Zhang, Cui, Neumann, Chen, "An end-to-end deep learning architecture for graph classification",
    AAAI 2018; https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.glob.SortPooling.html
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = ops.as_int("k", k)
        if self.k < 1:
            raise ValueError(f"k: expected at least 1, got {k}")

    def forward(self, graph: Graph, feat: Tensor) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph
            A batch of graphs, or one, of one node type.
        feat : Tensor
            Node features, shape [N, D].

        Returns
        -------
        Tensor
            Shape [B, k * D].

        Raises
        ------
        ValueError, TypeError
            Features of another shape, or a graph of several node types.
        """
        sizes = node_rows(graph, feat)
        in_order = feat.sort(dim=-1).values
        return topk_rows(sizes, in_order, self.k, sortby=-1)[0].flatten(1)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"k={self.k}"
