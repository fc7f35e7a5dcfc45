"""Steps of the symmetrically normalised adjacency, which spectral layers are made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import hopflow.function as fn
from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import aggregate, in_degree_scale, out_degree_scale
from hopflow.nn._checks import require_edge_rows
from hopflow.nn.conv.graph_conv import EdgeWeightNorm

Step = Callable[[Tensor], Tensor]


def normalized_step(graph: Graph, like: Tensor, edge_weight: Tensor | None = None) -> Step:
    r"""The map :math:`H \mapsto D^{-1/2} A D^{-1/2} H` of source rows to destination rows.

    What it needs of the graph is computed once, for all steps.

    Parameters
    ----------
    graph : Graph or Block
        Where messages flow. :math:`D` are in-degrees, at least 1. A block does not know its
        sources' in-degrees in the graph that it is drawn from: they are scaled by their
        out-degrees in it, as :class:`hopflow.nn.GraphConv` does.
    like : Tensor
        Rows of as many dimensions as those that steps are to be made with.
    edge_weight : Tensor, optional
        Positive weights of the edges, shape [E]: :class:`hopflow.nn.EdgeWeightNorm` normalises
        them, in place of degrees.

    Raises
    ------
    HopflowError
        Weights that are not positive.
    ValueError
        Weights of another shape.
    """
    if edge_weight is not None:
        require_edge_rows("edge_weight", edge_weight, graph.num_edges())
        weight = EdgeWeightNorm("both")(graph, edge_weight)
        return lambda h: aggregate(graph, h, fn.sum, weight)
    # Kept wide: under autocast steps may be made with rows narrower than these.
    wide = like.to(torch.promote_types(like.dtype, torch.float32))
    after = in_degree_scale(graph, -0.5, wide)
    before = out_degree_scale(graph, -0.5, wide) if graph.is_block else after
    return lambda h: aggregate(graph, h * before.to(h.dtype), fn.sum) * after.to(h.dtype)
