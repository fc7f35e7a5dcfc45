"""SIGN: features diffused beforehand, then a perceptron on rows (Frasca et al., 2020)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class FeedForwardNet(nn.Module):
    def __init__(self, in_feats, hidden, out_feats):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(in_feats, hidden), nn.Linear(hidden, out_feats)])
        self.prelu = nn.PReLU()

    def forward(self, x):
        return self.layers[1](self.prelu(self.layers[0](x)))


class SIGN(nn.Module):
    def __init__(self, in_feats, hidden, out_feats, num_hops):
        super().__init__()
        self.inception_ffs = nn.ModuleList(
            FeedForwardNet(in_feats, hidden, hidden) for _ in range(num_hops)
        )
        self.project = FeedForwardNet(num_hops * hidden, hidden, out_feats)
        self.prelu = nn.PReLU()

    def forward(self, feats):
        hidden = [ff(feat) for feat, ff in zip(feats, self.inception_ffs)]
        return self.project(self.prelu(torch.cat(hidden, dim=-1)))


def main(args):
    torch.manual_seed(0)
    n, classes = 1500, 5
    label = torch.randint(classes, (n,))
    u, v = torch.randint(n, (2, 12 * n))
    kept = (label[u] == label[v]) | (torch.rand(len(u)) < 0.05)
    g = dgl.to_bidirected(dgl.graph((u[kept], v[kept]), num_nodes=n))
    g.ndata["feat"] = F.one_hot(label, classes) + 2 * torch.randn(n, classes)
    g = dgl.add_self_loop(g)

    transform = dgl.SIGNDiffusion(
        k=args.R, in_feat_name="feat", out_feat_name="hop", diffuse_op=args.op
    )
    g = transform(g)
    feats = [g.ndata["feat"]] + [g.ndata[f"hop_{i + 1}"] for i in range(args.R)]
    data = TensorDataset(*feats, label)
    train, test = torch.utils.data.random_split(data, [900, 600])
    model = SIGN(classes, 16, classes, args.R + 1)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.num_epochs):
        for *x, y in DataLoader(train, batch_size=100, shuffle=True):
            loss = F.cross_entropy(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        print(f"Epoch {epoch} | Loss {loss.item():.4f}")
    with torch.no_grad():
        ((*x, y),) = DataLoader(test, batch_size=600)
        accuracy = (model(x).argmax(1) == y).float().mean()
    print(f"Test accuracy {accuracy.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="SIGN")
    parser.add_argument("--R", type=int, default=2, help="number of hops")
    parser.add_argument("--num-epochs", type=int, default=6)
    parser.add_argument("--op", default="gcn", choices=["raw", "rw", "gcn"])
    main(parser.parse_args())
