"""Predict stars that users give films: a relation for every rating, bilinear scores (GC-MC)."""

import argparse

import dgl
import dgl.nn as dglnn
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn import EdgePredictor

RATINGS = 3


class Encoder(nn.Module):
    def __init__(self, g, dim):
        super().__init__()
        self.embed = dglnn.HeteroEmbedding({t: g.num_nodes(t) for t in g.ntypes}, dim)
        self.conv = dglnn.HeteroGraphConv(
            {
                etype: dglnn.GraphConv(dim, dim, norm="both", allow_zero_in_degree=True)
                for etype in g.etypes
            },
            aggregate="stack",
        )
        self.join = dglnn.HeteroLinear(dict.fromkeys(g.ntypes, (RATINGS + 1) * dim), dim)

    def forward(self, g):
        x = self.embed({t: g.nodes(t) for t in g.ntypes})
        h = {t: F.relu(h).flatten(1) for t, h in self.conv(g, x).items()}
        return self.join({t: torch.cat([h[t], x[t]], 1) for t in g.ntypes})


def stars(user, film):
    """What a user of a group gives a film of a kind, plus now and then a whim."""
    truth = (user % 3 + film % 3 * 2) % RATINGS
    return torch.where(torch.rand(len(user)) < 0.1, torch.randint(RATINGS, user.shape), truth)


def graph_of(user, film, rating, sizes):
    edges = {}
    for r in range(RATINGS):
        ends = user[rating == r], film[rating == r]
        edges["user", f"{r}", "film"] = ends
        edges["film", f"rev-{r}", "user"] = ends[::-1]
    return dgl.heterograph(edges, num_nodes_dict=sizes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--dim", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=60)
    args = parser.parse_args()
    torch.manual_seed(0)
    sizes = {"user": 150, "film": 100}
    pairs = torch.randperm(150 * 100)[:5000]
    user, film = pairs // 100, pairs % 100
    rating = stars(user, film)
    train, test = torch.arange(5000).split([4000, 1000])
    g = graph_of(user[train], film[train], rating[train], sizes)
    print(g.metagraph().edges())

    encoder = Encoder(g, args.dim)
    decoder = EdgePredictor("ele", args.dim, RATINGS, bias=True)
    opt = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.02)
    for epoch in range(args.epochs):
        h = encoder(g)
        # Half of the ratings are asked for in every step.
        asked = train[torch.rand(len(train)) < 0.5]
        logits = decoder(h["user"][user[asked]], h["film"][film[asked]])
        loss = F.cross_entropy(logits, rating[asked])
        opt.zero_grad()
        loss.backward()
        opt.step()
        if epoch % 10 == 0:
            print(f"Epoch {epoch:02d} | Loss {loss.item():.4f}")
    with torch.no_grad():
        h = encoder(g)
        pred = decoder(h["user"][user[test]], h["film"][film[test]]).argmax(1)
    print(f"Test accuracy {(pred == rating[test]).float().mean().item():.4f}")
