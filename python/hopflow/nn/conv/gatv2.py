"""The second graph attention layer, whose ranking of neighbours depends on who asks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.nn._attention import (
    GAIN,
    Activation,
    AttentionConv,
    as_sizes,
    reset_linear,
)
from hopflow.nn._checks import is_plain
from hopflow.nn._pairs import Features
from hopflow.nn.functional import edge_softmax


class GATv2Conv(AttentionConv):
    r"""Graph attention whose score is computed after the rectifier.

    .. math::
        h_v' = \sum_{u \to v} \alpha_{uv} W_{src} h_u, \quad
        \alpha_{uv} = softmax_u(a^T LeakyReLU(W_{src} h_u + W_{dst} h_v))

    The scores are one kernel (:func:`hopflow.ops.gatv2_scores`) and so is the weighted sum: nothing
    of the size E x H x D is written.

    Parameters
    ----------
    in_feats : int or (int, int)
        Width of the input features, or of the sources' and the destinations'.
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
        Accept destinations without in-edges, whose output is the residual alone.
    bias : bool
        Learn biases of the projections.
    share_weights : bool
        One projection for both sides; with one width of input only.

    References
    ----------
    Brody, Alon, Yahav, "How attentive are graph attention networks?", ICLR 2022;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.GATv2Conv.html
    """

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
        share_weights: bool = False,
    ) -> None:
        super().__init__()
        src_feats, dst_feats = as_sizes(in_feats)
        self._num_heads, self._out_feats = num_heads, out_feats
        self._allow_zero_in_degree = allow_zero_in_degree
        width = out_feats * num_heads
        # As in DGL, a pair of widths has a projection each, whatever share_weights says.
        self.share_weights = share_weights and not isinstance(in_feats, tuple)
        self.fc_src = nn.Linear(src_feats, width, bias=bias)
        self.fc_dst = self.fc_src if self.share_weights else nn.Linear(dst_feats, width, bias=bias)
        self.attn = nn.Parameter(torch.empty(1, num_heads, out_feats))
        self._add_rest(
            dst_feats, feat_drop=feat_drop, attn_drop=attn_drop, negative_slope=negative_slope,
            residual=residual, activation=activation, bias=bias,
        )  # fmt: skip
        self.bias = bias
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters."""
        reset_linear(self.fc_src)
        if not self.share_weights:
            reset_linear(self.fc_dst)
        nn.init.xavier_normal_(self.attn, gain=GAIN)
        if isinstance(self.res_fc, nn.Linear):
            reset_linear(self.res_fc)

    def _scores(self, graph: Graph, source: Tensor, own: Tensor) -> Tensor:
        """The score of every edge and head, shape [E, H]."""
        full = graph.adjacency.full()
        transpose = full.transpose_for(source, own)
        attn = self.attn[0].to(source.dtype)
        rectifier = self.leaky_relu
        if is_plain(rectifier, nn.LeakyReLU):
            return ops.gatv2_scores(
                full.indptr, full.indices, source, own, attn, eids=full.eids, transpose=transpose,
                negative_slope=rectifier.negative_slope,
            )  # fmt: skip
        # Another function in its place, or one that somebody watches, is called edge by edge.
        sums = ops.sddmm_binary(
            full.indptr, full.indices, "add", source, own, eids=full.eids, transpose=transpose
        )
        scores: Tensor = (rectifier(sums) * attn).sum(-1)
        return scores

    def forward(
        self, graph: Graph, feat: Features, get_attention: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, D_in], whose first are the destinations'; or the rows of each
            side.
        get_attention : bool
            Return the attention as well.

        Returns
        -------
        Tensor
            Shape [V, H, D].
        Tensor, optional
            The attention, shape [E, H, 1], in the order of edge ids.

        Raises
        ------
        HopflowError
            A destination without in-edges, unless ``allow_zero_in_degree``.
        TypeError, ValueError
            Operands whose shapes do not go together.
        """
        source, own, is_one = self._sides(graph, feat)
        feat_src = self._heads(self.fc_src(source))
        if is_one and self.share_weights:
            feat_dst = feat_src[: graph.num_dst_nodes()]
        else:
            feat_dst = self._heads(self.fc_dst(own))
        scores = self._scores(graph, feat_src, feat_dst)
        attention = self.attn_drop(edge_softmax(graph, scores.unsqueeze(-1)))
        out = self._attend(graph, feat_src, own, attention)
        return self._result(out, attention, get_attention)
