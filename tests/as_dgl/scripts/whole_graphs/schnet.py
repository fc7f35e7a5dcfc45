"""Energies from distances with continuous filters: SchNet in small (Schuett et al., 2017)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn.pytorch import CFConv


class RBFExpansion(nn.Module):
    def __init__(self, low, high, count):
        super().__init__()
        self.register_buffer("centers", torch.linspace(low, high, count))
        self.gamma = (count / (high - low)) ** 2

    def forward(self, distance):
        return torch.exp(-self.gamma * (distance.unsqueeze(1) - self.centers) ** 2)


class SchNet(nn.Module):
    def __init__(self, n_kinds, hidden, n_rbf, n_layers):
        super().__init__()
        self.embed = nn.Embedding(n_kinds, hidden)
        self.rbf = RBFExpansion(0.0, 4.0, n_rbf)
        self.convs = nn.ModuleList(CFConv(hidden, n_rbf, hidden, hidden) for _ in range(n_layers))
        self.project = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(n_layers))
        self.atom_energy = nn.Sequential(
            nn.Linear(hidden, hidden), nn.Softplus(), nn.Linear(hidden, 1)
        )

    def forward(self, g):
        with g.local_scope():
            h, e = self.embed(g.ndata["kind"]), self.rbf(g.edata["distance"])
            for conv, project in zip(self.convs, self.project):
                h = h + project(conv(g, h, e))
            g.ndata["energy"] = self.atom_energy(h)
            return dgl.readout_nodes(g, "energy", op="sum").squeeze(1)


def collate(samples):
    graphs, energies = map(list, zip(*samples))
    return dgl.batch(graphs), torch.stack(energies)


def cluster(n):
    """Atoms of two kinds in a box; pairs attract or repel by their kinds and distance."""
    where, kind = torch.rand(n, 3) * 2.5, torch.randint(2, (n,))
    u, v = (~torch.eye(n, dtype=torch.bool)).nonzero(as_tuple=True)
    g = dgl.graph((u, v), num_nodes=n)
    g.ndata["kind"] = kind
    g.edata["distance"] = (where[u] - where[v]).norm(dim=1)
    sign = torch.where(kind[u] == kind[v], 1.0, -1.0)
    return g, (sign * torch.exp(-g.edata["distance"])).sum()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch-size", type=int, default=30)
    args = parser.parse_args()
    torch.manual_seed(0)
    data = [cluster(int(torch.randint(4, 8, ()))) for _ in range(360)]
    loader = torch.utils.data.DataLoader(
        data[:300], batch_size=args.batch_size, shuffle=True, collate_fn=collate
    )
    model = SchNet(2, 16, 16, 2)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        for g, energy in loader:
            loss = F.mse_loss(model(g), energy)
            opt.zero_grad()
            loss.backward()
            opt.step()
        if epoch % 5 == 0:
            print(f"Epoch {epoch:02d} | Loss {loss.item():.4f}")
    with torch.no_grad():
        g, energy = collate(data[300:])
        left = F.mse_loss(model(g), energy) / energy.var(unbiased=False)
    print(f"Test R2 {1 - left.item():.4f}")


if __name__ == "__main__":
    main()
