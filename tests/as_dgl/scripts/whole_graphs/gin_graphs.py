"""Tell kinds of graphs apart with GIN and readouts of every layer (Xu et al., 2019)."""

import argparse

import dgl
import networkx as nx
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.data import DGLDataset
from dgl.dataloading import GraphDataLoader
from dgl.nn.pytorch.conv import GINConv
from dgl.nn.pytorch.glob import SumPooling
from torch.utils.data.sampler import SubsetRandomSampler


class Shapes(DGLDataset):
    """Cycles, stars, wheels and ladders, with some edges added by chance."""

    def __init__(self, count):
        self.count = count
        super().__init__(name="shapes")

    def process(self):
        makers = [nx.cycle_graph, nx.star_graph, nx.wheel_graph, lambda n: nx.ladder_graph(n // 2)]
        self.graphs, self.labels = [], torch.arange(self.count) % 4
        for label in self.labels.tolist():
            g = dgl.from_networkx(makers[label](int(torch.randint(8, 14, ()))))
            u, v = torch.randint(g.num_nodes(), (2, 2))
            g = dgl.to_simple(dgl.add_edges(g, torch.cat([u, v]), torch.cat([v, u])))
            g.ndata["attr"] = torch.ones(g.num_nodes(), 1)
            self.graphs.append(g)

    def __getitem__(self, i):
        return self.graphs[i], self.labels[i]

    def __len__(self):
        return len(self.graphs)


class MLP(nn.Module):
    def __init__(self, input_dim, hidden_dim, output_dim):
        super().__init__()
        self.linears = nn.ModuleList(
            [
                nn.Linear(input_dim, hidden_dim, bias=False),
                nn.Linear(hidden_dim, output_dim, bias=False),
            ]
        )
        self.batch_norm = nn.BatchNorm1d(hidden_dim)

    def forward(self, x):
        return self.linears[1](F.relu(self.batch_norm(self.linears[0](x))))


class GIN(nn.Module):
    def __init__(self, input_dim, hidden_dim, output_dim, num_layers=3):
        super().__init__()
        sizes = [input_dim] + [hidden_dim] * num_layers
        self.ginlayers = nn.ModuleList(
            GINConv(MLP(a, hidden_dim, hidden_dim), learn_eps=False) for a in sizes[:-1]
        )
        self.linear_prediction = nn.ModuleList(nn.Linear(a, output_dim) for a in sizes)
        self.pool = SumPooling()

    def forward(self, g, h):
        hidden = [h]
        for layer in self.ginlayers:
            h = F.relu(layer(g, h))
            hidden.append(h)
        return sum(f(self.pool(g, h)) for f, h in zip(self.linear_prediction, hidden))


def evaluate(dataloader, model):
    model.eval()
    total = right = 0
    for batched_graph, labels in dataloader:
        logits = model(batched_graph, batched_graph.ndata["attr"])
        total += len(labels)
        right += (logits.argmax(1) == labels).sum().item()
    return right / total


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    args = parser.parse_args()
    torch.manual_seed(0)
    dataset = Shapes(240)
    loaders = [
        GraphDataLoader(dataset, sampler=SubsetRandomSampler(ids), batch_size=32)
        for ids in torch.randperm(len(dataset)).split([160, 80])
    ]
    model = GIN(1, 16, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        model.train()
        for batched_graph, labels in loaders[0]:
            loss = F.cross_entropy(model(batched_graph, batched_graph.ndata["attr"]), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"Epoch {epoch} | Loss {loss.item():.4f} | Train {evaluate(loaders[0], model):.4f}")
    print(f"Test accuracy {evaluate(loaders[1], model):.4f}")
