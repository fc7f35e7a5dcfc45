"""Link prediction with GraphSAGE: sampled edges, sampled negatives, own edges left out."""

import argparse

import dgl
import dgl.nn as dglnn
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.dataloading import (
    DataLoader,
    NeighborSampler,
    as_edge_prediction_sampler,
    negative_sampler,
)


class SAGE(nn.Module):
    def __init__(self, in_size, hid_size):
        super().__init__()
        self.layers = nn.ModuleList(
            [dglnn.SAGEConv(in_size, hid_size, "mean"), dglnn.SAGEConv(hid_size, hid_size, "mean")]
        )
        self.predictor = nn.Sequential(
            nn.Linear(hid_size, hid_size), nn.ReLU(), nn.Linear(hid_size, 1)
        )

    def forward(self, pair_graph, neg_pair_graph, blocks, x):
        h = self.layers[1](blocks[1], F.relu(self.layers[0](blocks[0], x)))
        pos_src, pos_dst = pair_graph.edges()
        neg_src, neg_dst = neg_pair_graph.edges()
        h_pos = self.predictor(h[pos_src] * h[pos_dst])
        h_neg = self.predictor(h[neg_src] * h[neg_dst])
        return h_pos, h_neg


def reciprocal(n, groups):
    """Edges e and e + E/2 are each other's reverse."""
    group = torch.randint(groups, (n,))
    u, v = torch.randint(n, (2, 40 * n))
    kept = ((group[u] == group[v]) | (torch.rand(len(u)) < 0.02)) & (u < v)
    g = dgl.to_simple(dgl.graph((u[kept], v[kept]), num_nodes=n))
    src, dst = g.edges()
    g = dgl.graph((torch.cat([src, dst]), torch.cat([dst, src])), num_nodes=n)
    g.ndata["feat"] = F.one_hot(group, groups) + 0.7 * torch.randn(n, groups)
    return g


def auc(pos, neg):
    rank = torch.cat([pos, neg]).argsort().argsort()[: len(pos)].double() + 1
    return ((rank.sum() - len(pos) * (len(pos) + 1) / 2) / (len(pos) * len(neg))).item()


def main(args):
    torch.manual_seed(0)
    dgl.seed(0)
    g = reciprocal(1500, 6)
    half = g.num_edges() // 2
    reverse_eids = torch.cat([torch.arange(half, 2 * half), torch.arange(half)])
    train, test = torch.randperm(half).split([half - 500, 500])
    sampler = as_edge_prediction_sampler(
        NeighborSampler([10, 10], prefetch_node_feats=["feat"]),
        exclude="reverse_id",
        reverse_eids=reverse_eids,
        negative_sampler=negative_sampler.Uniform(1),
    )
    model = SAGE(6, 32)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        for it, batch in enumerate(DataLoader(g, train, sampler, batch_size=512, shuffle=True)):
            _, pair_graph, neg_pair_graph, blocks = batch
            # Neither a seed nor its reverse is on the way to its own score.
            used = torch.cat([block.edata[dgl.EID] for block in blocks])
            assert not torch.isin(reverse_eids[pair_graph.edata[dgl.EID]], used).any()
            pos, neg = model(pair_graph, neg_pair_graph, blocks, blocks[0].srcdata["feat"])
            score = torch.cat([pos, neg])
            target = torch.cat([torch.ones_like(pos), torch.zeros_like(neg)])
            loss = F.binary_cross_entropy_with_logits(score, target)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if it == args.max_steps:
                break
        print(f"Epoch {epoch} | Loss {loss.item():.4f}")
    with torch.no_grad():
        ((_, *graphs, blocks),) = DataLoader(g, test, sampler, batch_size=500)
        pos, neg = model(*graphs, blocks, blocks[0].srcdata["feat"])
    print(f"Test AUC {auc(pos.flatten(), neg.flatten()):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--max-steps", type=int, default=100)
    main(parser.parse_args())
