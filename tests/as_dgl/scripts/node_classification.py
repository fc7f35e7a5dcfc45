"""The calls of DGL's examples/pytorch/graphsage/node_classification.py; nothing knows of hopflow.

https://github.com/dmlc/dgl/blob/master/examples/pytorch/graphsage/node_classification.py
"""

import argparse

import dgl
import dgl.nn as dglnn
import torch
import torch.nn as nn
import torch.nn.functional as F
import tqdm
from dgl.data import AsNodePredDataset
from dgl.dataloading import DataLoader, MultiLayerFullNeighborSampler, NeighborSampler
from ogb.nodeproppred import DglNodePropPredDataset


class SAGE(nn.Module):
    def __init__(self, in_size, hid_size, out_size):
        super().__init__()
        self.layers = nn.ModuleList()
        self.layers.append(dglnn.SAGEConv(in_size, hid_size, "mean"))
        self.layers.append(dglnn.SAGEConv(hid_size, hid_size, "mean"))
        self.layers.append(dglnn.SAGEConv(hid_size, out_size, "mean"))
        self.dropout = nn.Dropout(0.5)
        self.hid_size = hid_size
        self.out_size = out_size

    def forward(self, blocks, x):
        h = x
        for l, (layer, block) in enumerate(zip(self.layers, blocks)):  # noqa: E741
            h = layer(block, h)
            if l != len(self.layers) - 1:
                h = F.relu(h)
                h = self.dropout(h)
        return h

    def inference(self, g, device, batch_size, fused_sampling=True):
        """Layer by layer, for every node."""
        feat = g.ndata["feat"]
        sampler = MultiLayerFullNeighborSampler(
            1, prefetch_node_feats=["feat"], fused=fused_sampling
        )
        dataloader = DataLoader(
            g,
            torch.arange(g.num_nodes()).to(g.device),
            sampler,
            device=device,
            batch_size=batch_size,
            shuffle=False,
            drop_last=False,
            num_workers=0,
        )
        buffer_device = torch.device("cpu")
        pin_memory = buffer_device != device
        for l, layer in enumerate(self.layers):  # noqa: E741
            y = torch.empty(
                g.num_nodes(),
                self.hid_size if l != len(self.layers) - 1 else self.out_size,
                dtype=feat.dtype,
                device=buffer_device,
                pin_memory=pin_memory,
            )
            feat = feat.to(device)
            for input_nodes, output_nodes, blocks in tqdm.tqdm(dataloader):
                x = feat[input_nodes]
                h = layer(blocks[0], x)
                if l != len(self.layers) - 1:
                    h = F.relu(h)
                    h = self.dropout(h)
                y[output_nodes[0] : output_nodes[-1] + 1] = h.to(buffer_device)
            feat = y
        return y


def accuracy(y_hat, y):
    return (y_hat.argmax(1) == y).float().mean()


@torch.no_grad()
def evaluate(model, graph, dataloader):
    model.eval()
    ys = []
    y_hats = []
    for _it, (_input_nodes, _output_nodes, blocks) in enumerate(dataloader):
        x = blocks[0].srcdata["feat"]
        ys.append(blocks[-1].dstdata["label"])
        y_hats.append(model(blocks, x))
    return accuracy(torch.cat(y_hats), torch.cat(ys))


@torch.no_grad()
def layerwise_infer(device, graph, nid, model, batch_size, fused_sampling):
    model.eval()
    pred = model.inference(graph, device, batch_size, fused_sampling)
    pred = pred[nid]
    label = graph.ndata["label"][nid].to(pred.device)
    return accuracy(pred, label)


def train(device, g, dataset, model, use_uva, fused_sampling, num_epochs):
    train_idx = dataset.train_idx.to(g.device if not use_uva else device)
    val_idx = dataset.val_idx.to(g.device if not use_uva else device)
    sampler = NeighborSampler(
        [10, 10, 10],
        prefetch_node_feats=["feat"],
        prefetch_labels=["label"],
        fused=fused_sampling,
    )
    train_dataloader = DataLoader(
        g, train_idx, sampler, device=device, batch_size=1024, shuffle=True, drop_last=False,
        num_workers=0, use_uva=use_uva,
    )  # fmt: skip
    val_dataloader = DataLoader(
        g, val_idx, sampler, device=device, batch_size=1024, shuffle=True, drop_last=False,
        num_workers=0, use_uva=use_uva,
    )  # fmt: skip
    opt = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-4)
    for epoch in range(num_epochs):
        model.train()
        total_loss = 0
        for it, (_input_nodes, _output_nodes, blocks) in enumerate(train_dataloader):  # noqa: B007
            x = blocks[0].srcdata["feat"]
            y = blocks[-1].dstdata["label"]
            y_hat = model(blocks, x)
            loss = F.cross_entropy(y_hat, y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total_loss += loss.item()
        acc = evaluate(model, g, val_dataloader)
        print(f"Epoch {epoch:05d} | Loss {total_loss / (it + 1):.4f} | Accuracy {acc.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", default="mixed", choices=["cpu", "mixed", "puregpu"])
    parser.add_argument("--dt", type=str, default="float")
    parser.add_argument("--dataset-dir", type=str, default="dataset")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--int32", action="store_true")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        args.mode = "cpu"
    dgl.seed(0)
    dgl.random.seed(0)
    torch.manual_seed(0)

    dataset = AsNodePredDataset(DglNodePropPredDataset("ogbn-arxiv", root=args.dataset_dir))
    g = dataset[0]
    g = dgl.remove_self_loop(dgl.to_bidirected(g, copy_ndata=True))
    g = dgl.add_self_loop(g)
    g = g.to("cuda" if args.mode == "puregpu" else "cpu")
    g = g.int() if args.int32 else g.long()
    g.create_formats_()
    device = torch.device("cpu" if args.mode == "cpu" else "cuda")

    in_size = g.ndata["feat"].shape[1]
    model = SAGE(in_size, 64, dataset.num_classes).to(device)
    if args.dt == "bfloat16":
        g = dgl.to_bfloat16(g)
        model = model.to(dtype=torch.bfloat16)

    train(device, g, dataset, model, args.mode == "mixed", False, args.epochs)
    acc = layerwise_infer(device, g, dataset.test_idx, model, 4096, True)
    print(f"Test accuracy {acc.item():.4f}")
