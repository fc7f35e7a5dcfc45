"""A network that grows and loses members while a model learns from it, in place."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn import SAGEConv

GROUPS = 4


class Net(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.conv1 = SAGEConv(GROUPS, hidden, "mean")
        self.conv2 = SAGEConv(hidden, GROUPS, "mean")

    def forward(self, g):
        return self.conv2(g, F.relu(self.conv1(g, g.ndata["feat"])))


def join(g, count):
    """New members, who then make friends with those who are there."""
    group = torch.randint(GROUPS, (count,))
    feat = F.one_hot(group, GROUPS) + 1.5 * torch.randn(count, GROUPS)
    g.add_nodes(count, {"feat": feat, "group": group, "since": torch.zeros(count)})
    befriend(g, torch.arange(g.num_nodes() - count, g.num_nodes()), 12)


def befriend(g, ids, tries):
    u, v = ids.repeat(tries), torch.randint(g.num_nodes(), (len(ids) * tries,))
    same = g.ndata["group"][u] == g.ndata["group"][v]
    kept = (same | (torch.rand(len(u)) < 0.05)) & (u != v)
    kept &= ~g.has_edges_between(u, v)
    strength = {"strength": torch.ones(int(kept.sum()))}
    g.add_edges(u[kept], v[kept], strength)
    g.add_edges(v[kept], u[kept], strength)


def leave(g, share):
    """The oldest leave, and friendships fade."""
    n = int(g.num_nodes() * share)
    g.remove_nodes(g.ndata["since"].topk(n)[1])
    g.edata["strength"] *= 0.7
    g.remove_edges((g.edata["strength"] < 0.2).nonzero().flatten())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--steps", type=int, default=6)
    args = parser.parse_args()
    torch.manual_seed(0)
    dgl.seed(0)
    g = dgl.graph(([], []), num_nodes=0)
    g.ndata["feat"], g.ndata["since"] = torch.zeros(0, GROUPS), torch.zeros(0)
    g.ndata["group"] = torch.zeros(0, dtype=torch.long)
    g.edata["strength"] = torch.zeros(0)
    model = Net(16)
    opt = torch.optim.Adam(model.parameters(), lr=0.02)
    results = []
    for month in range(args.months):
        join(g, 80)
        befriend(g, g.nodes(), 3)
        # Of those who have just come nobody knows the group yet.
        new = g.ndata["since"] == 0
        with torch.no_grad():
            right = (model(g).argmax(1) == g.ndata["group"])[new].float().mean().item()
        results.append(right)
        print(f"Month {month:02d} | {g.num_nodes()} members, {g.num_edges()} edges | {right:.4f}")
        for _ in range(args.steps):
            loss = F.cross_entropy(model(g), g.ndata["group"])
            opt.zero_grad()
            loss.backward()
            opt.step()
        g.ndata["since"] += 1
        leave(g, 0.1)
    print(f"Accuracy on new members {sum(results[-4:]) / 4:.4f}")
