"""Relations as translations."""

from __future__ import annotations

from torch import Tensor, linalg, nn

from hopflow.nn._checks import require_width
from hopflow.nn.link._checks import require_pairs, require_relations


class TransE(nn.Module):
    r"""Score of a triple of head, relation and tail: :math:`-\| h + r - t \|_p`.

    Parameters have the names, shapes and initialisation of DGL's module.

    Parameters
    ----------
    num_rels : int
        Number of relations.
    feats : int
        Width of the embeddings.
    p : float
        Of the norm, usually 1 or 2.

    References
    ----------
    Bordes, Usunier, García-Durán, Weston, Yakhnenko, "Translating embeddings for modeling
    multi-relational data", NeurIPS 2013;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.link.TransE.html
    """

    def __init__(self, num_rels: int, feats: int, p: float = 1) -> None:
        super().__init__()
        self.rel_emb = nn.Embedding(num_rels, feats)
        self.p = p

    def reset_parameters(self) -> None:
        """Draw new embeddings of the relations, as ``nn.Embedding`` does."""
        self.rel_emb.reset_parameters()

    def forward(self, h_head: Tensor, h_tail: Tensor, rels: Tensor) -> Tensor:
        """Score triples.

        Parameters
        ----------
        h_head, h_tail : Tensor
            Embeddings of both ends, shape [E, feats].
        rels : Tensor
            Relation of each triple, integers of shape [E].

        Returns
        -------
        Tensor
            Shape [E], at most 0.

        Raises
        ------
        IndexError
            A relation that is not there.
        ValueError
            Operands whose shapes do not go together.
        """
        require_pairs("h_head", h_head, "h_tail", h_tail)
        require_width("h_head, h_tail", h_head, self.rel_emb.embedding_dim)
        require_relations(rels, h_head.shape[0])
        distance: Tensor = linalg.vector_norm(h_head + self.rel_emb(rels) - h_tail, self.p, dim=-1)
        return -distance

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of it."""
        return f"p={self.p}"
