"""Small data sets that can be learned, for tests of training."""

from __future__ import annotations

import numpy as np
import torch

import hopflow as hf


class Given:
    """A data set of a graph, labels and a split at hand."""

    def __init__(self, graph, labels, split, num_classes=0):
        self.graph, self.labels, self.split = graph, labels, split
        self.num_classes = num_classes

    def __getitem__(self, index):
        return self.graph, self.labels

    def get_idx_split(self):
        return self.split


def groups(num_nodes=400, num_groups=4, num_edges=2400, alone=20, seed=0):
    """Nodes whose edges stay within their group nine times of ten; the last ones have none.

    Returns the graph with noisy features of the group, and the group of each node.
    """
    rng = np.random.default_rng(seed)
    group = rng.integers(num_groups, size=num_nodes)
    linked = num_nodes - alone
    members = [np.flatnonzero(group[:linked] == k) for k in range(num_groups)]
    src = rng.integers(linked, size=num_edges)
    dst = np.array([rng.choice(members[group[u]]) for u in src])
    dst = np.where(rng.random(num_edges) < 0.9, dst, rng.integers(linked, size=num_edges))
    graph = hf.graph((src, dst), num_nodes=num_nodes)
    feat = rng.normal(size=(num_nodes, 8)) + 1.5 * np.eye(num_groups, 8)[group]
    graph.ndata["feat"] = torch.from_numpy(feat).float()
    return graph, torch.from_numpy(group)


def thirds(num_nodes, seed=1):
    """A split of all nodes."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(num_nodes))
    train, valid, test = order.tensor_split([num_nodes // 2, 3 * num_nodes // 4])
    return {"train": train, "valid": valid, "test": test}


def classes(**options):
    """Nodes of four classes; chance is a quarter."""
    graph, group = groups(**options)
    return Given(graph, group[:, None], thirds(graph.num_nodes()), num_classes=4)


def labels_of_groups(**options):
    """Nodes with three labels, each of two groups, bool [N, 3]."""
    graph, group = groups(**options)
    given = torch.stack([(group == a) | (group == b) for a, b in ((0, 1), (1, 2), (2, 3))], 1)
    return Given(graph, given, thirds(graph.num_nodes()))


def numbers_of_groups(**options):
    """Nodes with a number that the group fixes but for noise, float [N, 1], far from 0."""
    graph, group = groups(**options)
    noise = torch.from_numpy(np.random.default_rng(2).normal(size=len(group)))
    return Given(graph, (1000 + 50 * group + 5 * noise)[:, None], thirds(graph.num_nodes()))
