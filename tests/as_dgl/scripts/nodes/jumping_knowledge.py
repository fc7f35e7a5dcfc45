"""Representations of every depth, joined by jumping knowledge (Xu et al., 2018)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn import GraphConv, JumpingKnowledge


class JKNet(nn.Module):
    def __init__(self, in_dim, hid_dim, out_dim, num_layers, mode):
        super().__init__()
        self.convs = nn.ModuleList(
            GraphConv(in_dim if i == 0 else hid_dim, hid_dim, activation=F.relu)
            for i in range(num_layers)
        )
        self.jump = (
            JumpingKnowledge(mode, hid_dim, num_layers)
            if mode == "lstm"
            else (JumpingKnowledge(mode))
        )
        self.output = nn.Linear(hid_dim * num_layers if mode == "cat" else hid_dim, out_dim)

    def reset_parameters(self):
        self.output.reset_parameters()
        for layer in self.convs:
            layer.reset_parameters()
        self.jump.reset_parameters()

    def forward(self, g, feats):
        states = []
        for conv in self.convs:
            feats = conv(g, feats)
            states.append(feats)
        return self.output(self.jump(states))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--layers", type=int, default=4)
    args = parser.parse_args()
    torch.manual_seed(0)
    dgl.seed(0)
    # Random links among all, and links within a group: near and far neighbours both matter.
    n = 900
    group = torch.arange(n) // (n // 3)
    near = torch.randint(n // 3, (4 * n,)) + group.repeat(4) * (n // 3)
    g = dgl.rand_graph(n, n)
    g = dgl.add_edges(g, torch.arange(n).repeat(4), near)
    g = dgl.add_self_loop(dgl.add_reverse_edges(g))
    feat = F.one_hot(group, 3) + 2 * torch.randn(n, 3)
    train, test = torch.randperm(n).split([n // 3, n - n // 3])
    results = []
    for mode in ("cat", "max", "lstm"):
        model = JKNet(3, 16, 3, args.layers, mode)
        model.reset_parameters()
        opt = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(args.epochs):
            loss = F.cross_entropy(model(g, feat)[train], group[train])
            opt.zero_grad()
            loss.backward()
            opt.step()
        with torch.no_grad():
            right = model(g, feat).argmax(1) == group
        results.append(right[test].float().mean().item())
        print(f"{mode} | Loss {loss.item():.4f} | Accuracy {results[-1]:.4f}")
    print(f"Lowest test accuracy {min(results):.4f}")
