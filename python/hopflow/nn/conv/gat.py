"""The graph attention layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from hopflow.function import u_add_v
from hopflow.graphs.graph import Graph
from hopflow.nn._attention import (
    GAIN,
    Activation,
    AttentionConv,
    folded,
    folds,
    reset_linear,
    sums_inputs,
)
from hopflow.nn._checks import require_edge_numbers
from hopflow.nn._pairs import Features
from hopflow.nn.functional import edge_softmax


class GATConv(AttentionConv):
    r"""Graph attention: neighbours weighted by a learned score of both ends of an edge.

    .. math::
        h_v' = \sum_{u \to v} \alpha_{uv} W h_u, \quad
        \alpha_{uv} = softmax_u(LeakyReLU(a_l^T W h_u + a_r^T W h_v))

    Scores and weights are one number an edge and head; the weighted sum is one kernel, so that
    nothing of the size E x H x D is written. Scores come from the inputs, by the projection's
    weight folded with the vectors of attention. Where that is less work the weighted sum is one of
    inputs too, and projected afterwards. A projection with hooks, or one that is no ``nn.Linear``,
    is called with every row as in DGL.

    Parameters
    ----------
    in_feats : int or (int, int)
        Width of the input features, or of the sources' and the destinations'; a pair has a
        projection for each.
    out_feats : int
        Width of each head's output.
    num_heads : int
        Number of heads H.
    feat_drop, attn_drop : float
        Dropout of features and of attention.
    negative_slope : float
        Of the leaky rectifier.
    residual : bool
        Add the destination's own features, projected where the widths differ.
    activation : callable, optional
        Applied to the output.
    allow_zero_in_degree : bool
        Accept destinations without in-edges, whose output is the bias and the residual alone.
    bias : bool
        Learn a bias; the residual's projection has it, if there is one.

    References
    ----------
    Veličković et al., "Graph attention networks", ICLR 2018;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.GATConv.html
    """

    bias: Tensor | None

    def __init__(
        self,
        in_feats: int | tuple[int, int],
        out_feats: int,
        num_heads: int,
        feat_drop: float = 0.0,
        attn_drop: float = 0.0,
        negative_slope: float = 0.2,
        residual: bool = False,
        activation: Activation | None = None,
        allow_zero_in_degree: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._allow_zero_in_degree = allow_zero_in_degree
        _, dst_feats = self._add_projections(in_feats, out_feats, num_heads)
        self.attn_l = nn.Parameter(torch.empty(1, num_heads, out_feats))
        self.attn_r = nn.Parameter(torch.empty(1, num_heads, out_feats))
        self._add_rest(
            dst_feats, feat_drop=feat_drop, attn_drop=attn_drop, negative_slope=negative_slope,
            residual=residual, activation=activation, bias=bias,
        )  # fmt: skip
        if bias and not isinstance(self.res_fc, nn.Linear):
            self.bias = nn.Parameter(torch.empty(num_heads * out_feats))
        else:
            self.register_buffer("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters."""
        for name in ("fc", "fc_src", "fc_dst"):
            if hasattr(self, name):
                reset_linear(getattr(self, name))
        nn.init.xavier_normal_(self.attn_l, gain=GAIN)
        nn.init.xavier_normal_(self.attn_r, gain=GAIN)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if isinstance(self.res_fc, nn.Linear):
            reset_linear(self.res_fc)

    def forward(
        self,
        graph: Graph,
        feat: Features,
        edge_weight: Tensor | None = None,
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
        edge_weight : Tensor, optional
            A factor for each edge's attention, after the softmax, shape [E].
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
        if edge_weight is not None:
            require_edge_numbers("edge_weight", edge_weight, graph.num_edges())
        src_layer, dst_layer = self._projections()
        is_linear = folds(src_layer, source) and folds(dst_layer, own)
        by_inputs = is_linear and sums_inputs(graph, source, self._num_heads, self._out_feats)
        feat_src = source if by_inputs else self._heads(src_layer(source))
        if is_linear:
            to_left, to_right = folded(src_layer, self.attn_l), folded(dst_layer, self.attn_r)
            if is_one:
                # One product for both ends: its gradient fills the rows' once.
                both = linear(source, torch.cat([to_left, to_right])).unsqueeze(-1)
                left = both[..., : self._num_heads, :]
                right = both[: graph.num_dst_nodes(), ..., self._num_heads :, :]
            else:
                left = linear(source, to_left).unsqueeze(-1)
                right = linear(own, to_right).unsqueeze(-1)
        else:
            is_first = is_one and src_layer is dst_layer
            feat_dst = (
                feat_src[: graph.num_dst_nodes()] if is_first else self._heads(dst_layer(own))
            )
            left = (feat_src * self.attn_l).sum(-1, keepdim=True)
            right = (feat_dst * self.attn_r).sum(-1, keepdim=True)
        with graph.local_scope():
            graph.srcdata["el"], graph.dstdata["er"] = left, right
            graph.apply_edges(u_add_v("el", "er", "e"))
            scores = self.leaky_relu(graph.edata["e"])
        attention = self.attn_drop(edge_softmax(graph, scores))
        if edge_weight is not None:
            attention = attention * edge_weight.view(-1, *[1] * (attention.dim() - 1))
        if by_inputs:
            out = self._attend_inputs(graph, src_layer, feat_src, own, attention)
        else:
            out = self._attend(graph, feat_src, own, attention)
        if self.bias is not None:
            out = out + self.bias.view(self._num_heads, self._out_feats)
        return self._result(out, attention, get_attention)
