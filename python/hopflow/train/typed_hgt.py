"""Heterogeneous graph transformers on blocks of several types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import hopflow as hf
from hopflow.graphs.block import Block
from hopflow.nn import HGTConv
from hopflow.structure.types import Relation
from hopflow.train.typed_layers import Rows, TypedLayer


@dataclass(frozen=True)
class Merged:
    """A block of several types as one of a single type, with types as numbers.

    Attributes
    ----------
    block : Block
        Destinations of all types, one type after the other, and then the other sources, likewise.
        Its edges are those of the relations, one after the other.
    ntypes : Tensor
        Number of each source's type, int64, shape [U].
    etypes : Tensor
        Number of each edge's relation, int64, shape [E].
    num_dst : dict
        Destinations of each type.
    """

    block: Block
    ntypes: Tensor
    etypes: Tensor
    num_dst: dict[str, int]

    def join(self, rows: Rows) -> Tensor:
        """Rows by type of the sources as those of the block, shape [U, ...]."""
        pairs = [(rows[ntype], count) for ntype, count in self.num_dst.items()]
        return torch.cat([x[:n] for x, n in pairs] + [x[n:] for x, n in pairs])

    def split(self, rows: Tensor) -> Rows:
        """Rows of the block's destinations by type, of those types that have some."""
        parts = torch.split(rows, list(self.num_dst.values()))
        return {ntype: x for ntype, x in zip(self.num_dst, parts) if x.shape[0]}


@torch.no_grad()
def merge_types(block: Block, types: Sequence[str], relations: Sequence[Relation]) -> Merged:
    """Merge some types of a block and the relations between them; O(nodes + edges).

    Parameters
    ----------
    block : Block
        As samplers make them: the first sources of each type are its destinations.
    types : sequence of str
        Node types, in the order of their numbers.
    relations : sequence of tuple
        Relations between these, in the order of their numbers.
    """
    device = block.device
    num_src = {ntype: block.num_src_nodes(ntype) for ntype in types}
    num_dst = {ntype: block.num_dst_nodes(ntype) for ntype in types}
    total_src, total_dst = sum(num_src.values()), sum(num_dst.values())
    first, others = 0, total_dst
    firsts, shifts = {}, {}
    for ntype in types:
        firsts[ntype], shifts[ntype] = first, others - num_dst[ntype]
        first += num_dst[ntype]
        others += num_src[ntype] - num_dst[ntype]
    sources, destinations, counts = [], [], []
    for src, name, dst in relations:
        u, v = block.relation((src, name, dst)).adjacency.coo()
        u, v = u.long(), v.long()
        sources.append(torch.where(u < num_dst[src], u + firsts[src], u + shifts[src]))
        destinations.append(v + firsts[dst])
        counts.append(u.shape[0])
    none = torch.empty(0, dtype=torch.int64, device=device)
    edges = torch.cat([none, *sources]), torch.cat([none, *destinations])

    def numbers(counts: Sequence[int]) -> Tensor:
        every = torch.arange(len(counts), device=device)
        return torch.repeat_interleave(every, torch.tensor(counts, device=device))

    rest = [num_src[ntype] - count for ntype, count in num_dst.items()]
    return Merged(
        hf.create_block(edges, total_src, total_dst),
        torch.cat([numbers(list(num_dst.values())), numbers(rest)]),
        numbers(counts),
        num_dst,
    )


class HGTLayer(TypedLayer):
    """A :class:`hopflow.nn.HGTConv` on blocks of several types, which it merges.

    Attention is over all in-edges of a node, whatever their relations; ``dropout`` is that of what
    it brings. The last layer has a linear layer after it.

    Parameters
    ----------
    heads : int
        Attention heads, of which ``in_feats`` is a multiple.
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        types: Sequence[str],
        relations: Sequence[Relation],
        *,
        heads: int,
        dropout: float,
        is_last: bool,
    ) -> None:
        # No activation: attention is what is not linear.
        super().__init__(types, relations, dropout=0.0, is_activated=False)
        read = (*self.types, *(src for src, _, _ in self.relations))
        self.read = tuple(dict.fromkeys(read))
        self.conv = HGTConv(
            in_feats,
            in_feats // heads,
            heads,
            len(self.read),
            max(len(self.relations), 1),
            dropout=dropout,
            use_norm=True,
        )
        self.out = nn.Linear(in_feats, out_feats) if is_last else nn.Identity()

    def combine(self, block: Block, sources: Rows, own: Rows) -> Rows:
        merged = merge_types(block, self.read, self.relations)
        rows = self.conv(merged.block, merged.join(sources), merged.ntypes, merged.etypes)
        return {ntype: self.out(x) for ntype, x in merged.split(rows).items() if ntype in own}
