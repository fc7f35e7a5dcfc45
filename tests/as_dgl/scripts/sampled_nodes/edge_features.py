"""What edges say tells the class: three layers that read edge features, on sampled blocks.

Every account has sums sent to it; an account is bad where the large ones come from small accounts.
"""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.dataloading import DataLoader, NeighborSampler
from dgl.nn import EGATConv, GINEConv, NNConv


class Payments(nn.Module):
    """One layer over the payments, then a decision on what has come in."""

    def __init__(self, kind, hidden=16):
        super().__init__()
        self.kind = kind
        self.node, self.edge = nn.Linear(1, hidden), nn.Linear(1, hidden)
        if kind == "gine":
            mlp = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
            self.conv = GINEConv(mlp, learn_eps=True)
        elif kind == "nnconv":
            self.conv = NNConv(1, hidden, nn.Linear(1, hidden), aggregator_type="mean")
        else:
            self.conv = EGATConv(hidden, hidden, hidden, hidden, num_heads=2)
        self.out = nn.Linear(2 * hidden if kind == "egat" else hidden, 2)

    def forward(self, block):
        x, w = block.srcdata["size"], block.edata["amount"]
        if self.kind == "gine":
            h = self.conv(block, self.node(x), self.edge(w))
        elif self.kind == "nnconv":
            h = self.conv(block, (x, block.dstdata["size"]), w)
        else:
            h, _ = self.conv(block, (self.node(x), self.node(block.dstdata["size"])), self.edge(w))
            h = h.flatten(1)
        return self.out(F.relu(h))


def transfers(n, degree):
    src = torch.randint(n, (n * degree,))
    g = dgl.graph((src, torch.arange(n).repeat_interleave(degree)), num_nodes=n)
    g.ndata["size"] = torch.randn(n, 1)
    g.ndata["label"] = torch.randint(2, (n,))
    sign = g.ndata["label"].repeat_interleave(degree).float().unsqueeze(1) * 2 - 1
    g.edata["amount"] = torch.randn(n * degree, 1) - 0.7 * sign * g.ndata["size"][src]
    return g


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    dgl.seed(0)
    g = transfers(1200, 12)
    sampler = NeighborSampler(
        [10],
        prefetch_node_feats=["size"],
        prefetch_edge_feats=["amount"],
        prefetch_labels=["label"],
    )
    train, test = torch.arange(g.num_nodes()).split([800, 400])
    lowest = 1.0
    for kind in ("gine", "nnconv", "egat"):
        model = Payments(kind)
        opt = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(args.epochs):
            for _, _, (block,) in DataLoader(g, train, sampler, batch_size=100, shuffle=True):
                loss = F.cross_entropy(model(block), block.dstdata["label"])
                opt.zero_grad()
                loss.backward()
                opt.step()
        with torch.no_grad():
            ((_, _, (block,)),) = DataLoader(g, test, sampler, batch_size=len(test))
            right = model(block).argmax(1) == block.dstdata["label"]
        lowest = min(lowest, right.float().mean().item())
        print(f"{kind} | Loss {loss.item():.4f} | Accuracy {right.float().mean().item():.4f}")
    print(f"Lowest test accuracy {lowest:.4f}")
