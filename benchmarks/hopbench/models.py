"""The models of the epoch cases, for hopflow, DGL and PyG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from hopbench.engines import functions


class TutorialConv(nn.Module):
    """SAGEConv as DGL's tutorial on stochastic training writes it by hand."""

    def __init__(self, engine: str, in_feats: int, out_feats: int) -> None:
        super().__init__()
        self.fn = functions(engine)
        self.linear = nn.Linear(in_feats * 2, out_feats)

    def forward(self, g: Any, h: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """The mean of the in-neighbours beside the node's own features, through a linear layer."""
        with g.local_scope():
            h_src, h_dst = h
            g.srcdata["h"] = h_src
            g.dstdata["h"] = h_dst
            g.update_all(self.fn.copy_u("h", "m"), self.fn.mean("m", "h_N"))
            return self.linear(torch.cat([h_dst, g.dstdata["h_N"]], dim=1))


class TutorialModel(nn.Module):
    """The tutorial's two layers."""

    def __init__(self, engine: str, in_feats: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.conv1 = TutorialConv(engine, in_feats, hidden)
        self.conv2 = TutorialConv(engine, hidden, classes)

    def forward(self, blocks: Sequence[Any], x: torch.Tensor) -> torch.Tensor:
        """Logits of the seeds."""
        h = functional.relu(self.conv1(blocks[0], (x, x[: blocks[0].num_dst_nodes()])))
        return self.conv2(blocks[1], (h, h[: blocks[1].num_dst_nodes()]))


class Sage(nn.Module):
    """GraphSAGE of the engine's own mean SAGEConv, over hopflow's or DGL's blocks."""

    def __init__(self, engine: str, widths: Sequence[int]) -> None:
        super().__init__()
        if engine == "hopflow":
            from hopflow.nn import SAGEConv
        else:
            from dgl.nn import SAGEConv
        self.convs = nn.ModuleList(SAGEConv(a, b, "mean") for a, b in pairwise(widths))

    def forward(self, blocks: Sequence[Any], x: torch.Tensor) -> torch.Tensor:
        """Logits of the seeds."""
        for i, (conv, block) in enumerate(zip(self.convs, blocks)):
            x = conv(block, x if i == 0 else functional.relu(x))
        return x


class PygSage(nn.Module):
    """The same of PyG's SAGEConv, over its NeighborLoader's batches."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        from torch_geometric.nn import SAGEConv

        self.convs = nn.ModuleList(SAGEConv(a, b) for a, b in pairwise(widths))

    def forward(self, batch: Any) -> torch.Tensor:
        """Logits of the seeds; where it can, a layer computes only nodes that later ones need."""
        from torch_geometric.utils import trim_to_layer

        x, edges = batch.x, batch.adj_t if "adj_t" in batch else batch.edge_index
        for i, conv in enumerate(self.convs):
            if "num_sampled_nodes" in batch:  # pyg-lib tells them, torch-sparse does not
                x, edges, _ = trim_to_layer(
                    i, batch.num_sampled_nodes, batch.num_sampled_edges, x, edges
                )
            x = conv(x if i == 0 else functional.relu(x), edges)
        return x[: batch.batch_size]


def flops(rows: Sequence[int], widths: Sequence[int], is_training: bool) -> float:
    """Operations of the dense products: two weights a layer, applied to each of its ``rows``.

    Backward costs as much again for the weights and, but for the first layer, for the inputs.
    """
    total = 0.0
    for i, (count, (a, b)) in enumerate(zip(rows, pairwise(widths))):
        total += 2.0 * count * 2 * a * b * ((2 if i == 0 else 3) if is_training else 1)
    return total
