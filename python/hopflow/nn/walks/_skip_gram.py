"""What models over walks share: two tables of embeddings and the loss of skip-gram."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import hopflow.ops as ops
from hopflow.graphs.graph import Graph


class SkipGram(nn.Module):
    """An embedding of each node, and one of each as what stands near to others.

    Parameters
    ----------
    graph : Graph
        Whose nodes have a row each, type by type.
    emb_dim : int
        Width of both tables.
    sparse : bool
        Whether their gradients are sparse.
    """

    def __init__(self, graph: Graph, emb_dim: int, sparse: bool) -> None:
        super().__init__()
        self.emb_dim = emb_dim
        self._counts = {ntype: graph.num_nodes(ntype) for ntype in graph.ntypes}
        num_nodes = graph.num_nodes()
        self.node_embed = nn.Embedding(num_nodes, emb_dim, sparse=sparse)
        self.context_embed = nn.Embedding(num_nodes, emb_dim, sparse=sparse)
        self.reset_parameters()

    def _require_its_nodes(self, graph: Graph) -> None:
        """Raise a ValueError if the graph has gained or lost nodes since the tables were made."""
        for ntype, count in self._counts.items():
            if graph.num_nodes(ntype) != count:
                raise ValueError(
                    f"g: expected the {count} nodes of type {ntype!r} that the model has embeddings"
                    f" of, got {graph.num_nodes(ntype)}: the graph has changed since the model was"
                    " made; make another of it"
                )

    def reset_parameters(self) -> None:
        """Draw node embeddings from [-1 / emb_dim, 1 / emb_dim]; those of contexts become 0."""
        bound = 1.0 / self.emb_dim
        nn.init.uniform_(self.node_embed.weight, -bound, bound)
        nn.init.zeros_(self.context_embed.weight)


def scores(u: Tensor, v: Tensor, limit: float) -> Tensor:
    """Dot products of rows, kept within [-limit, limit]: ``u`` [P, D] or [P, 1, D] by ``v``."""
    return (u * v).sum(-1).clamp(-limit, limit)


def log_loss(x: Tensor) -> Tensor:
    """``-log(sigmoid(x))``."""
    return -F.logsigmoid(x)


def require_sizes(emb_dim: int, window_size: int, negative_size: int) -> None:
    """Raise unless there is something to learn: a width, pairs of nodes, and negatives or none.

    Raises
    ------
    TypeError
        Not an int.
    ValueError
        A width or a window below 1, or fewer negatives than none.
    """
    for name, value, least in (
        ("emb_dim", emb_dim, 1),
        ("window_size", window_size, 1),
        ("negative_size", negative_size, 0),
    ):
        if ops.as_int(name, value) < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")


def mean_or_zero(x: Tensor) -> Tensor:
    """The mean; of nothing 0, with a gradient of 0."""
    return x.mean() if x.numel() else x.sum()


def window_pairs(num_columns: int, window_size: int) -> tuple[Tensor, Tensor]:
    """Pairs of different columns at most ``window_size`` apart: (the other's, the middle's).

    By rising middle, then by rising other; int64, on the CPU.
    """
    middle = torch.arange(num_columns).unsqueeze(1)
    other = middle + torch.arange(-window_size, window_size + 1)
    is_pair = (other >= 0) & (other < num_columns) & (other != middle)
    return other[is_pair], middle.expand_as(other)[is_pair]


def as_batch(indices: Any) -> Any:
    """A batch as torch's loaders hand it to a ``collate_fn``: a list of tensors, or ids."""
    if isinstance(indices, (list, tuple)) and indices and isinstance(indices[0], Tensor):
        return torch.stack(list(indices))
    return indices
