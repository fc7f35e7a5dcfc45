"""Topology adaptive convolutions: a signal three steps away on a ring (Du et al., 2017)."""

import argparse

import dgl
import networkx as nx
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn.pytorch import TAGConv


class TAGCN(nn.Module):
    def __init__(self, g, in_feats, n_hidden, n_classes, hops, dropout):
        super().__init__()
        self.g = g
        self.layers = nn.ModuleList(
            [
                TAGConv(in_feats, n_hidden, k=hops, activation=F.relu),
                TAGConv(n_hidden, n_classes, k=hops),
            ]
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, features):
        h = features
        for i, layer in enumerate(self.layers):
            if i:
                h = self.dropout(h)
            h = layer(self.g, h)
        return h


def main(args):
    torch.manual_seed(0)
    # A ring on which a sign travels: a node's class is the sign three steps before or after it.
    n = 1500
    g = dgl.from_networkx(nx.cycle_graph(n))
    assert g.num_edges() == 2 * n
    sign = torch.randint(0, 2, (n,)) * 2.0 - 1
    label = ((sign.roll(3) + sign.roll(-3)) > 0).long()
    order = torch.randperm(n)
    train_nid, test_nid = order[:1000], order[1000:]
    feat = torch.stack([sign, torch.ones(n)], 1)

    model = TAGCN(g, 2, args.n_hidden, 2, args.hops, args.dropout)
    opt = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=5e-5)
    for epoch in range(args.n_epochs):
        model.train()
        loss = F.cross_entropy(model(feat)[train_nid], label[train_nid])
        opt.zero_grad()
        loss.backward()
        opt.step()
        if epoch % 20 == 0:
            print(f"Epoch {epoch:03d} | Loss {loss.item():.4f}")
    model.eval()
    with torch.no_grad():
        accuracy = (model(feat)[test_nid].argmax(1) == label[test_nid]).float().mean()
    print(f"Test accuracy {accuracy.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="TAGCN")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--hops", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--n-epochs", type=int, default=120)
    parser.add_argument("--n-hidden", type=int, default=32)
    main(parser.parse_args())
