"""Which family a graph is of: a GIN over batches of small graphs; nothing knows of hopflow.

The calls are those of DGL's examples/pytorch/gin and of its tutorial "Training a GNN for graph
classification", on a data set of its own.

https://github.com/dmlc/dgl/blob/master/examples/pytorch/gin/train.py
https://www.dgl.ai/dgl_docs/tutorials/blitz/5_graph_classification.html
"""

import argparse
import os

import dgl
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.data import AsGraphPredDataset, DGLDataset
from dgl.data.utils import load_graphs, save_graphs
from dgl.dataloading import GraphDataLoader
from dgl.nn.pytorch.conv import GINConv
from dgl.nn.pytorch.glob import GlobalAttentionPooling, Set2Set, SetTransformerDecoder, SumPooling
from torch.utils.data.sampler import SubsetRandomSampler

FAMILIES = ("cycle", "star", "path", "tree")


def edges_of(family, n):
    """The edges of a graph of a family, one way."""
    nodes = torch.arange(1, n)
    if family == "cycle":
        return torch.arange(n), (torch.arange(n) + 1) % n
    before = {"star": torch.zeros_like(nodes), "path": nodes - 1, "tree": (nodes - 1) // 2}
    return before[family], nodes


class FamilyDataset(DGLDataset):
    """Graphs of four families with their numbers permuted, and degrees as features."""

    def __init__(self, num_graphs, **kwargs):
        self.num_graphs = num_graphs
        super().__init__(name="families", hash_key=(num_graphs,), **kwargs)

    @property
    def num_classes(self):
        return len(FAMILIES)

    def process(self):
        print("Processing")
        self.graphs, labels = [], []
        for i in range(self.num_graphs):
            label = i % len(FAMILIES)
            n = int(torch.randint(5, 15, ()))
            src, dst = edges_of(FAMILIES[label], n)
            order = torch.randperm(n)
            g = dgl.to_bidirected(dgl.graph((order[src], order[dst]), num_nodes=n))
            g.ndata["feat"] = F.one_hot(g.in_degrees().clamp(max=4), 5).float()
            g.edata["weight"] = torch.ones(g.num_edges())
            self.graphs.append(g)
            labels.append(label)
        self.labels = torch.tensor(labels)

    @property
    def _file(self):
        return os.path.join(self.save_path, f"graphs_{self.hash}.bin")

    def has_cache(self):
        return os.path.exists(self._file)

    def save(self):
        os.makedirs(self.save_path, exist_ok=True)
        save_graphs(self._file, self.graphs, {"labels": self.labels})

    def load(self):
        self.graphs, labels = load_graphs(self._file)
        self.labels = labels["labels"]

    def __getitem__(self, idx):
        return self.graphs[idx], self.labels[idx]

    def __len__(self):
        return len(self.graphs)


class GIN(nn.Module):
    def __init__(self, in_size, hidden, classes, pooling):
        super().__init__()
        self.layers, self.norms = nn.ModuleList(), nn.ModuleList()
        for width in (in_size, hidden):
            mlp = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
            self.layers.append(GINConv(mlp, learn_eps=False))
            self.norms.append(nn.BatchNorm1d(hidden))
        self.pool = {
            "sum": lambda: SumPooling(),
            "attention": lambda: GlobalAttentionPooling(nn.Linear(hidden, 1)),
            "set2set": lambda: Set2Set(hidden, 2, 1),
            "transformer": lambda: SetTransformerDecoder(hidden, 2, 8, hidden, 1, 2),
        }[pooling]()
        wide = hidden * (2 if pooling in ("set2set", "transformer") else 1)
        self.predict = nn.Linear(wide, classes)

    def forward(self, g, h):
        for layer, norm in zip(self.layers, self.norms):
            h = F.relu(norm(layer(g, h)))
        return self.predict(self.pool(g, h))


@torch.no_grad()
def accuracy(loader, model):
    model.eval()
    correct = total = 0
    for batched_graph, labels in loader:
        logits = model(batched_graph, batched_graph.ndata["feat"])
        correct += int((logits.argmax(1) == labels).sum())
        total += len(labels)
    return correct / total


def main(args):
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)  # noqa: NPY002  DGL draws the split with it
    dataset = AsGraphPredDataset(
        FamilyDataset(args.num_graphs, raw_dir="families"), (0.7, 0.1, 0.2), save_dir="split"
    )
    width = dataset.node_feat_size
    print(f"{len(dataset)} graphs, {dataset.num_classes} classes, {width} features")
    torch.manual_seed(args.seed + 1)
    options = {"batch_size": 16, "num_workers": args.num_workers}
    train, test = (
        GraphDataLoader(dataset, sampler=SubsetRandomSampler(ids), **options)
        for ids in (dataset.train_idx, dataset.test_idx)
    )
    g, labels = next(iter(train))
    sizes = g.batch_num_nodes()
    assert g.batch_size == len(labels) == len(sizes) == 16
    assert int(g.batch_num_edges().sum()) == g.num_edges()
    assert torch.equal(dgl.sum_edges(g, "weight"), g.batch_num_edges().float())
    assert torch.equal(dgl.readout_nodes(g, "feat", op="sum").sum(1), sizes.float())
    whole = dgl.batch(dgl.unbatch(g))
    assert torch.equal(whole.edges()[0], g.edges()[0])

    model = GIN(width, 16, dataset.num_classes, args.pooling)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for batched_graph, labels in train:
            loss = F.cross_entropy(model(batched_graph, batched_graph.ndata["feat"]), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"Epoch {epoch:02d} loss {total / len(train):.4f}")
    print(f"Test accuracy {accuracy(test, model):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-graphs", type=int, default=240)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--num-workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pooling", default="sum")
    main(parser.parse_args())
