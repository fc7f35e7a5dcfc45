"""Regression on small molecules with principal neighbourhood aggregation (Corso et al., 2020)."""

import argparse
import math

import dgl
import dgl.nn as dglnn
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.dataloading import GraphDataLoader

ATOMS, BONDS = 4, 2


def molecule(n):
    """A random tree of atoms with a ring or two; its value depends on atoms, bonds and degrees."""
    parent = [int(torch.randint(max(0, i - 3), i, ())) for i in range(1, n)]
    u = torch.tensor([*parent, 0, 1])
    v = torch.tensor([*range(1, n), n - 1, n - 2])
    bond = torch.randint(BONDS, (len(u),))
    g = dgl.graph((torch.cat([u, v]), torch.cat([v, u])), num_nodes=n)
    g.ndata["atom"] = torch.randint(ATOMS, (n,))
    g.edata["bond"] = bond.repeat(2)
    charge = g.ndata["atom"].float() - 1.5
    strain = (g.in_degrees() > 2).float().mean()
    src, dst = g.edges()
    pull = (charge[src] * charge[dst] * (g.edata["bond"] * 2.0 - 1)).mean()
    return g, torch.stack([charge.mean() + pull + strain])


class PNA(nn.Module):
    def __init__(self, hidden, delta, n_layers):
        super().__init__()
        self.atom, self.bond = nn.Embedding(ATOMS, hidden), nn.Embedding(BONDS, hidden)
        self.convs = nn.ModuleList(
            dglnn.PNAConv(
                hidden,
                hidden,
                aggregators=["mean", "max", "min", "std"],
                scalers=["identity", "amplification", "attenuation"],
                delta=delta,
                num_towers=2,
                edge_feat_size=hidden,
            )
            for _ in range(n_layers)
        )
        self.out = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, g):
        h, e = self.atom(g.ndata["atom"]), self.bond(g.edata["bond"])
        for conv in self.convs:
            h = conv(g, h, e)
        with g.local_scope():
            g.ndata["h"] = h
            return self.out(dgl.mean_nodes(g, "h"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=16)
    args = parser.parse_args()
    torch.manual_seed(0)
    data = [molecule(int(torch.randint(8, 16, ()))) for _ in range(300)]
    train, test = data[:240], data[240:]
    degrees = torch.cat([g.in_degrees() for g, _ in train]).float()
    model = PNA(args.hidden, (degrees + 1).log().mean().item(), 2)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for g, y in GraphDataLoader(train, batch_size=40, shuffle=True):
            loss = F.mse_loss(model(g), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        print(f"Epoch {epoch} | RMSE {math.sqrt(total / 6):.4f}")
    model.eval()
    with torch.no_grad():
        ((g, y),) = GraphDataLoader(test, batch_size=len(test))
        left = F.mse_loss(model(g), y) / y.var(unbiased=False)
    print(f"Test R2 {1 - left.item():.4f}")
