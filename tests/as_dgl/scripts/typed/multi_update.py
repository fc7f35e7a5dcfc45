"""A typed convolution by hand: multi_update_all, a weight for every relation."""

import argparse

import dgl
import dgl.function as fn
import torch
import torch.nn as nn
import torch.nn.functional as F


class HeteroRGCNLayer(nn.Module):
    def __init__(self, in_size, out_size, etypes):
        super().__init__()
        self.weight = nn.ModuleDict({name: nn.Linear(in_size, out_size) for name in etypes})

    def forward(self, g, feat_dict):
        funcs = {}
        for srctype, etype, _dsttype in g.canonical_etypes:
            if srctype not in feat_dict:
                continue
            g.nodes[srctype].data[f"Wh_{etype}"] = self.weight[etype](feat_dict[srctype])
            funcs[etype] = (fn.copy_u(f"Wh_{etype}", "m"), fn.mean("m", "h"))
        g.multi_update_all(funcs, "sum")
        return {t: g.nodes[t].data["h"] for t in g.ntypes if "h" in g.nodes[t].data}


class HeteroRGCN(nn.Module):
    def __init__(self, g, in_size, hidden, out_size):
        super().__init__()
        self.embed = nn.ParameterDict(
            {t: nn.Parameter(torch.empty(g.num_nodes(t), in_size)) for t in g.ntypes}
        )
        for weight in self.embed.values():
            nn.init.xavier_uniform_(weight)
        self.layer1 = HeteroRGCNLayer(in_size, hidden, g.etypes)
        self.layer2 = HeteroRGCNLayer(hidden, out_size, g.etypes)

    def forward(self, g, out_key):
        h = self.layer1(g, dict(self.embed))
        h = {t: F.leaky_relu(x) for t, x in h.items()}
        return self.layer2(g, h)[out_key]


def papers(n_papers, n_authors, n_subjects):
    field = torch.randint(3, (n_papers,))
    author = torch.randint(n_authors // 3, (2, n_papers)) * 3 + field
    author[1] = torch.randint(n_authors, (n_papers,))
    subject = torch.randint(n_subjects // 3, (n_papers,)) * 3 + field
    strange = torch.rand(n_papers) < 0.4
    subject[strange] = torch.randint(n_subjects, (int(strange.sum()),))
    ids = torch.arange(n_papers)
    written = ids.repeat(2), author.flatten()
    g = dgl.heterograph(
        {
            ("paper", "written-by", "author"): written,
            ("author", "writing", "paper"): written[::-1],
            ("paper", "is-about", "subject"): (ids, subject),
            ("subject", "has", "paper"): (subject, ids),
        }
    )
    return g, field


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    args = parser.parse_args()
    torch.manual_seed(0)
    g, labels = papers(800, 90, 30)
    train_idx, val_idx, test_idx = torch.randperm(800).split([400, 150, 250])
    model = HeteroRGCN(g, 10, 10, 3)
    opt = torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=5e-4)
    best_val, best_test = 0, 0
    for epoch in range(args.epochs):
        logits = model(g, "paper")
        loss = F.cross_entropy(logits[train_idx], labels[train_idx])
        right = (logits.argmax(1) == labels).float()
        val, test = right[val_idx].mean().item(), right[test_idx].mean().item()
        if val > best_val:
            best_val, best_test = val, test
        opt.zero_grad()
        loss.backward()
        opt.step()
        if epoch % 10 == 0:
            print(f"Epoch {epoch} | Loss {loss.item():.4f} | Val {val:.4f} | Test {test:.4f}")
    print(f"Test accuracy {best_test:.4f}")
