"""A layer over a batch of graphs computes what it computes over each of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import hopflow as hf
from hopflow.nn import ChebConv, GATConv, GraphConv, PNAConv, TAGConv

EIGENVALUES = [1.3, 1.7, 2.0]
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "cheb": lambda: ChebConv(4, 3, 3),
    "gat": lambda: GATConv(4, 3, 2, allow_zero_in_degree=True),
    "graph": lambda: GraphConv(4, 3, allow_zero_in_degree=True),
    "pna": lambda: PNAConv(4, 4, ["mean", "max", "var"], ["identity", "amplification"], 1.5),
    "tag": lambda: TAGConv(4, 3),
}


def graphs() -> list[hf.Graph]:
    made = []
    for number, num_nodes in enumerate((7, 1, 12)):
        rng = torch.Generator().manual_seed(number)
        ends = torch.randint(num_nodes, (2, 3 * num_nodes), generator=rng)
        made.append(hf.graph((ends[0], ends[1]), num_nodes=num_nodes))
    return made


@pytest.mark.parametrize("name", LAYERS)
def test_each_graph_is_its_own(name):
    layer = LAYERS[name]().eval()
    one = graphs()
    x = [torch.randn(g.num_nodes(), 4) for g in one]
    alone = [(EIGENVALUES[i],) if name == "cheb" else () for i in range(3)]
    together = (EIGENVALUES,) if name == "cheb" else ()
    got = layer(hf.batch(one), torch.cat(x), *together)
    expected = [layer(g, rows, *more) for g, rows, more in zip(one, x, alone)]
    torch.testing.assert_close(got, torch.cat(expected))


def test_another_number_of_eigenvalues_is_refused():
    batch = hf.batch(graphs())
    with pytest.raises(ValueError, match=r"each graph of a batch \(3\)"):
        ChebConv(4, 3, 2)(batch, torch.randn(20, 4), [1.0, 2.0])
