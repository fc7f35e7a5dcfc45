"""GraphSAGE on sampled blocks, at the end layer by layer for all (Hamilton et al., 2017)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.dataloading import DataLoader, MultiLayerFullNeighborSampler, NeighborSampler
from dgl.nn import SAGEConv


class SAGE(nn.Module):
    def __init__(self, in_size, hid_size, out_size):
        super().__init__()
        self.layers = nn.ModuleList(
            [SAGEConv(in_size, hid_size, "mean"), SAGEConv(hid_size, out_size, "mean")]
        )
        self.dropout = nn.Dropout(0.2)
        self.sizes = hid_size, out_size

    def forward(self, blocks, x):
        h = self.dropout(F.relu(self.layers[0](blocks[0], x)))
        return self.layers[1](blocks[1], h)

    @torch.no_grad()
    def inference(self, g, batch_size):
        x = g.ndata["feat"]
        for i, layer in enumerate(self.layers):
            y = torch.empty(g.num_nodes(), self.sizes[i])
            loader = DataLoader(
                g, g.nodes(), MultiLayerFullNeighborSampler(1), batch_size=batch_size
            )
            for input_nodes, output_nodes, blocks in loader:
                h = layer(blocks[0], x[input_nodes])
                y[output_nodes] = F.relu(h) if i == 0 else h
            x = y
        return x


def products(n, n_classes):
    """Products bought together, mostly of one category; some of them are very popular."""
    category = torch.randint(n_classes, (n,))
    popular = (torch.rand(40 * n) ** 2 * n).long()
    other = torch.randint(n, (40 * n,))
    kept = (category[popular] == category[other]) | (torch.rand(40 * n) < 0.05)
    g = dgl.graph((popular[kept], other[kept]), num_nodes=n)
    g = dgl.remove_self_loop(dgl.to_bidirected(g))
    g.ndata["feat"] = F.one_hot(category, n_classes) + 0.8 * torch.randn(n, n_classes)
    g.ndata["label"] = category
    return g


def main(args):
    torch.manual_seed(0)
    dgl.seed(0)
    g = products(3000, 8)
    print(g)
    train_nid, test_nid = torch.randperm(g.num_nodes()).split([1500, 1500])
    sampler = NeighborSampler(
        [int(fanout) for fanout in args.fan_out.split(",")],
        prefetch_node_feats=["feat"],
        prefetch_labels=["label"],
    )
    loader = DataLoader(
        g, train_nid, sampler, batch_size=args.batch_size, shuffle=True, drop_last=False
    )
    model = SAGE(8, 32, 8)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.num_epochs):
        model.train()
        total = 0.0
        for _, _, blocks in loader:
            x, y = blocks[0].srcdata["feat"], blocks[-1].dstdata["label"]
            loss = F.cross_entropy(model(blocks, x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        print(f"Epoch {epoch} | Loss {total / len(loader):.4f}")
    model.eval()
    pred = model.inference(g, 1024)[test_nid].argmax(1)
    print(f"Test accuracy {(pred == g.ndata['label'][test_nid]).float().mean().item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--fan-out", type=str, default="5,10")
    parser.add_argument("--num-epochs", type=int, default=5)
    main(parser.parse_args())
