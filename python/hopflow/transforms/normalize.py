"""Weights of edges by degree, and features by row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.frame import Frame
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph
from hopflow.transforms._matrices import edge_weight, ends_of
from hopflow.transforms.export import attribute_names
from hopflow.transforms.modules import BaseTransform


def norm_by_dst(g: GraphBase, etype: Any = None) -> Tensor:
    """1 / in-degree of the destination of every edge.

    Parameters
    ----------
    g : Graph
        A graph or block.
    etype : str or tuple, optional
        Which edges, where there are several types; in-edges of this type are counted.

    Returns
    -------
    Tensor
        float32, shape [E], by edge id.

    References
    ----------
    https://docs.dgl.ai/en/2.1.x/_modules/dgl/transforms/functional.html
    """
    edges = g.relation(etype).adjacency
    _, dst = edges.coo()
    return edges.in_degrees().float().reciprocal()[dst.long()]


def symmetric_norm(g: GraphBase, weight: Tensor | None) -> Tensor:
    """``w / sqrt(d[u] d[v])`` of every edge, ``d`` being the sum of weights that enter a node.

    Parameters
    ----------
    g : Graph
        A graph of one relation between nodes of one type.
    weight : Tensor, optional
        Shape [E]; 1 by default, float32.

    Returns
    -------
    Tensor
        Shape [E]; 0 where ``d`` is.
    """
    src, dst = ends_of(g)
    full = g.adjacency.full()
    if weight is None:
        degree = full.in_degrees().float()
    else:
        degree = ops.segment_reduce(full.indptr, weight, eids=full.eids)
    root = degree.rsqrt()
    root = torch.where(root == torch.inf, torch.zeros_like(root), root)
    ends = root[src] * root[dst]
    return ends if weight is None else ends * weight


class GCNNorm(BaseTransform):
    """Weight every edge with ``w / sqrt(d[u] d[v])``, as a graph convolution does.

    ``d`` is a node's in-degree or, where edges have weights, their sum. Relations between nodes of
    two types are left alone.

    Parameters
    ----------
    eweight_name : str
        Edge column of weights, shape [E] or [E, 1], and of the result, of the same shape. A
        relation without it has weights 1, and its result is [E].

    References
    ----------
    Kipf, Welling, "Semi-supervised classification with graph convolutional networks",
    https://arxiv.org/abs/1609.02907
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.GCNNorm.html
    """

    def __init__(self, eweight_name: str = "w") -> None:
        self.eweight_name = eweight_name

    def __call__(self, g: GraphT) -> GraphT:
        """The graph with the new weights; ``g`` keeps its own.

        Raises
        ------
        ValueError, TypeError
            Weights of another shape, or not of floating point.
        """
        g = require_graph(g).local_var()
        for (srctype, _, dsttype), one in g.relations.items():
            if srctype == dsttype:
                has_weight = self.eweight_name in one.edge_frame
                weight = edge_weight(one, self.eweight_name) if has_weight else None
                norm = symmetric_norm(one, weight)
                if has_weight:
                    norm = norm.view_as(one.edge_frame[self.eweight_name])
                one.edge_frame[self.eweight_name] = norm
        return g


class RowFeatNormalizer(BaseTransform):
    """Divide every row of some columns by its sum, or by 1 where that is less.

    Parameters
    ----------
    subtract_min : bool
        First subtract the least number of the whole column, which makes all non-negative.
    node_feat_names, edge_feat_names : sequence of str, optional
        Columns of nodes and edges; of several types, of those that have them. None by default.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.RowFeatNormalizer.html
    """

    def __init__(
        self,
        subtract_min: bool = False,
        node_feat_names: Iterable[str] | None = None,
        edge_feat_names: Iterable[str] | None = None,
    ) -> None:
        self.subtract_min = subtract_min
        self.node_feat_names = attribute_names("node_feat_names", node_feat_names)
        self.edge_feat_names = attribute_names("edge_feat_names", edge_feat_names)

    def row_normalize(self, feat: Tensor) -> Tensor:
        """One column normalised, shape [N, ..., D]; a new tensor.

        Raises
        ------
        TypeError
            Not of floating point.
        """
        if not feat.is_floating_point():
            dtype = str(feat.dtype).replace("torch.", "")
            raise TypeError(f"feat: expected a column of floating point, got {dtype}")
        if self.subtract_min and feat.numel():
            feat = feat - feat.min()
        return feat / feat.sum(dim=-1, keepdim=True).clamp(min=1.0)

    def __call__(self, g: GraphT) -> GraphT:
        """The graph with columns normalised; those of ``g`` stay as they are.

        Raises
        ------
        KeyError
            A column that no type has.
        TypeError
            One that is not of floating point.
        """
        g = require_graph(g).local_var()
        for frame, name in named_columns(g, self.node_feat_names, self.edge_feat_names):
            frame[name] = self.row_normalize(frame[name])
        return g


def named_columns(
    g: GraphBase, node_names: Iterable[str], edge_names: Iterable[str]
) -> list[tuple[Frame, str]]:
    """Columns of nodes and edges of every type that has them: the frame and the name.

    Raises
    ------
    KeyError
        A name that no type has.
    """
    nodes = list(g.node_frames().values())
    edges = [one.edge_frame for one in g.relations.values()]
    found: list[tuple[Frame, str]] = []
    for what, names, frames in (("node", node_names, nodes), ("edge", edge_names, edges)):
        for name in names:
            having = [(frame, name) for frame in frames if name in frame]
            if not having:
                raise KeyError(f"no {what} column {name!r}")
            found += having
    return found
