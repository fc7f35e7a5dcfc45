"""A deep model on shallow subgraphs: ShaDow-GNN (Zeng et al., 2021)."""

import argparse

import dgl
import dgl.nn as dglnn
import torch
import torch.nn as nn
import torch.nn.functional as F


class DeepSAGE(nn.Module):
    """More layers than the subgraphs have hops."""

    def __init__(self, in_feats, hidden, classes, n_layers):
        super().__init__()
        self.layers = nn.ModuleList(
            dglnn.SAGEConv(in_feats if i == 0 else hidden, hidden, "mean") for i in range(n_layers)
        )
        self.out = nn.Linear(hidden, classes)

    def forward(self, sg, n_seeds):
        h = sg.ndata["feat"]
        for layer in self.layers:
            h = F.relu(layer(sg, h))
        return self.out(h[:n_seeds])


def friends(n, n_groups, degree):
    group = torch.randint(n_groups, (n,))
    src = torch.arange(n).repeat_interleave(degree)
    dst = torch.randint(n, (n * degree,))
    kept = (group[src] == group[dst]) | (torch.rand(n * degree) < 0.08)
    g = dgl.add_reverse_edges(dgl.graph((src[kept], dst[kept]), num_nodes=n))
    g.ndata["feat"] = F.one_hot(group, n_groups) + 2.0 * torch.randn(n, n_groups)
    g.ndata["group"] = group
    return g


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=100)
    args = parser.parse_args()
    dgl.seed(1)
    torch.manual_seed(1)
    g = friends(2000, 4, 15)
    train, test = torch.randperm(2000).split([1200, 800])
    sampler = dgl.dataloading.ShaDowKHopSampler(
        [5, 5], output_device="cpu", prefetch_node_feats=["feat", "group"]
    )
    model = DeepSAGE(4, 32, 4, args.layers)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        model.train()
        loader = dgl.dataloading.DataLoader(
            g, train, sampler, batch_size=args.batch_size, shuffle=True, drop_last=False
        )
        total = 0
        for _input_nodes, output_nodes, sg in loader:
            loss = F.cross_entropy(
                model(sg, len(output_nodes)), sg.ndata["group"][: len(output_nodes)]
            )
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        print(f"Epoch {epoch} | Loss {total / len(loader):.4f}")
    model.eval()
    right = 0
    loader = dgl.dataloading.DataLoader(g, test, sampler, batch_size=400)
    with torch.no_grad():
        for _input_nodes, output_nodes, sg in loader:
            pred = model(sg, len(output_nodes)).argmax(1)
            right += (pred == sg.ndata["group"][: len(output_nodes)]).sum().item()
    print(f"Test accuracy {right / len(test):.4f}")


if __name__ == "__main__":
    main()
