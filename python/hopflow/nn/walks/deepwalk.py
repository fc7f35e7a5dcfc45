"""DeepWalk."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.nn.walks._skip_gram import (
    SkipGram,
    as_batch,
    log_loss,
    mean_or_zero,
    require_sizes,
    scores,
    window_pairs,
)
from hopflow.sampling import random_walk
from hopflow.sampling.negatives import random_numbers
from hopflow.sampling.weighted_nodes import WeightedNodes
from hopflow.structure.graph_base import require_graph


class DeepWalk(SkipGram):
    """Embeddings under which nodes are alike that stand near to each other on random walks.

    For nodes ``u`` and ``v`` of one walk, at most ``window_size`` steps apart, the loss is

        -log sigmoid(n_u · c_v) - neg_weight · Σ log sigmoid(-n_v · c_w)

    averaged over such pairs, with ``n`` the node embeddings, ``c`` those of contexts, a sum over
    ``negative_size`` random nodes ``w``, and products kept within [-6, 6].

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type.
    emb_dim : int
        Width of the embeddings.
    walk_length : int
        Nodes of a walk, its first included.
    window_size : int
        The most steps between the nodes of a pair.
    neg_weight : float
        Weight of the negative pairs.
    negative_size : int
        Negative nodes for each pair.
    fast_neg : bool
        Whether negative nodes are places of the batch's walks, each as likely, or else nodes of the
        graph, by their out-degree to the power of 3/4.
    sparse : bool
        Whether gradients of the embeddings are sparse.

    Attributes
    ----------
    node_embed, context_embed : torch.nn.Embedding
        The embeddings; the first are the result.

    Raises
    ------
    ValueError
        Several types, or walks too short for a window; no width or window, or fewer negatives than
        none; no edges with ``fast_neg=False``.

    References
    ----------
    Perozzi, Al-Rfou, Skiena, "DeepWalk: online learning of social representations", KDD 2014;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.network_emb.DeepWalk.html
    """

    def __init__(
        self,
        g: Graph,
        emb_dim: int = 128,
        walk_length: int = 40,
        window_size: int = 5,
        neg_weight: float = 1,
        negative_size: int = 5,
        fast_neg: bool = True,
        sparse: bool = True,
    ) -> None:
        g = require_graph(g, one_type=True)
        require_sizes(emb_dim, window_size, negative_size)
        if ops.as_int("walk_length", walk_length) < window_size + 1:
            raise ValueError(
                f"walk_length: expected at least window_size + 1 = {window_size + 1}, got"
                f" {walk_length}"
            )
        super().__init__(g, emb_dim, sparse)
        self.g = g
        self.walk_length, self.window_size = walk_length, window_size
        self.neg_weight, self.negative_size = neg_weight, negative_size
        self.fast_neg = fast_neg
        if not fast_neg:
            if not g.num_edges():
                raise ValueError(
                    "g: expected edges, as fast_neg=False draws nodes by their out-degree, got"
                    " none; fast_neg=True draws them from the walks"
                )
            weights = torch.as_tensor(g.out_degrees()).float().pow(0.75)
            self._negatives = WeightedNodes(weights)
            self.neg_prob = weights / weights.sum()
        self.idx_list_src, self.idx_list_dst = window_pairs(walk_length, window_size)

    def sample(self, indices: Any) -> Tensor:
        """Walk from some nodes, as a ``collate_fn``.

        Parameters
        ----------
        indices : Tensor, numpy array or sequence of int
            Nodes.

        Returns
        -------
        Tensor
            Shape [nodes, walk_length], dtype ``g.idtype``; -1 from where a walk ended.

        Raises
        ------
        ValueError
            The graph has gained or lost nodes since the model was made.
        """
        self._require_its_nodes(self.g)
        traces: Tensor = random_walk(self.g, as_batch(indices), length=self.walk_length - 1)[0]
        return traces

    def forward(self, batch_walk: Tensor) -> Tensor:
        """The loss of a batch of walks.

        Parameters
        ----------
        batch_walk : Tensor
            As :meth:`sample` gives it, on the device of the embeddings. Pairs beyond the end of a
            walk do not count.

        Returns
        -------
        Tensor
            A scalar; 0 without any pair.
        """
        if batch_walk.dim() != 2 or batch_walk.shape[1] != self.walk_length:
            raise ValueError(
                f"batch_walk: expected shape [walks, {self.walk_length}], got"
                f" {list(batch_walk.shape)}"
            )
        device = batch_walk.device
        is_there = batch_walk >= 0
        places = torch.full(batch_walk.shape, -1, dtype=torch.int64, device=device)
        places[is_there] = torch.arange(int(is_there.sum()), device=device)
        nodes = batch_walk[is_there]
        node, context = self.node_embed(nodes), self.context_embed(nodes)
        src = places[:, self.idx_list_src.to(device)].reshape(-1)
        dst = places[:, self.idx_list_dst.to(device)].reshape(-1)
        is_pair = (src >= 0) & (dst >= 0)
        src, dst = src[is_pair], dst[is_pair]
        positive = mean_or_zero(log_loss(scores(node[src], context[dst], 6)))
        shape = dst.shape[0], self.negative_size
        if self.fast_neg:
            drawn = random_numbers(shape[0] * shape[1], max(1, nodes.shape[0])).to(device)
            others = context[drawn]
        else:
            others = self.context_embed(self._negatives.draw(shape[0] * shape[1]).to(device))
        others = others.view(*shape, self.emb_dim)
        negative = mean_or_zero(log_loss(-scores(node[dst].unsqueeze(1), others, 6)))
        return positive + negative * self.negative_size * self.neg_weight
