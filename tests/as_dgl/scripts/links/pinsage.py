"""Items for items, from walks between items and users: PinSAGE in small (Ying et al., 2018)."""

import argparse

import dgl
import dgl.function as fn
import torch
import torch.nn as nn
import torch.nn.functional as F


class WeightedSAGEConv(nn.Module):
    """Neighbours count by how often walks have met them."""

    def __init__(self, input_dims, hidden_dims, output_dims):
        super().__init__()
        self.Q = nn.Linear(input_dims, hidden_dims)
        self.W = nn.Linear(input_dims + hidden_dims, output_dims)

    def forward(self, g, h, weights):
        h_src, h_dst = h
        with g.local_scope():
            g.srcdata["n"] = F.relu(self.Q(h_src))
            g.edata["w"] = weights.float()
            g.update_all(fn.u_mul_e("n", "w", "m"), fn.sum("m", "n"))
            g.update_all(fn.copy_e("w", "m"), fn.sum("m", "ws"))
            n = g.dstdata["n"] / g.dstdata["ws"].unsqueeze(1).clamp(min=1)
            z = self.W(torch.cat([n, h_dst], 1))
            return z / z.norm(2, 1, keepdim=True).clamp(min=1e-6)


class PinSAGE(nn.Module):
    def __init__(self, g, dims, n_layers):
        super().__init__()
        self.embed = nn.Embedding(g.num_nodes("item"), dims)
        nn.init.normal_(self.embed.weight, std=0.5)
        self.convs = nn.ModuleList(WeightedSAGEConv(dims, dims, dims) for _ in range(n_layers))
        self.samplers = [dgl.sampling.PinSAGESampler(g, "item", "user", 2, 0.5, 20, 8)] * n_layers

    def blocks(self, seeds):
        blocks = []
        for sampler in self.samplers:
            frontier = sampler(seeds)
            block = dgl.to_block(frontier, seeds)
            block.edata["weights"] = frontier.edata["weights"][block.edata[dgl.EID]]
            seeds = block.srcdata[dgl.NID]
            blocks.insert(0, block)
        return blocks

    def forward(self, seeds):
        unique, inverse = seeds.unique(return_inverse=True)
        blocks = self.blocks(unique)
        h = self.embed(blocks[0].srcdata[dgl.NID])
        for conv, block in zip(self.convs, blocks):
            h = conv(block, (h, h[: block.num_dst_nodes()]), block.edata["weights"])
        return h[inverse]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden-dims", type=int, default=32)
    parser.add_argument("--num-batches", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    torch.manual_seed(0)
    dgl.seed(0)
    n_users, n_items, tastes = 300, 200, 5
    user, item = torch.randint(n_users, (40_000,)), torch.randint(n_items, (40_000,))
    kept = (user % tastes == item % tastes) | (torch.rand(40_000) < 0.03)
    g = dgl.to_simple(
        dgl.heterograph(
            {
                ("user", "bought", "item"): (user[kept], item[kept]),
                ("item", "bought-by", "user"): (item[kept], user[kept]),
            },
            num_nodes_dict={"user": n_users, "item": n_items},
        )
    )
    model = PinSAGE(g, args.hidden_dims, 2)
    opt = torch.optim.Adam(model.parameters(), lr=0.02)
    for batch in range(args.num_batches):
        # Two items that one user has bought belong together; a third one does not.
        heads = torch.randint(n_items, (args.batch_size,))
        tails = dgl.sampling.random_walk(g, heads, metapath=["bought-by", "bought"])[0][:, 2]
        heads, tails = heads[tails >= 0], tails[tails >= 0]
        others = torch.randint(n_items, (len(heads),))
        h, t, o = model(torch.cat([heads, tails, others])).chunk(3)
        loss = F.relu((h * o).sum(1) - (h * t).sum(1) + 0.5).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        if batch % 50 == 0:
            print(f"Batch {batch} | Loss {loss.item():.4f}")
    with torch.no_grad():
        h = model(torch.arange(n_items))
    near = (h @ h.T).fill_diagonal_(-2).topk(10)[1]
    share = (near % tastes == torch.arange(n_items).view(-1, 1) % tastes).float().mean()
    print(f"Precision@10 {share.item():.4f}")


if __name__ == "__main__":
    main()
