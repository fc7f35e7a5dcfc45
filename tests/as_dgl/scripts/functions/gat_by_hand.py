"""Attention from functions of edges and nodes: once with a mailbox, once with edge_softmax."""

import argparse
from itertools import pairwise

import dgl
import dgl.function as fn
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn.functional import edge_softmax


class GATLayer(nn.Module):
    def __init__(self, in_dim, out_dim, by_mailbox):
        super().__init__()
        self.fc = nn.Linear(in_dim, out_dim, bias=False)
        self.attn_fc = nn.Linear(2 * out_dim, 1, bias=False)
        self.by_mailbox = by_mailbox

    def edge_attention(self, edges):
        z2 = torch.cat([edges.src["z"], edges.dst["z"]], dim=1)
        return {"e": F.leaky_relu(self.attn_fc(z2))}

    def message_func(self, edges):
        return {"z": edges.src["z"], "e": edges.data["e"]}

    def reduce_func(self, nodes):
        alpha = F.softmax(nodes.mailbox["e"], dim=1)
        return {"h": (alpha * nodes.mailbox["z"]).sum(dim=1)}

    def forward(self, g, h):
        with g.local_scope():
            g.ndata["z"] = self.fc(h)
            g.apply_edges(self.edge_attention)
            if self.by_mailbox:
                g.update_all(self.message_func, self.reduce_func)
            else:
                g.edata["a"] = edge_softmax(g, g.edata["e"])
                g.update_all(fn.u_mul_e("z", "a", "m"), fn.sum("m", "h"))
            return g.ndata["h"]


class GAT(nn.Module):
    def __init__(self, sizes, by_mailbox):
        super().__init__()
        self.layers = nn.ModuleList(GATLayer(a, b, by_mailbox) for a, b in pairwise(sizes))

    def forward(self, g, h):
        for layer in self.layers[:-1]:
            h = F.elu(layer(g, h))
        return self.layers[-1](g, h)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=30)
    args = parser.parse_args()
    torch.manual_seed(0)
    n, c = 300, 3
    label = torch.randint(c, (n,))
    u, v = torch.randint(n, (2, 10 * n))
    kept = (label[u] == label[v]) | (torch.rand(len(u)) < 0.1)
    g = dgl.add_self_loop(dgl.to_bidirected(dgl.graph((u[kept], v[kept]), num_nodes=n)))
    feat = F.one_hot(label, c) + 1.5 * torch.randn(n, c)
    train, test = torch.randperm(n).split([120, 180])
    model = GAT([c, 8, c], by_mailbox=True)
    opt = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(args.epochs):
        loss = F.cross_entropy(model(g, feat)[train], label[train])
        opt.zero_grad()
        loss.backward()
        opt.step()
        if epoch % 10 == 0:
            print(f"Epoch {epoch:02d} | Loss {loss.item():.4f}")
    fast = GAT([c, 8, c], by_mailbox=False)
    fast.load_state_dict(model.state_dict())
    with torch.no_grad():
        logits = fast(g, feat)
        assert torch.allclose(logits, model(g, feat), atol=1e-4)
    print(f"Test accuracy {(logits.argmax(1) == label)[test].float().mean().item():.4f}")
