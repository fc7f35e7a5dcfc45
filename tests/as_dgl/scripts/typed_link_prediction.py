"""The calls of DGL's user guide, 6.3 "Link prediction" of several types; nothing knows of hopflow.

https://www.dgl.ai/dgl_docs/guide/minibatch-link.html
"""

import argparse

import dgl
import dgl.function as fn
import dgl.nn as dglnn
import torch
import torch.nn as nn
import torch.nn.functional as F
import tqdm

REVERSE = {
    "follows": "followed_by",
    "followed_by": "follows",
    "likes": "liked_by",
    "liked_by": "likes",
}
SCORED = ("follows", "likes")


class StochasticTwoLayerRGCN(nn.Module):
    def __init__(self, in_feat, hidden_feat, out_feat, rel_names):
        super().__init__()
        self.conv1 = dglnn.HeteroGraphConv(
            {rel: dglnn.SAGEConv(in_feat, hidden_feat, "mean") for rel in rel_names}
        )
        self.conv2 = dglnn.HeteroGraphConv(
            {rel: dglnn.SAGEConv(hidden_feat, out_feat, "mean") for rel in rel_names}
        )

    def forward(self, blocks, x):
        x = {ntype: F.relu(h) for ntype, h in self.conv1(blocks[0], x).items()}
        return self.conv2(blocks[1], x)


class ScorePredictor(nn.Module):
    def forward(self, edge_subgraph, x):
        with edge_subgraph.local_scope():
            edge_subgraph.ndata["x"] = x
            for etype in edge_subgraph.canonical_etypes:
                edge_subgraph.apply_edges(fn.u_dot_v("x", "x", "score"), etype=etype)
            return edge_subgraph.edata["score"]


class Model(nn.Module):
    def __init__(self, g, in_features, hidden, out_features):
        super().__init__()
        self.rgcn = StochasticTwoLayerRGCN(in_features, hidden, out_features, g.etypes)
        self.embed = dglnn.HeteroEmbedding(
            {ntype: g.num_nodes(ntype) for ntype in g.ntypes}, in_features
        )
        self.embed.reset_parameters()
        self.pred = ScorePredictor()

    def forward(self, positive_graph, negative_graph, blocks):
        h = self.rgcn(blocks, self.embed(blocks[0].srcdata[dgl.NID]))
        return self.pred(positive_graph, h), self.pred(negative_graph, h)


def make_loader(g, seeds, args, shuffle):
    sampler = dgl.dataloading.as_edge_prediction_sampler(
        dgl.dataloading.NeighborSampler([10, 10]),
        exclude="reverse_types",
        reverse_etypes=REVERSE,
        negative_sampler=dgl.dataloading.negative_sampler.Uniform(args.negatives),
    )
    return dgl.dataloading.DataLoader(
        g, seeds, sampler, batch_size=512, shuffle=shuffle, drop_last=False,
        num_workers=args.num_workers,
    )  # fmt: skip


def check_batch(g, positive_graph, negative_graph, blocks):
    """What the guide says of a batch."""
    for block in blocks:
        for etype in SCORED:
            seeds = set(positive_graph.edges[etype].data[dgl.EID].tolist())
            for excluded in (etype, REVERSE[etype]):
                assert not seeds & set(block.edges[excluded].data[dgl.EID].tolist())
    for ntype in g.ntypes:
        ids = positive_graph.nodes[ntype].data[dgl.NID]
        assert torch.equal(ids, negative_graph.nodes[ntype].data[dgl.NID])
        assert torch.equal(ids, blocks[-1].dstnodes[ntype].data[dgl.NID])
    for etype in SCORED:
        src, dst = positive_graph.edges(etype=etype)
        srctype, _, dsttype = g.to_canonical_etype(etype)
        src = positive_graph.nodes[srctype].data[dgl.NID][src]
        dst = positive_graph.nodes[dsttype].data[dgl.NID][dst]
        there = g.find_edges(positive_graph.edges[etype].data[dgl.EID], etype=etype)
        # DGL may hand the pairs of a batch back in another order than their ids.
        pairs, edges = (torch.stack(ends) for ends in ((src, dst), there))
        assert torch.equal(*(x[:, (x[0] * 1000 + x[1]).argsort()] for x in (pairs, edges)))


def scores_of(scores):
    return torch.cat([scores[etype].flatten() for etype in sorted(scores) if etype[1] in SCORED])


def auc(positive, negative):
    """How often an edge is scored above a pair that is none."""
    order = torch.cat([positive, negative]).argsort().argsort() + 1
    total = order[: len(positive)].sum().item() - len(positive) * (len(positive) + 1) / 2
    return total / (len(positive) * len(negative))


def main(args):
    dgl.seed(0)
    torch.manual_seed(0)
    data = torch.load(args.data)
    follows, likes = data["follows"], data["likes"]
    g = dgl.heterograph(
        {
            ("user", "follows", "user"): (follows[0], follows[1]),
            ("user", "followed_by", "user"): (follows[1], follows[0]),
            ("user", "likes", "item"): (likes[0], likes[1]),
            ("item", "liked_by", "user"): (likes[1], likes[0]),
        }
    )
    print(g)
    train, test = {}, {}
    for etype in SCORED:
        eids = torch.randperm(g.num_edges(etype))
        train[etype], test[etype] = eids[len(eids) // 10 :], eids[: len(eids) // 10]
    model = Model(g, 16, 32, 16)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        model.train()
        total = 0
        loader = make_loader(g, train, args, shuffle=True)
        for _, positive_graph, negative_graph, blocks in tqdm.tqdm(loader):
            if epoch == 0:
                check_batch(g, positive_graph, negative_graph, blocks)
            pos, neg = (scores_of(x) for x in model(positive_graph, negative_graph, blocks))
            assert len(neg) == args.negatives * len(pos)
            # The margin loss of the guide: an edge before each of its own pairs.
            loss = (1 - pos.unsqueeze(1) + neg.view(len(pos), -1)).clamp(min=0).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        print(f"Epoch {epoch} | Loss {total / len(loader):.4f}")
    model.eval()
    with torch.no_grad():
        pairs = [model(*batch[1:]) for batch in make_loader(g, test, args, shuffle=False)]
    pos, neg = (torch.cat([scores_of(pair[i]) for pair in pairs]) for i in (0, 1))
    print(f"Test AUC {auc(pos, neg):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", help="ends of the edges of two relations")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--negatives", type=int, default=3)
    parser.add_argument("--num-workers", type=int, default=0)
    main(parser.parse_args())
