"""The calls of DGL's examples/pytorch/hgt, and of its HGTConv; nothing knows of hopflow.

https://github.com/dmlc/dgl/blob/master/examples/pytorch/hgt/model.py
"""

import argparse
import math

import dgl
import dgl.function as fn
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn.functional import edge_softmax


class HGTLayer(nn.Module):
    """The layer that the example writes itself, relation by relation."""

    def __init__(self, in_dim, out_dim, node_dict, edge_dict, n_heads, dropout=0.2):
        super().__init__()
        self.out_dim, self.n_heads, self.d_k = out_dim, n_heads, out_dim // n_heads
        self.node_dict, self.edge_dict = node_dict, edge_dict

        def for_types(size):
            return nn.ModuleList([nn.Linear(size, out_dim) for _ in node_dict])

        self.k_linears, self.q_linears, self.v_linears = (for_types(in_dim) for _ in range(3))
        self.a_linears = for_types(out_dim)
        self.norms = nn.ModuleList([nn.LayerNorm(out_dim) for _ in node_dict])
        shape = (len(edge_dict), n_heads, self.d_k, self.d_k)
        self.relation_pri = nn.Parameter(torch.ones(shape[:2]))
        self.relation_att = nn.Parameter(nn.init.xavier_uniform_(torch.empty(shape)))
        self.relation_msg = nn.Parameter(nn.init.xavier_uniform_(torch.empty(shape)))
        self.skip = nn.Parameter(torch.ones(len(node_dict)))
        self.drop = nn.Dropout(dropout)

    def forward(self, G, h):
        with G.local_scope():
            for srctype, etype, dsttype in G.canonical_etypes:
                sub_graph = G[srctype, etype, dsttype]
                src, dst = self.node_dict[srctype], self.node_dict[dsttype]
                k = self.k_linears[src](h[srctype]).view(-1, self.n_heads, self.d_k)
                v = self.v_linears[src](h[srctype]).view(-1, self.n_heads, self.d_k)
                q = self.q_linears[dst](h[dsttype]).view(-1, self.n_heads, self.d_k)
                e_id = self.edge_dict[etype]
                k = torch.einsum("bij,ijk->bik", k, self.relation_att[e_id])
                v = torch.einsum("bij,ijk->bik", v, self.relation_msg[e_id])
                sub_graph.srcdata["k"] = k
                sub_graph.dstdata["q"] = q
                sub_graph.srcdata[f"v_{e_id}"] = v
                sub_graph.apply_edges(fn.v_dot_u("q", "k", "t"))
                score = sub_graph.edata.pop("t").sum(-1) * self.relation_pri[e_id]
                score = edge_softmax(sub_graph, score / math.sqrt(self.d_k), norm_by="dst")
                sub_graph.edata["t"] = score.unsqueeze(-1)
            G.multi_update_all(
                {
                    etype: (fn.u_mul_e(f"v_{e_id}", "t", "m"), fn.sum("m", "t"))
                    for etype, e_id in self.edge_dict.items()
                },
                cross_reducer="mean",
            )
            new_h = {}
            for ntype in G.ntypes:
                n_id = self.node_dict[ntype]
                alpha = torch.sigmoid(self.skip[n_id])
                t = G.nodes[ntype].data["t"].view(-1, self.out_dim)
                out = self.drop(self.a_linears[n_id](t)) * alpha + h[ntype] * (1 - alpha)
                new_h[ntype] = self.norms[n_id](out)
            return new_h


class HGT(nn.Module):
    """The example's model, on the whole graph."""

    def __init__(self, G, n_hid, n_out, n_layers, n_heads):
        super().__init__()
        node_dict = {ntype: i for i, ntype in enumerate(G.ntypes)}
        edge_dict = {etype: i for i, etype in enumerate(G.etypes)}
        for etype in G.etypes:
            ids = torch.ones(G.num_edges(etype), dtype=torch.long) * edge_dict[etype]
            G.edges[etype].data["id"] = ids
        self.adapt_ws = nn.ModuleDict(
            {ntype: nn.Linear(G.nodes[ntype].data["inp"].shape[1], n_hid) for ntype in G.ntypes}
        )
        self.gcs = nn.ModuleList(
            [HGTLayer(n_hid, n_hid, node_dict, edge_dict, n_heads) for _ in range(n_layers)]
        )
        self.out = nn.Linear(n_hid, n_out)

    def forward(self, G, out_key):
        h = {ntype: F.gelu(self.adapt_ws[ntype](G.nodes[ntype].data["inp"])) for ntype in G.ntypes}
        for layer in self.gcs:
            h = layer(G, h)
        return self.out(h[out_key])


class HGTOfOneGraph(nn.Module):
    """HGTConv on the graph with all types merged."""

    def __init__(self, G, n_hid, n_out, n_layers, n_heads):
        super().__init__()
        self.adapt_ws = nn.ModuleDict(
            {ntype: nn.Linear(G.nodes[ntype].data["inp"].shape[1], n_hid) for ntype in G.ntypes}
        )
        self.layers = nn.ModuleList(
            [
                dgl.nn.HGTConv(
                    n_hid, n_hid // n_heads, n_heads, len(G.ntypes), len(G.etypes), use_norm=True
                )
                for _ in range(n_layers)
            ]
        )
        self.out = nn.Linear(n_hid, n_out)

    def forward(self, G, out_key):
        g = dgl.to_homogeneous(G)
        h = torch.cat([self.adapt_ws[nt](G.nodes[nt].data["inp"]) for nt in G.ntypes])
        h = F.gelu(h)
        for layer in self.layers:
            h = layer(g, h, g.ndata[dgl.NTYPE], g.edata[dgl.ETYPE], presorted=True)
        of_key = g.ndata[dgl.NTYPE] == G.get_ntype_id(out_key)
        assert torch.equal(g.ndata[dgl.NID][of_key], G.nodes(out_key))
        return self.out(h[of_key])


def train(model, G, labels, split, epochs):
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, total_steps=epochs, max_lr=5e-3)
    train_idx, val_idx, test_idx = split
    best_val, best_test = 0, 0
    for epoch in range(epochs):
        model.train()
        logits = model(G, "paper")
        loss = F.cross_entropy(logits[train_idx], labels[train_idx])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        if epoch % 5 == 4:
            model.eval()
            with torch.no_grad():
                pred = model(G, "paper").argmax(1)
            val, test = (
                (pred[idx] == labels[idx]).float().mean().item() for idx in (val_idx, test_idx)
            )
            if val > best_val:
                best_val, best_test = val, test
            print(f"Epoch {epoch} | Loss {loss.item():.4f} | Val {val:.4f} | Test {test:.4f}")
    return best_test


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", help="pairs of papers, authors and subjects, and papers' labels")
    parser.add_argument("--n_epoch", type=int, default=40)
    parser.add_argument("--n_hid", type=int, default=32)
    args = parser.parse_args()
    torch.manual_seed(0)
    data = torch.load(args.data)
    pva, pvp, pvl, labels = (data[name] for name in ("PvsA", "PvsP", "PvsL", "label"))
    G = dgl.heterograph(
        {
            ("paper", "written-by", "author"): (pva[0], pva[1]),
            ("author", "writing", "paper"): (pva[1], pva[0]),
            ("paper", "citing", "paper"): (pvp[0], pvp[1]),
            ("paper", "cited", "paper"): (pvp[1], pvp[0]),
            ("paper", "is-about", "subject"): (pvl[0], pvl[1]),
            ("subject", "has", "paper"): (pvl[1], pvl[0]),
        }
    )
    print(G)
    for ntype in G.ntypes:
        emb = torch.empty(G.num_nodes(ntype), 64)
        G.nodes[ntype].data["inp"] = nn.init.xavier_uniform_(emb)
    num_papers = G.num_nodes("paper")
    order = torch.randperm(num_papers)
    split = order.split([num_papers // 2, num_papers // 4, num_papers - 3 * num_papers // 4])
    for make in (HGT, HGTOfOneGraph):
        model = make(G, args.n_hid, int(labels.max()) + 1, n_layers=2, n_heads=4)
        accuracy = train(model, G, labels, split, args.n_epoch)
        print(f"{make.__name__} test accuracy {accuracy:.4f}")
