"""DeepWalk: embeddings from random walks alone, then a linear classifier (Perozzi et al., 2014)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn import DeepWalk
from torch.utils.data import DataLoader


def club(n, n_groups):
    group = torch.arange(n) % n_groups
    u, v = torch.randint(n, (2, 12 * n))
    kept = (group[u] == group[v]) | (torch.rand(len(u)) < 0.05)
    g = dgl.graph((u[kept], v[kept]), num_nodes=n)
    # Everyone knows the next one of the group, so that no walk ends.
    g = dgl.add_edges(g, torch.arange(n), (torch.arange(n) + n_groups) % n)
    g = dgl.add_reverse_edges(g)
    g.ndata["label"] = group
    return g


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--walk-length", type=int, default=20)
    args = parser.parse_args()
    torch.manual_seed(0)
    dgl.seed(0)
    g = club(400, 4)
    model = DeepWalk(
        g, emb_dim=args.dim, walk_length=args.walk_length, window_size=3, neg_weight=1, sparse=True
    )
    dataloader = DataLoader(
        torch.arange(g.num_nodes()), batch_size=64, shuffle=True, collate_fn=model.sample
    )
    optimizer = torch.optim.SparseAdam(model.parameters(), lr=0.03)
    for epoch in range(args.epochs):
        for batch_walk in dataloader:
            loss = model(batch_walk)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"Epoch {epoch} | Loss {loss.item():.4f}")

    embedding = model.node_embed.weight.detach()
    train, test = torch.randperm(g.num_nodes()).split([100, 300])
    classify = nn.Linear(args.dim, 4)
    opt = torch.optim.Adam(classify.parameters(), lr=0.1, weight_decay=1e-3)
    for _ in range(60):
        loss = F.cross_entropy(classify(embedding[train]), g.ndata["label"][train])
        opt.zero_grad()
        loss.backward()
        opt.step()
    right = classify(embedding[test]).argmax(1) == g.ndata["label"][test]
    print(f"Test accuracy {right.float().mean().item():.4f}")
