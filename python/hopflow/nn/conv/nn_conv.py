"""The layer whose messages go through a matrix that a network makes of the edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import hopflow.function as fn
from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import aggregate
from hopflow.nn._attention import as_sizes
from hopflow.nn._checks import (
    is_compiling,
    is_plain,
    require_edge_rows,
    require_input,
    require_matrix,
    require_width,
)
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn._residual import REDUCERS, ResidualConv, require_aggregator


class NNConv(ResidualConv):
    r"""Edge-conditioned convolution: a network makes a matrix of each edge's features.

    .. math::
        h_v' = aggregate(\{ f(e_{uv})^T h_u : u \to v \}) + residual(h_v) + b

    with :math:`f(e)` of shape in x out. As in DGL the largest is taken of the terms
    :math:`f(e_{uv})_{io} h_{ui}`, before the sum over i; sum and mean do not depend on the order.

    Nothing of the size E x in x out is written beside what ``edge_func`` returns. Where that is a
    ``nn.Linear``, or a ``nn.Sequential`` that ends in one, sum and mean do without it too: the
    sum over edges of the outer products of their hidden features and their sources' goes before the
    last matrix, as both are linear, if that is smaller.

    Parameters have the names, shapes and initialisation of DGL's layer.

    Parameters
    ----------
    in_feats : int or (int, int)
        Width of the input features, or of the sources' and the destinations'.
    out_feats : int
        Width of the output.
    edge_func : callable
        Makes [E, in * out], or a shape of as many numbers, of the edges' features; a module's
        parameters are learned.
    aggregator_type : {"sum", "mean", "max"}
        How messages are combined.
    residual : bool
        Add the destination's own features, projected where the widths differ.
    bias : bool
        Learn a bias.

    Raises
    ------
    KeyError
        An unknown aggregator (DGL's choice of exception).

    References
    ----------
    Gilmer et al., "Neural message passing for quantum chemistry", ICML 2017;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.NNConv.html
    """

    def __init__(
        self,
        in_feats: int | tuple[int, int],
        out_feats: int,
        edge_func: Callable[[Tensor], Tensor],
        aggregator_type: str = "mean",
        residual: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._in_src_feats, dst_feats = as_sizes(in_feats)
        self._out_feats = out_feats
        self.edge_func = edge_func
        self._aggre_type = require_aggregator(aggregator_type)
        self._add_rest(dst_feats, out_feats, residual=residual, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters, but for those of ``edge_func``: Glorot's normal law, bias 0."""
        self._reset_rest()

    def forward(self, graph: Graph, feat: Features, efeat: Tensor) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, in], whose first are the destinations'; or the rows of each side.
        efeat : Tensor
            What ``edge_func`` takes, with one row an edge.

        Returns
        -------
        Tensor
            Shape [V, out]; the residual and the bias alone without in-edges.

        Raises
        ------
        TypeError, ValueError
            Operands whose shapes do not go together, or a result of ``edge_func`` that is not one
            matrix an edge.
        """
        source, own = as_pair(graph, feat)
        require_matrix("feat", source)
        require_width("feat of sources", source, self._in_src_feats)
        self._require_own(own)
        require_edge_rows("efeat", efeat, graph.num_edges())
        require_input("efeat", efeat, self.edge_func)
        last = None if self._aggre_type == "max" else self._last_linear(graph)
        if last is not None:
            hidden = efeat
            if last is not self.edge_func:
                assert isinstance(self.edge_func, nn.Sequential)
                for layer in list(self.edge_func)[:-1]:
                    hidden = layer(hidden)
            if hidden.dim() == 2:
                return self._add_own(self._before_last(graph, source, hidden, last), own)
            made = last(hidden)
        else:
            made = self.edge_func(efeat)
        return self._add_own(self._with_matrices(graph, source, made), own)

    def _last_linear(self, graph: Graph) -> nn.Linear | None:
        """The ``nn.Linear`` that ends ``edge_func``, if the sum over edges may go before it."""
        last: Any = self.edge_func
        if isinstance(last, nn.Sequential) and is_plain(last, nn.Sequential) and len(last):
            last = last[-1]
        if not isinstance(last, nn.Linear) or not is_plain(last, nn.Linear):
            return None
        width, size = last.in_features, self._in_src_feats * self._out_feats
        if last.out_features != size:
            return None
        if is_compiling():  # sizes differ from batch to batch: each answer would be compiled
            return last if width <= self._out_feats else None
        # Of both passes the largest: a row of in * width a node, or of in * out an edge.
        nodes = max(graph.num_src_nodes(), graph.num_dst_nodes())
        return last if nodes * width <= graph.num_edges() * self._out_feats else None

    def _before_last(self, graph: Graph, source: Tensor, hidden: Tensor, last: nn.Linear) -> Tensor:
        """What :meth:`_with_matrices` gives for ``last(hidden)``, without the matrices."""
        reducer = REDUCERS[self._aggre_type]
        # Of hidden [E, D, 1] the gradient is summed over the sources' width as it is made.
        outer = aggregate(graph, source.unsqueeze(1), reducer, hidden.unsqueeze(2))
        weight = last.weight.view(self._in_src_feats, self._out_feats, last.in_features)
        out = outer.flatten(1) @ weight.permute(2, 0, 1).reshape(-1, self._out_feats)
        bias = getattr(last, "bias", None)
        if bias is None:
            return out
        shared: Tensor = bias.view(self._in_src_feats, self._out_feats)
        return out + aggregate(graph, source, reducer) @ shared

    def _with_matrices(self, graph: Graph, source: Tensor, made: Tensor) -> Tensor:
        """The aggregate of the sources' rows times their edges' matrices."""
        num_edges, size = graph.num_edges(), self._in_src_feats * self._out_feats
        if made.numel() != num_edges * size:
            raise ValueError(
                f"edge_func: expected {self._in_src_feats} * {self._out_feats} numbers for each of"
                f" the {num_edges} edges, got shape {list(made.shape)}"
            )
        matrices = made.reshape(num_edges, self._in_src_feats, self._out_feats)
        # Under autocast one of them may come from a narrower product.
        dtype = torch.promote_types(source.dtype, matrices.dtype)
        reducer = REDUCERS[self._aggre_type]
        if self._aggre_type == "max":
            terms = aggregate(graph, source.unsqueeze(2).to(dtype), reducer, matrices.to(dtype))
            return terms.sum(1)
        with graph.local_scope():
            graph.srcdata["_h"] = source.to(dtype)
            graph.apply_edges(fn.copy_u("_h", "_m"))
            rows = graph.edata["_m"].unsqueeze(1)
            graph.edata["_m"] = torch.bmm(rows, matrices.to(dtype)).squeeze(1)
            graph.update_all(fn.copy_e("_m", "_m"), reducer("_m", "_out"))
            return graph.node_frame(side="dst")["_out"]

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"{self._in_src_feats}, {self._out_feats}, aggregator_type={self._aggre_type!r}"
