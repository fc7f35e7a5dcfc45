"""Trees read from the leaves up: Tree-LSTM over a batch of expressions (Tai et al., 2015)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F

AND, OR, FALSE, TRUE = range(4)


class TreeLSTMCell(nn.Module):
    """Forget gates by child; the sum of the children's hidden states goes into all others."""

    def __init__(self, x_size, h_size):
        super().__init__()
        self.W_iou = nn.Linear(x_size, 3 * h_size, bias=False)
        self.U_iou = nn.Linear(h_size, 3 * h_size)
        self.U_f = nn.Linear(h_size, h_size)

    def message_func(self, edges):
        return {"h": edges.src["h"], "c": edges.src["c"]}

    def reduce_func(self, nodes):
        f = torch.sigmoid(self.U_f(nodes.mailbox["h"]))
        total = nodes.mailbox["h"].sum(1)
        return {"iou": nodes.data["iou"] + self.U_iou(total), "c": (f * nodes.mailbox["c"]).sum(1)}

    def apply_node_func(self, nodes):
        i, o, u = nodes.data["iou"].chunk(3, 1)
        c = torch.sigmoid(i) * torch.tanh(u) + nodes.data["c"]
        return {"h": torch.sigmoid(o) * torch.tanh(c), "c": c}


class TreeLSTM(nn.Module):
    def __init__(self, x_size, h_size, classes):
        super().__init__()
        self.embedding = nn.Embedding(4, x_size)
        self.cell = TreeLSTMCell(x_size, h_size)
        self.linear = nn.Linear(h_size, classes)
        self.h_size = h_size

    def forward(self, g):
        g = g.local_var()
        g.ndata["iou"] = self.cell.W_iou(self.embedding(g.ndata["x"]))
        for name in ("h", "c"):
            g.ndata[name] = torch.zeros(g.num_nodes(), self.h_size)
        dgl.prop_nodes_topo(
            g,
            message_func=self.cell.message_func,
            reduce_func=self.cell.reduce_func,
            apply_node_func=self.cell.apply_node_func,
        )
        return self.linear(g.ndata["h"])


def expression(depth):
    """A tree of and, or, false and true; what every node amounts to is its label."""
    kinds, values, src, dst = [], [], [], []

    def grow(depth):
        node = len(kinds)
        kinds.append(None)
        values.append(None)
        if depth == 0 or (node and torch.rand(()) < 0.2):
            kinds[node] = int(torch.randint(FALSE, TRUE + 1, ()))
            values[node] = kinds[node] == TRUE
            return node
        children = [grow(depth - 1) for _ in range(int(torch.randint(2, 4, ())))]
        kinds[node] = int(torch.randint(AND, OR + 1, ()))
        join = all if kinds[node] == AND else any
        values[node] = join(values[child] for child in children)
        src.extend(children)
        dst.extend([node] * len(children))
        return node

    grow(depth)
    g = dgl.graph((src, dst), num_nodes=len(kinds))
    g.ndata["x"], g.ndata["y"] = torch.tensor(kinds), torch.tensor(values).long()
    return g


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--h-size", type=int, default=16)
    args = parser.parse_args()
    torch.manual_seed(0)
    trees = [expression(3) for _ in range(160)]
    model = TreeLSTM(8, args.h_size, 2)
    opt = torch.optim.Adam(model.parameters(), lr=0.03)
    for epoch in range(args.epochs):
        for part in torch.randperm(120).split(20):
            batch = dgl.batch([trees[i] for i in part])
            loss = F.cross_entropy(model(batch), batch.ndata["y"])
            opt.zero_grad()
            loss.backward()
            opt.step()
        print(f"Epoch {epoch} | Loss {loss.item():.4f}")
    with torch.no_grad():
        batch = dgl.batch(trees[120:])
        right = model(batch).argmax(1) == batch.ndata["y"]
    # Roots have no parent; nothing but what came up the tree tells their value.
    roots = batch.out_degrees() == 0
    print(f"Test accuracy at roots {right[roots].float().mean().item():.4f}")
