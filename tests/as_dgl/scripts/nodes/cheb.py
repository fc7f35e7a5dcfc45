"""Denoise a signal on a grid with Chebyshev filters (Defferrard et al., 2016)."""

import argparse

import dgl
import torch
import torch.nn as nn
from dgl.nn import ChebConv


def grid(side):
    """The square grid, each edge in both directions."""
    ids = torch.arange(side * side).view(side, side)
    src = torch.cat([ids[:, :-1].flatten(), ids[:-1].flatten()])
    dst = torch.cat([ids[:, 1:].flatten(), ids[1:].flatten()])
    return dgl.to_bidirected(dgl.graph((src, dst)))


class ChebNet(nn.Module):
    def __init__(self, k, hidden):
        super().__init__()
        self.first = ChebConv(1, hidden, k, activation=torch.relu)
        self.second = ChebConv(hidden, 1, k, activation=None)

    def forward(self, g, x, lambda_max):
        return self.second(g, self.first(g, x, lambda_max=lambda_max), lambda_max=lambda_max)


def waves(side, count):
    """Smooth signals on the grid, and the same under noise."""
    t = torch.linspace(0, 1, side)
    fx, fy = torch.rand(2, count, 1, 1) * 2 + 0.5
    phase = torch.rand(count, 1, 1) * 6.28
    clean = torch.sin(6.28 * (fx * t.view(1, side, 1) + fy * t.view(1, 1, side)) + phase)
    clean = clean.reshape(count, -1, 1)
    return clean + 0.8 * torch.randn_like(clean), clean


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(0)
    g = grid(args.side)
    largest = dgl.laplacian_lambda_max(g)
    print(f"{g.num_nodes()} nodes, {g.num_edges()} edges, lambda_max {largest[0]:.3f}")
    noisy, clean = waves(args.side, 32)
    model = ChebNet(args.k, 16)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        total = 0.0
        for i in range(24):
            loss = nn.functional.mse_loss(model(g, noisy[i], largest), clean[i])
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        print(f"Epoch {epoch} | Loss {total / 24:.4f}")
    with torch.no_grad():
        left = sum(((model(g, noisy[i], largest) - clean[i]) ** 2).mean() for i in range(24, 32))
    noise = sum(((noisy[i] - clean[i]) ** 2).mean() for i in range(24, 32))
    print(f"Noise removed {(1 - left / noise).item():.4f}")
