"""Features diffused over the graph ahead of training."""

from __future__ import annotations

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph
from hopflow.transforms._matrices import edge_weight
from hopflow.transforms.modules import BaseTransform
from hopflow.transforms.normalize import symmetric_norm

_OPERATORS = ("raw", "rw", "gcn", "ppr")


class SIGNDiffusion(BaseTransform):
    """Add node features diffused over 1, 2, ..., k steps as node columns.

    A model that takes these columns needs no neighbours: it trains on plain batches of nodes.

    Parameters
    ----------
    k : int
        Number of steps.
    in_feat_name : str
        Node column of features, shape [N, ...], of floating point.
    out_feat_name : str
        The new columns are ``f"{out_feat_name}_{i}"`` for i = 1, ..., k, shaped as the features.
    eweight_name : str, optional
        Edge column of weights, shape [E] or [E, 1]. With ``"raw"`` and ``"rw"`` a graph without it
        has weights 1, and so has every graph with None.
    diffuse_op : {"raw", "rw", "gcn", "ppr"}
        One step: ``raw``, the sum of what in-edges bring; ``rw``, their mean; ``gcn``, their sum
        with weights ``w / sqrt(d[u] d[v])`` as :class:`GCNNorm` has them; ``ppr``, that times
        1 - alpha, plus alpha times the features.
    alpha : float
        Chance of ``"ppr"`` to start over.

    Raises
    ------
    ValueError
        ``k`` is below 1, or another ``diffuse_op``.

    References
    ----------
    Frasca et al., "SIGN: scalable inception graph neural networks",
    https://arxiv.org/abs/2004.11198
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.SIGNDiffusion.html
    """

    def __init__(
        self,
        k: int,
        in_feat_name: str = "feat",
        out_feat_name: str = "out_feat",
        eweight_name: str | None = None,
        diffuse_op: str = "raw",
        alpha: float = 0.2,
    ) -> None:
        self.k = ops.as_int("k", k)
        if self.k < 1:
            raise ValueError(f"k: expected a positive number of steps, got {k}")
        if diffuse_op not in _OPERATORS:
            raise ValueError(
                f"diffuse_op: expected one of {', '.join(_OPERATORS)}, got {diffuse_op!r}"
            )
        self.in_feat_name, self.out_feat_name = in_feat_name, out_feat_name
        self.eweight_name, self.diffuse_op, self.alpha = eweight_name, diffuse_op, alpha

    def __call__(self, g: GraphT) -> GraphT:
        """The graph with the new columns.

        Raises
        ------
        KeyError
            There are no such features.
        ValueError, TypeError
            A graph of several types; features or weights of another shape or dtype.
        """
        g = require_graph(g, one_type=True).local_var()
        feat = g.ndata[self.in_feat_name]
        if not feat.is_floating_point():
            raise TypeError(
                f"node column {self.in_feat_name!r}: expected features of floating point, got"
                f" {str(feat.dtype).replace('torch.', '')}"
            )
        weight = self._weights(g, feat.dtype)
        full, h = g.adjacency.full(), feat
        reduce = "mean" if self.diffuse_op == "rw" and weight is None else "sum"
        for i in range(1, self.k + 1):
            h = ops.spmm(full.indptr, full.indices, h, reduce=reduce, weight=weight, eids=full.eids)
            if self.diffuse_op == "ppr":
                h = (1 - self.alpha) * h + self.alpha * feat
            g.ndata[f"{self.out_feat_name}_{i}"] = h
        return g

    def _weights(self, g: GraphBase, dtype: torch.dtype) -> Tensor | None:
        """What one step multiplies messages with; None for nothing."""
        weight = None
        if self.eweight_name is not None and self.eweight_name in g.edata:
            weight = edge_weight(g, self.eweight_name)
        if self.diffuse_op in ("gcn", "ppr"):
            weight = symmetric_norm(g, weight)
        elif self.diffuse_op == "rw" and weight is not None:
            full = g.adjacency.full()
            entering = ops.segment_reduce(full.indptr, weight, eids=full.eids)
            _, dst = g.adjacency.coo()
            weight = weight / entering[dst.long()]
        return None if weight is None else weight.to(dtype)
