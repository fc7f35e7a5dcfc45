"""The attention by scaled dot products."""

from __future__ import annotations

from torch import Tensor, nn

from hopflow.graphs.graph import Graph
from hopflow.nn._attention import as_sizes, dot_products, split_heads, weighted_sum
from hopflow.nn._checks import ChecksInDegrees, require_in_degrees
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn.functional import edge_softmax


class DotGatConv(ChecksInDegrees):
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
        src_feats, dst_feats = as_sizes(in_feats)
        self._num_heads, self._out_feats = num_heads, out_feats
        self._allow_zero_in_degree = allow_zero_in_degree
        width = out_feats * num_heads
        if isinstance(in_feats, tuple):
            self.fc_src = nn.Linear(src_feats, width, bias=False)
            self.fc_dst = nn.Linear(dst_feats, width, bias=False)
        else:
            self.fc = nn.Linear(src_feats, width, bias=False)

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
        require_in_degrees(graph, self._allow_zero_in_degree)
        source, own = as_pair(graph, feat)
        is_shared = hasattr(self, "fc")
        there = split_heads((self.fc if is_shared else self.fc_src)(source), self._num_heads)
        if is_shared and not isinstance(feat, tuple):
            here = there[: graph.num_dst_nodes()]
        else:
            here = split_heads((self.fc if is_shared else self.fc_dst)(own), self._num_heads)
        scores = dot_products(graph, there, here) / self._out_feats**0.5
        attention = edge_softmax(graph, scores)
        out = weighted_sum(graph, there, attention)
        return (out, attention) if get_attention else out
