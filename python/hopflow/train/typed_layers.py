"""Layers on blocks of several types: rows by node type in, rows by node type out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from hopflow.graphs.block import Block
from hopflow.nn import GraphConv, SAGEConv, TypedLinear
from hopflow.structure.types import Relation

Rows = dict[str, Tensor]


class TypedLayer(nn.Module):
    """A layer of a model on blocks of several types; a subclass computes :meth:`combine`.

    Modules are kept in lists, in the order of ``types`` and ``relations``: names of types may be
    any text, those of modules may not.

    Parameters
    ----------
    types : sequence of str
        Node types that it computes rows for.
    relations : sequence of tuple
        Relations that lead to these, along which it reads.
    dropout : float
        Rate of dropout on the rows that come in.
    is_activated : bool
        Whether ReLU is applied to what it computes.
    """

    def __init__(
        self,
        types: Sequence[str],
        relations: Sequence[Relation],
        *,
        dropout: float,
        is_activated: bool,
    ) -> None:
        super().__init__()
        self.types, self.relations = tuple(types), tuple(relations)
        self.dropout = nn.Dropout(dropout)
        self.is_activated = is_activated

    def forward(self, block: Block, x: Mapping[str, Tensor]) -> Rows:
        """Rows of the block's destinations from those of its sources.

        Types without destinations on this block cost nothing and are left out.
        """
        sources = {ntype: self.dropout(rows) for ntype, rows in x.items()}
        like = next(iter(sources.values()))
        for ntype in dict.fromkeys((*self.types, *(src for src, _, _ in self.relations))):
            if block.num_src_nodes(ntype) == 0:  # left out by the layer before
                sources.setdefault(ntype, like.new_zeros(0, like.shape[1]))
        counts = {ntype: block.num_dst_nodes(ntype) for ntype in self.types}
        own = {ntype: sources[ntype][:count] for ntype, count in counts.items() if count}
        out = self.combine(block, sources, own)
        if not self.is_activated:
            return out
        return {ntype: functional.relu(rows) for ntype, rows in out.items()}

    def combine(self, block: Block, sources: Rows, own: Rows) -> Rows:
        """Rows before the activation, of the types in ``own``, which are the destinations' rows."""
        raise NotImplementedError(f"{type(self).__name__} does not implement combine")

    def used(
        self, block: Block, sources: Rows, own: Rows
    ) -> Iterator[tuple[int, Block, tuple[Tensor, Tensor]]]:
        """Number, edges and rows of both ends of each relation that leads to a row wanted."""
        for number, relation in enumerate(self.relations):
            src, _, dst = relation
            if dst in own:
                yield number, block.relation(relation), (sources[src], own[dst])


class SAGELayer(TypedLayer):
    """A :class:`hopflow.nn.SAGEConv` for each relation; their mean at each type of destinations.

    What :class:`hopflow.nn.HeteroGraphConv` of such layers with ``aggregate="mean"`` computes. A
    type that no relation leads to has a linear layer instead.
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        types: Sequence[str],
        relations: Sequence[Relation],
        *,
        dropout: float,
        is_last: bool,
    ) -> None:
        super().__init__(types, relations, dropout=dropout, is_activated=not is_last)
        self.convs = nn.ModuleList(SAGEConv(in_feats, out_feats, "mean") for _ in self.relations)
        reached = {dst for _, _, dst in self.relations}
        self.unreached = tuple(ntype for ntype in self.types if ntype not in reached)
        self.alone = nn.ModuleList(nn.Linear(in_feats, out_feats) for _ in self.unreached)

    def combine(self, block: Block, sources: Rows, own: Rows) -> Rows:
        found: dict[str, list[Tensor]] = {}
        for number, one, rows in self.used(block, sources, own):
            found.setdefault(self.relations[number][2], []).append(self.convs[number](one, rows))
        out = {ntype: _sum(rows) / len(rows) for ntype, rows in found.items()}
        for ntype, linear in zip(self.unreached, self.alone):
            if ntype in own:
                out[ntype] = linear(own[ntype])
        return out


class RGCNLayer(TypedLayer):
    r"""Relational graph convolution: a sum of means, each by its relation's matrix.

    .. math::
        h_v' = W_{t(v)} h_v + b_{t(v)} + \sum_r W_r \, mean(\{h_u : u \to v \text{ by } r\})

    Parameters
    ----------
    bases : int, optional
        :math:`W_r` are mixtures of so many matrices; by default each is its own.

    References
    ----------
    Schlichtkrull et al., "Modeling relational data with graph convolutional networks", ESWC 2018.
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        types: Sequence[str],
        relations: Sequence[Relation],
        *,
        bases: int | None,
        dropout: float,
        is_last: bool,
    ) -> None:
        super().__init__(types, relations, dropout=dropout, is_activated=not is_last)
        regularizer = None if bases is None else "basis"
        self.weights = TypedLinear(in_feats, out_feats, len(relations), regularizer, bases)
        self.conv = GraphConv(
            in_feats, out_feats, "right", weight=False, bias=False, allow_zero_in_degree=True
        )
        self.own = nn.ModuleList(nn.Linear(in_feats, out_feats) for _ in self.types)

    def combine(self, block: Block, sources: Rows, own: Rows) -> Rows:
        linears = dict(zip(self.types, cast("Sequence[nn.Module]", self.own)))
        out = {ntype: [linears[ntype](rows)] for ntype, rows in own.items()}
        weights = self.weights.get_weight()
        for number, one, rows in self.used(block, sources, own):
            brought = self.conv(one, rows, weight=weights[number])
            out[self.relations[number][2]].append(brought)
        return {ntype: _sum(rows) for ntype, rows in out.items()}


def _sum(rows: list[Tensor]) -> Tensor:
    total = rows[0]
    for more in rows[1:]:
        total = total + more
    return total
