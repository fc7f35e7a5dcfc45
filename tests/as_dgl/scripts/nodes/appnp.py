"""Predict, then propagate with personalised PageRank (Klicpera et al., 2019)."""

import argparse
from itertools import pairwise

import dgl
import numpy as np
import scipy.sparse as sp
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn.pytorch.conv import APPNPConv


class APPNP(nn.Module):
    def __init__(self, in_feats, hiddens, n_classes, feat_drop, edge_drop, alpha, k):
        super().__init__()
        sizes = [in_feats, *hiddens, n_classes]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.feat_drop = nn.Dropout(feat_drop)
        self.propagate = APPNPConv(k, alpha, edge_drop)

    def forward(self, g, h):
        h = self.feat_drop(h)
        for layer in self.layers[:-1]:
            h = F.relu(layer(h))
        h = self.layers[-1](self.feat_drop(h))
        return self.propagate(g, h)


def block_model(sizes, inside, outside, rng):
    """A scipy matrix of a stochastic block model, and the block of every node."""
    label = np.repeat(np.arange(len(sizes)), sizes)
    chance = np.where(label[:, None] == label[None], inside, outside)
    upper = np.triu(rng.random(chance.shape) < chance, 1)
    return sp.csr_matrix(upper | upper.T), label


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--edge-drop", type=float, default=0.3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--k", type=int, default=10)
    args = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    adj, label = block_model([200, 150, 250], 0.04, 0.006, rng)
    g = dgl.add_self_loop(dgl.from_scipy(adj))
    label = torch.from_numpy(label)
    feat = F.one_hot(label, 3) + torch.randn(len(label), 3)
    train = torch.from_numpy(rng.permutation(len(label))[:150])
    test = torch.ones(len(label), dtype=torch.bool)
    test[train] = False
    model = APPNP(3, [16], 3, 0.1, args.edge_drop, args.alpha, args.k)
    opt = torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=5e-4)
    for epoch in range(args.epochs):
        model.train()
        loss = F.cross_entropy(model(g, feat)[train], label[train])
        opt.zero_grad()
        loss.backward()
        opt.step()
        if epoch % 20 == 0:
            print(f"Epoch {epoch:02d} | Loss {loss.item():.4f}")
    model.eval()
    with torch.no_grad():
        accuracy = (model(g, feat)[test].argmax(1) == label[test]).float().mean()
    print(f"Test accuracy {accuracy.item():.4f}")
