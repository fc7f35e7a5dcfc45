"""The graph attention layer whose messages hold the features of edges."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hopflow.function import u_add_v
from hopflow.graphs.graph import Graph
from hopflow.nn._attention import (
    GAIN,
    Activation,
    AttentionConv,
    weighted_edge_sum,
)
from hopflow.nn._checks import is_plain, require_edge_rows, require_width
from hopflow.nn._pairs import Features
from hopflow.nn.functional import edge_softmax
from hopflow.nn.hetero._by_type import autocast


class EdgeGATConv(AttentionConv):
    r"""Graph attention over neighbours together with the edges that lead to them.

    .. math::
        h_v' = W_{res} h_v + \sum_{u \to v} \alpha_{uv} (W h_u + W_e f_{uv}) + b, \quad
        \alpha_{uv} = softmax_u(LeakyReLU(a_l^T W h_u + a_r^T W h_v + a_e^T W_e f_{uv}))

    As :math:`W_e` is linear it is applied to the attention's sum of the edges' features, and
    :math:`a_e^T W_e` is one small matrix: nothing of the size E x H x D is written. Parameters have
    the names, shapes and initialisation of DGL's layer.

    Parameters
    ----------
    in_feats : int or (int, int)
        Width of the nodes' features, or of the sources' and the destinations'; a pair has a
        projection for each.
    edge_feats : int
        Width of the edges' features.
    out_feats : int
        Width of each head's output.
    num_heads : int
        Number of heads H.
    feat_drop, attn_drop : float
        Dropout of the nodes' features and of attention.
    negative_slope : float
        Of the leaky rectifier.
    residual : bool
        Add the destination's own features, through a projection of their own.
    activation : callable, optional
        Applied to the output.
    allow_zero_in_degree : bool
        Accept destinations without in-edges, whose output is the bias and the residual alone.
    bias : bool
        Learn a bias.

    References
    ----------
    Monninger et al., "SCENE: Reasoning about traffic scenes using heterogeneous graph neural
    networks", IEEE Robotics and Automation Letters 2023;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.EdgeGATConv.html
    """

    bias: Tensor | None

    def __init__(
        self,
        in_feats: int | tuple[int, int],
        edge_feats: int,
        out_feats: int,
        num_heads: int,
        feat_drop: float = 0.0,
        attn_drop: float = 0.0,
        negative_slope: float = 0.2,
        residual: bool = True,
        activation: Activation | None = None,
        allow_zero_in_degree: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._allow_zero_in_degree = allow_zero_in_degree
        _, dst_feats = self._add_projections(in_feats, out_feats, num_heads)
        self._edge_feats, width = edge_feats, num_heads * out_feats
        self.attn_l = nn.Parameter(torch.empty(1, num_heads, out_feats))
        self.attn_r = nn.Parameter(torch.empty(1, num_heads, out_feats))
        if bias:
            self.bias = nn.Parameter(torch.empty(width))
        else:
            self.register_buffer("bias", None)
        self._add_rest(
            dst_feats, feat_drop=feat_drop, attn_drop=attn_drop, negative_slope=negative_slope,
            residual=False, activation=activation, bias=False,
        )  # fmt: skip
        if residual:  # projected whatever the widths
            self.res_fc = nn.Linear(dst_feats, width, bias=False)
        self.fc_edge = nn.Linear(edge_feats, width, bias=False)
        self.attn_edge = nn.Parameter(torch.empty(1, num_heads, out_feats))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew from Glorot's normal law; the bias becomes 0."""
        # In DGL's order, so that one seed makes one layer.
        in_order = ("fc", "fc_src", "fc_dst", "attn_l", "attn_r", "fc_edge", "attn_edge", "res_fc")
        for name in in_order:
            part = getattr(self, name, None)
            if part is not None:
                weight = part if isinstance(part, nn.Parameter) else part.weight
                nn.init.xavier_normal_(weight, gain=GAIN)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self,
        graph: Graph,
        feat: Features,
        edge_feat: Tensor,
        get_attention: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, ..., D_in], whose first are the destinations'; or the rows of
            each side.
        edge_feat : Tensor
            Shape [E, ..., F_in], in the order of edge ids.
        get_attention : bool
            Return the attention as well.

        Returns
        -------
        Tensor
            Shape [V, ..., H, D].
        Tensor, optional
            The attention, shape [E, ..., H, 1], in the order of edge ids.

        Raises
        ------
        HopflowError
            A destination without in-edges, unless ``allow_zero_in_degree``.
        TypeError, ValueError
            Operands whose shapes do not go together.
        """
        source, own, is_one = self._sides(graph, feat)
        require_edge_rows("edge_feat", edge_feat, graph.num_edges())
        require_width("edge_feat", edge_feat, self._edge_feats)
        src_layer, dst_layer = self._projections()
        feat_src = self._heads(src_layer(source))
        if is_one and src_layer is dst_layer:
            feat_dst = feat_src[: graph.num_dst_nodes()]
        else:
            feat_dst = self._heads(dst_layer(own))
        # Another function in its place, or one that somebody watches, is called edge by edge.
        projected = None if is_plain(self.fc_edge, nn.Linear) else self.fc_edge(edge_feat)
        with graph.local_scope():
            graph.srcdata["el"] = (feat_src * self.attn_l).sum(-1, keepdim=True)
            graph.dstdata["er"] = (feat_dst * self.attn_r).sum(-1, keepdim=True)
            graph.apply_edges(u_add_v("el", "er", "e"))
            scores = self.leaky_relu(graph.edata["e"] + self._edge_scores(edge_feat, projected))
        attention = self.attn_drop(edge_softmax(graph, scores))
        out = self._attend(graph, feat_src, own, attention)
        out = out + self._sum_edges(graph, edge_feat, projected, attention)
        if self.bias is not None:
            out = out + self.bias.view(self._num_heads, self._out_feats)
        return self._result(out, attention, get_attention)

    def _edge_weight(self) -> Tensor:
        """The edges' projection for each head, shape [H, D, F_in]."""
        return self.fc_edge.weight.view(self._num_heads, self._out_feats, self._edge_feats)

    def _edge_scores(self, edge_feat: Tensor, projected: Tensor | None) -> Tensor:
        """The edges' share of the scores, shape [E, ..., H, 1]."""
        if projected is not None:
            return (self._heads(projected) * self.attn_edge).sum(-1, keepdim=True)
        small = (self._edge_weight() * self.attn_edge[0].unsqueeze(-1)).sum(1)
        return functional.linear(edge_feat, small).unsqueeze(-1)

    def _sum_edges(
        self, graph: Graph, edge_feat: Tensor, projected: Tensor | None, attention: Tensor
    ) -> Tensor:
        """The edges' share of the output, shape [V, ..., H, D]."""
        if projected is not None:
            return weighted_edge_sum(graph, self._heads(projected), attention)
        sums = weighted_edge_sum(graph, edge_feat.unsqueeze(-2), attention)
        sums, weight = autocast(sums, self._edge_weight())
        return torch.einsum("...hf,hdf->...hd", sums, weight)
