"""A deep GCN with initial residuals: labels lie many hops away (Chen et al., 2020)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn import GCN2Conv


class GCNII(nn.Module):
    def __init__(self, in_feats, hidden, classes, n_layers, alpha, lambda_):
        super().__init__()
        self.embed = nn.Linear(in_feats, hidden)
        self.convs = nn.ModuleList(
            GCN2Conv(hidden, layer=i + 1, alpha=alpha, lambda_=lambda_, activation=nn.ReLU())
            for i in range(n_layers)
        )
        self.out = nn.Linear(hidden, classes)

    def forward(self, g, feat):
        h = h0 = F.relu(self.embed(feat))
        for conv in self.convs:
            h = conv(g, h, h0)
        return self.out(h)


def chains(n_chains, length, n_classes):
    """Paths whose first node alone knows the class of all of them."""
    label = torch.randint(n_classes, (n_chains,))
    start = torch.arange(n_chains).view(-1, 1) * length
    step = torch.arange(length - 1)
    src = (start + step).flatten()
    g = dgl.graph((src, src + 1), num_nodes=n_chains * length)
    g = dgl.add_self_loop(dgl.add_reverse_edges(g))
    feat = torch.randn(n_chains * length, n_classes) * 0.1
    feat[start.flatten(), label] += 3
    return g, feat, label.repeat_interleave(length)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--length", type=int, default=8)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=40)
    args = parser.parse_args()
    torch.manual_seed(0)
    g, feat, label = chains(120, args.length, 3)
    is_train = torch.arange(120).repeat_interleave(args.length) < 80
    model = GCNII(3, 32, 3, args.layers, alpha=0.1, lambda_=0.5)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        loss = F.cross_entropy(model(g, feat)[is_train], label[is_train])
        opt.zero_grad()
        loss.backward()
        opt.step()
        if epoch % 10 == 0:
            print(f"Epoch {epoch:02d} | Loss {loss.item():.4f}")
    with torch.no_grad():
        right = (model(g, feat).argmax(1) == label)[~is_train]
    # The far half of every chain, which nothing but depth reaches.
    far = right.view(40, args.length)[:, args.length // 2 :]
    print(f"Accuracy on far nodes {far.float().mean().item():.4f}")


if __name__ == "__main__":
    main()
