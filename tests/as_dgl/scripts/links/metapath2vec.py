"""Venues near authors, from walks along a metapath: metapath2vec (Dong et al., 2017)."""

import argparse

import dgl
import torch
import torch.nn.functional as F
from dgl.nn import MetaPath2Vec
from torch.utils.data import DataLoader


def library(n_authors, n_papers, n_venues, n_fields):
    """Authors and venues keep to a field, mostly."""
    field = {
        "author": torch.arange(n_authors) % n_fields,
        "venue": torch.arange(n_venues) % n_fields,
    }
    topic = torch.randint(n_fields, (n_papers,))

    def of_field(kind, count):
        ids = torch.randint(count // n_fields, (n_papers,)) * n_fields + topic
        return torch.where(torch.rand(n_papers) < 0.9, ids, torch.randint(count, (n_papers,)))

    papers, author, venue = (
        torch.arange(n_papers),
        of_field("author", n_authors),
        of_field("venue", n_venues),
    )
    g = dgl.heterograph(
        {
            ("author", "writes", "paper"): (author, papers),
            ("paper", "by", "author"): (papers, author),
            ("paper", "in", "venue"): (papers, venue),
            ("venue", "has", "paper"): (venue, papers),
        },
        num_nodes_dict={"author": n_authors, "paper": n_papers, "venue": n_venues},
    )
    return g, field


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=60)
    args = parser.parse_args()
    torch.manual_seed(0)
    dgl.seed(0)
    g, field = library(150, 1500, 30, 3)
    model = MetaPath2Vec(
        g,
        ["writes", "in", "has", "by"],
        window_size=4,
        emb_dim=args.dim,
        negative_size=5,
        sparse=True,
    )
    loader = DataLoader(
        torch.arange(g.num_nodes("author")), batch_size=50, shuffle=True, collate_fn=model.sample
    )
    opt = torch.optim.SparseAdam(model.parameters(), lr=0.05)
    for epoch in range(args.epochs):
        for pos_u, pos_v, neg_v in loader:
            loss = model(pos_u, pos_v, neg_v)
            opt.zero_grad()
            loss.backward()
            opt.step()
        if epoch % 10 == 0:
            print(f"Epoch {epoch} | Loss {loss.item():.4f}")
    vectors = {}
    for ntype in ("author", "venue"):
        ids = torch.LongTensor(model.local_to_global_nid[ntype])
        vectors[ntype] = F.normalize(model.node_embed(ids).detach())
    # The venue nearest to an author should be one of the author's field.
    nearest = (vectors["author"] @ vectors["venue"].T).argmax(1)
    right = field["venue"][nearest] == field["author"]
    print(f"Nearest venue accuracy {right.float().mean().item():.4f}")


if __name__ == "__main__":
    main()
