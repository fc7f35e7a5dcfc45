"""The layer of principal neighbourhood aggregation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hopflow.graphs.graph import Graph
from hopflow.nn._checks import require_edge_rows, require_matrix, require_width
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn._towers import AGGREGATORS, DIRECTIONS, SCALERS, Direction, Messages


class Tower(nn.Module):
    """One of the parts, each with a share of the features, that PNAConv and DGNConv consist of.

    Parameters
    ----------
    in_size, out_size : int
        Widths of the tower's input and output.
    aggregators, scalers, delta, dropout, edge_feat_size
        As for the layer.
    """

    def __init__(
        self,
        in_size: int,
        out_size: int,
        aggregators: Sequence[str],
        scalers: Sequence[str],
        delta: float,
        dropout: float,
        edge_feat_size: int,
    ) -> None:
        super().__init__()
        self.aggregators, self.scalers, self.delta = list(aggregators), list(scalers), delta
        # The names of DGL's tower, so that a state dict moves either way.
        self.M = nn.Linear(2 * in_size + edge_feat_size, in_size)
        self.U = nn.Linear((len(aggregators) * len(scalers) + 1) * in_size, out_size)
        self.dropout = nn.Dropout(dropout)
        self.batchnorm = nn.BatchNorm1d(out_size)

    def forward(
        self,
        graph: Graph,
        source: Tensor,
        own: Tensor,
        edge_feat: Tensor | None,
        directions: Sequence[Direction],
    ) -> Tensor:
        """Rows [V, out_size] of those of the sources and destinations."""
        messages = Messages(graph, self.M, source, own, edge_feat)
        found = []
        for name in self.aggregators:
            if name in AGGREGATORS:
                found.append(AGGREGATORS[name](messages))
            else:
                column, along = DIRECTIONS[name]
                found.append(along(messages, directions[column]))
        neighbor = messages.scaled(found, self.scalers, self.delta)
        out = self.U(torch.cat([own.to(neighbor.dtype), neighbor], 1))
        if not graph.is_block:
            out = out * _root_of_size(graph, out)
        normed: Tensor = self.dropout(self.batchnorm(out))
        return normed


def _root_of_size(graph: Graph, like: Tensor) -> Tensor | float:
    """One over the root of the number of nodes; in a batch of graphs, of each one's own."""
    if graph.batch_size > 1:
        sizes = graph.batch_num_nodes().long()
        return torch.repeat_interleave(sizes.to(like).rsqrt(), sizes).unsqueeze(1)
    return float(max(graph.num_nodes(), 1) ** -0.5)


class PNAConv(nn.Module):
    r"""Principal neighbourhood aggregation: several aggregates, each scaled by the in-degree.

    .. math::
        h_v' = LeakyReLU\Big(W \, \Vert_t \, BN\big(U_t [h_v \Vert
        scale(aggregate(\{ M_t [h_u \Vert h_v \Vert e_{uv}] : u \to v \}))]\big)\Big) + h_v

    with every aggregator and scaler one beside the other, in each of the towers t, which have a
    share of the features each. Before the batch normalisation rows of a graph are divided by the
    root of its number of nodes, as in DGL; those of a block are not, for it is a part of a graph.
    In training the normalisation undoes it. A model that was trained on blocks is to be evaluated
    on blocks.

    The map M is applied to nodes and edge features apart; without edge features nothing of the
    size of the edges is written, but for the moments. Parameters have the names, shapes and
    initialisation of DGL's layer.

    Parameters
    ----------
    in_size, out_size : int
        Widths of input and output.
    aggregators : sequence of str
        Of "mean", "max", "min", "sum", "std", "var", "moment3", "moment4" and "moment5"; the last
        are roots of central moments.
    scalers : sequence of str
        Of "identity", "amplification", a factor :math:`\log(d + 1) / \delta` with the in-degree d,
        and "attenuation", its inverse.
    delta : float
        The mean of :math:`\log(d + 1)` over the nodes trained on.
    dropout : float
        Dropout rate of each tower's output.
    num_towers : int
        Must divide ``in_size`` and ``out_size``.
    edge_feat_size : int
        Width of the edges' features, 0 without.
    residual : bool
        Add the destination's features, if ``in_size == out_size``.

    Raises
    ------
    KeyError
        An unknown aggregator or scaler.
    ValueError
        Sizes that the towers cannot share.

    References
    ----------
    Corso, Cavalleri, Beaini, Liò, Veličković, "Principal neighbourhood aggregation for graph nets",
    NeurIPS 2020; https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.PNAConv.html
    """

    _known: tuple[str, ...] = tuple(AGGREGATORS)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        aggregators: Sequence[str],
        scalers: Sequence[str],
        delta: float,
        dropout: float = 0.0,
        num_towers: int = 1,
        edge_feat_size: int = 0,
        residual: bool = True,
    ) -> None:
        super().__init__()
        for what, names, known in (
            ("aggregators", aggregators, self._known), ("scalers", scalers, tuple(SCALERS)),
        ):  # fmt: skip
            for name in names:
                if name not in known:
                    raise KeyError(f"{what}: expected some of {', '.join(known)}, got {name!r}")
        for what, size in (("in_size", in_size), ("out_size", out_size)):
            if num_towers < 1 or size % num_towers:
                raise ValueError(
                    f"num_towers: expected a divisor of {what} = {size}, got {num_towers}"
                )
        self.in_size, self.out_size = in_size, out_size
        self.tower_in_size, self.tower_out_size = in_size // num_towers, out_size // num_towers
        self.edge_feat_size = edge_feat_size
        self.residual = residual and in_size == out_size
        self.towers = nn.ModuleList(
            Tower(
                self.tower_in_size, self.tower_out_size, aggregators, scalers, delta, dropout,
                edge_feat_size,
            )
            for _ in range(num_towers)
        )  # fmt: skip
        self.mixing_layer = nn.Sequential(nn.Linear(out_size, out_size), nn.LeakyReLU())

    def forward(self, graph: Graph, node_feat: Features, edge_feat: Tensor | None = None) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        node_feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, in], whose first are the destinations'; or the rows of each side.
        edge_feat : Tensor, optional
            Shape [E, edge_feat_size]; needed if that is not 0, and not read if it is.

        Returns
        -------
        Tensor
            Shape [V, out]. Aggregates of a destination without in-edges count as 0.

        Raises
        ------
        TypeError, ValueError
            Operands whose shapes do not go together.
        """
        return self._mix(graph, *self._rows(graph, node_feat, edge_feat), ())

    def _rows(
        self, graph: Graph, node_feat: Features, edge_feat: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Rows of sources, destinations and edges, checked."""
        source, own = as_pair(graph, node_feat, "node_feat")
        for x in (source, own):
            require_matrix("node_feat", x)
            require_width("node_feat", x, self.in_size)
        if self.edge_feat_size == 0:
            return source, own, None
        if edge_feat is None:
            raise ValueError(
                f"edge_feat: expected shape [{graph.num_edges()}, {self.edge_feat_size}], as"
                " edge_feat_size says, got None"
            )
        require_matrix("edge_feat", edge_feat)
        require_edge_rows("edge_feat", edge_feat, graph.num_edges())
        require_width("edge_feat", edge_feat, self.edge_feat_size)
        return source, own, edge_feat

    def _mix(
        self,
        graph: Graph,
        source: Tensor,
        own: Tensor,
        edge_feat: Tensor | None,
        directions: Sequence[Direction],
    ) -> Tensor:
        """Join the towers' rows."""
        shares = (x.chunk(len(self.towers), 1) for x in (source, own))
        found = [
            tower(graph, of_source, of_own, edge_feat, directions)
            for tower, of_source, of_own in zip(self.towers, *shares)
        ]
        out: Tensor = self.mixing_layer(torch.cat(found, 1))
        return out + own if self.residual else out

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"{self.in_size}, {self.out_size}, edge_feat_size={self.edge_feat_size}"
