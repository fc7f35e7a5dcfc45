"""Angles between edges through the line graph: bent chains from straight ones, by turns."""

import argparse

import dgl
import dgl.function as fn
import torch
import torch.nn as nn
import torch.nn.functional as F


class AngleLayer(nn.Module):
    """Messages between edges over the line graph, then from edges to nodes."""

    def __init__(self, hidden):
        super().__init__()
        self.turn = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.edge, self.node = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)

    def forward(self, g, lg):
        with g.local_scope(), lg.local_scope():
            lg.edata["t"] = self.turn(lg.edata["turn"])
            lg.update_all(fn.copy_e("t", "m"), fn.sum("m", "h"))
            g.edata["h"] = F.relu(self.edge(lg.ndata["h"]))
            g.update_all(fn.copy_e("h", "m"), fn.sum("m", "h"))
            g.ndata["h"] = F.relu(self.node(g.ndata["h"]))
            return dgl.mean_nodes(g, "h")


def chain(n, label):
    """A walk in the plane: turns alternate in one class and go round in the other."""
    turn = torch.rand(n - 1) * 0.6 + 0.2
    if label:
        turn = turn * (torch.arange(n - 1) % 2 * 2.0 - 1)
    angle = torch.cat([torch.rand(1) * 6.28, turn]).cumsum(0)
    step = torch.stack([angle.cos(), angle.sin()], 1)
    ids = torch.arange(n)
    g = dgl.graph((ids, ids + 1))
    g.edata["step"] = step
    lg = g.line_graph(backtracking=False, shared=True)
    assert torch.equal(lg.ndata["step"], step)
    lg.apply_edges(lambda edges: {"turn": between(edges.src["step"], edges.dst["step"])})
    return g, lg


def between(a, b):
    """Cosine and sine of the angle from a to b."""
    cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return torch.stack([(a * b).sum(1), cross.abs() * cross.sign()], 1)


def collate(items):
    chains, labels = zip(*items)
    graphs, line_graphs = zip(*chains)
    return dgl.batch(graphs), dgl.batch(line_graphs), torch.tensor(labels)


class Net(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.layer, self.out = AngleLayer(hidden), nn.Linear(hidden, 2)

    def forward(self, g, lg):
        return self.out(self.layer(g, lg))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=16)
    args = parser.parse_args()
    torch.manual_seed(0)
    data = [(chain(int(torch.randint(6, 12, ())), i % 2), i % 2) for i in range(200)]
    loader = torch.utils.data.DataLoader(
        data[:140], batch_size=20, shuffle=True, collate_fn=collate
    )
    model = Net(args.hidden)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        for g, lg, y in loader:
            assert g.num_edges() == lg.num_nodes()
            loss = F.cross_entropy(model(g, lg), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        print(f"Epoch {epoch} | Loss {loss.item():.4f}")
    with torch.no_grad():
        g, lg, y = collate(data[140:])
        accuracy = (model(g, lg).argmax(1) == y).float().mean()
    print(f"Test accuracy {accuracy.item():.4f}")
