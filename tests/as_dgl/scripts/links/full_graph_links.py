"""Link prediction on a whole graph: edges held out, two kinds of scores over graphs of pairs."""

import argparse
import itertools

import dgl
import dgl.function as fn
import numpy as np
import scipy.sparse as sp
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn import SAGEConv


class GraphSAGE(nn.Module):
    def __init__(self, in_feats, h_feats):
        super().__init__()
        self.conv1 = SAGEConv(in_feats, h_feats, "mean")
        self.conv2 = SAGEConv(h_feats, h_feats, "mean")

    def forward(self, g, in_feat):
        return self.conv2(g, F.relu(self.conv1(g, in_feat)))


class DotPredictor(nn.Module):
    def forward(self, g, h):
        with g.local_scope():
            g.ndata["h"] = h
            g.apply_edges(fn.u_dot_v("h", "h", "score"))
            return g.edata["score"][:, 0]


class MLPPredictor(nn.Module):
    def __init__(self, h_feats):
        super().__init__()
        self.W1 = nn.Linear(h_feats * 2, h_feats)
        self.W2 = nn.Linear(h_feats, 1)

    def apply_edges(self, edges):
        h = torch.cat([edges.src["h"], edges.dst["h"]], 1)
        return {"score": self.W2(F.relu(self.W1(h))).squeeze(1)}

    def forward(self, g, h):
        with g.local_scope():
            g.ndata["h"] = h
            g.apply_edges(self.apply_edges)
            return g.edata["score"]


def auc(pos, neg):
    return ((pos.view(-1, 1) > neg).double() + 0.5 * (pos.view(-1, 1) == neg)).mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--held-out", type=float, default=0.1)
    args = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    n = 500
    group = rng.integers(5, size=n)
    chance = np.where(group[:, None] == group[None], 0.1, 0.003)
    g = dgl.graph(np.nonzero(rng.random((n, n)) < chance), num_nodes=n)
    g.ndata["feat"] = F.one_hot(torch.from_numpy(group)) + 0.5 * torch.randn(n, 5)

    u, v = g.edges()
    eids = rng.permutation(g.num_edges())
    test_size = int(len(eids) * args.held_out)
    adj = sp.coo_matrix((np.ones(len(u)), (u.numpy(), v.numpy())), shape=(n, n))
    neg_u, neg_v = np.where(1 - adj.todense() - np.eye(n) != 0)
    neg = rng.choice(len(neg_u), g.num_edges(), replace=False)
    parts = {"test": slice(0, test_size), "train": slice(test_size, None)}
    pairs = {}
    for name, part in parts.items():
        pairs[name] = (
            dgl.graph((u[eids[part]], v[eids[part]]), num_nodes=n),
            dgl.graph((neg_u[neg[part]], neg_v[neg[part]]), num_nodes=n),
        )
    train_g = dgl.remove_edges(g, torch.from_numpy(eids[:test_size]))
    assert train_g.num_edges() == pairs["train"][0].num_edges()

    lowest = 1.0
    for pred in (DotPredictor(), MLPPredictor(16)):
        model = GraphSAGE(5, 16)
        parameters = itertools.chain(model.parameters(), pred.parameters())
        optimizer = torch.optim.Adam(parameters, lr=0.01)
        for _ in range(args.epochs):
            h = model(train_g, train_g.ndata["feat"])
            pos, neg_score = (pred(graph, h) for graph in pairs["train"])
            loss = F.softplus(-pos).mean() + F.softplus(neg_score).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            result = auc(*(pred(graph, h) for graph in pairs["test"]))
        print(f"{type(pred).__name__} | Loss {loss.item():.4f} | AUC {result:.4f}")
        lowest = min(lowest, result)
    print(f"Lowest test AUC {lowest:.4f}")


if __name__ == "__main__":
    main()
