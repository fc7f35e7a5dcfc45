"""Links of one relation of a typed graph, on the whole graph, with five negatives for each."""

import argparse

import dgl
import dgl.function as fn
import dgl.nn as dglnn
import torch
import torch.nn as nn
import torch.nn.functional as F


class RGCN(nn.Module):
    def __init__(self, in_feats, hid_feats, out_feats, rel_names):
        super().__init__()
        self.conv1 = dglnn.HeteroGraphConv(
            {rel: dglnn.GraphConv(in_feats, hid_feats) for rel in rel_names}, aggregate="sum"
        )
        self.conv2 = dglnn.HeteroGraphConv(
            {rel: dglnn.GraphConv(hid_feats, out_feats) for rel in rel_names}, aggregate="sum"
        )

    def forward(self, graph, inputs):
        h = self.conv1(graph, inputs)
        return self.conv2(graph, {k: F.relu(v) for k, v in h.items()})


class HeteroDotProductPredictor(nn.Module):
    def forward(self, graph, h, etype):
        with graph.local_scope():
            graph.ndata["h"] = h
            graph.apply_edges(fn.u_dot_v("h", "h", "score"), etype=etype)
            return graph.edges[etype].data["score"]


def construct_negative_graph(graph, k, etype):
    vtype = etype[2]
    src, _ = graph.edges(etype=etype)
    neg_src = src.repeat_interleave(k)
    neg_dst = torch.randint(0, graph.num_nodes(vtype), (len(src) * k,))
    return dgl.heterograph(
        {etype: (neg_src, neg_dst)},
        num_nodes_dict={ntype: graph.num_nodes(ntype) for ntype in graph.ntypes},
    )


def market(users, items):
    """Clicks and purchases agree on the user's taste; purchases of the test are cut out."""
    ends = [torch.randint(users, (30_000,)), torch.randint(items, (30_000,))]
    kept = (ends[0] % 4 == ends[1] % 4) | (torch.rand(30_000) < 0.04)
    user, item = (x[kept] for x in ends)
    is_buy = torch.rand(len(user)) < 0.5
    is_test = is_buy & (torch.rand(len(user)) < 0.2)
    click, buy = ~is_buy, is_buy & ~is_test
    sizes = {"user": users, "item": items}
    train = dgl.heterograph(
        {
            ("user", "click", "item"): (user[click], item[click]),
            ("item", "clicked-by", "user"): (item[click], user[click]),
            ("user", "buy", "item"): (user[buy], item[buy]),
            ("item", "bought-by", "user"): (item[buy], user[buy]),
        },
        num_nodes_dict=sizes,
    )
    test = dgl.heterograph(
        {("user", "buy", "item"): (user[is_test], item[is_test])}, num_nodes_dict=sizes
    )
    return train, test


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--k", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    g, test_g = market(200, 120)
    etype = ("user", "buy", "item")
    embed = dglnn.HeteroEmbedding({t: g.num_nodes(t) for t in g.ntypes}, 16)
    model, pred = RGCN(16, 32, 16, g.etypes), HeteroDotProductPredictor()
    opt = torch.optim.Adam([*model.parameters(), *embed.parameters()], lr=0.01)
    for epoch in range(args.epochs):
        h = model(g, embed({t: g.nodes(t) for t in g.ntypes}))
        pos = pred(g, h, etype)
        neg = pred(construct_negative_graph(g, args.k, etype), h, etype)
        loss = (1 - pos + neg.view(len(pos), -1)).clamp(min=0).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        if epoch % 10 == 0:
            print(f"Epoch {epoch:02d} | Loss {loss.item():.4f}")
    with torch.no_grad():
        pos = pred(test_g, h, etype)
        neg = pred(construct_negative_graph(test_g, 5, etype), h, etype).flatten()
    print(f"Test AUC {(pos > neg).float().mean().item():.4f}")
