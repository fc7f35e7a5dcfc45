"""What the pooling layers ask of their operands."""

from __future__ import annotations

from torch import Tensor

from hopflow.graphs.graph import Graph
from hopflow.structure.batch_sizes import node_sizes


def node_rows(graph: Graph, feat: Tensor, name: str = "feat") -> Tensor:
    """The number of nodes of each graph, if ``feat`` has a row for each of them.

    Raises
    ------
    TypeError
        Something else than a graph or a tensor.
    ValueError
        Not one row a node, or a graph of several node types.
    """
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a hopflow.Graph, got {type(graph).__name__}")
    if not isinstance(feat, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, got {type(feat).__name__}")
    sizes = node_sizes(graph)
    num_nodes = graph.node_frame().num_rows
    if feat.dim() == 0 or feat.shape[0] != num_nodes:
        raise ValueError(
            f"{name}: expected one row for each of the {num_nodes} nodes, got shape"
            f" {list(feat.shape)}"
        )
    return sizes
