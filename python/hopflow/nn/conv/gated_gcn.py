"""The graph convolution whose edges are gates and have features of their own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

import hopflow.function as fn
from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import aggregate
from hopflow.nn._checks import require_edge_rows, require_same_widths, require_width
from hopflow.nn._pairs import Features, as_pair


class GatedGCNConv(nn.Module):
    r"""Gated graph convolution: each feature of a message has a gate, which the edge computes.

    .. math::
        e_{uv}' = D h_u + E h_v + C e_{uv}, \qquad
        h_v' = A h_v + \frac{\sum_{u \to v} \sigma(e_{uv}') \odot B h_u}
                            {\sum_{u \to v} \sigma(e_{uv}') + 10^{-6}}

    followed by normalisation, activation, residual and dropout, of nodes and of edges. Gated
    messages are never written. Parameters have the names, shapes and initialisation of DGL's layer.

    Parameters
    ----------
    input_feats, edge_feats : int
        Widths of the nodes' and the edges' features.
    output_feats : int
        Width of both outputs.
    dropout : float
        Dropout rate of both outputs.
    batch_norm : bool
        Normalise both over all nodes, over all edges.
    residual : bool
        Add the input to each output; only where all three widths are one.
    activation : callable, optional
        Applied to both.

    References
    ----------
    Bresson, Laurent, "Residual gated graph ConvNets", 2017, in the form of Dwivedi et al.,
    "Benchmarking graph neural networks", JMLR 2023;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.GatedGCNConv.html
    """

    def __init__(
        self,
        input_feats: int,
        edge_feats: int,
        output_feats: int,
        dropout: float = 0,
        batch_norm: bool = True,
        residual: bool = True,
        activation: Callable[[Tensor], Tensor] | None = functional.relu,
    ) -> None:
        super().__init__()
        self._input_feats, self._edge_feats = input_feats, edge_feats
        self.dropout = nn.Dropout(dropout)
        self.batch_norm = batch_norm
        self.residual = residual and input_feats == edge_feats == output_feats
        self.A = nn.Linear(input_feats, output_feats)
        self.B = nn.Linear(input_feats, output_feats)
        self.D = nn.Linear(input_feats, output_feats)
        self.E = nn.Linear(input_feats, output_feats)
        self.C = nn.Linear(edge_feats, output_feats)
        # There, and in the state_dict, also without batch_norm.
        self.bn_node = nn.BatchNorm1d(output_feats)
        self.bn_edge = nn.BatchNorm1d(output_feats)
        self.activation = activation

    def forward(self, graph: Graph, feat: Features, edge_feat: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, D_in], whose first are the destinations'; or the rows of each
            side.
        edge_feat : Tensor
            Shape [E, D_edge], in the order of edge ids.

        Returns
        -------
        Tensor
            New features of the destinations, shape [V, D_out].
        Tensor
            New features of the edges, shape [E, D_out].

        Raises
        ------
        ValueError
            Operands whose shapes do not go together.
        """
        source, own = as_pair(graph, feat)
        require_same_widths(source, own)
        require_width("feat", source, self._input_feats)
        require_edge_rows("edge_feat", edge_feat, graph.num_edges())
        require_width("edge_feat", edge_feat, self._edge_feats)
        with graph.local_scope():
            graph.srcdata["_u"], graph.dstdata["_v"] = self.D(source), self.E(own)
            graph.apply_edges(fn.u_add_v("_u", "_v", "_e"))
            e = graph.edata["_e"] + self.C(edge_feat)
            gates = torch.sigmoid(e)
            graph.edata["_g"] = gates
            graph.update_all(fn.copy_e("_g", "_m"), fn.sum("_m", "_total"))
            total = graph.node_frame(side="dst")["_total"]
        h = self.A(own) + aggregate(graph, self.B(source), fn.sum, gates) / (total + 1e-6)
        return self._finish(h, self.bn_node, own), self._finish(e, self.bn_edge, edge_feat)

    def _finish(self, x: Tensor, norm: nn.Module, given: Tensor) -> Tensor:
        """What comes after the sums, of nodes or of edges."""
        if self.batch_norm and x.shape[0]:  # no rows, no statistics: torch would count a batch
            x = norm(x)
        if self.activation is not None:
            x = self.activation(x)
        if self.residual:
            x = given + x
        out: Tensor = self.dropout(x)
        return out
