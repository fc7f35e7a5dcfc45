"""The convolution that is equivariant to rotations, translations and reflections of coordinates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import hopflow.function as fn
from hopflow.graphs.graph import Graph
from hopflow.nn._checks import is_plain, require_edge_rows, require_same_widths, require_width
from hopflow.nn._pairs import Features, as_pair


class EGNNConv(nn.Module):
    r"""E(n)-equivariant convolution: moves nodes along the directions of their in-edges.

    .. math::
        m_{uv} &= \phi_e(h_u, h_v, \|x_u - x_v\|^2, a_{uv}) \\
        h_v' &= \phi_h\Big(h_v, \sum_{u \to v} m_{uv}\Big), \quad
        x_v' = x_v + \frac{1}{d_{in}(v)} \sum_{u \to v}
            \frac{x_u - x_v}{\|x_u - x_v\|} \phi_x(m_{uv})

    The first map of :math:`\phi_e` is applied to nodes, so that no edge has both ends' features;
    its hidden rows are one an edge. Where the ends of an edge coincide the direction and its
    gradient are 0 (in DGL the gradient is not a number). Parameters have the names, shapes and
    initialisation of DGL's layer.

    Parameters
    ----------
    in_size : int
        Width of the nodes' features.
    hidden_size : int
        Width inside the three functions, and of the messages.
    out_size : int
        Width of the output.
    edge_feat_size : int
        Width of the edges' features; 0 for none.

    References
    ----------
    Satorras, Hoogeboom, Welling, "E(n) equivariant graph neural networks", ICML 2021;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.EGNNConv.html
    """

    def __init__(
        self, in_size: int, hidden_size: int, out_size: int, edge_feat_size: int = 0
    ) -> None:
        super().__init__()
        self.in_size, self.hidden_size, self.out_size = in_size, hidden_size, out_size
        self.edge_feat_size = edge_feat_size
        # The functions of the edges, of the nodes and of the coordinates.
        self.edge_mlp = nn.Sequential(
            nn.Linear(in_size * 2 + edge_feat_size + 1, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.SiLU(),
        )
        self.node_mlp = nn.Sequential(
            nn.Linear(in_size + hidden_size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, out_size),
        )
        self.coord_mlp = nn.Sequential(
            nn.Linear(hidden_size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, 1, bias=False),
        )

    def forward(
        self,
        graph: Graph,
        node_feat: Features,
        coord_feat: Features,
        edge_feat: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        node_feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, in], whose first are the destinations'; or the rows of each side.
        coord_feat : Tensor or (Tensor, Tensor)
            Coordinates in the same way, shape [U, C].
        edge_feat : Tensor, optional
            Shape [E, edge_feat_size], in the order of edge ids; not read if that is 0.

        Returns
        -------
        Tensor
            New features of the destinations, shape [V, out].
        Tensor
            Their new coordinates, shape [V, C].

        Raises
        ------
        ValueError
            Operands whose shapes do not go together; no edge features where they are needed.
        """
        source, own = as_pair(graph, node_feat, "node_feat")
        require_same_widths(source, own)
        require_width("node_feat", source, self.in_size)
        there, here = as_pair(graph, coord_feat, "coord_feat")
        require_same_widths(there, here)
        if self.edge_feat_size == 0:
            edge_feat = None
        elif edge_feat is None:
            raise ValueError(
                f"edge_feat: expected features of the edges, shape [{graph.num_edges()},"
                f" {self.edge_feat_size}], got None"
            )
        else:
            require_edge_rows("edge_feat", edge_feat, graph.num_edges())
            require_width("edge_feat", edge_feat, self.edge_feat_size)
        with graph.local_scope():
            graph.srcdata["_u"], graph.dstdata["_v"] = there, here
            graph.apply_edges(fn.u_sub_v("_u", "_v", "_x"))
            difference = graph.edata["_x"]
        radial = difference.square().sum(-1, keepdim=True)
        # A root has no slope at 0; there the difference is 0 whatever it is divided by.
        length = radial.where(radial > 0, radial.new_ones(())).sqrt()
        edges = radial if edge_feat is None else torch.cat([radial, edge_feat], dim=-1)
        messages = self._messages(graph, source, own, edges)
        moves = self.coord_mlp(messages) * (difference / (length + 1e-30))
        with graph.local_scope():
            graph.edata["_m"], graph.edata["_x"] = messages, moves
            graph.update_all(fn.copy_e("_m", "_m"), fn.sum("_m", "_sum"))
            graph.update_all(fn.copy_e("_x", "_m"), fn.mean("_m", "_mean"))
            frame = graph.node_frame(side="dst")
            total, move = frame["_sum"], frame["_mean"]
        h: Tensor = self.node_mlp(torch.cat([own, total], dim=-1))
        return h, here + move

    def _messages(self, graph: Graph, source: Tensor, own: Tensor, edges: Tensor) -> Tensor:
        """The edges' function of both ends and of the edges' rows, shape [E, hidden]."""
        mlp: Any = self.edge_mlp
        first: Any = mlp[0] if is_plain(mlp, nn.Sequential) and len(mlp) else None
        if first is None or not is_plain(first, nn.Linear):
            src, dst = (end.long() for end in graph.adjacency.coo())
            out: Tensor = mlp(torch.cat([source[src], own[dst], edges], dim=-1))
            return out
        by_src, by_dst, by_edge = first.weight.split(
            [self.in_size, self.in_size, 1 + self.edge_feat_size], dim=1
        )
        with graph.local_scope():
            graph.srcdata["_u"] = functional.linear(source, by_src)
            graph.dstdata["_v"] = functional.linear(own, by_dst, first.bias)
            graph.apply_edges(fn.u_add_v("_u", "_v", "_h"))
            hidden: Tensor = graph.edata["_h"] + functional.linear(edges, by_edge)
        for layer in list(mlp)[1:]:
            hidden = layer(hidden)
        return hidden
