"""Layer-neighbour sampling: fewer nodes for the same fanouts (Balin and Catalyurek, 2023)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.dataloading import DataLoader, LaborSampler, NeighborSampler
from dgl.nn import SAGEConv


class Model(nn.Module):
    def __init__(self, in_feats, hidden, classes):
        super().__init__()
        self.conv1 = SAGEConv(in_feats, hidden, aggregator_type="mean")
        self.conv2 = SAGEConv(hidden, classes, aggregator_type="mean")

    def forward(self, mfgs, x):
        h = F.relu(self.conv1(mfgs[0], (x, x[: mfgs[0].num_dst_nodes()])))
        # LABOR gives its edges weights where it draws them with unequal chances.
        weight = mfgs[1].edata.get("edge_weights")
        return self.conv2(mfgs[1], (h, h[: mfgs[1].num_dst_nodes()]), edge_weight=weight)


def epoch_of(g, ids, sampler, batch_size):
    return DataLoader(g, ids, sampler, batch_size=batch_size, shuffle=True, num_workers=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fanout", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--importance-sampling", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(0)
    dgl.seed(0)
    n, classes = 2500, 5
    label = torch.randint(classes, (n,))
    u, v = torch.randint(n, (2, 120 * n))
    kept = (label[u] == label[v]) | (torch.rand(len(u)) < 0.05)
    g = dgl.graph((u[kept], v[kept]), num_nodes=n)
    g.ndata["feat"] = F.one_hot(label, classes) + 2.0 * torch.randn(n, classes)
    g.ndata["label"] = label
    train, test = torch.randperm(n).split([1500, 1000])

    fanouts = [args.fanout, args.fanout]
    labor = LaborSampler(fanouts, importance_sampling=args.importance_sampling)
    inputs = []
    for sampler in (labor, NeighborSampler(fanouts)):
        loader = epoch_of(g, train, sampler, args.batch_size)
        inputs.append(sum(len(input_nodes) for input_nodes, _, _ in loader))
    print(f"Input nodes an epoch: {inputs[0]} with LABOR, {inputs[1]} without")
    assert inputs[0] < inputs[1]

    model = Model(classes, 32, classes)
    opt = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(4):
        for input_nodes, output_nodes, mfgs in epoch_of(g, train, labor, args.batch_size):
            loss = F.cross_entropy(model(mfgs, g.ndata["feat"][input_nodes]), label[output_nodes])
            opt.zero_grad()
            loss.backward()
            opt.step()
        print(f"Epoch {epoch} | Loss {loss.item():.4f}")
    right = 0
    with torch.no_grad():
        for input_nodes, output_nodes, mfgs in epoch_of(g, test, labor, args.batch_size):
            pred = model(mfgs, g.ndata["feat"][input_nodes]).argmax(1)
            right += (pred == label[output_nodes]).sum().item()
    print(f"Test accuracy {right / len(test):.4f}")
