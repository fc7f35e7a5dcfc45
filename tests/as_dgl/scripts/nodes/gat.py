"""Node classification with graph attention of several heads (Velickovic et al., 2018)."""

import argparse

import dgl
import dgl.nn as dglnn
import torch
import torch.nn as nn
import torch.nn.functional as F


class GAT(nn.Module):
    def __init__(self, in_size, hid_size, out_size, heads):
        super().__init__()
        self.gat_layers = nn.ModuleList()
        self.gat_layers.append(
            dglnn.GATConv(
                in_size, hid_size, heads[0], feat_drop=0.2, attn_drop=0.2, activation=F.elu
            )
        )
        self.gat_layers.append(
            dglnn.GATConv(
                hid_size * heads[0],
                out_size,
                heads[1],
                feat_drop=0.2,
                attn_drop=0.2,
                residual=True,
            )
        )

    def forward(self, g, inputs):
        h = self.gat_layers[0](g, inputs).flatten(1)
        return self.gat_layers[1](g, h).mean(1)


def make_graph(n, n_classes, generator):
    """Edges join mostly nodes of one class; half of all features are noise."""
    label = torch.randint(n_classes, (n,), generator=generator)
    u, v = torch.randint(n, (2, 15 * n), generator=generator)
    kept = (label[u] == label[v]) | (torch.rand(len(u), generator=generator) < 0.08)
    g = dgl.graph((u[kept], v[kept]), num_nodes=n)
    noise = torch.randn(n, 2 * n_classes, generator=generator)
    g.ndata["feat"] = 1.5 * noise
    g.ndata["feat"][:, :n_classes] += F.one_hot(label, n_classes)
    g.ndata["label"] = label
    return g


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--num-heads", type=int, default=4)
    parser.add_argument("--gpu", type=int, default=-1)
    args = parser.parse_args()
    device = torch.device("cpu" if args.gpu < 0 else f"cuda:{args.gpu}")
    torch.manual_seed(0)
    g = dgl.to_bidirected(make_graph(800, 4, torch.Generator().manual_seed(1)), copy_ndata=True)
    g = g.remove_self_loop().add_self_loop().int().to(device)
    train_idx, test_idx = torch.randperm(g.num_nodes()).split([300, 500])
    feat, label = g.ndata["feat"], g.ndata["label"]
    model = GAT(feat.shape[1], 8, 4, heads=[args.num_heads, 1]).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=5e-4)
    for epoch in range(args.epochs):
        model.train()
        loss = F.cross_entropy(model(g, feat)[train_idx], label[train_idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % 10 == 0:
            print(f"Epoch {epoch:05d} | Loss {loss.item():.4f}")
    model.eval()
    with torch.no_grad():
        hidden, attention = model.gat_layers[0](g, feat, get_attention=True)
        assert attention.shape == (g.num_edges(), args.num_heads, 1)
        right = model(g, feat)[test_idx].argmax(1) == label[test_idx]
    print(f"Test accuracy {right.float().mean().item():.4f}")
