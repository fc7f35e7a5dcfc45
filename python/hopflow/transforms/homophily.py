"""How much edges join nodes of one class: homophily, and what a label tells of its neighbour's."""

from __future__ import annotations

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph
from hopflow.transforms._matrices import ends_of, require_dense


def node_homophily(graph: GraphBase, y: Tensor) -> float:
    """The share of in-neighbours that have a node's own class, averaged over all nodes.

    Parameters
    ----------
    graph : Graph
        A graph of one node type and one edge type.
    y : Tensor
        The class of each node, integer, 0 or more, shape [N]. A node without in-edges counts as 0.

    Returns
    -------
    float
        0 to 1; NaN without nodes.

    Raises
    ------
    ValueError, TypeError
        Labels of another shape, device or dtype, or negative ones.

    References
    ----------
    Pei et al., "Geom-GCN", https://arxiv.org/abs/2002.05287
    https://www.dgl.ai/dgl_docs/generated/dgl.node_homophily.html
    """
    graph, y = _checked(graph, y)
    full, same = graph.adjacency.full(), _same(y, *ends_of(graph))
    share = ops.segment_reduce(full.indptr, same, reduce="mean", eids=full.eids)
    return float(share.mean())


def edge_homophily(graph: GraphBase, y: Tensor) -> float:
    """The share of edges that join nodes of one class.

    Parameters
    ----------
    graph, y
        As for :func:`node_homophily`.

    Returns
    -------
    float
        0 to 1; NaN without edges.

    References
    ----------
    Zhu et al., "Beyond homophily in graph neural networks", https://arxiv.org/abs/2006.11468
    https://www.dgl.ai/dgl_docs/generated/dgl.edge_homophily.html
    """
    graph, y = _checked(graph, y)
    return float(_same(y, *ends_of(graph)).mean())


def linkx_homophily(graph: GraphBase, y: Tensor) -> float:
    """How much more often the edges into a class come from it than its share of nodes explains.

    ``sum_k max(0, h_k - n_k / N) / (C - 1)`` over the classes, ``h_k`` being the share of edges
    from class k among those into class k (left out where there are none), ``n_k`` its nodes.

    Parameters
    ----------
    graph, y
        As for :func:`node_homophily`; there are ``max(y) + 1`` classes, at least two.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    ValueError
        One class alone; or as :func:`node_homophily`.

    References
    ----------
    Lim et al., "Large scale learning on non-homophilous graphs", https://arxiv.org/abs/2110.14446
    https://www.dgl.ai/dgl_docs/generated/dgl.linkx_homophily.html
    """
    graph, y = _checked(graph, y)
    counts = torch.bincount(y)
    if counts.shape[0] < 2:
        raise ValueError(f"y: expected at least two classes, got {counts.shape[0]}")
    src, dst = ends_of(graph)
    into = torch.bincount(y[dst], minlength=counts.shape[0]).double()
    own = torch.zeros_like(into).index_add_(0, y[dst], _same(y, src, dst))
    above = (own / into - counts / graph.num_nodes()).nan_to_num(nan=0.0).clamp(min=0)
    return float(above.sum()) / (counts.shape[0] - 1)


def adjusted_homophily(graph: GraphBase, y: Tensor) -> float:
    """Edge homophily less what is expected of edges that ignore classes, scaled to at most 1.

    ``(h - s) / (1 - s)`` with ``s`` the sum over the classes of the squares of their shares of all
    degrees, on :func:`hopflow.to_bidirected` of the graph.

    Parameters
    ----------
    graph, y
        As for :func:`node_homophily`.

    Returns
    -------
    float
        Below 0 where edges avoid nodes of their class; NaN without edges, or where all are of one
        class.

    References
    ----------
    Platonov et al., "Characterizing graph datasets for node classification",
    https://arxiv.org/abs/2209.06177
    https://www.dgl.ai/dgl_docs/generated/dgl.adjusted_homophily.html
    """
    graph, y = _checked(graph, y)
    src, dst, degrees = _both_ways(graph)
    expected = float((_shares(y, degrees) ** 2).sum())
    found = float(_same(y, src, dst).mean())
    return (found - expected) / (1 - expected) if expected != 1 else float("nan")


def edge_label_informativeness(graph: GraphBase, y: Tensor, eps: float = 1e-8) -> float:
    """How much of a label's entropy its neighbour's label takes away, edges being drawn alike.

    The mutual information of the labels at both ends of a random edge of
    :func:`hopflow.to_bidirected`, divided by the entropy of one of them.

    Parameters
    ----------
    graph, y
        As for :func:`node_homophily`.
    eps : float
        Added to the probability of every pair of classes.

    Returns
    -------
    float
        0 to 1; NaN without edges, or where all ends are of one class.

    References
    ----------
    Platonov et al., "Characterizing graph datasets for node classification",
    https://arxiv.org/abs/2209.06177
    https://www.dgl.ai/dgl_docs/generated/dgl.edge_label_informativeness.html
    """
    graph, y = _checked(graph, y)
    src, dst, degrees = _both_ways(graph)
    at_end = _shares(y, degrees)
    joint = _joint(y, src, dst, torch.ones_like(src, dtype=torch.float64))
    joint = joint / joint.sum() + eps
    of_pairs, of_ends = torch.xlogy(joint, joint).sum(), torch.xlogy(at_end, at_end).sum()
    return float(2 - of_pairs / of_ends)


def node_label_informativeness(graph: GraphBase, y: Tensor, eps: float = 1e-8) -> float:
    """As :func:`edge_label_informativeness`, a node being drawn and then one of its edges.

    Classes that no node or no edge has are left out, where DGL gives NaN or infinity.

    Parameters
    ----------
    graph, y
        As for :func:`node_homophily`.
    eps : float
        Added to the probability of every pair of classes.

    Returns
    -------
    float
        0 to 1, about; NaN without edges, or where all nodes are of one class.

    References
    ----------
    Platonov et al., "Characterizing graph datasets for node classification",
    https://arxiv.org/abs/2209.06177
    https://www.dgl.ai/dgl_docs/generated/dgl.node_label_informativeness.html
    """
    graph, y = _checked(graph, y)
    src, dst, degrees = _both_ways(graph)
    of_node = _shares(y, torch.ones_like(degrees))
    at_end = _shares(y, degrees)
    joint = _joint(y, src, dst, 1.0 / ((degrees > 0).sum() * degrees[src]).double()) + eps
    apart = of_node.unsqueeze(1) * at_end
    there = apart > 0
    told = (joint[there] * torch.log(joint[there] / apart[there])).sum()
    return float(-told / torch.xlogy(of_node, of_node).sum())


def _checked(graph: GraphT, y: Tensor) -> tuple[GraphT, Tensor]:
    graph = require_graph(graph, one_type=True)
    if not isinstance(y, Tensor):
        raise TypeError(f"y: expected a tensor of labels, got {type(y).__name__}")
    if y.shape != (graph.num_nodes(),):
        raise ValueError(
            f"y: expected one label for each of the {graph.num_nodes()} nodes, got shape"
            f" {list(y.shape)}"
        )
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(f"y: expected integer labels, got {str(y.dtype).replace('torch.', '')}")
    if y.device != graph.device:
        raise ValueError(f"y: expected labels on {graph.device}, got {y.device}")
    if y.numel() and int(y.min()) < 0:
        raise ValueError(f"y: expected labels of 0 or more, got {int(y.min())}")
    return graph, y.long()


def _both_ways(graph: GraphBase) -> tuple[Tensor, Tensor, Tensor]:
    """Ends of the edges of :func:`hopflow.to_bidirected`, in any order, and its degrees.

    Only these are needed: no graph is made, and each pair of nodes is looked at once.
    """
    src, dst = ends_of(graph)
    num_nodes = graph.num_nodes()
    pairs = torch.unique(torch.minimum(src, dst) * num_nodes + torch.maximum(src, dst))
    low, high = pairs // max(num_nodes, 1), pairs % max(num_nodes, 1)
    apart = low != high
    src, dst = torch.cat([low, high[apart]]), torch.cat([high, low[apart]])
    return src, dst, torch.bincount(dst, minlength=num_nodes)


def _same(y: Tensor, src: Tensor, dst: Tensor) -> Tensor:
    """1 for every edge between nodes of one class, else 0; float64, shape [E]."""
    return (y[src] == y[dst]).double()


def _shares(y: Tensor, weight: Tensor) -> Tensor:
    """Each class's share of the weights of all nodes, float64, shape [C]."""
    total = torch.bincount(y, weights=weight.double())
    return total / total.sum()


def _joint(y: Tensor, src: Tensor, dst: Tensor, weight: Tensor) -> Tensor:
    """The weights of edges by the classes of source and destination, float64, shape [C, C]."""
    count = int(y.max()) + 1 if y.numel() else 0
    require_dense("y: the pairs of classes", count, count, dtype=torch.float64, copies=4)
    flat = torch.bincount(y[src] * count + y[dst], weights=weight, minlength=count * count)
    return flat.view(count, count)
