"""Relations as translations in a space of their own."""

from __future__ import annotations

from torch import Tensor, linalg, nn

from hopflow.nn._checks import is_plain, require_width
from hopflow.nn.hetero._by_type import autocast, group, require_types
from hopflow.nn.link._checks import require_pairs, require_relations
from hopflow.ops.segment_mm import segment_mm


class TransR(nn.Module):
    r"""Score of a triple of head, relation and tail: :math:`-\| M_r^T h + r - M_r^T t \|_p`.

    The difference of the ends is multiplied once, and the triples of a relation together: no copy
    of its matrix is made for each of them. Parameters have the names, shapes and initialisation of
    DGL's module.

    Parameters
    ----------
    num_rels : int
        Number of relations.
    rfeats, nfeats : int
        Widths of the relations' and the nodes' embeddings.
    p : float
        Of the norm, usually 1 or 2.

    References
    ----------
    Lin, Liu, Sun, Liu, Zhu, "Learning entity and relation embeddings for knowledge graph
    completion", AAAI 2015; https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.link.TransR.html
    """

    def __init__(self, num_rels: int, rfeats: int, nfeats: int, p: float = 1) -> None:
        super().__init__()
        self.rel_emb = nn.Embedding(num_rels, rfeats)
        self.rel_project = nn.Embedding(num_rels, nfeats * rfeats)
        self.rfeats, self.nfeats, self.p = rfeats, nfeats, p

    def reset_parameters(self) -> None:
        """Draw new embeddings and matrices of the relations, as ``nn.Embedding`` does."""
        self.rel_emb.reset_parameters()
        self.rel_project.reset_parameters()

    def forward(self, h_head: Tensor, h_tail: Tensor, rels: Tensor) -> Tensor:
        """Score triples.

        Parameters
        ----------
        h_head, h_tail : Tensor
            Embeddings of both ends, shape [E, nfeats].
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
        require_width("h_head, h_tail", h_head, self.nfeats)
        require_relations(rels, h_head.shape[0])
        difference = h_head - h_tail
        if is_plain(self.rel_project, nn.Embedding):
            matrices = self.rel_project.weight.view(-1, self.nfeats, self.rfeats)
            types = require_types("rels", rels, rels.shape[0], matrices.shape[0], difference)
            _, order, indptr = group(types, matrices.shape[0])
            moved = segment_mm(indptr, *autocast(difference, matrices), rows=order)
        else:
            matrices = self.rel_project(rels).view(-1, self.nfeats, self.rfeats)
            moved = (difference.unsqueeze(1) @ matrices).squeeze(1)
        distance: Tensor = linalg.vector_norm(moved + self.rel_emb(rels), self.p, dim=-1)
        return -distance

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of it."""
        return f"rfeats={self.rfeats}, nfeats={self.nfeats}, p={self.p}"
