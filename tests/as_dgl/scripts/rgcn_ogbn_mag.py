"""The calls of DGL's examples/core/rgcn/hetero_rgcn.py; nothing knows of hopflow.

https://github.com/dmlc/dgl/blob/master/examples/core/rgcn/hetero_rgcn.py
"""

import argparse
import itertools

import dgl
import dgl.nn as dglnn
import torch as th
import torch.nn as nn
import torch.nn.functional as F
from dgl import AddReverse, Compose, ToSimple
from dgl.nn import HeteroEmbedding
from ogb.nodeproppred import DglNodePropPredDataset, Evaluator
from tqdm import tqdm

CATEGORY = "paper"


def prepare_data(args, device):
    dataset = DglNodePropPredDataset(name="ogbn-mag", root=args.rootdir)
    split_idx = dataset.get_idx_split()
    g, labels = dataset[0]
    labels = labels[CATEGORY].flatten()
    transform = Compose([ToSimple(), AddReverse()])
    g = transform(g)
    print(f"Loaded graph: {g}")
    sampler = dgl.dataloading.MultiLayerNeighborSampler([25, 10])
    train_loader = dgl.dataloading.DataLoader(
        g, split_idx["train"], sampler, batch_size=256, shuffle=True,
        num_workers=args.num_workers, device=device,
    )  # fmt: skip
    return g, labels, dataset.num_classes, split_idx, train_loader


def extract_embed(node_embed, input_nodes):
    return node_embed({nt: nids for nt, nids in input_nodes.items() if nt != CATEGORY})


def rel_graph_embed(graph, embed_size):
    return HeteroEmbedding(
        {ntype: graph.num_nodes(ntype) for ntype in graph.ntypes if ntype != CATEGORY}, embed_size
    )


class RelGraphConvLayer(nn.Module):
    def __init__(self, in_size, out_size, ntypes, relation_names, activation=None, dropout=0.0):
        super().__init__()
        self.relation_names, self.activation = relation_names, activation
        self.conv = dglnn.HeteroGraphConv(
            {
                rel: dglnn.GraphConv(in_size, out_size, norm="right", weight=False, bias=False)
                for rel in relation_names
            }
        )
        self.weight = nn.ModuleDict(
            {rel: nn.Linear(in_size, out_size, bias=False) for rel in relation_names}
        )
        self.loop_weights = nn.ModuleDict(
            {ntype: nn.Linear(in_size, out_size, bias=True) for ntype in ntypes}
        )
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self):
        for layer in itertools.chain(self.weight.values(), self.loop_weights.values()):
            layer.reset_parameters()

    def forward(self, g, inputs):
        g = g.local_var()
        weight_dict = {
            rel_name: {"weight": self.weight[rel_name].weight.T} for rel_name in self.relation_names
        }
        inputs_dst = {ntype: h[: g.num_dst_nodes(ntype)] for ntype, h in inputs.items()}
        hs = self.conv(g, inputs, mod_kwargs=weight_dict)

        def apply(ntype, h):
            h = h + self.loop_weights[ntype](inputs_dst[ntype])
            if self.activation:
                h = self.activation(h)
            return self.dropout(h)

        return {ntype: apply(ntype, h) for ntype, h in hs.items()}


class EntityClassify(nn.Module):
    def __init__(self, g, in_size, hidden, out_size):
        super().__init__()
        relation_names = sorted(set(g.etypes))
        self.layers = nn.ModuleList(
            [
                RelGraphConvLayer(in_size, hidden, g.ntypes, relation_names, F.relu, 0.5),
                RelGraphConvLayer(hidden, out_size, g.ntypes, relation_names),
            ]
        )

    def reset_parameters(self):
        for layer in self.layers:
            layer.reset_parameters()

    def forward(self, h, blocks):
        for layer, block in zip(self.layers, blocks):
            h = layer(block, h)
        return h


def predict(g, model, node_embed, input_nodes, blocks, device):
    blocks = [blk.to(device) for blk in blocks]
    emb = extract_embed(node_embed, input_nodes)
    emb.update({CATEGORY: g.ndata["feat"][CATEGORY][input_nodes[CATEGORY]].to(device)})
    return model(emb, blocks)[CATEGORY]


def train(g, model, node_embed, optimizer, train_loader, split_idx, labels, device, args):
    for epoch in range(args.num_epochs):
        model.train()
        total_loss = 0
        for input_nodes, seeds, blocks in tqdm(train_loader, desc=f"Training epoch {epoch:02d}"):
            num_seeds = seeds[CATEGORY].shape[0]
            logits = predict(g, model, node_embed, input_nodes, blocks, device)
            assert logits.shape[0] == num_seeds == blocks[-1].num_dst_nodes(CATEGORY)
            loss = F.nll_loss(logits.log_softmax(dim=-1), labels[seeds[CATEGORY]].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total_loss += loss.item() * num_seeds
        loss = total_loss / split_idx["train"][CATEGORY].shape[0]
        accuracy = evaluate(g, model, node_embed, labels, device, split_idx["valid"], args)
        print(f"Epoch {epoch:02d} | Loss {loss:.4f} | Valid accuracy {accuracy:.4f}")


@th.no_grad()
def evaluate(g, model, node_embed, labels, device, nids, args):
    model.eval()
    evaluator = Evaluator(name="ogbn-mag")
    sampler = dgl.dataloading.MultiLayerFullNeighborSampler(2)
    dataloader = dgl.dataloading.DataLoader(
        g, {CATEGORY: nids[CATEGORY]}, sampler, batch_size=512, shuffle=False, drop_last=False,
        num_workers=args.num_workers, device=device,
    )  # fmt: skip
    y_hats, y_true = [], []
    for input_nodes, seeds, blocks in tqdm(dataloader, desc="Inference"):
        logits = predict(g, model, node_embed, input_nodes, blocks, device)
        y_hats.append(logits.argmax(dim=1, keepdim=True).cpu())
        y_true.append(labels[seeds[CATEGORY]].unsqueeze(1))
    return evaluator.eval({"y_true": th.cat(y_true), "y_pred": th.cat(y_hats)})["acc"]


def main(args):
    device = "cpu"
    dgl.seed(0)
    th.manual_seed(0)
    g, labels, num_classes, split_idx, train_loader = prepare_data(args, device)
    in_size = g.ndata["feat"][CATEGORY].shape[1]
    embed_layer = rel_graph_embed(g, in_size).to(device)
    print(f"Number of embedding parameters: {sum(p.numel() for p in embed_layer.parameters())}")
    model = EntityClassify(g, in_size, 64, num_classes).to(device)
    embed_layer.reset_parameters()
    model.reset_parameters()
    optimizer = th.optim.Adam(
        itertools.chain(model.parameters(), embed_layer.parameters()), lr=0.01
    )
    train(g, model, embed_layer, optimizer, train_loader, split_idx, labels, device, args)
    accuracy = evaluate(g, model, embed_layer, labels, device, split_idx["test"], args)
    print(f"Test accuracy {accuracy:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rootdir", type=str, default="./dataset/")
    parser.add_argument("--num_epochs", type=int, default=5)
    parser.add_argument("--num_workers", type=int, default=0)
    main(parser.parse_args())
