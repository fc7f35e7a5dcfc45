"""Attention that GATv2 can express and GAT cannot: one key among many (Brody et al., 2022).

Every query is joined to all keys of its own graph and has to find the one whose number it holds.
"""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn import GATv2Conv


def lookup(n_graphs, n_keys):
    """Bipartite graphs, batched: n_keys keys with values, n_keys queries for them."""
    src = torch.arange(n_keys).repeat_interleave(n_keys)
    dst = torch.arange(n_keys).repeat(n_keys)
    graphs, labels = [], []
    for _ in range(n_graphs):
        g = dgl.heterograph({("key", "answers", "query"): (src, dst)})
        value, asked = torch.randperm(n_keys), torch.randperm(n_keys)
        g.nodes["key"].data["k"] = torch.arange(n_keys)
        g.nodes["key"].data["v"] = value
        g.nodes["query"].data["k"] = asked
        graphs.append(g)
        labels.append(value[asked])
    return dgl.batch(graphs), torch.cat(labels)


class Lookup(nn.Module):
    def __init__(self, n_keys, hidden, heads):
        super().__init__()
        self.key = nn.Embedding(n_keys, hidden)
        self.value = nn.Embedding(n_keys, hidden)
        self.query = nn.Embedding(n_keys, hidden)
        self.attend = GATv2Conv((hidden, hidden), hidden, heads)
        self.out = nn.Linear(hidden * heads, n_keys)

    def forward(self, g):
        keys = self.key(g.nodes["key"].data["k"]) + self.value(g.nodes["key"].data["v"])
        queries = self.query(g.nodes["query"].data["k"])
        return self.out(F.elu(self.attend(g, (keys, queries)).flatten(1)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, default=6)
    parser.add_argument("--steps", type=int, default=150)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = Lookup(args.keys, 32, 4)
    opt = torch.optim.Adam(model.parameters(), lr=1e-2)
    train, label = lookup(64, args.keys)
    test, test_label = lookup(32, args.keys)
    assert train.batch_size == 64
    for step in range(args.steps):
        loss = F.cross_entropy(model(train), label)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 25 == 0:
            print(f"Step {step:03d} | Loss {loss.item():.4f}")
    with torch.no_grad():
        accuracy = (model(test).argmax(1) == test_label).float().mean()
    print(f"Test accuracy {accuracy.item():.4f}")


if __name__ == "__main__":
    main()
