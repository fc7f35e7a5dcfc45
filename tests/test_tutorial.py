"""The reference tutorial's code with nothing but its imports changed.

After "Writing GNN Modules for Stochastic GNN Training",
https://www.dgl.ai/dgl_docs/tutorials/large/L4_message_passing.html
"""

from __future__ import annotations

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
import tqdm

import hopflow as dgl
import hopflow.function as fn

NUM_FEATURES, NUM_CLASSES = 128, 40


class SAGEConv(nn.Module):
    """For blocks."""

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
            return self.linear(torch.cat([h_dst, h_N], dim=1))


class SAGEConvForBoth(nn.Module):
    """For blocks and graphs."""

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
            g.update_all(message_func=fn.copy_u("h", "m"), reduce_func=fn.mean("m", "h_N"))
            h_N = g.ndata["h_N"]
            return self.linear(torch.cat([h_dst, h_N], dim=1))


class Model(nn.Module):
    def __init__(self, conv, in_feats, h_feats, num_classes):
        super().__init__()
        self.conv1 = conv(in_feats, h_feats)
        self.conv2 = conv(h_feats, num_classes)

    def forward(self, mfgs, x):
        h_dst = x[: mfgs[0].num_dst_nodes()]
        h = F.relu(self.conv1(mfgs[0], (x, h_dst)))
        h_dst = h[: mfgs[1].num_dst_nodes()]
        return self.conv2(mfgs[1], (h, h_dst))


@pytest.fixture(scope="module")
def data():
    dataset = dgl.datasets.load("arxiv-like")
    graph, node_labels = dataset[0]
    graph = dgl.add_reverse_edges(graph)
    graph.ndata["label"] = node_labels[:, 0]
    return graph, dataset.get_idx_split()["train"]


@pytest.fixture
def loader(data):
    graph, train_nids = data
    sampler = dgl.dataloading.MultiLayerNeighborSampler([4, 4])
    return dgl.dataloading.DataLoader(
        graph, train_nids, sampler, device="cpu", batch_size=1024, shuffle=True, drop_last=False,
        num_workers=0,
    )  # fmt: skip


@pytest.mark.cpu_only
def test_blocks_are_those_of_the_real_graph(data, loader):
    graph, _ = data
    assert graph.num_nodes() == 169_343
    assert graph.num_edges() == 2_332_486
    assert len(loader) == 89
    sizes = torch.zeros(2)
    for _, output_nodes, mfgs in loader:
        if len(output_nodes) == 1024:
            sizes += torch.tensor([mfgs[0].num_src_nodes(), mfgs[0].num_dst_nodes()])
    # ogbn-arxiv's first block has about 12,600 source and 4,030 destination nodes.
    torch.testing.assert_close(sizes / 88, torch.tensor([12_600.0, 4_030.0]), rtol=0.03, atol=0)


def test_what_the_tutorial_prints(loader):
    input_nodes, output_nodes, mfgs = next(iter(loader))
    mfg = mfgs[0]
    printed = repr(mfg.srcdata)
    for column in ("feat", "year", "label", "_ID"):
        assert f"'{column}': tensor(" in printed
    assert repr(mfg).startswith("Block(num_src_nodes=")
    assert torch.equal(mfg.srcdata[dgl.NID], input_nodes)
    assert torch.equal(mfgs[-1].dstdata[dgl.NID], output_nodes)
    assert torch.equal(mfg.srcdata[dgl.NID][: mfg.num_dst_nodes()], mfg.dstdata[dgl.NID])
    mfg.srcdata["x"] = torch.zeros(mfg.num_src_nodes(), mfg.num_dst_nodes())
    assert mfg.dstdata["feat"].shape == (mfg.num_dst_nodes(), NUM_FEATURES)
    mfg.srcdata["h"] = torch.randn(mfg.num_src_nodes(), 10)
    mfg.update_all(message_func=fn.copy_u("h", "m"), reduce_func=fn.mean("m", "h"))
    assert mfg.dstdata["h"].shape == (mfg.num_dst_nodes(), 10)
    assert mfg.srcdata["h"].shape == (mfg.num_src_nodes(), 10)


@pytest.mark.parametrize(
    "conv", [SAGEConv, pytest.param(SAGEConvForBoth, marks=pytest.mark.cpu_only)]
)
def test_the_loop(loader, conv):
    model = Model(conv, NUM_FEATURES, 128, NUM_CLASSES)
    with tqdm.tqdm(loader, disable=True) as tq:
        for step, (_input_nodes, output_nodes, mfgs) in enumerate(tq):  # noqa: B007
            inputs = mfgs[0].srcdata["feat"]
            labels = mfgs[-1].dstdata["label"]
            predictions = model(mfgs, inputs)
            assert predictions.shape == (len(output_nodes), NUM_CLASSES)
            assert labels.shape == (len(output_nodes),)
    assert step == 88


def test_the_module_for_both_on_the_whole_graph(data):
    graph, _ = data
    out = SAGEConvForBoth(NUM_FEATURES, 16)(graph, graph.ndata["feat"])
    assert out.shape == (graph.num_nodes(), 16)
    assert "h" not in graph.ndata
    assert "h_N" not in graph.ndata
