"""Classify graphs of several node types; readouts by type, batches undone again."""

import argparse

import dgl
import dgl.nn as dglnn
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.dataloading import GraphDataLoader


class RGCN(nn.Module):
    def __init__(self, in_feats, hid_feats, rel_names):
        super().__init__()
        self.conv1, self.conv2 = (
            dglnn.HeteroGraphConv(
                {
                    rel: dglnn.GraphConv(size, hid_feats, allow_zero_in_degree=True)
                    for rel in rel_names
                },
                aggregate="sum",
            )
            for size in (in_feats, hid_feats)
        )

    def forward(self, graph, inputs):
        h = {k: F.relu(v) for k, v in self.conv1(graph, inputs).items()}
        return self.conv2(graph, h)


class HeteroClassifier(nn.Module):
    def __init__(self, in_dim, hidden_dim, n_classes, rel_names):
        super().__init__()
        self.rgcn = RGCN(in_dim, hidden_dim, rel_names)
        self.classify = nn.Linear(hidden_dim, n_classes)

    def forward(self, g):
        h = self.rgcn(g, g.ndata["feat"])
        with g.local_scope():
            g.ndata["h"] = h
            hg = 0
            for ntype in g.ntypes:
                hg = hg + dgl.mean_nodes(g, "h", ntype=ntype)
            return self.classify(hg)


def shop(label):
    """Buyers and goods; in class 1 goods that are dear go to buyers who are rich."""
    buyers, goods = int(torch.randint(5, 10, ())), int(torch.randint(5, 10, ()))
    rich, dear = torch.rand(buyers), torch.rand(goods)
    u, v = torch.randint(buyers, (60,)), torch.randint(goods, (60,))
    kept = (rich[u] - dear[v]).abs() < 0.3 if label else torch.rand(60) < 0.5
    kept[0] = True
    g = dgl.heterograph(
        {
            ("buyer", "buys", "good"): (u[kept], v[kept]),
            ("good", "bought-by", "buyer"): (v[kept], u[kept]),
        },
        num_nodes_dict={"buyer": buyers, "good": goods},
    )
    for ntype, x in (("buyer", rich), ("good", dear)):
        g.nodes[ntype].data["feat"] = torch.stack([x, x * x, torch.ones_like(x)], 1)
    return g, label


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=15)
    args = parser.parse_args()
    torch.manual_seed(0)
    data = [shop(i % 2) for i in range(300)]
    model = HeteroClassifier(3, 24, 2, ["buys", "bought-by"])
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        for g, y in GraphDataLoader(data[:220], batch_size=44, shuffle=True):
            loss = F.cross_entropy(model(g), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        if epoch % 5 == 0:
            print(f"Epoch {epoch:02d} | Loss {loss.item():.4f}")
    with torch.no_grad():
        ((g, y),) = GraphDataLoader(data[220:], batch_size=80)
        logits = model(g)
        # One by one they say the same as all together.
        single = torch.cat([model(part) for part in dgl.unbatch(g)])
        assert torch.allclose(single, logits, atol=1e-4)
        accuracy = (logits.argmax(1) == y).float().mean()
    print(f"Test accuracy {accuracy.item():.4f}")
