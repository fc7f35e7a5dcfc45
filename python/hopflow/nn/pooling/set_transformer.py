"""The set transformer: attention among the nodes of each graph, and pooling by it."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from hopflow.graphs.graph import Graph
from hopflow.nn._attention import split_heads
from hopflow.nn._checks import require_width
from hopflow.nn.pooling._set_attention import attend, uncompiled
from hopflow.nn.pooling._sizes import node_rows


class MultiHeadAttention(nn.Module):
    """Attention of the rows of sets to the rows of as many other sets, and a feed-forward network.

    Both add to their input and are followed by a layer norm. A row whose set has nothing to attend
    to gets 0 from it.

    Parameters
    ----------
    d_model : int
        Width of the rows.
    num_heads, d_head : int
        Heads, and the width of each.
    d_ff : int
        Hidden width of the feed-forward network.
    dropouth, dropouta : float
        Probability of dropout, in training: of what attention adds and within the network, and of
        attention weights. (DGL 2.1 makes both but uses the one within the network alone.)
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_head: int,
        d_ff: int,
        dropouth: float = 0.0,
        dropouta: float = 0.0,
    ) -> None:
        super().__init__()
        self.d_model, self.num_heads, self.d_head, self.d_ff = d_model, num_heads, d_head, d_ff
        self.proj_q = nn.Linear(d_model, num_heads * d_head, bias=False)
        self.proj_k = nn.Linear(d_model, num_heads * d_head, bias=False)
        self.proj_v = nn.Linear(d_model, num_heads * d_head, bias=False)
        self.proj_o = nn.Linear(num_heads * d_head, d_model, bias=False)
        self.ffn = feed_forward(d_model, d_ff, dropouth)
        self.droph = nn.Dropout(dropouth)
        self.dropa = nn.Dropout(dropouta)
        self.norm_in = nn.LayerNorm(d_model)
        self.norm_inter = nn.LayerNorm(d_model)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights, by Glorot's uniform rule; biases and norms stay."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor, mem: Tensor, lengths_x: Tensor, lengths_mem: Tensor) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        x, mem : Tensor
            Rows of the sets that attend, shape [R, d_model], and of those attended to.
        lengths_x, lengths_mem : Tensor
            Sizes of both, int64, shape [B] each.

        Returns
        -------
        Tensor
            Shape [R, d_model].
        """
        queries, keys, values = (
            split_heads(layer(rows), self.num_heads)
            for layer, rows in ((self.proj_q, x), (self.proj_k, mem), (self.proj_v, mem))
        )
        # Which products there are depends on the sizes: a compiler would make them anew for each.
        out = uncompiled(attend)(queries, keys, values, lengths_x, lengths_mem, self.dropa)
        x = self.norm_in(x + self.droph(self.proj_o(out.flatten(1))))
        return self.norm_inter(x + self.ffn(x))  # type: ignore[no-any-return]


def feed_forward(d_model: int, d_ff: int, dropout: float) -> nn.Sequential:
    """Two linear layers with a ReLU and dropout between them."""
    return nn.Sequential(
        nn.Linear(d_model, d_ff), nn.ReLU(), nn.Dropout(dropout), nn.Linear(d_ff, d_model)
    )


class SetAttentionBlock(nn.Module):
    """Attention of the rows of each set to one another.

    Parameters
    ----------
    mha : MultiHeadAttention
        The attention.
    """

    def __init__(self, mha: MultiHeadAttention) -> None:
        super().__init__()
        self.mha = mha

    def forward(self, feat: Tensor, lengths: Tensor) -> Tensor:
        """Shape [R, d_model], as of ``feat``."""
        return self.mha(feat, feat, lengths, lengths)  # type: ignore[no-any-return]


class InducedSetAttentionBlock(nn.Module):
    """Attention of the rows of each set to ``m`` learned points, which have attended to them first.

    Work and memory grow with m times the size of a set rather than with its square. With ``m = 1``
    there is one row to attend to: the second attention's queries and keys do not matter.

    Parameters
    ----------
    m : int
        Number of points.
    *mha : MultiHeadAttention
        Two: of the points to the rows, and of the rows to the points.
    """

    def __init__(self, m: int, *mha: MultiHeadAttention) -> None:
        super().__init__()
        d_model = mha[0].d_model
        self.m, self.d_model = m, d_model
        self.inducing_points = nn.Parameter(torch.empty(m, d_model))
        self.mha = nn.ModuleList(mha)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new points."""
        nn.init.xavier_uniform_(self.inducing_points)

    def forward(self, feat: Tensor, lengths: Tensor) -> Tensor:
        """Shape [R, d_model], as of ``feat``."""
        points = self.inducing_points.repeat(lengths.shape[0], 1)
        each = torch.full_like(lengths, self.m)
        memory = self.mha[0](points, feat, each, lengths)
        return self.mha[1](feat, memory, lengths, each)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"m={self.m}, d_model={self.d_model}"


class PMALayer(nn.Module):
    """Attention of ``k`` learned seeds to the rows of each set, which makes k rows of it.

    Parameters
    ----------
    k : int
        Number of seeds.
    mha : MultiHeadAttention
        The attention.
    """

    def __init__(self, k: int, mha: MultiHeadAttention) -> None:
        super().__init__()
        d_model = mha.d_model
        self.k, self.d_model = k, d_model
        self.seed_vectors = nn.Parameter(torch.empty(k, d_model))
        self.mha, self.ffn = mha, feed_forward(d_model, mha.d_ff, mha.droph.p)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new seeds."""
        nn.init.xavier_uniform_(self.seed_vectors)

    def forward(self, feat: Tensor, lengths: Tensor) -> Tensor:
        """Shape [B * k, d_model]."""
        seeds = self.seed_vectors.repeat(lengths.shape[0], 1)
        each = torch.full_like(lengths, self.k)
        return self.mha(seeds, self.ffn(feat), each, lengths)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"k={self.k}, d_model={self.d_model}"


class SetTransformerEncoder(nn.Module):
    """Attention among the nodes of each graph: no pooling, but what comes before it.

    Memory grows with the sum of the squares of the graphs' nodes, or, with ``block_type="isab"``,
    with ``m`` times their number.

    Parameters
    ----------
    d_model : int
        Width of the features.
    n_heads, d_head : int
        Heads, and the width of each.
    d_ff : int
        Hidden width of the feed-forward networks.
    n_layers : int
        Number of blocks.
    block_type : {"sab", "isab"}
        Whether nodes attend to one another, or to ``m`` learned points.
    m : int, optional
        Number of points, for "isab".
    dropouth, dropouta : float
        As of :class:`MultiHeadAttention`.

    Raises
    ------
    KeyError
        An unknown block, or "isab" without ``m`` (DGL's choice of exception).

    References
    ----------
    Lee et al., "Set transformer: a framework for attention-based permutation-invariant neural
    networks", ICML 2019;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.glob.SetTransformerEncoder.html
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_head: int,
        d_ff: int,
        n_layers: int = 1,
        block_type: str = "sab",
        m: int | None = None,
        dropouth: float = 0.0,
        dropouta: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_layers, self.block_type, self.m = n_layers, block_type, m
        if block_type not in ("sab", "isab"):
            raise KeyError(f"block_type: expected 'sab' or 'isab', got {block_type!r}")
        if block_type == "isab" and m is None:
            raise KeyError("m: expected a number of points for block_type 'isab', got None")
        self.d_model = d_model
        attention = partial(MultiHeadAttention, d_model, n_heads, d_head, d_ff, dropouth, dropouta)
        self.layers = nn.ModuleList(
            SetAttentionBlock(attention())
            if m is None or block_type == "sab"
            else InducedSetAttentionBlock(m, attention(), attention())
            for _ in range(n_layers)
        )

    def forward(self, graph: Graph, feat: Tensor) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph
            A batch of graphs, or one, of one node type.
        feat : Tensor
            Node features, shape [N, d_model].

        Returns
        -------
        Tensor
            Shape [N, d_model].

        Raises
        ------
        ValueError, TypeError
            Features of another shape, or a graph of several node types.
        """
        sizes = node_rows(graph, feat)
        require_width("feat", feat, self.d_model)
        for layer in self.layers:
            feat = layer(feat, sizes)
        return feat


class SetTransformerDecoder(nn.Module):
    """Pooling by attention: ``k`` learned seeds attend to the nodes of each graph, then each other.

    Parameters
    ----------
    d_model : int
        Width of the features.
    num_heads, d_head : int
        Heads, and the width of each.
    d_ff : int
        Hidden width of the feed-forward networks.
    n_layers : int
        Number of blocks after pooling.
    k : int
        Number of seeds.
    dropouth, dropouta : float
        As of :class:`MultiHeadAttention`.

    References
    ----------
    Lee et al., "Set transformer: a framework for attention-based permutation-invariant neural
    networks", ICML 2019;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.glob.SetTransformerDecoder.html
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_head: int,
        d_ff: int,
        n_layers: int,
        k: int,
        dropouth: float = 0.0,
        dropouta: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_layers, self.k, self.d_model = n_layers, k, d_model
        attention = partial(
            MultiHeadAttention, d_model, num_heads, d_head, d_ff, dropouth, dropouta
        )
        self.pma = PMALayer(k, attention())
        self.layers = nn.ModuleList(SetAttentionBlock(attention()) for _ in range(n_layers))

    def forward(self, graph: Graph, feat: Tensor) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph
            A batch of graphs, or one, of one node type.
        feat : Tensor
            Node features, shape [N, d_model].

        Returns
        -------
        Tensor
            Shape [B, k * d_model].

        Raises
        ------
        ValueError, TypeError
            Features of another shape, or a graph of several node types.
        """
        sizes = node_rows(graph, feat)
        require_width("feat", feat, self.d_model)
        feat = self.pma(feat, sizes)
        for layer in self.layers:
            feat = layer(feat, torch.full_like(sizes, self.k))
        return feat.view(sizes.shape[0], self.k * self.d_model)
