"""Complete a knowledge graph with translations (Bordes et al., 2013).

Towns lie on a grid; the relations are the steps north, south, east and west.
"""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn import TransE


def atlas(side):
    ids = torch.arange(side * side).view(side, side)
    south, east = (
        (ids[:-1].flatten(), ids[1:].flatten()),
        (ids[:, :-1].flatten(), ids[:, 1:].flatten()),
    )
    g = dgl.heterograph(
        {
            ("town", "south", "town"): south,
            ("town", "north", "town"): south[::-1],
            ("town", "east", "town"): east,
            ("town", "west", "town"): east[::-1],
        }
    )
    return dgl.to_homogeneous(g)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=8)
    parser.add_argument("--dim", type=int, default=4)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--negatives", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(0)
    g = atlas(args.side)
    n, (heads, tails), rels = g.num_nodes(), g.edges(), g.edata[dgl.ETYPE]
    train, test = torch.randperm(g.num_edges()).split([g.num_edges() - 40, 40])

    entity = nn.Embedding(n, args.dim)
    scorer = TransE(num_rels=4, feats=args.dim, p=1)
    opt = torch.optim.Adam([*entity.parameters(), *scorer.parameters()], lr=0.05)
    for step in range(args.steps):
        h, r, t = heads[train], rels[train], tails[train]
        positive = scorer(entity(h), entity(t), r)
        # A tail drawn at random in place of the true one, some times for every edge.
        times = args.negatives
        wrong = torch.randint(n, (times * len(train),))
        negative = scorer(entity(h.repeat(times)), entity(wrong), r.repeat(times))
        loss = F.relu(1.0 - positive.repeat(times) + negative).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 50 == 0:
            print(f"Step {step:03d} | Loss {loss.item():.4f}")

    with torch.no_grad():
        hits = 0
        for head, rel, tail in zip(heads[test], rels[test], tails[test]):
            score = scorer(entity(head.repeat(n)), entity.weight, rel.repeat(n))
            hits += int((score > score[tail]).sum() < 5)
    print(f"Test hits@5 {hits / len(test):.4f}")
