"""R-GCN on entities without features, as one graph with edge types (Schlichtkrull et al., 2018)."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn.pytorch import RelGraphConv


class RGCN(nn.Module):
    def __init__(self, num_nodes, h_dim, out_dim, num_rels, num_bases):
        super().__init__()
        self.emb = nn.Embedding(num_nodes, h_dim)
        options = {"regularizer": "basis", "num_bases": num_bases}
        self.conv1 = RelGraphConv(h_dim, h_dim, num_rels, self_loop=False, **options)
        self.conv2 = RelGraphConv(h_dim, out_dim, num_rels, self_loop=False, **options)

    def forward(self, g):
        h = F.relu(self.conv1(g, self.emb.weight, g.edata[dgl.ETYPE], g.edata["norm"]))
        return self.conv2(g, h, g.edata[dgl.ETYPE], g.edata["norm"])


def museum(n_works, n_makers, n_places):
    """A work's style follows from its maker's school, and makers from where they lived."""
    place = torch.randint(n_places, (n_makers,))
    maker = torch.randint(n_makers, (n_works,))
    works, makers = torch.arange(n_works), torch.arange(n_makers)
    shown = torch.randint(n_places, (n_works,))  # where a work hangs says nothing
    g = dgl.heterograph(
        {
            ("work", "made_by", "maker"): (works, maker),
            ("maker", "made", "work"): (maker, works),
            ("maker", "lived_in", "place"): (makers, place),
            ("place", "home_of", "maker"): (place, makers),
            ("work", "shown_in", "place"): (works, shown),
            ("place", "shows", "work"): (shown, works),
        }
    )
    g.nodes["work"].data["style"] = place[maker] % 3
    return g


def main(args):
    torch.manual_seed(0)
    hg = museum(600, 120, 6)
    for etype in hg.canonical_etypes:
        _, v = hg.edges(etype=etype)
        count = hg.in_degrees(v, etype=etype)
        hg.edges[etype].data["norm"] = (1.0 / count).unsqueeze(1)
    style = hg.nodes["work"].data.pop("style")
    category_id = hg.get_ntype_id("work")
    g = dgl.to_homogeneous(hg, edata=["norm"])
    node_ids = torch.arange(g.num_nodes())
    target_idx = node_ids[g.ndata[dgl.NTYPE] == category_id]
    assert torch.equal(g.ndata[dgl.NID][target_idx], torch.arange(600))
    train, test = torch.randperm(600).split([300, 300])

    model = RGCN(g.num_nodes(), args.hidden, 3, len(hg.etypes), args.num_bases)
    opt = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=5e-4)
    for epoch in range(args.epochs):
        logits = model(g)[target_idx]
        loss = F.cross_entropy(logits[train], style[train])
        opt.zero_grad()
        loss.backward()
        opt.step()
        if epoch % 10 == 0:
            print(f"Epoch {epoch:05d} | Loss {loss.item():.4f}")
    with torch.no_grad():
        accuracy = (model(g)[target_idx].argmax(1) == style)[test].float().mean()
    print(f"Test accuracy {accuracy.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="R-GCN for entity classification")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--num-bases", type=int, default=4)
    main(parser.parse_args())
