"""Nodes without features, told apart by where they are: positions from the Laplacian."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn import SAGEConv


class Net(nn.Module):
    def __init__(self, in_size, hidden, classes):
        super().__init__()
        self.conv = SAGEConv(in_size, hidden, "mean", activation=F.relu)
        self.out = nn.Linear(hidden, classes)

    def forward(self, g, x):
        return self.out(self.conv(g, x))


def quarters(n, classes):
    """Neighbourhoods look alike all over the town; few streets lead out of a quarter."""
    quarter = torch.randint(classes, (n,))
    u, v = torch.randint(n, (2, 14 * n))
    kept = (quarter[u] == quarter[v]) | (torch.rand(len(u)) < 0.05)
    ring = torch.arange(n)  # so that nobody is alone
    g = dgl.graph((torch.cat([u[kept], ring]), torch.cat([v[kept], ring.roll(-1)])))
    return dgl.remove_self_loop(dgl.to_bidirected(g)), quarter


def accuracy(g, columns, label, train, test, epochs):
    torch.manual_seed(0)
    x = torch.cat([g.ndata[name] for name in columns], 1)
    x = (x - x.mean(0)) / (x.std(0) + 1e-6)
    model = Net(x.shape[1], 16, 4)
    opt = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(epochs):
        loss = F.cross_entropy(model(g, x)[train], label[train])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        right = model(g, x).argmax(1) == label
    result = right[test].float().mean().item()
    print(f"{'+'.join(columns)} | Loss {loss.item():.4f} | Accuracy {result:.4f}")
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--k", type=int, default=4)
    args = parser.parse_args()
    torch.manual_seed(0)
    g, label = quarters(400, 4)
    g = dgl.Compose(
        [
            dgl.LapPE(k=args.k, feat_name="where", eigval_name="eigval"),
            dgl.RandomWalkPE(k=4, feat_name="around"),
        ]
    )(g)
    assert g.ndata["eigval"].shape == (400, args.k)
    train, test = torch.randperm(400).split([80, 320])
    without = accuracy(g, ["around"], label, train, test, args.epochs)
    assert without < 0.5  # how often walks come back says nothing of the quarter
    result = accuracy(g, ["where", "around"], label, train, test, args.epochs)
    print(f"Test accuracy {result:.4f}")


if __name__ == "__main__":
    main()
