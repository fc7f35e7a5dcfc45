"""Nodes sorted and read by a one-dimensional convolution: DGCNN (Zhang et al., 2018)."""

import argparse
from itertools import pairwise

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.dataloading import GraphDataLoader
from dgl.nn.pytorch import GraphConv, SortPooling


class DGCNN(nn.Module):
    def __init__(self, in_feats, hidden, n_layers, k, classes):
        super().__init__()
        sizes = [in_feats] + [hidden] * n_layers + [1]  # nodes are sorted by the last one
        self.layers = nn.ModuleList(GraphConv(a, b) for a, b in pairwise(sizes))
        self.pooling = SortPooling(k=k)
        width = sum(sizes[1:])
        self.conv_1 = nn.Conv1d(1, 16, width, width)
        self.conv_2 = nn.Conv1d(16, 16, 3)
        self.linear = nn.Linear(16 * (k // 2 - 2), classes)

    def forward(self, g, h):
        outputs = []
        for layer in self.layers:
            h = torch.tanh(layer(g, h))
            outputs.append(h)
        x = self.pooling(g, torch.cat(outputs, dim=-1)).unsqueeze(1)
        x = F.max_pool1d(F.relu(self.conv_1(x)), 2)
        return self.linear(F.relu(self.conv_2(x)).flatten(1))


def network(label):
    """Links everywhere (0), or more of them at a few hubs (1)."""
    n = int(torch.randint(12, 24, ()))
    u, v = torch.randint(n, (2, 2 * n))
    if label == 1:
        u[:n] = torch.randint(2, (n,))
    g = dgl.to_bidirected(dgl.graph((u, v), num_nodes=n))
    g = dgl.add_self_loop(dgl.remove_self_loop(g))
    g.ndata["feat"] = F.one_hot(g.in_degrees().clamp(max=9), 10).float()
    return g, label


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--k", type=int, default=14)
    args = parser.parse_args()
    torch.manual_seed(0)
    data = [network(i % 2) for i in range(240)]
    train_loader = GraphDataLoader(data[:160], batch_size=20, shuffle=True, drop_last=False)
    test_loader = GraphDataLoader(data[160:], batch_size=80)
    model = DGCNN(10, 16, 2, args.k, 2)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        for g, y in train_loader:
            loss = F.cross_entropy(model(g, g.ndata["feat"]), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        if epoch % 4 == 0:
            print(f"Epoch {epoch:02d} | Loss {loss.item():.4f}")
    with torch.no_grad():
        right = [model(g, g.ndata["feat"]).argmax(1) == y for g, y in test_loader]
    print(f"Test accuracy {torch.cat(right).float().mean().item():.4f}")
