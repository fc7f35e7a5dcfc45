"""The heterogeneous graph transformer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.nn._checks import is_plain, require_rows, require_width
from hopflow.nn.hetero._by_type import (
    Groups,
    InEdges,
    autocast,
    bounds,
    group,
    in_edges_by_type,
    inverse,
    renumbered,
    require_types,
    sum_pairs,
    take,
)
from hopflow.nn.hetero.typed_linear import TypedLinear
from hopflow.ops.segment_mm import segment_mm


class HGTConv(nn.Module):
    r"""Heterogeneous graph transformer: attention whose projections depend on types.

    .. math::
        a_{uv} &= softmax_u\big(K_u W^{att}_{uv} Q_v^T \mu_{uv} / \sqrt{d}\big) \\
        h_v' &= \alpha_v A_{t(v)} \sum_{u \to v} a_{uv} M_u W^{msg}_{uv}
                + (1 - \alpha_v) h_v

    Keys, queries and messages are projected by the types of nodes; the matrices in between and the
    priorities :math:`\mu` are an edge type's and head's, and :math:`\alpha` is a node type's gate.
    The edge types' matrices are applied once to each destination and type of its in-edges: nothing
    of the size E x H x D is written.

    Parameters have the names, shapes and initialisation of DGL's layer, so a ``state_dict`` moves
    either way.

    Parameters
    ----------
    in_size : int
        Width of the input features.
    head_size, num_heads : int
        Width D of a head and their number H; the output has H x D.
    num_ntypes, num_etypes : int
        Numbers of node and of edge types.
    dropout : float
        Dropout rate of the output before the gate.
    use_norm : bool
        Apply a layer norm to the output.

    References
    ----------
    Hu, Dong, Wang, Sun, "Heterogeneous graph transformer", WWW 2020;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.HGTConv.html
    """

    def __init__(
        self,
        in_size: int,
        head_size: int,
        num_heads: int,
        num_ntypes: int,
        num_etypes: int,
        dropout: float = 0.2,
        use_norm: bool = False,
    ) -> None:
        super().__init__()
        width = head_size * num_heads
        self.in_size, self.head_size, self.num_heads = in_size, head_size, num_heads
        self.num_ntypes, self.num_etypes = num_ntypes, num_etypes
        self.sqrt_d = math.sqrt(head_size)
        self.use_norm = use_norm
        self.linear_k = TypedLinear(in_size, width, num_ntypes)
        self.linear_q = TypedLinear(in_size, width, num_ntypes)
        self.linear_v = TypedLinear(in_size, width, num_ntypes)
        self.linear_a = TypedLinear(width, width, num_ntypes)
        heads = range(num_heads)
        self.relation_pri = nn.ParameterList([nn.Parameter(torch.ones(num_etypes)) for _ in heads])
        self.relation_att = nn.ModuleList(
            [TypedLinear(head_size, head_size, num_etypes) for _ in heads]
        )
        self.relation_msg = nn.ModuleList(
            [TypedLinear(head_size, head_size, num_etypes) for _ in heads]
        )
        self.skip = nn.Parameter(torch.ones(num_ntypes))
        self.drop = nn.Dropout(dropout)
        if use_norm:
            self.norm = nn.LayerNorm(width)
        if in_size != width:
            self.residual_w = nn.Parameter(torch.empty(in_size, width))
            nn.init.xavier_uniform_(self.residual_w)

    def reset_parameters(self) -> None:
        """Draw the matrices anew; priorities and gates become 1."""
        for layer in (self.linear_k, self.linear_q, self.linear_v, self.linear_a):
            layer.reset_parameters()
        for layer in (*self._heads("relation_att"), *self._heads("relation_msg")):
            layer.reset_parameters()
        for ones in (*self.relation_pri, self.skip):
            nn.init.ones_(ones)
        if self.use_norm:
            self.norm.reset_parameters()
        if self.in_size != self.head_size * self.num_heads:
            nn.init.xavier_uniform_(self.residual_w)

    def _heads(self, name: str) -> list[TypedLinear]:
        return list(cast("Iterable[TypedLinear]", getattr(self, name)))

    def forward(
        self, g: Graph, x: Tensor, ntype: Tensor, etype: Tensor, *, presorted: bool = False
    ) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        g : Graph or Block
            Where messages flow; its types are numbers on its nodes and edges.
        x : Tensor
            Features of the nodes, of a block's source nodes, shape [U, in_size].
        ntype : Tensor
            The type of each of them, integers in [0, num_ntypes), shape [U]; a block's first are
            its destinations'.
        etype : Tensor
            The type of each edge in the order of edge ids, integers in [0, num_etypes), shape [E].
        presorted : bool
            That both rise. DGL asks for it; here it makes no difference.

        Returns
        -------
        Tensor
            Shape [V, H x D].

        Raises
        ------
        IndexError
            A type that is negative or too large; the message names the first.
        ValueError, TypeError
            Operands whose shapes do not go together.
        """
        require_rows("x", x, g.num_src_nodes())
        if x.dim() != 2:
            raise ValueError(f"x: expected shape [N, {self.in_size}], got {list(x.shape)}")
        require_width("x", x, self.in_size)
        ntype = require_types("ntype", ntype, x.shape[0], self.num_ntypes, x)
        etype = require_types("etype", etype, g.num_edges(), self.num_etypes, x)

        # Nodes stay in the order of their types until the end, when each projection is done.
        num_dst = g.num_dst_nodes()
        of_src = group(ntype, self.num_ntypes)
        sources = x if of_src.order is None else ops.gather_rows(x, of_src.order)
        k, v = (self._project(f"linear_{n}", sources, of_src) for n in "kv")
        if g.is_block:
            of_dst = group(ntype[:num_dst].contiguous(), self.num_ntypes)
            own = x[:num_dst]
            own = own if of_dst.order is None else ops.gather_rows(own, of_dst.order)
        else:
            of_dst, own = of_src, sources
        q = self._project("linear_q", own, of_dst)

        edges = in_edges_by_type(g, etype, self.num_etypes)
        ranks = [None if of.order is None else of.ranks() for of in (of_src, of_dst)]
        edges = renumbered(edges, ranks[0], ranks[1], g.num_src_nodes())
        h = self._attend(g, edges, k, q, v, num_dst)

        h = self.drop(self.linear_a(h.flatten(1), of_dst.numbers, True))
        gate = ops.gather_rows(torch.sigmoid(self.skip), of_dst.numbers).unsqueeze(1)
        if self.in_size != self.head_size * self.num_heads:
            own = own @ self.residual_w
        h = h * gate + own * (1 - gate)
        if self.use_norm:
            h = self.norm(h)
        return h if ranks[1] is None else ops.gather_rows(h, ranks[1])

    def _project(self, name: str, x: Tensor, types: Groups) -> Tensor:
        """Rows [N, H, D] by a type's matrix."""
        projected: Tensor = getattr(self, name)(x, types.numbers, True)
        return projected.view(-1, self.num_heads, self.head_size)

    def _attend(
        self, g: Graph, edges: InEdges, k: Tensor, q: Tensor, v: Tensor, num_dst: int
    ) -> Tensor:
        """The attention's sum [V, H, D] of what edges bring."""
        att, msg = self._heads("relation_att"), self._heads("relation_msg")
        if not all(is_plain(layer, TypedLinear) for layer in (*att, *msg)):
            return self._attend_by_edge(g, edges, k, q, v, num_dst)
        pairs = edges.pairs
        of_type = bounds(pairs.types, self.num_etypes)
        scale = torch.stack(list(self.relation_pri), 1) / self.sqrt_d
        matrices = torch.stack([layer.get_weight() for layer in att], 1) * scale[:, :, None, None]
        asked = segment_mm(of_type, *autocast(ops.gather_rows(q, pairs.nodes), matrices.mT))
        scores = ops.sddmm(pairs.indptr, edges.indices, k, asked, eids=edges.eids).squeeze(-1)
        full = g.adjacency.full()
        attention = ops.edge_softmax(full.indptr, scores, eids=full.eids).to(v.dtype)
        brought = ops.spmm(pairs.indptr, edges.indices, v, weight=attention, eids=edges.eids)
        matrices = torch.stack([layer.get_weight() for layer in msg], 1)
        return sum_pairs(segment_mm(of_type, *autocast(brought, matrices)), pairs.nodes, num_dst)

    def _attend_by_edge(
        self, g: Graph, edges: InEdges, k: Tensor, q: Tensor, v: Tensor, num_dst: int
    ) -> Tensor:
        """The same edge by edge, for layers that have hooks or are not this layer's own."""
        pairs, full = edges.pairs, g.adjacency.full()
        pair_of = ops.destinations(pairs.indptr, full.num_edges, torch.int64)
        types, nodes = take(pairs.types, pair_of), take(pairs.nodes, pair_of)
        keys, brought = (ops.gather_rows(x, edges.indices) for x in (k, v))
        asked = ops.gather_rows(q, nodes)
        scores, messages = [], []
        for i, (att, msg) in enumerate(zip(self.relation_att, self.relation_msg)):
            product = (att(keys[:, i], types, True) * asked[:, i]).sum(-1)
            scores.append(product * self.relation_pri[i][types.long()] / self.sqrt_d)
            messages.append(msg(brought[:, i], types, True))
        place_of = inverse(pairs.order)  # of the edge at each position
        attention = ops.edge_softmax(full.indptr, torch.stack(scores, 1), eids=place_of)
        return sum_pairs(torch.stack(messages, 1) * attention.unsqueeze(-1), nodes, num_dst)
