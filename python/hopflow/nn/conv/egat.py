"""The graph attention layer that computes features of edges too."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

import hopflow.function as fn
from hopflow.graphs.graph import Graph
from hopflow.nn._attention import GAIN, as_sizes, split_heads, weighted_sum
from hopflow.nn._checks import (
    ChecksInDegrees,
    require_edge_numbers,
    require_edge_rows,
    require_in_degrees,
    require_input,
)
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn.functional import edge_softmax


class EGATConv(ChecksInDegrees):
    r"""Graph attention with edge features, which it renews as well.

    .. math::
        f_{uv}' = LeakyReLU(A_{ni} h_u + A_{fij} f_{uv} + A_{nj} h_v + b), \quad
        h_v' = \sum_{u \to v} \alpha_{uv} W h_u, \quad
        \alpha_{uv} = softmax_u(a^T f_{uv}')

    The rectifier's slope is 0.01. The sum over in-edges is one kernel, which writes no messages.
    Parameters have the names, shapes and initialisation of DGL's layer.

    Parameters
    ----------
    in_node_feats : int or (int, int)
        Width of the nodes' features, or of the sources' and the destinations'.
    in_edge_feats : int
        Width of the edges' features.
    out_node_feats, out_edge_feats : int
        Widths of each head's outputs.
    num_heads : int
        Number of heads H.
    bias : bool
        Learn a bias of the edges' new features (DGL's layer cannot be made without).
    allow_zero_in_degree : bool
        Accept destinations without in-edges, whose output is 0; DGL's layer has no such option.

    References
    ----------
    Kamiński et al., "Rossmann-toolbox: a deep learning-based protocol for the prediction and design
    of cofactor specificity in Rossmann fold proteins", Briefings in Bioinformatics 2022;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.EGATConv.html
    """

    bias: Tensor | None

    def __init__(
        self,
        in_node_feats: int | tuple[int, int],
        in_edge_feats: int,
        out_node_feats: int,
        out_edge_feats: int,
        num_heads: int,
        bias: bool = True,
        allow_zero_in_degree: bool = False,
    ) -> None:
        super().__init__()
        src_feats, dst_feats = as_sizes(in_node_feats)
        self._num_heads = num_heads
        self._allow_zero_in_degree = allow_zero_in_degree
        edge_width = out_edge_feats * num_heads
        self.fc_node_src = nn.Linear(src_feats, out_node_feats * num_heads, bias=False)
        self.fc_ni = nn.Linear(src_feats, edge_width, bias=False)
        self.fc_nj = nn.Linear(dst_feats, edge_width, bias=False)
        self.fc_fij = nn.Linear(in_edge_feats, edge_width, bias=False)
        self.attn = nn.Parameter(torch.empty(1, num_heads, out_edge_feats))
        if bias:
            self.bias = nn.Parameter(torch.empty(edge_width))
        else:
            self.register_buffer("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew from Glorot's normal law; the bias becomes 0."""
        for layer in (self.fc_node_src, self.fc_ni, self.fc_fij, self.fc_nj):
            nn.init.xavier_normal_(layer.weight, gain=GAIN)
        nn.init.xavier_normal_(self.attn, gain=GAIN)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self,
        graph: Graph,
        nfeats: Features,
        efeats: Tensor,
        edge_weight: Tensor | None = None,
        get_attention: bool = False,
    ) -> tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        nfeats : Tensor or (Tensor, Tensor)
            Source rows, shape [U, D_in], whose first are the destinations'; or the rows of each
            side.
        efeats : Tensor
            Shape [E, F_in], in the order of edge ids.
        edge_weight : Tensor, optional
            A factor for each edge's attention, after the softmax, shape [E].
        get_attention : bool
            Return the attention as well.

        Returns
        -------
        Tensor
            New features of the destinations, shape [V, H, D_out].
        Tensor
            New features of the edges, shape [E, H, F_out].
        Tensor, optional
            The attention, shape [E, H, 1].

        Raises
        ------
        HopflowError
            A destination without in-edges, unless they are allowed.
        TypeError, ValueError
            Operands whose shapes do not go together.
        """
        require_in_degrees(graph, self._allow_zero_in_degree)
        source, own = as_pair(graph, nfeats, "nfeats")
        for layer in (self.fc_ni, self.fc_node_src):
            require_input("nfeats of sources", source, layer)
        require_input("nfeats of destinations", own, self.fc_nj)
        require_edge_rows("efeats", efeats, graph.num_edges())
        require_input("efeats", efeats, self.fc_fij)
        if edge_weight is not None:
            require_edge_numbers("edge_weight", edge_weight, graph.num_edges())
        here = self.fc_nj(own)
        if self.bias is not None:
            here = here + self.bias.to(here.dtype)
        with graph.local_scope():
            graph.srcdata["_u"], graph.dstdata["_v"] = self.fc_ni(source), here
            graph.apply_edges(fn.u_add_v("_u", "_v", "_f"))
            edges = functional.leaky_relu(graph.edata["_f"] + self.fc_fij(efeats))
        edges = split_heads(edges, self._num_heads)
        attention = edge_softmax(graph, (edges * self.attn).sum(-1, keepdim=True))
        if edge_weight is not None:
            attention = attention * edge_weight.view(-1, *[1] * (attention.dim() - 1))
        out = weighted_sum(graph, split_heads(self.fc_node_src(source), self._num_heads), attention)
        return (out, edges, attention) if get_attention else (out, edges)
