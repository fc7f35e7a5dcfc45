"""Train on LABOR's blocks and compare accuracy and input nodes with neighbour sampling.

    python scripts/measure_labor.py arxiv-like --fanouts 10 10 10 --seeds 3

GraphSAGE with the mean, weighted where the blocks have weights. Runs of one seed begin with the
same weights and see the same batches of seeds; what differs is how their neighbourhoods are
sampled. The accuracy is that on the test nodes in the epoch with the best validation, with all
edges.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

import hopflow as hf
from hopflow.dataloading import DataLoader, LaborSampler, NeighborSampler

BATCH, HIDDEN, RATE, DROPOUT = 1024, 128, 0.003, 0.3


class Model(nn.Module):
    """Layers of ``SAGEConv`` that use the weights of edges where a block has some."""

    def __init__(self, in_feats: int, num_classes: int, num_layers: int) -> None:
        super().__init__()
        widths = [in_feats, *[HIDDEN] * (num_layers - 1), num_classes]
        self.layers = nn.ModuleList(
            hf.nn.SAGEConv(a, b, "mean") for a, b in itertools.pairwise(widths)
        )

    def forward(self, blocks: Sequence[hf.Graph], x: Tensor) -> Tensor:
        """Logits of the last block's destinations."""
        for i, (layer, block) in enumerate(zip(self.layers, blocks, strict=True)):
            weights = block.edata.get("edge_weights")
            x = layer(block, x, edge_weight=weights)
            if i + 1 < len(self.layers):
                x = functional.dropout(functional.relu(x), DROPOUT, self.training)
        return x


@dataclass
class Run:
    """Test accuracy in percent, and means over the batches."""

    test: float
    input_nodes: float
    edges: float


def run(
    dataset: tuple[hf.Graph, Tensor, dict[str, Tensor]],
    sampler: NeighborSampler,
    *,
    seed: int,
    epochs: int,
) -> Run:
    """Train once."""
    graph, labels, split = dataset
    torch.manual_seed(seed)
    hf.seed(seed)
    x = graph.ndata["feat"]
    model = Model(x.shape[1], int(labels.max()) + 1, len(sampler.fanouts))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    loader = DataLoader(graph, split["train"], sampler, batch_size=BATCH, shuffle=True, seed=seed)
    everywhere = [graph] * len(model.layers)
    best, found = -1.0, 0.0
    nodes: list[int] = []
    edges: list[int] = []
    for _ in range(epochs):
        model.train()
        for input_nodes, seeds, blocks in loader:
            nodes.append(len(input_nodes))
            edges.append(sum(block.num_edges() for block in blocks))
            loss = functional.cross_entropy(model(blocks, x[input_nodes]), labels[seeds])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            right = (model(everywhere, x).argmax(1) == labels).double()
        valid, test = (float(right[split[name]].mean()) for name in ("valid", "test"))
        if valid > best:
            best, found = valid, test
    return Run(100 * found, statistics.mean(nodes), statistics.mean(edges))


def main() -> int:
    """Measure, and say whether LABOR reaches the accuracy with fewer nodes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", help="a data set, as hopflow.datasets.load takes it")
    parser.add_argument("--fanouts", type=int, nargs="+", default=[10, 10, 10])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--within", type=float, default=0.3, help="points of accuracy allowed")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    loaded = hf.datasets.load(options.data)
    graph, labels = loaded[0]
    dataset = hf.add_reverse_edges(graph), labels.view(-1).long(), loaded.get_idx_split()
    fanouts = options.fanouts
    samplers = {
        "neighbor": NeighborSampler(fanouts),
        "LABOR-0": LaborSampler(fanouts),
        "LABOR-1": LaborSampler(fanouts, importance_sampling=1),
        "LABOR-*": LaborSampler(fanouts, importance_sampling=-1),
    }
    means: dict[str, Run] = {}
    figures = {}
    for name, sampler in samplers.items():
        runs = [
            run(dataset, sampler, seed=seed, epochs=options.epochs) for seed in range(options.seeds)
        ]
        means[name] = mean = Run(*map(statistics.mean, zip(*(asdict(r).values() for r in runs))))
        figures[name] = [asdict(r) for r in runs]
        if not options.json:
            spread = statistics.stdev(r.test for r in runs) if len(runs) > 1 else 0.0
            print(
                f"{name:9} {mean.input_nodes:9,.0f} input nodes {mean.edges:9,.0f} edges"
                f"  test {mean.test:.2f} % ± {spread:.2f}",
                flush=True,
            )
    if options.json:
        print(json.dumps(figures))
    neighbor, labor = means["neighbor"], means["LABOR-0"]
    is_as_good = labor.test >= neighbor.test - options.within
    return int(not (is_as_good and labor.input_nodes < neighbor.input_nodes))


if __name__ == "__main__":
    sys.exit(main())
