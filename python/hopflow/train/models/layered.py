"""What models of layers share: they run on blocks, on one subgraph, or one layer at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor, nn
from torch.nn import functional

from hopflow.graphs.block import Block
from hopflow.graphs.graph import Graph
from hopflow.structure.table_rows import TableRows
from hopflow.train.models.self_edges import with_self_edges


class LayeredModel(nn.Module):
    """Graph layers with an activation between them and dropout.

    Parameters
    ----------
    widths : sequence of int
        Of the input, of what each layer gives, and so of the output last.
    layers : iterable of nn.Module
        ``layer(graph, rows)`` each, from rows of the sources to rows of the destinations.
    dropout : float
        Rate of dropout on the input of every layer after the first.
    activation : callable
        Applied to what every layer but the last gives.
    output : nn.Module, optional
        Applied to what the last layer gives.

    Attributes
    ----------
    widths : list of int
        As given.
    """

    needs_self_edges = False
    """Whether every node is to be among its own neighbours."""

    reads_in_place = False
    """Whether the layers take :class:`TableRows` as they are."""

    def __init__(
        self,
        widths: Sequence[int],
        layers: Iterable[nn.Module],
        *,
        dropout: float,
        activation: Callable[[Tensor], Tensor] = functional.relu,
        output: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.dropout = nn.Dropout(dropout)
        self.widths = list(widths)
        self.activation = activation
        self.output = output

    def forward(self, blocks: Sequence[Graph], x: Tensor | TableRows) -> Tensor:
        """Rows [V of the last block, out] from inputs [U of the first, in].

        Where all layers run on one subgraph it stands in ``blocks`` once for each.
        """
        hidden: Tensor | TableRows = x
        known = graph = None
        for i, block in enumerate(blocks):
            if block is not known:
                known, graph = block, self._edges(block)
            assert graph is not None
            hidden = self._layer(i, graph, hidden)
        assert isinstance(hidden, Tensor)
        return hidden

    def layer(self, i: int, block: Block | Graph, x: Tensor | TableRows) -> Tensor:
        """Apply layer ``i`` and what follows it: [U, widths[i]] to [V, widths[i + 1]]."""
        return self._layer(i, self._edges(block), x)

    def _edges(self, block: Graph) -> Graph:
        return with_self_edges(block) if self.needs_self_edges else block

    def _layer(self, i: int, block: Graph, x: Tensor | TableRows) -> Tensor:
        if isinstance(x, TableRows) and not self.reads_in_place:
            x = x.tensor()
        if i > 0:
            x = self.dropout(x)
        out: Tensor = self.layers[i](block, x)
        if i + 1 < len(self.layers):
            return self.activation(out)
        return out if self.output is None else self.output(out)


def widths_of(in_feats: int, hidden: int, out_feats: int, num_layers: int) -> list[int]:
    """Widths before the first layer and after each."""
    return [in_feats, *[hidden] * (num_layers - 1), out_feats]
