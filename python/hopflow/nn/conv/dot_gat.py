"""The attention by scaled dot products."""

from __future__ import annotations

from torch import Tensor

from hopflow.graphs.graph import Graph
from hopflow.nn._attention import ProjectedConv, dot_products, split_heads, weighted_sum
from hopflow.nn._pairs import Features
from hopflow.nn.functional import edge_softmax


class DotGatConv(ProjectedConv):
    r"""Graph attention whose score is the dot product of both ends, as in transformers.

    .. math::
        h_v' = \sum_{u \to v} \alpha_{uv} W_{src} h_u, \quad
        \alpha_{uv} = softmax_u\Big(\frac{(W_{src} h_u)^T W_{dst} h_v}{\sqrt{D}}\Big)

    Scores and the weighted sum are one kernel each: nothing of the size E x H x D is written.

    Parameters
    ----------
    in_feats : int or (int, int)
        Width of the input features, whose projection both sides share; or of the sources' and the
        destinations', which have one each.
    out_feats : int
        Width D of each head's output.
    num_heads : int
        Number of heads H.
    allow_zero_in_degree : bool
        Accept destinations without in-edges; their output is 0.

    References
    ----------
    Veličković et al., "Graph attention networks", ICLR 2018;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.DotGatConv.html
    """

    def __init__(
        self,
        in_feats: int | tuple[int, int],
        out_feats: int,
        num_heads: int,
        allow_zero_in_degree: bool = False,
    ) -> None:
        super().__init__()
        self._allow_zero_in_degree = allow_zero_in_degree
        self._add_projections(in_feats, out_feats, num_heads)

    def forward(
        self, graph: Graph, feat: Features, get_attention: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, ..., D_in], whose first are the destinations'; or the rows of
            each side.
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
            A destination without in-edges, unless they are allowed.
        ValueError
            Operands whose shapes do not go together.
        """
        source, own = self._rows(graph, feat)
        src_layer, dst_layer = self._projections()
        there = split_heads(src_layer(source), self._num_heads)
        if src_layer is dst_layer and not isinstance(feat, tuple):
            here = there[: graph.num_dst_nodes()]
        else:
            here = split_heads(dst_layer(own), self._num_heads)
        scores = dot_products(graph, there, here) / self._out_feats**0.5
        attention = edge_softmax(graph, scores)
        out = weighted_sum(graph, there, attention)
        return (out, attention) if get_attention else out
