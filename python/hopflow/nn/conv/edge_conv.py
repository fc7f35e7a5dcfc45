"""The layer of dynamic graph networks for point clouds."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

import hopflow.function as fn
from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import aggregate
from hopflow.nn._checks import (
    ChecksInDegrees,
    is_plain,
    require_in_degrees,
    require_same_widths,
    require_width,
)
from hopflow.nn._pairs import Features, as_pair


class EdgeConv(ChecksInDegrees):
    r"""Edge convolution: the largest of a function of each in-edge's two ends.

    .. math::
        h_v' = \max_{u \to v} \, \Theta (h_v - h_u) + \Phi h_v

    The difference is the destination's features less the source's, as DGL's layer computes it (its
    page has them the other way round). Both maps have a bias. Parameters have the names, shapes and
    initialisation of DGL's layer.

    As the maps are linear they are applied to nodes, never to edges: without batch normalisation
    the layer takes memory for nodes alone.

    Parameters
    ----------
    in_feat, out_feat : int
        Widths of input and output.
    batch_norm : bool
        Normalise the edges' values over all edges before taking the largest.
    allow_zero_in_degree : bool
        Accept destinations without in-edges; their output is 0.

    References
    ----------
    Wang, Sun, Liu, Sarma, Bronstein, Solomon, "Dynamic graph CNN for learning on point clouds",
    ACM Transactions on Graphics 2019;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.EdgeConv.html
    """

    def __init__(
        self,
        in_feat: int,
        out_feat: int,
        batch_norm: bool = False,
        allow_zero_in_degree: bool = False,
    ) -> None:
        super().__init__()
        self._in_feat = in_feat
        self.batch_norm = batch_norm
        self._allow_zero_in_degree = allow_zero_in_degree
        self.theta = nn.Linear(in_feat, out_feat)
        self.phi = nn.Linear(in_feat, out_feat)
        if batch_norm:
            self.bn = nn.BatchNorm1d(out_feat)

    def forward(self, g: Graph, feat: Features) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        g : Graph or Block
            Where messages flow.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, in], whose first are the destinations'; or the rows of each side.

        Returns
        -------
        Tensor
            Shape [V, out].

        Raises
        ------
        HopflowError
            A destination without in-edges, unless they are allowed.
        ValueError
            Operands whose shapes do not go together.
        """
        require_in_degrees(g, self._allow_zero_in_degree)
        source, own = as_pair(g, feat)
        require_same_widths(source, own)
        require_width("feat", source, self._in_feat)
        if not is_plain(self.theta, nn.Linear):
            return self._by_edges(g, source, own)
        theta = self.theta
        there = functional.linear(source, theta.weight)
        here: Tensor = functional.linear(own, theta.weight, theta.bias) + self.phi(own)
        if not self.batch_norm:
            # max(here - there) = here - min(there), and 0 where there is no edge to take it over.
            out = here - aggregate(g, there, fn.min)
            found = (g.adjacency.in_degrees() > 0).view(-1, *[1] * (out.dim() - 1))
            return out.where(found, out.new_zeros(()))
        with g.local_scope():
            g.srcdata["_u"], g.dstdata["_v"] = there, here.to(there.dtype)
            g.apply_edges(fn.v_sub_u("_v", "_u", "_m"))
            return self._largest(g, g.edata["_m"])

    def _by_edges(self, g: Graph, source: Tensor, own: Tensor) -> Tensor:
        """The formula as it is written, for a ``theta`` that may be anything."""
        with g.local_scope():
            g.srcdata["_u"], g.dstdata["_v"] = source, own
            g.apply_edges(fn.v_sub_u("_v", "_u", "_m"))
            g.edata["_m"] = self.theta(g.edata["_m"])
            g.dstdata["_v"] = self.phi(own)
            g.apply_edges(fn.e_add_v("_m", "_v", "_m"))
            return self._largest(g, g.edata["_m"])

    def _largest(self, g: Graph, values: Tensor) -> Tensor:
        """The largest value of each destination's in-edges, normalised if they are to be."""
        with g.local_scope():
            # No edges, no statistics: torch would count a batch of none.
            g.edata["_m"] = self.bn(values) if self.batch_norm and g.num_edges() else values
            g.update_all(fn.copy_e("_m", "_m"), fn.max("_m", "_out"))
            return g.node_frame(side="dst")["_out"]
