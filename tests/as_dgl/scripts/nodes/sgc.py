"""Simple graph convolution: features are propagated once and kept (Wu et al., 2019)."""

import argparse
import time

import dgl
import torch
import torch.nn.functional as F
from dgl.nn.pytorch.conv import SGConv


def load(n, n_classes):
    label = torch.arange(n) % n_classes
    src = torch.randint(n, (12 * n,))
    # Two ends in three have the class of the source.
    jump = torch.randint(n // n_classes, (12 * n,)) * n_classes
    dst = torch.where(torch.rand(12 * n) < 0.66, (src + jump) % n, torch.randint(n, (12 * n,)))
    g = dgl.graph((torch.cat([src, dst]), torch.cat([dst, src])), num_nodes=n)
    g = dgl.to_simple(dgl.add_self_loop(dgl.remove_self_loop(g)))
    g.ndata["feat"] = F.one_hot(label, n_classes) + 2.5 * torch.randn(n, n_classes)
    g.ndata["label"] = label
    return g


def main(args):
    torch.manual_seed(0)
    g = load(1200, 6)
    features, labels = g.ndata["feat"], g.ndata["label"]
    train_mask = torch.rand(g.num_nodes()) < 0.3
    model = SGConv(features.shape[1], 6, k=args.k, cached=True, bias=args.bias)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=1, max_iter=20)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(g, features)[train_mask], labels[train_mask])
        loss.backward()
        return loss

    for step in range(args.steps):
        start = time.time()
        loss = optimizer.step(closure)
        print(f"Step {step} | Loss {loss.item():.4f} | Seconds {time.time() - start:.3f}")
    with torch.no_grad():
        pred = model(g, features).argmax(1)
    right = (pred == labels)[~train_mask].float().mean()
    print(f"Test accuracy {right.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="SGC")
    parser.add_argument("--bias", action="store_true", default=False)
    parser.add_argument("--k", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    main(parser.parse_args())
