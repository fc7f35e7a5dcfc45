"""The model that the command trains."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from hopflow.graphs.block import Block
from hopflow.nn import SAGEConv
from hopflow.structure.table_rows import TableRows


class GraphSAGE(nn.Module):
    """Layers of :class:`hopflow.nn.SAGEConv` with the mean aggregator, ReLU and dropout.

    Parameters
    ----------
    in_feats, hidden, num_classes : int
        Widths of the input, of each hidden layer and of the output.
    num_layers : int
        Number of layers, at least 1.
    dropout : float
        Rate of dropout on the input of every layer after the first.
    """

    def __init__(
        self, in_feats: int, hidden: int, num_classes: int, *, num_layers: int, dropout: float
    ) -> None:
        super().__init__()
        widths = [in_feats, *[hidden] * (num_layers - 1), num_classes]
        self.layers = nn.ModuleList(
            SAGEConv(widths[i], widths[i + 1], "mean") for i in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.widths = widths

    def forward(self, blocks: list[Block], x: Tensor | TableRows) -> Tensor:
        """Logits [V of the last block, num_classes] from inputs [U of the first, in_feats]."""
        first, *others = blocks
        hidden = self.layer(0, first, x)
        for i, block in enumerate(others, 1):
            hidden = self.layer(i, block, hidden)
        return hidden

    def layer(self, i: int, block: Block, x: Tensor | TableRows) -> Tensor:
        """Apply layer ``i`` and its activation: [U, widths[i]] to [V, widths[i + 1]]."""
        if i > 0:
            x = self.dropout(x)
        out: Tensor = self.layers[i](block, x)
        return functional.relu(out) if i + 1 < len(self.layers) else out
