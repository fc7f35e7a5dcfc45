"""The calls of DGL's examples/pytorch/graphsage/link_pred.py; nothing knows of hopflow.

https://github.com/dmlc/dgl/blob/master/examples/pytorch/graphsage/link_pred.py
"""

import argparse

import dgl
import dgl.nn as dglnn
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.dataloading import (
    DataLoader,
    MultiLayerFullNeighborSampler,
    NeighborSampler,
    as_edge_prediction_sampler,
    negative_sampler,
)
from ogb.nodeproppred import DglNodePropPredDataset


def simple_with_reverse(g):
    """An undirected graph without loops or parallel edges, and each edge's reverse."""
    g = dgl.remove_self_loop(g)
    both = dgl.add_reverse_edges(g)
    simple, mapping = dgl.to_simple(both, return_counts="count", writeback_mapping=True)
    first = torch.cat([torch.zeros(1, dtype=torch.int64), simple.edata["count"].cumsum(0)])[:-1]
    one = mapping.argsort()[first]
    reverse = mapping[torch.where(one >= g.num_edges(), one - g.num_edges(), one + g.num_edges())]
    src, dst = simple.edges()
    there, back = simple.find_edges(reverse)
    assert torch.equal(src, back)
    assert torch.equal(dst, there)
    simple.ndata["feat"] = g.ndata["feat"]
    return simple, reverse


class SAGE(nn.Module):
    def __init__(self, in_size, hid_size):
        super().__init__()
        self.layers = nn.ModuleList(
            [dglnn.SAGEConv(in_size, hid_size, "mean"), dglnn.SAGEConv(hid_size, hid_size, "mean")]
        )
        self.hid_size = hid_size
        self.predictor = nn.Sequential(
            nn.Linear(hid_size, hid_size), nn.ReLU(), nn.Linear(hid_size, 1)
        )

    def forward(self, pair_graph, neg_pair_graph, blocks, x):
        h = x
        for layer, block in zip(self.layers, blocks):
            h = F.relu(layer(block, h))
        pos_src, pos_dst = pair_graph.edges()
        neg_src, neg_dst = neg_pair_graph.edges()
        return self.predictor(h[pos_src] * h[pos_dst]), self.predictor(h[neg_src] * h[neg_dst])

    def inference(self, g, device, batch_size):
        g.ndata["h"] = g.ndata["feat"]
        sampler = MultiLayerFullNeighborSampler(1, prefetch_node_feats=["h"])
        loader = DataLoader(
            g, torch.arange(g.num_nodes()), sampler, device=device, batch_size=batch_size
        )
        for layer in self.layers:
            y = torch.empty(g.num_nodes(), self.hid_size)
            for _, output_nodes, blocks in loader:
                y[output_nodes] = F.relu(layer(blocks[0], blocks[0].srcdata["h"]))
            g.ndata["h"] = y
        return g.ndata.pop("h")


def main(args):
    torch.manual_seed(0)
    device = torch.device("cpu")
    g, reverse_eids = simple_with_reverse(DglNodePropPredDataset("ogbn-arxiv", args.root)[0][0])
    seed_edges = torch.arange(g.num_edges())
    sampler = as_edge_prediction_sampler(
        NeighborSampler([10, 5], prefetch_node_feats=["feat"]),
        exclude="reverse_id",
        reverse_eids=reverse_eids,
        negative_sampler=negative_sampler.Uniform(1),
    )
    loader = DataLoader(
        g, seed_edges, sampler, device=device, batch_size=1024,
        shuffle=True, drop_last=False, num_workers=args.num_workers, use_uva=False,
    )  # fmt: skip
    model = SAGE(g.ndata["feat"].shape[1], 32).to(device)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        model.train()
        for input_nodes, pair_graph, neg_pair_graph, blocks in loader:
            assert len(input_nodes) == blocks[0].num_src_nodes()
            pos, neg = model(pair_graph, neg_pair_graph, blocks, blocks[0].srcdata["feat"])
            score = torch.cat([pos, neg])
            label = torch.cat([torch.ones_like(pos), torch.zeros_like(neg)])
            loss = F.binary_cross_entropy_with_logits(score, label)
            opt.zero_grad()
            loss.backward()
            opt.step()
        print(f"Epoch {epoch} loss {loss.item():.6f}")
    model.eval()
    with torch.no_grad():
        h = model.inference(g, device, 512)
        src, dst = g.edges()
        other = torch.randint(g.num_nodes(), src.shape)
        better = model.predictor(h[src] * h[dst]) > model.predictor(h[src] * h[other])
    print(f"edges before other pairs: {better.float().mean().item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--num-workers", type=int, default=0)
    main(parser.parse_args())
