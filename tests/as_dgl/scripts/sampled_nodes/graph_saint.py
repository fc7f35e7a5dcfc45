"""Batches of induced subgraphs: GraphSAINT with its three samplers (Zeng et al., 2020)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.dataloading import DataLoader, SAINTSampler
from dgl.nn import GraphConv


class GCN(nn.Module):
    def __init__(self, in_feats, hidden, classes):
        super().__init__()
        self.conv1 = GraphConv(in_feats, hidden, allow_zero_in_degree=True)
        self.conv2 = GraphConv(hidden, hidden, allow_zero_in_degree=True)
        self.out = nn.Linear(in_feats + 2 * hidden, classes)

    def forward(self, g, x):
        h1 = F.relu(self.conv1(g, x))
        h2 = F.relu(self.conv2(g, h1))
        return self.out(torch.cat([x, h1, h2], dim=-1))


def make_graph(n, classes):
    label = torch.randint(classes, (n,))
    u, v = torch.randint(n, (2, 15 * n))
    kept = (label[u] == label[v]) | (torch.rand(len(u)) < 0.05)
    g = dgl.to_bidirected(dgl.graph((u[kept], v[kept]), num_nodes=n))
    g.ndata["feat"] = F.one_hot(label, classes) + 1.3 * torch.randn(n, classes)
    g.ndata["label"] = label
    g.ndata["train_mask"] = torch.rand(n) < 0.5
    return g


def train(g, mode, budget, args):
    sampler = SAINTSampler(mode=mode, budget=budget, prefetch_ndata=["feat", "label", "train_mask"])
    loader = DataLoader(g, torch.arange(args.batches), sampler, num_workers=0)
    model = GCN(g.ndata["feat"].shape[1], 32, args.classes)
    opt = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(args.epochs):
        model.train()
        for subg in loader:
            mask = subg.ndata["train_mask"]
            logits = model(subg, subg.ndata["feat"])[mask]
            loss = F.cross_entropy(logits, subg.ndata["label"][mask])
            opt.zero_grad()
            loss.backward()
            opt.step()
    model.eval()
    with torch.no_grad():
        right = model(g, g.ndata["feat"]).argmax(1) == g.ndata["label"]
    accuracy = right[~g.ndata["train_mask"]].float().mean().item()
    print(f"{mode} | Nodes {subg.num_nodes()} | Loss {loss.item():.4f} | Accuracy {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    args = parser.parse_args()
    dgl.seed(0)
    torch.manual_seed(0)
    g = make_graph(1500, args.classes)
    modes = {"node": 500, "edge": 400, "walk": (150, 3)}
    print(f"Lowest test accuracy {min(train(g, *item, args) for item in modes.items()):.4f}")
