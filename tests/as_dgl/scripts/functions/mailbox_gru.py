"""Messages read by a GRU in order of time: the class is whether payments grew or shrank."""

import argparse

import dgl
import torch
import torch.nn as nn
import torch.nn.functional as F


class History(nn.Module):
    """Every node reads its in-edges from the oldest to the newest."""

    def __init__(self, in_feats, hidden, classes):
        super().__init__()
        self.rnn = nn.GRU(in_feats, hidden, batch_first=True)
        self.out = nn.Linear(hidden, classes)

    def message(self, edges):
        size = torch.cat([edges.data["amount"], edges.src["rate"]], 1)
        return {"m": size, "t": edges.data["time"]}

    def reduce(self, nodes):
        order = nodes.mailbox["t"].argsort(dim=1)
        events = nodes.mailbox["m"].gather(1, order.unsqueeze(2).expand_as(nodes.mailbox["m"]))
        _, last = self.rnn(events)
        return {"h": last.squeeze(0)}

    def apply(self, nodes):
        return {"logits": self.out(nodes.data["h"])}

    def forward(self, g):
        with g.local_scope():
            g.update_all(self.message, self.reduce, self.apply)
            return g.ndata["logits"]


def ledger(n):
    """Amounts are in the currency of the sender, whose rate stands on the sender."""
    count = torch.randint(3, 7, (n,))
    dst = torch.arange(n).repeat_interleave(count)
    src = torch.randint(n, (len(dst),))
    g = dgl.graph((src, dst), num_nodes=n)
    label, rate = torch.randint(2, (n,)), torch.randint(1, 3, (n, 1)).float()
    time = torch.rand(len(dst))
    trend = (time - 0.5) * (label[dst] * 2.0 - 1)
    value = 2 + 2 * trend + 0.2 * torch.randn(len(dst))
    g.edata["time"], g.edata["amount"] = time, (value / rate[src, 0]).unsqueeze(1)
    g.ndata["rate"] = rate
    return g, label


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=80)
    args = parser.parse_args()
    torch.manual_seed(0)
    g, label = ledger(400)
    train, test = torch.randperm(400).split([200, 200])
    model = History(2, 16, 2)
    opt = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(args.epochs):
        logits = model(g)
        loss = F.cross_entropy(logits[train], label[train])
        opt.zero_grad()
        loss.backward()
        opt.step()
        if epoch % 20 == 0:
            print(f"Epoch {epoch:02d} | Loss {loss.item():.4f}")
    assert "logits" not in g.ndata
    accuracy = (logits.argmax(1) == label)[test].float().mean()
    print(f"Test accuracy {accuracy.item():.4f}")


if __name__ == "__main__":
    main()
