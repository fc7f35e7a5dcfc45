"""The layer of graph isomorphism networks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import hopflow.function as fn
from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import aggregate
from hopflow.nn._checks import require_input, require_messages, require_same_widths
from hopflow.nn._pairs import Features, as_pair

AGGREGATORS = ("sum", "max", "mean")


class GINConv(nn.Module):
    r"""Graph isomorphism network: a function of a node's own features plus its in-neighbours'.

    .. math::
        h_v' = \sigma(f((1 + \epsilon) h_v + aggregate(\{e_{uv} h_u : u \to v\})))

    Parameters
    ----------
    apply_func : callable, optional
        The function, usually a multi-layer perceptron; a module's parameters are learned.
    aggregator_type : {"sum", "max", "mean"}
        How neighbours are combined; 0 where there are none.
    init_eps : float
        The first value of epsilon, which is kept in float32, shape [1].
    learn_eps : bool
        Learn epsilon; it is a buffer otherwise, and part of the ``state_dict`` either way.
    activation : callable, optional
        Applied to the output.

    Raises
    ------
    KeyError
        An unknown aggregator (DGL's choice of exception).

    References
    ----------
    Xu, Hu, Leskovec, Jegelka, "How powerful are graph neural networks?", ICLR 2019;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.GINConv.html
    """

    eps: Tensor

    def __init__(
        self,
        apply_func: Callable[[Tensor], Tensor] | None = None,
        aggregator_type: str = "sum",
        init_eps: float = 0,
        learn_eps: bool = False,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if aggregator_type not in AGGREGATORS:
            raise KeyError(
                f"aggregator_type: expected one of {', '.join(AGGREGATORS)}, got"
                f" {aggregator_type!r}"
            )
        self.apply_func = apply_func
        self._aggregator_type = aggregator_type
        self.activation = activation
        eps = torch.tensor([init_eps], dtype=torch.float32)
        if learn_eps:
            self.eps = nn.Parameter(eps)
        else:
            self.register_buffer("eps", eps)

    def forward(self, graph: Graph, feat: Features, edge_weight: Tensor | None = None) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, ..., D], whose first are the destinations'; or the rows of each
            side.
        edge_weight : Tensor, optional
            A factor for each edge's message: shape [E], or one that broadcasts with the rows.

        Returns
        -------
        Tensor
            What ``apply_func`` makes of shape [V, ..., D].

        Raises
        ------
        ValueError
            Operands whose shapes do not go together.
        """
        source, own = as_pair(graph, feat)
        require_same_widths(source, own)
        if edge_weight is None:
            require_input("feat", source, self.apply_func)
        else:
            require_messages(
                "feat", source, "edge_weight", edge_weight, graph.num_edges(), self.apply_func
            )
        neighbor = aggregate(graph, source, getattr(fn, self._aggregator_type), edge_weight)
        out = (1 + self.eps) * own + neighbor
        if self.apply_func is not None:
            out = self.apply_func(out)
        return out if self.activation is None else self.activation(out)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        learned = isinstance(self.eps, nn.Parameter)
        return f"aggregator_type={self._aggregator_type!r}, learn_eps={learned}"
