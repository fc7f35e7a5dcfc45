"""Correct and smooth: errors of a linear model and labels are spread (Huang et al., 2021)."""

import argparse

import dgl
import dgl.function as fn
import torch
import torch.nn as nn
import torch.nn.functional as F
from dgl.nn import LabelPropagation


class Spread(nn.Module):
    """y = alpha * D^-1/2 A D^-1/2 y + (1 - alpha) * y0, some times."""

    def __init__(self, num_layers, alpha):
        super().__init__()
        self.num_layers, self.alpha = num_layers, alpha

    @torch.no_grad()
    def forward(self, g, y, post_step=lambda y: y.clamp(0.0, 1.0)):
        with g.local_scope():
            last = (1 - self.alpha) * y
            norm = g.in_degrees().float().clamp(min=1).pow(-0.5).unsqueeze(1)
            for _ in range(self.num_layers):
                g.ndata["h"] = y * norm
                g.update_all(fn.copy_u("h", "m"), fn.sum("m", "h"))
                y = post_step(last + self.alpha * g.ndata.pop("h") * norm)
            return y


def correct(g, soft, one_hot, train_nid, spread):
    error = torch.zeros_like(soft)
    error[train_nid] = one_hot[train_nid] - soft[train_nid]
    smoothed = spread(g, error, post_step=lambda x: x.clamp(-1.0, 1.0))
    scale = error[train_nid].abs().sum() / len(train_nid) / smoothed.abs().sum(1, keepdim=True)
    scale[torch.isinf(scale) | (scale > 1000)] = 1.0
    result = soft + scale * smoothed
    result[torch.isnan(result)] = soft[torch.isnan(result)]
    return result


def accuracy(pred, label, ids):
    return (pred[ids].argmax(1) == label[ids]).float().mean().item()


def main(args):
    torch.manual_seed(0)
    n, c = 1000, 4
    label = torch.randint(c, (n,))
    u, v = torch.randint(n, (2, 10 * n))
    kept = (label[u] == label[v]) | (torch.rand(len(u)) < 0.1)
    g = dgl.to_bidirected(dgl.graph((u[kept], v[kept]), num_nodes=n))
    feat = F.one_hot(label, c) + 2.0 * torch.randn(n, c)
    train, test = torch.randperm(n).split([300, 700])

    base = nn.Linear(c, c)
    opt = torch.optim.Adam(base.parameters(), lr=0.05)
    for _ in range(50):
        loss = F.cross_entropy(base(feat)[train], label[train])
        opt.zero_grad()
        loss.backward()
        opt.step()
    soft = base(feat).softmax(1).detach()
    print(f"Linear model {accuracy(soft, label, test):.4f}")

    is_train = torch.zeros(n, dtype=torch.bool)
    is_train[train] = True
    alone = LabelPropagation(k=args.layers, alpha=args.alpha)(g, label, mask=is_train)
    print(f"Label propagation alone {accuracy(alone, label, test):.4f}")

    one_hot = F.one_hot(label, c).float()
    spread = Spread(args.layers, args.alpha)
    corrected = correct(g, soft, one_hot, train, spread)
    print(f"Corrected {accuracy(corrected, label, test):.4f}")
    corrected[train] = one_hot[train]
    print(f"Test accuracy {accuracy(spread(g, corrected), label, test):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--alpha", type=float, default=0.8)
    parser.add_argument("--layers", type=int, default=15)
    main(parser.parse_args())
