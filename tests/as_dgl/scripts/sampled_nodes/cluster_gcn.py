"""Batches of whole clusters: Cluster-GCN (Chiang et al., 2019)."""

import argparse
import os
import tempfile

import dgl
import dgl.nn as dglnn
import torch
import torch.nn as nn
import torch.nn.functional as F


class SAGE(nn.Module):
    def __init__(self, in_feats, n_hidden, n_classes):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                dglnn.SAGEConv(in_feats, n_hidden, "mean"),
                dglnn.SAGEConv(n_hidden, n_classes, "mean"),
            ]
        )
        self.dropout = nn.Dropout(0.3)

    def forward(self, sg, x):
        h = self.dropout(F.relu(self.layers[0](sg, x)))
        return self.layers[1](sg, h)


def villages(n_villages, people, n_classes):
    """Villages whose people know each other, and a few from elsewhere; a village has one class."""
    n = n_villages * people
    village = torch.arange(n) // people
    src = torch.randint(n, (10 * n,))
    inside = village[src] * people + torch.randint(people, (10 * n,))
    dst = torch.where(torch.rand(10 * n) < 0.9, inside, torch.randint(n, (10 * n,)))
    g = dgl.to_bidirected(dgl.graph((src, dst), num_nodes=n))
    g.ndata["label"] = torch.randint(n_classes, (n_villages,))[village]
    g.ndata["feat"] = F.one_hot(g.ndata["label"], n_classes) + 2 * torch.randn(n, n_classes)
    g.ndata["train_mask"] = torch.rand(n) < 0.5
    return g


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--clusters", type=int, default=40)
    parser.add_argument("--per-batch", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    torch.manual_seed(0)
    dgl.seed(0)
    g = villages(40, 50, 4)
    with tempfile.TemporaryDirectory() as folder:
        sampler = dgl.dataloading.ClusterGCNSampler(
            g,
            args.clusters,
            cache_path=os.path.join(folder, "cluster_gcn.pkl"),
            prefetch_ndata=["feat", "label", "train_mask"],
        )
    dataloader = dgl.dataloading.DataLoader(
        g,
        torch.arange(args.clusters),
        sampler,
        batch_size=args.per_batch,
        shuffle=True,
        drop_last=False,
        num_workers=0,
    )
    model = SAGE(4, 32, 4)
    opt = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=5e-4)
    for epoch in range(args.epochs):
        model.train()
        edges = 0
        for sg in dataloader:
            mask = sg.ndata["train_mask"]
            loss = F.cross_entropy(model(sg, sg.ndata["feat"])[mask], sg.ndata["label"][mask])
            opt.zero_grad()
            loss.backward()
            opt.step()
            edges += sg.num_edges()
        kept = edges / g.num_edges()
        print(f"Epoch {epoch} | Loss {loss.item():.4f} | Edges within batches {kept:.2f}")
    assert kept > 0.5  # random clusters of this size would keep an eighth
    model.eval()
    with torch.no_grad():
        test = ~g.ndata["train_mask"]
        pred = model(g, g.ndata["feat"]).argmax(1)
    print(f"Test accuracy {(pred == g.ndata['label'])[test].float().mean().item():.4f}")
