"""Graph attention on sampled blocks, with int32 ids and features sliced by the loader."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn.pytorch import GATConv


class GAT(nn.Module):
    def __init__(self, in_feats, hidden, classes, heads):
        super().__init__()
        self.layers = nn.ModuleList()
        self.layers.append(
            GATConv(
                (in_feats, in_feats), hidden, heads, activation=F.elu, allow_zero_in_degree=True
            )
        )
        self.layers.append(
            GATConv((hidden * heads,) * 2, classes, 1, allow_zero_in_degree=True, residual=True)
        )

    def forward(self, blocks, h):
        for i, (layer, block) in enumerate(zip(self.layers, blocks)):
            h_dst = h[: block.num_dst_nodes()]
            h = layer(block, (h, h_dst))
            h = h.flatten(1) if i == 0 else h.mean(1)
        return h


def load_subtensor(nfeat, labels, seeds, input_nodes):
    return nfeat[input_nodes.long()], labels[seeds.long()]


def evaluate(model, dataloader, nfeat, labels):
    right = total = 0
    with torch.no_grad():
        for input_nodes, seeds, blocks in dataloader:
            x, y = load_subtensor(nfeat, labels, seeds, input_nodes)
            right += (model(blocks, x).argmax(1) == y).sum().item()
            total += len(y)
    return right / total


def main(args):
    torch.manual_seed(0)
    dgl.seed(0)
    n, c = 2000, 4
    labels = torch.randint(c, (n,))
    u, v = torch.randint(n, (2, 30 * n))
    kept = (labels[u] == labels[v]) | (torch.rand(len(u)) < 0.08)
    nfeat = F.one_hot(labels, c) + 1.5 * torch.randn(n, c)
    g = dgl.graph((u[kept], v[kept]), num_nodes=n, idtype=torch.int32)
    train_nid, test_nid = torch.randperm(n, dtype=torch.int32).split([1000, 1000])

    sampler = dgl.dataloading.MultiLayerNeighborSampler([args.fan_out, args.fan_out])
    options = {"batch_size": args.batch_size, "drop_last": False}
    loader = dgl.dataloading.DataLoader(g, train_nid, sampler, shuffle=True, **options)
    test_loader = dgl.dataloading.DataLoader(g, test_nid, sampler, **options)
    model = GAT(c, 8, c, args.num_heads)
    opt = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(args.num_epochs):
        for input_nodes, seeds, blocks in loader:
            assert all(block.idtype == torch.int32 for block in blocks)
            x, y = load_subtensor(nfeat, labels, seeds, input_nodes)
            loss = F.cross_entropy(model(blocks, x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        print(f"Epoch {epoch:02d} | Loss {loss.item():.4f}")
    print(f"Test accuracy {evaluate(model, test_loader, nfeat, labels):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=200)
    parser.add_argument("--fan-out", type=int, default=10)
    parser.add_argument("--num-epochs", type=int, default=4)
    parser.add_argument("--num-heads", type=int, default=3)
    main(parser.parse_args())
