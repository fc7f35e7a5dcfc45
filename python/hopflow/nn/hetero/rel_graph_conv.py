"""The relational graph convolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.nn._checks import is_compiling, is_plain, require_edge_numbers, require_width
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn.hetero._by_type import (
    InEdges,
    in_edges_by_type,
    out_edges_by_type,
    require_types,
    sum_pairs,
)
from hopflow.nn.hetero.typed_linear import TypedLinear


class RelGraphConv(nn.Module):
    r"""R-GCN: a sum over in-edges with a matrix for each relation, and one for the node itself.

    .. math::
        h_v' = \sigma\Big(\sum_r \sum_{u \to v \text{ by } r} c_{uv} W_r h_u + W_0 h_v + b\Big)

    The graph has its relations as numbers on its edges. Nothing of the size E x in x out is
    written, and mostly nothing of E x in: the in-edges of a destination that are of one relation
    are added up before their matrix is applied, or, where that is less work, what a source sends
    by a relation is computed once for all its edges. Both are deterministic and equal but for
    rounding.

    Parameters have the names, shapes and initialisation of DGL's layer, so a ``state_dict`` moves
    either way.

    Parameters
    ----------
    in_feat, out_feat : int
        Widths of the features before and after.
    num_rels : int
        Number of relations R.
    regularizer : {None, "basis", "bdd"}
        What the relations' matrices share; see :class:`TypedLinear`.
    num_bases : int, optional
        For a regularizer; R by default.
    bias : bool
        Learn a bias.
    activation : callable, optional
        Applied to the sum.
    self_loop : bool
        Whether a node's own features count, by a matrix of their own.
    dropout : float
        Dropout rate of the output.
    layer_norm : bool
        Normalise the relations' sum, before the bias and the node's own features are added.

    Raises
    ------
    ValueError
        As :class:`TypedLinear`.

    References
    ----------
    Schlichtkrull et al., "Modeling relational data with graph convolutional networks", ESWC 2018;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.RelGraphConv.html
    """

    def __init__(
        self,
        in_feat: int,
        out_feat: int,
        num_rels: int,
        regularizer: str | None = None,
        num_bases: int | None = None,
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] | None = None,
        self_loop: bool = True,
        dropout: float = 0.0,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        if regularizer is not None and num_bases is None:
            num_bases = num_rels
        self.in_feat, self.out_feat, self.num_rels = in_feat, out_feat, num_rels
        self.linear_r = TypedLinear(in_feat, out_feat, num_rels, regularizer, num_bases)
        self.bias, self.self_loop, self.layer_norm = bias, self_loop, layer_norm
        self.activation = activation
        if bias:
            self.h_bias = nn.Parameter(torch.zeros(out_feat))
        if layer_norm:
            self.layer_norm_weight = nn.LayerNorm(out_feat, elementwise_affine=True)
        if self_loop:
            self.loop_weight = nn.Parameter(torch.empty(in_feat, out_feat))
            self._reset_loop()
        self.dropout = nn.Dropout(dropout)

    def _reset_loop(self) -> None:
        nn.init.xavier_uniform_(self.loop_weight, gain=nn.init.calculate_gain("relu"))

    def reset_parameters(self) -> None:
        """Draw new parameters: the relations' as :class:`TypedLinear`, the node's own by Glorot."""
        self.linear_r.reset_parameters()
        if self.bias:
            nn.init.zeros_(self.h_bias)
        if self.layer_norm:
            self.layer_norm_weight.reset_parameters()
        if self.self_loop:
            self._reset_loop()

    def forward(
        self,
        g: Graph,
        feat: Features,
        etypes: Tensor | Sequence[int],
        norm: Tensor | None = None,
        *,
        presorted: bool = False,
    ) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        g : Graph or Block
            Where messages flow.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, in], whose first are the destinations'; or the rows of each side.
        etypes : Tensor or list of int
            The relation of each edge in the order of edge ids, integers in [0, R), shape [E]; or
            how many edges each relation has, R numbers, where edge ids rise with the relation.
        norm : Tensor, optional
            A factor for each edge's message, shape [E, 1] or [E].
        presorted : bool
            That edge ids rise with the relation. DGL asks for it; here it makes no difference.

        Returns
        -------
        Tensor
            Shape [V, out].

        Raises
        ------
        IndexError
            A relation that is negative or not below R; the message names the first.
        ValueError, TypeError
            Operands whose shapes do not go together.
        """
        source, own = as_pair(g, feat)
        for name, x in (("feat of sources", source), ("feat of destinations", own)):
            if x.dim() != 2:
                raise ValueError(f"{name}: expected shape [N, {self.in_feat}], got {list(x.shape)}")
        require_width("feat of sources", source, self.in_feat)
        num_edges = g.num_edges()
        if not isinstance(etypes, Tensor):
            etypes = self._from_counts(etypes, num_edges).to(source.device)
        types = require_types("etypes", etypes, num_edges, self.num_rels, source)
        if norm is not None:
            require_edge_numbers("norm", norm, num_edges)
            norm = norm.view(-1)
        h = self._sum_relations(g, source, types, norm)
        if self.layer_norm:
            h = self.layer_norm_weight(h)
        if self.bias:
            h = h + self.h_bias
        if self.self_loop:
            require_width("feat of destinations", own, self.in_feat)
            h = h + own @ self.loop_weight
        if self.activation is not None:
            h = self.activation(h)
        out: Tensor = self.dropout(h)
        return out

    def _from_counts(self, counts: Sequence[int], num_edges: int) -> Tensor:
        given = [ops.as_int(f"etypes[{i}]", count) for i, count in enumerate(counts)]
        if len(given) != self.num_rels or sum(given) != num_edges or min(given, default=0) < 0:
            raise ValueError(
                f"etypes: expected a tensor of types, or how many of the {num_edges} edges each of"
                f" the {self.num_rels} relations has, got {len(given)} numbers that add up to"
                f" {sum(given)}"
            )
        return torch.repeat_interleave(torch.arange(self.num_rels), torch.tensor(given))

    def _sum_relations(
        self, g: Graph, source: Tensor, types: Tensor, norm: Tensor | None
    ) -> Tensor:
        """The sum over in-edges, [V, out]."""
        # What is not this layer's own may be anything but linear: then rows are transformed first.
        if not is_plain(self.linear_r, TypedLinear):
            return self._transform_first(g, source, norm, *self._by_source(g, types))
        edges = in_edges_by_type(g, types, self.num_rels)
        # Sources first can only pay where what they send is narrower than what they are.
        if self.in_feat > self.out_feat and not is_compiling():
            by_source = self._by_source(g, types)
            if self._work(by_source[0].num_pairs, g, sums=self.out_feat) < self._work(
                edges.pairs.num_pairs, g, sums=self.in_feat
            ):
                return self._transform_first(g, source, norm, *by_source)
        return self._aggregate_first(g, source, norm, edges)

    def _by_source(self, g: Graph, types: Tensor) -> Any:
        return out_edges_by_type(g, types, self.num_rels)

    def _work(self, num_pairs: int, g: Graph, *, sums: int) -> int:
        """Multiply-adds of the products and of the sums over edges, and numbers moved by pairs.

        Sums are of width ``sums`` over the edges; a pair brings or takes a row of the other width.
        """
        product = self.in_feat * self.out_feat
        other = self.in_feat + self.out_feat - sums
        return num_pairs * (product + other) + g.num_edges() * sums

    def _aggregate_first(
        self, g: Graph, source: Tensor, norm: Tensor | None, edges: InEdges
    ) -> Tensor:
        pairs = edges.pairs
        if norm is not None:
            norm = norm.to(source.dtype)
        sums = ops.spmm(pairs.indptr, edges.indices, source, weight=norm, eids=edges.eids)
        return sum_pairs(self.linear_r(sums, pairs.types, True), pairs.nodes, g.num_dst_nodes())

    def _transform_first(
        self, g: Graph, source: Tensor, norm: Tensor | None, pairs: Any, numbers: Tensor
    ) -> Tensor:
        sent = self.linear_r(ops.gather_rows(source, pairs.nodes), pairs.types, True)
        full = g.adjacency.full()
        if norm is not None:
            norm = norm.to(sent.dtype)
        return ops.spmm(full.indptr, numbers, sent, weight=norm, eids=full.eids)
