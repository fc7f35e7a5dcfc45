"""Semi-supervised node classification with GCN on the whole graph (Kipf and Welling, 2017)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn import GraphConv


class GCN(nn.Module):
    def __init__(self, in_feats, n_hidden, n_classes, n_layers, dropout):
        super().__init__()
        sizes = [in_feats] + [n_hidden] * (n_layers - 1) + [n_classes]
        self.layers = nn.ModuleList()
        for i in range(n_layers):
            last = i == n_layers - 1
            self.layers.append(
                GraphConv(sizes[i], sizes[i + 1], activation=None if last else F.relu)
            )
        self.dropout = nn.Dropout(dropout)

    def forward(self, g, h):
        for i, layer in enumerate(self.layers):
            if i > 0:
                h = self.dropout(h)
            h = layer(g, h)
        return h


def citations(n_papers, n_classes):
    """Papers cite mostly within their field; features alone tell little of it."""
    label = torch.randint(n_classes, (n_papers,))
    src, dst = torch.randint(n_papers, (2, 20 * n_papers))
    kept = (label[src] == label[dst]) | (torch.rand(len(src)) < 0.08)
    g = dgl.graph((src[kept], dst[kept]), num_nodes=n_papers)
    g.ndata["feat"] = F.one_hot(label, n_classes) + torch.randn(n_papers, n_classes)
    g.ndata["label"] = label
    order = torch.randperm(n_papers)
    for name, ids in zip(
        ("train_mask", "val_mask", "test_mask"), order.split(n_papers * 2 // 5 + 1)
    ):
        g.ndata[name] = torch.zeros(n_papers, dtype=torch.bool).index_fill(0, ids, True)
    return g


def evaluate(model, g, mask):
    model.eval()
    with torch.no_grad():
        pred = model(g, g.ndata["feat"])[mask].argmax(1)
    return (pred == g.ndata["label"][mask]).float().mean().item()


def main(args):
    torch.manual_seed(args.seed)
    g = citations(1000, 5)
    g = dgl.add_self_loop(dgl.remove_self_loop(g))
    model = GCN(g.ndata["feat"].shape[1], args.n_hidden, 5, args.n_layers, args.dropout)
    opt = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=5e-4)
    train_mask = g.ndata["train_mask"]
    best_val, test = 0, 0
    for epoch in range(args.n_epochs):
        model.train()
        logits = model(g, g.ndata["feat"])
        loss = F.cross_entropy(logits[train_mask], g.ndata["label"][train_mask])
        opt.zero_grad()
        loss.backward()
        opt.step()
        if epoch % 5 == 4:
            val = evaluate(model, g, g.ndata["val_mask"])
            if val > best_val:
                best_val, test = val, evaluate(model, g, g.ndata["test_mask"])
            print(f"Epoch {epoch:03d} | Loss {loss.item():.4f} | Validation {val:.4f}")
    print(f"Test accuracy {test:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="GCN")
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--n-epochs", type=int, default=40)
    parser.add_argument("--n-hidden", type=int, default=16)
    parser.add_argument("--n-layers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
