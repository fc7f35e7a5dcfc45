"""The gated graph convolution: a recurrent cell over steps of messages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import hopflow.function as fn
import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import aggregate
from hopflow.nn._attention import reset_linear
from hopflow.nn._checks import is_plain, require_one_step, require_width
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn.hetero._by_type import autocast, bounds, in_edges_by_type, require_types, sum_pairs


class GatedGraphConv(nn.Module):
    r"""Gated graph sequence network: each step sums messages by edge type into a GRU.

    .. math::
        h_v^0 = [x_v \| 0], \quad
        a_v^t = \sum_{u \to v} \big(W_{r(uv)} h_u^t + b_{r(uv)}\big), \quad
        h_v^{t+1} = GRU(a_v^t, h_v^t)

    The in-edges of a destination that are of one type are added up before their matrix is applied,
    so that no message is written; a compiled model, for which no size may depend on values, writes
    one row an edge. Parameters have the names, shapes and initialisation of DGL's layer.

    Parameters
    ----------
    in_feats : int
        Width of the input.
    out_feats : int
        Width of the output, not less than that of the input.
    n_steps : int
        Number of steps.
    n_etypes : int
        Number of edge types R.
    bias : bool
        Whether the recurrent cell has biases; messages always have one.

    Raises
    ------
    ValueError
        An output narrower than the input.

    References
    ----------
    Li, Tarlow, Brockschmidt, Zemel, "Gated graph sequence neural networks", ICLR 2016;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.GatedGraphConv.html
    """

    def __init__(
        self, in_feats: int, out_feats: int, n_steps: int, n_etypes: int, bias: bool = True
    ) -> None:
        super().__init__()
        if in_feats > out_feats:
            raise ValueError(
                f"out_feats: expected at least in_feats = {in_feats}, as features are filled up"
                f" with zeros, got {out_feats}"
            )
        self._in_feats, self._out_feats = in_feats, out_feats
        self._n_steps, self._n_etypes = n_steps, n_etypes
        self.linears = nn.ModuleList([nn.Linear(out_feats, out_feats) for _ in range(n_etypes)])
        self.gru = nn.GRUCell(out_feats, out_feats, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters: the cell's as torch does, the maps' by Glorot's normal law."""
        self.gru.reset_parameters()
        for linear in self.linears:
            reset_linear(linear)

    def forward(self, graph: Graph, feat: Features, etypes: Tensor | None = None) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow. A block carries them one step.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, in], whose first are the destinations'; or the rows of each side.
        etypes : Tensor, optional
            The type of each edge in the order of edge ids, integers in [0, R), shape [E]; not
            needed if R is 1.

        Returns
        -------
        Tensor
            Shape [V, out].

        Raises
        ------
        IndexError
            A type that is negative or not below R.
        ValueError, TypeError
            Operands whose shapes do not go together; no types; more than one step over a block.
        """
        require_one_step(graph, self._n_steps, "n_steps")
        source, own = as_pair(graph, feat)
        for name, x in (("feat of sources", source), ("feat of destinations", own)):
            if x.dim() != 2:
                raise ValueError(
                    f"{name}: expected shape [N, {self._in_feats}], got {list(x.shape)}"
                )
            require_width(name, x, self._in_feats)
        if etypes is not None:
            etypes = require_types("etypes", etypes, graph.num_edges(), self._n_etypes, source)
        elif self._n_etypes > 1:
            raise ValueError(
                f"etypes: expected a type for each edge, as the layer has {self._n_etypes}, got"
                " None"
            )
        messages = self._messages(graph, etypes)
        # As a graph's features, those of a pair are its sources' for the first step alone.
        source, h = self._filled(source), self._filled(own)
        for step in range(self._n_steps):
            h = self.gru(messages(source if step == 0 else h), h)
        return h

    def _filled(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, self._out_feats - self._in_feats))

    def _messages(self, graph: Graph, types: Tensor | None) -> Callable[[Tensor], Tensor]:
        """The sum of messages [V, out] as a function of the source rows, for all steps."""
        linears: list[Any] = list(self.linears)
        if self._n_etypes == 1:
            return lambda h: aggregate(graph, linears[0](h), fn.sum)
        assert types is not None
        if not all(is_plain(linear, nn.Linear) for linear in linears):
            return partial(self._by_edges, graph, types)
        edges = in_edges_by_type(graph, types, self._n_etypes)
        pairs = edges.pairs
        indptr = bounds(pairs.types, self._n_etypes)
        weight = torch.stack([linear.weight.t() for linear in linears])
        biases = torch.stack([linear.bias for linear in linears])
        counts = pairs.indptr.diff().unsqueeze(1)

        def messages(h: Tensor) -> Tensor:
            sums, maps = autocast(ops.spmm(pairs.indptr, edges.indices, h), weight)
            sent = ops.segment_mm(indptr, sums, maps)
            sent = sent + (counts * ops.gather_rows(biases, pairs.types)).to(sent.dtype)
            return sum_pairs(sent, pairs.nodes, graph.num_dst_nodes())

        return messages

    def _by_edges(self, graph: Graph, types: Tensor, h: Tensor) -> Tensor:
        """The formula as it is written, for maps that may be anything."""
        src, _ = graph.adjacency.coo()
        rows = ops.gather_rows(h, src)
        parts = [(types == r).nonzero().squeeze(1) for r in range(self._n_etypes)]
        sent = torch.cat([self.linears[r](rows[part]) for r, part in enumerate(parts)])
        order = torch.cat(parts)
        with graph.local_scope():
            graph.edata["_m"] = torch.empty_like(sent).index_copy(0, order, sent)
            graph.update_all(fn.copy_e("_m", "_m"), fn.sum("_m", "_out"))
            return graph.node_frame(side="dst")["_out"]

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"n_steps={self._n_steps}"
