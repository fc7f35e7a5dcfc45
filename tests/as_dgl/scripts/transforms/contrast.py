"""Learn without labels from two views with edges and features dropped: GRACE (Zhu et al., 2020)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn import GraphConv
from dgl.transforms import AddSelfLoop, Compose, DropEdge, FeatMask, RemoveSelfLoop


class Encoder(nn.Module):
    def __init__(self, in_dim, out_dim):
        super().__init__()
        self.conv1 = GraphConv(in_dim, 2 * out_dim, activation=F.relu)
        self.conv2 = GraphConv(2 * out_dim, out_dim, activation=F.relu)

    def forward(self, g, x):
        return self.conv2(g, self.conv1(g, x))


class Grace(nn.Module):
    def __init__(self, in_dim, hid_dim, temperature):
        super().__init__()
        self.encoder = Encoder(in_dim, hid_dim)
        self.project = nn.Sequential(
            nn.Linear(hid_dim, hid_dim), nn.ELU(), nn.Linear(hid_dim, hid_dim)
        )
        self.temperature = temperature

    def one_side(self, a, b):
        near = torch.exp(F.normalize(a) @ F.normalize(a).T / self.temperature)
        across = torch.exp(F.normalize(a) @ F.normalize(b).T / self.temperature)
        return -(across.diag() / (near.sum(1) + across.sum(1) - near.diag())).log().mean()

    def forward(self, view1, view2):
        z1, z2 = (self.project(self.encoder(view, view.ndata["feat"])) for view in (view1, view2))
        return (self.one_side(z1, z2) + self.one_side(z2, z1)) / 2


def view(p_edge, p_feat):
    return Compose(
        [
            RemoveSelfLoop(),
            DropEdge(p=p_edge),
            AddSelfLoop(),
            FeatMask(p=p_feat, node_feat_names=["feat"]),
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--der", type=float, nargs=2, default=[0.2, 0.4])
    parser.add_argument("--dfr", type=float, nargs=2, default=[0.1, 0.3])
    parser.add_argument("--temp", type=float, default=0.5)
    args = parser.parse_args()
    dgl.seed(0)
    torch.manual_seed(0)
    n, classes = 500, 4
    label = torch.randint(classes, (n,))
    u, v = torch.randint(n, (2, 15 * n))
    kept = (label[u] == label[v]) | (torch.rand(len(u)) < 0.05)
    g = dgl.to_bidirected(dgl.graph((u[kept], v[kept]), num_nodes=n))
    feat = F.one_hot(label, classes).repeat(1, 4) + 2 * torch.randn(n, 4 * classes)
    views = [view(*p) for p in zip(args.der, args.dfr)]
    model = Grace(4 * classes, 16, args.temp)
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(args.epochs):
        g.ndata["feat"] = feat.clone()
        seen = []
        for transform in views:
            changed = transform(g.clone())
            assert g.num_edges() > changed.num_edges() - n
            seen.append(changed)
            g.ndata["feat"] = feat.clone()
        loss = model(*seen)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if epoch % 10 == 0:
            print(f"Epoch {epoch:02d} | Loss {loss.item():.4f}")
    with torch.no_grad():
        embeds = F.normalize(model.encoder(dgl.add_self_loop(g), feat))
    train, test = torch.randperm(n).split([60, n - 60])
    probe = nn.Linear(16, classes)
    opt = torch.optim.Adam(probe.parameters(), lr=0.1)
    for _ in range(80):
        loss = F.cross_entropy(probe(embeds[train]), label[train])
        opt.zero_grad()
        loss.backward()
        opt.step()
    right = probe(embeds[test]).argmax(1) == label[test]
    print(f"Test accuracy {right.float().mean().item():.4f}")
