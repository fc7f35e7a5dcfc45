"""Message passing with edge networks, a GRU and Set2Set (Gilmer et al., 2017)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.dataloading import GraphDataLoader
from dgl.nn import NNConv, Set2Set


class MPNN(nn.Module):
    def __init__(self, node_in, edge_in, node_out, steps, n_iters=2):
        super().__init__()
        self.project = nn.Sequential(nn.Linear(node_in, node_out), nn.ReLU())
        edge_network = nn.Sequential(
            nn.Linear(edge_in, 16), nn.ReLU(), nn.Linear(16, node_out * node_out)
        )
        self.steps = steps
        self.gnn_layer = NNConv(node_out, node_out, edge_func=edge_network, aggregator_type="sum")
        self.gru = nn.GRU(node_out, node_out)
        self.readout = Set2Set(input_dim=node_out, n_iters=n_iters, n_layers=1)
        self.predict = nn.Linear(2 * node_out, 1)

    def forward(self, g, node_feats, edge_feats):
        node_feats = self.project(node_feats)
        hidden = node_feats.unsqueeze(0)
        for _ in range(self.steps):
            node_feats = F.relu(self.gnn_layer(g, node_feats, edge_feats))
            node_feats, hidden = self.gru(node_feats.unsqueeze(0), hidden)
            node_feats = node_feats.squeeze(0)
        return self.predict(self.readout(g, node_feats)).squeeze(1)


def ring(n):
    """A ring of resistors and sources: the value is how much current flows at most."""
    ids = torch.arange(n)
    g = dgl.add_reverse_edges(dgl.graph((ids, ids.roll(-1))))
    conductance, voltage = torch.rand(n) + 0.1, torch.randn(n)
    g.ndata["x"] = torch.stack([voltage, torch.ones(n)], 1)
    # The second half of the edges runs the other way round.
    g.edata["w"] = torch.stack(
        [conductance.repeat(2), torch.tensor([1.0, -1.0]).repeat_interleave(n)], 1
    )
    current = conductance * (voltage - voltage.roll(-1))
    return g, current.abs().max()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--hidden", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(0)
    rings = [ring(int(torch.randint(3, 8, ()))) for _ in range(320)]
    loader = GraphDataLoader(rings[:240], batch_size=24, shuffle=True)
    model = MPNN(2, 2, args.hidden, args.steps)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        for g, y in loader:
            loss = F.mse_loss(model(g, g.ndata["x"], g.edata["w"]), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        if epoch % 5 == 0:
            print(f"Epoch {epoch:02d} | Loss {loss.item():.4f}")
    with torch.no_grad():
        ((g, y),) = GraphDataLoader(rings[240:], batch_size=80)
        left = F.mse_loss(model(g, g.ndata["x"], g.edata["w"]), y) / y.var(unbiased=False)
    print(f"Test R2 {1 - left.item():.4f}")
