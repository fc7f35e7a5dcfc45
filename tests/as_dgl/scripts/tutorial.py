"""DGL's tutorial "Writing GNN Modules for Stochastic GNN Training": nothing here knows of hopflow.

https://www.dgl.ai/dgl_docs/tutorials/large/L4_message_passing.html
"""

import os

os.environ["DGLBACKEND"] = "pytorch"

import sys

import dgl
import dgl.function as fn
import torch
import torch.nn as nn
import torch.nn.functional as F
import tqdm
from ogb.nodeproppred import DglNodePropPredDataset

dataset = DglNodePropPredDataset("ogbn-arxiv", root=sys.argv[1])
device = "cpu"

graph, node_labels = dataset[0]
graph = dgl.add_reverse_edges(graph)
graph.ndata["label"] = node_labels[:, 0]
idx_split = dataset.get_idx_split()
train_nids = idx_split["train"]
node_features = graph.ndata["feat"]

sampler = dgl.dataloading.MultiLayerNeighborSampler([4, 4])
train_dataloader = dgl.dataloading.DataLoader(
    graph,
    train_nids,
    sampler,
    device=device,
    batch_size=1024,
    shuffle=True,
    drop_last=False,
    num_workers=0,
)

input_nodes, output_nodes, mfgs = next(iter(train_dataloader))
mfg = mfgs[0]
print(mfg.num_src_nodes(), mfg.num_dst_nodes())
print(mfg.srcdata)

mfg.srcdata["h"] = torch.randn(mfg.num_src_nodes(), 10)
mfg.dstdata["h"] = mfg.srcdata["h"][: mfg.num_dst_nodes()]
mfg.update_all(message_func=fn.copy_u("h", "m"), reduce_func=fn.mean("m", "h"))
m_v = mfg.dstdata["h"]
assert m_v.shape == (mfg.num_dst_nodes(), 10)


class SAGEConv(nn.Module):
    def __init__(self, in_feat, out_feat):
        super().__init__()
        self.linear = nn.Linear(in_feat * 2, out_feat)

    def forward(self, g, h):
        with g.local_scope():
            h_src, h_dst = h
            g.srcdata["h"] = h_src
            g.dstdata["h"] = h_dst
            g.update_all(fn.copy_u("h", "m"), fn.mean("m", "h_N"))
            h_N = g.dstdata["h_N"]
            h_total = torch.cat([h_dst, h_N], dim=1)
            return self.linear(h_total)


class Model(nn.Module):
    def __init__(self, in_feats, h_feats, num_classes):
        super().__init__()
        self.conv1 = SAGEConv(in_feats, h_feats)
        self.conv2 = SAGEConv(h_feats, num_classes)

    def forward(self, mfgs, x):
        h_dst = x[: mfgs[0].num_dst_nodes()]
        h = self.conv1(mfgs[0], (x, h_dst))
        h = F.relu(h)
        h_dst = h[: mfgs[1].num_dst_nodes()]
        h = self.conv2(mfgs[1], (h, h_dst))
        return h


model = Model(node_features.shape[1], 16, dataset.num_classes).to(device)

with tqdm.tqdm(train_dataloader) as tq:
    for step, (input_nodes, output_nodes, mfgs) in enumerate(tq):  # noqa: B007
        inputs = mfgs[0].srcdata["feat"]
        labels = mfgs[-1].dstdata["label"]
        predictions = model(mfgs, inputs)
        assert predictions.shape == (len(labels), dataset.num_classes)


class SAGEConvForBoth(nn.Module):
    def __init__(self, in_feat, out_feat):
        super().__init__()
        self.linear = nn.Linear(in_feat * 2, out_feat)

    def forward(self, g, h):
        with g.local_scope():
            if isinstance(h, tuple):
                h_src, h_dst = h
            else:
                h_src = h_dst = h
            g.srcdata["h"] = h_src
            g.update_all(fn.copy_u("h", "m"), fn.mean("m", "h_N"))
            h_N = g.ndata["h_N"]
            h_total = torch.cat([h_dst, h_N], dim=1)
            return self.linear(h_total)


conv = SAGEConvForBoth(node_features.shape[1], 4)
assert conv(graph, node_features).shape == (graph.num_nodes(), 4)
print(f"tutorial done: {graph.num_nodes()} nodes, {graph.num_edges()} edges, {step + 1} batches")
