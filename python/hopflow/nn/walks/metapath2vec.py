"""metapath2vec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

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
from hopflow.sampling.random_walks import metapath_of
from hopflow.sampling.weighted_nodes import WeightedNodes
from hopflow.structure.graph_base import require_graph


class MetaPath2Vec(SkipGram):
    """Embeddings of nodes of several types, from walks along a metapath.

    For nodes ``u`` and ``v`` of one walk, at most ``window_size`` steps apart, the loss is

        -log sigmoid(n_u · c_v) - Σ log sigmoid(-n_u · c_w)

    averaged over such pairs, with ``n`` the node embeddings, ``c`` those of contexts, a sum over
    ``negative_size`` random nodes ``w``, and products kept within [-10, 10].

    Parameters
    ----------
    g : Graph
        A graph.
    metapath : sequence of str or tuple
        The edge type of each step.
    window_size : int
        The most steps between the nodes of a pair.
    emb_dim : int
        Width of the embeddings.
    negative_size : int
        Negative nodes for each pair.
    sparse : bool
        Whether gradients of the embeddings are sparse.

    Attributes
    ----------
    node_embed, context_embed : torch.nn.Embedding
        Embeddings of all nodes, type by type in the order of ``g.ntypes``; the first are the
        result.
    local_to_global_nid : dict of list of int
        Row of each node of each type.
    neg_prob : Tensor
        Probability of each node as a negative one: by the number of walks it was on, of one from
        each node of the first type, to the power of 3/4.

    Raises
    ------
    ValueError
        A metapath that is none, or shorter than the window; no width or window, or fewer negatives
        than none.

    References
    ----------
    Dong, Chawla, Swami, "metapath2vec: scalable representation learning for heterogeneous
    networks", KDD 2017;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.network_emb.MetaPath2Vec.html
    """

    def __init__(
        self,
        g: Graph,
        metapath: Sequence[Any],
        window_size: int,
        emb_dim: int = 128,
        negative_size: int = 5,
        sparse: bool = True,
    ) -> None:
        g = require_graph(g)
        require_sizes(emb_dim, window_size, negative_size)
        path = metapath_of(g, metapath)
        if not path:
            raise ValueError("metapath: expected at least one edge type, got none")
        if len(path) + 1 < window_size:
            raise ValueError(
                f"window_size: expected at most {len(path) + 1}, the nodes on the metapath, got"
                f" {window_size}"
            )
        super().__init__(g, emb_dim, sparse)
        self.hg, self.metapath = g, list(metapath)
        self.window_size, self.negative_size = window_size, negative_size
        self.node_metapath = [path[0][0], *(relation[2] for relation in path)]
        counts = [g.num_nodes(ntype) for ntype in g.ntypes]
        starts = {t: sum(counts[:i]) for i, t in enumerate(g.ntypes)}
        self.local_to_global_nid = {
            t: list(range(starts[t], starts[t] + n)) for t, n in zip(g.ntypes, counts)
        }
        self._offsets = torch.tensor([starts[t] for t in self.node_metapath])
        self._src, self._dst = window_pairs(len(path) + 1, window_size)
        # A node counts once for each walk that it is on, as in DGL.
        walks = self._walk(torch.arange(g.num_nodes(self.node_metapath[0]))).sort(1).values
        is_new = walks >= 0
        is_new[:, 1:] &= walks[:, 1:] != walks[:, :-1]
        seen = torch.bincount(walks[is_new], minlength=g.num_nodes()).float().pow(0.75)
        self.neg_prob = seen / seen.sum()
        self._negatives = WeightedNodes(seen) if walks.numel() else None

    def _walk(self, nodes: Any) -> Tensor:
        """Walks as rows of the tables, int64, on the CPU; -1 from where one ended."""
        traces = random_walk(self.hg, nodes, metapath=self.metapath)[0].long().cpu()
        return torch.where(traces >= 0, traces + self._offsets, -1)

    def sample(self, indices: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Pairs from walks, and negative nodes for each, as a ``collate_fn``.

        Parameters
        ----------
        indices : Tensor, numpy array or sequence of int
            Nodes of the type where the metapath begins.

        Returns
        -------
        pos_u, pos_v : Tensor
            The middle and the other node of each pair, rows of the tables, int64, shape [pairs].
            Places beyond the end of a walk are in no pair.
        neg_v : Tensor
            Negative nodes, shape [pairs, negative_size].

        Raises
        ------
        ValueError
            The graph has gained or lost nodes since the model was made.
        """
        self._require_its_nodes(self.hg)
        walks = self._walk(as_batch(indices))
        u, v = walks[:, self._dst].reshape(-1), walks[:, self._src].reshape(-1)
        is_pair = (u >= 0) & (v >= 0)
        u, v = u[is_pair], v[is_pair]
        count = u.shape[0] * self.negative_size
        drawn = u.new_empty(0) if self._negatives is None else self._negatives.draw(count)
        return u, v, drawn.view(u.shape[0], self.negative_size)

    def forward(self, pos_u: Tensor, pos_v: Tensor, neg_v: Tensor) -> Tensor:
        """The loss of what :meth:`sample` gives; a scalar, 0 without any pair."""
        u = self.node_embed(pos_u)
        positive = log_loss(scores(u, self.context_embed(pos_v), 10))
        negative = log_loss(-scores(u.unsqueeze(1), self.context_embed(neg_v), 10)).sum(1)
        return mean_or_zero(positive + negative)
