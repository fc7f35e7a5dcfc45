"""The isomorphism layer that uses edge features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

import hopflow.function as fn
from hopflow.graphs.graph import Graph
from hopflow.nn._checks import require_messages, require_same_widths
from hopflow.nn._pairs import Features, as_pair


class GINEConv(nn.Module):
    r"""Graph isomorphism network with edge features.

    .. math::
        h_v' = f\Big((1 + \epsilon) h_v + \sum_{u \to v} ReLU(h_u + e_{uv})\Big)

    Parameters
    ----------
    apply_func : callable, optional
        The function, usually a multi-layer perceptron; a module's parameters are learned.
    init_eps : float
        The first value of epsilon, which is kept in float32, shape [1].
    learn_eps : bool
        Learn epsilon; it is a buffer otherwise, and part of the ``state_dict`` either way.

    References
    ----------
    Hu, Liu, Gomes, Zitnik, Liang, Pande, Leskovec, "Strategies for pre-training graph neural
    networks", ICLR 2020;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.GINEConv.html
    """

    eps: Tensor

    def __init__(
        self,
        apply_func: Callable[[Tensor], Tensor] | None = None,
        init_eps: float = 0,
        learn_eps: bool = False,
    ) -> None:
        super().__init__()
        self.apply_func = apply_func
        eps = torch.tensor([init_eps], dtype=torch.float32)
        if learn_eps:
            self.eps = nn.Parameter(eps)
        else:
            self.register_buffer("eps", eps)

    def forward(self, graph: Graph, node_feat: Features, edge_feat: Tensor) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        node_feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, D], whose first are the destinations'; or the rows of each side.
        edge_feat : Tensor
            Features of the edges, shape [E, D]; one of the two may be a single number a row.

        Returns
        -------
        Tensor
            What ``apply_func`` makes of shape [V, D].

        Raises
        ------
        ValueError
            Operands whose shapes do not go together.
        """
        source, own = as_pair(graph, node_feat, "node_feat")
        require_same_widths(source, own)
        require_messages(
            "node_feat", source, "edge_feat", edge_feat, graph.num_edges(), self.apply_func
        )
        # Under autocast one of them may come from a narrower product.
        dtype = torch.promote_types(source.dtype, edge_feat.dtype)
        with graph.local_scope():
            graph.srcdata["_h"] = source.to(dtype)
            graph.edata["_e"] = edge_feat.to(dtype)
            graph.apply_edges(fn.u_add_e("_h", "_e", "_m"))
            graph.edata["_m"] = functional.relu(graph.edata["_m"])
            graph.update_all(fn.copy_e("_m", "_m"), fn.sum("_m", "_out"))
            neighbor = graph.dstdata["_out"]
        out = (1 + self.eps) * own + neighbor
        return out if self.apply_func is None else self.apply_func(out)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"learn_eps={isinstance(self.eps, nn.Parameter)}"
