"""A sampler written by the user: likely edges first, every block with its in-degrees."""

import argparse
from itertools import pairwise

import dgl
import dgl.function as fn
import torch
import torch.nn as nn
import torch.nn.functional as F


class TrustSampler(dgl.dataloading.Sampler):
    """Draws in-edges by their trust; nodes of the outermost hop come with features."""

    def __init__(self, fanouts):
        super().__init__()
        self.fanouts = fanouts

    def sample(self, g, seed_nodes):
        output_nodes = seed_nodes
        subgs = []
        for k in reversed(self.fanouts):
            sg = dgl.sampling.sample_neighbors(g, seed_nodes, k, prob="trust")
            sg = dgl.to_block(sg, seed_nodes)
            sg.dstdata["deg"] = sg.in_degrees().float()
            seed_nodes = sg.srcdata[dgl.NID]
            subgs.insert(0, sg)
        input_nodes = seed_nodes
        return input_nodes, output_nodes, subgs


class Layer(nn.Module):
    def __init__(self, in_feats, out_feats):
        super().__init__()
        self.own, self.other = nn.Linear(in_feats, out_feats), nn.Linear(in_feats, out_feats)

    def forward(self, block, h):
        with block.local_scope():
            block.srcdata["h"] = h
            block.update_all(fn.copy_u("h", "m"), fn.sum("m", "total"))
            mean = block.dstdata["total"] / block.dstdata["deg"].clamp(min=1).unsqueeze(1)
            return self.own(h[: block.num_dst_nodes()]) + self.other(mean)


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.layers = nn.ModuleList(Layer(a, b) for a, b in pairwise(sizes))

    def forward(self, blocks, h):
        for layer, block in zip(self.layers[:-1], blocks[:-1]):
            h = F.relu(layer(block, h))
        return self.layers[-1](blocks[-1], h)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--fanouts", type=int, nargs="+", default=[6, 6])
    args = parser.parse_args()
    torch.manual_seed(0)
    dgl.seed(0)
    # Half of the edges mislead, but they are not trusted.
    n, c = 1500, 4
    label = torch.randint(c, (n,))
    u, v = torch.randint(n, (2, 40 * n))
    same = label[u] == label[v]
    kept = same | (torch.rand(len(u)) < 0.33)
    g = dgl.graph((u[kept], v[kept]), num_nodes=n)
    g.edata["trust"] = torch.where(same[kept], 1.0, 0.05)
    g.ndata["feat"] = F.one_hot(label, c) + 2 * torch.randn(n, c)
    train, test = torch.randperm(n).split([900, 600])
    loader = dgl.dataloading.DataLoader(
        g, train, TrustSampler(args.fanouts), batch_size=128, shuffle=True
    )
    model = Net([c, 32, c])
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        for input_nodes, output_nodes, blocks in loader:
            logits = model(blocks, g.ndata["feat"][input_nodes])
            loss = F.cross_entropy(logits, label[output_nodes])
            opt.zero_grad()
            loss.backward()
            opt.step()
        print(f"Epoch {epoch} | Loss {loss.item():.4f}")
    with torch.no_grad():
        input_nodes, _, blocks = TrustSampler(args.fanouts).sample(g, test)
        pred = model(blocks, g.ndata["feat"][input_nodes]).argmax(1)
    print(f"Test accuracy {(pred == label[test]).float().mean().item():.4f}")
