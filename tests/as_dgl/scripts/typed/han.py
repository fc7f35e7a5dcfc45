"""Attention within metapaths and between them: HAN (Wang et al., 2019)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn.pytorch import GATConv


class SemanticAttention(nn.Module):
    def __init__(self, in_size, hidden_size=32):
        super().__init__()
        self.project = nn.Sequential(
            nn.Linear(in_size, hidden_size), nn.Tanh(), nn.Linear(hidden_size, 1, bias=False)
        )

    def forward(self, z):
        beta = torch.softmax(self.project(z).mean(0), dim=0)
        return (beta.unsqueeze(0) * z).sum(1), beta.flatten()


class HANLayer(nn.Module):
    def __init__(self, meta_paths, in_size, out_size, heads):
        super().__init__()
        self.gat_layers = nn.ModuleList(
            GATConv(in_size, out_size, heads, activation=F.elu, allow_zero_in_degree=True)
            for _ in meta_paths
        )
        self.semantic_attention = SemanticAttention(out_size * heads)
        self.meta_paths = [tuple(path) for path in meta_paths]
        self._cached = {}

    def forward(self, g, h):
        if not self._cached:
            for path in self.meta_paths:
                self._cached[path] = dgl.metapath_reachable_graph(g, path)
        z = [
            gat(self._cached[path], h).flatten(1)
            for path, gat in zip(self.meta_paths, self.gat_layers)
        ]
        return self.semantic_attention(torch.stack(z, dim=1))


class HAN(nn.Module):
    def __init__(self, meta_paths, in_size, hidden, out_size, heads):
        super().__init__()
        self.layer = HANLayer(meta_paths, in_size, hidden, heads)
        self.predict = nn.Linear(hidden * heads, out_size)

    def forward(self, g, h):
        h, beta = self.layer(g, h)
        return self.predict(h), beta


def main(args):
    torch.manual_seed(0)
    n, classes = 600, 3
    label = torch.randint(classes, (n,))
    ids = torch.arange(n)
    author = torch.randint(50, (n,)) * classes + label  # an author stays in a field
    term = torch.randint(20, (n,))  # a term is used everywhere
    g = dgl.heterograph(
        {
            ("paper", "pa", "author"): (ids, author),
            ("author", "ap", "paper"): (author, ids),
            ("paper", "pt", "term"): (ids, term),
            ("term", "tp", "paper"): (term, ids),
        }
    )
    feat = F.one_hot(label, classes) + 1.2 * torch.randn(n, classes)
    train, test = torch.randperm(n).split([300, 300])
    model = HAN([["pa", "ap"], ["pt", "tp"]], classes, 8, classes, args.heads)
    opt = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-3)
    for epoch in range(args.epochs):
        logits, beta = model(g, feat)
        loss = F.cross_entropy(logits[train], label[train])
        opt.zero_grad()
        loss.backward()
        opt.step()
        if epoch % 10 == 0:
            print(f"Epoch {epoch} | Loss {loss.item():.4f} | Weight of pa-ap {beta[0].item():.3f}")
    with torch.no_grad():
        logits, beta = model(g, feat)
    right = (logits.argmax(1) == label)[test].float().mean().item()
    print(f"Test accuracy {right:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--heads", type=int, default=4)
    main(parser.parse_args())
